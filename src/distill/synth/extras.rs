//! Objects that are in a warehouse on request only. Their random numbers are their own, so that with them, too, all else stays as it is.

use std::f32::consts::{FRAC_PI_2, PI};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::assembly::Assembly;
use super::building::Hall;
use super::floor_plan::{FloorPlan, Footprint, under_way};
use super::motion::Motion;
use super::scene::Class;
use super::traffic::{Actor, Body, Traffic};
use super::vector::{Pose, vec3};
use super::{cart, cone};

/// What makes the random numbers of carts differ from those of everything else of the same seed.
const CART_STREAM: u64 = 0x00ca_4700_0000_0001;
/// The same for cones.
const CONE_STREAM: u64 = 0x000c_0400_0000_0001;
/// How often a place is looked for before an object is left out.
const TRIES: usize = 120;
/// Metres kept free around the objects.
const MARGIN: f32 = 0.08;

/// Objects to add to a warehouse; by default none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Roll containers and trolleys that are parked or pushed, [`Class::Cart`]. The roll containers of the clutter, else background,
    /// count as such, too.
    pub carts: bool,
    /// Traffic cones of many sizes, [`Class::Cone`], with those of the clutter.
    pub cones: bool,
}

impl Extras {
    /// Whether they have objects of this class.
    pub fn has(self, class: Class) -> bool {
        match class {
            Class::Cart => self.carts,
            Class::Cone => self.cones,
            Class::Person | Class::Forklift | Class::Pallet => false,
        }
    }

    /// The classes of their objects, in the order of the labels.
    pub fn classes(self) -> impl Iterator<Item = Class> {
        [Class::Cart, Class::Cone].into_iter().filter(move |class| self.has(*class))
    }

    /// Puts the objects into the traffic of a hall, where they collide with nothing that stands or ever passes there.
    pub(super) fn add_to(self, traffic: &mut Traffic, hall: &Hall, seed: u64) {
        if self == Self::default() {
            return;
        }
        traffic.name_clutter(self);
        let mut plan = FloorPlan::new(hall, traffic);
        if self.carts {
            let mut rng = Pcg64Mcg::seed_from_u64(seed ^ CART_STREAM);
            push_carts(traffic, &mut plan, hall, &mut rng);
            for _ in 0..rng.random_range(6..=9u32) {
                let cart = cart::build(&mut rng);
                if let Some(pose) = free_spot(&plan, hall, &mut rng, &cart, 0.25) {
                    park(traffic, &mut plan, Class::Cart, cart, pose);
                }
            }
        }
        if self.cones {
            let mut rng = Pcg64Mcg::seed_from_u64(seed ^ CONE_STREAM);
            for _ in 0..rng.random_range(7..=10u32) {
                place_cones(traffic, &mut plan, hall, &mut rng);
            }
        }
    }
}

fn footprint(thing: &Assembly, pose: &Pose) -> Footprint {
    Footprint::under(&thing.bounds(), pose, MARGIN)
}

fn is_free(plan: &FloorPlan, thing: &Assembly, pose: &Pose) -> bool {
    plan.is_free(&footprint(thing, pose), None)
}

fn park(traffic: &mut Traffic, plan: &mut FloorPlan, class: Class, thing: Assembly, pose: Pose) {
    plan.take([footprint(&thing, &pose)]);
    traffic.parked.push((class, thing, pose));
}

fn sign(rng: &mut Pcg64Mcg) -> f32 {
    if rng.random_bool(0.5) { 1.0 } else { -1.0 }
}

/// Somewhere along a rack, up to `scatter` metres away from it, or at an end of the hall; about parallel to the walls.
fn spot(hall: &Hall, rng: &mut Pcg64Mcg, thing: &Assembly, scatter: f32) -> Pose {
    let askew = rng.random_range(-0.12..0.12f32);
    if rng.random_bool(0.75) {
        let (aisle, side) = (sign(rng), sign(rng));
        let rack_front = aisle * hall.route.half_y + side * hall.aisle_width / 2.0;
        let away = thing.bounds().max.y + MARGIN + rng.random_range(0.02..scatter);
        let origin = vec3(rng.random_range(-hall.rack_x..hall.rack_x), rack_front - side * away, 0.0);
        let turn = if rng.random_bool(0.5) { 0.0 } else { PI };
        Pose::yawed(origin, turn + askew)
    } else {
        let x = sign(rng) * rng.random_range(hall.rack_x..hall.wall_x);
        let origin = vec3(x, rng.random_range(-hall.wall_y..hall.wall_y), 0.0);
        Pose::yawed(origin, FRAC_PI_2 * f32::from(rng.random_range(0..4u8)) + askew)
    }
}

