//! Learning from the field: the real camera_detector records frames of its student's doubts, somebody else's code reads the parts
//! (tests/ros/field_judge.py), and `distill` takes them as one recording.
#![cfg(all(feature = "ros", feature = "distill"))]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{Node, frames_of_bag, rclpy, script};

const PROGRAM: &str = env!("CARGO_BIN_EXE_camera_detector");
const CLIENT: &str = "field_client.py";
const TEACHER: &str = "models/yolox_nano_416.onnx";

/// What the client published and heard; stamps are keys.
#[derive(Deserialize)]
struct Heard {
    published: BTreeMap<String, String>,
    detections: BTreeMap<String, usize>,
    asked: Option<i64>,
    answer: Option<Value>,
    recorder: Told,
}

#[derive(Deserialize)]
struct Told {
    level: u8,
    message: String,
    values: BTreeMap<String, String>,
}

impl Told {
    fn number(&self, key: &str) -> u64 {
        self.values[key].parse().unwrap()
    }
}

/// What the judge reads.
#[derive(Deserialize)]
struct Judged {
    parts: BTreeMap<String, Part>,
    left: Vec<String>,
    bytes: u64,
}

#[derive(Deserialize)]
struct Part {
    counts: BTreeMap<String, u64>,
    types: BTreeMap<String, String>,
    latched: Vec<String>,
    images: BTreeMap<String, String>,
    seen: BTreeMap<String, Vec<f64>>,
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    stamp: i64,
    reason: String,
}

/// The folder with recordings and models, or `None` after saying why the test is skipped.
fn test_data() -> Option<PathBuf> {
    let data = support::test_data(TEACHER)?;
    (rclpy() && support::onnx_runtime()).then_some(data)
}

/// The node with the student that is kept in the repository.
fn start(folder: &Path, parameters: &[&str]) -> Node {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/indoor_person.onnx");
    let mut all = vec![
        format!("model:={}", model.display()),
        "image_transport:=compressed".into(),
        format!("record_folder:={}", folder.display()),
        "record_interval:=0.0".into(),
        "record_topics:=[/camera/camera_info, /tf_static]".into(),
    ];
    all.extend(parameters.iter().map(|&parameter| parameter.to_owned()));
    Node::start(PROGRAM, &all)
}

