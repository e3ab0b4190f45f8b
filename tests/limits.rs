//! What limits the nodes: where models may come from, what messages may reach, and security (docs/limits.md).

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands for the file system, or for programs, in code.
const SIGNS: [&str; 16] = [
    "std::fs",
    "fs::",
    "File::",
    "OpenOptions",
    "read_dir",
    "canonicalize",
    "create_dir",
    "is_file()",
    ".exists()",
    "metadata()",
    "tempfile",
    "Command::new",
    "std::process::Command",
    "Detector::load",
    "read_yaml",
    "read_to_string",
];

/// The signs in a file's code, its comments and tests aside.
fn signs(source: &str) -> BTreeSet<&'static str> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| SIGNS.into_iter().filter(move |sign| line.contains(sign))).collect()
}

#[test]
fn messages_reach_no_file() {
    let mut files = Vec::new();
    for folder in ["src/messages", "src/sensing", "src/node"] {
        sources(&root(folder), &mut files);
    }
    assert!(files.len() > 60, "{} files", files.len());
    let mut found = BTreeMap::new();
    let is_test = |file: &Path| file.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"));
    for file in files.iter().filter(|file| !is_test(file)) {
        let signs = signs(&std::fs::read_to_string(file).unwrap());
        if !signs.is_empty() {
            found.insert(file.strip_prefix(root("")).unwrap().display().to_string(), signs);
        }
    }
    let text = std::fs::read_to_string(root("docs/limits.md")).unwrap();
    let table = text.split("## No message reaches the file system").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: BTreeSet<String> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect();
    // A folder on the list stands for its files.
    let is_listed =
        |file: &str| listed.iter().any(|entry| file == entry || (entry.ends_with('/') && file.starts_with(entry)));
    for (file, signs) in &found {
        assert!(is_listed(file), "{file} has {signs:?}: where does the path come from? docs/limits.md must say so");
    }
    for entry in &listed {
        assert!(
            found.keys().any(|file| file.starts_with(entry.as_str())),
            "docs/limits.md: nothing in {entry} reads files any more"
        );
    }
}

#[test]
fn signs_of_files_are_found_in_code_alone() {
    let source = "// std::fs\nlet a = Path::new(b).canonicalize();\n#[cfg(test)]\nmod tests {\n    File::open(c);\n}\n";
    assert_eq!(signs(source), BTreeSet::from(["canonicalize"]));
}

#[cfg(feature = "ros")]
mod nodes {
    use std::{path::PathBuf, process::Command};

    use serde_json::{Value, json};

    use super::{
        root,
        support::{
            onnx_runtime,
            ros::{Node, rclpy, refuses},
        },
    };

    const CAMERA: &str = env!("CARGO_BIN_EXE_camera_detector");
    const LIDAR: &str = env!("CARGO_BIN_EXE_lidar_detector");
    const FUSION: &str = env!("CARGO_BIN_EXE_obstacle_fusion");

    /// What the steps of tests/ros/lifecycle_client.py come to.
    fn lead(node: &Node, name: &str, steps: &[Value]) -> Vec<Value> {
        let heard: Value = node.hear("lifecycle_client.py", &json!({"node": name, "pid": node.pid(), "steps": steps}));
        heard["results"].as_array().unwrap().clone()
    }

    #[test]
    fn a_model_outside_of_the_folders_is_refused_with_the_folders_named() {
        if !rclpy() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (allowed, link) = (folder.path().join("allowed"), folder.path().join("allowed/person.onnx"));
        std::fs::create_dir(&allowed).unwrap();
        // By a link, a model outside seems to be inside.
        std::os::unix::fs::symlink(root("models/indoor_person.onnx"), &link).unwrap();
        let folders = format!("model_folders:=[{}]", allowed.display());
        for (program, model) in
            [(CAMERA, root("models/indoor_person.onnx")), (CAMERA, link), (LIDAR, root("models/legs.onnx"))]
        {
            let model = format!("model:={}", model.display());
            refuses(program, &[&model, &folders], &["model_folders", &allowed.display().to_string()]);
        }
        refuses(CAMERA, &["model:=/m.onnx", "model_folders:=[models]"], &["model_folders", "`models`"]);
    }

    #[test]
    fn nobody_widens_the_folders_while_the_node_runs() {
        if !onnx_runtime() || !rclpy() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let outside: PathBuf = folder.path().join("legs.onnx");
        std::fs::copy(root("models/legs.onnx"), &outside).unwrap();
        let parameters = [
            format!("model:={}", root("models/legs.onnx").display()),
            format!("model_folders:=[{}]", root("models").display()),
            "autostart:=false".to_owned(),
        ];
        let node = Node::start(LIDAR, &parameters);
        let set = |name: &str, value: &str| json!({"do": "set", "parameters": {name: value}});
        let steps = [
            set("model_folders", "/"),
            set("onnxruntime_library", "/tmp/mine.so"),
            json!({"do": "change", "id": 1}),
            json!({"do": "change", "id": 2}),
            set("model", &outside.display().to_string()),
            json!({"do": "change", "id": 1}),
        ];
        let results = lead(&node, "lidar_detector", &steps);
        assert_eq!((&results[0], &results[1]), (&json!([false]), &json!([false])));
        assert_eq!((&results[2]["success"], &results[3]["success"]), (&json!(true), &json!(true)), "{results:?}");
        assert_eq!(results[5]["success"], false, "a model outside is refused: {results:?}");
    }

    #[test]
    fn external_data_outside_of_the_folder_is_refused_before_onnx_runtime_sees_it() {
        if !rclpy() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("bundle.onnx");
        // A graph (7) with an initializer (5) called `w`, whose data (13) lie in `../x`, and that says so (14).
        let tensor = b"\x42\x01w\x6a\x10\x0a\x08location\x12\x04../x\x70\x01";
        let mut bytes = vec![0x3a, tensor.len() as u8 + 2, 0x2a, tensor.len() as u8];
        bytes.extend_from_slice(tensor);
        std::fs::write(&model, bytes).unwrap();
        for program in [CAMERA, LIDAR] {
            let model = format!("model:={}", model.display());
            refuses(program, &[&model], &["tensor w", "../x", "leads out of the model's folder"]);
        }
    }

    #[test]
    fn a_node_starts_in_an_enclave_where_security_is_not_enabled() {
        if !rclpy() {
            return;
        }
        let mut command = Command::new(FUSION);
        command.args(["--ros-args", "--enclave", "/robot/perception", "-p", "lidar:=/objects"]);
        let node = Node::run(&mut command);
        let results = lead(&node, "obstacle_fusion", &[json!({"do": "state"})]);
        assert_eq!(results[0]["label"], "active");
        assert_eq!(node.end("-INT").0, Some(0));
    }

    #[test]
    fn an_enclave_that_is_not_there_ends_the_node_with_what_to_look_at() {
        if !rclpy() {
            return;
        }
        let output = Command::new("timeout")
            .args(["60", FUSION, "--ros-args", "--enclave", "/robot/perception", "-p", "lidar:=/objects"])
            .envs([("ROS_SECURITY_ENABLE", "true"), ("ROS_SECURITY_STRATEGY", "Enforce")])
            .env_remove("ROS_SECURITY_KEYSTORE")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("ROS_SECURITY_KEYSTORE") && told.contains("--enclave"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}
