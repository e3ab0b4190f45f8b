//! From messages to tracks without ROS's middleware: places known late or never, slow detectors, clocks that jump.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    fuser::Fuser,
    input::{Input, InputKind},
    options::footprint_points,
};
use crate::{
    messages::{
        BoundingBox2D, BoundingBox3D, CameraInfo, Detection2D, Detection2DArray, Detection3D, Detection3DArray, Header,
        ObjectHypothesis, ObjectHypothesisWithPose, Point, Point2D, Pose, Pose2D, Quaternion, Time, Transform,
        TransformStamped, Vector3,
    },
    node::{
        host::lock,
        parameters::{ObstacleFusionParameters, TextList},
    },
    sensing::transforms::TransformBuffer,
};

const MS: i64 = 1_000_000;
/// When the tests begin, by the sensors' clock.
const START: i64 = 1_700_000_000_000 * MS;

struct Bench {
    fuser: Fuser,
    transforms: Arc<Mutex<TransformBuffer>>,
    /// Where the tests' own clock begins.
    begin: Instant,
}

impl Bench {
    fn new(kinds: Vec<InputKind>) -> Self {
        let parameters = ObstacleFusionParameters {
            lidar: "/objects".into(),
            keep_classes: TextList(vec!["person".into()]),
            ..Default::default()
        };
        let inputs = kinds.into_iter().map(|kind| Input::new("/objects".into(), kind)).collect();
        let transforms = Arc::new(Mutex::new(TransformBuffer::new(Duration::from_secs(10))));
        let fuser = Fuser::new(&parameters, inputs, transforms.clone());
        Self { fuser, transforms, begin: Instant::now() }
    }

    /// Says that the robot stands at `x` in `odom`.
    fn drive(&self, stamp: i64, x: f64) {
        let transform = Transform { translation: Vector3 { x, y: 0.0, z: 0.0 }, rotation: Quaternion::default() };
        let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: "odom" };
        let message = TransformStamped { header, child_frame_id: "laser", transform };
        lock(&self.transforms).insert(&message, false).unwrap();
    }

    /// Says where the camera is. The optical frame: z forwards, x right, y down, 1 m above the ground.
    fn place_camera(&self) {
        let rotation = Quaternion { x: -0.5, y: 0.5, z: -0.5, w: 0.5 };
        let transform = Transform { translation: Vector3 { x: 0.0, y: 0.0, z: 1.0 }, rotation };
        let header = Header { stamp: Time::from_nanoseconds(START), frame_id: "odom" };
        let optical = TransformStamped { header, child_frame_id: "optical", transform };
        lock(&self.transforms).insert(&optical, true).unwrap();
    }

    /// Takes detections and settles at once, so many milliseconds after the start.
    fn take(&mut self, input: usize, message: &[u8], milliseconds: u64) {
        let now = self.begin + Duration::from_millis(milliseconds);
        self.fuser.take(input, message, now);
        self.fuser.settle(now, |_| None);
    }
}

fn results(class_id: &'static str) -> Vec<ObjectHypothesisWithPose<'static>> {
    vec![ObjectHypothesisWithPose { hypothesis: ObjectHypothesis { class_id, score: 0.9 }, ..Default::default() }]
}

/// A camera with a focal length of 300 pixels.
fn calibration() -> Vec<u8> {
    let k = [300.0, 0.0, 319.5, 0.0, 300.0, 239.5, 0.0, 0.0, 1.0];
    CameraInfo { width: 640, height: 480, distortion_model: "plumb_bob", k, ..Default::default() }.encode()
}

/// A person of 1.7 m, 4 m ahead on the axis, as that camera sees it.
fn image(stamp: i64) -> Vec<u8> {
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: "optical" };
    let (top, bottom) = (240.0 - 300.0 * 0.7 / 4.0, 240.0 + 300.0 * 1.0 / 4.0);
    let center = Pose2D { position: Point2D { x: 320.0, y: (top + bottom) / 2.0 }, theta: 0.0 };
    let bbox = BoundingBox2D { center, size_x: 40.0, size_y: bottom - top };
    let detection = Detection2D { header, results: results("person"), bbox, id: "" };
    Detection2DArray { header, detections: vec![detection] }.encode()
}

