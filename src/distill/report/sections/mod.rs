//! The sections of the page, one file each, in the order in which they stand here.

mod ablation;
mod accuracy;
mod audit;
mod boards;
mod calibration;
mod classes;
mod compression;
mod curves;
mod gallery;
mod inheritance;
mod lidar;
mod lineage;
mod repeat;
mod summary;
mod table;
mod training;

use super::{
    ReportOptions, boards::Boards, comparison::Gallery, folder::RunFolder, lidar_folder::LidarFolder, markup::Markup,
};
use crate::distill::{ablate::Ablation, compress::ladder::Front};

/// A part of the page.
pub(super) struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// One or two sentences that tell a newcomer how to read it.
    pub how_to_read: String,
    /// What it shows.
    pub body: Markup,
}

/// All sections that the run's folder has something for. A section is a function that gives none where its file is not there; another
/// one needs a file here and a line below.
pub(super) fn all(folder: &RunFolder, gallery: &Gallery, boards: &Boards) -> Vec<Section> {
    let sections = [
        Some(summary::section(folder)),
        Some(accuracy::section(folder)),
        boards::section(boards),
        curves::section(folder),
        Some(classes::section(folder)),
        training::section(&folder.files.epochs, ["AP50", "AP"]),
        calibration::section(folder),
        audit::section(folder),
        inheritance::section(gallery),
        Some(gallery::section(gallery)),
        lineage::section(folder),
        ablation::section(folder),
        compression::section(folder),
        Some(repeat::section(folder)),
    ];
    sections.into_iter().flatten().collect()
}

/// The sections of a lidar student's run.
pub(super) fn of_lidar(folder: &LidarFolder, options: ReportOptions, boards: &Boards) -> Vec<Section> {
    lidar::all(folder, options, boards)
}

/// The section of an ablation that is looked at by itself.
pub(super) fn of_ablation(ablation: &Ablation) -> Section {
    ablation::of(ablation, None)
}

/// The section of a ladder that is looked at by itself.
pub(super) fn of_ladder(front: &Front) -> Section {
    compression::of(front)
}
