//! What the nodes say of themselves on real ROS 2, judged by a client in rclpy (tests/ros/diagnostics_client.py): figures and limits,
//! drift, latency topics, logs and traces.
#![cfg(feature = "ros")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::{
    digest::file_sha256,
    metrics::{FrameScores, ScoreProfile},
    model::{
        Detector, ModelSpec, SessionOptions, SoftDetection,
        bundle::{metadata_of, write_metadata},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{Node, rclpy, script};

const PROGRAM: &str = env!("CARGO_BIN_EXE_camera_detector");
const CLIENT: &str = "diagnostics_client.py";
/// Seconds between images.
const PERIOD: f64 = 0.02;
/// The client does not listen to what is found.
const UNHEARD: &str = "idle_saving:=false";

#[derive(Deserialize)]
struct Heard {
    told: Vec<Status>,
    latencies: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    level: u8,
    message: String,
    values: BTreeMap<String, String>,
}

impl Heard {
    /// The newest status about something.
    fn newest(&self, about: &str) -> &Status {
        let found = self.told.iter().rfind(|status| status.name == format!("/camera_detector: {about}"));
        found.unwrap_or_else(|| panic!("nothing is said about {about}: {:?}", self.told))
    }
}

impl Status {
    fn number(&self, key: &str) -> f64 {
        self.values[key].parse().unwrap()
    }
}

fn is_possible() -> bool {
    support::onnx_runtime() && rclpy()
}

fn student() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/indoor_person.onnx")
}

/// The student with this profile in its bundle, or with none.
fn student_with(profile: Option<&ScoreProfile>, folder: &Path) -> PathBuf {
    let bytes = std::fs::read(student()).unwrap();
    let mut metadata = metadata_of::<ModelSpec>(&bytes).unwrap().expect("a bundle");
    metadata.figures.remove(ScoreProfile::KEY);
    if let Some(profile) = profile {
        profile.put_into(&mut metadata.figures);
    }
    let path = folder.join("student.onnx");
    std::fs::write(&path, write_metadata(&bytes, &metadata).unwrap()).unwrap();
    path
}

/// Of a place where four frames in five show a person.
fn usual_profile() -> ScoreProfile {
    let frame = |number: usize| match number / 10 % 5 {
        0 => FrameScores::default(),
        step => FrameScores::of([0.6 + 0.05 * step as f32]),
    };
    ScoreProfile::of(&(0..1000).map(frame).collect::<Vec<_>>()).unwrap()
}

fn parameters(model: &Path, more: &[&str]) -> Vec<String> {
    let model = format!("model:={}", model.display());
    std::iter::once(model).chain(more.iter().map(|&parameter| parameter.to_owned())).collect()
}

fn start(model: &Path, more: &[&str]) -> Node {
    Node::start(PROGRAM, &parameters(model, more))
}

fn black() -> Value {
    json!([{"black": [320, 180]}])
}

/// What is heard while the camera shows these frames.
fn hear(node: &Node, frames: &Value, seconds: f64, until: Option<[&str; 2]>) -> Heard {
    let plan = json!({"frames": frames, "period": PERIOD, "seconds": seconds, "until": until, "latencies": []});
    node.hear(CLIENT, &plan)
}

