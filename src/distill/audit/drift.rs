//! Whether a teacher changes over a recording's time.

use serde::{Deserialize, Serialize};

use super::{AuditOptions, evidence::Evidence};
use crate::distill::targets::TargetSet;

/// Slices of a recording's time.
const SLICES: usize = 20;
/// Fewer slices than this make no trend.
const FEWEST_POINTS: usize = 5;

/// One teacher over one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingDrift {
    /// The recording, an index into the audit's `recordings`.
    pub source: usize,
    /// Its time in 20 equal slices; slices without frames are left out.
    pub slices: Vec<TimeSlice>,
    /// How the mean score of the boxes that the teacher stands by changes.
    pub score: Option<Trend>,
    /// How the count of these boxes in a frame changes. The scene may change as well.
    pub count: Option<Trend>,
    /// How this count changes beside those of the other teachers, class by class that both know: what the scene does meets all.
    pub excess: Option<Trend>,
}

/// A twentieth of a recording's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeSlice {
    /// Which one, from 0.
    pub slice: usize,
    /// Frames in it.
    pub frames: usize,
    /// Boxes in a frame that the teacher stands by.
    pub boxes_per_frame: f64,
    /// Their mean score.
    pub mean_score: Option<f64>,
    /// Boxes in a frame above the other teachers' mean, over the classes that both know; `None` without other teachers.
    pub excess: Option<f64>,
}

/// A straight line through the slices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Change from the recording's beginning to its end.
    pub change: f64,
    /// Standard error of the change.
    pub standard_error: f64,
}

impl Trend {
    /// The least-squares line through points over a time from 0 to 1; `None` for less than five.
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        if points.len() < FEWEST_POINTS {
            return None;
        }
        let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
        let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let change = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
        let rest: f64 = points.iter().map(|(x, y)| (y - mean_y - change * (x - mean_x)).powi(2)).sum();
        Some(Self { change, standard_error: (rest / (count - 2.0) / spread).sqrt() })
    }

    /// The change in units of its standard error; a line without any scatter counts as certain.
    pub fn standard_errors(&self) -> f64 {
        if self.change == 0.0 { 0.0 } else { self.change.abs() / self.standard_error.max(1e-9) }
    }
}

/// What one teacher stood by in one slice.
#[derive(Clone)]
struct Sums {
    scores: f64,
    per_class: Vec<usize>,
}

/// Per teacher and recording, of the boxes of one class or of all.
pub(super) fn drift(
    targets: &TargetSet,
    evidence: &[Evidence],
    class: Option<usize>,
    options: AuditOptions,
) -> Vec<Vec<RecordingDrift>> {
    let mut drift: Vec<Vec<RecordingDrift>> = vec![Vec::new(); evidence.len()];
    for source in 0..targets.sources.len() {
        let slice_of = slices(targets, source);
        let mut frames = [0usize; SLICES];
        for slice in slice_of.iter().flatten() {
            frames[*slice] += 1;
        }
        let sums: Vec<Vec<Sums>> = evidence
            .iter()
            .map(|own| {
                let mut sums = vec![Sums { scores: 0.0, per_class: vec![0; targets.classes.len()] }; SLICES];
                for claim in own.stood_by(class, options) {
                    if let Some(slice) = slice_of[claim.frame] {
                        sums[slice].scores += f64::from(claim.score);
                        sums[slice].per_class[claim.class] += 1;
                    }
                }
                sums
            })
            .collect();
        for (teacher, drift) in drift.iter_mut().enumerate() {
            let slices: Vec<TimeSlice> = (0..SLICES)
                .filter(|&slice| frames[slice] > 0)
                .map(|slice| time_slice(slice, frames[slice], teacher, &sums, evidence, class))
                .collect();
            drift.push(RecordingDrift {
                source,
                score: trend(&slices, |slice| slice.mean_score),
                count: trend(&slices, |slice| Some(slice.boxes_per_frame)),
                excess: trend(&slices, |slice| slice.excess),
                slices,
            });
        }
    }
    drift
}

/// Per frame of the targets the slice of its recording's time, `None` for those of other recordings.
fn slices(targets: &TargetSet, source: usize) -> Vec<Option<usize>> {
    let own = || targets.frames.iter().filter(move |frame| frame.source as usize == source);
    let first = own().map(|frame| frame.stamp).min().unwrap_or(0);
    let last = own().map(|frame| frame.stamp).max().unwrap_or(0);
    // In 128 bits: stamps may be anything.
    let duration = i128::from(last) - i128::from(first) + 1;
    targets
        .frames
        .iter()
        .map(|frame| {
            let since = i128::from(frame.stamp) - i128::from(first);
            (frame.source as usize == source).then(|| (since * SLICES as i128 / duration) as usize)
        })
        .collect()
}

fn time_slice(
    slice: usize,
    frames: usize,
    teacher: usize,
    sums: &[Vec<Sums>],
    evidence: &[Evidence],
    class: Option<usize>,
) -> TimeSlice {
    let own = &sums[teacher][slice];
    let boxes: usize = own.per_class.iter().sum();
    let mut differences = Vec::new();
    for (other, of_other) in sums.iter().enumerate() {
        let shared: Vec<usize> = (0..own.per_class.len())
            .filter(|&known| class.is_none_or(|class| known == class))
            .filter(|&class| evidence[teacher].knows[class] && evidence[other].knows[class])
            .collect();
        if other != teacher && !shared.is_empty() {
            let count = |sums: &Sums| shared.iter().map(|&class| sums.per_class[class] as f64).sum::<f64>();
            differences.push((count(own) - count(&of_other[slice])) / frames as f64);
        }
    }
    TimeSlice {
        slice,
        frames,
        boxes_per_frame: boxes as f64 / frames as f64,
        mean_score: (boxes > 0).then(|| own.scores / boxes as f64),
        excess: super::evidence::mean(differences.into_iter()),
    }
}

fn trend(slices: &[TimeSlice], value: impl Fn(&TimeSlice) -> Option<f64>) -> Option<Trend> {
    let middle = |slice: &TimeSlice| (slice.slice as f64 + 0.5) / SLICES as f64;
    let points: Vec<(f64, f64)> =
        slices.iter().filter_map(|slice| value(slice).map(|value| (middle(slice), value))).collect();
    Trend::through(&points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_with_its_error() {
        let line = |noise: f64| -> Vec<(f64, f64)> {
            (0..20).map(|i| (f64::from(i) / 19.0, 1.0 - 0.4 * f64::from(i) / 19.0 + noise * f64::from(i % 2))).collect()
        };
        let exact = Trend::through(&line(0.0)).unwrap();
        assert!((exact.change + 0.4).abs() < 1e-9 && exact.standard_errors() > 1e6, "{exact:?}");
        let noisy = Trend::through(&line(0.5)).unwrap();
        assert!((noisy.change + 0.4).abs() < 0.1 && noisy.standard_errors() < 3.0, "{noisy:?}");
        assert_eq!(Trend::through(&[(0.0, 1.0); 4]), None);
        assert_eq!(Trend::through(&[(0.5, 1.0); 9]), None);
        let flat = Trend::through(&[(0.0, 1.0), (0.2, 1.0), (0.4, 1.0), (0.6, 1.0), (1.0, 1.0)]).unwrap();
        assert!(flat.standard_errors() == 0.0, "{flat:?}");
    }
}
