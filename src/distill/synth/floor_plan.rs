//! Which parts of a hall's floor are taken: what stands there, and every place where something passes at any time.

use super::building::Hall;
use super::motion::robot_lane;
use super::shapes::Bounds;
use super::traffic::{Actor, Traffic};
use super::vector::{Pose, Vec3, vec3};

/// The robot's body, with room for its weaving.
const ROBOT: Bounds = Bounds { min: vec3(-0.5, -0.5, 0.0), max: vec3(0.5, 0.5, 1.7) };
/// Nothing is put nearer to a wall, in metres: doors, posts and extinguishers stand out from it.
const WALL_MARGIN: f32 = 0.35;

/// A rectangle on the floor, seen from above.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    center: Vec3,
    /// The directions of the sides (unit length).
    axes: [Vec3; 2],
    /// Half the lengths of the sides.
    half: [f32; 2],
}

impl Footprint {
    /// The floor below a box in the frame that stands upright at `pose`, and `margin` metres around it.
    pub fn under(bounds: &Bounds, pose: &Pose, margin: f32) -> Self {
        let (center, half) = (pose.apply(bounds.center()), (bounds.max - bounds.min) * 0.5);
        Self {
            center: vec3(center.x, center.y, 0.0),
            axes: [pose.axes[0], pose.axes[1]],
            half: [half.x + margin, half.y + margin],
        }
    }

    /// Half the length of its shadow on a line in direction `axis`.
    fn shadow(&self, axis: Vec3) -> f32 {
        self.half[0] * self.axes[0].dot(axis).abs() + self.half[1] * self.axes[1].dot(axis).abs()
    }

    /// True when both have some floor in common: when no side separates them (separating axis theorem).
    pub fn overlaps(&self, other: &Self) -> bool {
        let way = other.center - self.center;
        let near = self.half[0] + self.half[1] + other.half[0] + other.half[1];
        let is_shared = |axis: &Vec3| way.dot(*axis).abs() < self.shadow(*axis) + other.shadow(*axis);
        way.dot(way) < near * near && self.axes.iter().chain(&other.axes).all(is_shared)
    }
}

/// The floor below everything that an actor fills at any time, and `margin` metres around it.
pub fn under_way(actor: &Actor, hall: &Hall, margin: f32) -> Vec<Footprint> {
    let extent = actor.extent();
    actor.motion.places(&hall.route).iter().map(|pose| Footprint::under(&extent, pose, margin)).collect()
}

/// What is taken of a hall's floor, and by which actor's number; by none where it stands for good.
#[derive(Debug, Clone)]
pub struct FloorPlan {
    taken: Vec<(Option<usize>, Footprint)>,
    /// What is put there reaches no farther from the middle along x and y.
    limits: [f32; 2],
}

impl FloorPlan {
    /// The floor with racks, the robot's lane, and all that the traffic has.
    pub fn new(hall: &Hall, traffic: &Traffic) -> Self {
        let limits = [hall.wall_x - WALL_MARGIN, hall.wall_y - WALL_MARGIN];
        let mut plan = Self { taken: Vec::new(), limits };
        plan.take(hall.racks().iter().map(|rack| Footprint::under(rack, &Pose::IDENTITY, 0.0)));
        plan.take(robot_lane(&hall.route).iter().map(|pose| Footprint::under(&ROBOT, pose, 0.0)));
        plan.take(traffic.parked.iter().map(|(_, thing, pose)| Footprint::under(&thing.bounds(), pose, 0.0)));
        for (clutter, pose) in &traffic.clutter {
            plan.take(clutter.pieces.iter().map(|piece| Footprint::under(&piece.bounds(), pose, 0.0)));
        }
        for (number, actor) in traffic.actors.iter().enumerate() {
            plan.assign(number, under_way(actor, hall, 0.0));
        }
        plan
    }

    /// Something stands there for good.
    pub fn take(&mut self, footprints: impl IntoIterator<Item = Footprint>) {
        self.taken.extend(footprints.into_iter().map(|footprint| (None, footprint)));
    }

    /// An actor's way, in the place of the one it had.
    pub fn assign(&mut self, actor: usize, way: Vec<Footprint>) {
        self.taken.retain(|(owner, _)| *owner != Some(actor));
        self.taken.extend(way.into_iter().map(|footprint| (Some(actor), footprint)));
    }

    /// True when nothing but that actor is ever there, and no wall.
    pub fn is_free(&self, footprint: &Footprint, actor: Option<usize>) -> bool {
        let reaches = [footprint.shadow(vec3(1.0, 0.0, 0.0)), footprint.shadow(vec3(0.0, 1.0, 0.0))];
        footprint.center.x.abs() + reaches[0] <= self.limits[0]
            && footprint.center.y.abs() + reaches[1] <= self.limits[1]
            && !self
                .taken
                .iter()
                .any(|(owner, taken)| (actor.is_none() || *owner != actor) && taken.overlaps(footprint))
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_4;

    use super::*;

    #[test]
    fn rectangles_overlap_when_no_side_is_between_them() {
        let plate = Bounds { min: vec3(-1.0, -0.5, 0.0), max: vec3(1.0, 0.5, 1.0) };
        let at = |x: f32, y: f32, yaw: f32| Footprint::under(&plate, &Pose::yawed(vec3(x, y, 3.0), yaw), 0.0);
        let still = at(0.0, 0.0, 0.0);
        assert!(still.overlaps(&at(1.9, 0.0, 0.0)) && !still.overlaps(&at(2.1, 0.0, 0.0)));
        assert!(still.overlaps(&at(0.0, 0.9, 0.0)) && !still.overlaps(&at(0.0, 1.1, 0.0)));
        // Turned by 45 degrees its corner reaches 1.06 m along x and y.
        assert!(still.overlaps(&at(2.0, 0.0, FRAC_PI_4)) && !still.overlaps(&at(2.1, 0.0, FRAC_PI_4)));
        // Beside a slanted side, though the boxes around both along x and y would overlap.
        assert!(!still.overlaps(&at(1.5, 1.0, -FRAC_PI_4)) && still.overlaps(&at(1.5, 1.0, FRAC_PI_4)));
        let grown = Footprint::under(&plate, &Pose::at(vec3(2.1, 0.0, 0.0)), 0.2);
        assert!(still.overlaps(&grown) && grown.overlaps(&still));
    }
}
