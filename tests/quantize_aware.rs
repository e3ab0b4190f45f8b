//! `distill quantize --train` as a user runs it: a run on painted images, trained on as int8 hardware computes and then quantised.
#![cfg(feature = "distill")]

mod support;

use std::{path::PathBuf, process::Output};

use distilled_perception::{
    distill::export::read_onnx,
    model::{Detector, ModelSpec, SessionOptions, bundle::read_metadata},
};
use serde_json::Value;
use support::scene;

/// A folder of 40 images of one bright rectangle each, with its COCO file, and a run on it that is finished.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        scene::write(folder.path(), "train: {epochs: 4, batch: 4, workers: 1}\nevaluate: {latency_rounds: 1}");
        let scene = Self { folder };
        ended(&scene.distill(&["run", "scene.yaml"]), 0);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a subcommand in the folder.
    fn distill(&self, arguments: &[&str]) -> Output {
        support::distill_in(self.folder.path(), arguments)
    }
}

/// What it prints, once it has ended with this exit code.
fn ended(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    stdout.into_owned()
}

#[test]
fn a_run_is_trained_on_in_its_own_folder_and_quantised() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new();
    let quantize = [
        &["quantize", "out", "--out", "small/int8.onnx", "--train", "2", "--report", "small/int8.json"][..],
        &["--agreement", "0", "--budget", "100", "--weights", "full"],
    ]
    .concat();
    let told = ended(&scene.distill(&quantize), 0);
    assert!(told.contains("== train") && told.contains("== quantize"), "{told}");
    assert!(told.contains("trained for 2 epochs as int8 hardware computes"), "{told}");
    let folder = scene.path("small/int8_aware");
    for name in ["experiment.yaml", "config.yaml", "train/best.bpk", "train/metrics.jsonl", "student.onnx"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let first: Value = {
        let lines = std::fs::read_to_string(folder.join("train/metrics.jsonl")).unwrap();
        serde_json::from_str(lines.lines().next().unwrap()).unwrap()
    };
    assert!(first["terms"]["retain_class"].is_f64(), "the float student teaches: {first}");

    let report: Value = serde_json::from_slice(&std::fs::read(scene.path("small/int8.json")).unwrap()).unwrap();
    assert_eq!((report["precision"].as_str(), report["trained"].as_bool()), (Some("int8"), Some(true)));
    assert_eq!(report["trained_epochs"].as_u64(), Some(2));
    // The form of weights is that of the training.
    assert_eq!(report["weights"], "full");
    let experiment = std::fs::read_to_string(folder.join("experiment.yaml")).unwrap();
    assert!(experiment.contains("quantize_weights: full"), "{experiment}");

    // The float bundle of the training is a float graph, and tells its origin without the folders of this machine.
    let float = read_onnx(&folder.join("student.onnx")).unwrap();
    assert!(
        float.graph.node.iter().all(|node| node.op_type != "QuantizeLinear" && node.op_type != "BatchNormalization")
    );
    let bundle = scene.path("small/int8.onnx");
    let metadata = read_metadata::<ModelSpec>(&bundle).unwrap().unwrap();
    assert_eq!(metadata.provenance.precision, "int8");
    assert_eq!(metadata.figures["quantization"]["trained"], true);
    let config = &metadata.provenance.config;
    assert!(config.contains("quantize_aware: true") && config.contains("output: out"), "{config}");
    assert!(!config.contains(scene.folder.path().to_str().unwrap()), "{config}");
    let quantized = read_onnx(&bundle).unwrap();
    assert!(quantized.graph.node.iter().any(|node| node.op_type == "QuantizeLinear"));
    assert!(Detector::load(&bundle, &SessionOptions::default()).unwrap().warm_up().is_ok());

    // The run of the training is quantised as it was trained, unless other weights are wanted.
    let again = ["quantize", "small/int8_aware", "--out", "again.onnx", "--method", "minmax", "--agreement", "0"];
    let again = [&again[..], &["--budget", "100"]].concat();
    let told = ended(&scene.distill(&again), 0);
    assert!(told.contains("int8, full weights: loss"), "{told}");
    let other = scene.distill(&[&again[..], &["--weights", "unsigned"]].concat());
    assert!(ended(&other, 0).contains("int8, unsigned weights: loss"));
    let warned = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(warned.contains("trained with full weights, --weights unsigned"), "{warned}");

    // Nothing is trained twice.
    let told = ended(&scene.distill(&quantize), 0);
    assert!(told.contains("train: done already") && told.contains("export: done already"), "{told}");
}

#[test]
fn an_experiment_trains_so_from_a_finished_run_alone() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new();
    let aware = ["train", "scene.yaml", "--set", "output=aware", "--set", "train.quantize_aware=true"];
    support::refused(&scene.distill(&aware), 2, &["train.quantize_aware", "student.inherit"]);
    let from = [&aware[..], &["--set", "train.epochs=1", "--set", "student.inherit=out"]].concat();
    ended(&scene.distill(&from), 0);
    // Its weights are those of a student without BatchNorm, from which nobody trains on in floats.
    let next = ["train", "scene.yaml", "--set", "output=next", "--set", "student.inherit=aware"];
    support::refused(&scene.distill(&next), 2, &["student.inherit", "BatchNorm", "train.quantize_aware"]);
}

#[test]
fn what_cannot_be_trained_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene { folder };
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/models/indoor_person.onnx");
    let out = ["--out", "int8.onnx", "--train"];
    let alone = scene.distill(&[&["quantize", bundle][..], &out, &["3"]].concat());
    support::refused(&alone, 2, &["indoor_person.onnx", "--train", "run's output folder"]);
    let usage = |arguments: &[&str], word: &str| {
        let output = scene.distill(&[&["quantize", bundle][..], &out, arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains("--train") && stderr.contains(word), "{stderr}");
    };
    usage(&["0"], "at least 1");
    usage(&["3", "--data", "bag"], "--data");
}
