//! Any bytes as TFMessages and as a CameraInfo, and any numbers in these: no panic, nothing that is not finite comes out, and the
//! buffer's promises hold.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use distilled_perception::geometry::CameraModel;
use distilled_perception::messages::{
    CameraInfo, Header, Quaternion, RegionOfInterest, TFMessage, Time, Transform, TransformStamped, Vector3,
};
use distilled_perception::sensing::transforms::{MAX_EDGES, TransformBuffer};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    keep_seconds: u8,
    /// As they lie in a message, and whether they are of /tf_static.
    messages: Vec<(&'a [u8], bool)>,
    samples: Vec<Sample>,
    times: Vec<i64>,
    info: &'a [u8],
    camera: Camera,
    points: Vec<[f64; 3]>,
}

/// A transform between two of a few frames, so that most of them connect.
#[derive(Debug, Arbitrary)]
struct Sample {
    parent: u8,
    child: u8,
    sec: i32,
    nanosec: u32,
    translation: [f64; 3],
    rotation: [f64; 4],
    is_static: bool,
}

/// A camera whose matrix is of the right kind.
#[derive(Debug, Arbitrary)]
struct Camera {
    model: u8,
    size: (u16, u16),
    focal: [u16; 2],
    center: [f64; 2],
    d: Vec<f64>,
    binning: (u8, u8),
    roi: (u8, u8, u8, u8),
}

const FRAMES: [&str; 6] = ["map", "odom", "base_link", "/lidar", "camera", ""];
const MODELS: [&str; 4] = ["", "plumb_bob", "rational_polynomial", "equidistant"];

fn check_buffer(input: &Input<'_>) {
    let mut buffer = TransformBuffer::new(Duration::from_secs(u64::from(input.keep_seconds)));
    for (bytes, is_static) in &input.messages {
        let Ok(message) = TFMessage::decode(bytes) else { continue };
        for transform in &message.transforms {
            let _ = buffer.insert(transform, *is_static).map_err(|error| error.to_string());
        }
    }
    for sample in &input.samples {
        let name = |number: u8| FRAMES[usize::from(number) % FRAMES.len()];
        let header = Header { stamp: Time { sec: sample.sec, nanosec: sample.nanosec }, frame_id: name(sample.parent) };
        let ([x, y, z], [qx, qy, qz, qw]) = (sample.translation, sample.rotation);
        let rotation = Quaternion { x: qx, y: qy, z: qz, w: qw };
        let transform = Transform { translation: Vector3 { x, y, z }, rotation };
        let stamped = TransformStamped { header, child_frame_id: name(sample.child), transform };
        if buffer.insert(&stamped, sample.is_static).is_ok() {
            // What was just taken in is known.
            let found = buffer.lookup(header.frame_id, stamped.child_frame_id, header.stamp.to_nanoseconds());
            assert!(found.is_ok(), "{found:?}");
        }
    }
    let frames = buffer.frames();
    assert!(frames.len() <= 2 * MAX_EDGES);
    for time in input.times.iter().take(4) {
        for target in frames.iter().take(6) {
            for source in frames.iter().take(6) {
                match buffer.lookup(target, source, *time) {
                    Ok(found) => assert!(found.apply([1.0, 2.0, 3.0]).iter().all(|coordinate| coordinate.is_finite())),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
                let _ = buffer.lookup_latest(target, source);
                let _ = buffer.lookup_through(target, *time, source, time.wrapping_mul(3), &frames[0]);
            }
        }
    }
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

fuzz_target!(|input: Input<'_>| {
    check_buffer(&input);
    if let Ok(info) = CameraInfo::decode(input.info) {
        check_camera(&info, &input.points);
    }
    let Camera { model, size, focal, center, d, binning, roi } = &input.camera;
    let k = [f64::from(focal[0]), 0.0, center[0], 0.0, f64::from(focal[1]), center[1], 0.0, 0.0, 1.0];
    let info = CameraInfo {
        width: u32::from(size.0),
        height: u32::from(size.1),
        distortion_model: MODELS[usize::from(*model) % MODELS.len()],
        d: d.clone(),
        k,
        binning_x: u32::from(binning.0),
        binning_y: u32::from(binning.1),
        roi: RegionOfInterest {
            x_offset: u32::from(roi.0),
            y_offset: u32::from(roi.1),
            width: u32::from(roi.2),
            height: u32::from(roi.3),
            do_rectify: false,
        },
        ..CameraInfo::default()
    };
    check_camera(&info, &input.points);
});
