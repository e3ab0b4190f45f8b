//! `distill evaluate` as a user runs it, on small recordings made here, with networks of a few nodes whose answer is known.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use support::recording::{self, Shot};

/// What the tiny networks find in every picture of 320 x 240, with a score of 0.75: left, top, right, bottom.
const FOUND: [f32; 4] = [120.0, 20.0, 200.0, 60.0];
const CLASS: &str = "class_1";
const START: i64 = 1_700_000_000_000_000_000;
const FRAME_INTERVAL: i64 = 100_000_000;

/// Pictures of noise. Their truth is what is found, or overlaps it by 0.65, or is more than that.
fn shots(start: i64, count: usize) -> Vec<Shot> {
    let shot = |index: usize| {
        let corners = match index % 3 {
            0 => vec![FOUND],
            1 => vec![[130.0, 24.0, 210.0, 64.0]],
            _ => vec![FOUND, [10.0, 100.0, 50.0, 160.0]],
        };
        Shot {
            stamp: start + index as i64 * FRAME_INTERVAL,
            image: recording::noise(320, 240, index as u64),
            truth: corners.into_iter().map(|corners| (CLASS, corners)).collect(),
        }
    };
    (0..count).map(shot).collect()
}

/// A folder with a bag of so many pictures.
fn bag(count: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    recording::write_bag(&path, &shots(START, count));
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn distill(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

/// Evaluates the tiny network, as the student, on a recording.
fn evaluate(data: &Path, more: &[&str]) -> Output {
    let model = support::tiny_model("tiny_yolov8.onnx");
    let mut arguments = vec!["evaluate", "--model", text(&model), "--data", text(data), "--classes", CLASS];
    arguments.extend(["--latency-rounds", "2"]);
    arguments.extend(more);
    distill(&arguments)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it prints, once it has ended with this exit code.
fn ended(output: &Output, code: i32) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stdout}{}", stderr(output));
    stdout
}

fn report(output: &Output, code: i32) -> Value {
    let stdout = ended(output, code);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// The three figures of a model.
fn figures(report: &Value, model: usize) -> [Option<f64>; 3] {
    ["ap", "ap50", "ap75"].map(|key| report["models"][model][key].as_f64())
}

#[test]
fn the_json_report_holds_every_figure_of_every_model() {
    if !support::onnx_runtime() {
        return;
    }
    let (_folder, bag) = bag(9);
    let (student, teacher) = (support::tiny_model("tiny_yolov8.onnx"), support::tiny_model("tiny_dynamic.onnx"));
    let report = report(&evaluate(&bag, &["--labels", recording::TRUTH, "--teacher", text(&teacher), "--json"]), 0);
    assert_eq!((report["frames"].as_u64(), report["truths"].as_u64()), (Some(9), Some(12)));
    assert_eq!((report["lost_data"].as_bool(), report["latency_rounds"].as_u64()), (Some(false), Some(2)));
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for (model, (path, role)) in models.iter().zip([(&student, "student"), (&teacher, "teacher")]) {
        assert_eq!(model["name"].as_str(), path.file_stem().unwrap().to_str());
        assert_eq!(model["role"].as_str(), Some(role));
        for key in ["ap", "ap50", "ap75"] {
            assert!(model[key].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{key}: {model}");
        }
        let classes = model["per_class"].as_array().unwrap();
        assert_eq!(classes.len(), 1);
        assert_eq!(classes[0]["class"].as_str(), Some(CLASS));
        assert_eq!(classes[0]["truths"].as_u64(), Some(12));
        for key in ["ap", "ap50", "ap75"] {
            assert_eq!(classes[0][key], model[key], "the mean over one class is that class's");
        }
        assert!(model["parameters"].as_u64().is_some_and(|count| count > 0), "{model}");
        assert_eq!(model["bytes"].as_u64(), Some(std::fs::metadata(path).unwrap().len()));
        assert!(model["macs"].is_u64(), "{model}");
        let [p50, p90] = ["p50", "p90"].map(|key| model["latency_ms"][key].as_f64().unwrap());
        assert!(p50 > 0.0 && p50 <= p90, "{model}");
        assert!(model.get("detections").is_none(), "{model}");
    }
    // The same network but for its name.
    assert_eq!(figures(&report, 0), figures(&report, 1));
}

#[test]
fn a_topic_and_a_coco_file_with_the_same_truth_give_the_same_figures() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag(9);
    let (images, labels) = (folder.path().join("images"), folder.path().join("labels.json"));
    recording::write_folder(&images, &labels, &shots(START, 9));
    let by_topic = report(&evaluate(&bag, &["--labels", recording::TRUTH, "--json"]), 0);
    let [ap, ap50, ap75] = figures(&by_topic, 0).map(Option::unwrap);
    assert!(0.0 < ap75 && ap75 < ap50 && ap75 < ap && ap < ap50 && ap50 < 1.0, "{ap} {ap50} {ap75}");
    for data in [&images, &bag] {
        let by_file = report(&evaluate(data, &["--labels", text(&labels), "--json"]), 0);
        assert_eq!((&by_file["frames"], &by_file["truths"]), (&by_topic["frames"], &by_topic["truths"]));
        assert_eq!(by_file["models"][0]["per_class"], by_topic["models"][0]["per_class"], "{}", data.display());
        assert_eq!(figures(&by_file, 0), figures(&by_topic, 0), "{}", data.display());
    }
    // The one COCO file that lies in a folder of images needs no option.
    std::fs::rename(&labels, images.join("labels.json")).unwrap();
    assert_eq!(figures(&report(&evaluate(&images, &["--json"]), 0), 0), figures(&by_topic, 0));
}

#[test]
fn each_of_several_recordings_has_figures_of_its_own() {
    if !support::onnx_runtime() {
        return;
    }
    // One with boxes that lie beside their objects and objects that are missed, and one where all is found as it is.
    let (folder, mixed) = bag(9);
    let easy = folder.path().join("easy");
    recording::write_bag(&easy, &shots(START, 9).into_iter().step_by(3).collect::<Vec<_>>());
    let alone = |data: &Path| report(&evaluate(data, &["--labels", recording::TRUTH, "--json"]), 0);
    let both = ["--data", text(&easy), "--labels", recording::TRUTH];
    let whole = report(&evaluate(&mixed, &[&both[..], &["--json"]].concat()), 0);
    assert_eq!((whole["frames"].as_u64(), whole["truths"].as_u64()), (Some(12), Some(15)));
    let each = whole["per_recording"].as_array().unwrap();
    assert_eq!(each.len(), 2);
    for (own, path) in each.iter().zip([&mixed, &easy]) {
        let alone = alone(path);
        assert!(alone.get("per_recording").is_none(), "they are the report's own: {alone}");
        assert_eq!(own["data"].as_str(), Some(text(path)));
        for key in ["frames", "truths"] {
            assert_eq!(own[key], alone[key]);
        }
        assert_eq!(figures(own, 0)[..2], figures(&alone, 0)[..2]);
    }
    let ap50 = |report: &Value| figures(report, 0)[1].unwrap();
    assert!(ap50(&each[0]) < ap50(&whole) && ap50(&whole) < ap50(&each[1]), "{whole}");
    let told = ended(&evaluate(&mixed, &both), 0);
    assert!(told.contains("tiny_yolov8 AP50"), "{told}");

    let labels = folder.path().join("labels.json");
    recording::write_folder(&folder.path().join("images"), &labels, &shots(START, 9));
    let output = evaluate(&mixed, &["--data", text(&easy), "--labels", text(&labels)]);
    support::refused(&output, 2, &["labels.json", "of one recording"]);
}

#[test]
fn soft_targets_judge_their_own_recording_and_no_other() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag(6);
    let targets = folder.path().join("targets");
    let model = support::tiny_model("tiny_yolov8.onnx");
    let label = ["label", "--data", text(&bag), "--teacher", text(&model), "--classes", CLASS, "--out", text(&targets)];
    ended(&distill(&label), 0);
    let report = report(&evaluate(&bag, &["--targets", text(&targets), "--json"]), 0);
    assert_eq!(report["truths"].as_u64(), Some(6));
    assert_eq!(figures(&report, 0), [Some(1.0); 3], "a network agrees with itself");

    // As many frames, but taken at another time.
    let other = folder.path().join("other");
    recording::write_bag(&other, &shots(START + 1_000_000_000_000, 6));
    let found = folder.path().join("found.json");
    let output = evaluate(&other, &["--targets", text(&targets), "--detections", text(&found)]);
    ended(&output, 2);
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: ") && said.contains(text(&other)) && said.contains("label again"), "{said}");
    assert!(output.stdout.is_empty() && !found.exists());
}

#[test]
fn without_labels_nothing_is_judged_but_all_else_is_told() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag(4);
    let found = folder.path().join("found.json");
    let report = report(&evaluate(&bag, &["--detections", text(&found), "--json"]), 0);
    let model = &report["models"][0];
    for key in ["ap", "ap50", "ap75"] {
        assert!(model[key].is_null() && model["per_class"][0][key].is_null(), "{model}");
    }
    assert_eq!((report["frames"].as_u64(), report["truths"].as_u64()), (Some(4), Some(0)));
    assert!(model["latency_ms"]["p50"].as_f64().is_some_and(|median| median > 0.0), "{model}");
    assert!(model.get("detections").is_none(), "they go to the file alone: {model}");

    let written: Value = serde_json::from_slice(&std::fs::read(&found).unwrap()).unwrap();
    let frames = written["models"][0]["detections"].as_array().unwrap();
    assert_eq!(frames.len(), 4);
    for (index, frame) in (0i64..).zip(frames) {
        let stamp = START + index * FRAME_INTERVAL;
        assert_eq!((frame["stamp"].as_i64(), frame["name"].as_str()), (Some(stamp), Some(stamp.to_string().as_str())));
        let boxes = frame["boxes"].as_array().unwrap();
        assert_eq!(boxes.len(), 1, "{frame}");
        assert_eq!((boxes[0]["class"].as_u64(), boxes[0]["score"].as_f64()), (Some(0), Some(0.75)));
        for (edge, expected) in ["x_min", "y_min", "x_max", "y_max"].into_iter().zip(FOUND) {
            let edge = boxes[0]["bbox"][edge].as_f64().unwrap();
            assert!((edge - f64::from(expected)).abs() < 1e-3, "{frame}");
        }
    }
    let told = ended(&evaluate(&bag, &[]), 0);
    assert!(told.contains("4 frames") && told.contains("nothing is judged"), "{told}");
}

