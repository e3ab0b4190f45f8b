//! Rigid transforms: a turn and then a shift, from the coordinates of one frame to those of another.

use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};

use crate::messages;

/// A shift of more metres than this along an axis is a fault: nothing is so far away, and what is composed of shorter ones stays
/// finite.
const FARTHEST: f64 = 1e12;
/// A quaternion whose largest part is less than this says nothing about a turn.
const NO_TURN: f64 = 1e-6;
/// Half the angle between two turns, in radians, below which they lie on a line as far as `f64` can tell.
const ALIKE: f64 = 1e-5;

/// A turn and then a shift in metres: right-handed frames, as REP-103 has them. The numbers are finite.
///
/// The transform of a child frame in its parent takes a point's coordinates in the child to those in the parent.
///
/// ```
/// use distilled_perception::geometry::RigidTransform;
///
/// let robot = RigidTransform::from_yaw([2.0, 0.0, 0.0], std::f64::consts::FRAC_PI_2);
/// let lidar = RigidTransform::from_yaw([0.5, 0.0, 0.2], 0.0);
/// let seen = robot.compose(&lidar).apply([1.0, 0.0, 0.0]);
/// assert!((seen[0] - 2.0).abs() < 1e-12 && (seen[1] - 1.5).abs() < 1e-12 && (seen[2] - 0.2).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RigidTransform(Isometry3<f64>);

impl RigidTransform {
    /// The transform that leaves everything where it is.
    pub fn identity() -> Self {
        Self(Isometry3::identity())
    }

    /// A transform from a shift in metres and a quaternion `x, y, z, w` of any length; nothing where a number is not finite, the
    /// shift is of more than 1e12 m or the quaternion is zero.
    pub fn from_parts(translation: [f64; 3], quaternion_xyzw: [f64; 4]) -> Option<Self> {
        let is_near = translation.iter().all(|shift| shift.abs() <= FARTHEST);
        let largest = quaternion_xyzw.iter().fold(0.0_f64, |largest, part| largest.max(part.abs()));
        let is_turn = quaternion_xyzw.iter().all(|part| part.is_finite()) && largest >= NO_TURN;
        if !is_near || !is_turn {
            return None;
        }
        // Squares of very large parts would overflow.
        let [x, y, z, w] = quaternion_xyzw.map(|part| part / largest);
        let turn = UnitQuaternion::new_normalize(Quaternion::new(w, x, y, z));
        let [x, y, z] = translation;
        Some(Self(Isometry3::from_parts(Translation3::new(x, y, z), turn)))
    }

