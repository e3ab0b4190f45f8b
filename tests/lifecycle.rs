//! The nodes as managed nodes on real ROS 2, led by a client in rclpy that stands in for Nav2's lifecycle manager
//! (tests/ros/lifecycle_client.py).
#![cfg(feature = "ros")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{Node, rclpy};

const CAMERA: &str = env!("CARGO_BIN_EXE_camera_detector");
const LIDAR: &str = env!("CARGO_BIN_EXE_lidar_detector");
const FUSION: &str = env!("CARGO_BIN_EXE_obstacle_fusion");
/// No answer may take longer, whatever the node is doing.
const AT_ONCE: f64 = 0.2;

#[derive(Deserialize)]
struct Heard {
    results: Vec<Value>,
    /// Number of the transition, start and goal.
    events: Vec<(u8, String, String)>,
    bond: Vec<Word>,
}

/// Seconds, active, instance, timeout, period.
type Word = (f64, bool, String, f64, f64);

/// Whether everything that these tests need is there.
fn is_possible() -> bool {
    support::onnx_runtime() && rclpy()
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

fn camera_parameters() -> Vec<String> {
    vec![format!("model:={}", model("indoor_person.onnx").display()), "autostart:=false".into()]
}

fn fusion_parameters() -> Vec<String> {
    ["lidar:=/objects", "autostart:=false"].map(str::to_owned).to_vec()
}

fn lead(node: &Node, name: &str, steps: &[Value]) -> Heard {
    node.hear("lifecycle_client.py", &json!({"node": name, "pid": node.pid(), "steps": steps}))
}

fn change(id: u8) -> Value {
    json!({"do": "change", "id": id})
}

/// Asserts what a change of the state came to.
fn changed(result: &Value, success: bool, state: &str) {
    assert_eq!((&result["success"], &result["state"]), (&json!(success), &json!(state)), "{result}");
}

/// Each transition that was told: where from and where to.
fn told(heard: &Heard) -> Vec<(&str, &str)> {
    heard.events.iter().map(|(_, start, goal)| (start.as_str(), goal.as_str())).collect()
}

/// A manager leads a node through its whole life, with a sensor beside it. `detections` is the topic's key in what is heard.
fn a_whole_life(program: &str, name: &str, parameters: &[String], sensor: &str, key: &str) {
    let node = Node::start(program, parameters);
    let watch = json!({"do": "watch", "seconds": 1.5, "sensor": sensor});
    let steps = [
        json!({"do": "state"}),
        json!({"do": "available"}),
        change(3),
        watch.clone(),
        change(1),
        change(1),
        watch.clone(),
        json!({"do": "change", "label": "activate"}),
        json!({"do": "bond", "seconds": 2.0}),
        watch.clone(),
        change(4),
        watch.clone(),
        change(3),
        watch.clone(),
        change(4),
        change(2),
        watch,
        change(6),
        change(5),
        change(1),
        json!({"do": "state"}),
    ];
    let heard = lead(&node, name, &steps);
    let results = &heard.results;
    let count = |step: usize, key: &str| results[step]["heard"][key].as_u64().unwrap();
    assert_eq!(results[0]["label"], "unconfigured");
    assert_eq!(
        results[1],
        json!([[1, "configure", "unconfigured", "configuring"], [5, "shutdown", "unconfigured", "shuttingdown"]])
    );
    changed(&results[2], false, "unconfigured");
    for (key, silent) in [("detections", [3, 6, 11, 16]), ("obstacles", [3, 6, 11, 16]), ("labels", [3, 6, 11, 16])] {
        for step in silent {
            assert_eq!(count(step, key), 0, "{key} are published at step {step}, where the node is not active");
        }
    }
    let unconfigured = &results[3]["diagnostics"][0];
    assert_eq!((&unconfigured["level"], &unconfigured["values"]["state"]), (&json!(1), &json!("unconfigured")));
    changed(&results[4], true, "inactive");
    changed(&results[5], false, "inactive");
    assert_eq!(results[6]["diagnostics"][0]["values"]["state"], "inactive");
    changed(&results[7], true, "active");
    assert_eq!(results[8]["formed"], true, "the bond is formed within 2 s");
    for step in [9, 13] {
        assert!(count(step, key) > 5, "{key} are published by the active node: {}", results[step]);
        assert_eq!(results[step]["diagnostics"][0]["values"]["state"], "active");
    }
    for (step, state) in [(10, "inactive"), (12, "active"), (14, "inactive"), (15, "unconfigured")] {
        changed(&results[step], true, state);
    }
    changed(&results[17], false, "unconfigured");
    changed(&results[18], true, "finalized");
    changed(&results[19], false, "finalized");
    assert_eq!(results[20]["label"], "finalized");
    let path = [
        "unconfigured configuring inactive",
        "inactive activating active",
        "active deactivating inactive",
        "inactive activating active",
        "active deactivating inactive",
        "inactive cleaningup unconfigured",
        "unconfigured shuttingdown finalized",
    ];
    let expected: Vec<(&str, &str)> = path
        .iter()
        .flat_map(|way| {
            let states: Vec<&str> = way.split(' ').collect();
            [(states[0], states[1]), (states[1], states[2])]
        })
        .collect();
    assert_eq!(told(&heard), expected);
    assert_eq!(heard.events[0].0, 1, "events name their transition");
    let instance = &heard.bond[0].2;
    let first: Vec<&Word> = heard.bond.iter().filter(|word| word.2 == *instance).collect();
    let alive: Vec<&&Word> = first.iter().filter(|word| word.1).collect();
    assert!(alive.iter().all(|word| (word.3, (word.4 * 1e3).round()) == (4.0, 100.0)));
    let longest = alive.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
    assert!(longest < 1.0, "{longest} s without a sign of life");
    assert!(first.last().is_some_and(|word| !word.1), "a good-bye ends the bond");
    assert!(heard.bond.iter().any(|word| word.2 != *instance && word.1), "the second activation has a bond of its own");
    let (code, took) = node.end("-INT");
    assert_eq!((code, took < Duration::from_secs(2)), (Some(0), true), "{took:?}");
}

#[test]
fn a_manager_leads_camera_detector_through_its_life() {
    if is_possible() {
        a_whole_life(CAMERA, "camera_detector", &camera_parameters(), "image", "detections");
    }
}

#[test]
fn a_manager_leads_obstacle_fusion_through_its_life() {
    if rclpy() {
        a_whole_life(FUSION, "obstacle_fusion", &fusion_parameters(), "objects", "obstacles");
    }
}

#[test]
fn a_manager_leads_lidar_detector_through_its_life() {
    let legs = model("legs.onnx");
    if !legs.exists() {
        println!("skipped: {} is not there", legs.display());
        return;
    }
    if !is_possible() {
        return;
    }
    let node = Node::start(LIDAR, &[format!("model:={}", legs.display()), "autostart:=false".into()]);
    let steps = [change(1), change(3), json!({"do": "bond", "seconds": 2.0}), change(4), change(2), change(5)];
    let heard = lead(&node, "lidar_detector", &steps);
    assert_eq!(heard.results[2]["formed"], true);
    let steps = [(0, "inactive"), (1, "active"), (3, "inactive"), (4, "unconfigured"), (5, "finalized")];
    for (step, state) in steps {
        changed(&heard.results[step], true, state);
    }
}

#[test]
fn the_services_answer_as_those_of_ros_own_managed_nodes() {
    if !rclpy() {
        return;
    }
    let node = Node::start(FUSION, &fusion_parameters());
    let heard = lead(&node, "obstacle_fusion", &[json!({"do": "states"}), json!({"do": "graph"})]);
    let states = heard.results[0].as_array().unwrap();
    assert_eq!((states.len(), &states[3], &states[10]), (11, &json!([3, "active"]), &json!([15, "errorprocessing"])));
    let graph = heard.results[1].as_array().unwrap();
    assert_eq!(graph.len(), 25);
    for way in [
        json!([1, "configure", "unconfigured", "configuring"]),
        json!([10, "transition_success", "configuring", "inactive"]),
        json!([41, "transition_failure", "deactivating", "active"]),
        json!([62, "transition_error", "errorprocessing", "finalized"]),
    ] {
        assert!(graph.contains(&way), "{way}");
    }
}

#[test]
fn a_missing_model_fails_and_a_mended_parameter_helps() {
    if !is_possible() {
        return;
    }
    let node = Node::start(CAMERA, &["model:=/nowhere/student.onnx".to_owned(), "autostart:=false".to_owned()]);
    let good = model("indoor_person.onnx").display().to_string();
    let steps = [
        change(1),
        json!({"do": "watch", "seconds": 1.5, "sensor": "image"}),
        json!({"do": "set", "parameters": {"model": good}}),
        change(1),
        change(3),
        json!({"do": "watch", "seconds": 1.5, "sensor": "image"}),
    ];
    let heard = lead(&node, "camera_detector", &steps);
    let results = &heard.results;
    changed(&results[0], false, "unconfigured");
    let status = &results[1]["diagnostics"][0];
    assert_eq!(status["level"], 2, "diagnostics call it an error: {status}");
    assert!(status["message"].as_str().unwrap().contains("/nowhere/student.onnx"), "{status}");
    assert_eq!(results[2], json!([true]));
    changed(&results[3], true, "inactive");
    changed(&results[4], true, "active");
    assert!(results[5]["heard"]["detections"].as_u64().unwrap() > 5, "{}", results[5]);
    let failed = [("unconfigured", "configuring"), ("configuring", "unconfigured")];
    assert_eq!(told(&heard)[..2], failed);
}

/// ONNX Runtime's library as it is on a slow disk: loading it takes two seconds.
const SLOW_LIBRARY: &str = r#"
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
const void *OrtGetApiBase(void) {
    static void *library;
    if (!library) {
        sleep(2);
        library = dlopen(getenv("REAL_ONNXRUNTIME"), RTLD_NOW | RTLD_LOCAL);
    }
    return ((const void *(*)(void))dlsym(library, "OrtGetApiBase"))();
}
"#;

#[test]
fn a_slow_configuration_does_not_keep_the_node_from_answering() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("slow.c"), folder.path().join("libonnxruntime.so"));
    std::fs::write(&source, SLOW_LIBRARY).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status().unwrap();
    assert!(compiled.success());
    let real = std::env::var("ORT_DYLIB_PATH").unwrap();
    let mut parameters = camera_parameters();
    parameters.push(format!("onnxruntime_library:={}", library.display()));
    let node = Node::start_with(CAMERA, &parameters, &[("REAL_ONNXRUNTIME", &real)]);
    let heard = lead(&node, "camera_detector", &[json!({"do": "change_slowly", "id": 1})]);
    let result = &heard.results[0];
    changed(result, true, "inactive");
    assert!(result["seconds"].as_f64().unwrap() >= 1.9, "the answer comes when the model is loaded: {result}");
    let states = result["states"].as_array().unwrap();
    let during: Vec<&Value> = states.iter().filter(|state| state["label"] == "configuring").collect();
    assert!(during.len() >= 20, "{} answers while it was configured", during.len());
    for state in states {
        assert!(state["seconds"].as_f64().unwrap() < AT_ONCE, "{state}");
    }
    let other = &result["other"];
    assert_eq!(other["success"], false, "one transition at a time");
    assert!(other["seconds"].as_f64().unwrap() < AT_ONCE, "{other}");
}

