//! Any bytes as TFMessages and as a CameraInfo, and any numbers in these: no panic, nothing that is not finite comes out, and the
//! buffer's promises hold.

use std::time::Duration;

use distilled_perception::geometry::CameraModel;
use distilled_perception::messages::{
    CameraInfo, Header, Quaternion, RegionOfInterest, TFMessage, Time, Transform, TransformStamped, Vector3,
};
use distilled_perception::sensing::transforms::{MAX_EDGES, TransformBuffer};

use super::source::Source;

/// Few frames, so that most transforms connect.
const FRAMES: [&str; 6] = ["map", "odom", "base_link", "/lidar", "camera", ""];
const MODELS: [&str; 4] = ["", "plumb_bob", "rational_polynomial", "equidistant"];
/// Look-ups of one input at most: each goes over all pairs of frames.
const TIMES: u8 = 4;

pub fn check(bytes: &[u8]) {
    let mut source = Source(bytes);
    // Both halves of what can be fed here, by turns.
    if source.bool() { check_buffer(&mut source) } else { check_cameras(&mut source) }
}

fn check_buffer(source: &mut Source<'_>) {
    let mut buffer = TransformBuffer::new(Duration::from_secs(u64::from(source.u8())));
    let times: Vec<i64> = (0..source.u8() % TIMES).map(|_| source.i64()).collect();
    while !source.is_empty() {
        if source.bool() {
            let is_static = source.bool();
            let Ok(message) = TFMessage::decode(source.bytes()) else { continue };
            for transform in &message.transforms {
                let _ = buffer.insert(transform, is_static).map_err(|error| error.to_string());
            }
        } else {
            sample(source, &mut buffer);
        }
    }
    let frames = buffer.frames();
    assert!(frames.len() <= 2 * MAX_EDGES);
    for time in times {
        for target in frames.iter().take(6) {
            for from in frames.iter().take(6) {
                let found = buffer.lookup(target, from, time);
                assert_eq!(found.is_ok(), buffer.is_known(target, from, time));
                match found {
                    Ok(found) => assert!(found.apply([1.0, 2.0, 3.0]).iter().all(|coordinate| coordinate.is_finite())),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
                let _ = buffer.lookup_latest(target, from);
                let _ = buffer.lookup_through(target, time, from, time.wrapping_mul(3), &frames[0]);
            }
        }
    }
}

/// A transform between two of a few frames.
fn sample(source: &mut Source<'_>, buffer: &mut TransformBuffer) {
    let name = |number: u8| FRAMES[usize::from(number) % FRAMES.len()];
    let (parent, child, is_static) = (name(source.u8()), name(source.u8()), source.bool());
    let stamp = Time { sec: source.i32(), nanosec: source.u32() };
    let [x, y, z, qx, qy, qz, qw] = source.numbers();
    let transform = Transform { translation: Vector3 { x, y, z }, rotation: Quaternion { x: qx, y: qy, z: qz, w: qw } };
    let header = Header { stamp, frame_id: parent };
    let stamped = TransformStamped { header, child_frame_id: child, transform };
    if buffer.insert(&stamped, is_static).is_ok() {
        // What was just taken in is known.
        let found = buffer.lookup(parent, child, stamp.to_nanoseconds());
        assert!(found.is_ok(), "{found:?}");
    }
}

fn check_cameras(source: &mut Source<'_>) {
    let points: Vec<[f64; 3]> = (0..source.u8() % 8).map(|_| source.numbers()).collect();
    if source.bool() {
        if let Ok(info) = CameraInfo::decode(source.0) {
            check_camera(&info, &points);
        }
        return;
    }
    // A camera whose matrix is of the right kind.
    let model = MODELS[usize::from(source.u8()) % MODELS.len()];
    let (width, height) = (u32::from(source.u16()), u32::from(source.u16()));
    let (fx, fy) = (f64::from(source.u16()), f64::from(source.u16()));
    let [cx, cy] = source.numbers();
    let (binning_x, binning_y) = (u32::from(source.u8()), u32::from(source.u8()));
    let roi = RegionOfInterest {
        x_offset: u32::from(source.u8()),
        y_offset: u32::from(source.u8()),
        width: u32::from(source.u8()),
        height: u32::from(source.u8()),
        do_rectify: false,
    };
    let d = (0..source.u8() % 16).map(|_| source.f64()).collect();
    let info = CameraInfo {
        width,
        height,
        distortion_model: model,
        d,
        k: [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        binning_x,
        binning_y,
        roi,
        ..CameraInfo::default()
    };
    check_camera(&info, &points);
}

fn check_camera(info: &CameraInfo<'_>, points: &[[f64; 3]]) {
    let camera = match CameraModel::from_info(info) {
        Ok(camera) => camera,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((1..=info.width).contains(&camera.width) && (1..=info.height).contains(&camera.height));
    for &point in points {
        if let Some(pixel) = camera.project(point) {
            assert!(pixel.iter().all(|coordinate| coordinate.is_finite()));
        }
        let pixel = [point[0], point[1]];
        let [x, y, z] = camera.unproject(pixel);
        if pixel.iter().all(|coordinate| coordinate.abs() < 1e6) {
            assert!((x.hypot(y).hypot(z) - 1.0).abs() < 1e-9, "{pixel:?} is seen from {x} {y} {z}");
        }
    }
}
