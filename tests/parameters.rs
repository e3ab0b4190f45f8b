//! The nodes' parameters on real ROS 2, asked for by a client in rclpy that does what `ros2 param` does
//! (tests/ros/parameter_client.py).
#![cfg(feature = "ros")]

mod support;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use support::ros::{Node, rclpy, refuses};

const CAMERA: &str = env!("CARGO_BIN_EXE_camera_detector");
const LIDAR: &str = env!("CARGO_BIN_EXE_lidar_detector");
const FUSION: &str = env!("CARGO_BIN_EXE_obstacle_fusion");

#[derive(Deserialize)]
struct Heard {
    results: Vec<Value>,
    events: Vec<Event>,
}

#[derive(Deserialize, Debug)]
struct Event {
    new: BTreeMap<String, Value>,
    changed: BTreeMap<String, Value>,
    deleted: Vec<String>,
    /// Seconds from its stamp to its arrival.
    age: f64,
}

fn ask(node: &Node, name: &str, steps: &[Value]) -> Heard {
    node.hear("parameter_client.py", &json!({"node": name, "steps": steps}))
}

fn fusion(parameters: &[&str]) -> Node {
    let parameters: Vec<String> = ["lidar:=/objects"].iter().chain(parameters).map(|text| (*text).to_owned()).collect();
    Node::start(FUSION, &parameters)
}

/// Starts the fusion with whatever follows `--ros-args`.
fn fusion_as(arguments: &[&str]) -> Node {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    Node::start_as(FUSION, &arguments, &[])
}

fn set(parameters: Value) -> Value {
    json!({"do": "set", "parameters": parameters})
}

fn get(names: &[&str]) -> Value {
    json!({"do": "get", "names": names})
}

/// Asserts that each answer is a refusal whose reason has the word.
fn refused(answers: &Value, words: &[&str]) {
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), words.len());
    for (answer, word) in answers.iter().zip(words) {
        assert_eq!(answer[0], false, "{answer}");
        assert!(answer[1].as_str().unwrap().contains(word), "`{word}` is not in {answer}");
    }
}

