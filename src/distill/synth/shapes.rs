//! The solids the warehouse is built of, and where a ray first meets them.

use super::vector::{Pose, Vec3, vec3};

/// A half-line; `direction` has unit length, so that distances along it are metres.
#[derive(Debug, Clone, Copy)]
pub struct Ray {
    /// Where it starts.
    pub origin: Vec3,
    /// Where it goes (unit length).
    pub direction: Vec3,
    /// One over each component of the direction (infinite where it is 0).
    pub inverse: Vec3,
}

impl Ray {
    /// A ray from `origin` along `direction` (unit length).
    #[inline(always)]
    pub fn new(origin: Vec3, direction: Vec3) -> Self {
        let inverse = vec3(1.0 / direction.x, 1.0 / direction.y, 1.0 / direction.z);
        Self { origin, direction, inverse }
    }

    /// The point at `distance` metres.
    #[inline(always)]
    pub fn at(&self, distance: f32) -> Vec3 {
        self.origin + self.direction * distance
    }
}

/// An axis-aligned box in space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The corner with the smallest coordinates.
    pub min: Vec3,
    /// The corner with the largest coordinates.
    pub max: Vec3,
}

impl Bounds {
    /// Contains nothing; joined with any other it gives the other.
    pub const EMPTY: Self = Self { min: Vec3::splat(f32::INFINITY), max: Vec3::splat(f32::NEG_INFINITY) };

    /// The smallest box around both.
    #[inline(always)]
    pub fn join(&self, other: &Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The middle.
    #[inline(always)]
    pub fn center(&self) -> Vec3 {
        (self.min + self.max) * 0.5
    }

    /// The surface of the box in square metres, 0 when empty.
    pub fn surface(&self) -> f32 {
        let size = (self.max - self.min).max(Vec3::default());
        2.0 * (size.x * size.y + size.y * size.z + size.z * size.x)
    }

    /// Where the ray enters (not before 0), if it does so before `limit`.
    #[inline(always)]
    pub fn entry(&self, ray: &Ray, limit: f32) -> Option<f32> {
        let a = (self.min - ray.origin).scaled(ray.inverse);
        let b = (self.max - ray.origin).scaled(ray.inverse);
        // Comparisons that are false for NaN (0 * infinity, a ray in the plane of a face) leave the other bound standing.
        let (near, far) = (a.min(b), a.max(b));
        let enter = if near.x > 0.0 { near.x } else { 0.0 };
        let enter = if near.y > enter { near.y } else { enter };
        let enter = if near.z > enter { near.z } else { enter };
        let leave = if far.x < limit { far.x } else { limit };
        let leave = if far.y < leave { far.y } else { leave };
        let leave = if far.z < leave { far.z } else { leave };
        (enter <= leave).then_some(enter)
    }
}

/// A solid in the frame it is intersected in.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A box parallel to the axes.
    Block(Bounds),
    /// A box in any pose, `half` its half sizes along the pose's axes.
    Turned {
        /// The middle and the axes.
        pose: Pose,
        /// Half the size along each axis.
        half: Vec3,
    },
    /// Everything within `radius` of the segment from `a` to `b`; a ball where both are equal.
    Capsule {
        /// One end.
        a: Vec3,
        /// The other end.
        b: Vec3,
        /// Radius in metres.
        radius: f32,
    },
    /// A cylinder with flat ends.
    Cylinder {
        /// The middle of one end.
        a: Vec3,
        /// The middle of the other end.
        b: Vec3,
        /// Radius in metres.
        radius: f32,
    },
}

/// Where a ray meets a solid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contact {
    /// Metres along the ray.
    pub distance: f32,
    /// The outward normal (unit length).
    pub normal: Vec3,
}

/// Contacts nearer than this are taken for the surface the ray starts from.
pub const NEAREST: f32 = 1e-4;

impl Shape {
    /// A block from its middle and sizes.
    pub fn block(center: Vec3, size: Vec3) -> Self {
        let half = size * 0.5;
        Self::Block(Bounds { min: center - half, max: center + half })
    }

