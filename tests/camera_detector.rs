//! The node `camera_detector` on real ROS 2, judged by a client in rclpy (tests/ros/detector_client.py).
#![cfg(all(feature = "ros", feature = "distill"))]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use distilled_perception::{
    distill::bag::{Frames, TruthSource},
    geometry::Box2,
    model::{Detector, SessionOptions},
};
use serde::Deserialize;
use serde_json::json;

/// The folder with recordings and models, or `None` after saying why the test is skipped.
fn test_data() -> Option<PathBuf> {
    let data = support::test_data("models/yolox_nano_416.onnx")?;
    if !Command::new("python3").args(["-c", "import rclpy, vision_msgs.msg"]).status().is_ok_and(|s| s.success()) {
        println!("skipped: python3 has no rclpy with vision_msgs (source scripts/env)");
        return None;
    }
    Some(data)
}

#[derive(Deserialize)]
struct Heard {
    labels: Vec<String>,
    published: Vec<i64>,
    diagnostics: std::collections::BTreeMap<String, String>,
    received: Vec<Detections>,
}

#[derive(Deserialize)]
struct Detections {
    stamp: i64,
    frame_id: String,
    age: f64,
    boxes: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    class: String,
    score: f64,
    x_min: f32,
    y_min: f32,
    x_max: f32,
    y_max: f32,
}

/// A running node that does not outlive its test, in a ROS domain of its own.
struct Node {
    child: Child,
    domain: String,
}

impl Node {
    fn start(model: &Path, arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let domain = (20 + (std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 80).to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_camera_detector"));
        command.args(["--ros-args", "-p"]).arg(format!("model:={}", model.display()));
        for argument in arguments {
            command.args(["-p", argument]);
        }
        let child = command.env("ROS_DOMAIN_ID", &domain).spawn().unwrap();
        Self { child, domain }
    }

    fn hear(&self, plan: &serde_json::Value) -> Heard {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, plan.to_string()).unwrap();
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ros/detector_client.py");
        let output = Command::new("python3")
            .arg(client)
            .arg(&path)
            .env("ROS_DOMAIN_ID", &self.domain)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends a signal and says how the node ended and how long it took.
    fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let start = Instant::now();
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the node does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Frames of the real recording as files, with what the detector finds in them in this process.
struct Expected {
    frames: Vec<serde_json::Value>,
    stamps: Vec<i64>,
    boxes: Vec<Vec<(String, f32, Box2)>>,
}

fn expected(data: &Path, folder: &Path, transport: &str, count: usize) -> Expected {
    let mut detector = Detector::load(data.join("models/yolox_nano_416.onnx"), &SessionOptions::default()).unwrap();
    let mut all = Expected { frames: Vec::new(), stamps: Vec::new(), boxes: Vec::new() };
    let frames = Frames::open(data.join("bags/indoor_person_mcap"), None, TruthSource::None).unwrap();
    for frame in frames.step_by(60).skip(2).take(count) {
        let frame = frame.unwrap();
        // What travels is either the decoded pixels or a JPEG made of them; both sides see the same bytes.
        let mut image = frame.decode().unwrap();
        let path = folder.join(format!("{}.bin", frame.stamp));
        if transport == "raw" {
            std::fs::write(&path, image.as_raw()).unwrap();
        } else {
            let mut jpeg = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&image).unwrap();
            image = distilled_perception::sensing::image::decode_compressed_bytes(&jpeg).unwrap();
            std::fs::write(&path, &jpeg).unwrap();
        }
        let found = detector.detect(&image).unwrap().detections;
        let classes = &detector.spec().classes;
        all.boxes.push(found.iter().map(|f| (classes[f.best().0].clone(), f.score(), f.bbox)).collect());
        all.stamps.push(frame.stamp);
        let (width, height) = image.dimensions();
        all.frames.push(json!({"stamp": frame.stamp, "path": path, "width": width, "height": height}));
    }
    all
}

fn client_sees_what_the_detector_finds(transport: &str) {
    let Some(data) = test_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let expected = expected(&data, folder.path(), transport, 6);
    let node = Node::start(&data.join("models/yolox_nano_416.onnx"), &[&format!("image_transport:={transport}")]);
    let plan = json!({"transport": transport, "topic": "image", "frames": expected.frames, "period": 0, "wait": true});
    let heard = node.hear(&plan);
    assert_eq!(heard.labels.len(), 80);
    assert!(expected.boxes.iter().flatten().any(|(class, ..)| class == "person"), "the frames show people");
    for (stamp, boxes) in expected.stamps.iter().zip(&expected.boxes) {
        let detections = heard.received.iter().find(|d| d.stamp == *stamp).expect("every frame is answered");
        assert_eq!(detections.frame_id, "camera optical frame, test");
        assert_eq!(detections.boxes.len(), boxes.len());
        for (found, (class, score, bbox)) in detections.boxes.iter().zip(boxes) {
            assert_eq!(&found.class, class);
            assert!((found.score - f64::from(*score)).abs() < 1e-3);
            assert!(Box2::new(found.x_min, found.y_min, found.x_max, found.y_max).iou(bbox) > 0.99);
        }
    }
    let (code, took) = node.end("-INT");
    assert_eq!(code, Some(0), "SIGINT ends the node cleanly");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn raw_images_give_the_detectors_boxes_with_the_images_header() {
    client_sees_what_the_detector_finds("raw");
}

#[test]
fn compressed_images_give_the_detectors_boxes_with_the_images_header() {
    client_sees_what_the_detector_finds("compressed");
}

#[test]
fn the_newest_frame_wins_when_images_come_too_fast() {
    let Some(data) = test_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let expected = expected(&data, folder.path(), "compressed", 1);
    let node = Node::start(&data.join("models/yolox_nano_416.onnx"), &["image_transport:=compressed"]);
    let frames: Vec<_> = std::iter::repeat_n(expected.frames[0].clone(), 400).collect();
    let plan = json!({"transport": "compressed", "topic": "image", "frames": frames, "period": 0.01, "wait": false});
    let heard = node.hear(&plan);
    let number = |key: &str| heard.diagnostics[key].parse::<f64>().unwrap();
    let (received, processed, dropped) = (number("received"), number("processed"), number("dropped"));
    assert!(dropped > 0.0, "inference manages less than 100 images a second: {:?}", heard.diagnostics);
    assert_eq!(received, processed + dropped + number("failed"));
    assert!(heard.received.iter().all(|d| heard.published.contains(&d.stamp)));
    assert!(heard.received.is_sorted_by_key(|d| d.stamp), "no frame overtakes another");
    // A queue of ten would make frames ten inferences old. One interval (10 ms), the wait for the inference under way and
    // the frame's own inference are allowed, and the scheduler's whims.
    let work: f64 = ["decode", "preprocess", "infer", "postprocess", "publish"]
        .iter()
        .map(|stage| number(&format!("{stage}_ms_p99")))
        .sum();
    let mut ages: Vec<f64> = heard.received.iter().map(|d| d.age * 1e3).collect();
    ages.sort_by(f64::total_cmp);
    let p90 = ages[ages.len() * 9 / 10];
    assert!(p90 <= 10.0 + 2.0 * work + 30.0, "age {p90} ms at {work} ms of work");
    let (code, took) = node.end("-TERM");
    assert_eq!((code, took < Duration::from_secs(2)), (Some(0), true));
}

#[test]
fn a_missing_model_ends_with_one_clear_error() {
    if test_data().is_none() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_camera_detector"))
        .args(["--ros-args", "-p", "model:=/nowhere/student.onnx"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("/nowhere/student.onnx"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}
