//! When a term counts.

use serde::{Deserialize, Serialize};

/// The part of the training in which a term counts, in shares of all steps: from `start` to `end`, rising linearly over the
/// first `ramp` of it. Two-stage distillation (TinyBERT, Jiao et al. 2020) is terms on features with `end: 0.5` and predictions
/// with `start: 0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightSchedule {
    /// Where it begins, in `[0, 1)`. Default 0.
    pub start: f64,
    /// Where it ends, in `(0, 1]`. Default 1.
    pub end: f64,
    /// How long it takes to its full weight. Default 0.
    pub ramp: f64,
}

impl Default for WeightSchedule {
    fn default() -> Self {
        Self { start: 0.0, end: 1.0, ramp: 0.0 }
    }
}

impl WeightSchedule {
    /// Whether it is the usual one. That is not written, so that checkpoints and finished stages stay valid.
    pub(in crate::distill) fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// The factor in `[0, 1]` of a term's weight after this share of the steps.
    pub fn factor(&self, progress: f64) -> f32 {
        if progress < self.start || progress >= self.end && self.end < 1.0 {
            return 0.0;
        }
        if self.ramp > 0.0 { ((progress - self.start) / self.ramp).min(1.0) as f32 } else { 1.0 }
    }

    /// What is wrong with it.
    pub(in crate::distill) fn complaint(&self) -> Option<String> {
        let Self { start, end, ramp } = *self;
        let right = (0.0..1.0).contains(&start) && end > start && end <= 1.0 && (0.0..=1.0).contains(&ramp);
        (!right).then(|| format!("start {start}, end {end}, ramp {ramp} must be shares of the training, start < end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_counts_between_its_ends_only() {
        let schedule = WeightSchedule { start: 0.25, end: 0.75, ramp: 0.25 };
        assert_eq!([0.0, 0.24, 0.75, 1.0].map(|at| schedule.factor(at)), [0.0; 4]);
        assert_eq!([0.25, 0.375, 0.5, 0.74].map(|at| schedule.factor(at)), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!([0.0, 0.5, 1.0].map(|at| WeightSchedule::default().factor(at)), [1.0; 3]);
        assert!(WeightSchedule { start: 0.5, end: 0.5, ramp: 0.0 }.complaint().is_some());
    }
}
