//! `distill prune` as a user runs it: a student of painted images is cut, learns again, and is cut once more.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use distilled_perception::{
    distill::export::{count_macs, read_onnx},
    model::{Detector, ModelSpec, SessionOptions, bundle::read_metadata},
};
use serde_json::Value;
use support::scene;

/// A folder of 40 images, 100 x 60, of one bright rectangle each, with its COCO file, and an experiment on it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        scene::write(folder.path(), "evaluate: {latency_rounds: 2}\ntrain: {epochs: 8, batch: 4, workers: 1}");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `distill` in the scene's folder.
    fn distill(&self, arguments: &[&str]) -> Output {
        support::distill_in(self.folder.path(), arguments)
    }

    /// What it prints, once it has ended well.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.distill(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stdout}{stderr}");
        stdout.into_owned()
    }

    fn report(&self, folder: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(folder).join("prune.json")).unwrap()).unwrap()
    }

    fn yaml(&self, file: &str) -> serde_yaml::Value {
        serde_yaml::from_str(&std::fs::read_to_string(self.path(file)).unwrap()).unwrap()
    }
}

fn macs(bundle: &Path) -> u64 {
    count_macs(&read_onnx(bundle).unwrap()).macs.unwrap()
}

#[test]
fn a_student_is_cut_learns_again_and_is_cut_once_more() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new();
    scene.done(&["run", "scene.yaml"]);
    let arguments = ["prune", "out", "--out", "cut", "--keep", "0.5", "--measure", "macs"];
    let told = scene.done(&[&arguments[..], &["--frames", "12", "--epochs", "2", "--budget", "100"]].concat());
    assert!(told.contains("stage_32") && told.contains("validation, before it has learnt again"), "{told}");
    assert!(told.contains("distill run cut/distil.yaml"), "{told}");

    let report = scene.report("cut");
    let [before, after] = [scene.path("out/student.onnx"), scene.path("cut/student.onnx")].map(|path| macs(&path));
    assert_eq!(report["macs"], serde_json::json!([before, after]));
    assert!(after <= before / 2 && after > before / 5, "{before} -> {after}");
    assert_eq!((report["frames"].as_u64(), report["criterion"].as_str()), (Some(12), Some("taylor")));
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 12);
    let mut cut = 0;
    for group in groups {
        let [whole, left] = ["before", "after"].map(|key| group[key].as_u64().unwrap() as usize);
        let (importance, kept) = (group["importance"].as_array().unwrap(), group["kept"].as_array().unwrap());
        assert!((4..=whole).contains(&left) && importance.len() == whole && kept.len() == left, "{group}");
        // What stays matters at least as much as what goes.
        let of = |place: usize| importance[place].as_f64().unwrap();
        let is_kept = |place: &usize| kept.iter().any(|kept| kept.as_u64() == Some(*place as u64));
        let (stays, goes): (Vec<usize>, Vec<usize>) = (0..whole).partition(is_kept);
        let least = stays.into_iter().map(of).fold(f64::INFINITY, f64::min);
        assert!(goes.into_iter().all(|place| of(place) <= least), "{group}");
        cut += whole - left;
    }
    assert!(cut > 0);
    assert!(report["validation"][1]["ap50"].is_f64(), "{}", report["validation"]);

    // It is a bundle as any other, smaller in the file too.
    let bundle = scene.path("cut/student.onnx");
    assert!(Detector::load(&bundle, &SessionOptions::default()).unwrap().warm_up().is_ok());
    let metadata = read_metadata::<ModelSpec>(&bundle).unwrap().unwrap();
    assert_eq!((metadata.macs, metadata.spec.classes.as_slice()), (after, &["crate".to_owned()][..]));
    assert!(metadata.figures.contains_key("pruning") && !metadata.figures.contains_key("ap50"));
    let size = |name: &str| std::fs::metadata(scene.path(name)).unwrap().len();
    assert!(size("cut/train/best.bpk") < size("out/train/best.bpk"));

    // It learns again, and the student that was not cut is among what teaches it.
    let told = scene.done(&["run", "cut/distil.yaml"]);
    assert!(told.contains("forgetting") && told.contains("== gate"), "{told}");
    assert!(told.contains("100.00 points of AP50 may be lost"), "{told}");
    assert_eq!(macs(&scene.path("cut/distilled/student.onnx")), after);
    let metrics = std::fs::read_to_string(scene.path("cut/distilled/train/metrics.jsonl")).unwrap();
    assert!(metrics.lines().count() == 2 && metrics.contains("retain_class"), "{metrics}");
    let first = scene.yaml("cut/distil.yaml");
    let retained = |experiment: &serde_yaml::Value| experiment["distillation"]["retain"]["run"].clone();
    assert_eq!(retained(&first).as_str(), Some("../out"));

    // Another round, by the weights alone: the first student of all goes on teaching.
    let arguments = ["prune", "cut/distilled", "--out", "second", "--keep", "0.8", "--measure", "macs", "--by", "l1"];
    scene.done(&arguments);
    assert!(macs(&scene.path("second/student.onnx")) <= 4 * after / 5);
    let second = scene.yaml("second/distil.yaml");
    assert_eq!(retained(&second), retained(&first));
    assert_eq!(second["student"]["inherit"].as_str(), Some("."));
    assert_eq!(second["train"]["learning_rate"], first["train"]["learning_rate"]);
    // It is held against that one, too, and may lose as much.
    assert_eq!((first["gate"]["against"].as_str(), first["gate"]["budget"].as_f64()), (Some("../out"), Some(100.0)));
    assert_eq!(second["gate"], first["gate"]);
    // The same command is the same work once more.
    scene.done(&arguments);
}

