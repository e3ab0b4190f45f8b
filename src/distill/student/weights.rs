//! Weights on the disk, BatchNorm's running statistics included, in burn's own burnpack format.

use std::path::{Path, PathBuf};

use burn::{module::Module, store::ModuleRecord};

use super::CameraStudent;
use crate::distill::durable;

/// Weights that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The weights file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The file is no weights file or belongs to a student of another configuration.
    #[error("{}: these are not the weights of a student of this shape (its size, input and classes): {reason}", path.display())]
    Foreign {
        /// The weights file.
        path: PathBuf,
        /// What did not fit.
        reason: String,
    },
}

/// Writes all weights and running statistics of a network; the file is whole or not there.
///
/// # Errors
/// When the file cannot be written.
pub(in crate::distill) fn save(network: &impl Module, path: &Path) -> Result<(), WeightsError> {
    // A record of a training student holds BatchNorm's statistics as they were one step ago; a snapshot holds the newest.
    let bytes = network
        .valid()
        .into_record()
        .into_bytes()
        .map_err(|error| WeightsError::Foreign { path: path.into(), reason: error.to_string() })?;
    durable::write_bytes(path, &bytes).map_err(|source| WeightsError::Io { path: path.into(), source })
}

/// The network with the weights and running statistics of a file that [`save`] wrote.
///
/// # Errors
/// When the file cannot be read, or was written of a network of another shape.
pub(in crate::distill) fn load<M: Module>(network: M, path: &Path) -> Result<M, WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Io { path: path.into(), source })?;
    let foreign =
        |error: burn::store::RecordError| WeightsError::Foreign { path: path.into(), reason: error.to_string() };
    let record = ModuleRecord::from_bytes(burn::tensor::Bytes::from_bytes_vec(bytes)).map_err(foreign)?;
    // The newest statistics, which burn keeps apart until the next step, would otherwise overwrite the loaded ones then.
    drop(network.valid());
    network.try_load_record(record).map_err(foreign)
}

impl CameraStudent {
    /// Writes all weights and running statistics; the file is whole or not there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        save(self, path)
    }

    /// This student with the weights and running statistics of a file that [`Self::save`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or was written by a student of another configuration.
    pub fn load(self, path: &Path) -> Result<Self, WeightsError> {
        load(self, path)
    }
}
