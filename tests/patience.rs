//! The nodes and a sensor that does everything wrong, on real ROS 2 (tests/ros/unruly_publisher.py): each fault is told in the diagnostics
//! with both sides and the mend, and none of them stops a node.
#![cfg(feature = "ros")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{Node, rclpy};

const CAMERA: &str = env!("CARGO_BIN_EXE_camera_detector");
const LIDAR: &str = env!("CARGO_BIN_EXE_lidar_detector");
const FUSION: &str = env!("CARGO_BIN_EXE_obstacle_fusion");
/// Seconds within which a publisher that cannot be heard is told.
const SOON: f64 = 2.0;

const OK: u8 = 0;
const WARN: u8 = 1;
const ERROR: u8 = 2;

#[derive(Deserialize)]
struct Heard {
    /// Seconds at which each phase began and ended.
    phases: Vec<[f64; 2]>,
    statuses: Vec<Status>,
    /// Seconds at which detections came.
    detections: Vec<f64>,
}

#[derive(Deserialize, Debug)]
struct Status {
    at: f64,
    name: String,
    level: u8,
    message: String,
    values: BTreeMap<String, String>,
}

impl Status {
    fn holds(&self, words: &[&str]) -> bool {
        words.iter().all(|word| self.message.contains(word))
    }

    fn count(&self, key: &str) -> u64 {
        self.values
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no count {key} in {self:?}"))
    }
}

impl Heard {
    /// What the part of the node says during a phase.
    fn during(&self, phase: usize, part: &str) -> Vec<&Status> {
        let [begin, end] = self.phases[phase];
        let during = |status: &&Status| status.at >= begin && status.at <= end && status.name.ends_with(part);
        self.statuses.iter().filter(during).collect()
    }

    /// The last word of the detector in a phase.
    fn last(&self, phase: usize) -> &Status {
        self.during(phase, ": detection").last().copied().expect("diagnostics come every second")
    }

    /// The first status of the detector in a phase that has this level and holds these words, and how long it took.
    fn first(&self, phase: usize, level: u8, words: &[&str]) -> (f64, &Status) {
        let during = self.during(phase, ": detection");
        let found = during.iter().copied().find(|status| status.level == level && status.holds(words));
        let status = found.unwrap_or_else(|| panic!("nobody says {words:?} at level {level}: {during:?}"));
        (status.at - self.phases[phase][0], status)
    }

    /// How many detections came in a phase.
    fn detections(&self, phase: usize) -> usize {
        let [begin, end] = self.phases[phase];
        self.detections.iter().filter(|&&at| at >= begin && at <= end).count()
    }
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// Whether all that a detector with this model needs is there.
fn is_possible(name: &str) -> bool {
    let is_there = model(name).exists();
    if !is_there {
        println!("skipped: {} is not there", model(name).display());
    }
    is_there && support::onnx_runtime() && rclpy()
}

/// Starts a detector, and plays the phases to it.
fn play(program: &str, name: &str, parameters: &[&str], phases: &[Value]) -> Heard {
    let is_camera = name == "camera_detector";
    let bundle = model(if is_camera { "indoor_person.onnx" } else { "legs.onnx" });
    let given = parameters.iter().map(|&parameter| parameter.to_owned());
    let given: Vec<String> = std::iter::once(format!("model:={}", bundle.display())).chain(given).collect();
    let node = Node::start(program, &given);
    let detections = if is_camera { "2d" } else { "3d" };
    let heard = node.hear("unruly_publisher.py", &json!({"node": name, "detections": detections, "phases": phases}));
    assert_eq!(node.end("-INT").0, Some(0), "the node is alive and ends cleanly");
    heard
}

fn camera(parameters: &[&str], phases: &[Value]) -> Heard {
    play(CAMERA, "camera_detector", parameters, phases)
}

#[test]
fn a_publisher_that_cannot_be_heard_is_told_at_once_with_both_sides_and_the_parameter() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let phases = [
        json!({"seconds": 3.0, "topic": "image", "reliability": "best_effort"}),
        json!({"seconds": 4.0, "topic": "image", "reliability": "reliable"}),
        json!({"seconds": 3.0, "topic": "image", "reliability": "best_effort"}),
    ];
    let heard = camera(&["image_reliability:=reliable"], &phases);
    let words = ["/unruly_publisher", "/camera_detector", "/image", "best_effort", "reliable", "image_reliability"];
    for (phase, count) in [(0, 1), (2, 2)] {
        let (took, status) = heard.first(phase, ERROR, &words);
        assert!(took <= SOON, "told after {took} s");
        assert_eq!(status.count("qos_mismatches"), count, "{status:?}");
        assert!(heard.detections(phase) <= 1, "nothing of it can arrive");
    }
    assert!(heard.detections(1) > 10);
    assert_eq!(heard.last(1).level, OK, "{:?}", heard.last(1));
}

