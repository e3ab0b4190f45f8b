//! Whether a detector's scores mean what they say: of all boxes with a score of 0.8, eight in ten should be right.

use serde::{Deserialize, Serialize};

/// Bins of equal width over the scores 0 to 1.
const BINS: usize = 10;
/// Scores from here on count for the calibration error. Below, detectors put out any number of boxes that are wrong and known to be;
/// that one bin would outweigh all others and make every detector look calibrated.
const FIRST_COUNTED_BIN: usize = 1;

/// Precision over recall, and calibration, of one class at IoU 0.50.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassCurve {
    /// Name of the class.
    pub class: String,
    /// The highest precision that is reached at the recalls 0.00, 0.01, ... 1.00 or more (101 values, 0 where a recall is never
    /// reached); its mean is the class's AP50.
    pub precision: Vec<f64>,
    /// How far the class's scores can be believed.
    pub calibration: Calibration,
}

/// How far scores can be believed (Guo et al. 2017, "On Calibration of Modern Neural Networks"; for detectors Kueppers et al. 2020):
/// a detection is right when it matches an object at IoU 0.50.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error, 0 at best: how far the mean score lies from the share that is right, averaged over the
    /// detections with a score of at least 0.1. `None` when there are none.
    pub ece: Option<f64>,
    /// Mean score of these less the share that is right: above 0 the scores promise too much.
    #[serde(default)]
    pub overconfidence: Option<f64>,
    /// How many these are.
    #[serde(default)]
    pub counted: usize,
    /// Ten bins by score, 0.0 to 0.1 first.
    pub bins: Vec<ReliabilityBin>,
}

/// The detections whose scores lie in one tenth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// How many there are.
    pub count: usize,
    /// Their mean score; 0 without any.
    pub mean_score: f64,
    /// The share of them that is right; 0 without any.
    pub precision: f64,
}

impl Calibration {
    /// The calibration of detections by their scores and how far they are right, from 0 to 1 (both ends, unless nobody knows for
    /// sure). Scores outside 0 to 1 go to the nearest bin.
    pub fn of(claims: impl Iterator<Item = (f32, f64)>) -> Self {
        let mut sums = [(0usize, 0.0f64, 0.0f64); BINS];
        for (score, right) in claims {
            // The cast takes what is below 0 to 0.
            let bin = ((f64::from(score) * BINS as f64) as usize).min(BINS - 1);
            sums[bin].0 += 1;
            sums[bin].1 += f64::from(score);
            sums[bin].2 += right;
        }
        let bins: Vec<ReliabilityBin> = sums
            .iter()
            .map(|&(count, score, right)| {
                let share = |sum: f64| if count > 0 { sum / count as f64 } else { 0.0 };
                ReliabilityBin { count, mean_score: share(score), precision: share(right) }
            })
            .collect();
        let counted = &bins[FIRST_COUNTED_BIN..];
        let total: usize = counted.iter().map(|bin| bin.count).sum();
        let error: f64 = counted.iter().map(|bin| bin.count as f64 * (bin.mean_score - bin.precision).abs()).sum();
        let over: f64 = counted.iter().map(|bin| bin.count as f64 * (bin.mean_score - bin.precision)).sum();
        let mean = |sum: f64| (total > 0).then(|| sum / total as f64);
        Self { ece: mean(error), overconfidence: mean(over), counted: total, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_come_true_have_no_error() {
        let claims = (0..100).map(|number| (0.75, f64::from(u8::from(number % 4 != 0))));
        let calibration = Calibration::of(claims);
        assert!(calibration.ece.unwrap().abs() < 1e-9, "{calibration:?}");
        let bin = calibration.bins[7];
        assert_eq!(bin.count, 100);
        assert!((bin.mean_score - 0.75).abs() < 1e-6 && (bin.precision - 0.75).abs() < 1e-9);
    }

    #[test]
    fn the_error_weighs_bins_by_their_detections() {
        // Three that are too sure by 0.9, one that is too modest by 0.8; 0.05 is noise that nobody counts.
        let claims = [(0.9, 0.0), (0.9, 0.0), (0.9, 0.0), (0.2, 1.0), (0.05, 0.0)];
        let calibration = Calibration::of(claims.into_iter());
        assert!((calibration.ece.unwrap() - (3.0 * 0.9 + 0.8) / 4.0).abs() < 1e-6, "{calibration:?}");
        assert!((calibration.overconfidence.unwrap() - (3.0 * 0.9 - 0.8) / 4.0).abs() < 1e-6, "{calibration:?}");
        assert_eq!((calibration.bins[0].count, calibration.counted), (1, 4));
    }

    #[test]
    fn the_ends_have_bins_and_nothing_has_no_error() {
        let calibration = Calibration::of([(1.0, 1.0), (1.5, 1.0), (-0.5, 0.0)].into_iter());
        assert_eq!((calibration.bins[9].count, calibration.bins[0].count), (2, 1));
        assert_eq!(Calibration::of(std::iter::empty()).ece, None);
    }
}
