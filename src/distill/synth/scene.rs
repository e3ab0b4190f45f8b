//! The warehouse at one instant: what every ray meets, and which objects there are.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::assembly::{Assembly, Solid};
use super::building::Hall;
use super::bvh::Bvh;
use super::extras::Extras;
use super::lighting::Lighting;
use super::shapes::{Ray, Shape};
use super::texture::Surface;
use super::traffic::Traffic;
use super::vector::{Pose, Vec3};

/// What an object is. Everything else is background, label 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A person, walking, standing or driving.
    Person,
    /// A forklift, without its driver and what it carries.
    Forklift,
    /// A pallet, a stack of empty ones, or one with its load.
    Pallet,
    /// A roll container or trolley with its load, without who pushes it. See [`Extras`].
    Cart,
    /// A traffic cone. See [`Extras`].
    Cone,
}

/// The classes of every warehouse; the position in this list plus one is the label. Those of [`Extras`] come after them.
pub const CLASSES: [Class; 3] = [Class::Person, Class::Forklift, Class::Pallet];

impl Class {
    /// The class' name as it stands in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Forklift => "forklift",
            Self::Pallet => "pallet",
            Self::Cart => "cart",
            Self::Cone => "cone",
        }
    }

    /// The class' number in per-point labels, from 1; 0 is background. It does not depend on which classes there are.
    pub fn label(self) -> u16 {
        self as u16 + 1
    }
}

/// The smallest upright box, turned with the object, around all of the object at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectBox {
    /// The object's number, from 1, the same for the whole recording.
    pub id: u16,
    /// What it is.
    pub class: Class,
    /// Middle of the box, in the frame the box is given in, in metres.
    pub center: Vec3,
    /// Direction of the object's front about z, in radians.
    pub yaw: f32,
    /// Length (along the front), width, height in metres.
    pub size: Vec3,
}

impl ObjectBox {
    fn around(id: u16, class: Class, assembly: &Assembly, pose: &Pose) -> Self {
        let bounds = assembly.bounds();
        Self { id, class, center: pose.apply(bounds.center()), yaw: pose.yaw(), size: bounds.max - bounds.min }
    }

    /// The same box as seen from the frame that stands at `frame`.
    pub fn seen_from(&self, frame: &Pose) -> Self {
        let yaw = self.yaw - frame.yaw();
        let (sin, cos) = yaw.sin_cos();
        Self { center: frame.unapply(self.center), yaw: sin.atan2(cos), ..*self }
    }

    /// The eight corners, in the frame the box is given in.
    pub fn corners(&self) -> [Vec3; 8] {
        let pose = Pose::yawed(self.center, self.yaw);
        let half = self.size * 0.5;
        std::array::from_fn(|i| {
            let sign = |bit: usize| if (i >> bit) & 1 == 0 { -1.0 } else { 1.0 };
            pose.apply(Vec3 { x: half.x * sign(0), y: half.y * sign(1), z: half.z * sign(2) })
        })
    }

    /// True when the point lies in the box or at most `margin` metres outside.
    pub fn contains(&self, point: Vec3, margin: f32) -> bool {
        let offset = Pose::yawed(self.center, self.yaw).unapply(point).abs();
        let half = self.size * 0.5;
        offset.x <= half.x + margin && offset.y <= half.y + margin && offset.z <= half.z + margin
    }
}

/// An object at one instant.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it is and what.
    pub bounding: ObjectBox,
    /// What it is made of, in the odom frame.
    pub(super) shapes: Vec<Shape>,
}

impl Object {
    fn new(id: u16, class: Class, assembly: &Assembly, pose: &Pose) -> Self {
        Self {
            bounding: ObjectBox::around(id, class, assembly, pose),
            shapes: assembly.placed(pose).map(|solid| solid.shape).collect(),
        }
    }

    /// True when the ray meets the object, were it alone in the world.
    pub(super) fn is_on(&self, ray: &Ray) -> bool {
        self.shapes.iter().any(|shape| shape.contact(ray, f32::INFINITY).is_some())
    }
}

/// Solids with an index for rays; each belongs to an object or to the background (0).
#[derive(Debug, Clone, Default)]
struct Solids {
    index: Bvh,
    surfaces: Vec<(Surface, u16)>,
}

impl Solids {
    fn new(solids: Vec<(Solid, u16)>) -> Self {
        let shapes: Vec<Shape> = solids.iter().map(|(solid, _)| solid.shape).collect();
        Self { index: Bvh::new(&shapes), surfaces: solids.into_iter().map(|(solid, id)| (solid.surface, id)).collect() }
    }
}

