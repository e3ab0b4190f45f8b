//! The learning rate: a linear warm-up, then half a cosine (SGDR, Loshchilov and Hutter 2017, without restarts).

use crate::distill::config::TrainConfig;

/// The learning rate of each step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    highest: f64,
    final_share: f64,
    warmup: usize,
    steps: usize,
}

impl Schedule {
    /// The schedule of a run of `steps` steps.
    pub fn new(config: &TrainConfig, steps: usize) -> Self {
        Self {
            highest: config.learning_rate,
            final_share: config.final_share,
            warmup: config.warmup_steps.min(steps / 5),
            steps,
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.highest * (step + 1) as f64 / self.warmup as f64;
        }
        let rest = (self.steps - self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / rest).min(1.0);
        let share = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.highest * (self.final_share + (1.0 - self.final_share) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_the_final_share() {
        let config = TrainConfig { learning_rate: 1.0, final_share: 0.1, warmup_steps: 10, ..TrainConfig::default() };
        let schedule = Schedule::new(&config, 100);
        assert!((schedule.at(0) - 0.1).abs() < 1e-12);
        assert!((schedule.at(9) - 1.0).abs() < 1e-12);
        assert!((schedule.at(55) - 0.55).abs() < 1e-12);
        assert!((schedule.at(100) - 0.1).abs() < 1e-12);
        for step in 10..99 {
            assert!(schedule.at(step) >= schedule.at(step + 1));
        }
    }

    #[test]
    fn short_runs_warm_up_in_a_fifth() {
        let config = TrainConfig { learning_rate: 1.0, warmup_steps: 100, ..TrainConfig::default() };
        assert_eq!(Schedule::new(&config, 10).warmup, 2);
        assert!(Schedule::new(&config, 1).at(0) > 0.9);
    }
}