#[test]
fn every_figure_is_told_and_latencies_are_heard() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = student_with(None, folder.path());
    // Nobody listens to what is found: who listens to latencies is listener enough.
    let node = start(&model, &[]);
    let topics = ["pipeline_ms", "infer_ms", "age_ms"];
    let plan = json!({"frames": black(), "period": PERIOD, "seconds": 4.0, "until": null, "latencies": topics});
    let heard: Heard = node.hear(CLIENT, &plan);

    let status = heard.newest("detection");
    assert_eq!((status.level, status.message.ends_with("frames processed")), (0, true), "{status:?}");
    for stage in ["age", "queue", "decode", "preprocess", "infer", "postprocess", "publish", "pipeline"] {
        let figures = ["p50", "p95", "p99", "max"].map(|figure| status.number(&format!("{stage}_ms_{figure}")));
        assert!(figures.is_sorted() && figures[0] >= 0.0, "{stage}: {figures:?}");
    }
    assert!(status.number("pipeline_ms_p50") >= status.number("infer_ms_p50"), "{status:?}");
    let sent = 1.0 / PERIOD;
    assert!((0.3 * sent..1.2 * sent).contains(&status.number("input_hz")), "{status:?}");
    assert!(status.number("output_hz") > 0.0 && status.number("output_hz") <= status.number("input_hz") + 1.0);
    assert!((0.0..=1.0).contains(&status.number("dropped_share")));
    let cpu = status.number("cpu_ms_per_frame");
    assert!(cpu > 0.0 && cpu < 1000.0, "{cpu} ms of the processor a frame");
    let [now, first, peak] = ["memory_mib", "memory_mib_configured", "memory_mib_peak"].map(|key| status.number(key));
    assert!(first > 1.0 && now <= peak && first <= peak, "{now}, {first}, {peak} MiB");

    let hash = file_sha256(&model).unwrap();
    let value = |key: &str| status.values[key].as_str();
    assert_eq!((value("model"), value("model_sha256")), (model.to_str().unwrap(), hash.as_str()));
    assert_eq!((value("model_sha256_short"), value("bundle_version")), (&hash[..12], "1"));
    assert_eq!((value("provider"), value("classes"), value("state")), ("cpu", "person", "active"));

    for topic in topics {
        let values = &heard.latencies[topic];
        assert!(values.len() > 20 && values.iter().all(|value| (0.0..5000.0).contains(value)), "{topic}: {values:?}");
    }
    let sum = |topic: &str| heard.latencies[topic].iter().sum::<f64>() / heard.latencies[topic].len() as f64;
    assert!(sum("pipeline_ms") > sum("infer_ms"), "{:?}", heard.latencies);
    let drift = heard.newest("drift");
    assert!(drift.level == 0 && drift.message.contains("no score profile"), "{drift:?}");
}

#[test]
fn limits_that_are_passed_are_told_with_their_parameter() {
    if !is_possible() {
        return;
    }
    let node = start(&student(), &[UNHEARD, "latency_warn:=0.2"]);
    let late = |set: Value| -> Heard {
        let plan = json!({"frames": black(), "period": PERIOD, "seconds": 4.0, "until": null, "latencies": [], "late": 0.5, "set": set});
        node.hear(CLIENT, &plan)
    };
    let heard = late(json!({}));
    let status = heard.newest("detection");
    assert!(status.level == 1 && status.message.contains("latency_warn is 200 ms"), "{status:?}");
    let heard = late(json!({"latency_error": 0.4, "memory_warn": 1.0}));
    let status = heard.newest("detection");
    assert_eq!(status.level, 2, "{status:?}");
    for words in ["latency_error is 400 ms", "memory_warn is 1 MiB"] {
        assert!(status.message.contains(words), "{status:?}");
    }
}

#[test]
fn a_camera_that_shows_nothing_known_is_noticed() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = student_with(Some(&usual_profile()), folder.path());
    for frames in [black(), json!([{"noise": [320, 180]}, {"noise": [320, 180]}, {"noise": [320, 180]}])] {
        let node = start(&model, &[UNHEARD]);
        let heard = hear(&node, &frames, 40.0, Some(["differs from the frames", ": drift"]));
        let early = heard.told.iter().find(|status| status.message.contains("of 300 frames seen"));
        assert!(early.is_some_and(|status| status.level == 0), "a few frames are not judged: {:?}", heard.told);
        let status = heard.newest("drift");
        assert_eq!(status.level, 1, "{status:?}");
        assert!(status.message.contains("drift_warn is 6") && status.message.contains("standard errors"), "{status:?}");
        assert!(status.number("drift") >= 6.0 && (status.number("empty_share_expected") - 0.2).abs() < 1e-9);
        // Others' words do not spoil the node's own.
        assert_eq!(heard.newest("detection").level, 0, "{:?}", heard.newest("detection"));
    }
}

