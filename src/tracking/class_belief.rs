//! What an object is, by all that was said about it.

use super::seconds_between;

/// Another class must have this many times the evidence of the present one to take its place: two that are nearly equal shall not
/// take turns.
const CHANGE_RATIO: f64 = 1.2;

/// Sums of scores per class, in which the past fades.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassBelief {
    evidence: Vec<f64>,
    /// What the sum would be if every score had been 1.
    weight: f64,
    class: usize,
    time: i64,
}

impl ClassBelief {
    /// The belief after one measurement; `class` must be below `classes`.
    pub fn new(classes: usize, class: usize, score: f32, time: i64) -> Self {
        let mut belief = Self { evidence: vec![0.0; classes], weight: 0.0, class, time };
        belief.add(class, score, time, 1.0);
        belief
    }

    /// Takes in one more; what is `memory` seconds older counts 37 % of it. A class beyond those known says nothing.
    pub fn add(&mut self, class: usize, score: f32, time: i64, memory: f64) {
        let fade = (-seconds_between(self.time, time).max(0.0) / memory).exp();
        self.time = self.time.max(time);
        self.weight = self.weight * fade + 1.0;
        for evidence in &mut self.evidence {
            *evidence *= fade;
        }
        if let Some(evidence) = self.evidence.get_mut(class) {
            *evidence += f64::from(score.clamp(0.0, 1.0));
        }
        let present = self.evidence.get(self.class).copied().unwrap_or(0.0);
        let better = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
        let best = self.evidence.iter().copied().enumerate().fold((self.class, present), better);
        if best.1 > CHANGE_RATIO * present {
            self.class = best.0;
        }
    }

    /// The class that most speaks for.
    pub fn class(&self) -> usize {
        self.class
    }

    /// The faded mean of the scores for that class, in `[0, 1]`.
    pub fn score(&self) -> f32 {
        (self.evidence.get(self.class).copied().unwrap_or(0.0) / self.weight).clamp(0.0, 1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: i64 = 100_000_000;

    #[test]
    fn evidence_changes_the_class_and_one_slip_does_not() {
        let mut belief = ClassBelief::new(2, 0, 0.8, 0);
        for step in 1..6 {
            belief.add(0, 0.8, step * TENTH, 3.0);
        }
        assert!((belief.score() - 0.8).abs() < 1e-6);
        belief.add(1, 0.9, 6 * TENTH, 3.0);
        assert_eq!(belief.class(), 0);
        assert!(belief.score() < 0.8);
        for step in 7..30 {
            belief.add(1, 0.9, step * TENTH, 3.0);
        }
        assert_eq!(belief.class(), 1);
    }

    #[test]
    fn nearly_equal_classes_do_not_take_turns() {
        let mut belief = ClassBelief::new(2, 0, 0.6, 0);
        let mut changes = 0;
        let mut class = belief.class();
        for step in 1..100 {
            belief.add(step % 2, 0.6, step as i64 * TENTH, 3.0);
            changes += usize::from(belief.class() != class);
            class = belief.class();
        }
        assert_eq!(changes, 0);
    }
}
