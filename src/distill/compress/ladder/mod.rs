//! The ladder of compression: students of several widths, inputs, cuts and precisions, and the most accurate one that keeps all limits.
//!
//! ```text
//! ladder.yaml -> plan (every rung, checked) -> climb: `distill run`, `prune`, `run`, `quantize` as child processes, one after the other
//!             -> measure (validation block; all networks timed in turns) -> front (Pareto; the chosen one) -> tables, JSON, page
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `config` | [`LadderConfig`], the YAML |
//! | `plan` | [`Ladder`]: all commands and all students that they make |
//! | `climb` | [`Climber`]: runs what is not done yet |
//! | `measure` | [`Contest`]: times and judges |
//! | `constraint` | [`Constraints`], and by how much they are missed |
//! | `front`, `place` | [`Front`]: what was found, and who beats whom |
//! | `table` | that as text |
//!
//! [`crate::distill::report`] draws what was found.

mod climb;
mod config;
mod constraint;
mod error;
#[cfg(test)]
mod example;
mod front;
mod measure;
mod place;
mod plan;
#[cfg(test)]
mod plan_tests;
mod table;

pub use climb::{Climber, StepEnd};
pub use config::{GateSection, LadderConfig, LadderSection, PointPrecision, PruneShare};
pub use constraint::{Constraints, Miss, Speedup};
pub use error::LadderError;
#[cfg(test)]
pub(in crate::distill) use example::example;
pub use front::{Front, LadderPoint, PointFigures, PointState, Reference, TestFigures, Yardstick};
pub use measure::{Contest, Measured, fused_ap50, test_figures};
pub use plan::{Ladder, PlannedPoint, Step};
