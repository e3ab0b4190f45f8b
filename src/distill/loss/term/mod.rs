//! Named terms by which a student imitates the inside of its teachers: features, relations, flow, logits, box distributions.
//!
//! A term pairs tensors of a teacher's ONNX graph with anchor points of the student. Each image that the student trains on is
//! shown to the teacher as well, and the teacher's tensor is laid over the cells of the student's map (the loader does that);
//! an adapter then gives the student's features the teacher's channels, where a term needs them equal.

mod config;
mod evaluate;
mod foreground;
mod plan;
mod schedule;

pub use config::{Pair, Relating, Strategy, TermConfig, TermKind};
pub use evaluate::Lesson;
pub use plan::{HintRequest, MisfitError, TermPlan};
pub use schedule::WeightSchedule;
