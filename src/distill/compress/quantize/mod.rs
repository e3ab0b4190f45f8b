//! Exported bundles in fewer bits: int8 after training, in the QDQ form that every runtime takes, and float16.
//!
//! ```text
//! bundle -> sizes spelled out -> equalised or not -> values seen on calibration frames -> ranges by each method -> QDQ -> loss
//!        -> the best of these, biases corrected where that helps -> loss of each layer alone
//!        -> the layers that hurt stay float until the budget holds -> bundle, or refused with the layer table
//! ```
//!
//! Ranges and biases are found on frames of the training block, and everything is chosen on those of the validation block.
//!
//! | file | holds |
//! |---|---|
//! | `graph`, `tensor` | a graph's wiring, layers and constants |
//! | `plan` | which tensors are rounded |
//! | `histogram`, `range`, `scale` | from values to ranges, scales and integers |
//! | `qdq` | the rounded graph |
//! | `equalize`, `bias` | what is tried beside the methods |
//! | `half` | the graph in float16 |
//! | `network` | graphs run on frames: what is seen in them, and how far they are from the float one |
//! | `search` | [`quantize`]: from a file to the best graph |
//! | [`judge`] | what that is worth, and what it may lose |
//! | [`frames`] | calibration and validation frames |
//! | `dump` | these frames as files for other tools |
//! | `report` | [`QuantizeReport`], and the bundle |

mod bias;
mod dump;
mod equalize;
mod error;
pub mod frames;
mod graph;
mod half;
mod histogram;
pub mod judge;
mod network;
mod plan;
mod qdq;
mod range;
mod report;
mod scale;
mod search;
mod tensor;

pub use dump::dump_inputs;
pub use error::QuantizeError;
pub(in crate::distill) use histogram::Histogram;
pub use judge::{Budget, Judge, Worth};
pub use network::NetworkInput;
pub use range::{Range, RangeMethod};
#[cfg(test)]
pub(in crate::distill) use report::tests::example_report;
pub use report::{Attempt, LayerLoss, Precision, QuantizeReport, renew_samples};
pub use scale::WeightRange;
pub(in crate::distill) use scale::{Affine, channel_of, quantize_weights, weight_scales};
pub use search::{QuantizeJob, QuantizeOptions, Quantized, halve, quantize};

#[cfg(test)]
mod aware_tests;