/// People in front of a lidar at these distances.
fn scan(stamp: i64, distances: &[f64]) -> Vec<u8> {
    scan_of(stamp, &distances.iter().map(|&x| [x, 0.0]).collect::<Vec<_>>())
}

/// People at these places.
fn scan_of(stamp: i64, places: &[[f64; 2]]) -> Vec<u8> {
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: "laser" };
    let detections = places.iter().map(|&[x, y]| Detection3D {
        header,
        results: results("person"),
        bbox: BoundingBox3D {
            center: Pose { position: Point { x, y, z: 0.9 }, orientation: Quaternion::default() },
            size: Vector3 { x: 0.4, y: 0.5, z: 1.8 },
        },
        id: "",
    });
    Detection3DArray { header, detections: detections.collect() }.encode()
}

#[test]
fn a_standing_person_stands_still_while_the_robot_drives() {
    let mut bench = Bench::new(vec![InputKind::Lidar]);
    for step in 0..10 {
        let stamp = START + 100 * MS * step;
        bench.drive(stamp, 0.05 * step as f64);
        bench.take(0, &scan(stamp, &[3.0 - 0.05 * step as f64]), 100 * step as u64);
    }
    let tracks = bench.fuser.tracks();
    assert_eq!(tracks.len(), 1);
    assert!((tracks[0].position[0] - 3.0).abs() < 0.05, "{:?}", tracks[0].position);
    assert!(tracks[0].velocity[0].abs() < 0.2, "{:?}", tracks[0].velocity);
    assert_eq!(bench.fuser.newest(), Some(START + 900 * MS));
    assert_eq!(bench.fuser.take_applied().len(), 10);
    let points = footprint_points(&tracks, &bench.fuser.classes, None, &ObstacleFusionParameters::default());
    assert!(points.len() > 20);
    assert!(points.iter().all(|point| (0.05..=2.0).contains(&point[2]) && (point[0] - 3.0).abs() < 1.0));
}

#[test]
fn late_transforms_are_waited_for_and_missing_ones_are_named() {
    let mut bench = Bench::new(vec![InputKind::Lidar]);
    bench.take(0, &scan(START, &[2.0]), 0);
    assert_eq!((bench.fuser.newest(), bench.fuser.inputs[0].counters.without_transform), (None, 0));
    bench.drive(START, 0.0);
    bench.fuser.settle(bench.begin + Duration::from_millis(50), |_| None);
    assert_eq!(bench.fuser.newest(), Some(START));
    bench.take(0, &scan(START + 100 * MS, &[2.0]), 100);
    bench.fuser.settle(bench.begin + Duration::from_millis(250), |_| None);
    let input = &bench.fuser.inputs[0];
    assert_eq!((input.counters.applied, input.counters.without_transform), (1, 1));
    let told = input.status("/node", 1.0, bench.begin + Duration::from_millis(250)).message;
    assert!(told.contains("odom") && told.contains("laser"), "{told}");
}

#[test]
fn a_slow_detector_still_counts_and_a_wrong_clock_is_told() {
    let mut bench = Bench::new(vec![InputKind::Lidar, InputKind::Lidar]);
    bench.drive(START - 1000 * MS, 0.0);
    bench.drive(START + 1000 * MS, 0.0);
    bench.take(0, &scan(START + 200 * MS, &[2.0]), 0);
    bench.take(1, &scan(START, &[2.0]), 1);
    bench.take(1, &scan(START - 800 * MS, &[2.0]), 2);
    let counters = bench.fuser.inputs[1].counters;
    assert_eq!((counters.applied, counters.late), (1, 1));
    assert_eq!(bench.fuser.newest(), Some(START + 200 * MS));
}

