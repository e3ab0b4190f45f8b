//! Who stands where, and how people, forklifts and the robot move: every place is a function of time alone.

use std::f32::consts::{FRAC_PI_2, PI};

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::building::{Hall, clutter};
use super::person::Posture;
use super::scene::Class;
use super::vector::{Pose, Vec3, vec3};
use super::{assembly::Assembly, forklift, pallet, person, route::Route};

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
    fn new(rng: &mut Pcg64Mcg, route: &Route) -> Self {
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

/// A thing that moves, with the object numbers of its parts.
#[derive(Debug, Clone)]
pub struct Actor {
    /// How.
    pub motion: Motion,
    /// What.
    pub body: Body,
}

/// What moves.
#[derive(Debug, Clone)]
pub enum Body {
    /// A person on foot.
    Person(person::Look),
    /// A forklift, maybe with a driver and a pallet on its forks.
    Forklift {
        /// The truck.
        look: forklift::Look,
        /// Height of the forks.
        lift: f32,
        /// Who sits in it.
        driver: Option<person::Look>,
        /// What it carries.
        load: Option<Assembly>,
    },
}

impl Body {
    /// The body's parts at `time`, having gone `gone` metres: each an object of its own, with its pose in the body's frame.
    pub fn parts(&self, time: f32, gone: f32, moving: bool) -> Vec<(Class, Assembly, Pose)> {
        match self {
            Self::Person(look) => {
                let posture = if moving {
                    Posture::Walking(gone / look.stride() * std::f32::consts::TAU)
                } else {
                    Posture::Standing { reach: (0.4 * time + look.stride() * 40.0).sin().max(0.0) }
                };
                vec![(Class::Person, look.build(posture), Pose::IDENTITY)]
            }
            Self::Forklift { look, lift, driver, load } => {
                let beacon = (time * 1.4).fract() < 0.5;
                let mut parts = vec![(Class::Forklift, look.build(*lift, beacon), Pose::IDENTITY)];
                if let Some(driver) = driver {
                    let (forwards, seat) = forklift::SEAT;
                    let posture = Posture::Sitting { seat };
                    parts.push((Class::Person, driver.build(posture), Pose::at(vec3(forwards, 0.0, 0.0))));
                }
                if let Some(load) = load {
                    let pose = Pose::yawed(vec3(forklift::LOAD, 0.0, lift + 0.055), FRAC_PI_2);
                    parts.push((Class::Pallet, load.clone(), pose));
                }
                parts
            }
        }
    }
}

/// Everything in the hall that is not part of it.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The robot's way.
    pub drive: Drive,
    /// What moves, including people who stand.
    pub actors: Vec<Actor>,
    /// Objects that never move.
    pub parked: Vec<(Class, Assembly, Pose)>,
    /// Background that never moves.
    pub clutter: Vec<(Assembly, Pose)>,
}

impl Traffic {
    /// Fills the hall.
    pub fn new(rng: &mut Pcg64Mcg, hall: &Hall) -> Self {
        let drive = Drive::new(rng, &hall.route);
        let mut traffic = Self { drive, actors: Vec::new(), parked: Vec::new(), clutter: Vec::new() };
        let oncoming = rng.random_bool(0.6);
        // Trucks standing askew in the oncoming lane keep (aisle, from, to) free of pallets and walkers.
        let mut kept_free = Vec::new();
        if oncoming {
            let count = (hall.route.length() / rng.random_range(24.0..38.0)) as i32;
            let speed = rng.random_range(0.7..1.5);
            for index in 0..count {
                let start = drive.start + 9.0 + hall.route.length() * index as f32 / count as f32;
                let body = truck(rng, 0.5);
                traffic.actors.push(Actor { motion: Motion::Oncoming { start, speed }, body });
            }
        } else {
            for aisle in [-1.0, 1.0] {
                for half in [-1.0, 1.0] {
                    let x = half * hall.rack_x * rng.random_range(0.25..0.75);
                    kept_free.push((aisle, x - 3.0, x + 3.0));
                    traffic.askew_truck(rng, hall, aisle, x);
                }
            }
        }
        let gap = rng.random_range(6.0..9.0);
        let motion = Motion::Leading { gap, swing: gap * 0.35, pace: rng.random_range(0.1..0.2) };
        if rng.random_bool(0.6) {
            let body = truck(rng, 0.6);
            traffic.actors.push(Actor { motion, body });
        } else {
            let motion = Motion::Leading { gap: gap * 0.65, swing: gap * 0.3, pace: 0.2 };
            traffic.actors.push(Actor { motion, body: Body::Person(person::Look::new(rng)) });
        }
        for aisle in [-1.0, 1.0] {
            traffic.walkers(rng, hall, aisle, &kept_free);
            for side in [-1.0, 1.0] {
                traffic.aisle_side(rng, hall, aisle, side, &kept_free);
            }
        }
        for end in [-1.0, 1.0] {
            traffic.end_zone(rng, hall, end);
        }
        traffic
    }