/// One warehouse with all that happens in it; everything follows from the seed.
#[derive(Debug, Clone)]
pub struct Warehouse {
    seed: u32,
    extras: Extras,
    hall: Hall,
    traffic: Traffic,
    fixed: Solids,
    parked: Vec<Object>,
}

impl Warehouse {
    /// Builds the hall, its goods and its traffic.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Extras::default())
    }

    /// [`Self::new`] with more objects; all else stays as it is without them, but for some people who push carts.
    pub fn with(seed: u64, extras: Extras) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let hall = Hall::new(&mut rng);
        let background = hall.build(&mut rng);
        let mut traffic = Traffic::new(&mut rng, &hall);
        extras.add_to(&mut traffic, &hall, seed);
        let mut solids: Vec<(Solid, u16)> = background.solids.into_iter().map(|solid| (solid, 0)).collect();
        for (clutter, pose) in &traffic.clutter {
            solids.extend(clutter.pieces.iter().flat_map(|piece| piece.placed(pose)).map(|solid| (solid, 0)));
        }
        let mut parked = Vec::new();
        for (index, (class, thing, pose)) in traffic.parked.iter().enumerate() {
            let id = index as u16 + 1;
            solids.extend(thing.placed(pose).map(|solid| (solid, id)));
            parked.push(Object::new(id, *class, thing, pose));
        }
        let seed = super::noise::hash2(seed as u32, (seed >> 32) as u32);
        Self { seed, extras, hall, traffic, fixed: Solids::new(solids), parked }
    }

    /// The classes of objects that there can be, in the order of their labels.
    pub fn classes(&self) -> Vec<Class> {
        CLASSES.into_iter().chain(self.extras.classes()).collect()
    }

    /// A hash of the seed, for noise that must differ between warehouses.
    pub fn noise_seed(&self) -> u32 {
        self.seed
    }

    /// The robot's base (`base_link`, on the floor, x forwards) in `odom` at `time` seconds.
    pub fn robot(&self, time: f32) -> Pose {
        self.traffic.drive.pose(&self.hall.route, time)
    }

    /// The warehouse at `time` seconds.
    pub fn at(&self, time: f32) -> Scene<'_> {
        let mut solids = Vec::new();
        let mut objects = self.parked.clone();
        let mut id = self.parked.len() as u16;
        for actor in &self.traffic.actors {
            let (pose, gone) = actor.motion.at(time, &self.hall.route, &self.traffic.drive);
            for (class, thing, place) in actor.body.parts(time, gone, actor.moves()) {
                id += 1;
                let pose = pose.then(&place);
                solids.extend(thing.placed(&pose).map(|solid| (solid, id)));
                objects.push(Object::new(id, class, &thing, &pose));
            }
        }
        // Flickering lamps change thirty times a second.
        let step = (time * 30.0) as u32;
        Scene { warehouse: self, robot: self.robot(time), step, moving: Solids::new(solids), objects }
    }
}

/// What a ray meets first.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// Metres along the ray.
    pub distance: f32,
    /// Outward normal of the surface (unit length).
    pub normal: Vec3,
    /// The object's number, 0 for background.
    pub object: u16,
    /// Tells one solid from another.
    pub(super) solid: u32,
    /// What it looks like.
    pub(super) surface: &'a Surface,
}

/// The warehouse at one instant.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    warehouse: &'a Warehouse,
    robot: Pose,
    step: u32,
    moving: Solids,
    objects: Vec<Object>,
}

