//! How a student's scores are spread over frames that it was not trained on, for its bundle: the nodes hold what they find against it.

use std::path::Path;

use anyhow::Context;

use crate::{
    distill::{
        bag::{Frames, TruthSource},
        config::Experiment,
        durable,
        lidar::{blocks::Blocks, labels::LabelledSweep},
        split::Block,
        train::split_of,
    },
    metrics::{FrameScores, ScoreProfile},
    model::{
        Detector, ModelSpec, SessionOptions, SoftDetection,
        bundle::{BundleError, BundleSpec, metadata_of, write_metadata},
        lidar::{LidarDetector, LidarSpec},
    },
};

/// Where the frames come from: the second block only where there is no frame in the first.
const BLOCKS: [Block; 2] = [Block::Validation, Block::Test];
/// Frames that are looked at, at most: minutes of a recording, and seconds of work. They follow each other without gaps, for the profile
/// tells how much they resemble each other.
const MOST_FRAMES: usize = 3000;

/// Puts the profile into a camera bundle, and tells so. A bundle can be run without it, so what goes wrong is told and no error.
pub(super) fn add_image_profile(experiment: &Experiment, bundle: &Path) {
    let added = || -> anyhow::Result<Option<ScoreProfile>> {
        let mut detector = Detector::load(bundle, &SessionOptions::default())?;
        let each = MOST_FRAMES / experiment.labelled_data().count().max(1);
        for block in BLOCKS {
            let mut found = Vec::new();
            for data in experiment.labelled_data() {
                if data.block.is_some_and(|whole| whole != block) {
                    continue;
                }
                let (split, before) = (split_of(data, experiment)?, found.len());
                for frame in Frames::open(&data.path, data.topic.as_deref(), TruthSource::None)? {
                    let frame = frame?;
                    if found.len() - before >= each {
                        break;
                    }
                    if split.block_of(frame.stamp) != Some(block) {
                        continue;
                    }
                    // What cannot be decoded was told by the stages before.
                    let Ok(image) = frame.decode() else { continue };
                    let detections = detector.detect(&image)?.detections;
                    found.push(FrameScores::of(detections.iter().map(SoftDetection::score)));
                }
            }
            if let Some(profile) = ScoreProfile::of(&found) {
                write::<ModelSpec>(bundle, &profile)?;
                return Ok(Some(profile));
            }
        }
        Ok(None)
    };
    tell(added());
}

/// The same for a lidar bundle.
pub(super) fn add_sweep_profile(blocks: &Blocks<'_>, bundle: &Path) {
    let added = || -> anyhow::Result<Option<ScoreProfile>> {
        let mut detector = LidarDetector::load(bundle, &SessionOptions::default())?;
        let each = MOST_FRAMES / blocks.recordings.len().max(1);
        for block in BLOCKS {
            let mut found = Vec::new();
            for recording in &blocks.recordings {
                let sweeps: &[&LabelledSweep] = match block {
                    Block::Validation => &recording.validation,
                    _ => &recording.test,
                };
                for sweep in sweeps.iter().take(each) {
                    let objects = detector.detect(&sweep.sweep)?.objects;
                    found.push(FrameScores::of(objects.iter().map(|object| object.score)));
                }
            }
            if let Some(profile) = ScoreProfile::of(&found) {
                write::<LidarSpec>(bundle, &profile)?;
                return Ok(Some(profile));
            }
        }
        Ok(None)
    };
    tell(added());
}

fn write<S: BundleSpec>(bundle: &Path, profile: &ScoreProfile) -> anyhow::Result<()> {
    let of_file = || bundle.display().to_string();
    let bytes = std::fs::read(bundle).with_context(of_file)?;
    let mut metadata = metadata_of::<S>(&bytes).with_context(of_file)?.ok_or(BundleError::Missing)?;
    profile.put_into(&mut metadata.figures);
    durable::write_bytes(bundle, &write_metadata(&bytes, &metadata)?).with_context(of_file)?;
    Ok(())
}

fn tell(added: anyhow::Result<Option<ScoreProfile>>) {
    match added {
        Ok(Some(profile)) => outln!(
            "export: what the robot shall notice drift by: in {} frames that were not learnt {:.2} detections each, {:.0} % of the \
             frames empty",
            profile.frames,
            profile.detections.mean,
            1e2 * profile.empty.mean
        ),
        Ok(None) => {
            outln!("export: neither the validation nor the test block has a frame; the robot cannot notice drift")
        }
        Err(error) => {
            outln!("export: the bundle goes without a score profile, so the robot cannot notice drift: {error:#}")
        }
    }
}
