//! Why a bundle could not be made smaller.

use std::path::PathBuf;

use crate::{
    distill::{
        bag::BagError, evaluate::EvaluateError, export::ExportFailed, split::SplitError, teacher::TensorError,
        train::TrainError,
    },
    model::{ModelError, bundle::BundleError, samples::SampleError},
};

/// Why a bundle was not quantised. Each message names the file or the layer, and the mend.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The file cannot be read as ONNX.
    #[error(transparent)]
    File(#[from] ExportFailed),
    /// Its inner tensors cannot be had.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A network cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A recording cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A recording cannot be cut into its blocks.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// An experiment's data cannot be used.
    #[error(transparent)]
    Data(#[from] TrainError),
    /// The truth of a frame cannot be used.
    #[error(transparent)]
    Truth(#[from] EvaluateError),
    /// The bundle's metadata cannot be used.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The bundle's recorded samples cannot be answered anew.
    #[error("{}: {source}", path.display())]
    Samples {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: SampleError,
    },
    /// The graph lacks what quantisation needs.
    #[error("{}: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What, and the mend.
        reason: String,
    },
    /// Nobody can measure anything without frames.
    #[error(
        "no frame to {purpose} in the {block} block of {recordings}: name other or longer recordings (--data), or give the block a \
         larger share (split in the experiment)"
    )]
    NoFrames {
        /// What the frames are for.
        purpose: &'static str,
        /// The block they must be in.
        block: &'static str,
        /// The recordings.
        recordings: String,
    },
    /// A layer that is to stay float is none.
    #[error("--keep-float {wanted}: no such layer; there are `first`, `last`, {}", layers.join(", "))]
    UnknownLayer {
        /// What was asked for.
        wanted: String,
        /// The layers that there are.
        layers: Vec<String>,
    },
    /// A constant that float16 cannot hold.
    #[error("{tensor} holds {value}, which float16 (at most 65504) cannot; export in int8 instead")]
    HalfRange {
        /// The constant.
        tensor: String,
        /// Its largest value.
        value: f32,
    },
    /// The result is not worth enough.
    #[error(
        "refused: {loss}, more than the budget allows; the table says which layers hurt. Keep some of them in float32 (--keep-float, \
         --max-float), allow more (--budget, --agreement), train with rounding in the loop (--train), or write it all the same with --force"
    )]
    Budget {
        /// What is lost, in words.
        loss: String,
    },
}
