//! What a detector is worth: average precision, calibration and latency, used by reports and nodes alike.

mod average_precision;
mod calibration;
mod latency;
mod pairing;

pub use average_precision::{ApAccumulator, ApSummary, ClassAp};
pub use calibration::{Calibration, ClassCurve, ReliabilityBin};
pub use latency::{LatencyRecorder, LatencySummary};
pub use pairing::{Demand, ScoredBox, TruthBox, Verdict, judge_image};