    /// The shape as seen from the parent of the frame it is given in.
    pub fn placed(&self, pose: &Pose) -> Self {
        match *self {
            Self::Block(bounds) => {
                let center = pose.apply(bounds.center());
                Self::Turned { pose: Pose { origin: center, axes: pose.axes }, half: (bounds.max - bounds.min) * 0.5 }
            }
            Self::Turned { pose: inner, half } => Self::Turned { pose: pose.then(&inner), half },
            Self::Capsule { a, b, radius } => Self::Capsule { a: pose.apply(a), b: pose.apply(b), radius },
            Self::Cylinder { a, b, radius } => Self::Cylinder { a: pose.apply(a), b: pose.apply(b), radius },
        }
    }

    /// The smallest axis-aligned box around the shape (for a cylinder: around its capsule-free exact extent).
    pub fn bounds(&self) -> Bounds {
        match *self {
            Self::Block(bounds) => bounds,
            Self::Turned { pose, half } => {
                let extent = pose.axes[0].abs() * half.x + pose.axes[1].abs() * half.y + pose.axes[2].abs() * half.z;
                Bounds { min: pose.origin - extent, max: pose.origin + extent }
            }
            Self::Capsule { a, b, radius } => {
                let r = Vec3::splat(radius);
                Bounds { min: a.min(b) - r, max: a.max(b) + r }
            }
            Self::Cylinder { a, b, radius } => {
                let axis = (b - a).normalized();
                let reach = |c: f32| radius * (1.0 - c * c).max(0.0).sqrt();
                let r = vec3(reach(axis.x), reach(axis.y), reach(axis.z));
                Bounds { min: a.min(b) - r, max: a.max(b) + r }
            }
        }
    }

    /// Where a ray from outside first meets the shape, if nearer than `limit`.
    #[inline(always)]
    pub fn contact(&self, ray: &Ray, limit: f32) -> Option<Contact> {
        match self {
            Self::Block(bounds) => block_contact(bounds, ray, limit),
            Self::Turned { pose, half } => {
                let local = Ray::new(pose.unapply(ray.origin), pose.unrotate(ray.direction));
                let bounds = Bounds { min: -*half, max: *half };
                block_contact(&bounds, &local, limit)
                    .map(|contact| Contact { normal: pose.rotate(contact.normal), ..contact })
            }
            Self::Capsule { a, b, radius } => capsule_contact(*a, *b, *radius, ray, limit),
            Self::Cylinder { a, b, radius } => cylinder_contact(*a, *b, *radius, ray, limit),
        }
    }
}

#[inline(always)]
fn block_contact(bounds: &Bounds, ray: &Ray, limit: f32) -> Option<Contact> {
    let a = (bounds.min - ray.origin).scaled(ray.inverse);
    let b = (bounds.max - ray.origin).scaled(ray.inverse);
    let (near, far) = (a.min(b), a.max(b));
    let enter = if near.x > near.y { near.x } else { near.y };
    let enter = if near.z > enter { near.z } else { enter };
    let leave = if far.x < far.y { far.x } else { far.y };
    let leave = if far.z < leave { far.z } else { leave };
    if !(enter <= leave && enter > NEAREST && enter < limit) {
        return None;
    }
    let normal = if enter == near.x {
        vec3(-ray.direction.x.signum(), 0.0, 0.0)
    } else if enter == near.y {
        vec3(0.0, -ray.direction.y.signum(), 0.0)
    } else {
        vec3(0.0, 0.0, -ray.direction.z.signum())
    };
    Some(Contact { distance: enter, normal })
}

#[inline(always)]
fn ball_contact(center: Vec3, radius: f32, ray: &Ray, limit: f32) -> Option<Contact> {
    let to_ray = ray.origin - center;
    let along = to_ray.dot(ray.direction);
    // The offset perpendicular to the ray, rather than |to_ray|^2 - along^2, keeps precision for far, small balls.
    let across = to_ray - ray.direction * along;
    let under_root = radius * radius - across.dot(across);
    if under_root < 0.0 {
        return None;
    }
    let distance = -along - under_root.sqrt();
    (distance > NEAREST && distance < limit)
        .then(|| Contact { distance, normal: (ray.at(distance) - center) * (1.0 / radius) })
}

