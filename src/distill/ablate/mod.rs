//! Ablations: the same experiment trained in several variants and with several seeds, side by side.
//!
//! ```text
//! ablation.yaml -> plan (every variant x seed, all checked) -> label once per kind of labelling
//!               -> runner: `distill run` as child processes, several at a time -> reports -> table and JSON
//! ```
//!
//! [`crate::distill::report`] draws what was found.
//!
//! Every training is a process of its own: a crash costs one run, and the pools of threads do not meet. What is finished is found
//! by the stages of [`crate::distill::stage`] and not made again.

mod config;
mod error;
mod figures;
mod plan;
mod result;
mod runner;
mod statistics;
mod table;

pub use config::{AblationConfig, Settings, VariantConfig};
pub(in crate::distill) use config::{check_key, check_name, check_settings, overrides};
pub use error::AblationError;
pub use figures::{RecordingFigures, RunFigures};
pub(in crate::distill) use plan::path_override;
pub use plan::{Choice, Plan, PlannedRun};
#[cfg(test)]
pub(in crate::distill) use result::tests::ablation as example;
pub use result::{Ablation, ClassSpread, RecordingSpread, RunResult, RunState, VariantResult};
pub use runner::{RunEnd, Runner};
pub use statistics::{Difference, Spread, Verdict, chance_beyond};