#[test]
fn what_nobody_publishes_is_told_with_what_there_is_and_another_type_with_its_parameter() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let phases = [
        json!({"seconds": 9.0, "topic": "front/image_raw"}),
        json!({"seconds": 3.0, "topic": "image", "type": "compressed"}),
        json!({"seconds": 3.0, "topic": "image"}),
    ];
    let heard = camera(&[], &phases);
    let status = heard.last(0);
    assert_eq!(status.level, WARN, "{status:?}");
    for word in ["/image", "/front/image_raw", "sensor_msgs/msg/Image", "image_topic", "-r image:=/front/image_raw"] {
        assert!(status.message.contains(word), "`{word}` is not in {status:?}");
    }
    assert_eq!(status.count("without_publisher"), 1);
    let words = ["sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image", "image_transport to compressed"];
    let (took, status) = heard.first(1, ERROR, &words);
    assert!(took <= SOON, "told after {took} s");
    assert_eq!(status.count("wrong_types"), 1);
    assert!(heard.detections(2) > 5, "then the right one comes");
    assert_eq!(heard.last(2).level, OK, "{:?}", heard.last(2));
}

#[test]
fn a_publisher_that_is_killed_is_missed_and_one_that_comes_again_is_welcome() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let phases = [
        json!({"seconds": 6.0, "topic": "image", "killed": true}),
        json!({"seconds": 8.0, "publish": false}),
        json!({"seconds": 7.0, "topic": "image", "killed": true}),
        json!({"seconds": 2.0, "topic": "image"}),
        json!({"seconds": 2.0, "publish": false}),
    ];
    let heard = camera(&[], &phases);
    assert!(heard.detections(0) > 5);
    let silent = heard.last(1);
    assert!(silent.level == ERROR && silent.message.contains("no image for"), "{silent:?}");
    assert!(heard.detections(2) > 5);
    assert_eq!(heard.last(2).level, OK, "{:?}", heard.last(2));
    assert_eq!(heard.last(3).count("several_publishers"), 0, "the dead do not count: {:?}", heard.last(3));
}

#[test]
fn clocks_that_jump_stamps_of_the_future_and_frozen_ones_are_told_and_detection_goes_on() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let phases = [
        json!({"seconds": 3.0, "topic": "image"}),
        json!({"seconds": 8.0, "topic": "image", "offset": -3600.0}),
        json!({"seconds": 3.0, "topic": "image", "offset": 5.0}),
        json!({"seconds": 3.0, "topic": "image", "offset": -4.0}),
        json!({"seconds": 3.0, "topic": "image", "stamp": 1_700_000_000_000_000_000_i64}),
    ];
    let heard = camera(&[], &phases);
    for phase in 0..phases.len() {
        assert!(heard.detections(phase) > 10, "{} detections in phase {phase}", heard.detections(phase));
    }
    assert_eq!(heard.last(0).level, OK, "{:?}", heard.last(0));
    // A recording is played, an hour old.
    let (_, jump) = heard.first(1, WARN, &["went back by 3", "/image"]);
    assert_eq!(jump.count("stamps_set_back"), 1);
    let played = heard.last(1);
    assert_eq!((played.level, played.count("stamps_stale")), (OK, 0), "old stamps of a recording are well: {played:?}");
    let (took, future) = heard.first(2, WARN, &["ahead of this machine's clock", "future_warn", "/image"]);
    assert!(took <= SOON && future.count("stamps_in_future") > 0, "{future:?}");
    // Set back and stale at once: the counts tell of both.
    let stale = heard.last(3);
    assert!(stale.level == WARN && stale.count("stamps_stale") > 10, "{stale:?}");
    assert_eq!(stale.count("stamps_set_back"), 2);
    let frozen = heard.last(4);
    assert!(frozen.level == WARN && frozen.count("stamps_frozen") == 1, "{frozen:?}");
}

#[test]
fn limits_of_zero_are_no_limits() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let phases = [
        json!({"seconds": 3.0, "topic": "image", "offset": -30.0}),
        json!({"seconds": 3.0, "topic": "image", "offset": 30.0}),
    ];
    let heard = camera(&["stale_warn:=0.0", "future_warn:=0.0"], &phases);
    for phase in 0..2 {
        assert_eq!(heard.last(phase).level, OK, "{:?}", heard.last(phase));
    }
    // Where the clock is a simulation's, the system's says nothing of it.
    let heard = camera(&["use_sim_time:=true"], &phases);
    for phase in 0..2 {
        assert_eq!(heard.last(phase).level, OK, "{:?}", heard.last(phase));
    }
}