    fn askew_truck(&mut self, rng: &mut Pcg64Mcg, hall: &Hall, aisle: f32, x: f32) {
        let side = oncoming_side(hall, aisle);
        let forwards = if rng.random_bool(0.5) { 0.0 } else { PI };
        let toward_rack = if forwards == 0.0 { side } else { -side };
        let yaw = forwards + toward_rack * rng.random_range(0.25..0.5);
        let pose = Pose::yawed(vec3(x, aisle * hall.route.half_y + side * 1.25, 0.0), yaw);
        self.actors.push(Actor { motion: Motion::Stand { pose, sway: 0.0 }, body: truck(rng, 0.5) });
    }

    /// People walking to and fro in the middle of an aisle, each on a stretch of their own.
    fn walkers(&mut self, rng: &mut Pcg64Mcg, hall: &Hall, aisle: f32, kept_free: &[(f32, f32, f32)]) {
        let mut x = -hall.rack_x + 0.5;
        while x < hall.rack_x - 4.0 {
            let end = (x + rng.random_range(4.5..9.0)).min(hall.rack_x - 0.5);
            let free = kept_free.iter().all(|&(a, from, to)| a != aisle || to < x || from > end);
            if free && rng.random_bool(0.75) {
                let y = aisle * hall.route.half_y + rng.random_range(-0.1..0.1);
                let motion = Motion::Shuttle {
                    from: vec3(x, y, 0.0),
                    to: vec3(end, y, 0.0),
                    speed: rng.random_range(0.7..1.5),
                    offset: rng.random_range(0.0..10.0),
                    turns: true,
                };
                self.actors.push(Actor { motion, body: Body::Person(person::Look::new(rng)) });
            }
            x = end + 0.8;
        }
    }

    /// Pallets, clutter and people picking goods along one rack.
    fn aisle_side(&mut self, rng: &mut Pcg64Mcg, hall: &Hall, aisle: f32, side: f32, kept_free: &[(f32, f32, f32)]) {
        let rack_front = aisle * hall.route.half_y + side * hall.aisle_width / 2.0;
        let mut x = -hall.rack_x + rng.random_range(0.5..2.0);
        while x < hall.rack_x - 0.8 {
            if side == oncoming_side(hall, aisle)
                && kept_free.iter().any(|&(a, from, to)| a == aisle && x > from && x < to)
            {
                x += 0.5;
                continue;
            }
            match rng.random_range(0..20) {
                0..=9 => {
                    let loaded = rng.random_bool(0.7);
                    let pallet = pallet::build(rng, loaded, 1.7);
                    let depth = pallet.bounds().max.y;
                    let turn = if rng.random_bool(0.5) { 0.0 } else { PI };
                    let yaw = turn + rng.random_range(-0.06..0.06);
                    let y = rack_front - side * (depth + 0.12);
                    self.parked.push((Class::Pallet, pallet, Pose::yawed(vec3(x, y, 0.0), yaw)));
                    x += rng.random_range(1.4..3.0);
                }
                10..=12 => {
                    let pose = Pose::yawed(
                        vec3(x, rack_front - side * rng.random_range(0.4..0.7), 0.0),
                        side * FRAC_PI_2 + rng.random_range(-0.7..0.7),
                    );
                    let motion = Motion::Stand { pose, sway: rng.random_range(0.0..0.5) };
                    self.actors.push(Actor { motion, body: Body::Person(person::Look::new(rng)) });
                    x += rng.random_range(1.4..3.0);
                }
                13..=15 => {
                    let pose = Pose::yawed(vec3(x, rack_front - side * 0.5, 0.0), rng.random_range(-0.2..0.2));
                    self.clutter.push((clutter(rng), pose));
                    x += rng.random_range(1.4..2.4);
                }
                _ => x += rng.random_range(0.8..2.0),
            }
        }
    }