fn names(listed: &Value) -> Vec<&str> {
    listed["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn parameters_are_listed_typed_and_described() {
    if !rclpy() {
        return;
    }
    let node = fusion(&["inflation.person:=0.4"]);
    let described = ["rate", "doubted_hits", "autostart", "input_reliability", "inflation.person", "no_such"];
    let steps = [
        json!({"do": "list"}),
        json!({"do": "list", "prefixes": ["inflation"], "depth": 1}),
        json!({"do": "list", "depth": 1}),
        json!({"do": "types", "names": ["autostart", "doubted_hits", "rate", "lidar", "slow_classes", "no_such"]}),
        json!({"do": "describe", "names": described}),
        get(&["rate", "slow_classes", "cameras", "use_sim_time", "no_such"]),
    ];
    let Heard { results, .. } = ask(&node, "/obstacle_fusion", &steps);
    let all = names(&results[0]);
    for name in ["rate", "cameras", "inflation.default", "use_sim_time", "qos_overrides./objects.subscription.depth"] {
        assert!(all.contains(&name), "{name} is not listed: {all:?}");
    }
    assert_eq!(names(&results[1]), ["inflation.default", "inflation.person"]);
    assert_eq!(results[1]["prefixes"], json!(["inflation"]));
    assert!(names(&results[2]).iter().all(|name| !name.contains('.')) && names(&results[2]).contains(&"rate"));
    assert_eq!(results[3], json!([1, 2, 3, 4, 9, 0]));
    let [rate, hits, autostart, reliability, inflation, unknown] = &results[4].as_array().unwrap()[..] else {
        panic!()
    };
    assert_eq!((&rate["type"], &rate["range"], &rate["read_only"]), (&json!(3), &json!([0.1, 200.0]), &json!(false)));
    assert!(rate["description"].as_str().unwrap().starts_with("Clouds"), "{rate}");
    assert_eq!((&hits["type"], &hits["range"]), (&json!(2), &json!([1, 100])));
    assert_eq!((&autostart["type"], &autostart["read_only"]), (&json!(1), &json!(true)));
    assert_eq!(reliability["constraints"], "one of: best_effort, reliable; read on configure");
    assert_eq!(inflation["range"], json!([-1.0, 5.0]));
    assert_eq!(unknown["type"], 0);
    assert_eq!(results[5], json!([10.0, ["person"], [], false, null]));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason_and_the_rest_is_taken() {
    if !rclpy() {
        return;
    }
    let node = fusion(&[]);
    let wrong = json!([
        ["rate", 5],
        ["rate", "fast"],
        ["rate", 1000.0],
        ["input_reliability", "best effort"],
        ["autostart", false],
        ["qos_overrides./objects.subscription.depth", 1],
        ["max_hieght", 3.0],
        ["min_height", 3.0],
    ]);
    let words = [
        "write 5.0",
        "double",
        "from 0.1 to 200",
        "best_effort",
        "read-only",
        "read-only",
        "did you mean max_height?",
        "min_height",
    ];
    let names = ["rate", "autostart", "min_height", "max_height", "slow_percentage"];
    let pair = |least: f64, most: f64| json!([["min_height", least], ["max_height", most]]);
    let steps = [
        set(wrong),
        get(&names),
        set(json!([["rate", 0.0], ["slow_percentage", 30.0], ["inflation.person", 0.5]])),
        json!({"do": "set_atomically", "parameters": pair(3.0, 4.0)}),
        json!({"do": "set_atomically", "parameters": [["rate", 20.0], ["max_height", 1.0]]}),
        get(&names),
        json!({"do": "set_atomically", "parameters": [["rate", 20.0], ["use_sim_time", true]]}),
        get(&["rate", "use_sim_time", "inflation.person"]),
    ];
    let Heard { results, events } = ask(&node, "/obstacle_fusion", &steps);
    refused(&results[0], &words);
    assert_eq!(results[1], json!([10.0, true, 0.05, 2.0, 50.0]), "nothing was changed");
    let taken: Vec<&Value> = results[2].as_array().unwrap().iter().map(|answer| &answer[0]).collect();
    assert_eq!(taken, [&json!(false), &json!(true), &json!(true)]);
    assert_eq!(results[3], json!([true, ""]), "a pair that makes sense together is taken together");
    assert_eq!(results[4][0], false, "all or none");
    assert_eq!(results[5], json!([10.0, true, 3.0, 4.0, 30.0]));
    assert_eq!(results[6], json!([true, ""]));
    assert_eq!(results[7], json!([20.0, true, 0.5]));
    let changed: Vec<Value> = events.iter().map(|event| json!(event.changed)).filter(|c| *c != json!({})).collect();
    let expected = [
        json!({"slow_percentage": 30.0}),
        json!({"min_height": 3.0, "max_height": 4.0}),
        json!({"rate": 20.0, "use_sim_time": true}),
    ];
    assert_eq!(changed, expected, "each change is told once, and nothing else");
    let new: Vec<&Event> = events.iter().filter(|event| !event.new.is_empty()).collect();
    assert_eq!(new.len(), 1, "{events:?}");
    assert_eq!(json!(new[0].new), json!({"inflation.person": 0.5}));
    assert!(events.iter().all(|event| event.deleted.is_empty() && (-1.0..10.0).contains(&event.age)), "{events:?}");
}

#[test]
fn a_detector_is_described_before_it_has_a_model() {
    if !rclpy() {
        return;
    }
    for (program, name, kind, words) in [
        (CAMERA, "/camera_detector", "image_transport", "one of: raw, compressed; read on configure"),
        (LIDAR, "/lidar_detector", "input_type", "one of: scan, cloud; read on configure"),
    ] {
        let node = Node::start(program, &["autostart:=false".to_owned()]);
        let steps = [
            json!({"do": "describe", "names": ["score_threshold", "threads", kind]}),
            set(json!([["score_threshold", 1.5], ["threads", -1], [kind, "smell"], ["model", ""]])),
            set(json!([["threads", 2], ["score_threshold", 0.5], ["model", "/nowhere/student.onnx"]])),
            get(&["threads", "score_threshold", "model"]),
        ];
        let Heard { results, .. } = ask(&node, name, &steps);
        assert_eq!((&results[0][0]["type"], &results[0][0]["range"]), (&json!(3), &json!([-1.0, 1.0])));
        assert_eq!((&results[0][1]["type"], &results[0][1]["range"]), (&json!(2), &json!([0, 1024])));
        assert_eq!(results[0][2]["constraints"], words);
        refused(&results[1], &["from -1 to 1", "from 0 to 1024", "`smell` is none of", "no model is given"]);
        assert_eq!(results[2], json!([[true, ""], [true, ""], [true, ""]]), "no model yet is no reason");
        assert_eq!(results[3], json!([2, 0.5, "/nowhere/student.onnx"]));
    }
}

#[test]
fn what_is_dumped_starts_the_next_node() {
    if !rclpy() {
        return;
    }
    let node = fusion(&["inflation.person:=0.4", "qos_overrides./objects.subscription.depth:=2"]);
    let changes = json!([["rate", 20.0], ["keep_classes", ["person", "pallet"]], ["slow_percentage", 33.3]]);
    let mut first = ask(&node, "/obstacle_fusion", &[set(changes), json!({"do": "dump"})]);
    drop(node);
    let dumped = first.results.remove(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dumped.yaml");
    std::fs::write(&file, dumped.as_str().unwrap()).unwrap();
    let node = fusion_as(&["--params-file", file.to_str().unwrap()]);
    let steps = [
        json!({"do": "dump"}),
        set(json!([["rate", 5.0]])),
        json!({"do": "load", "file": dumped}),
        json!({"do": "dump"}),
    ];
    let Heard { results, .. } = ask(&node, "/obstacle_fusion", &steps);
    assert_eq!(results[0], dumped);
    assert_eq!(results[1], json!([[true, ""]]));
    for (name, answer) in results[2].as_object().unwrap() {
        assert_eq!(*answer, json!([true, ""]), "{name}");
    }
    assert_eq!(results[3], dumped, "what was dumped can be loaded, with what is read-only as well");
}

#[test]
fn files_remapped_names_and_namespaces_are_followed() {
    if !rclpy() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("robots.yaml");
    let text = "\
/**:
  ros__parameters:
    lidar: objects
    rate: 4.0
    sweep: 1.0
    slow_percentage: 20.0
/robot/fusion:
  ros__parameters:
    rate: 8.0
    qos_overrides:
      /front/objects:
        subscription:
          reliability: best_effort
fusion:
  ros__parameters:
    sweep: 2.0
/other/fusion:
  ros__parameters:
    slow_percentage: 90.0
";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let remapped = ["-r", "__ns:=/robot", "-r", "__node:=fusion", "-r", "objects:=/front/objects"];
    let node = fusion_as(&[&["--params-file", file][..], &remapped[..]].concat());
    let steps = [
        get(&["lidar", "rate", "sweep", "slow_percentage"]),
        json!({"do": "endpoints", "topic": "/front/objects"}),
        json!({"do": "list", "prefixes": ["qos_overrides"]}),
    ];
    let Heard { results, .. } = ask(&node, "/robot/fusion", &steps);
    assert_eq!(results[0], json!(["objects", 8.0, 2.0, 20.0]));
    assert_eq!(results[1]["subscription"], json!([["best_effort", "volatile"]]));
    let listed = names(&results[2]);
    for name in [
        "qos_overrides./front/objects.subscription.reliability",
        "qos_overrides./robot/fusion/obstacles.publisher.depth",
        "qos_overrides./robot/fusion/label_info.publisher.durability",
    ] {
        assert!(listed.contains(&name), "{name} is not listed: {listed:?}");
    }
}

#[test]
fn quality_of_service_is_overridden_for_each_topic() {
    if !rclpy() {
        return;
    }
    let reliability = "qos_overrides./scan.subscription.reliability";
    let parameters = [
        "autostart:=false",
        "lidar:=/objects",
        "input_reliability:=best_effort",
        "qos_overrides./objects.subscription.reliability:=reliable",
        "qos_overrides./obstacle_fusion/obstacles.publisher.durability:=transient_local",
        "qos_overrides./obstacle_fusion/obstacles.publisher.depth:=1",
        "qos_overrides./scan.subscription.reliability:=reliable",
    ];
    let node = Node::start(FUSION, &parameters.map(str::to_owned));
    let names = [
        "qos_overrides./objects.subscription.reliability",
        "qos_overrides./objects.subscription.depth",
        "qos_overrides./obstacle_fusion/obstacles.publisher.depth",
        "qos_overrides./obstacle_fusion/obstacles.publisher.durability",
        reliability,
    ];
    let steps = [
        get(&names),
        json!({"do": "change", "id": 1}),
        get(&names),
        json!({"do": "endpoints", "topic": "/objects"}),
        json!({"do": "endpoints", "topic": "/obstacle_fusion/obstacles"}),
        json!({"do": "endpoints", "topic": "/obstacle_fusion/detections"}),
        json!({"do": "describe", "names": [names[0], names[2]]}),
        json!({"do": "change", "id": 2}),
        get(&names),
    ];
    let Heard { results, events } = ask(&node, "/obstacle_fusion", &steps);
    let given = json!(["reliable", null, 1, "transient_local", "reliable"]);
    assert_eq!(results[0], given, "what was given is shown before there are topics");
    assert_eq!((&results[1], &results[7]), (&json!(true), &json!(true)));
    assert_eq!(results[2], json!(["reliable", 4, 1, "transient_local", "reliable"]));
    assert_eq!(results[3]["subscription"], json!([["reliable", "volatile"]]));
    assert_eq!(results[4]["publisher"], json!([["reliable", "transient_local"]]));
    assert_eq!(results[5]["publisher"], json!([["reliable", "volatile"]]), "other topics are as they were");
    let [first, second] = &results[6].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&first["read_only"], &second["range"]), (&json!(true), &json!([1, 10000])));
    assert!(first["constraints"].as_str().unwrap().contains("reliable, best_effort"), "{first}");
    assert_eq!(results[8], given, "the topics are gone");
    let depth = "qos_overrides./objects.subscription.depth";
    assert!(events.iter().any(|event| event.new.contains_key(depth)), "{events:?}");
    assert!(events.iter().any(|event| event.deleted.iter().any(|name| name == depth)), "{events:?}");
}

#[test]
fn overrides_that_make_no_sense_end_the_node_with_their_name() {
    let refuse = |given: &str, words: &[&str]| refuses(FUSION, &["lidar:=/objects", given], words);
    let name = "qos_overrides./objects.subscription.reliability";
    refuse(&format!("{name}:=sometimes"), &[name, "reliable, best_effort"]);
    let name = "qos_overrides./objects.subscription.depth";
    refuse(&format!("{name}:=0"), &[name, "from 1 to 10000"]);
    let name = "qos_overrides./objects.subscription.relaibility";
    refuse(&format!("{name}:=reliable"), &[name, "reliability"]);
}
