//! What a quantised bundle is still worth: how well its detections agree with the float bundle's, and its average precision where
//! there is truth.

mod camera;
mod lidar;

pub use camera::{CameraJudge, JudgedFrame};
pub use lidar::LidarJudge;
use serde::{Deserialize, Serialize};

use super::QuantizeError;

/// Judges bundles on the validation frames, next to the float bundle.
pub trait Judge {
    /// Runs a bundle, given as an ONNX file's bytes with its metadata, as a node runs it.
    ///
    /// # Errors
    /// The bundle cannot be run.
    fn judge(&mut self, bundle: &[u8]) -> Result<Worth, QuantizeError>;
}

/// What a bundle is worth on the validation frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// Frames or sweeps looked at.
    pub frames: usize,
    /// What the float bundle finds in them at its own thresholds, all together: so much the agreement stands on.
    pub float_found: usize,
    /// F1 of the detections that both bundles make at their own thresholds: twice the common ones by all of both. Boxes are common at an
    /// IoU of 0.5, centres within the first distance of the experiment. 1 where neither finds anything.
    pub agreement: f64,
    /// Average precision at IoU 0.5, or of centres within that distance; `None` without truth.
    pub ap50: Option<f64>,
    /// The float bundle's; where it was trained on for int8, the greater of its own and that of the bundle before.
    pub float_ap50: Option<f64>,
}

impl Worth {
    /// The figures in words.
    pub fn words(&self) -> String {
        let precision = match (self.float_ap50, self.ap50) {
            (Some(before), Some(after)) => format!("average precision {before:.3} -> {after:.3}, "),
            _ => String::new(),
        };
        let (agreement, found, frames) = (self.agreement, self.float_found, self.frames);
        format!("{precision}agreement F1 {agreement:.3} on {found} detections in {frames} validation frames")
    }

    /// Whether neither truth nor a detection of the float bundle tells anything: then a bundle that finds nothing at all agrees with it.
    pub fn is_blind(&self) -> bool {
        self.ap50.is_none() && self.float_found == 0
    }
}

/// What a bundle may lose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Average precision, as a share of 1: 0.01 is one point.
    pub ap50: f64,
    /// The least F1 of agreement with the float bundle.
    pub agreement: f64,
}

impl Default for Budget {
    /// One point of AP50, and an agreement of 0.97.
    fn default() -> Self {
        Self { ap50: 0.01, agreement: 0.97 }
    }
}

impl Budget {
    /// What is lost beyond the budget, in words; `None` where all is within.
    pub fn excess(&self, worth: &Worth) -> Option<String> {
        if worth.is_blind() {
            let reason = "there is nothing to judge by: the float student finds nothing on these frames, and nobody knows what is there";
            return Some(reason.to_owned());
        }
        let mut excess = Vec::new();
        if let (Some(before), Some(after)) = (worth.float_ap50, worth.ap50) {
            excess.extend(self.lost_precision(before, after));
        }
        if worth.agreement < self.agreement {
            let (found, least) = (worth.agreement, self.agreement);
            excess.push(format!(
                "its detections agree with the float bundle's with an F1 of {found:.3}, below {least:.3}"
            ));
        }
        (!excess.is_empty()).then(|| excess.join(", and "))
    }

    /// What of an average precision, as a share of 1, is lost beyond the budget, in words.
    pub fn lost_precision(&self, before: f64, after: f64) -> Option<String> {
        let (lost, allowed) = (100.0 * (before - after), 100.0 * self.ap50);
        // What is no number is no precision either.
        let is_within = before - after <= self.ap50;
        (!is_within).then(|| format!("average precision falls by {lost:.2} points where {allowed:.2} are allowed"))
    }
}

/// F1 of two sets of detections of which so many are common.
fn f1(common: usize, one: usize, other: usize) -> f64 {
    if one + other == 0 { 1.0 } else { 2.0 * common as f64 / (one + other) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_tells_what_is_beyond_it() {
        let budget = Budget::default();
        let worth = Worth { frames: 9, float_found: 40, agreement: 0.98, ap50: Some(0.795), float_ap50: Some(0.8) };
        assert_eq!(budget.excess(&worth), None);
        let words = "average precision 0.800 -> 0.795, agreement F1 0.980 on 40 detections in 9 validation frames";
        assert_eq!(worth.words(), words);
        assert_eq!(budget.excess(&Worth { ap50: None, ..worth }), None);
        let lost = budget.excess(&Worth { ap50: Some(0.78), ..worth }).unwrap();
        assert!(lost.contains("2.00 points where 1.00") && !lost.contains("agree"), "{lost}");
        let lost = budget.excess(&Worth { ap50: Some(0.0), agreement: 0.5, ..worth }).unwrap();
        assert!(lost.contains("80.00 points") && lost.contains("0.500, below 0.970"), "{lost}");
        // Better than the float bundle is no loss.
        assert_eq!(budget.excess(&Worth { ap50: Some(0.9), ..worth }), None);
    }

    #[test]
    fn what_nothing_judges_is_within_no_budget() {
        let blind = Worth { frames: 9, float_found: 0, agreement: 1.0, ap50: None, float_ap50: None };
        for budget in [Budget::default(), Budget { ap50: 1.0, agreement: 0.0 }] {
            let excess = budget.excess(&blind).unwrap();
            assert!(excess.contains("nothing to judge by"), "{excess}");
        }
        // One detection to agree on, or truth, is something.
        assert_eq!(Budget::default().excess(&Worth { float_found: 1, ..blind }), None);
        assert_eq!(Budget::default().excess(&Worth { ap50: Some(0.0), float_ap50: Some(0.0), ..blind }), None);
    }

    #[test]
    fn agreement_counts_both_sides() {
        assert_eq!((f1(0, 0, 0), f1(3, 3, 3), f1(0, 4, 0)), (1.0, 1.0, 0.0));
        assert_eq!(f1(2, 4, 4), 0.5);
    }
}
