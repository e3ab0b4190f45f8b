//! The help of the nodes' programs: what it is, by example, with every parameter.
#![cfg(feature = "ros")]

mod support;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

const PROGRAMS: [(&str, &str); 3] = [
    ("camera_detector", env!("CARGO_BIN_EXE_camera_detector")),
    ("lidar_detector", env!("CARGO_BIN_EXE_lidar_detector")),
    ("obstacle_fusion", env!("CARGO_BIN_EXE_obstacle_fusion")),
];

fn ask(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a program says on stdout when it must succeed, and nothing on stderr.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = ask(program, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_help_has_an_example_and_every_parameter_of_the_configuration() {
    for (name, program) in PROGRAMS {
        let help = said(program, &["--help"]);
        assert_eq!(said(program, &["-h"]), help);
        let example = format!("  ros2 run distilled_perception {name} --ros-args ");
        assert!(help.lines().any(|line| line.starts_with(&example)), "no `{example}...` in:\n{help}");
        for words in ["Topics:", "Parameters", "Environment:", "RUST_LOG", "DISTILLED_PERCEPTION_TRACE", "Exit codes:"]
        {
            assert!(help.contains(words), "`{words}` is not in:\n{help}");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name).with_extension("yaml");
        let file: serde_yaml::Value = serde_yaml::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let parameters = file["/**"]["ros__parameters"].as_mapping().unwrap();
        assert!(parameters.len() > 10);
        for key in parameters.keys().filter_map(serde_yaml::Value::as_str) {
            let is_told = help.lines().any(|line| {
                let known = line.trim_start().split(' ').next().unwrap_or_default();
                line.starts_with("  ") && (known == key || known == format!("{key}.default"))
            });
            assert!(is_told, "the parameter {key} of config/{name}.yaml is not in:\n{help}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    for (name, program) in PROGRAMS {
        assert_eq!(said(program, &["--version"]), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn an_argument_that_is_not_known_is_refused_with_the_mend() {
    for (name, program) in PROGRAMS {
        support::refused(&ask(program, &["student.onnx"]), 2, &["student.onnx", "--ros-args", name]);
        support::refused(&ask(program, &["-p", "model:=student.onnx"]), 2, &["-p"]);
    }
}
