//! What a detector is worth: average precision, calibration, latency and the spread of scores, used by reports and nodes alike.

mod average_precision;
mod calibration;
mod center_ap;
mod latency;
mod mean;
mod pairing;
mod point_iou;
mod precision;
mod quartiles;
mod score_profile;

pub use average_precision::{ApAccumulator, ApSummary, ClassAp};
pub use calibration::{Calibration, ClassCurve, ReliabilityBin};
pub use center_ap::{BestF1, CenterAp, CenterApAccumulator, CenterTruth, ClassCenterAp, ScoredCenter, judge_centers};
pub use latency::{LatencyRecorder, LatencySummary};
pub use pairing::{Demand, ScoredBox, TruthBox, Verdict, judge_image};
pub use point_iou::{ClassIou, PointIou, PointIouAccumulator};
pub use quartiles::Quartiles;
pub use score_profile::{FrameScores, Moments, SCORE_BINS, ScoreProfile, histogram};

pub(crate) use mean::mean;