/// The first meeting with the infinite cylinder's mantle: distance and position along the axis in metres from `a`.
#[inline(always)]
fn mantle_contact(a: Vec3, axis: Vec3, radius: f32, ray: &Ray) -> Option<(f32, f32)> {
    let to_ray = ray.origin - a;
    let (along_direction, along_origin) = (axis.dot(ray.direction), axis.dot(to_ray));
    let direction = ray.direction - axis * along_direction;
    let origin = to_ray - axis * along_origin;
    let square = direction.dot(direction);
    if square < 1e-12 {
        return None;
    }
    let nearest = -origin.dot(direction) / square;
    let across = origin + direction * nearest;
    let under_root = (radius * radius - across.dot(across)) / square;
    if under_root < 0.0 {
        return None;
    }
    let distance = nearest - under_root.sqrt();
    Some((distance, along_origin + distance * along_direction))
}

#[inline(always)]
fn capsule_contact(a: Vec3, b: Vec3, radius: f32, ray: &Ray, limit: f32) -> Option<Contact> {
    let length = (b - a).length();
    if length < 1e-6 {
        return ball_contact(a, radius, ray, limit);
    }
    let axis = (b - a) * (1.0 / length);
    if let Some((distance, along)) = mantle_contact(a, axis, radius, ray)
        && (0.0..=length).contains(&along)
    {
        return (distance > NEAREST && distance < limit)
            .then(|| Contact { distance, normal: (ray.at(distance) - a - axis * along) * (1.0 / radius) });
    }
    match (ball_contact(a, radius, ray, limit), ball_contact(b, radius, ray, limit)) {
        (Some(first), Some(second)) => Some(if first.distance <= second.distance { first } else { second }),
        (first, second) => first.or(second),
    }
}

