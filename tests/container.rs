//! Several nodes in one process, on real ROS 2, judged by a client in rclpy (tests/ros/container_client.py): all of them see, none starves,
//! each is a node of its own, and none works while nobody listens.
#![cfg(feature = "ros")]

mod support;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use support::ros::{Node, ends_with_error, rclpy};

const PROGRAM: &str = env!("CARGO_BIN_EXE_perception_container");
const FRONT: &str = "/robot1/front/front_camera";
const REAR: &str = "/robot1/rear/rear_camera";
const LIDAR: &str = "/robot1/lidar_detector";

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// Whether everything that these tests need is there.
fn is_possible() -> bool {
    let legs = model("legs.onnx");
    if !legs.exists() {
        println!("skipped: {} is not there", legs.display());
        return false;
    }
    support::onnx_runtime() && rclpy()
}

/// Two cameras and a lidar that take turns. JSON is YAML.
fn three_detectors() -> Value {
    let camera = |name: &str, namespace: &str| {
        let parameters = json!({"model": model("indoor_person.onnx"), "image_topic": "image"});
        json!({"node": "camera_detector", "name": name, "namespace": namespace, "parameters": parameters})
    };
    let lidar = json!({
        "node": "lidar_detector", "namespace": "robot1",
        "parameters": {"model": model("legs.onnx"), "input_topic": "/scan", "idle_saving": false}
    });
    let nodes = [camera("front_camera", "/robot1/front"), camera("rear_camera", "robot1/rear"), lidar];
    json!({"inference_threads": 1, "nodes": nodes})
}

/// The program with a file, which lies in the folder as long as that lives.
fn start(config: &Value) -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("container.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    (Node::start_words(PROGRAM, &["--config", path.to_str().unwrap()]), folder)
}

fn lead(node: &Node, steps: &[Value]) -> Vec<Value> {
    let (images, scans) = (["/robot1/front/image", "/robot1/rear/image"], ["/scan"]);
    node.hear("container_client.py", &json!({"images": images, "scans": scans, "rate": 50.0, "steps": steps}))
}

/// How many messages of detections came from a node.
fn heard(result: &Value, node: &str) -> u64 {
    result["heard"][node].as_u64().unwrap_or_else(|| panic!("{node} was not listened to: {result}"))
}

/// A count out of a detector's diagnostics.
fn count(result: &Value, node: &str, key: &str) -> u64 {
    let value = &result["diagnostics"][format!("{node}: detection")]["values"][key];
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{node} tells no {key}: {result}"))
}

#[test]
fn none_starves_and_each_has_its_own_life() {
    if !is_possible() {
        return;
    }
    let (node, _folder) = start(&three_detectors());
    let all = [FRONT, REAR, LIDAR];
    let watch = json!({"do": "watch", "seconds": 4.0, "listen": all});
    let steps = [
        json!({"do": "ready", "nodes": all}),
        watch.clone(),
        json!({"do": "change", "node": REAR, "id": 4}),
        watch.clone(),
        json!({"do": "state", "node": FRONT}),
        json!({"do": "change", "node": REAR, "id": 3}),
        watch,
    ];
    let results = lead(&node, &steps);
    for result in [&results[1], &results[6]] {
        let counts = all.map(|node| heard(result, node));
        let (least, most) = (counts[0].min(counts[1]).min(counts[2]), counts[0].max(counts[1]).max(counts[2]));
        assert!(least >= 10 && 3 * least >= most, "front, rear, lidar: {counts:?}");
    }
    assert_eq!(results[2], json!([true, "inactive"]));
    assert_eq!(heard(&results[3], REAR), 0, "a node that is not active publishes nothing");
    assert!(heard(&results[3], FRONT) >= 10 && heard(&results[3], LIDAR) >= 10, "{}", results[3]);
    assert_eq!((&results[4], &results[5]), (&json!("active"), &json!([true, "active"])));
    let (code, took) = node.end("-INT");
    assert_eq!((code, took < Duration::from_secs(5)), (Some(0), true), "{took:?}");
}