#[test]
fn a_cut_student_that_loses_too_much_is_refused_and_written_when_forced() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new();
    scene.done(&["run", "scene.yaml"]);
    let prune = ["prune", "out", "--out", "cut", "--keep", "0.2", "--measure", "macs", "--by", "l1", "--epochs", "1"];
    let told = scene.done(&prune);
    assert!(told.contains("refused there, unless it then loses at most 1.00 points"), "{told}");
    // In int8 it is no better before it has learnt again.
    let quantize = ["quantize", "cut", "--out", "cut_int8.onnx"];
    let words = ["has not learnt again", "points of AP50 where 1.00 are allowed", "distil.yaml", "--force"];
    support::refused(&scene.distill(&quantize), 1, &words);
    assert!(!scene.path("cut_int8.onnx").exists());
    // It learns next to nothing.
    let run = ["run", "cut/distil.yaml", "--set", "train.learning_rate=0.0000001"];
    let output = scene.distill(&run);
    let words = ["beside the student of", "points where 1.00 are allowed", "--keep", "train.epochs", "gate.force=true"];
    support::refused(&output, 1, &words);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("importance kept") && told.contains("stage_32"), "the table of what was cut: {told}");
    let bundle = scene.path("cut/distilled/student.onnx");
    assert!(!bundle.exists() && !scene.path("cut/distilled/report.json").exists());
    let verdict =
        || -> Value { serde_json::from_slice(&std::fs::read(scene.path("cut/distilled/gate.json")).unwrap()).unwrap() };
    let of = |place: usize| verdict()["judged"][place]["ap50"].as_f64().unwrap();
    assert!(of(0) - of(1) > 0.3, "{}", verdict());
    assert_eq!(verdict()["judged"][0]["images"].as_u64(), Some(8));

    // More may be lost, or it is forced; nothing is trained or judged anew.
    let before = std::fs::metadata(scene.path("cut/distilled/train/best.bpk")).unwrap().modified().unwrap();
    scene.done(&[&run[..], &["--set", "gate.force=true"]].concat());
    assert!(bundle.exists() && verdict()["forced"] == true, "{}", verdict());
    assert_eq!(std::fs::metadata(scene.path("cut/distilled/train/best.bpk")).unwrap().modified().unwrap(), before);
    // What was forced once is not there any more where it is not.
    support::refused(&scene.distill(&run), 1, &["points where 1.00 are allowed"]);
    assert!(!bundle.exists());
    scene.done(&[&run[..], &["--set", "gate.budget=100"]].concat());
    assert!(bundle.exists());
    support::refused(
        &scene.distill(&[&run[..], &["--set", "gate.against=gone"]].concat()),
        2,
        &["gate.against", "gone"],
    );
}

#[test]
fn time_is_measured_layer_for_layer_and_on_the_whole() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new();
    scene.done(&["run", "scene.yaml", "--set", "train.epochs=1", "--set", "student={width: 192, height: 128}"]);
    scene.done(&["prune", "out", "--out", "cut", "--time", "0.85", "--by", "batch_norm"]);
    let report = scene.report("cut");
    assert_eq!((report["measure"].as_str(), report["frames"].as_u64()), (Some("time"), Some(0)));
    let costs = report["costs"].as_array().unwrap();
    // As many as a micro student has convolutions.
    assert_eq!(costs.len(), 24);
    let is_positive = |cost: &Value| cost.as_f64().is_some_and(|cost| cost > 0.0);
    for cost in costs {
        assert!(is_positive(&cost["full"]), "{cost}");
        let points: Vec<&Value> = ["by_ins", "by_outs"].iter().flat_map(|key| cost[key].as_array().unwrap()).collect();
        assert!(!points.is_empty() && points.iter().all(|point| is_positive(&point[1])), "{cost}");
    }
    assert!(report["estimated_share"].as_f64().unwrap() <= 0.85);
    assert!((0..2).all(|place| is_positive(&report["latency_ms"][place])), "{}", report["latency_ms"]);
    assert!(macs(&scene.path("cut/student.onnx")) < macs(&scene.path("out/student.onnx")));
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let scene = Scene::new();
    let refused = |arguments: &[&str], words: &[&str]| {
        support::refused(&scene.distill(&[&["prune"][..], arguments].concat()), 2, words);
    };
    refused(&["nowhere", "--out", "cut"], &["nowhere", "output folder of a finished `distill run`"]);
    let share = scene.distill(&["prune", "out", "--out", "cut", "--keep", "1.5"]);
    assert_eq!(share.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&share.stderr).contains("between 0 and 1"));
    std::fs::create_dir(scene.path("lidar")).unwrap();
    std::fs::write(scene.path("lidar/config.yaml"), "task: lidar\nname: x\n").unwrap();
    refused(&["lidar", "--out", "cut"], &["lidar student", "student.width"]);

    // A training that was never exported, and then one whose folder would be lost.
    scene.done(&["train", "scene.yaml", "--set", "train.epochs=1"]);
    refused(&["out", "--out", "cut"], &["not finished", "student.onnx"]);
    if !support::onnx_runtime() {
        return;
    }
    scene.done(&["run", "scene.yaml", "--set", "train.epochs=1"]);
    refused(&["out", "--out", "out"], &["the run's own folder"]);
    refused(&["out", "--out", "images"], &["images", "did not make"]);
    assert!(!scene.path("cut").exists());
    // Nobody can be left with nothing.
    let little = scene.distill(&["prune", "out", "--out", "cut", "--keep", "0.001", "--measure", "macs", "--by", "l1"]);
    support::refused(&little, 1, &["--keep 0.001", "4 channels"]);
    assert!(!scene.path("cut/prune.json").exists());
}
