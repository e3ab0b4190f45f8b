//! Any numbers as what cameras and a lidar found, and as the places and times of these sensors: no panic on the way over tracks to the
//! points of the costmap, nothing that is not finite comes out, and the promises of fusion and tracks hold.

use distilled_perception::fusion::footprint::{FootprintOptions, fill_around};
use distilled_perception::fusion::{CameraBox, CameraBoxes, FusionOptions, LidarObjects, fuse};
use distilled_perception::geometry::{Box2, CameraModel, RigidTransform};
use distilled_perception::messages::CameraInfo;
use distilled_perception::model::lidar::LidarObject;
use distilled_perception::tracking::{Measurement, Track, Tracker, TrackerOptions};

use super::source::Source;

/// One number more than there are is a class that nobody knows.
const CLASSES: [&str; 3] = ["person", "forklift", "pallet"];
/// Sensors, what each of them finds, and moments of one input at most.
const MOST_CAMERAS: u8 = 3;
const MOST_FOUND: u8 = 10;
const MOST_MOMENTS: usize = 16;

pub fn check(bytes: &[u8]) {
    let mut source = Source(bytes);
    let classes = CLASSES.map(str::to_owned);
    let options = FusionOptions::for_classes(&classes);
    let mut tracker = Tracker::new(TrackerOptions::for_classes(&classes), CLASSES.len());
    let footprints = FootprintOptions { max_points: 200, ..FootprintOptions::for_classes(&classes) };
    let Ok(model) = CameraModel::from_info(&calibration()) else { panic!("the calibration is good") };
    let mut time = source.i64();
    for _ in 0..MOST_MOMENTS {
        if source.is_empty() {
            break;
        }
        // Mostly within what a clock goes on between two messages, now and then anywhere.
        time = if source.u8() > 0 { time.wrapping_add(i64::from(source.i32())) } else { source.i64() };
        let cameras: Vec<(RigidTransform, Vec<CameraBox>)> = (0..source.u8() % (MOST_CAMERAS + 1))
            .map(|_| {
                (mount(&mut source), (0..source.u8() % (MOST_FOUND + 1)).map(|_| found_box(&mut source)).collect())
            })
            .collect();
        let lidar: Option<(RigidTransform, Vec<LidarObject>)> = source.bool().then(|| {
            (mount(&mut source), (0..source.u8() % (MOST_FOUND + 1)).map(|_| found_object(&mut source)).collect())
        });
        let given = cameras.iter().map(|(_, boxes)| boxes.len()).sum::<usize>();
        let given = given + lidar.as_ref().map_or(0, |(_, objects)| objects.len());
        let cameras: Vec<CameraBoxes<'_>> = cameras
            .iter()
            .map(|(mount, boxes)| CameraBoxes { detections: boxes, model: &model, optical_in_target: *mount })
            .collect();
        let lidar = lidar.as_ref().map(|(mount, objects)| LidarObjects { objects, sensor_in_target: *mount });
        let found = fuse(&cameras, lidar.as_ref(), &options);
        assert!(found.len() <= given, "{} of {given}", found.len());
        found.iter().for_each(check_measurement);

        let in_view = |place: [f64; 3]| place[0] > 0.0;
        let report = if lidar.is_some() {
            tracker.update_by_lidar(time, &found, &in_view)
        } else {
            tracker.update(time, &found, &in_view)
        };
        assert!(report.matched + report.born + report.refused <= found.len(), "{report:?}");
        let tracks = tracker.predicted(time);
        assert!(tracks.windows(2).all(|pair| pair[0].id < pair[1].id), "{tracks:?}");
        tracks.iter().for_each(check_track);
        let points = fill_around(&tracks, Some([0.0; 2]), &footprints);
        assert!(points.len() <= footprints.max_points * tracks.len());
        assert!(points.iter().flatten().all(|coordinate| coordinate.is_finite()));
    }
}

/// A camera of 640 x 480 pixels.
fn calibration() -> CameraInfo<'static> {
    let k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0];
    CameraInfo { width: 640, height: 480, distortion_model: "plumb_bob", d: vec![0.0; 5], k, ..CameraInfo::default() }
}

/// Where a sensor is: within 8 m of the origin, or anywhere.
fn mount(source: &mut Source<'_>) -> RigidTransform {
    let numbers: [f64; 7] = if source.bool() {
        std::array::from_fn(|_| f64::from(source.u8().cast_signed()) / 16.0)
    } else {
        source.numbers()
    };
    let [x, y, z, qx, qy, qz, qw] = numbers;
    RigidTransform::from_parts([x, y, z], [qx, qy, qz, qw]).unwrap_or_else(RigidTransform::identity)
}

/// Metres or pixels up to a thousand, or any number and none.
fn number(source: &mut Source<'_>) -> f32 {
    if source.bool() { f32::from(source.u16().cast_signed()) / 32.0 } else { f32::from_bits(source.u32()) }
}

fn class(source: &mut Source<'_>) -> usize {
    usize::from(source.u8()) % (CLASSES.len() + 1)
}

/// Some are more than certain.
fn score(source: &mut Source<'_>) -> f32 {
    f32::from(source.u8()) / 200.0
}

fn found_box(source: &mut Source<'_>) -> CameraBox {
    let (class, score) = (class(source), score(source));
    let [x_min, y_min, x_max, y_max] = std::array::from_fn(|_| number(source));
    CameraBox { class, score, bbox: Box2::new(x_min, y_min, x_max, y_max) }
}

fn found_object(source: &mut Source<'_>) -> LidarObject {
    let (class, score) = (class(source), score(source));
    let [x, y, z, length, width, height, yaw] = std::array::from_fn(|_| number(source));
    LidarObject { class, score, center: [x, y, z], size: [length, width, height], yaw, points: 5 }
}

fn check_measurement(one: &Measurement) {
    assert!(one.class <= CLASSES.len() && (0.0..=1.0).contains(&one.score), "{one:?}");
    let numbers = one.position.iter().chain(&one.size).chain([&one.yaw]).chain(one.covariance.as_flattened());
    assert!(numbers.copied().all(f64::is_finite), "{one:?}");
    assert!(one.covariance[0][0] >= 0.0 && one.covariance[1][1] >= 0.0, "{one:?}");
}

fn check_track(track: &Track) {
    assert!(track.class < CLASSES.len() && (0.0..=1.0).contains(&track.score), "{track:?}");
    let numbers = track.position.iter().chain(&track.velocity).chain(&track.size).chain([&track.yaw]);
    assert!(numbers.chain(track.covariance.as_flattened()).copied().all(f64::is_finite), "{track:?}");
    assert!((0..4).all(|place| track.covariance[place][place] > 0.0), "{track:?}");
}
