//! Whether scores are what they say: of boxes with a score of 0.7 seven in ten should be right.

use serde::{Deserialize, Serialize};

const BINS: usize = 10;

/// Reliability of a detector's scores (Guo et al., "On calibration of modern neural networks", ICML 2017).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Boxes that could be judged.
    pub boxes: usize,
    /// Expected calibration error: over the bins the mean distance between score and share of right boxes, each bin weighted by its
    /// boxes; 0 is perfect.
    pub ece: Option<f64>,
    /// Mean score less the share of right boxes: above 0 the scores promise too much.
    pub overconfidence: Option<f64>,
    /// Ten bins of equal width over the scores.
    pub bins: Vec<ReliabilityBin>,
}

/// The boxes whose score lies in one tenth of the range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lowest score.
    pub from: f64,
    /// Scores stay below this; 1 itself is in the last bin.
    pub to: f64,
    /// Boxes in it.
    pub boxes: usize,
    /// Their mean score.
    pub mean_score: Option<f64>,
    /// Share of them that is right.
    pub right: Option<f64>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    boxes: usize,
    scores: f64,
    right: f64,
}

impl Sums {
    fn mean(&self, sum: f64) -> Option<f64> {
        (self.boxes > 0).then(|| sum / self.boxes as f64)
    }
}

impl Calibration {
    /// From boxes, each with its score in `[0, 1]` and how far it is right, likewise.
    pub fn of(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut sums = [Sums::default(); BINS];
        let mut all = Sums::default();
        for (score, right) in points {
            let bin = ((score * BINS as f64) as usize).min(BINS - 1);
            for sums in [&mut sums[bin], &mut all] {
                sums.boxes += 1;
                sums.scores += score;
                sums.right += right;
            }
        }
        let distances: f64 = sums.iter().map(|bin| (bin.scores - bin.right).abs()).sum();
        let bins = sums.iter().enumerate().map(|(index, sums)| ReliabilityBin {
            from: index as f64 / BINS as f64,
            to: (index + 1) as f64 / BINS as f64,
            boxes: sums.boxes,
            mean_score: sums.mean(sums.scores),
            right: sums.mean(sums.right),
        });
        Self {
            boxes: all.boxes,
            ece: all.mean(distances),
            overconfidence: all.mean(all.scores - all.right),
            bins: bins.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 boxes a bin, of which so many are right.
    fn points(right: impl Fn(usize) -> usize) -> Vec<(f64, f64)> {
        let bin = |bin: usize| {
            let right = right(bin);
            (0..100).map(move |index| (bin as f64 / 10.0 + 0.05, if index < right { 1.0 } else { 0.0 }))
        };
        (0..10).flat_map(bin).collect()
    }

    #[test]
    fn scores_that_are_what_they_say_have_no_error() {
        let calibration = Calibration::of(points(|bin| 10 * bin + 5));
        assert!(calibration.ece.unwrap() < 1e-9, "{calibration:?}");
        assert_eq!(calibration.boxes, 1000);
        assert!(calibration.bins.iter().all(|bin| bin.boxes == 100 && bin.to > bin.from));
    }

    #[test]
    fn promises_that_are_too_high_show() {
        // Half of each bin is right: |0.05 - 0.5| ... |0.95 - 0.5|, mean 0.25, above and below alike.
        let calibration = Calibration::of(points(|_| 50));
        assert!((calibration.ece.unwrap() - 0.25).abs() < 1e-9, "{calibration:?}");
        assert!(calibration.overconfidence.unwrap().abs() < 1e-9);
        let calibration = Calibration::of([(1.0, 0.0), (1.0, 0.5)]);
        assert_eq!((calibration.ece, calibration.overconfidence), (Some(0.75), Some(0.75)));
        assert_eq!(calibration.bins[9].boxes, 2);
        assert_eq!(Calibration::of([]).ece, None);
    }
}
