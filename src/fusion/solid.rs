//! What the lidar found, as boxes on the floor.

use nalgebra::{Matrix2, Vector2};

use super::{CameraBox, FusionOptions, LidarObjects, evidence::combine, strongest};
use crate::{
    model::lidar::LidarObject,
    tracking::{Measurement, Source, profile_of},
};

/// Sides outside these are no object's, in metres.
const LEAST_SIDE: f64 = 0.05;
const MOST_SIDE: f64 = 30.0;

/// One lidar object in the target frame and what cameras say about it.
#[derive(Debug, Clone)]
pub(super) struct Solid {
    class: usize,
    score: f32,
    position: [f64; 3],
    size: [f64; 3],
    yaw: f64,
    deviation: f64,
    source: Source,
}

impl Solid {
    /// All objects whose numbers make sense, of too many those of the best scores.
    pub fn all(lidar: &LidarObjects<'_>, options: &FusionOptions) -> Vec<Self> {
        let turn = lidar.sensor_in_target.yaw();
        let of = |object: &LidarObject| {
            let center = object.center.map(f64::from);
            let yaw = f64::from(object.yaw);
            if !(center.iter().all(|value| value.is_finite()) && object.score.is_finite()) {
                return None;
            }
            let typical = profile_of(&options.profiles, object.class).size;
            let mut size = object.size.map(f64::from);
            for (side, typical) in size.iter_mut().zip(typical) {
                if !(LEAST_SIDE..=MOST_SIDE).contains(&*side) {
                    *side = typical;
                }
            }
            let mut position = lidar.sensor_in_target.apply(center);
            // Nothing is under the floor: the student of a flat scan may not know how high above it the middle is.
            position[2] = position[2].max(size[2] / 2.0);
            let range = center[0].hypot(center[1]);
            Some(Self {
                class: object.class,
                score: object.score.clamp(0.0, 1.0),
                position,
                size,
                yaw: turn + if yaw.is_finite() { yaw } else { 0.0 },
                deviation: options.lidar_deviation + options.lidar_deviation_per_metre * range,
                source: Source::Lidar,
            })
        };
        strongest(lidar.objects.iter().filter_map(of), |solid| solid.score)
    }

    /// Takes in what a camera says about it.
    pub fn hear(&mut self, detection: &CameraBox) {
        (self.class, self.score) = combine((self.class, self.score), (detection.class, detection.score));
        self.source = Source::Both;
    }

    /// Index of its class.
    pub fn class(&self) -> usize {
        self.class
    }

    /// x and y of its middle.
    pub fn place(&self) -> Vector2<f64> {
        Vector2::new(self.position[0], self.position[1])
    }

    /// The middle of its lower face, in metres.
    pub fn foot(&self) -> [f64; 3] {
        let [x, y, z] = self.position;
        [x, y, z - self.size[2] / 2.0]
    }

    /// Covariance of x and y: the same to every side.
    pub fn covariance(&self) -> Matrix2<f64> {
        Matrix2::<f64>::identity() * (self.deviation * self.deviation)
    }

    /// Points along the box's edges, corners included: what a camera sees of it lies between their projections.
    pub fn outline(&self) -> Vec<[f64; 3]> {
        let corner = |number: usize| {
            let side = |axis: usize| if (number >> axis) & 1 == 1 { 0.5 } else { -0.5 };
            let (along, across) = (side(0) * self.size[0], side(1) * self.size[1]);
            let (sin, cos) = self.yaw.sin_cos();
            [
                self.position[0] + along * cos - across * sin,
                self.position[1] + along * sin + across * cos,
                self.position[2] + side(2) * self.size[2],
            ]
        };
        let mut points = Vec::with_capacity(12 * (PARTS + 1));
        for (from, to) in (0..8usize).flat_map(|from| (0..3).map(move |axis| (from, from | (1 << axis)))) {
            if from == to {
                continue;
            }
            let (from, to) = (corner(from), corner(to));
            for part in 0..=PARTS {
                let share = part as f64 / PARTS as f64;
                let at = |axis: usize| from[axis] + share * (to[axis] - from[axis]);
                points.push([at(0), at(1), at(2)]);
            }
        }
        points
    }

    /// As a measurement.
    pub fn measurement(&self) -> Measurement {
        let variance = self.deviation * self.deviation;
        Measurement {
            class: self.class,
            score: self.score,
            position: self.position,
            covariance: [[variance, 0.0], [0.0, variance]],
            size: self.size,
            yaw: self.yaw,
            source: self.source,
        }
    }
}

/// Into how many parts an edge is cut: of one that runs behind the camera some parts are still in front of it.
const PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::RigidTransform;

    fn all(object: LidarObject, sensor_in_target: RigidTransform) -> Vec<Solid> {
        let options = FusionOptions::for_classes(&["person".into()]);
        Solid::all(&LidarObjects { objects: &[object], sensor_in_target }, &options)
    }

    fn object(center: [f32; 3], size: [f32; 3], yaw: f32) -> LidarObject {
        LidarObject { class: 0, score: 0.7, center, size, yaw, points: 12 }
    }

    #[test]
    fn boxes_are_turned_with_the_sensor_and_cut_into_edges() {
        let turned = RigidTransform::from_yaw([1.0, 0.0, 0.5], std::f64::consts::FRAC_PI_2);
        let solids = all(object([2.0, 0.0, 0.5], [2.0, 1.0, 2.0], 0.0), turned);
        assert!((solids[0].place() - Vector2::new(1.0, 2.0)).norm() < 1e-6);
        let outline = solids[0].outline();
        assert_eq!(outline.len(), 12 * (PARTS + 1));
        let range = |axis: usize| {
            let values = outline.iter().map(|point| point[axis]);
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        for (axis, expected) in [(0, (0.5, 1.5)), (1, (1.0, 3.0)), (2, (0.0, 2.0))] {
            let (low, high) = range(axis);
            assert!((low - expected.0).abs() < 1e-6 && (high - expected.1).abs() < 1e-6, "{axis}: {low} {high}");
        }
    }

    #[test]
    fn boxes_stand_on_the_floor_and_have_a_size() {
        let scan = RigidTransform::from_yaw([0.0, 0.0, 0.2], 0.0);
        let solids = all(object([3.0, 0.0, 0.0], [0.5, f32::NAN, 1.6], 0.0), scan);
        assert!(solids[0].foot()[2].abs() < 1e-6);
        assert_eq!(solids[0].measurement().size[1], 0.5);
        assert!(all(object([f32::NAN, 0.0, 0.0], [0.5, 0.5, 1.7], 0.0), scan).is_empty());
    }
}
