//! What launch/fleet.launch.py makes of a YAML, without ROS's launch: its functions are called by python3.

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// Loads the launch file, and prints the container's file or the error.
const SCRIPT: &str = "
import importlib.util, json, os, sys
spec = importlib.util.spec_from_file_location('fleet', sys.argv[1])
fleet_launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fleet_launch)
try:
    fleet = fleet_launch.read_fleet(sys.argv[2])
    nodes = fleet_launch.nodes_of_fleet(fleet, os.path.dirname(sys.argv[2]), sys.argv[3], {'autostart': False})
    print(json.dumps(fleet_launch.container_of_fleet(fleet, nodes)))
except fleet_launch.FleetError as error:
    print(json.dumps({'error': str(error)}))
";

/// Whether python3 reads YAML. Otherwise says, as a test's last words, why it is skipped.
fn is_possible() -> bool {
    let found = Command::new("python3").args(["-c", "import yaml"]).status().is_ok_and(|status| status.success());
    if !found {
        println!("skipped: python3 has no yaml");
    }
    found
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn planned(config: &Path, namespace: &str) -> Value {
    let output = Command::new("python3")
        .args(["-B", "-c", SCRIPT])
        .arg(root("launch/fleet.launch.py"))
        .arg(config)
        .arg(namespace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn planned_text(text: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.yaml");
    std::fs::write(&path, text).unwrap();
    planned(&path, "")
}

#[test]
fn the_example_is_two_cameras_a_lidar_and_their_fusion() {
    if !is_possible() {
        return;
    }
    let plan = planned(&root("config/fleet.example.yaml"), "site/");
    assert_eq!((&plan["inference_threads"], &plan["restart"]), (&json!(1), &json!("process")));
    let nodes = plan["nodes"].as_array().unwrap();
    let names: Vec<String> = nodes
        .iter()
        .map(|node| [&node["node"], &node["namespace"], &node["name"]].map(|part| part.as_str().unwrap()).join(" "))
        .collect();
    let expected = [
        "camera_detector /site/robot1/front front_camera",
        "camera_detector /site/robot1/rear rear_camera",
        "lidar_detector /site/robot1 front_lidar",
        "obstacle_fusion /site/robot1 obstacle_fusion",
    ];
    assert_eq!(names, expected);
    let camera = json!({
        "autostart": false, "model": "/path/to/camera_student.onnx", "image_topic": "image_raw", "score_threshold": 0.4,
        "record_requests": "/site/robot1/obstacle_fusion/uncertain",
    });
    assert_eq!(nodes[0]["parameters"], camera);
    let fusion = json!({
        "autostart": false,
        "cameras": [
            "/site/robot1/front/front_camera/detections|/site/robot1/front/camera_info",
            "/site/robot1/rear/rear_camera/detections|/site/robot1/rear/camera_info",
        ],
        "lidar": "/site/robot1/front_lidar/detections",
        "target_frame": "odom",
    });
    assert_eq!(nodes[3]["parameters"], fusion);
}

#[test]
fn one_camera_alone_will_do_and_own_parameters_have_the_last_word() {
    if !is_possible() {
        return;
    }
    let text = "
        cameras: [{name: eye, model: students/eye.onnx, image_topic: /eye, camera_info_topic: /eye_info, parameters: {autostart: true}}]
        lidars: [{name: a, model: /a.onnx, input_topic: /a}, {name: b, namespace: b, model: /b.onnx, input_topic: /b}]
        fusion: {lidar: b}";
    let plan = planned_text(text);
    let camera = &plan["nodes"][0]["parameters"];
    assert!(camera["model"].as_str().unwrap().starts_with('/'), "paths count from the file's folder: {camera}");
    assert!(
        camera["model"].as_str().unwrap().ends_with("/students/eye.onnx") && camera["autostart"] == true,
        "{camera}"
    );
    let fusion = &plan["nodes"][3]["parameters"];
    assert_eq!(
        (&fusion["cameras"], &fusion["lidar"]),
        (&json!(["/eye/detections|/eye_info"]), &json!("/b/b/detections"))
    );
    let alone = planned_text("{lidars: [{model: /a.onnx, input_topic: /a}], fusion: {parameters: {lidar: /others}}}");
    let fusion = &alone["nodes"][1]["parameters"];
    assert_eq!((&fusion["cameras"], &fusion["lidar"]), (&json!([""]), &json!("/others")));
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_its_mend() {
    if !is_possible() {
        return;
    }
    let camera = "name: eye, model: /eye.onnx, image_topic: /eye";
    let lidar = "model: /a.onnx, input_topic: /a";
    let cases: [(String, &[&str]); 14] = [
        ("camera: []".into(), &["unknown key `camera`", "did you mean `cameras`"]),
        ("cameras: {}\nfusion: {}".into(), &["no cameras and no lidars"]),
        ("{}".into(), &["names no cameras"]),
        ("- cameras".into(), &["the file", "keys and values"]),
        ("cameras: front".into(), &["cameras is a list"]),
        (format!("cameras: [{{{camera}, modle: x}}]"), &["cameras[0]", "`modle`", "did you mean `model`"]),
        ("cameras: [{image_topic: /eye}]".into(), &["cameras[0]", "`model` is missing"]),
        (format!("cameras: [{{{camera}, namespace: robot-1}}]"), &["cameras[0]", "`robot-1`"]),
        (format!("cameras: [{{{camera}}}, {{{camera}}}]"), &["two nodes are /eye"]),
        (format!("{{cameras: [{{{camera}}}], fusion: {{}}}}"), &["cameras[0]", "`camera_info_topic` is missing"]),
        (format!("{{lidars: [{{{lidar}, name: a}}, {{{lidar}, name: b}}], fusion: {{}}}}"), &["one lidar", "a, b"]),
        (format!("{{lidars: [{{{lidar}}}], fusion: {{lidar: front}}}}"), &["'front'", "lidar_detector"]),
        (format!("{{lidars: [{{{lidar}}}], inference_threads: 0}}"), &["inference_threads", "1 or more"]),
        (format!("{{lidars: [{{{lidar}}}], restart: never}}"), &["process or keep_going"]),
    ];
    for (text, words) in cases {
        let plan = planned_text(&text);
        let error = plan["error"].as_str().unwrap_or_else(|| panic!("{text} is taken: {plan}"));
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    }
}

/// What one half writes the other reads: the container gets as far as the first model, which is not there.
#[cfg(feature = "ros")]
#[test]
fn the_container_reads_what_the_launch_file_writes() {
    if !(is_possible() && support::onnx_runtime() && support::ros::rclpy()) {
        return;
    }
    let mut plan = planned(&root("config/fleet.example.yaml"), "");
    for node in plan["nodes"].as_array_mut().unwrap() {
        node["parameters"]["autostart"] = json!(true);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("container.yaml");
    std::fs::write(&path, plan.to_string()).unwrap();
    let program = env!("CARGO_BIN_EXE_perception_container");
    support::ros::ends_with_error(program, &["--config", path.to_str().unwrap()], &["node /robot1/", "/path/to/"]);
}
