//! The labeller on made-up scenes, without teachers.

use std::time::Duration;

use super::{
    CameraImage, CameraLabeller, CameraLabels, Unlabelled,
    seen_box::ClassedBox,
    staged::{Stage, camera_mount},
};
use crate::{
    distill::lidar::labels::{PointClass, SweepLabels},
    geometry::{FusedBox, RigidTransform},
    messages::{Header, Time, TransformStamped},
    sensing::transforms::TransformBuffer,
};

const MS: i64 = 1_000_000;

fn insert(buffer: &mut TransformBuffer, stamp: i64, parent: &str, child: &str, transform: &RigidTransform) {
    let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: parent };
    let stamped = TransformStamped { header, child_frame_id: child, transform: transform.to_message() };
    buffer.insert(&stamped, parent == "base_link").unwrap();
}

/// The stage's boxes are seen at second 10, and the robot turns by `turn` radians in 0.1 s from there.
fn labeller(stage: &Stage, turn: f64, yaw_error: f64, config: &CameraLabels) -> CameraLabeller {
    let mut transforms = TransformBuffer::new(Duration::from_secs(100));
    let start = 10_000 * MS;
    insert(&mut transforms, start, "odom", "base_link", &RigidTransform::identity());
    insert(&mut transforms, start + 100 * MS, "odom", "base_link", &RigidTransform::from_yaw([0.0; 3], turn));
    insert(&mut transforms, start, "base_link", "lidar", &stage.base_from_sensor);
    insert(&mut transforms, start, "base_link", "optical", &camera_mount(yaw_error, 5.0));
    let fused = |given: ClassedBox| FusedBox {
        bbox: given.bbox,
        probabilities: vec![given.score, 0.05],
        agreement: 1.0,
        trust: 1.0,
    };
    let image = CameraImage { stamp: start, boxes: stage.boxes().into_iter().map(fused).collect() };
    let classes = ["person".to_owned(), "pallet".to_owned()];
    CameraLabeller::from_boxes(stage.camera, "/optical", vec![image], transforms, &classes, config)
}

fn scene() -> Stage {
    let mut stage = Stage::cloud();
    stage.person(4.0, 0.5);
    stage.person(5.0, -1.0);
    stage.wall(8.0);
    stage
}

/// How many points are labelled as a person who is one, and how many that is not.
fn count(labels: &SweepLabels, truth: &[Option<usize>]) -> (usize, usize) {
    let people = labels.points.iter().zip(truth).filter(|(point, _)| point.class != PointClass::Background);
    let right = people.clone().filter(|(_, who)| who.is_some()).count();
    (right, people.count() - right)
}

#[test]
fn people_before_a_wall_are_labelled_and_placed() {
    let stage = scene();
    let mut labeller = labeller(&stage, 0.0, 0.0, &CameraLabels::default());
    let (sweep, truth) = stage.sweep(0.0);
    let labels = labeller.label(10_000 * MS, "lidar", &sweep);
    assert_eq!(labels.points.len(), sweep.points.len());
    let (right, wrong) = count(&labels, &truth);
    assert!(right > 40 && wrong == 0, "{right} {wrong}");
    assert_eq!(labels.objects.len(), 2);
    for (object, expected) in labels.objects.iter().zip([[4.0, 0.5], [5.0, -1.0]]) {
        let [x, y, z] = stage.base_from_sensor.apply(object.center.map(f64::from));
        assert!((x - expected[0]).hypot(y - expected[1]) < 0.1 && (z - 0.875).abs() < 0.02, "{object:?}");
        assert_eq!((object.class, object.score, object.yaw), (0, 0.9, None));
    }
    for (point, who) in labels.points.iter().zip(&truth) {
        assert!(point.weight == 0.0 || point.object.map(|object| object as usize) == *who || who.is_none());
        assert!(point.class == PointClass::Background || point.weight == 0.9);
    }
    assert_eq!(labeller.unlabelled(), &Unlabelled { sweeps: 1, ..Unlabelled::default() });
}

#[test]
fn the_robots_turn_between_image_and_sweep_is_taken_out() {
    let stage = scene();
    let config = CameraLabels { max_time_offset: 0.1, ..CameraLabels::default() };
    // 6 degrees in the 0.1 s from the image to the sweep.
    let turn = 6.0_f64.to_radians();
    let (sweep, truth) = stage.sweep(turn);
    let mut moving = labeller(&stage, turn, 0.0, &config);
    let (right, wrong) = count(&moving.label(10_100 * MS, "lidar", &sweep), &truth);
    assert!(right > 40 && wrong == 0, "{right} {wrong}");
    let mut standing = labeller(&stage, 0.0, 0.0, &config);
    let (still_right, _) = count(&standing.label(10_100 * MS, "lidar", &sweep), &truth);
    assert!(still_right < right / 2, "{still_right} of {right} without the motion");
}

#[test]
fn what_is_too_late_or_nowhere_is_ignored_and_counted() {
    let stage = scene();
    let mut labeller = labeller(&stage, 0.0, 0.0, &CameraLabels::default());
    let (sweep, _) = stage.sweep(0.0);
    for (stamp, frame) in [(10_051 * MS, "lidar"), (9_940 * MS, "lidar"), (10_000 * MS, "laser")] {
        let labels = labeller.label(stamp, frame, &sweep);
        assert_eq!(labels.points.len(), sweep.points.len());
        assert!(labels.objects.is_empty() && labels.points.iter().all(|point| point.weight == 0.0));
    }
    assert!(labeller.label(10_049 * MS, "lidar", &sweep).points.iter().any(|point| point.weight > 0.0));
    let found = labeller.unlabelled();
    assert_eq!((found.sweeps, found.without_image, found.without_transform), (4, 2, 1));
    assert!(found.reason.as_ref().unwrap().contains("laser"), "{found:?}");
    let buffer = TransformBuffer::new(Duration::from_secs(100));
    let mut blind =
        CameraLabeller::from_boxes(stage.camera, "optical", Vec::new(), buffer, &[], &CameraLabels::default());
    assert!(blind.label(0, "lidar", &sweep).points.iter().all(|point| point.weight == 0.0));
}

#[test]
fn boxes_below_the_least_score_teach_nothing() {
    let stage = scene();
    let config = CameraLabels { min_score: 0.95, ..CameraLabels::default() };
    let (sweep, truth) = stage.sweep(0.0);
    let labels = labeller(&stage, 0.0, 0.0, &config).label(10_000 * MS, "lidar", &sweep);
    assert!(labels.objects.is_empty());
    assert!(labels.points.iter().zip(&truth).all(|(point, who)| who.is_none() || point.weight == 0.0));
    assert!(labels.points.iter().any(|point| point.weight > 0.0), "the wall is background all the same");
}

#[test]
fn a_turned_camera_is_noticed() {
    let mut stage = Stage::cloud();
    for (x, y) in [(3.5, 0.9), (4.5, -1.2), (6.0, 0.2), (6.5, -2.4), (7.0, 2.2)] {
        stage.person(x, y);
    }
    stage.wall(10.0);
    let (sweep, _) = stage.sweep(0.0);
    for (error, is_suspect) in [(0.0, false), (3.0, true), (-3.0, true)] {
        let mut labeller = labeller(&stage, 0.0, error, &CameraLabels::default());
        assert_eq!(labeller.calibration(), None);
        for _ in 0..8 {
            labeller.label(10_000 * MS, "lidar", &sweep);
        }
        let found = labeller.calibration().unwrap();
        assert_eq!(found.is_suspect, is_suspect, "{found:?}");
        assert!((found.yaw_degrees + error).abs() <= 0.7, "{found:?}");
    }
}
