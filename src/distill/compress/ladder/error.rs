//! What can be wrong with a ladder of compression.

use std::path::PathBuf;

use crate::distill::config::ConfigError;

/// A ladder that cannot be climbed.
#[derive(Debug, thiserror::Error)]
pub enum LadderError {
    /// The file cannot be read.
    #[error("cannot read the ladder {path}: {source}", path = path.display())]
    Read {
        /// The ladder's file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A key or a value of the ladder itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A rung that is no experiment.
    #[error("rung `{rung}`: {source}")]
    Rung {
        /// Its name.
        rung: String,
        /// What is wrong with the experiment that it makes.
        source: ConfigError,
    },
    /// An experiment of lidar.
    #[error(
        "{path}: `task: lidar`: a ladder is for students of cameras; make a lidar student smaller by `student` of its experiment and \
         `distill quantize`",
        path = path.display()
    )]
    Lidar {
        /// The experiment's file.
        path: PathBuf,
    },
}
