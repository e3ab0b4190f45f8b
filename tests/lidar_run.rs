//! `distill run` of a lidar experiment as a user runs it: labels of every source, two trainings, a bundle, figures, and int8.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use distilled_perception::model::{bundle::read_metadata, lidar::LidarSpec};
use serde_json::Value;

/// Where the warehouse's truth is.
const TRUTH: &str = "{points: /truth/points, boxes: /truth/detections_3d}";

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// A folder with recordings and an experiment on them.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    /// With an experiment of these lines, after those that all have; teachers are bundles of the package.
    fn new(teachers: &[&str], experiment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let teachers: String =
            teachers.iter().map(|teacher| format!("  - {{model: {}}}\n", model(teacher).display())).collect();
        let text = format!(
            "task: lidar\nname: hall\noutput: out\nthreads: 1\nclasses: [person, forklift, pallet]\nteachers:\n{teachers}\
             split: {{validation: 0.2, test: 0.2, gap_seconds: 0.1}}\n\
             sensor: {{rows: 16, columns: 448, max_range: 20}}\nstudent: {{width: 8, depth: 1}}\n{experiment}"
        );
        std::fs::write(folder.path().join("hall.yaml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn distill(&self, arguments: &[&str]) -> Output {
        support::distill_in(self.folder.path(), arguments)
    }

    fn record(&self, name: &str, arguments: &[&str]) {
        done(&self.distill(&[&["synth", "--out", name][..], arguments].concat()));
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// The losses of a training's epochs.
    fn losses(&self, stage: &str) -> Vec<f64> {
        let text = std::fs::read_to_string(self.path("out").join(stage).join("metrics.jsonl")).unwrap();
        let loss = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        text.lines().map(loss).collect()
    }
}

/// What it prints, once it has ended well.
fn done(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    stdout.into_owned()
}

/// Points that a source of labels put on objects of a class.
fn points(source: &Value, class: usize) -> u64 {
    source["classes"][class]["points"].as_u64().unwrap()
}

#[test]
fn a_lidar_experiment_runs_from_labels_of_every_source_to_int8() {
    if !support::onnx_runtime() {
        return;
    }
    let teacher = model("warehouse_lidar.onnx");
    let experiment = format!(
        "data:\n\
         \x20 - path: mixed\n    topic: /points\n    truth: {TRUTH}\n\
         \x20   labels: [camera: {{}}, teacher: {{model: {}}}, truth: {TRUTH}]\n\
         \x20 - path: seen\n    topic: /points\n    truth: {TRUTH}\n\
         \x20   labels: [camera: {{}}]\n    carry_over: {{}}\n    follow: {{}}\n\
         train: {{epochs: 8, batch: 4, learning_rate: 0.01, warmup_steps: 4, ema: 0.9}}\n\
         self_training: {{consistency: {{min_score: 0.3}}}}\n",
        teacher.display()
    );
    let workshop = Workshop::new(&["warehouse_small.onnx"], &experiment);
    workshop.record("mixed", &["--seed", "3", "--seconds", "6", "--rate", "5"]);
    workshop.record("seen", &["--seed", "4", "--seconds", "4", "--rate", "5"]);
    let told = done(&workshop.distill(&["run", "hall.yaml"]));
    for stage in ["label", "train", "export", "evaluate", "report"] {
        assert!(told.contains(&format!("== {stage}\n")), "{told}");
    }
    labels_come_from_every_source(&workshop);

    // The second student is taught by the first one, where nobody else knows.
    assert!(told.contains("the student labels ") && told.contains(" points more"), "{told}");
    assert!(!told.contains("labels 0 points more"), "{told}");
    for stage in ["train", "train_own"] {
        let losses = workshop.losses(stage);
        assert!(losses.len() == 8 && losses[7] < 0.8 * losses[0], "{stage}: {losses:?}");
    }
    let student = &workshop.json("out/report.json")["student"];
    assert_eq!((student["options"]["by"].as_str(), student["sweeps"].as_u64()), (Some("truth"), Some(10)));
    let classes = student["centers"][0]["per_class"].as_array().unwrap();
    assert!(classes.iter().all(|class| class["ap"].is_f64() && class["truths"].as_u64() > Some(5)), "{classes:?}");
    assert!(classes[0]["ap"].as_f64() > Some(0.02), "eight epochs teach people: {classes:?}");
    let metadata = read_metadata::<LidarSpec>(workshop.path("out/student.onnx")).unwrap().expect("a bundle");
    assert_eq!(metadata.spec.classes, ["person", "forklift", "pallet"]);
    let named: Vec<&str> = metadata.provenance.teachers.iter().map(|teacher| teacher.name.as_str()).collect();
    assert_eq!(named, ["warehouse_small", "warehouse_lidar"]);
    assert!(metadata.figures.contains_key("centers") && metadata.provenance.data.len() == 2);
    for name in ["report.html", "gallery/gallery.json", "labels/00_mixed.parquet", "labels/01_seen.parquet"] {
        assert!(workshop.path("out").join(name).is_file(), "{name}");
    }

    // Nothing is done twice: two recordings, two trainings, export, evaluation, report.
    let again = done(&workshop.distill(&["run", "hall.yaml"]));
    assert_eq!(again.matches("done already").count(), 7, "{again}");
    // Another threshold is another bundle with other figures, of the same training.
    let other = done(&workshop.distill(&["run", "hall.yaml", "--set", "class_thresholds.person=0.55"]));
    assert!(other.matches("done already").count() == 4 && other.contains("0.55, as the experiment says"), "{other}");

    int8_is_written_where_the_gate_allows_it(&workshop);
}

fn labels_come_from_every_source(workshop: &Workshop) {
    let labels = &workshop.json("out/report.json")["labels"];
    let names = |facts: &Value| -> Vec<String> {
        let sources = facts["sources"].as_array().unwrap().iter();
        sources.map(|source| source["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&labels[0]), ["camera", "teacher warehouse_lidar", "truth /truth/points"]);
    assert_eq!(names(&labels[1]), ["camera"]);
    let sources = labels[0]["sources"].as_array().unwrap();
    for source in sources.iter().chain(labels[1]["sources"].as_array().unwrap()) {
        // People; pallets; and what is nothing of all that.
        assert!(points(source, 0) > 50 && points(source, 2) > 200, "{source}");
        assert!(source["background"].as_u64() > Some(1000), "{source}");
    }
    // The teacher sees all around, the camera ahead.
    assert!(points(&sources[1], 0) > points(&sources[0], 0), "{labels}");
    // A camera alone leaves much open; other sweeps tell some of it.
    let [measured, ignored] = ["points", "ignored"].map(|key| labels[1][key].as_u64().unwrap());
    assert!(ignored > measured / 2 && ignored < measured, "{ignored} of {measured}");
    assert!(labels[1]["carried_over"]["background"].as_u64() > Some(100), "{labels}");
    assert!(labels[1]["followed"]["points"].as_u64() > Some(50), "{labels}");
    assert!(labels[0]["carried_over"].is_null() && labels[0]["followed"].is_null(), "{labels}");
}

/// The run's student in int8: refused with the layers where nothing may be lost, written where something may.
fn int8_is_written_where_the_gate_allows_it(workshop: &Workshop) {
    let quantize = |more: &[&str]| {
        let arguments = ["quantize", "out", "--out", "int8.onnx", "--method", "minmax", "--max-float", "0"];
        workshop.distill(&[&arguments[..], more].concat())
    };
    let refused = quantize(&["--agreement", "1"]);
    support::refused(&refused, 1, &["refused", "F1", "below 1.000", "--keep-float", "--force"]);
    let stdout = String::from_utf8_lossy(&refused.stdout);
    for words in ["loss alone", "stem.conv", "class_prediction", "vote_prediction", "agreement F1 0."] {
        assert!(stdout.contains(words), "`{words}` is not in {stdout}");
    }
    assert!(!workshop.path("int8.onnx").exists(), "what is refused is not written");

    let stdout = done(&quantize(&["--agreement", "0.5", "--budget", "50", "--report", "int8.json"]));
    assert!(stdout.contains("in 10 validation frames") && stdout.contains("quantize: int8.onnx"), "{stdout}");
    let worth = &workshop.json("int8.json")["worth"];
    assert!(worth["ap50"].is_f64() && worth["float_ap50"].is_f64(), "the judge knows the labels: {worth}");
    assert!(worth["agreement"].as_f64().is_some_and(|f1| f1 > 0.5 && f1 < 1.0), "{worth}");
    assert!(worth["float_found"].as_u64() > Some(20), "{worth}");
    let metadata = read_metadata::<LidarSpec>(workshop.path("int8.onnx")).unwrap().expect("a bundle");
    assert_eq!(metadata.provenance.precision, "int8");
    assert!(metadata.figures["quantization"].is_object(), "{:?}", metadata.figures);
}

#[test]
fn an_askew_camera_is_called_suspect_and_a_straight_one_is_not() {
    if !support::onnx_runtime() {
        return;
    }
    let experiment = "data:\n\
         \x20 - {path: straight, topic: /points, labels: [camera: {}]}\n\
         \x20 - {path: askew, topic: /points, labels: [camera: {}]}\n\
         train: {epochs: 1, batch: 8}\n";
    let workshop = Workshop::new(&["warehouse_base.onnx", "warehouse_small.onnx"], experiment);
    let recording = ["--seed", "3", "--seconds", "12", "--rate", "2"];
    workshop.record("straight", &recording);
    workshop.record("askew", &[&recording[..], &["--camera-error", "3"]].concat());
    let output = workshop.distill(&["run", "hall.yaml"]);
    done(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("seems to look")).collect();
    assert!(warnings.len() == 1 && warnings[0].starts_with("warning: askew, camera: the camera "), "{stderr}");
    assert!(warnings[0].contains("farther to the right") && warnings[0].contains("calibrate"), "{stderr}");

    let labels = &workshop.json("out/report.json")["labels"];
    let figure = |recording: usize, key: &str| labels[recording]["calibration"][key].as_f64().unwrap();
    let verdicts = [0, 1].map(|recording: usize| labels[recording]["calibration"]["is_suspect"].as_bool());
    assert_eq!(verdicts, [Some(false), Some(true)], "{labels}");
    // The camera is published 3 degrees farther to the left than it looks.
    assert!(figure(0, "yaw_degrees").abs() < 0.7 && (figure(1, "yaw_degrees") + 3.0).abs() < 0.7, "{labels}");
    assert!(figure(1, "samples") >= 25.0 && figure(1, "agreement_best") > 2.0 * figure(1, "agreement_now"), "{labels}");
    assert_eq!(labels[1]["calibration_source"].as_str(), Some("camera"));
    let page = std::fs::read_to_string(workshop.path("out/report.html")).unwrap();
    assert!(page.contains("askew: suspect"), "the page says so, too");
}
