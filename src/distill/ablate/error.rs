//! What can be wrong with an ablation.

use std::path::PathBuf;

use crate::distill::config::ConfigError;

/// An ablation that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum AblationError {
    /// The file cannot be read.
    #[error("cannot read the ablation {path}: {source}", path = path.display())]
    Read {
        /// The ablation file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A key or a value of the ablation itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A variant that is no experiment.
    #[error("variant `{variant}`: {source}")]
    Variant {
        /// Its name.
        variant: String,
        /// What is wrong with the experiment that it makes.
        source: ConfigError,
    },
    /// `--only` of a variant that is not there.
    #[error("--only {name}: there is no such variant; there are {}", known.join(", "))]
    UnknownVariant {
        /// What was asked for.
        name: String,
        /// The variants.
        known: Vec<String>,
    },
}
