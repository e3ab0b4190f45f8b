//! The life of one object in the tracker.

use std::{
    collections::VecDeque,
    f64::consts::{FRAC_PI_2, PI},
};

use nalgebra::{Matrix2, Vector2};

use super::{
    Measurement, Source, Track, TrackerOptions,
    class_belief::ClassBelief,
    filter_history::{Dynamics, FilterHistory},
    kalman::Innovation,
    profile_of, seconds_between,
};

/// From this speed on the direction of motion says where the front is, in m/s.
const HEADING_SPEED: f64 = 0.5;
/// Measurements that are surer than 1 cm are taken for as sure as that.
const LEAST_DEVIATION: f64 = 0.01;
/// Less sure than this is no measurement, in metres.
const MOST_DEVIATION: f64 = 100.0;
/// Nothing is farther from the origin, in metres.
const MOST_DISTANCE: f64 = 1e7;
/// Nothing is larger, in metres.
const MOST_SIZE: f64 = 100.0;

/// A measurement whose numbers were found to make sense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation<'m> {
    pub measurement: &'m Measurement,
    pub position: Vector2<f64>,
    pub noise: Matrix2<f64>,
}

impl<'m> Observation<'m> {
    /// `None` when a number is not finite, the class unknown, the size not positive or the covariance not one.
    pub fn of(measurement: &'m Measurement, classes: usize) -> Option<Self> {
        let within = |value: f64, most: f64| value.is_finite() && value.abs() <= most;
        let sound = measurement.class < classes
            && measurement.score.is_finite()
            && measurement.yaw.is_finite()
            && measurement.position.iter().all(|&value| within(value, MOST_DISTANCE))
            && measurement.size.iter().all(|&side| side > 0.0 && within(side, MOST_SIZE));
        if !sound {
            return None;
        }
        let noise = noise_of(measurement.covariance)?;
        let position = Vector2::new(measurement.position[0], measurement.position[1]);
        Some(Self { measurement, position, noise })
    }
}