#[inline(always)]
fn cylinder_contact(a: Vec3, b: Vec3, radius: f32, ray: &Ray, limit: f32) -> Option<Contact> {
    let length = (b - a).length();
    let axis = (b - a) * (1.0 / length);
    if let Some((distance, along)) = mantle_contact(a, axis, radius, ray)
        && (0.0..=length).contains(&along)
    {
        return (distance > NEAREST && distance < limit)
            .then(|| Contact { distance, normal: (ray.at(distance) - a - axis * along) * (1.0 / radius) });
    }
    let toward = axis.dot(ray.direction);
    if toward == 0.0 {
        return None;
    }
    let (end, normal) = if toward > 0.0 { (a, -axis) } else { (b, axis) };
    let distance = (end - ray.origin).dot(axis) / toward;
    let offset = ray.at(distance) - end;
    (distance > NEAREST && distance < limit && offset.dot(offset) <= radius * radius)
        .then_some(Contact { distance, normal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Signed distance to the surface, negative inside: written independently of the ray code.
    fn signed_distance(shape: &Shape, point: Vec3) -> f32 {
        let to_box = |p: Vec3, half: Vec3| {
            let q = p.abs() - half;
            q.max(Vec3::default()).length() + q.x.max(q.y).max(q.z).min(0.0)
        };
        match *shape {
            Shape::Block(bounds) => to_box(point - bounds.center(), (bounds.max - bounds.min) * 0.5),
            Shape::Turned { pose, half } => to_box(pose.unapply(point), half),
            Shape::Capsule { a, b, radius } => {
                let t = ((point - a).dot(b - a) / (b - a).dot(b - a).max(1e-12)).clamp(0.0, 1.0);
                (point - a.lerp(b, t)).length() - radius
            }
            Shape::Cylinder { a, b, radius } => {
                let axis = (b - a).normalized();
                let along = (point - a).dot(axis);
                let across = (point - a - axis * along).length() - radius;
                let ends = (along - (b - a).length() / 2.0).abs() - (b - a).length() / 2.0;
                vec3(across.max(0.0), ends.max(0.0), 0.0).length() + across.max(ends).min(0.0)
            }
        }
    }

    fn vector(reach: f32) -> impl Strategy<Value = Vec3> + Clone {
        (-reach..reach, -reach..reach, -reach..reach).prop_map(|(x, y, z)| vec3(x, y, z))
    }

    fn shape() -> impl Strategy<Value = Shape> {
        let size = (0.1f32..1.0, 0.1f32..1.0, 0.1f32..1.0).prop_map(|(x, y, z)| vec3(x, y, z));
        let ends = (vector(1.0), vector(1.0), 0.1f32..0.8).prop_filter("length", |(a, b, _)| (*b - *a).length() > 0.1);
        prop_oneof![
            (vector(1.0), size.clone()).prop_map(|(center, size)| Shape::block(center, size)),
            (vector(1.0), size, -3.0f32..3.0, -1.0f32..1.0).prop_map(|(origin, half, yaw, pitch)| Shape::Turned {
                pose: Pose::yawed(origin, yaw).then(&Pose::pitched(Vec3::default(), pitch)),
                half
            }),
            ends.clone().prop_map(|(a, b, radius)| Shape::Capsule { a, b, radius }),
            ends.prop_map(|(a, b, radius)| Shape::Cylinder { a, b, radius }),
            (vector(1.0), 0.1f32..0.8).prop_map(|(a, radius)| Shape::Capsule { a, b: a, radius }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn contact_is_the_first_point_on_the_surface(shape in shape(), origin in vector(6.0), target in vector(1.5)) {
            prop_assume!(signed_distance(&shape, origin) > 0.05 && (target - origin).length() > 0.1);
            let ray = Ray::new(origin, (target - origin).normalized());
            let contact = shape.contact(&ray, 20.0);
            let end = contact.map_or(20.0, |c| c.distance);
            for step in 0..400 {
                let distance = end * step as f32 / 400.0;
                prop_assert!(signed_distance(&shape, ray.at(distance)) > -2e-3, "inside at {distance} before {end}");
            }
            if let Some(contact) = contact {
                let point = ray.at(contact.distance);
                prop_assert!(signed_distance(&shape, point).abs() < 2e-3);
                prop_assert!((contact.normal.length() - 1.0).abs() < 1e-2);
                prop_assert!(contact.normal.dot(ray.direction) <= 1e-3);
                prop_assert!(signed_distance(&shape, point + contact.normal * 0.02) > 0.01);
                prop_assert!(shape.contact(&ray, contact.distance * 0.99).is_none());
                let bounds = shape.bounds();
                prop_assert!(bounds.entry(&ray, 20.0).is_some_and(|entry| entry <= contact.distance + 1e-3));
            }
        }

        #[test]
        fn placing_a_shape_moves_its_contacts_along(shape in shape(), origin in vector(6.0), target in vector(1.0), yaw in -3.0f32..3.0, shift in vector(5.0)) {
            prop_assume!(signed_distance(&shape, origin) > 0.05 && (target - origin).length() > 0.1);
            let pose = Pose::yawed(shift, yaw);
            let ray = Ray::new(origin, (target - origin).normalized());
            let moved = Ray::new(pose.apply(origin), pose.rotate(ray.direction));
            let (here, there) = (shape.contact(&ray, 20.0), shape.placed(&pose).contact(&moved, 20.0));
            // Rays that graze an edge may fall on either side of it by rounding.
            if let (Some(here), Some(there)) = (here, there) {
                prop_assert!((here.distance - there.distance).abs() < 0.05);
            }
        }
    }

    #[test]
    fn a_ball_behind_the_ray_is_not_seen() {
        let ball = Shape::Capsule { a: vec3(-3.0, 0.0, 0.0), b: vec3(-3.0, 0.0, 0.0), radius: 1.0 };
        assert!(ball.contact(&Ray::new(Vec3::default(), vec3(1.0, 0.0, 0.0)), 100.0).is_none());
        let contact = ball.contact(&Ray::new(Vec3::default(), vec3(-1.0, 0.0, 0.0)), 100.0).unwrap();
        assert!((contact.distance - 2.0).abs() < 1e-6);
    }
}
