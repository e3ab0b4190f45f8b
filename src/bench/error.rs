//! What can go wrong while models are measured.

use std::path::PathBuf;

use super::result::BENCH_VERSION;
use crate::model::ModelError;

/// Why a board has no figures, or why they cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A model cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A size of sweeps that no range image can have.
    #[error(
        "sweeps of {rows} x {columns} points cannot be made for model {model}: {reason}; choose another --sweep-size"
    )]
    SweepSize {
        /// The model.
        model: String,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// What is wrong with them.
        reason: String,
    },
    /// A model has nothing to run on.
    #[error("there is no {needed} for model {model} to run on")]
    NoInput {
        /// The model.
        model: String,
        /// What it looks at.
        needed: &'static str,
    },
    /// A file that is none of figures.
    #[error("{} holds no figures of a board: {message}; name a file that `distill bench --json` wrote", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Written by another version.
    #[error(
        "{} holds figures of a board in version {found}, this package reads version {BENCH_VERSION}; measure again with this version of \
         `distill`",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}
