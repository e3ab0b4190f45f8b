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
/// Metres between neighbours of [`Motion::places`].
const STEP: f32 = 0.1;

/// From 0 to `length` in steps of [`STEP`].
fn steps(length: f32) -> impl Iterator<Item = f32> {
    (0..=(length / STEP) as u32).map(|step| step as f32 * STEP)
}

/// Places all along the robot's lane.
pub fn robot_lane(route: &Route) -> Vec<Pose> {
    steps(route.length()).map(|along| route.pose(along, ROBOT_LANE)).collect()
}

/// Somebody's place in the oncoming lane, facing against the robot's direction.
fn oncoming(route: &Route, along: f32) -> Pose {
    let pose = route.pose(along, ONCOMING_LANE);
    Pose::yawed(pose.origin, pose.yaw() + PI)
}

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
    /// Metres along the route at the start.
    pub start: f32,
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
    /// Where it is at `time`, and how many metres it has gone; backing up takes metres away.
    pub fn at(&self, time: f32, route: &Route, drive: &Drive) -> (Pose, f32) {
        match *self {
            Self::Stand { pose, sway } => {
                (Pose::yawed(pose.origin, pose.yaw() + sway * (0.5 * time + pose.origin.x).sin()), 0.0)
            }
            Self::Shuttle { from, to, speed, offset, turns } => shuttle(from, to, offset + speed * time, turns),
            Self::Oncoming { start, speed } => (oncoming(route, start - speed * time), speed * time),
            Self::Leading { gap, swing, pace } => {
                let ahead = gap + swing * (pace * time + gap).sin();
                let along = drive.along(time) + ahead;
                (route.pose(along, ROBOT_LANE), along)
            }
        }
    }

    /// All places where it ever is, each within a few centimetres of one of these.
    pub fn places(&self, route: &Route) -> Vec<Pose> {
        match *self {
            Self::Stand { pose, sway } => {
                let turned = |share: f32| Pose::yawed(pose.origin, pose.yaw() + sway * share);
                [-1.0, -0.5, 0.0, 0.5, 1.0].map(turned).to_vec()
            }
            Self::Shuttle { from, to, turns, .. } => {
                steps(2.0 * (to - from).length()).map(|gone| shuttle(from, to, gone, turns).0).collect()
            }
            Self::Oncoming { .. } => steps(route.length()).map(|along| oncoming(route, along)).collect(),
            Self::Leading { .. } => robot_lane(route),
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
    (Pose::yawed(origin, yaw), if turns { gone } else { place })
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

    #[test]
    fn what_backs_up_faces_one_way_and_takes_its_metres_back() {
        let (from, to) = (vec3(0.0, 0.0, 0.0), vec3(5.0, 0.0, 0.0));
        for (gone, x) in [(0.0, 0.0), (4.0, 4.0), (7.0, 3.0), (11.0, 1.0)] {
            let (pose, rolled) = shuttle(from, to, gone, false);
            assert!((pose.origin.x - x).abs() < 1e-5 && (rolled - x).abs() < 1e-5, "{gone}: {pose:?}, {rolled}");
            assert_eq!(pose.yaw(), 0.0);
        }
    }

    #[test]
    fn places_miss_nothing() {
        let route = Route { half_x: 13.0, half_y: 4.0, radius: 2.5, clockwise: true };
        let drive = Drive { start: 3.0, speed: 1.1, weave: 0.05 };
        let (from, to) = (vec3(0.0, 1.0, 0.0), vec3(4.0, 2.0, 0.0));
        let motions = [
            Motion::Stand { pose: Pose::yawed(from, 0.7), sway: 0.3 },
            Motion::Shuttle { from, to, speed: 1.0, offset: 2.0, turns: true },
            Motion::Shuttle { from, to, speed: 0.6, offset: 2.0, turns: false },
            Motion::Oncoming { start: 1.0, speed: 1.2 },
            Motion::Leading { gap: 6.0, swing: 2.0, pace: 0.2 },
        ];
        for motion in motions {
            let places = motion.places(&route);
            for step in 0..800 {
                let (pose, _) = motion.at(step as f32 * 0.1, &route, &drive);
                let is_near = |place: &Pose| {
                    (place.origin - pose.origin).length() < STEP && place.axes[0].dot(pose.axes[0]) > 0.9
                };
                assert!(places.iter().any(is_near), "{motion:?} at {pose:?}");
            }
        }
    }
}