impl Scene<'_> {
    /// The robot's base (`base_link`) in `odom`.
    pub fn robot(&self) -> &Pose {
        &self.robot
    }

    /// All objects, in `odom`, in the order of their numbers: object `id` stands at `id - 1`.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The class of an object number, none for background.
    pub fn class(&self, object: u16) -> Option<Class> {
        self.objects.get(usize::from(object).checked_sub(1)?).map(|object| object.bounding.class)
    }

    /// See [`Warehouse::noise_seed`].
    pub fn noise_seed(&self) -> u32 {
        self.warehouse.seed
    }

    /// The first thing on the ray within `limit` metres.
    pub(super) fn nearest(&self, ray: &Ray, limit: f32) -> Option<Hit<'_>> {
        let fixed = self.warehouse.fixed.index.nearest(ray, limit);
        let limit = fixed.map_or(limit, |(contact, _)| contact.distance);
        let moving = self.moving.index.nearest(ray, limit);
        let (solids, (contact, index), high) = match (moving, fixed) {
            (Some(found), _) => (&self.moving, found, 1 << 31),
            (None, Some(found)) => (&self.warehouse.fixed, found, 0),
            (None, None) => return None,
        };
        let (surface, object) = &solids.surfaces[index as usize];
        Some(Hit { distance: contact.distance, normal: contact.normal, object: *object, solid: index | high, surface })
    }

    /// The light a surface sends towards where the ray came from: linear, 1 about the brightness of white paint right below a lamp.
    /// `footprint` is the width of one pixel at the hit in metres; `dither`: see [`Lighting::arriving`].
    pub(super) fn shade(&self, ray: &Ray, hit: &Hit, footprint: f32, dither: f32) -> Vec3 {
        let (surface, lighting) = (hit.surface, &self.warehouse.hall.lighting);
        let point = ray.at(hit.distance);
        let albedo = surface.albedo(surface.frame.unapply(point), surface.frame.unrotate(hit.normal), footprint);
        if surface.emission() > 0.0 {
            return albedo * surface.emission();
        }
        let from = point + hit.normal * (1e-3 + 2e-4 * hit.distance);
        let arriving = lighting.arriving(from, hit.normal, self.step, dither, |lamp| {
            let way = lamp - from;
            let distance = way.length();
            let shadow = Ray::new(from, way * (1.0 / distance));
            !self.moving.index.blocks(&shadow, distance) && !self.warehouse.fixed.index.blocks(&shadow, distance)
        });
        let mut light = albedo.scaled(arriving);
        if surface.gloss > 0.0 {
            let mirrored = ray.direction - hit.normal * (2.0 * ray.direction.dot(hit.normal));
            light += lighting.direct * (surface.gloss * glare(lighting, from, mirrored));
        }
        light
    }
}

/// How much of the lamps a mirror at `point` would show in `direction`, blurred.
fn glare(lighting: &Lighting, point: Vec3, direction: Vec3) -> f32 {
    if direction.z < 0.05 {
        return 0.0;
    }
    let at = point + direction * ((lighting.height - point.z) / direction.z);
    let across = (at.y.abs() - lighting.row_y).abs();
    let along = (at.x / lighting.spacing - 0.5).rem_euclid(1.0);
    let along = (along - along.round()).abs() * lighting.spacing;
    let offset = (across * across + 0.3 * along * along) / 0.5;
    1.0 / ((1.0 + offset) * (1.0 + offset))
}

#[cfg(test)]
mod tests {
    use super::super::vector::vec3;
    use super::*;

    #[test]
    fn numbers_and_classes_stay_the_same_over_time() {
        let warehouse = Warehouse::new(3);
        let (early, late) = (warehouse.at(0.0), warehouse.at(37.3));
        assert_eq!(early.objects().len(), late.objects().len());
        for (index, (a, b)) in early.objects().iter().zip(late.objects()).enumerate() {
            assert_eq!(a.bounding.id as usize, index + 1);
            assert_eq!((a.bounding.id, a.bounding.class), (b.bounding.id, b.bounding.class));
        }
        let moved = early.objects().iter().zip(late.objects()).filter(|(a, b)| a.bounding.center != b.bounding.center);
        assert!(moved.count() >= 5);
    }

    #[test]
    fn boxes_hold_all_of_their_object() {
        let warehouse = Warehouse::new(8);
        let scene = warehouse.at(4.2);
        let mut met = 0;
        for object in scene.objects() {
            // A ray from afar at each object: where it meets the object must lie in the box.
            for (x, y) in [(9.0, 0.3), (-9.0, 2.0), (0.5, 9.0), (-2.0, -9.0)] {
                let target = object.bounding.center;
                let from = target + vec3(x, y, 1.0);
                let ray = Ray::new(from, (target - from).normalized());
                for contact in object.shapes.iter().filter_map(|shape| shape.contact(&ray, 100.0)) {
                    assert!(object.bounding.contains(ray.at(contact.distance), 1e-3), "{:?}", object.bounding);
                    met += 1;
                }
            }
        }
        assert!(met > 100, "only {met} contacts");
    }

    #[test]
    fn other_seeds_give_other_warehouses() {
        let (a, b) = (Warehouse::new(1), Warehouse::new(2));
        assert_ne!(a.robot(0.0), b.robot(0.0));
        assert_ne!(a.at(0.0).objects()[0].bounding, b.at(0.0).objects()[0].bounding);
        assert_eq!(a.at(1.0).objects()[0].bounding, Warehouse::new(1).at(1.0).objects()[0].bounding);
    }

    #[test]
    fn a_box_seen_from_the_robot_is_the_same_box() {
        let warehouse = Warehouse::new(5);
        let scene = warehouse.at(2.0);
        for object in scene.objects() {
            let seen = object.bounding.seen_from(scene.robot());
            for (there, here) in seen.corners().into_iter().zip(object.bounding.corners()) {
                assert!((scene.robot().apply(there) - here).length() < 1e-3);
            }
        }
    }
}