/// The covariance, made symmetric and at least [`LEAST_DEVIATION`] wide to every side; `None` when it is none.
fn noise_of(covariance: [[f64; 2]; 2]) -> Option<Matrix2<f64>> {
    let [[xx, xy], [yx, yy]] = covariance;
    let most = MOST_DEVIATION * MOST_DEVIATION;
    if ![xx, xy, yx, yy].iter().all(|value| value.is_finite() && value.abs() <= most) {
        return None;
    }
    let cross = (xy + yx) / 2.0;
    // The smaller eigenvalue of a symmetric matrix of two rows.
    let smaller = (xx + yy) / 2.0 - ((xx - yy) / 2.0).hypot(cross);
    if xx < 0.0 || yy < 0.0 || smaller < -1e-9 * (xx + yy) {
        return None;
    }
    let lift = (LEAST_DEVIATION * LEAST_DEVIATION - smaller).max(0.0);
    Some(Matrix2::new(xx + lift, cross, cross, yy + lift))
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct TrackedObject {
    id: u64,
    motion: FilterHistory,
    belief: ClassBelief,
    height: f64,
    size: [f64; 3],
    yaw: f64,
    /// Whether anything but a camera measured size and yaw; else they are what is typical of the class.
    has_shape: bool,
    hits: u32,
    missed: u32,
    /// Updates in a row that missed it where it was in view.
    visible_missed: u32,
    /// The newest hits, as many as a confirmation may need.
    recent: VecDeque<i64>,
    /// The oldest hit.
    first_seen: i64,
    /// Whether a lidar should have seen it and did not.
    is_doubted: bool,
    last_seen: i64,
    is_confirmed: bool,
    source: Source,
}

impl TrackedObject {
    /// A new object out of one measurement.
    pub fn born(id: u64, time: i64, observation: &Observation<'_>, classes: usize, options: &TrackerOptions) -> Self {
        let measurement = observation.measurement;
        let profile = profile_of(&options.profiles, measurement.class);
        Self {
            id,
            motion: FilterHistory::start(time, observation.position, observation.noise, Dynamics::of(&profile)),
            belief: ClassBelief::new(classes, measurement.class, measurement.score, time),
            height: measurement.position[2],
            size: measurement.size,
            yaw: axis(measurement.yaw),
            has_shape: measurement.source != Source::Camera,
            hits: 1,
            missed: 0,
            visible_missed: 0,
            recent: VecDeque::from([time]),
            first_seen: time,
            is_doubted: false,
            last_seen: time,
            is_confirmed: options.confirm_hits <= 1,
            source: measurement.source,
        }
    }

    /// Index of its class.
    pub fn class(&self) -> usize {
        self.belief.class()
    }

    /// Whether it was seen often enough to be believed.
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// How a measurement of `time` differs from what is expected of this object by what was measured up to then.
    pub fn innovation(&self, observation: &Observation<'_>, time: i64, options: &TrackerOptions) -> Option<Innovation> {
        let filter = self.motion.expected(time, self.dynamics(options));
        filter.innovation(&observation.position, &observation.noise)
    }

    /// Takes in a measurement of `time`, which may be older than the newest.
    pub fn hit(&mut self, observation: &Observation<'_>, time: i64, options: &TrackerOptions) {
        let measurement = observation.measurement;
        let dynamics = self.dynamics(options);
        self.motion.insert(time, observation.position, observation.noise, dynamics, options.late_seconds);
        self.last_seen = self.last_seen.max(time);
        self.first_seen = self.first_seen.min(time);
        self.hits = self.hits.saturating_add(1);
        self.missed = 0;
        self.visible_missed = 0;
        self.belief.add(measurement.class, measurement.score, time, options.class_memory);
        self.see_shape(measurement, options.shape_share);
        self.source = measurement.source;
        self.recent.push_back(time);
        while self.recent.len() > options.confirm_hits.max(options.doubted_hits) as usize {
            self.recent.pop_front();
        }
        self.is_confirmed |= self.has_evidence(options);
    }

    /// Whether the newest hits are enough to believe in it.
    fn has_evidence(&self, options: &TrackerOptions) -> bool {
        let needed = if self.is_doubted && !self.has_shape {
            options.confirm_hits.max(options.doubted_hits)
        } else {
            options.confirm_hits
        };
        let window = options.confirm_window * f64::from(needed) / f64::from(options.confirm_hits);
        // Late measurements stand out of order.
        let newest = || self.recent.iter().rev().take(needed as usize).copied();
        let (Some(first), Some(last)) = (newest().min(), newest().max()) else { return false };
        self.recent.len() >= needed as usize && seconds_between(first, last) <= window
    }

    fn see_shape(&mut self, measurement: &Measurement, share: f64) {
        self.height += share * (measurement.position[2] - self.height);
        let is_typical = measurement.source == Source::Camera;
        if !self.has_shape {
            self.size = measurement.size;
            self.yaw = axis(measurement.yaw);
            self.has_shape = !is_typical;
        } else if !is_typical {
            for (side, measured) in self.size.iter_mut().zip(measurement.size) {
                *side += share * (measured - *side);
            }
            self.yaw = axis(self.yaw + share * axis(measurement.yaw - self.yaw));
        }
    }

    /// Takes in that an update did not see it.
    pub fn miss(&mut self, is_in_view: bool) {
        self.missed = self.missed.saturating_add(1);
        if is_in_view {
            self.visible_missed = self.visible_missed.saturating_add(1);
        }
    }

    /// Takes in that a lidar did not see it at `time`, where it should have. Of what a lidar saw before, and of a time when nobody had
    /// seen it, that says nothing.
    pub fn doubt(&mut self, time: i64) {
        self.is_doubted |= !self.has_shape && time >= self.first_seen;
    }

    /// Whether it is to be kept at `time`.
    pub fn is_alive(&self, time: i64, options: &TrackerOptions) -> bool {
        let unseen = seconds_between(self.last_seen, time);
        let longest = if self.is_confirmed { options.max_missed_seconds } else { options.tentative_missed_seconds };
        let is_gone = self.visible_missed >= options.visible_misses && unseen >= options.visible_missed_seconds;
        unseen <= longest && !is_gone
    }

    /// Where the middle of its box is at `time`, in metres.
    pub fn position(&self, time: i64) -> [f64; 3] {
        let (newest, filter) = self.motion.newest();
        let seconds = seconds_between(newest, time);
        let state = &filter.state;
        [state[0] + seconds * state[2], state[1] + seconds * state[3], self.height]
    }

    fn dynamics(&self, options: &TrackerOptions) -> Dynamics {
        Dynamics::of(&profile_of(&options.profiles, self.class()))
    }

    /// What is known of it at `time`.
    pub fn track(&self, time: i64, options: &TrackerOptions) -> Track {
        let (newest, filter) = self.motion.newest();
        let filter = filter.at(seconds_between(newest, time), self.dynamics(options).density);
        let (state, p) = (&filter.state, &filter.covariance);
        let row = |row: usize| [p[(row, 0)], p[(row, 1)], p[(row, 2)], p[(row, 3)]];
        Track {
            id: self.id,
            class: self.class(),
            score: self.belief.score(),
            position: [state[0], state[1], self.height],
            velocity: [state[2], state[3]],
            covariance: [row(0), row(1), row(2), row(3)],
            size: self.size,
            yaw: self.heading(state[2], state[3]),
            has_shape: self.has_shape,
            hits: self.hits,
            missed: self.missed,
            last_seen: self.last_seen,
            is_confirmed: self.is_confirmed,
            source: self.source,
        }
    }

    /// The yaw, turned to the front where the motion tells it.
    fn heading(&self, along_x: f64, along_y: f64) -> f64 {
        let is_moving = along_x.hypot(along_y) >= HEADING_SPEED;
        let motion = along_y.atan2(along_x);
        match (self.has_shape, is_moving) {
            (true, true) if (self.yaw - motion).cos() < 0.0 => {
                if self.yaw > 0.0 {
                    self.yaw - PI
                } else {
                    self.yaw + PI
                }
            }
            (true, _) => self.yaw,
            (false, true) => motion,
            (false, false) => 0.0,
        }
    }
}

/// An angle in `(-pi/2, pi/2]` that differs by half turns only.
fn axis(angle: f64) -> f64 {
    let turned = angle.rem_euclid(PI);
    if turned > FRAC_PI_2 { turned - PI } else { turned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_turns_make_no_difference() {
        for (angle, expected) in [(0.3, 0.3), (PI - 0.2, -0.2), (-PI + 0.2, 0.2), (7.0 * PI + 1.0, 1.0)] {
            assert!((axis(angle) - expected).abs() < 1e-9, "{angle}");
        }
    }

    #[test]
    fn covariances_are_lifted_or_refused() {
        let flat = noise_of([[1.0, 0.0], [0.0, 0.0]]).unwrap();
        assert!(flat[(1, 1)] >= 0.99e-4 && flat.determinant() > 0.0);
        let kept = noise_of([[0.04, 0.01], [0.01, 0.09]]).unwrap();
        assert_eq!((kept[(0, 0)], kept[(0, 1)], kept[(1, 1)]), (0.04, 0.01, 0.09));
        for wrong in [
            [[-1.0, 0.0], [0.0, 1.0]],
            [[1.0, 2.0], [2.0, 1.0]],
            [[f64::NAN, 0.0], [0.0, 1.0]],
            [[1e9, 0.0], [0.0, 1.0]],
        ] {
            assert_eq!(noise_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_long_thing_points_where_it_goes() {
        let measurement = Measurement {
            class: 0,
            score: 0.9,
            position: [0.0, 0.0, 1.0],
            covariance: [[0.01, 0.0], [0.0, 0.01]],
            size: [2.5, 1.2, 2.0],
            yaw: 0.1,
            source: Source::Lidar,
        };
        let options = TrackerOptions::default();
        let observation = Observation::of(&measurement, 1).unwrap();
        let object = TrackedObject::born(1, 0, &observation, 1, &options);
        assert!((object.heading(1.0, 0.0) - 0.1).abs() < 1e-9);
        assert!((object.heading(-1.0, 0.0) - (0.1 - PI)).abs() < 1e-9);
        assert!((object.heading(-0.1, 0.0) - 0.1).abs() < 1e-9);
    }
}
