//! Channels cut out of a finished student, so that its graph is smaller and faster: structured pruning.
//!
//! ```text
//! trained student -> importance of each channel (frames of the training block, or the weights alone)
//!                 -> times of each layer by its channels, measured in ONNX Runtime
//!                 -> the least important channels for the time they save, until the share is met -> timed as a whole, cut further
//!                 -> student with these channels alone, judged on the validation block, to be distilled anew
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `importance` | [`Criterion`]: BatchNorm's scales, absolute weights, first-order change of the loss |
//! | `layers` | the student's convolutions and the channel groups ([`Group`](crate::distill::student::Group)) that they join |
//! | `cost` | [`CostTable`]: what each layer costs by its channels |
//! | `measure` | times in ONNX Runtime |
//! | `cut` | which channels go |
//! | `search` | [`prune`]: from a student to a narrower one |
//! | `recovery` | the experiments of the cut student: as a folder of its own, and to learn again |
//! | `gate` | [`GateVerdict`]: what it lost all the same, and whether that is too much |
//! | `report` | [`PruneReport`] |

mod cost;
mod cut;
mod error;
mod gate;
mod importance;
mod layers;
mod measure;
mod recovery;
mod report;
mod search;

pub use cost::{CostTable, LayerCost, Measure};
pub use cut::LEAST;
pub use error::PruneError;
pub use gate::{Gate, GateVerdict, VERDICT_FILE};
pub use importance::{Criterion, Importance, Sensitivity, by_scale, by_weights};
pub(in crate::distill) use recovery::is_cut;
pub use recovery::{REPORT_FILE, cut_experiment, default_epochs, recovery};
pub use report::{CutFigures, GroupReport, PruneReport};
pub use search::{PruneJob, Pruned, prune};