#[test]
fn who_is_not_listened_to_does_not_work_and_is_back_at_once() {
    if !is_possible() {
        return;
    }
    let (node, _folder) = start(&three_detectors());
    let watch = |listen: &[&str]| json!({"do": "watch", "seconds": 2.0, "listen": listen});
    let steps = [json!({"do": "ready", "nodes": [FRONT, REAR, LIDAR]}), watch(&[]), watch(&[FRONT]), watch(&[])];
    let results = lead(&node, &steps);
    let (alone, looked_at, alone_again) = (&results[1], &results[2], &results[3]);
    for camera in [FRONT, REAR] {
        assert_eq!(count(alone, camera, "processed"), 0, "{alone}");
        assert!(count(alone, camera, "idle") >= 20, "{alone}");
        let status = &alone["diagnostics"][format!("{camera}: detection")];
        assert_eq!((&status["level"], &status["message"]), (&json!(0), &json!("idle: nobody listens")));
    }
    assert!(
        count(alone, LIDAR, "processed") >= 20 && count(alone, LIDAR, "idle") == 0,
        "idle_saving is false: {alone}"
    );
    // Some frames go by while DDS makes the subscription known.
    assert!(heard(looked_at, FRONT) >= 20, "{looked_at}");
    assert_eq!(count(looked_at, REAR, "processed"), 0, "nobody looks at the other one");
    let processed = count(looked_at, FRONT, "processed");
    assert!(processed >= heard(looked_at, FRONT));
    assert!(count(alone_again, FRONT, "processed") <= processed + 2, "{alone_again}");
    assert!(count(alone_again, FRONT, "idle") > count(looked_at, FRONT, "idle"));
}

#[test]
fn a_node_that_fails_ends_all_unless_the_others_shall_go_on() {
    if !(support::onnx_runtime() && rclpy()) {
        return;
    }
    let mut config = json!({"nodes": [
        {"node": "camera_detector", "name": "front_camera", "namespace": "robot1", "parameters": {"model": "/nowhere/student.onnx"}},
        {"node": "obstacle_fusion", "parameters": {"lidar": "/objects"}},
    ]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("container.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    ends_with_error(PROGRAM, &["--config", path.to_str().unwrap()], &["/robot1/front_camera", "/nowhere/student.onnx"]);
    config["restart"] = json!("keep_going");
    let (node, _folder) = start(&config);
    let steps =
        [json!({"do": "ready", "nodes": ["/obstacle_fusion"]}), json!({"do": "watch", "seconds": 2.0, "listen": []})];
    let results = lead(&node, &steps);
    assert!(results[1]["diagnostics"].get("/obstacle_fusion: fusion").is_some(), "{}", results[1]);
    assert_eq!(node.end("-INT").0, Some(0));
}

#[test]
fn the_command_line_has_the_last_word() {
    if !(support::onnx_runtime() && rclpy()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("container.yaml");
    let config = json!({"nodes": [{"node": "camera_detector", "name": "front_camera", "parameters": {"model": "/in/the/file.onnx"}}]});
    std::fs::write(&path, config.to_string()).unwrap();
    let model = "front_camera:model:=/on/the/command/line.onnx";
    let words = ["--config", path.to_str().unwrap(), "--ros-args", "-p", model, "-r", "front_camera:__ns:=/robot2"];
    ends_with_error(PROGRAM, &words, &["/robot2/front_camera", "/on/the/command/line.onnx"]);
}

#[test]
fn what_is_wrong_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("container.yaml");
    std::fs::write(&path, "nodes: [{node: lidar_detector, parameters: {imput_topic: /scan}}]").unwrap();
    let file = path.to_str().unwrap();
    ends_with_error(
        PROGRAM,
        &["--config", file],
        &["container.yaml", "nodes[0]", "parameter imput_topic", "did you mean input_topic?"],
    );
    ends_with_error(PROGRAM, &["--config", "/nowhere/container.yaml"], &["/nowhere/container.yaml"]);
    ends_with_error(PROGRAM, &[], &["--config FILE"]);
    ends_with_error(PROGRAM, &["--confg", file], &["did you mean `--config`"]);
}
