//! A run as one page to look at: self-contained HTML without scripts, that loads nothing from anywhere.
//!
//! ```text
//! run's folder -> RunFiles -> RunFolder -> sections in their order -> page
//!   recordings + detections -> comparison (the frames with the worst mistakes, inherited errors) -'
//!
//! a lidar student's -> RunFiles -> LidarFolder (with the pictures of sweeps that the run has kept) -> its sections -> page
//!
//! figures of boards (`distill bench --json`) + the run's accuracy -> Boards -> a section of either
//!
//! ablation -> its section alone -> page; its dot plots alone -> SVG
//!
//! ladder of compression -> its section alone -> page
//! ```

mod ablation;
mod boards;
mod chart;
mod comparison;
mod figures;
mod folder;
mod lidar_folder;
mod markup;
mod page;
mod sections;

use std::path::{Path, PathBuf};

pub use ablation::ablation_svg;
use boards::{Boards, judged, judged_lidar};
use comparison::Gallery;
use folder::{RunFiles, RunFolder};
use lidar_folder::LidarFolder;

use super::{ablate::Ablation, compress::ladder::Front};
use crate::bench::BenchError;

/// The `task` of experiments that teach lidar students.
const LIDAR: &str = "lidar";

/// What a report shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Whether frames of the recordings are shown; for that the recordings are read again, and the models run where their
    /// evaluation has not kept what they found. Of a lidar student the sweeps that its run has drawn.
    pub gallery: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { gallery: true }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file that every run has.
    #[error("cannot read {}: {source}; name the output folder of a finished `distill run`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Figures of a board.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A file that is not what it should be.
    #[error("{}: {message}; `distill run` with the same experiment writes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// The page of the run whose output folder is `run`: `config.yaml` and `report.json` must be there, everything else is shown as far as
/// it is. Which sections there are depends on the experiment's `task`. Recordings or models that cannot be read any more cost the gallery, not the report.
/// `benches` are files of `distill bench --json`, each of a board that the run's models were measured on.
///
/// # Errors
/// [`ReportError`] that names the file.
pub fn report(run: &Path, options: ReportOptions, benches: &[PathBuf]) -> Result<String, ReportError> {
    let files = RunFiles::read(run)?;
    let name = files.name.clone();
    let sections = if files.task.as_deref() == Some(LIDAR) {
        let folder = LidarFolder::read(files)?;
        let boards = Boards::read(benches, || judged_lidar(&folder))?;
        sections::of_lidar(&folder, options, &boards)
    } else {
        let folder = RunFolder::read(files)?;
        let boards = Boards::read(benches, || judged(&folder))?;
        let gallery = if options.gallery { Gallery::of(&folder) } else { Gallery::unwanted() };
        sections::all(&folder, &gallery, &boards)
    };
    Ok(page::page("Distillation report", &name, &sections))
}

/// The page of an ablation: what the reports of its runs say of it, alone.
pub fn ablation_page(ablation: &Ablation) -> String {
    page::page("Ablation", &ablation.name, &[sections::of_ablation(ablation)])
}

/// The page of a ladder of compression: what the reports of its rungs say of it, alone.
pub fn front_page(front: &Front) -> String {
    page::page("Compression", &front.name, &[sections::of_ladder(front)])
}
