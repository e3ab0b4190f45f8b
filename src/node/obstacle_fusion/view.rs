//! What a sensor could see.

use crate::geometry::{CameraModel, RigidTransform};

/// Share of an image, at each edge, where half an object may be outside.
const MARGIN: f64 = 0.05;

/// Where a sensor would have reported an object, in the target frame: only there a track that it does not report is missed.
#[derive(Debug)]
pub(super) enum View {
    /// What is in the image and not too far.
    Camera {
        /// The camera.
        model: CameraModel,
        /// From the target frame to the optical frame.
        target_to_optical: RigidTransform,
        /// In metres.
        range: f64,
    },
    /// A sector about the sensor's x axis.
    Lidar {
        /// From the target frame to the sensor's.
        target_to_sensor: RigidTransform,
        /// In metres, in the plane.
        range: f64,
        /// The whole angle in radians.
        field_of_view: f64,
    },
}

impl View {
    /// Whether an object at a point of the target frame would be seen.
    pub(super) fn contains(&self, point: [f64; 3]) -> bool {
        match self {
            Self::Camera { model, target_to_optical, range } => {
                let seen = target_to_optical.apply(point);
                let distance = seen.iter().map(|value| value * value).sum::<f64>().sqrt();
                let Some([u, v]) = model.project(seen) else { return false };
                let inside = |pixel: f64, size: u32| {
                    let (size, margin) = (f64::from(size), MARGIN * f64::from(size));
                    // CameraInfo counts from the middle of the first pixel.
                    (margin..size - margin).contains(&(pixel + 0.5))
                };
                distance <= *range && inside(u, model.width) && inside(v, model.height)
            }
            Self::Lidar { target_to_sensor, range, field_of_view } => {
                let [x, y, _] = target_to_sensor.apply(point);
                x.hypot(y) <= *range && y.atan2(x).abs() <= field_of_view / 2.0
            }
        }
    }

    /// In which direction, in radians to the left, and how far, in metres, a point of the target frame is seen along the floor.
    pub(super) fn direction(&self, point: [f64; 3]) -> (f64, f64) {
        let (ahead, left) = match self {
            Self::Camera { target_to_optical, .. } => {
                let [right, _, ahead] = target_to_optical.apply(point);
                (ahead, -right)
            }
            Self::Lidar { target_to_sensor, .. } => {
                let [ahead, left, _] = target_to_sensor.apply(point);
                (ahead, left)
            }
        };
        (left.atan2(ahead), ahead.hypot(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::CameraInfo;

    #[test]
    fn a_lidar_sees_its_sector() {
        let sensor_in_target = RigidTransform::from_yaw([1.0, 0.0, 0.3], std::f64::consts::FRAC_PI_2);
        let view = View::Lidar {
            target_to_sensor: sensor_in_target.inverse(),
            range: 5.0,
            field_of_view: std::f64::consts::PI,
        };
        assert!(view.contains([1.0, 4.0, 0.0]));
        assert!(!view.contains([1.0, 5.5, 0.0]));
        assert!(!view.contains([1.0, -1.0, 0.0]));
    }

    #[test]
    fn a_camera_sees_its_image() {
        let info = CameraInfo {
            width: 100,
            height: 80,
            distortion_model: "plumb_bob",
            k: [100.0, 0.0, 49.5, 0.0, 100.0, 39.5, 0.0, 0.0, 1.0],
            ..Default::default()
        };
        let model = CameraModel::from_info(&info).unwrap();
        let view = View::Camera { model, target_to_optical: RigidTransform::identity(), range: 6.0 };
        assert!(view.contains([0.0, 0.0, 5.0]));
        assert!(view.contains([2.0, 0.0, 5.0]));
        assert!(!view.contains([2.4, 0.0, 5.0]), "half of it would be outside");
        assert!(!view.contains([0.0, 0.0, 7.0]));
        assert!(!view.contains([0.0, 0.0, -5.0]));
    }
}