/// In and out so often, and nothing is left behind: no threads, no memory, no publishers, no subscriptions.
fn rounds(program: &str, name: &str, parameters: &[String], rounds: usize) {
    let node = Node::start(program, parameters);
    let heard = lead(&node, name, &[json!({"do": "rounds", "rounds": rounds}), json!({"do": "state"})]);
    let result = &heard.results[0];
    assert_eq!(result["wrong"], json!([]));
    assert_eq!(heard.results[1]["label"], "unconfigured");
    assert_eq!(heard.events.len(), 8 * rounds);
    let process = result["process"].as_array().unwrap();
    let of = |round: usize, key: &str| process[round][key].as_f64().unwrap();
    // The first rounds bring what stays: libraries, allocators, pools.
    let (early, last) = (rounds / 4, rounds - 1);
    assert!(of(last, "threads") <= of(early, "threads") + 1.0, "threads: {process:?}");
    let growth = of(last, "megabytes") - of(early, "megabytes");
    assert!(growth < 4.0 + 0.2 * rounds as f64, "{growth} MB more after {rounds} rounds");
    for topic in [format!("/{name}/detections"), format!("/{name}/label_info")] {
        assert_eq!(result["publishers"][&topic], 0, "{topic} is still offered: {}", result["publishers"]);
    }
    for topic in ["/image", "/objects"] {
        assert!(result["subscriptions"][topic].as_u64().unwrap() <= 1, "{}", result["subscriptions"]);
    }
    let (code, _) = node.end("-INT");
    assert_eq!(code, Some(0));
}

