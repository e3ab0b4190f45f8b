//! The camera model against OpenCV's formulas (fixture by scripts/reference/camera_model.py), and what must hold of any camera.

use distilled_perception::{geometry::CameraModel, messages::CameraInfo};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Camera {
    name: String,
    width: u32,
    height: u32,
    k: [f64; 9],
    model: String,
    d: Vec<f64>,
    reach_degrees: f64,
    points: Vec<[f64; 3]>,
    pixels: Vec<[f64; 2]>,
}

impl Camera {
    fn model(&self) -> CameraModel {
        let info = CameraInfo {
            width: self.width,
            height: self.height,
            k: self.k,
            distortion_model: &self.model,
            d: self.d.clone(),
            ..CameraInfo::default()
        };
        CameraModel::from_info(&info).unwrap()
    }
}

fn cameras() -> Vec<Camera> {
    serde_json::from_str(include_str!("fixtures/geometry/camera_model.json")).unwrap()
}

fn unit([x, y, z]: [f64; 3]) -> [f64; 3] {
    let length = (x * x + y * y + z * z).sqrt();
    [x / length, y / length, z / length]
}

fn distance<const N: usize>(a: [f64; N], b: [f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn projects_as_opencv_does_and_sees_back() {
    let cameras = cameras();
    assert_eq!(cameras.len(), 9);
    for camera in cameras {
        let model = camera.model();
        assert_eq!(camera.points.len(), camera.pixels.len());
        for (&point, &pixel) in camera.points.iter().zip(&camera.pixels) {
            let found = model.project(point).unwrap_or_else(|| panic!("{}: {point:?} is not shown", camera.name));
            assert!(distance(found, pixel) < 1e-7, "{}: {point:?} at {found:?}, not {pixel:?}", camera.name);
            let direction = model.unproject(pixel);
            let miss = distance(direction, unit(point));
            assert!(miss < 1e-9, "{}: {pixel:?} is seen from {direction:?}, off by {miss}", camera.name);
        }
    }
}

#[test]
fn nothing_is_shown_where_the_picture_turns_back() {
    for camera in cameras() {
        let model = camera.model();
        for side in [0.0_f64, 1.0, 2.5, -2.0] {
            let point = |degrees: f64| {
                let radius = degrees.to_radians().tan();
                [radius * side.cos(), radius * side.sin(), 1.0]
            };
            let reach = camera.reach_degrees;
            if reach < 90.0 {
                assert_eq!(model.project(point(reach + 0.2)), None, "{}", camera.name);
            }
            assert!(model.project(point(reach.min(89.0) - 0.2)).is_some(), "{}", camera.name);
        }
    }
}

/// A camera as it may come from a calibration.
#[derive(Debug, Clone)]
struct Any {
    model: CameraModel,
    /// The tangent of the angle from the axis up to which every such lens shows something.
    widest: f64,
    k: [f64; 9],
}

fn any_camera() -> impl Strategy<Value = Any> {
    let small = -0.002..0.002_f64;
    let polynomial = (-0.35..0.35_f64, -0.1..0.15_f64, small.clone(), small, -0.02..0.02_f64)
        .prop_map(|(k1, k2, p1, p2, k3)| ("plumb_bob", vec![k1, k2, p1, p2, k3]));
    let fisheye = (-0.05..0.05_f64, -0.02..0.02_f64, -0.01..0.01_f64, -0.002..0.002_f64)
        .prop_map(|(k1, k2, k3, k4)| ("equidistant", vec![k1, k2, k3, k4]));
    let lens = prop_oneof![Just(("", Vec::<f64>::new())), polynomial, fisheye];
    (lens, 100.0..2000.0_f64, 100.0..2000.0_f64, 0.0..1920.0_f64, 0.0..1080.0_f64).prop_map(
        |((distortion_model, d), fx, fy, cx, cy)| {
            let k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0];
            let widest = if distortion_model == "equidistant" { 3.0 } else { 0.7 };
            let info = CameraInfo { width: 1920, height: 1080, k, distortion_model, d, ..CameraInfo::default() };
            Any { model: CameraModel::from_info(&info).unwrap(), widest, k }
        },
    )
}

proptest! {
    #[test]
    fn points_are_seen_where_they_are(camera in any_camera(), x in -0.7..0.7_f64, y in -0.7..0.7_f64, z in 0.1..50.0_f64) {
        let point = [x * camera.widest * z, y * camera.widest * z, z];
        let pixel = camera.model.project(point);
        prop_assert!(pixel.is_some(), "{point:?} is not shown");
        let direction = camera.model.unproject(pixel.unwrap_or_default());
        prop_assert!(distance(direction, unit(point)) < 1e-9, "{point:?} is seen from {direction:?}");
    }

    #[test]
    fn pixels_show_what_they_are_seen_from(camera in any_camera(), x in -0.28..0.28_f64, y in -0.28..0.28_f64) {
        let pixel = [camera.k[2] + camera.k[0] * x, camera.k[5] + camera.k[4] * y];
        let again = camera.model.project(camera.model.unproject(pixel));
        prop_assert!(again.is_some_and(|again| distance(again, pixel) < 1e-6), "{again:?} is not {pixel:?}");
    }

    #[test]
    fn every_pixel_is_seen_from_a_direction(camera in any_camera(), u in -1e6..1e6_f64, v in -1e6..1e6_f64) {
        let direction = camera.model.unproject([u, v]);
        prop_assert!((distance(direction, [0.0; 3]) - 1.0).abs() < 1e-12, "{direction:?}");
    }
}