    /// A transform from a shift in metres and a turn about z in radians, anticlockwise seen from above. The numbers must be finite.
    pub fn from_yaw(translation: [f64; 3], yaw: f64) -> Self {
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw);
        Self(Isometry3::from_parts(Translation3::from(Vector3::from(translation)), turn))
    }

    /// The transform that a message holds; nothing where [`from_parts`](Self::from_parts) gives nothing.
    pub fn from_message(message: &messages::Transform) -> Option<Self> {
        let messages::Vector3 { x, y, z } = message.translation;
        let turn = message.rotation;
        Self::from_parts([x, y, z], [turn.x, turn.y, turn.z, turn.w])
    }

    /// The transform as a message.
    pub fn to_message(&self) -> messages::Transform {
        let [x, y, z] = self.translation();
        let translation = messages::Vector3 { x, y, z };
        let [x, y, z, w] = self.quaternion();
        messages::Transform { translation, rotation: messages::Quaternion { x, y, z, w } }
    }

    /// The way back: `t.inverse().apply(t.apply(p))` is `p`.
    pub fn inverse(&self) -> Self {
        Self(self.0.inverse())
    }

    /// First `inner`, then this: `a.compose(&b).apply(p)` is `a.apply(b.apply(p))`.
    pub fn compose(&self, inner: &Self) -> Self {
        Self(self.0 * inner.0)
    }

    /// The point, turned and shifted; metres.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        self.0.transform_point(&Point3::from(point)).coords.into()
    }

    /// The point, turned and shifted; metres. Reckoned in 64 bits.
    pub fn apply_f32(&self, point: [f32; 3]) -> [f32; 3] {
        self.apply(point.map(f64::from)).map(|coordinate| coordinate as f32)
    }

    /// The direction, turned only.
    pub fn rotate(&self, direction: [f64; 3]) -> [f64; 3] {
        self.0.transform_vector(&Vector3::from(direction)).into()
    }

    /// The transform at a share of the way to another, 0 being this one and 1 the other: the shift along a line, the turn along
    /// the shorter way at constant speed (Shoemake 1985). Shares outside `[0, 1]` count as the nearer end.
    pub fn interpolate(&self, to: &Self, share: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        let shift = self.0.translation.vector.lerp(&to.0.translation.vector, share);
        let (start, mut end) = (self.0.rotation.coords, to.0.rotation.coords);
        // Both signs of a quaternion are the same turn; the one on the same side is reached on the shorter way.
        if start.dot(&end) < 0.0 {
            end = -end;
        }
        let angle = 2.0 * (start - end).norm().atan2((start + end).norm());
        let (near, far) =
            if angle < ALIKE { (1.0 - share, share) } else { (((1.0 - share) * angle).sin(), (share * angle).sin()) };
        let turn = UnitQuaternion::new_normalize(Quaternion::from(start * near + end * far));
        Self(Isometry3::from_parts(Translation3::from(shift), turn))
    }

    /// The shift in metres: where the child frame's origin is in the parent.
    pub fn translation(&self) -> [f64; 3] {
        self.0.translation.vector.into()
    }

    /// The turn as a unit quaternion `x, y, z, w`.
    pub fn quaternion(&self) -> [f64; 4] {
        self.0.rotation.coords.into()
    }

    /// The turn about z in radians, in `[-pi, pi]`: the heading of the turned x axis, seen from above.
    pub fn yaw(&self) -> f64 {
        let [x, y, _] = self.rotate([1.0, 0.0, 0.0]);
        y.atan2(x)
    }

    /// The turn as a matrix, row by row.
    pub fn rotation(&self) -> [[f64; 3]; 3] {
        let matrix = self.0.rotation.to_rotation_matrix();
        std::array::from_fn(|row| std::array::from_fn(|column| matrix[(row, column)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn a_child_is_turned_and_then_shifted() {
        let robot = RigidTransform::from_yaw([1.0, 2.0, 0.5], std::f64::consts::FRAC_PI_2);
        assert_close(&robot.apply([3.0, 0.0, 0.0]), &[1.0, 5.0, 0.5]);
        assert_close(&robot.rotate([3.0, 0.0, 0.0]), &[0.0, 3.0, 0.0]);
        assert_close(&robot.inverse().apply([1.0, 5.0, 0.5]), &[3.0, 0.0, 0.0]);
        assert_close(&robot.rotation().concat(), &[0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_close(&[robot.yaw()], &[std::f64::consts::FRAC_PI_2]);
        assert_eq!(robot.apply_f32([0.0, 0.0, 0.0]), [1.0, 2.0, 0.5]);
    }

    #[test]
    fn quaternions_are_normalised_whatever_their_length() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        for length in [1e-5, 1.0, 1e200] {
            let turned = RigidTransform::from_parts([0.0; 3], [0.0, 0.0, length, length]).unwrap();
            assert_close(&turned.quaternion(), &[0.0, 0.0, half, half]);
        }
    }

    #[test]
    fn what_is_no_transform_is_refused() {
        let turn = [0.0, 0.0, 0.0, 1.0];
        for shift in [[f64::NAN, 0.0, 0.0], [0.0, f64::INFINITY, 0.0], [0.0, 0.0, -1e13]] {
            assert_eq!(RigidTransform::from_parts(shift, turn), None);
        }
        for turn in [[0.0; 4], [f64::NAN, 0.0, 0.0, 1.0], [0.0, f64::INFINITY, 0.0, 1.0]] {
            assert_eq!(RigidTransform::from_parts([0.0; 3], turn), None);
        }
        let zero = messages::Quaternion { x: 0.0, y: 0.0, z: 0.0, w: 0.0 };
        let message = messages::Transform { rotation: zero, ..messages::Transform::default() };
        assert_eq!(RigidTransform::from_message(&message), None);
    }

    #[test]
    fn a_message_comes_back() {
        let transform = RigidTransform::from_parts([1.0, -2.0, 3.0], [0.5, 0.5, -0.5, 0.5]).unwrap();
        let back = RigidTransform::from_message(&transform.to_message()).unwrap();
        assert_close(&back.translation(), &[1.0, -2.0, 3.0]);
        assert_close(&back.quaternion(), &[0.5, 0.5, -0.5, 0.5]);
        let message = messages::Transform::default();
        assert_eq!(RigidTransform::from_message(&message), Some(RigidTransform::identity()));
    }

    #[test]
    fn interpolation_takes_the_shorter_way() {
        let from = RigidTransform::from_yaw([0.0; 3], 3.0);
        let to = RigidTransform::from_yaw([4.0, 0.0, 0.0], -3.0);
        let between = from.interpolate(&to, 0.25);
        // From 3 to -3 radians over pi: 2 pi - 6 in all.
        let expected = 3.0 + 0.25 * (2.0 * std::f64::consts::PI - 6.0);
        assert_close(&[between.yaw(), between.translation()[0]], &[expected, 1.0]);
        for (share, end) in [(-1.0, from), (0.0, from), (1.0, to), (7.0, to)] {
            assert_close(&[from.interpolate(&to, share).yaw()], &[end.yaw()]);
        }
    }

    #[test]
    fn turns_that_are_nearly_alike_interpolate_evenly() {
        for angle in [1e-9, 1e-6, 1.9e-5, 2.1e-5, 1e-3] {
            let from = RigidTransform::identity();
            let to = RigidTransform::from_yaw([0.0; 3], angle);
            let yaw = from.interpolate(&to, 0.3).yaw();
            assert!((yaw - 0.3 * angle).abs() < 1e-15, "{yaw} of {angle}");
        }
    }
}