#[test]
fn the_frames_that_the_profile_was_made_of_are_no_drift() {
    let Some(data) = support::test_data("bags/indoor_person_mcap") else { return };
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    let mut command = Command::new("python3");
    command.arg(script("frames_of_bag.py")).arg(data.join("bags/indoor_person_mcap")).arg(&frames).args(["20", "png"]);
    assert!(command.status().unwrap().success());
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&frames).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "{} frames", paths.len());
    let mut detector = Detector::load(student(), &SessionOptions::default()).unwrap();
    let found: Vec<FrameScores> = paths
        .iter()
        .map(|path| {
            let found = detector.detect(&image::open(path).unwrap().to_rgb8()).unwrap();
            FrameScores::of(found.detections.iter().map(SoftDetection::score))
        })
        .collect();
    let profile = ScoreProfile::of(&found.repeat(10)).unwrap();
    assert!(profile.empty.mean < 0.8, "there are people in the recording: {profile:?}");
    let node = start(&student_with(Some(&profile), folder.path()), &[UNHEARD]);
    let frames: Vec<Value> = paths.iter().map(|path| json!({"path": path})).collect();
    let heard = hear(&node, &json!(frames), 40.0, Some(["as when it was validated", ": drift"]));
    let status = heard.newest("drift");
    assert!(status.level == 0 && status.message.contains("as when it was validated"), "{status:?}");
    // Other thresholds let other scores through: nothing is to be compared then.
    let node = start(&student_with(Some(&profile), folder.path()), &[UNHEARD, "score_threshold:=0.9"]);
    let status = hear(&node, &black(), 3.0, Some(["not watched", ": drift"]));
    assert_eq!(status.newest("drift").level, 0);
}

#[test]
fn a_trace_of_every_frame_is_whole_when_the_node_has_ended() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let variables = [("DISTILLED_PERCEPTION_TRACE", path.to_str().unwrap()), ("RUST_LOG", "warn")];
    let node = Node::start_with(PROGRAM, &parameters(&student(), &[UNHEARD]), &variables);
    let heard = hear(&node, &black(), 3.0, None);
    let processed = heard.newest("detection").number("processed") as usize;
    assert_eq!(node.end("-INT").0, Some(0));
    let entries: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let count =
        |name: &str, phase: &str| entries.iter().filter(|entry| entry["name"] == name && entry["ph"] == phase).count();
    for stage in ["frame", "decode", "preprocess", "infer", "postprocess", "publish"] {
        let (begun, ended) = (count(stage, "B"), count(stage, "E"));
        assert!(begun == ended && begun >= processed && processed > 0, "{stage}: {begun} begun, {ended} ended");
    }
}

/// A program that ends at once: its model is not there.
fn without_model(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["--ros-args", "-p", "model:=/nowhere/student.onnx"]).envs(variables.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn log_lines_are_json_where_that_is_wanted() {
    let output = without_model(&[("DISTILLED_PERCEPTION_LOG_FORMAT", "json"), ("RUST_LOG", "info")]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{log}");
    // ROS 2 itself may have something to say, too.
    let ours = log.lines().filter(|line| line.contains("distilled_perception::"));
    let lines: Vec<Value> = ours.map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = lines.iter().find(|line| line["level"] == "ERROR").expect("the error is logged");
    assert!(error["message"].as_str().unwrap().contains("/nowhere/student.onnx"), "{error}");
    assert!(error["timestamp"].is_string() && error["target"].as_str().unwrap().starts_with("distilled_perception"));

    let output = without_model(&[]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.lines().any(|line| line.contains("ERROR") && !line.starts_with('{')), "{log}");
}

#[test]
fn settings_of_the_log_that_make_no_sense_end_with_one_clear_error() {
    for (variable, value) in
        [("DISTILLED_PERCEPTION_LOG_FORMAT", "xml"), ("DISTILLED_PERCEPTION_TRACE", "/nowhere/trace.json")]
    {
        support::refused(&without_model(&[(variable, value)]), 2, &[variable, value]);
    }
}
