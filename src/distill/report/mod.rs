//! A run as one page to look at: self-contained HTML without scripts, that loads nothing from anywhere.
//!
//! ```text
//! run's folder -> RunFolder -> sections in their order -> page
//!      recordings + models -> comparison (the frames with the worst mistakes, inherited errors) -'
//!
//! ablation -> its section alone -> page; its dot plots alone -> SVG
//! ```

mod ablation;
mod chart;
mod comparison;
mod figures;
mod folder;
mod markup;
mod page;
mod sections;

use std::path::{Path, PathBuf};

pub use ablation::ablation_svg;
use comparison::Gallery;
use folder::RunFolder;

use super::ablate::Ablation;

/// What a report shall hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Whether frames of the recordings are shown; for that the recordings are read and the models run again.
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
    /// A file that is not what it should be.
    #[error("{}: {message}; `distill run` with the same experiment writes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A run that has no page.
    #[error(
        "{}: the run of a lidar student has no page; its figures are in report.json, and `distill run` with its experiment prints them",
        path.display()
    )]
    Lidar {
        /// The run's folder.
        path: PathBuf,
    },
}

/// The page of the run whose output folder is `run`: `config.yaml` and `report.json` must be there, everything else is shown as far as
/// it is. Recordings or models that cannot be read any more cost the gallery, not the report.
///
/// # Errors
/// [`ReportError`] that names the file.
pub fn report(run: &Path, options: ReportOptions) -> Result<String, ReportError> {
    let folder = RunFolder::read(run)?;
    let gallery = if options.gallery { Gallery::of(&folder) } else { Gallery::unwanted() };
    Ok(page::page("Distillation report", &folder.name, &sections::all(&folder, &gallery)))
}

/// The page of an ablation: what the reports of its runs say of it, alone.
pub fn ablation_page(ablation: &Ablation) -> String {
    page::page("Ablation", &ablation.name, &[sections::of_ablation(ablation)])
}
