//! Vectors and rigid poses of the ray caster, in single precision.
//!
//! Written out by hand and always inlined, because tests render in the dev profile, where generic vector types cost several times as much.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point or direction in metres, or a linear colour (x = red, y = green, z = blue).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vec3 {
    /// First component.
    pub x: f32,
    /// Second component.
    pub y: f32,
    /// Third component.
    pub z: f32,
}

/// Shorthand for a [`Vec3`].
#[inline(always)]
pub const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    /// All components equal.
    #[inline(always)]
    pub const fn splat(value: f32) -> Self {
        vec3(value, value, value)
    }

    /// Scalar product.
    #[inline(always)]
    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    /// Vector product.
    #[inline(always)]
    pub fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    /// Euclidean length.
    #[inline(always)]
    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The direction of this vector; the zero vector stays zero.
    #[inline(always)]
    pub fn normalized(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    /// Product by component.
    #[inline(always)]
    pub fn scaled(self, other: Self) -> Self {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    /// Minimum by component.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        vec3(
            if self.x < other.x { self.x } else { other.x },
            if self.y < other.y { self.y } else { other.y },
            if self.z < other.z { self.z } else { other.z },
        )
    }

    /// Maximum by component.
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        vec3(
            if self.x > other.x { self.x } else { other.x },
            if self.y > other.y { self.y } else { other.y },
            if self.z > other.z { self.z } else { other.z },
        )
    }

    /// Absolute value by component.
    #[inline(always)]
    pub fn abs(self) -> Self {
        vec3(self.x.abs(), self.y.abs(), self.z.abs())
    }

    /// The way from `self` (0) to `other` (1).
    #[inline(always)]
    pub fn lerp(self, other: Self, at: f32) -> Self {
        self + (other - self) * at
    }
}

impl Add for Vec3 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl AddAssign for Vec3 {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Vec3 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Neg for Vec3 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        vec3(-self.x, -self.y, -self.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, factor: f32) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

/// A rigid transform: where a child frame stands in its parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The child's origin in the parent, in metres.
    pub origin: Vec3,
    /// The child's x, y and z axes in the parent: orthonormal, right-handed.
    pub axes: [Vec3; 3],
}

impl Pose {
    /// Child and parent coincide.
    pub const IDENTITY: Self =
        Self { origin: vec3(0.0, 0.0, 0.0), axes: [vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0), vec3(0.0, 0.0, 1.0)] };

    /// A frame at `origin`, parallel to its parent.
    pub fn at(origin: Vec3) -> Self {
        Self { origin, ..Self::IDENTITY }
    }

    /// A frame at `origin`, turned by `yaw` radians about z (anticlockwise seen from above).
    pub fn yawed(origin: Vec3, yaw: f32) -> Self {
        let (sin, cos) = yaw.sin_cos();
        Self { origin, axes: [vec3(cos, sin, 0.0), vec3(-sin, cos, 0.0), vec3(0.0, 0.0, 1.0)] }
    }

    /// A frame at `origin`, turned by `pitch` radians about y (positive = nose down, REP-103).
    pub fn pitched(origin: Vec3, pitch: f32) -> Self {
        let (sin, cos) = pitch.sin_cos();
        Self { origin, axes: [vec3(cos, 0.0, -sin), vec3(0.0, 1.0, 0.0), vec3(sin, 0.0, cos)] }
    }

    /// A direction of the child, seen in the parent.
    #[inline(always)]
    pub fn rotate(&self, v: Vec3) -> Vec3 {
        self.axes[0] * v.x + self.axes[1] * v.y + self.axes[2] * v.z
    }

    /// A point of the child, seen in the parent.
    #[inline(always)]
    pub fn apply(&self, point: Vec3) -> Vec3 {
        self.origin + self.rotate(point)
    }

    /// A direction of the parent, seen in the child.
    #[inline(always)]
    pub fn unrotate(&self, v: Vec3) -> Vec3 {
        vec3(self.axes[0].dot(v), self.axes[1].dot(v), self.axes[2].dot(v))
    }

    /// A point of the parent, seen in the child.
    #[inline(always)]
    pub fn unapply(&self, point: Vec3) -> Vec3 {
        self.unrotate(point - self.origin)
    }

    /// The pose in this frame's parent of something whose pose in this frame is `child`.
    pub fn then(&self, child: &Self) -> Self {
        Self {
            origin: self.apply(child.origin),
            axes: [self.rotate(child.axes[0]), self.rotate(child.axes[1]), self.rotate(child.axes[2])],
        }
    }

    /// The rotation about z in radians, for poses that stand upright.
    pub fn yaw(&self) -> f32 {
        self.axes[0].y.atan2(self.axes[0].x)
    }

    /// The rotation as a unit quaternion `[x, y, z, w]` with `w >= 0`.
    pub fn quaternion(&self) -> [f64; 4] {
        let [x, y, z] = self.axes.map(|axis| [axis.x as f64, axis.y as f64, axis.z as f64]);
        // The largest of the four squared components keeps the division well conditioned (Shepperd 1978).
        let squares =
            [1.0 + x[0] - y[1] - z[2], 1.0 - x[0] + y[1] - z[2], 1.0 - x[0] - y[1] + z[2], 1.0 + x[0] + y[1] + z[2]];
        let largest = (0..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
        let q = match largest {
            0 => [squares[0], x[1] + y[0], z[0] + x[2], y[2] - z[1]],
            1 => [x[1] + y[0], squares[1], y[2] + z[1], z[0] - x[2]],
            2 => [z[0] + x[2], y[2] + z[1], squares[2], x[1] - y[0]],
            _ => [y[2] - z[1], z[0] - x[2], x[1] - y[0], squares[3]],
        };
        let norm = q.iter().map(|c| c * c).sum::<f64>().sqrt();
        let sign = if q[3] < 0.0 { -1.0 } else { 1.0 };
        q.map(|c| sign * c / norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rotate_by_quaternion([x, y, z, w]: [f64; 4], v: Vec3) -> Vec3 {
        let u = vec3(x as f32, y as f32, z as f32);
        let w = w as f32;
        u * (2.0 * u.dot(v)) + v * (w * w - u.dot(u)) + u.cross(v) * (2.0 * w)
    }

    proptest! {
        #[test]
        fn quaternion_turns_as_the_axes_do(yaw in -7.0f32..7.0, pitch in -3.0f32..3.0, turn in -7.0f32..7.0) {
            let pose = Pose::yawed(Vec3::default(), yaw)
                .then(&Pose::pitched(Vec3::default(), pitch))
                .then(&Pose::yawed(Vec3::default(), turn));
            let v = vec3(0.3, -1.2, 2.0);
            prop_assert!((rotate_by_quaternion(pose.quaternion(), v) - pose.rotate(v)).length() < 1e-4);
            prop_assert!((pose.unapply(pose.apply(v)) - v).length() < 1e-4);
        }
    }

    #[test]
    fn pitch_down_looks_at_the_floor() {
        assert!(Pose::pitched(Vec3::default(), 0.1).axes[0].z < 0.0);
        assert!((Pose::yawed(Vec3::default(), 1.3).yaw() - 1.3).abs() < 1e-6);
    }
}
