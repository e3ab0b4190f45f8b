//! What a lidar student's run has left in its folder.

use super::{
    ReportError,
    folder::{EpochFigures, RunFiles, kept, training},
};
use crate::{
    distill::{
        evaluate::bundle_path,
        lidar::{
            LidarExperiment,
            gallery::SweepGallery,
            labels::{CalibrationEstimate, CalibrationVerdict, LabelFacts},
            result::LidarResult,
        },
    },
    model::{
        bundle::{BundleMetadata, read_metadata},
        lidar::LidarSpec,
    },
};

/// The files of a run of a lidar student, read.
pub(super) struct LidarFolder {
    /// What it has in common with runs of other tasks.
    pub files: RunFiles,
    /// The experiment, or why this version cannot read it.
    pub experiment: Result<LidarExperiment, String>,
    /// `report.json`.
    pub result: LidarResult,
    /// The epochs of the second training, on the student's own labels; empty without one.
    pub own_epochs: Vec<EpochFigures>,
    /// What the student's bundle says of its origin; `None` without a bundle.
    pub bundle: Option<BundleMetadata<LidarSpec>>,
    /// `gallery/gallery.json`, or why it cannot be read; `None` without one.
    pub gallery: Option<Result<SweepGallery, String>>,
}

impl LidarFolder {
    /// Reads the rest of a lidar student's run.
    pub fn read(files: RunFiles) -> Result<Self, ReportError> {
        let path = files.path.as_path();
        Ok(Self {
            experiment: LidarExperiment::load(&files.config_path(), &[]).map_err(|error| error.to_string()),
            result: files.result()?,
            own_epochs: training(path, "train_own"),
            bundle: read_metadata(bundle_path(path)).ok().flatten(),
            gallery: kept(&SweepGallery::path(path)),
            files,
        })
    }

    /// What came of labelling each recording, with its name.
    pub fn recordings(&self) -> impl Iterator<Item = (&str, &LabelFacts)> {
        self.result.data.iter().map(String::as_str).zip(&self.result.labels)
    }

    /// The recordings in which a camera labelled, with how well it fits.
    pub fn calibrations(&self) -> Vec<(&str, &CalibrationEstimate)> {
        self.recordings().filter_map(|(name, facts)| Some((name, facts.calibration.as_ref()?))).collect()
    }

    /// The recordings whose calibration is suspect.
    pub fn suspects(&self) -> Vec<(&str, &CalibrationEstimate)> {
        let mut suspects = self.calibrations();
        suspects.retain(|(_, estimate)| estimate.verdict() == CalibrationVerdict::Suspect);
        suspects
    }
}
