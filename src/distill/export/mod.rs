//! From a trained student to one ONNX file: BatchNorm folded, static batch of 1, named inputs and outputs, metadata inside.
//!
//! The graph holds convolutions, ReLU, additions and nearest-neighbour resizing, nothing else; boxes are decoded outside of it
//! ([`crate::model`]), so that any runtime and any quantizer takes it. Its tensors at the student's anchor points have their names,
//! so that the bundle can teach further students by its features.

mod cost;
mod graph;

use std::path::{Path, PathBuf};

pub use cost::{Cost, count_macs};
pub(in crate::distill) use cost::{integer, text};
pub(in crate::distill) use graph::named_graph;
pub use graph::student_graph;
use onnx_ir::{Message, ModelProto};

use crate::{
    distill::{durable, student::CameraStudent},
    model::bundle::{BundleError, BundleMetadata, BundleSpec, write_metadata},
};

/// A student that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportFailed {
    /// The network uses an operation that ONNX export does not know, or the capture failed.
    #[error("the student cannot be written as ONNX: {0}")]
    Capture(#[from] burn_onnx::export::ExportError),
    /// The captured graph is not what a student's should be.
    #[error("the exported graph is wrong: {0}; this is a defect of the exporter, not of the student's configuration")]
    Graph(String),
    /// An ONNX file that cannot be read.
    #[error("{}: not an ONNX model: {reason}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// The metadata cannot be put into the file.
    #[error("the bundle's metadata cannot be written: {0}")]
    Metadata(#[from] BundleError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// Writes a student as a bundle that the nodes run: [`student_graph`] with the metadata inside, its parameters and
/// multiply-accumulates counted from the graph. The file is whole or not there. Returns the metadata as written.
///
/// # Errors
/// When the graph cannot be made or the file not be written.
pub fn export(student: &CameraStudent, metadata: &BundleMetadata, path: &Path) -> Result<BundleMetadata, ExportFailed> {
    let input = &metadata.spec.input;
    write_bundle(&student_graph(student, input.width, input.height)?, metadata, path)
}

/// Writes a graph with metadata inside, its parameters and multiply-accumulates counted from the graph. The file is whole or not there.
/// Returns the metadata as written.
///
/// # Errors
/// When the file cannot be written.
pub(in crate::distill) fn write_bundle<S: BundleSpec + Clone>(
    model: &ModelProto,
    metadata: &BundleMetadata<S>,
    path: &Path,
) -> Result<BundleMetadata<S>, ExportFailed> {
    let cost = count_macs(model);
    let metadata =
        BundleMetadata { parameters: cost.parameters, macs: cost.macs.unwrap_or_default(), ..metadata.clone() };
    let bytes = model.write_to_bytes().map_err(|error| ExportFailed::Graph(error.to_string()))?;
    let bytes = write_metadata(&bytes, &metadata)?;
    durable::write_bytes(path, &bytes).map_err(|source| ExportFailed::Io { path: path.into(), source })?;
    Ok(metadata)
}

/// Reads an ONNX file as protobuf messages, weights included.
///
/// # Errors
/// When the file cannot be read or is no ONNX model.
pub fn read_onnx(path: &Path) -> Result<ModelProto, ExportFailed> {
    let bytes = std::fs::read(path).map_err(|source| ExportFailed::Io { path: path.into(), source })?;
    let model = ModelProto::parse_from_bytes(&bytes)
        .map_err(|error| ExportFailed::NotOnnx { path: path.into(), reason: error.to_string() })?;
    if model.graph.as_ref().is_none_or(|graph| graph.node.is_empty()) {
        return Err(ExportFailed::NotOnnx { path: path.into(), reason: "it holds no graph".into() });
    }
    Ok(model)
}

/// Writes an ONNX model; the file is whole or not there.
///
/// # Errors
/// When the model cannot be encoded or the file not be written.
pub fn write_onnx(model: &ModelProto, path: &Path) -> Result<(), ExportFailed> {
    let bytes = model.write_to_bytes().map_err(|error| ExportFailed::Graph(error.to_string()))?;
    durable::write_bytes(path, &bytes).map_err(|source| ExportFailed::Io { path: path.into(), source })
}
