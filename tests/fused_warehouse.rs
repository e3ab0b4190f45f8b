//! Camera, lidar and fusion together on real ROS 2: the people of a warehouse that no model was trained on, as Nav2 gets them.
//!
//! tests/ros/replay_bag.py starts the three nodes and plays a synthetic recording to them in real time, tests/ros/track_judge.py holds
//! the tracks against the exact truth. `scripts/results/fused_warehouse` does the same with more warehouses and keeps the figures.
#![cfg(all(feature = "ros", feature = "distill"))]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{rclpy, script};

/// Not among the warehouses that the models were trained on; many people walk here, and some drive forklifts.
const SEED: &str = "403";
const SECONDS: &str = "25";

#[derive(Debug, Deserialize)]
struct Verdict {
    all: Figures,
}

/// What tests/ros/track_judge.py finds out.
#[derive(Debug, Deserialize)]
struct Figures {
    seconds: f64,
    instants: usize,
    unanswered: usize,
    there: usize,
    found: usize,
    #[serde(rename = "false")]
    invented: usize,
    recall: Option<f64>,
    precision: Option<f64>,
    covered: Option<f64>,
    error_m: Spread,
    tracks: usize,
    switches: usize,
    switches_per_minute: f64,
    latency_ms: BTreeMap<String, Latency>,
}

#[derive(Debug, Deserialize)]
struct Spread {
    median: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Latency {
    messages: usize,
    p50: f64,
    p99: f64,
}

/// Whether python3 has what reads recordings and bundles. Otherwise says, as a test's last words, why it is skipped.
fn readers() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import mcap, numpy, onnxruntime, yaml"])
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        println!("skipped: python3 lacks mcap, numpy, onnxruntime or yaml (source scripts/env)");
    }
    found
}

fn judge(replay: &Path) -> Figures {
    let output =
        Command::new("python3").arg(script("track_judge.py")).arg(replay).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice::<Verdict>(&output.stdout).unwrap().all
}

#[test]
fn people_near_the_robot_are_tracked_where_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [camera, lidar] = ["warehouse_small.onnx", "warehouse_lidar.onnx"].map(|name| root.join("models").join(name));
    if !lidar.exists() {
        println!("skipped: no {} (models/README.md tells how it is made)", lidar.display());
        return;
    }
    if !support::onnx_runtime() || !rclpy() || !readers() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (bag, replay) = (folder.path().join("warehouse"), folder.path().join("replay.json"));
    let recorded = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args(["synth", "--seed", SEED, "--seconds", SECONDS, "--rate", "10", "--out"])
        .arg(&bag)
        .output()
        .unwrap();
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));

    let nodes = Path::new(env!("CARGO_BIN_EXE_obstacle_fusion")).parent().unwrap();
    let domain = (20 + std::process::id() % 80).to_string();
    let played = Command::new("python3")
        .arg(script("replay_bag.py"))
        .arg(&bag)
        .arg("--out")
        .arg(&replay)
        .arg("--bin")
        .arg(nodes)
        .arg("--camera-model")
        .arg(&camera)
        .arg("--lidar-model")
        .arg(&lidar)
        .env("ROS_DOMAIN_ID", domain)
        .status()
        .unwrap();
    assert!(played.success(), "the nodes could not be played to, or did not end cleanly");

    let figures = judge(&replay);
    println!("{figures:#?}");
    assert!(figures.there >= 300 && figures.seconds > 20.0, "too little to judge by: {figures:?}");
    // What several drives give is in docs/results/fused_warehouse.txt; one short drive scatters about that.
    assert!(figures.recall >= Some(0.8), "{figures:?}");
    assert!(figures.covered >= Some(0.8), "whoever is tracked is also in the obstacle cloud: {figures:?}");
    assert!(figures.precision >= Some(0.45), "{figures:?}");
    assert!(figures.error_m.median.is_some_and(|metres| metres <= 0.25), "{figures:?}");
    assert!(figures.switches_per_minute <= 15.0, "{figures:?}");
    assert!(figures.unanswered * 20 <= figures.instants, "tracks come at every instant: {figures:?}");
    // A tenth of a second is the fusion's own period; the rest is two detectors on whatever machine this is.
    let fusion = &figures.latency_ms["obstacle_fusion"];
    assert!(fusion.p50 <= 250.0 && fusion.p99 <= 1000.0, "{figures:?}");
}

