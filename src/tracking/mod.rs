//! Which of the things seen now are those seen before, where they go and what they are.
//!
//! Each object has a Kalman filter of constant velocity in the plane of the target frame, driven by white noise acceleration
//! (Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", Wiley 2001, chapters 5 and 6);
//! height, size and yaw are smoothed. Measurements go to tracks by optimal assignment inside gates; see [`Tracker`] for the
//! rules of birth, confirmation and death and [`TrackerOptions`] for their numbers.

pub(crate) mod assignment;
mod class_belief;
mod filter_history;
mod kalman;
mod limits;
pub(crate) mod mahalanobis;
mod options;
mod profile;
#[cfg(test)]
mod tests;
mod tracked_object;
mod tracker;

use serde::{Deserialize, Serialize};

pub(crate) use limits::within;
pub use options::TrackerOptions;
pub use profile::{ClassProfile, profile_of};
pub use tracker::{Tracker, UpdateReport};

/// What saw an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The lidar alone.
    Lidar,
    /// A camera alone: size and yaw are those typical of the class.
    Camera,
    /// The lidar and a camera agree.
    Both,
}

/// One object as seen at one moment, in the target frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// Index of its class.
    pub class: usize,
    /// Confidence in `[0, 1]`.
    pub score: f32,
    /// The middle of its box in metres.
    pub position: [f64; 3],
    /// Covariance of x and y in square metres: symmetric, not negative.
    pub covariance: [[f64; 2]; 2],
    /// Length, width and height in metres.
    pub size: [f64; 3],
    /// Direction of its length in radians; half a turn makes no difference.
    pub yaw: f64,
    /// What saw it.
    pub source: Source,
}

/// One object over time, in the target frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Its identity, never used again for another object by the same tracker, from 1.
    pub id: u64,
    /// Index of the class that most evidence speaks for.
    pub class: usize,
    /// Mean score that the newest measurements give to that class (those of another class count as 0), in `[0, 1]`.
    pub score: f32,
    /// The middle of its box in metres.
    pub position: [f64; 3],
    /// Along x and y in m/s.
    pub velocity: [f64; 2],
    /// Covariance of x, y (metres) and their velocities (m/s): symmetric positive definite.
    pub covariance: [[f64; 4]; 4],
    /// Length, width and height in metres.
    pub size: [f64; 3],
    /// Direction of its length in radians in `(-pi, pi]`. Half a turn is chosen so that a moving object points where it goes;
    /// of one that only cameras saw it is the direction of motion, or 0.
    pub yaw: f64,
    /// Whether a lidar measured size and yaw; else the size is what is typical of the class.
    pub has_shape: bool,
    /// Measurements that belong to it.
    pub hits: u32,
    /// Updates since the last of them.
    pub missed: u32,
    /// When it was seen last, in nanoseconds.
    pub last_seen: i64,
    /// Whether it was seen often enough to be believed.
    pub is_confirmed: bool,
    /// What saw it last.
    pub source: Source,
}

#[cfg(test)]
impl Track {
    /// A person that stands at a place, for tests to change.
    pub(crate) fn person_at(x: f64, y: f64) -> Self {
        Self {
            id: 1,
            class: 0,
            score: 0.9,
            position: [x, y, 0.9],
            velocity: [0.0; 2],
            covariance: [[0.0; 4]; 4],
            size: [0.5, 0.5, 1.8],
            yaw: 0.0,
            has_shape: true,
            hits: 5,
            missed: 0,
            last_seen: 0,
            is_confirmed: true,
            source: Source::Lidar,
        }
    }
}

/// Seconds from one time in nanoseconds to another.
fn seconds_between(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
