//! The node `lidar_detector` on real ROS 2, judged by a client in rclpy (tests/ros/sweep_client.py) against the library.
#![cfg(all(feature = "ros", feature = "distill"))]

mod support;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use distilled_perception::{
    distill::bag::{Bag, TopicFilter},
    messages::{Header, LaserScan, Time},
    model::{SessionOptions, lidar::LidarDetector},
    sensing::range_image::Sweep,
};
use serde::Deserialize;
use serde_json::json;
use support::ros::{Node, rclpy, refuses};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lidar_detector");
const FRAME: &str = "laser, test";

#[derive(Deserialize)]
struct Heard {
    labels: Vec<(u16, String)>,
    diagnostics: BTreeMap<String, String>,
    sweeps: Vec<Detected>,
}

#[derive(Deserialize)]
struct Detected {
    stamp: i64,
    frame_id: String,
    objects: Vec<Object>,
    points: Labelled,
}

#[derive(Deserialize)]
struct Object {
    class: String,
    score: f64,
    center: [f64; 3],
    size: [f64; 3],
    equal_header: bool,
}

#[derive(Deserialize)]
struct Labelled {
    frame_id: String,
    class: Vec<u16>,
    object: Vec<u16>,
    score: Vec<f32>,
    void: usize,
}

/// The lidar student that is kept in the repository; `None` after saying that there is none or nothing to run it with.
fn student() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/legs.onnx");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    (support::onnx_runtime() && rclpy()).then_some(path)
}

/// Some of the scans of a real recording of people's legs, as they are in the bag but for their headers, by stamp.
fn scans(data: &Path) -> Vec<(i64, Vec<u8>)> {
    let bag = Bag::open(data.join("bags/legs_labelled_4")).unwrap();
    let mut scans = Vec::new();
    let topic = TopicFilter::Only(vec!["/training_scan".into()]);
    let loss = bag.read(&topic, |message| {
        let step = scans.len() as i64;
        let stamp = 1_700_000_000_000_000_000 + 100_000_000 * step;
        let header = Header { stamp: Time::from_nanoseconds(stamp), frame_id: FRAME };
        let scan = LaserScan { header, ..LaserScan::decode(message.data).unwrap() };
        scans.push((stamp, scan.encode()));
        ControlFlow::Continue(())
    });
    assert!(loss.unwrap().is_empty());
    scans.into_iter().step_by(25).collect()
}

#[test]
fn the_client_sees_what_the_library_finds_with_the_scans_header() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let Some(model) = student() else { return };
    client_sees_what_the_library_finds(&data, &model);
}

#[test]
fn a_student_in_int8_gives_what_the_library_finds() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let Some(student) = student() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("int8.onnx");
    let output = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args([
            "quantize",
            "--force",
            "--frames",
            "20",
            "--validation-frames",
            "20",
            "--topic",
            "/training_scan",
            "--data",
        ])
        .arg(data.join("bags/legs_labelled_1"))
        .arg("--out")
        .arg(&model)
        .arg(student)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    client_sees_what_the_library_finds(&data, &model);
}

fn client_sees_what_the_library_finds(data: &Path, model: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let mut detector = LidarDetector::load(model, &SessionOptions::default()).unwrap();
    let classes = detector.spec().classes.clone();
    let (mut paths, mut expected) = (Vec::new(), Vec::new());
    for (stamp, scan) in scans(data) {
        let path = folder.path().join(format!("{stamp}.cdr"));
        std::fs::write(&path, &scan).unwrap();
        paths.push(path);
        let sweep = Sweep::from_scan(&LaserScan::decode(&scan).unwrap()).unwrap();
        let found = detector.detect(&sweep).unwrap();
        expected.push((stamp, (sweep.len(), sweep.len() - sweep.valid()), found));
    }
    let found: usize = expected.iter().map(|(_, _, found)| found.objects.len()).sum();
    assert!(found >= expected.len() / 2, "the scans show legs: {found} objects in {} scans", expected.len());

    let node = Node::start(PROGRAM, &[format!("model:={}", model.display())]);
    let heard: Heard = node.hear("sweep_client.py", &json!({"topic": "scan", "sweeps": paths}));
    let labels: Vec<(u16, String)> = (1..).zip(classes.iter().cloned()).collect();
    assert_eq!(heard.labels, labels);
    for (stamp, counts, expected) in &expected {
        let sweep = heard.sweeps.iter().find(|sweep| sweep.stamp == *stamp).expect("every scan is answered");
        assert_eq!((sweep.frame_id.as_str(), sweep.points.frame_id.as_str()), (FRAME, FRAME));
        assert_eq!(sweep.objects.len(), expected.objects.len(), "scan at {stamp}");
        for (heard, object) in sweep.objects.iter().zip(&expected.objects) {
            assert!(heard.equal_header && heard.class == classes[object.class]);
            assert!((heard.score - f64::from(object.score)).abs() < 1e-3);
            for axis in 0..3 {
                assert!((heard.center[axis] - f64::from(object.center[axis])).abs() < 1e-3);
                assert!((heard.size[axis] - f64::from(object.size[axis])).abs() < 1e-3);
            }
        }
        assert_eq!((sweep.points.class.len(), sweep.points.void), *counts);
        for (beam, label) in expected.points.iter().enumerate() {
            assert_eq!(sweep.points.class[beam], label.class.map_or(0, |class| class + 1), "beam {beam}");
            assert_eq!(
                u32::from(sweep.points.object[beam]),
                label.object.map_or(0, |object| object + 1),
                "beam {beam}"
            );
            assert!((sweep.points.score[beam] - label.score).abs() < 1e-3);
        }
    }
    assert!(heard.diagnostics["infer_ms_p99"].parse::<f64>().is_ok_and(|took| took > 0.0), "{:?}", heard.diagnostics);
    assert!(!heard.diagnostics.contains_key("pipeline_ms_p99"), "stamps of another year have no age");
    let (code, took) = node.end("-INT");
    assert_eq!(code, Some(0), "SIGINT ends the node cleanly");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_missing_or_wrong_model_ends_with_one_clear_error() {
    if !(support::onnx_runtime() && rclpy()) {
        return;
    }
    refuses(PROGRAM, &[], &["parameter model"]);
    refuses(PROGRAM, &["model:=/nowhere/legs.onnx"], &["/nowhere/legs.onnx"]);
    let camera = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/indoor_person.onnx");
    refuses(PROGRAM, &[&format!("model:={}", camera.display())], &["camera_detector"]);
}
