//! Counts and times of a labelling.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::geometry::FusedBox;

/// A fused score from which on a box counts as confident in the statistics. It does not change the targets.
pub const CONFIDENT: f32 = 0.3;

/// What was found of one student class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassStatistics {
    /// The class.
    pub class: String,
    /// Boxes of which it is the most probable class.
    pub boxes: u64,
    /// Those among them with a fused score of at least 0.3.
    pub confident: u64,
    /// Sum of the teachers' agreement over the confident boxes.
    pub agreement_sum: f64,
}

impl ClassStatistics {
    /// Nothing found yet of each class.
    pub(super) fn none(classes: &[String]) -> Vec<Self> {
        let none = |class: &String| Self { class: class.clone(), boxes: 0, confident: 0, agreement_sum: 0.0 };
        classes.iter().map(none).collect()
    }

    /// Counts one box.
    pub(super) fn count(&mut self, fused: &FusedBox) {
        self.boxes += 1;
        if fused.score() >= CONFIDENT {
            self.confident += 1;
            self.agreement_sum += f64::from(fused.agreement);
        }
    }

    /// Adds another count of the same class.
    pub(super) fn add(&mut self, other: &Self) {
        self.boxes += other.boxes;
        self.confident += other.confident;
        self.agreement_sum += other.agreement_sum;
    }

    /// Mean agreement of the teachers over the confident boxes, in `(0, 1]`; nothing without such boxes.
    pub fn mean_agreement(&self) -> Option<f64> {
        (self.confident > 0).then(|| self.agreement_sum / self.confident as f64)
    }
}

/// How long a teacher takes for a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherLatency {
    /// The teacher's name.
    pub teacher: String,
    /// Median over the frames of pre-processing, inference and decoding together, milliseconds.
    pub median_ms: f64,
}

/// The median of some durations in milliseconds; nothing of nothing.
pub(super) fn median_ms(durations: &mut [Duration]) -> Option<f64> {
    if durations.is_empty() {
        return None;
    }
    let middle = durations.len() / 2;
    let (_, median, _) = durations.select_nth_unstable(middle);
    Some(median.as_secs_f64() * 1e3)
}
