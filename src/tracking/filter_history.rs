//! The filter of one object with its newest measurements, so that one that comes late can be put in its place.
//!
//! Measurements out of sequence are filtered again in order. That is exact; the retrodiction of Bar-Shalom, "Update with
//! out-of-sequence measurements in tracking: exact solution", IEEE Trans. Aerospace and Electronic Systems 38(3), 2002, needs less
//! memory and is exact for one step only, and its simple forms, which leave out what late noise and state have in common, gave
//! covariances that were 5 % too small with a camera 0.15 s behind a lidar.

use std::collections::VecDeque;

use nalgebra::{Matrix2, Vector2};

use super::{ClassProfile, kalman::KalmanFilter, seconds_between};

/// Measurements kept at most; two sensors of 40 Hz give 24 within 0.3 s.
const MOST_STEPS: usize = 64;

/// How an object moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dynamics {
    /// Power spectral density of acceleration in m²/s³.
    pub density: f64,
    /// Standard deviation of a new object's velocity along each axis, in m/s.
    pub speed_deviation: f64,
}

impl Dynamics {
    /// Those of a class.
    pub fn of(profile: &ClassProfile) -> Self {
        Self { density: profile.acceleration, speed_deviation: profile.max_speed / 2.0 }
    }
}

/// One measurement and the filter after it.
#[derive(Debug, Clone, Copy)]
struct Step {
    time: i64,
    position: Vector2<f64>,
    noise: Matrix2<f64>,
    filter: KalmanFilter,
}

/// The newest steps of one object, at least one, in the order of time.
#[derive(Debug, Clone)]
pub(super) struct FilterHistory {
    steps: VecDeque<Step>,
    /// Whether the first step is the object's first.
    has_birth: bool,
}

impl FilterHistory {
    /// The history of a new object.
    pub fn start(time: i64, position: Vector2<f64>, noise: Matrix2<f64>, dynamics: Dynamics) -> Self {
        let filter = KalmanFilter::start(position, &noise, dynamics.speed_deviation);
        Self { steps: VecDeque::from([Step { time, position, noise, filter }]), has_birth: true }
    }

    /// The time of the newest measurement and the filter after it.
    pub fn newest(&self) -> (i64, &KalmanFilter) {
        let step = &self.steps[self.steps.len() - 1];
        (step.time, &step.filter)
    }

    /// The filter at `time` by the measurements up to then; before the first by a look back from there.
    pub fn expected(&self, time: i64, dynamics: Dynamics) -> KalmanFilter {
        let step = &self.steps[self.place_of(time).saturating_sub(1)];
        step.filter.at(seconds_between(step.time, time), dynamics.density)
    }

    /// Takes in a measurement of any time and filters those after it again, then forgets what is more than `keep` seconds older
    /// than the newest, but for one. A measurement of a time that was forgotten changes nothing.
    pub fn insert(&mut self, time: i64, position: Vector2<f64>, noise: Matrix2<f64>, dynamics: Dynamics, keep: f64) {
        let first = self.place_of(time);
        if first == 0 && !self.has_birth {
            return;
        }
        let filter = KalmanFilter::start(position, &noise, dynamics.speed_deviation);
        self.steps.insert(first, Step { time, position, noise, filter });
        for place in first..self.steps.len() {
            let step = self.steps[place];
            let before = place.checked_sub(1).map(|place| self.steps[place]);
            let updated = before.and_then(|before| {
                let filter = before.filter.at(seconds_between(before.time, step.time), dynamics.density);
                filter.innovation(&step.position, &step.noise).and_then(|innovation| filter.updated(&innovation))
            });
            // The first starts; rounding can spoil another only with numbers far from any robot's, and to start anew is honest then.
            let started = KalmanFilter::start(step.position, &step.noise, dynamics.speed_deviation);
            self.steps[place].filter = updated.unwrap_or(started);
        }
        let (newest, _) = self.newest();
        while self.steps.len() > MOST_STEPS
            || self.steps.get(1).is_some_and(|second| seconds_between(second.time, newest) >= keep)
        {
            self.steps.pop_front();
            self.has_birth = false;
        }
    }

    /// How many steps are not after `time`.
    fn place_of(&self, time: i64) -> usize {
        self.steps.partition_point(|step| step.time <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DYNAMICS: Dynamics = Dynamics { density: 0.5, speed_deviation: 1.0 };
    const TENTH: i64 = 100_000_000;

    fn noise() -> Matrix2<f64> {
        Matrix2::new(0.01, 0.002, 0.002, 0.02)
    }

    fn place(step: i64) -> Vector2<f64> {
        Vector2::new(0.12 * step as f64, 0.03 * (step * step) as f64)
    }

    fn fed(order: &[i64], keep: f64) -> FilterHistory {
        let mut history = FilterHistory::start(order[0] * TENTH, place(order[0]), noise(), DYNAMICS);
        for &step in &order[1..] {
            history.insert(step * TENTH, place(step), noise(), DYNAMICS, keep);
        }
        history
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let in_order = fed(&[0, 1, 2, 3, 4], 10.0);
        for order in [[0, 2, 1, 4, 3], [4, 3, 2, 1, 0], [1, 0, 3, 4, 2]] {
            let (time, filter) = (fed(&order, 10.0).newest().0, *fed(&order, 10.0).newest().1);
            assert_eq!(time, 4 * TENTH);
            assert!((filter.state - in_order.newest().1.state).norm() < 1e-9, "{order:?}");
            assert!((filter.covariance - in_order.newest().1.covariance).norm() < 1e-9, "{order:?}");
        }
    }

    #[test]
    fn the_past_is_forgotten_and_then_refused() {
        let steps: Vec<i64> = (0..50).collect();
        let mut history = fed(&steps, 0.3);
        // 46 to 49 lie within 0.3 s, and one step before is where they start from.
        assert!(history.steps.len() <= 5, "{}", history.steps.len());
        let before = *history.newest().1;
        history.insert(10 * TENTH, Vector2::new(99.0, 99.0), noise(), DYNAMICS, 0.3);
        assert_eq!(*history.newest().1, before);
        history.insert(47 * TENTH, place(47), noise(), DYNAMICS, 0.3);
        assert!(history.newest().1.covariance[(0, 0)] < before.covariance[(0, 0)]);
    }

    #[test]
    fn many_measurements_of_one_moment_are_bounded() {
        let history = fed(&[3; 500], 1.0);
        assert_eq!(history.steps.len(), MOST_STEPS);
        assert!(history.newest().1.is_sound());
    }

    #[test]
    fn what_is_expected_comes_from_the_measurements_before() {
        let history = fed(&[0, 1, 2, 3], 10.0);
        let expected = history.expected(TENTH + TENTH / 2, DYNAMICS);
        let known = fed(&[0, 1], 10.0).newest().1.at(0.05, DYNAMICS.density);
        assert!((expected.state - known.state).norm() < 1e-12);
        assert!(history.expected(-TENTH, DYNAMICS).is_sound());
    }
}