#[test]
fn twenty_rounds_leave_nothing_behind() {
    if is_possible() {
        rounds(CAMERA, "camera_detector", &camera_parameters(), 20);
    }
}

#[test]
fn a_hundred_rounds_of_the_fusion_leave_nothing_behind() {
    if rclpy() {
        rounds(FUSION, "obstacle_fusion", &fusion_parameters(), 100);
    }
}

#[test]
#[ignore = "loads a model a hundred times"]
fn a_hundred_rounds_leave_nothing_behind() {
    if is_possible() {
        rounds(CAMERA, "camera_detector", &camera_parameters(), 100);
    }
}

#[test]
fn a_node_that_starts_by_itself_is_active_and_says_goodbye_when_it_ends() {
    if !rclpy() {
        return;
    }
    let node = Node::start(FUSION, &["lidar:=/objects".to_owned()]);
    let steps = [
        json!({"do": "watch", "seconds": 1.0, "sensor": "objects"}),
        json!({"do": "state"}),
        change(1),
        json!({"do": "bond", "seconds": 2.0}),
        json!({"do": "interrupt", "seconds": 2.0}),
    ];
    let heard = lead(&node, "obstacle_fusion", &steps);
    assert_eq!(heard.results[1]["label"], "active");
    changed(&heard.results[2], false, "active");
    assert_eq!(heard.results[3]["formed"], true);
    assert!(heard.results[4]["goodbye"].as_f64().is_some(), "the manager is told");
    assert_eq!(told(&heard).last(), Some(&("shuttingdown", "finalized")));
    let (code, _) = node.end("-INT");
    assert_eq!(code, Some(0));
}

#[test]
fn a_bond_timeout_of_zero_is_no_bond() {
    if !rclpy() {
        return;
    }
    // As a number with a point: ROS would take 0 for an integer.
    let parameters = ["lidar:=/objects", "bond_timeout:=0.0"].map(str::to_owned);
    let node = Node::start(FUSION, &parameters);
    let heard = lead(&node, "obstacle_fusion", &[json!({"do": "bond", "seconds": 1.5}), json!({"do": "state"})]);
    assert_eq!(heard.results[0]["formed"], false);
    assert_eq!(heard.results[1]["label"], "active");
    assert!(heard.bond.is_empty());
}