    /// Staged pallets, a parked truck and somebody crossing, between the end lane and the end wall.
    fn end_zone(&mut self, rng: &mut Pcg64Mcg, hall: &Hall, end: f32) {
        let (staging, crossing) = (end * (hall.wall_x - 1.3), end * (hall.wall_x - 2.9));
        let reach = hall.wall_y - 1.2;
        let mut y = -reach;
        let parked_at = rng.random_range(-reach * 0.6..reach * 0.6);
        let parks = rng.random_bool(0.7);
        while y < reach {
            if parks && (y - parked_at).abs() < 3.2 {
                y += 0.5;
                continue;
            }
            if rng.random_bool(0.75) {
                let loaded = rng.random_bool(0.75);
                let pallet = pallet::build(rng, loaded, 1.9);
                let yaw = if rng.random_bool(0.5) { 0.0 } else { FRAC_PI_2 } + rng.random_range(-0.08..0.08);
                self.parked.push((Class::Pallet, pallet, Pose::yawed(vec3(staging, y, 0.0), yaw)));
            }
            y += 1.6;
        }
        for side in [-1.0, 1.0] {
            for place in 0..3 {
                if !rng.random_bool(0.6) {
                    continue;
                }
                let at = vec3(end * (hall.rack_x + 0.9 + 1.5 * place as f32), side * (hall.wall_y - 0.65), 0.0);
                let yaw = rng.random_range(-0.08..0.08);
                if rng.random_bool(0.7) {
                    let loaded = rng.random_bool(0.75);
                    self.parked.push((Class::Pallet, pallet::build(rng, loaded, 1.9), Pose::yawed(at, yaw)));
                } else {
                    self.clutter.push((clutter(rng), Pose::yawed(at, yaw)));
                }
            }
        }
        if parks {
            let yaw = if rng.random_bool(0.5) { FRAC_PI_2 } else { -FRAC_PI_2 } + rng.random_range(-0.15..0.15);
            let pose = Pose::yawed(vec3(staging, parked_at, 0.0), yaw);
            self.actors.push(Actor { motion: Motion::Stand { pose, sway: 0.0 }, body: truck(rng, 0.3) });
        }
        let ends = [vec3(crossing, -reach, 0.0), vec3(crossing, reach, 0.0)];
        let [from, to] = if rng.random_bool(0.5) { ends } else { [ends[1], ends[0]] };
        let (speed, offset) = (rng.random_range(0.7..1.4), rng.random_range(0.0..40.0));
        if rng.random_bool(0.6) {
            let motion = Motion::Shuttle { from, to, speed, offset, turns: true };
            self.actors.push(Actor { motion, body: Body::Person(person::Look::new(rng)) });
        } else {
            let (from, to) = (from.lerp(to, 0.15), to.lerp(from, 0.15));
            let motion = Motion::Shuttle { from, to, speed, offset, turns: false };
            self.actors.push(Actor { motion, body: truck(rng, 0.6) });
        }
    }
}

/// The side of an aisle (+1 towards +y) on which the oncoming lane lies: the inner one when driven anticlockwise, else the outer.
fn oncoming_side(hall: &Hall, aisle: f32) -> f32 {
    if hall.route.clockwise { aisle } else { -aisle }
}

fn truck(rng: &mut Pcg64Mcg, loaded: f64) -> Body {
    let look = forklift::Look::new(rng);
    let driver = rng.random_bool(0.7).then(|| person::Look::new(rng));
    let lift = rng.random_range(0.08..0.35);
    let load = rng.random_bool(loaded).then(|| {
        let full = rng.random_bool(0.85);
        pallet::build(rng, full, 1.3)
    });
    Body::Forklift { look, lift, driver, load }
}

#[cfg(test)]
mod tests {
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
