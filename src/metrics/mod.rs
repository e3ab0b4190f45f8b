//! What a detector is worth: average precision and latency, used by reports and nodes alike.

mod average_precision;
mod latency;

pub use average_precision::{ApAccumulator, ApSummary, ClassAp, Demand, Match, ScoredBox, TruthBox, match_detections};
pub use latency::{LatencyRecorder, LatencySummary};