/// A replay of three seconds with an object of the truth every 0.2 s and what the fusion said at the same stamps.
fn made_up(objects: impl Fn(i64) -> Value, tracks: impl Fn(i64) -> Option<Value>) -> Value {
    let stamp = |step: i64| 1_700_000_000_000_000_000 + step * 200_000_000;
    let truth: Vec<Value> =
        (0..16).map(|step| json!({"stamp": stamp(step), "robot": [0.0, 0.0, 0.0], "objects": objects(step)})).collect();
    let answers: Vec<(i64, Value)> = (0..16).filter_map(|step| Some((stamp(step), tracks(step)?))).collect();
    let detections: Vec<Value> = answers
        .iter()
        .map(|(stamp, tracks)| json!({"stamp": stamp, "latency": 0.02, "received_after": 0.03, "tracks": tracks}))
        .collect();
    let nearest = json!({"1": 0.2, "2": 5.0});
    let obstacles: Vec<Value> = answers.iter().map(|(stamp, _)| json!({"stamp": stamp, "nearest": nearest})).collect();
    json!({
        "begin": stamp(0), "end": stamp(15), "truth": truth, "detections": detections, "obstacles": obstacles,
        "detectors": {"lidar_detector": [{"stamp": stamp(0), "latency": 0.005, "objects": 1}]},
    })
}

fn person(id: &str, x: f64, y: f64, points: u32) -> Value {
    json!({"id": id, "class": "person", "x": x, "y": y, "distance": x.hypot(y), "lidar_points": points, "in_image": false})
}

fn track(id: &str, x: f64, y: f64) -> Value {
    json!({"id": id, "class": "person", "x": x, "y": y})
}

fn judged(replay: &Value) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replay.json");
    std::fs::write(&path, replay.to_string()).unwrap();
    judge(&path)
}

/// The first second, five instants, is not judged: eleven are left.
#[test]
fn the_judge_counts_what_is_found_invented_and_mistaken() {
    if !readers() {
        return;
    }
    // One in sight, one hidden, one too far away.
    let objects = |_| json!([person("1", 3.0, 0.2, 40), person("2", 0.0, 5.0, 2), person("3", 9.0, 0.0, 60)]);
    let figures = judged(&made_up(objects, |step| {
        let name = if step < 10 { "a" } else { "b" };
        let invented = if step < 7 { 2.0 } else { -30.0 };
        let there = json!([track(name, 3.0, 0.0), track("hidden", 0.0, 5.1), track("invented", invented, -3.0)]);
        // Two stamps without an answer.
        (step != 12 && step != 13).then_some(there)
    }));
    assert_eq!((figures.instants, figures.unanswered), (11, 2), "{figures:?}");
    assert_eq!((figures.there, figures.found), (11, 9), "the hidden and the far one do not count: {figures:?}");
    assert_eq!(figures.invented, 2, "what is at the hidden one, or far away, is not invented: {figures:?}");
    assert_eq!((figures.switches, figures.tracks), (1, 2), "{figures:?}");
    // Nine of eleven, to three digits.
    assert_eq!((figures.recall, figures.precision, figures.covered), (Some(0.818), Some(0.818), Some(0.818)));
    assert_eq!(figures.error_m.median, Some(0.2));
    let fusion = &figures.latency_ms["obstacle_fusion"];
    assert_eq!((fusion.messages, fusion.p50, fusion.p99), (14, 20.0, 20.0));
}

#[test]
fn tracks_that_swap_people_are_switches_and_late_returns_are_none() {
    if !readers() {
        return;
    }
    let places = |step: i64| (3.0 + 0.2 * step as f64, -2.0);
    let objects = |step| {
        let (x, y) = places(step);
        json!([person("1", x - 3.0, y, 40), person("2", x - 3.0, 2.0, 40)])
    };
    // Halfway the two exchange their tracks.
    let swapped = judged(&made_up(objects, |step| {
        let (x, y) = places(step);
        let (first, second) = if step < 10 { ("a", "b") } else { ("b", "a") };
        Some(json!([track(first, x - 3.0, y), track(second, x - 3.0, 2.0)]))
    }));
    assert_eq!((swapped.found, swapped.switches), (22, 2), "{swapped:?}");
    // Somebody out of sight for longer than a second may come back as another.
    let away = judged(&made_up(
        |step| json!([person("1", 3.0, 0.0, if (6..12).contains(&step) { 0 } else { 40 })]),
        |step| Some(json!([track(if step < 9 { "a" } else { "b" }, 3.0, 0.0)])),
    ));
    assert_eq!((away.there, away.switches, away.invented), (5, 0, 0), "{away:?}");
}