#[test]
fn sizes_encodings_and_garbage_in_mid_stream_cost_no_more_than_themselves() {
    if !is_possible("indoor_person.onnx") {
        return;
    }
    let image = |seconds: f64, encoding: &str, width: u32, height: u32| {
        let size = [width, height];
        json!({"seconds": seconds, "topic": "image", "encoding": encoding, "size": size})
    };
    let phases = [
        image(2.0, "rgb8", 64, 48),
        image(2.0, "16UC1", 320, 240),
        image(2.0, "yuv422_yuy2", 64, 48),
        image(2.0, "8UC3", 101, 77),
        image(3.0, "32FC3", 64, 48),
        image(2.0, "rgb8", 640, 480),
        json!({"seconds": 3.0, "topic": "image", "garbage": true}),
        image(8.0, "rgb8", 64, 48),
    ];
    let heard = camera(&[], &phases);
    for phase in [0, 1, 2, 3, 5, 7] {
        assert!(heard.detections(phase) > 5, "{} detections of {}", heard.detections(phase), phases[phase]);
    }
    let unknown = heard.last(4);
    assert!(unknown.level == WARN && unknown.message.contains("32FC3"), "{unknown:?}");
    assert!(unknown.count("failed") > 5 && heard.detections(4) <= 2, "{unknown:?}");
    let garbage = heard.last(6);
    assert!(garbage.level == WARN && garbage.count("failed") > unknown.count("failed") + 5, "{garbage:?}");
    assert_eq!(heard.last(7).level, OK, "{:?}", heard.last(7));
}

#[test]
fn lidar_detector_is_as_patient() {
    if !is_possible("legs.onnx") {
        return;
    }
    let scan = |seconds: f64| json!({"seconds": seconds, "topic": "scan", "type": "scan"});
    let phases = [
        json!({"seconds": 3.0, "topic": "scan", "type": "scan", "reliability": "best_effort"}),
        json!({"seconds": 3.0, "topic": "scan", "type": "cloud"}),
        scan(3.0),
        json!({"seconds": 7.0, "topic": "scan", "type": "scan", "offset": -3600.0}),
        json!({"seconds": 3.0, "topic": "scan", "garbage": true, "type": "scan"}),
        json!({"seconds": 3.0, "topic": "scan", "type": "scan", "offset": 3.0}),
        json!({"seconds": 7.0, "publish": false}),
        scan(7.0),
    ];
    let heard = play(LIDAR, "lidar_detector", &["input_reliability:=reliable"], &phases);
    let words = ["/unruly_publisher", "/lidar_detector", "/scan", "best_effort", "input_reliability"];
    let (took, _) = heard.first(0, ERROR, &words);
    assert!(took <= SOON, "told after {took} s");
    let words = ["sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/LaserScan", "input_type to cloud"];
    let (took, _) = heard.first(1, ERROR, &words);
    assert!(took <= SOON, "told after {took} s");
    for phase in [2, 3, 5, 7] {
        assert!(heard.detections(phase) > 10, "{} detections in phase {phase}", heard.detections(phase));
    }
    heard.first(3, WARN, &["went back by 3", "/scan"]);
    assert_eq!(heard.last(3).level, OK, "{:?}", heard.last(3));
    assert!(heard.last(4).count("failed") > 5, "{:?}", heard.last(4));
    heard.first(5, WARN, &["future_warn"]);
    let silent = heard.last(6);
    assert!(silent.level == ERROR && silent.holds(&["no sweep for", "nobody publishes /scan any more"]), "{silent:?}");
    assert_eq!(heard.last(7).level, OK, "{:?}", heard.last(7));
}

#[test]
fn the_fusion_says_which_input_and_transforms_it_waits_for() {
    if !rclpy() {
        return;
    }
    let node = Node::start(FUSION, &["lidar:=/objects".to_owned()]);
    let phases = [
        json!({"seconds": 9.0, "topic": "/others", "type": "objects"}),
        json!({"seconds": 3.0, "topic": "/objects", "type": "objects", "reliability": "best_effort"}),
    ];
    let plan = json!({"node": "obstacle_fusion", "detections": "3d", "phases": phases});
    let heard: Heard = node.hear("unruly_publisher.py", &plan);
    let last = |phase: usize, part: &str| heard.during(phase, part).last().copied().expect("diagnostics come");
    let input = last(0, "input /objects");
    assert_eq!(input.level, WARN, "{input:?}");
    assert!(input.holds(&["nobody publishes /objects", "/others", "parameter lidar"]), "{input:?}");
    let whole = last(0, ": fusion");
    assert!(whole.holds(&["/others", "nobody publishes /tf "]), "{whole:?}");
    let during = heard.during(1, "input /objects");
    let deaf = during.iter().find(|status| status.holds(&["best_effort", "input_reliability", "/unruly_publisher"]));
    let deaf = deaf.expect("the publisher is named");
    assert!(deaf.level == ERROR && deaf.at - heard.phases[1][0] <= SOON, "{deaf:?}");
    assert_eq!(node.end("-INT").0, Some(0));
}
