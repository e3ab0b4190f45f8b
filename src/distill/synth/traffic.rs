//! Who stands where and who moves how.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::building::{Clutter, Hall, clutter};
use super::extras::Extras;
use super::motion::{Drive, Motion};
use super::person::Posture;
use super::scene::Class;
use super::shapes::Bounds;
use super::vector::{Pose, vec3};
use super::{assembly::Assembly, forklift, pallet, person};

/// A thing that moves, with the object numbers of its parts.
#[derive(Debug, Clone)]
pub struct Actor {
    /// How.
    pub motion: Motion,
    /// What.
    pub body: Body,
}

impl Actor {
    /// False for what only sways where it stands.
    pub fn moves(&self) -> bool {
        !matches!(self.motion, Motion::Stand { .. })
    }

    /// The box in the body's frame around all that its parts fill at any time.
    pub fn extent(&self) -> Bounds {
        // Steps repeat after a stride of at most 1.6 m, reaching after 16 s.
        let instants = (0..16u8).map(f32::from);
        let parts = instants.flat_map(|second| self.body.parts(second, 0.1 * second, self.moves()));
        parts.fold(Bounds::EMPTY, |all, (_, thing, place)| {
            thing.placed(&place).fold(all, |all, solid| all.join(&solid.shape.bounds()))
        })
    }
}

/// What moves.
#[derive(Debug, Clone)]
pub enum Body {
    /// A person on foot.
    Person(person::Look),
    /// A person who pushes a cart, or draws it when going backwards.
    Pusher {
        /// Who.
        look: person::Look,
        /// The cart, in its own frame.
        cart: Assembly,
    },
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
        let phase = |look: &person::Look| gone / look.stride() * TAU;
        match self {
            Self::Person(look) => {
                let posture = if moving {
                    Posture::Walking(phase(look))
                } else {
                    Posture::Standing { reach: (0.4 * time + look.stride() * 40.0).sin().max(0.0) }
                };
                vec![(Class::Person, look.build(posture), Pose::IDENTITY)]
            }
            Self::Pusher { look, cart } => {
                // The body's origin lies half way between both.
                let ahead = 0.5 * (look.reach() - cart.bounds().min.x);
                vec![
                    (Class::Person, look.build(Posture::Pushing(phase(look))), Pose::at(vec3(-ahead, 0.0, 0.0))),
                    (Class::Cart, cart.clone(), Pose::at(vec3(ahead, 0.0, 0.0))),
                ]
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
    pub clutter: Vec<(Clutter, Pose)>,
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

    /// Makes objects of the clutter that belongs to a class of `extras`.
    pub fn name_clutter(&mut self, extras: Extras) {
        for (clutter, pose) in std::mem::take(&mut self.clutter) {
            match clutter.class.filter(|class| extras.has(*class)) {
                Some(class) => self.parked.extend(clutter.pieces.into_iter().map(|piece| (class, piece, pose))),
                None => self.clutter.push((clutter, pose)),
            }
        }
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