/// A spot where the thing collides with nothing, if one is found.
fn free_spot(plan: &FloorPlan, hall: &Hall, rng: &mut Pcg64Mcg, thing: &Assembly, scatter: f32) -> Option<Pose> {
    (0..TRIES).map(|_| spot(hall, rng, thing, scatter)).find(|pose| is_free(plan, thing, pose))
}

/// One to three equal cones in a row, as far as there is room for them.
fn place_cones(traffic: &mut Traffic, plan: &mut FloorPlan, hall: &Hall, rng: &mut Pcg64Mcg) {
    let mut cone = Assembly::new(rng.random());
    cone::Look::new(rng).build(&mut cone, 0.0);
    let Some(first) = free_spot(plan, hall, rng, &cone, 0.6) else { return };
    let apart = rng.random_range(0.6..1.3f32);
    for number in 0..rng.random_range(1..=3u8) {
        let pose = Pose { origin: first.origin + first.axes[0] * (apart * f32::from(number)), ..first };
        if is_free(plan, &cone, &pose) {
            park(traffic, plan, Class::Cone, cone.clone(), pose);
        }
    }
}

/// Gives carts to some of those who walk to and fro. They push them one way and draw them back, as there is no room to turn them.
fn push_carts(traffic: &mut Traffic, plan: &mut FloorPlan, hall: &Hall, rng: &mut Pcg64Mcg) {
    let mut walkers: Vec<usize> = (0..traffic.actors.len())
        .filter(|&number| {
            let actor = &traffic.actors[number];
            matches!((&actor.motion, &actor.body), (Motion::Shuttle { .. }, Body::Person(_)))
        })
        .collect();
    if !walkers.is_empty() {
        // From any of them on, so that all parts of the hall get carts.
        let first = rng.random_range(0..walkers.len());
        walkers.rotate_left(first);
    }
    let mut carts = rng.random_range(2..=3u32);
    for number in walkers {
        if carts == 0 {
            return;
        }
        let (Motion::Shuttle { from, to, .. }, Body::Person(look)) =
            (traffic.actors[number].motion, &traffic.actors[number].body)
        else {
            continue;
        };
        let body = Body::Pusher { look: look.clone(), cart: cart::build(rng) };
        let found = (0..TRIES).find_map(|_| {
            let along = (to - from).normalized();
            let aside = vec3(-along.y, along.x, 0.0) * rng.random_range(-0.9..0.9f32);
            let (near, far) = (rng.random_range(0.05..0.35), rng.random_range(0.05..0.35));
            let motion = Motion::Shuttle {
                from: from.lerp(to, near) + aside,
                to: to.lerp(from, far) + aside,
                speed: rng.random_range(0.5..1.0),
                offset: rng.random_range(0.0..20.0),
                turns: false,
            };
            let actor = Actor { motion, body: body.clone() };
            let way = under_way(&actor, hall, MARGIN);
            way.iter().all(|footprint| plan.is_free(footprint, Some(number))).then_some((actor, way))
        });
        if let Some((actor, way)) = found {
            plan.assign(number, way);
            traffic.actors[number] = actor;
            carts -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::Bounds;
    use super::*;

    const BOTH: Extras = Extras { carts: true, cones: true };

    /// A hall and its traffic without extras and with them.
    fn hall(seed: u64, extras: Extras) -> (Hall, Traffic, Traffic) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let hall = Hall::new(&mut rng);
        hall.build(&mut rng);
        let plain = Traffic::new(&mut rng, &hall);
        let mut with = plain.clone();
        extras.add_to(&mut with, &hall, seed);
        (hall, plain, with)
    }

    fn clutter_of(traffic: &Traffic, class: Class) -> usize {
        traffic
            .clutter
            .iter()
            .filter(|(thing, _)| thing.class == Some(class))
            .map(|(thing, _)| thing.pieces.len())
            .sum()
    }

    fn is_pushed(actor: &Actor) -> bool {
        matches!(actor.body, Body::Pusher { .. })
    }

    #[test]
    fn nothing_changes_but_some_walkers_and_the_names_of_clutter() {
        for seed in 0..12 {
            let (_, plain, with) = hall(seed, BOTH);
            let places = |traffic: &Traffic| -> Vec<(Class, Pose)> {
                traffic.parked.iter().map(|(class, _, pose)| (*class, *pose)).collect()
            };
            let (before, after) = (places(&plain), places(&with));
            assert_eq!(&after[..before.len()], &before[..]);
            assert!(after[before.len()..].iter().all(|(class, _)| BOTH.has(*class)));
            assert_eq!(plain.actors.len(), with.actors.len());
            for (a, b) in plain.actors.iter().zip(&with.actors).filter(|(_, b)| !is_pushed(b)) {
                assert_eq!(format!("{a:?}"), format!("{b:?}"));
            }
            assert_eq!(clutter_of(&with, Class::Cart) + clutter_of(&with, Class::Cone), 0);
            let (_, _, none) = hall(seed, Extras::default());
            assert_eq!(format!("{plain:?}"), format!("{none:?}"));
        }
    }

    #[test]
    fn there_are_carts_and_cones_of_the_classes_asked_for() {
        let mut pushed = 0;
        for seed in 0..20 {
            let (_, plain, with) = hall(seed, BOTH);
            let count = |class: Class| with.parked.iter().filter(|(other, ..)| *other == class).count();
            assert!(count(Class::Cart) >= 3 + clutter_of(&plain, Class::Cart), "{}", count(Class::Cart));
            assert!(count(Class::Cone) >= 5 + clutter_of(&plain, Class::Cone), "{}", count(Class::Cone));
            pushed += with.actors.iter().filter(|actor| is_pushed(actor)).count();
        }
        assert!(pushed >= 8, "only {pushed} carts are pushed");
        let (_, plain, cones) = hall(3, Extras { carts: false, cones: true });
        assert!(cones.parked.iter().all(|(class, ..)| *class != Class::Cart) && !cones.actors.iter().any(is_pushed));
        assert_eq!(clutter_of(&cones, Class::Cart), clutter_of(&plain, Class::Cart));
    }

    /// Where the bounding boxes of an actor's parts stand at an instant.
    fn parts_at(actor: &Actor, time: f32, hall: &Hall, traffic: &Traffic) -> Vec<(Class, Footprint)> {
        let (pose, gone) = actor.motion.at(time, &hall.route, &traffic.drive);
        let parts = actor.body.parts(time, gone, actor.moves()).into_iter();
        parts.map(|(class, thing, place)| (class, Footprint::under(&thing.bounds(), &pose.then(&place), 0.0))).collect()
    }

    #[test]
    fn they_collide_with_nothing_at_any_time() {
        let robot = Bounds { min: vec3(-0.3, -0.3, 0.0), max: vec3(0.3, 0.3, 1.2) };
        for seed in 0..8 {
            let (hall, plain, with) = hall(seed, BOTH);
            let clutter = clutter_of(&plain, Class::Cart) + clutter_of(&plain, Class::Cone);
            let parked: Vec<Footprint> =
                with.parked.iter().map(|(_, thing, pose)| Footprint::under(&thing.bounds(), pose, 0.0)).collect();
            // What was there before collides with whatever it likes.
            let (others, added) = parked.split_at(plain.parked.len() + clutter);
            for (place, new) in added.iter().enumerate() {
                assert!(!others.iter().chain(&added[..place]).any(|other| other.overlaps(new)), "warehouse {seed}");
                let racks = hall.racks();
                let rack = |bounds: &Bounds| Footprint::under(bounds, &Pose::IDENTITY, 0.0);
                assert!(!racks.iter().any(|bounds| rack(bounds).overlaps(new)), "warehouse {seed}");
            }
            for step in 0..240 {
                let time = step as f32 * 0.73;
                let drive = Footprint::under(&robot, &with.drive.pose(&hall.route, time), 0.0);
                let actors: Vec<_> = with.actors.iter().map(|actor| parts_at(actor, time, &hall, &with)).collect();
                let is_hit = |by: &Footprint| added.iter().any(|new| new.overlaps(by));
                assert!(!is_hit(&drive), "warehouse {seed}: the robot at {time} s");
                for (number, parts) in actors.iter().enumerate() {
                    assert!(
                        !parts.iter().any(|(_, part)| is_hit(part)),
                        "warehouse {seed}: actor {number} at {time} s"
                    );
                    if !is_pushed(&with.actors[number]) {
                        continue;
                    }
                    let own = parts.iter().map(|(_, part)| part);
                    let strangers = actors.iter().enumerate().filter(|(other, _)| *other != number);
                    let strangers: Vec<&Footprint> =
                        strangers.flat_map(|(_, parts)| parts).map(|(_, part)| part).chain(others).collect();
                    for part in own {
                        let hit = strangers.iter().any(|other| other.overlaps(part)) || drive.overlaps(part);
                        assert!(!hit, "warehouse {seed}: pusher {number} at {time} s");
                    }
                    let [(Class::Person, person), (Class::Cart, cart)] = &parts[..] else { panic!("{parts:?}") };
                    assert!(!person.overlaps(cart), "warehouse {seed}: somebody walks into their cart at {time} s");
                }
            }
        }
    }
}