#[test]
fn a_clock_that_jumps_back_drops_all_tracks_and_identities_stay_unique() {
    let mut bench = Bench::new(vec![InputKind::Lidar]);
    let mut ids = Vec::new();
    for round in 0..2 {
        for step in 0..8 {
            let stamp = START + 100 * MS * step;
            bench.drive(stamp, 0.0);
            let at = 1000 * round + 100 * step as u64;
            bench.take(0, &scan(stamp, &[2.0]), at);
            // The first message after the jump takes what TF said with it.
            bench.drive(stamp, 0.0);
            bench.fuser.settle(bench.begin + Duration::from_millis(at), |_| None);
        }
        let tracks = bench.fuser.tracks();
        assert_eq!((tracks.len(), bench.fuser.jumps), (1, round));
        ids.push(tracks[0].id);
        assert_eq!(bench.fuser.newest(), Some(START + 700 * MS));
        // The recording runs on a while before it starts again.
        bench.drive(START + 5000 * MS, 0.0);
        bench.take(0, &scan(START + 5000 * MS, &[]), 900);
    }
    assert!(ids[1] > ids[0], "{ids:?}");
}

#[test]
fn a_last_message_of_the_old_time_does_not_stop_the_new_one() {
    let mut bench = Bench::new(vec![InputKind::Lidar, InputKind::Lidar]);
    bench.drive(START + 60_000 * MS, 0.0);
    bench.take(1, &scan(START + 60_000 * MS, &[2.0]), 0);
    for step in 0..30 {
        bench.drive(START + 100 * MS * step, 0.0);
        bench.take(0, &scan(START + 100 * MS * step, &[2.0]), 10 + 100 * step as u64);
    }
    assert_eq!((bench.fuser.jumps, bench.fuser.newest()), (1, Some(START + 2900 * MS)));
    assert_eq!(bench.fuser.tracks().len(), 1);
}

#[test]
fn an_input_that_comes_back_after_a_while_is_no_jump_while_another_went_on() {
    let mut bench = Bench::new(vec![InputKind::Lidar, InputKind::Lidar]);
    bench.drive(START, 0.0);
    bench.take(1, &scan(START, &[2.0]), 0);
    for step in 1..=120 {
        bench.drive(START + 100 * MS * step, 0.0);
        bench.take(0, &scan(START + 100 * MS * step, &[2.0]), 100 * step as u64);
    }
    let before = bench.fuser.tracks()[0].id;
    bench.take(1, &scan(START + 12_000 * MS, &[2.0]), 12_010);
    assert_eq!((bench.fuser.jumps, bench.fuser.tracks()[0].id), (0, before));
    // Nobody saw anything for long.
    bench.drive(START + 23_000 * MS, 0.0);
    bench.take(1, &scan(START + 23_000 * MS, &[2.0]), 23_010);
    assert_eq!((bench.fuser.jumps, bench.fuser.tracks().len()), (1, 0));
}

#[test]
fn a_camera_needs_its_calibration_and_then_is_enough() {
    let kind = InputKind::Camera { info_topic: "/camera/camera_info".into(), model: None };
    let mut bench = Bench::new(vec![kind]);
    bench.place_camera();
    bench.take(0, &image(START), 0);
    bench.fuser.settle(bench.begin + Duration::from_millis(200), |_| None);
    assert_eq!(bench.fuser.inputs[0].counters.without_transform, 1);
    let told = bench.fuser.inputs[0].status("/node", 1.0, bench.begin).message;
    assert!(told.contains("/camera/camera_info"), "{told}");
    bench.fuser.inputs[0].calibrate(&calibration(), bench.begin);
    for step in 1..10 {
        bench.take(0, &image(START + 100 * MS * step), 200 + 100 * step as u64);
    }
    let tracks = bench.fuser.tracks();
    assert_eq!(tracks.len(), 1);
    let [x, y, _] = tracks[0].position;
    assert!((x - 4.0).abs() < 0.5 && y.abs() < 0.2, "{:?}", tracks[0].position);
}