fn judged(folder: &Path) -> Judged {
    let output = Command::new("python3").arg(script("field_judge.py")).arg(folder).stderr(Stdio::inherit()).output();
    let output = output.unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn distill(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn frames_of_doubt_become_a_recording_that_distill_reads() {
    let Some(data) = test_data() else { return };
    let (folder, field) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let frames = frames_of_bag(&data, folder.path(), 12, "jpg");
    let paths: Vec<_> = frames.iter().map(|(_, path)| path).collect();
    // Every frame in which a person is seen counts as doubtful.
    let limits = ["record_uncertainty:=0.0", "record_limit_mb:=2", "record_part_mb:=1"];
    let node = start(field.path(), &limits);
    let heard: Heard = node.hear(CLIENT, &json!({"frames": paths, "period": 0.1, "ask": null, "record_now": false}));
    assert_eq!(node.end("-INT").0, Some(0), "SIGINT ends the node cleanly");
    let told = &heard.recorder;
    let recorded = told.number("recorded_score_entropy") + told.number("recorded_track_flicker");
    assert!(recorded >= 10, "{} {:?}", told.message, told.values);
    assert_eq!((told.level, told.number("lost_on_disk")), (0, 0), "{}", told.message);
    assert!(told.number("frames_considered") >= recorded);

    let place = field.path().join("camera_detector");
    let judged = judged(&place);
    assert!(!judged.parts.is_empty() && judged.left.is_empty(), "{:?}", judged.left);
    assert!(judged.bytes <= 3_200_000, "{} bytes of 2 MB and the part that was being written", judged.bytes);
    let mut frames = 0;
    for (name, part) in &judged.parts {
        for (stamp, hash) in &part.images {
            assert_eq!(heard.published.get(stamp), Some(hash), "{name}: the image of {stamp} as it was published");
            let seen = &part.seen[stamp];
            if let Some(published) = heard.detections.get(stamp) {
                assert_eq!(seen.len(), *published, "{name}: what the student saw at {stamp}");
            }
            let reason = part.reasons.iter().find(|reason| reason.stamp.to_string() == *stamp).unwrap();
            assert!(["score_entropy", "track_flicker"].contains(&reason.reason.as_str()), "{}", reason.reason);
        }
        frames += part.images.len();
        assert_eq!(part.types["/image"], "sensor_msgs/msg/CompressedImage");
        assert_eq!(part.counts["/image"], part.counts["/camera_detector/recorded"]);
        assert!(part.counts["/camera/camera_info"] > 0, "{:?}", part.counts);
        assert_eq!(part.counts["/tf_static"], 1, "each part begins with what is latched");
        assert_eq!(part.latched, ["/tf_static"]);
    }

    let place = place.to_str().unwrap();
    let inspected = distill(&["inspect", place, "--json"]);
    assert_eq!(inspected.status.code(), Some(0), "{}", String::from_utf8_lossy(&inspected.stderr));
    let value: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["distillable"]["cameras"], json!(["/image"]));
    assert_eq!(value["distillable"]["truth"], json!([]), "what the student saw is no truth");
    assert_eq!(value["files"].as_array().unwrap().len(), judged.parts.len());
    let images = value["topics"].as_array().unwrap().iter().find(|topic| topic["name"] == "/image").unwrap();
    assert_eq!(images["messages"], frames);

    let (teacher, targets) = (data.join(TEACHER), folder.path().join("targets"));
    let (teacher, out) = (teacher.to_str().unwrap(), targets.to_str().unwrap());
    let common = ["label", "--data", place, "--classes", "person", "--max-frames", "4"];
    let labelled = distill(&[&common[..], &["--teacher", teacher, "--out", out]].concat());
    assert_eq!(labelled.status.code(), Some(0), "{}", String::from_utf8_lossy(&labelled.stderr));
}

#[test]
fn frames_are_recorded_when_somebody_asks() {
    let Some(data) = test_data() else { return };
    let (folder, field) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let frames = frames_of_bag(&data, folder.path(), 400, "jpg");
    // The same picture again and again: nothing flickers, and no score is exactly a half.
    let paths = vec![&frames[0].1; 8];
    let node = start(field.path(), &["record_uncertainty:=1.0"]);
    let heard: Heard = node.hear(CLIENT, &json!({"frames": paths, "period": 0.2, "ask": 3, "record_now": true}));
    assert_eq!(heard.answer.as_ref().unwrap()["success"], true, "{:?}", heard.answer);
    let told = &heard.recorder;
    assert_eq!((told.number("requests"), told.number("requests_missed")), (2, 1), "{:?}", told.values);
    assert_eq!(node.end("-TERM").0, Some(0));
    let judged = judged(&field.path().join("camera_detector"));
    let reasons: Vec<(i64, &str)> = judged
        .parts
        .values()
        .flat_map(|part| &part.reasons)
        .map(|reason| (reason.stamp, reason.reason.as_str()))
        .collect();
    let newest = heard.published.keys().next_back().unwrap().parse().unwrap();
    assert_eq!(reasons, [(heard.asked.unwrap(), "sensor_disagreement"), (newest, "asked_for")]);
}

#[test]
fn a_folder_that_is_not_there_is_told_and_detection_goes_on() {
    let Some(data) = test_data() else { return };
    let (folder, field) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let frames = frames_of_bag(&data, folder.path(), 400, "jpg");
    let paths = vec![&frames[0].1; 5];
    let node = start(&field.path().join("not_mounted"), &["record_uncertainty:=0.0"]);
    let heard: Heard = node.hear(CLIENT, &json!({"frames": paths, "period": 0.2, "ask": null, "record_now": true}));
    assert!(heard.detections.len() >= 4, "{:?}", heard.detections);
    let told = &heard.recorder;
    assert_eq!(told.level, 1, "{}", told.message);
    assert!(told.message.contains("not_mounted") && told.message.contains("mkdir -p"), "{}", told.message);
    assert!(told.number("lost_on_disk") >= 1 && !field.path().join("not_mounted").exists());
    assert_eq!(node.end("-INT").0, Some(0));
}
