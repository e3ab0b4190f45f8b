//! How people, forklifts and the robot move: every place is a function of time alone.

use std::f32::consts::PI;

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::route::Route;
use super::vector::{Pose, Vec3};

/// Lateral position of the robot's lane (right of the middle), in metres.
pub const ROBOT_LANE: f32 = -0.95;
/// Lateral position of the oncoming lane.
const ONCOMING_LANE: f32 = 1.0;

/// How something moves.
#[derive(Debug, Clone, Copy)]
pub enum Motion {
    /// Stays where it is, swaying by `sway` radians.
    Stand {
        /// Where.
        pose: Pose,
        /// Amplitude of the turning to and fro.
        sway: f32,
    },
    /// To and fro between two points.
    Shuttle {
        /// One end.
        from: Vec3,
        /// The other end.
        to: Vec3,
        /// Metres per second.
        speed: f32,
        /// Metres already gone at the start.
        offset: f32,
        /// Turns around at the ends, instead of backing up.
        turns: bool,
    },
    /// Along the route against the robot's direction.
    Oncoming {
        /// Place on the route at the start.
        start: f32,
        /// Metres per second.
        speed: f32,
    },
    /// Ahead of the robot in its lane, at a distance that swings.
    Leading {
        /// Mean distance ahead, in metres.
        gap: f32,
        /// How much the distance varies.
        swing: f32,
        /// Radians per second of that variation.
        pace: f32,
    },
}

/// The robot's own way along the route.
#[derive(Debug, Clone, Copy)]
pub struct Drive {
    start: f32,
    speed: f32,
    weave: f32,
}

impl Drive {
    /// Some way, at a pace of its own.
    pub fn new(rng: &mut Pcg64Mcg, route: &Route) -> Self {
        Self {
            start: rng.random_range(0.0..route.length()),
            speed: rng.random_range(0.9..1.3),
            weave: rng.random_range(0.02..0.08),
        }
    }

    /// Metres along the route at `time` seconds.
    pub fn along(&self, time: f32) -> f32 {
        self.start + self.speed * time + 0.5 * (0.35 * time).sin()
    }

    /// The robot's base at `time` seconds, on the floor, x forwards.
    pub fn pose(&self, route: &Route, time: f32) -> Pose {
        let pose = route.pose(self.along(time), ROBOT_LANE + 0.1 * (0.23 * time).sin());
        Pose::yawed(pose.origin, pose.yaw() + self.weave * (0.6 * time).sin())
    }
}

impl Motion {
    /// Where it is at `time`, and how many metres it has gone.
    pub fn at(&self, time: f32, route: &Route, drive: &Drive) -> (Pose, f32) {
        match *self {
            Self::Stand { pose, sway } => {
                (Pose::yawed(pose.origin, pose.yaw() + sway * (0.5 * time + pose.origin.x).sin()), 0.0)
            }
            Self::Shuttle { from, to, speed, offset, turns } => shuttle(from, to, offset + speed * time, turns),
            Self::Oncoming { start, speed } => {
                let pose = route.pose(start - speed * time, ONCOMING_LANE);
                (Pose::yawed(pose.origin, pose.yaw() + PI), speed * time)
            }
            Self::Leading { gap, swing, pace } => {
                let ahead = gap + swing * (pace * time + gap).sin();
                let along = drive.along(time) + ahead;
                (route.pose(along, ROBOT_LANE), along)
            }
        }
    }
}

/// Metres before and after an end within which a walker turns around.
const TURNING: f32 = 0.35;

fn shuttle(from: Vec3, to: Vec3, gone: f32, turns: bool) -> (Pose, f32) {
    let way = to - from;
    let length = way.length();
    let lap = gone.rem_euclid(2.0 * length);
    let place = if lap < length { lap } else { 2.0 * length - lap };
    let origin = from + way * (place / length);
    let mut yaw = way.y.atan2(way.x);
    if turns {
        // Half a turn around each end; anticlockwise both times.
        let smooth = |x: f32| {
            let x = ((x + TURNING) / (2.0 * TURNING)).clamp(0.0, 1.0);
            PI * x * x * (3.0 - 2.0 * x)
        };
        yaw += smooth(lap - length) + smooth(lap - 2.0 * length) + smooth(lap) - PI;
    }
    (Pose::yawed(origin, yaw), gone)
}

#[cfg(test)]
mod tests {
    use super::super::vector::vec3;
    use super::*;

    #[test]
    fn a_walker_faces_where_it_walks_and_turns_around_without_a_jump() {
        let (from, to) = (vec3(0.0, 0.0, 0.0), vec3(5.0, 0.0, 0.0));
        let mut last = shuttle(from, to, 0.0, true).0;
        for step in 1..4000 {
            let gone = step as f32 * 0.01;
            let (pose, _) = shuttle(from, to, gone, true);
            assert!(pose.axes[0].dot(last.axes[0]) > 0.98, "jump at {gone}");
            let to_end = pose.origin.x.min(5.0 - pose.origin.x);
            if to_end > TURNING + 0.02 {
                let moved = (pose.origin - last.origin).normalized();
                assert!(moved.dot(pose.axes[0]) > 0.99, "backwards at {gone}");
            }
            last = pose;
        }
    }
}