#[test]
fn frames_on_which_camera_and_lidar_disagree_are_asked_for() {
    let camera = InputKind::Camera { info_topic: "/camera/camera_info".into(), model: None };
    let mut bench = Bench::new(vec![InputKind::Lidar, camera]);
    bench.place_camera();
    bench.fuser.inputs[1].calibrate(&calibration(), bench.begin);
    let mut asked = |number: i64, people: &[[f64; 2]]| {
        let stamp = START + 100 * MS * number;
        bench.drive(stamp, 0.0);
        bench.take(0, &scan_of(stamp, people), 100 * number as u64);
        bench.take(1, &image(stamp + 10 * MS), 100 * number as u64 + 10);
        let sought = bench.fuser.disagreements.take();
        sought.into_iter().map(|sought| (sought.stamp - stamp, sought.frame_id)).collect::<Vec<_>>()
    };
    let both = [(10 * MS, "optical".to_owned()), (0, "laser".to_owned())];
    // The lidar has not told of any person yet: perhaps it knows none.
    assert!(asked(0, &[]).is_empty());
    let seen = [4.0, 0.0];
    assert!(asked(1, &[seen]).is_empty(), "both see the person");
    assert_eq!(asked(2, &[]), both, "the lidar does not see it");
    assert_eq!(asked(3, &[seen, [4.0, 1.5]]), both, "the camera does not see the second");
    assert!(asked(4, &[seen, [9.5, 3.0]]).is_empty(), "that is beyond what the camera sees");
    assert!(asked(5, &[seen, [6.0, 0.1]]).is_empty(), "that stands behind the other");
    assert_eq!(bench.fuser.disagreements.found, 2);
}

#[test]
fn a_new_class_is_learnt_and_identities_stay_unique() {
    let parameters = ObstacleFusionParameters { lidar: "/objects".into(), ..Default::default() };
    let mut bench = Bench::new(vec![InputKind::Lidar]);
    let inputs = vec![Input::new("/objects".into(), InputKind::Lidar)];
    bench.fuser = Fuser::new(&parameters, inputs, bench.transforms.clone());
    bench.drive(START, 0.0);
    bench.drive(START + 2000 * MS, 0.0);
    for step in 0..8 {
        bench.take(0, &scan(START + 100 * MS * step, &[2.0]), 100 * step as u64);
    }
    let before = bench.fuser.tracks()[0].id;
    let mut array = scan(START + 800 * MS, &[2.0]);
    let place = array.windows(6).position(|bytes| bytes == b"person").unwrap();
    array[place..place + 6].copy_from_slice(b"pallet");
    bench.take(0, &array, 800);
    for step in 9..17 {
        bench.take(0, &scan(START + 100 * MS * step, &[2.0]), 100 * step as u64);
    }
    assert_eq!(bench.fuser.classes.names(), ["person", "pallet"]);
    assert!(bench.fuser.tracks()[0].id > before);
}

#[test]
fn after_a_pause_nothing_of_before_is_left_and_identities_stay_unique() {
    let mut bench = Bench::new(vec![InputKind::Lidar]);
    let mut ids = Vec::new();
    for round in 0..2 {
        bench.fuser.forget();
        assert_eq!((bench.fuser.newest(), bench.fuser.tracks().len()), (None, 0));
        for step in 0..8 {
            // The second round is long after the first, and that is no jump of the clock.
            let stamp = START + 60_000 * MS * round + 100 * MS * step;
            bench.drive(stamp, 0.0);
            bench.take(0, &scan(stamp, &[2.0]), 60_000 * round as u64 + 100 * step as u64);
        }
        assert_eq!((bench.fuser.tracks().len(), bench.fuser.jumps), (1, 0));
        ids.push(bench.fuser.tracks()[0].id);
    }
    assert!(ids[1] > ids[0], "{ids:?}");
}