#[test]
fn a_bag_cut_in_half_is_judged_as_far_as_it_goes_and_ends_with_3() {
    if !support::onnx_runtime() {
        return;
    }
    let (_folder, bag) = bag(20);
    let file = bag.join("bag_0.mcap");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    for labels in [&["--labels", recording::TRUTH][..], &[]] {
        let output = evaluate(&bag, &[labels, &["--json"]].concat());
        let report = report(&output, 3);
        let frames = report["frames"].as_u64().unwrap();
        assert!((1..20).contains(&frames), "{frames}");
        assert_eq!(report["lost_data"].as_bool(), Some(true));
        assert_eq!(figures(&report, 0)[0].is_some(), !labels.is_empty());
        assert!(stderr(&output).contains("could not be read"), "{}", stderr(&output));
    }
}

#[test]
fn an_image_that_is_none_is_passed_over_and_told() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    recording::write_folder(&images, &folder.path().join("labels.json"), &shots(START, 2));
    std::fs::write(images.join("note.png"), "no picture").unwrap();
    let output = evaluate(&images, &["--json"]);
    let report = report(&output, 3);
    assert_eq!((report["frames"].as_u64(), report["undecodable"].as_u64()), (Some(2), Some(1)));
    assert!(stderr(&output).contains("could not be read"), "{}", stderr(&output));
}

#[test]
fn the_table_names_every_model_with_its_role() {
    if !support::onnx_runtime() {
        return;
    }
    let (_folder, bag) = bag(3);
    let teacher = support::tiny_model("tiny_dynamic.onnx");
    let told = ended(&evaluate(&bag, &["--labels", recording::TRUTH, "--teacher", text(&teacher)]), 0);
    let has_line = |words: &[&str]| told.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has_line(&["model", "role", "AP", "AP50", "AP75", "p50 ms", "p90 ms"]), "{told}");
    assert!(has_line(&["tiny_yolov8", "student"]) && has_line(&["tiny_dynamic", "teacher"]), "{told}");
    assert!(has_line(&["3 frames", text(&bag), "4 objects", "labels"]), "{told}");
}
