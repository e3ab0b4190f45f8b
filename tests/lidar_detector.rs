//! The node `lidar_detector` on real ROS 2, judged by a client in rclpy (tests/ros/sweep_client.py) against the library.
#![cfg(feature = "ros")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use distilled_perception::{
    messages::{Floats, Header, LaserScan, Time},
    model::{SessionOptions, lidar::LidarDetector},
    sensing::range_image::Sweep,
};
use serde::Deserialize;
use serde_json::json;
use support::ros::{Node, rclpy, refuses};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lidar_detector");
const BEAMS: usize = 768;
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

/// Distances in a room of 10 x 6 m with somebody standing at each place, as a scanner in the middle sees it at 0.3 m above the floor:
/// two legs of 6 cm radius, 25 cm apart. Beams between -120 and 120 degrees; every 97th is void.
fn room(people: &[[f32; 2]]) -> Vec<f32> {
    let legs: Vec<[f32; 2]> = people.iter().flat_map(|&[x, y]| [[x, y - 0.125], [x, y + 0.125]]).collect();
    let beam = |index: usize| {
        if index % 97 == 13 {
            return f32::INFINITY;
        }
        let (sin, cos) = angle(index).sin_cos();
        let mut range = (5.0 / cos.abs()).min(3.0 / sin.abs());
        for [x, y] in &legs {
            let (along, aside) = (x * cos + y * sin, y * cos - x * sin);
            if along > 0.0 && aside.abs() < 0.06 {
                range = range.min(along - (0.06 * 0.06 - aside * aside).sqrt());
            }
        }
        range
    };
    (0..BEAMS).map(beam).collect()
}

fn angle(beam: usize) -> f32 {
    (-120.0 + 240.0 * beam as f32 / (BEAMS - 1) as f32).to_radians()
}

#[test]
fn the_client_sees_what_the_library_finds_with_the_scans_header() {
    let Some(model) = student() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut detector = LidarDetector::load(&model, &SessionOptions::default()).unwrap();
    let classes = detector.spec().classes.clone();
    let (mut paths, mut expected) = (Vec::new(), Vec::new());
    for step in 0..12_u8 {
        let ranges = room(&[[1.5 + 0.2 * f32::from(step), -0.5], [2.5, 0.2 * f32::from(step) - 1.0]]);
        let stamp = 1_700_000_000_000_000_000 + 100_000_000 * i64::from(step);
        let scan = LaserScan {
            header: Header { stamp: Time::from_nanoseconds(stamp), frame_id: FRAME },
            angle_min: angle(0),
            angle_max: angle(BEAMS - 1),
            angle_increment: angle(1) - angle(0),
            time_increment: 0.0,
            scan_time: 0.1,
            range_min: 0.05,
            range_max: 20.0,
            ranges: Floats::from(&ranges),
            intensities: Floats::default(),
        };
        let path = folder.path().join(format!("{step}.cdr"));
        std::fs::write(&path, scan.encode()).unwrap();
        paths.push(path);
        expected.push((stamp, detector.detect(&Sweep::from_scan(&scan).unwrap()).unwrap()));
    }
    let found: usize = expected.iter().map(|(_, found)| found.objects.len()).sum();
    assert!(found >= expected.len() / 2, "the scans show legs: {found} objects in {} scans", expected.len());

    let node = Node::start(PROGRAM, &[format!("model:={}", model.display())]);
    let heard: Heard = node.hear("sweep_client.py", &json!({"topic": "scan", "sweeps": paths}));
    let labels: Vec<(u16, String)> = (1..).zip(classes.iter().cloned()).collect();
    assert_eq!(heard.labels, labels);
    for (stamp, expected) in &expected {
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
        assert_eq!((sweep.points.class.len(), sweep.points.void), (BEAMS, (0..BEAMS).filter(|b| b % 97 == 13).count()));
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
