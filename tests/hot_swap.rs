//! Another model while camera_detector runs, on real ROS 2, with a client in rclpy that publishes images 30 times a second all the while
//! (tests/ros/swap_client.py).
//!
//! `HOT_SWAPS` says how often the model is swapped (20), and `HOT_SWAP_FIGURES` names a file for what was measured: scripts/results/hot_swap.
#![cfg(feature = "ros")]

mod support;

use std::{
    env,
    path::{Path, PathBuf},
};

use distilled_perception::model::{
    Detector, ModelSpec, SessionOptions,
    bundle::{BundleMetadata, read_metadata, write_metadata},
    samples::{SampleInput, Samples, make_samples, self_test, write_samples},
};
use serde_json::{Value, json};
use support::ros::{Node, rclpy};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_camera_detector");
const CLIENT: &str = "swap_client.py";
/// Images a second.
const RATE: f64 = 30.0;
/// Seconds that this machine's scheduler, the middleware and the client may add to a gap between two results.
const JITTER: f64 = 0.06;

fn is_possible() -> bool {
    support::onnx_runtime() && rclpy()
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A person stands in it, whom the student finds with a score of 0.89.
fn image() -> PathBuf {
    root("tests/fixtures/teachers/frame_indoor_150.png")
}

/// Bundles of one network that differ in what they say.
struct Bundles {
    folder: TempDir,
}

impl Bundles {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The student with other metadata.
    fn make(&self, name: &str, change: impl FnOnce(&mut BundleMetadata)) -> String {
        let student = root("models/indoor_person.onnx");
        let mut metadata = read_metadata::<ModelSpec>(&student).unwrap().unwrap();
        change(&mut metadata);
        self.write(name, &write_metadata(&std::fs::read(student).unwrap(), &metadata).unwrap())
    }

    /// The student, whose class is called otherwise.
    fn of_class(&self, class: &str) -> String {
        self.make(class, |metadata| metadata.spec.classes = vec![class.to_owned()])
    }

    /// The student, which is sure of nothing.
    fn blind(&self) -> String {
        self.make("blind", |metadata| metadata.spec.score_threshold = 0.95)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name).with_extension("onnx");
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// The student with recorded samples, changed.
    fn with_samples(&self, name: &str, change: impl FnOnce(&mut Samples)) -> String {
        let path = self.make(name, |_| {});
        let mut detector = Detector::load(&path, &SessionOptions::default()).unwrap();
        let image = image::open(image()).unwrap().to_rgb8();
        let input = SampleInput::of_image(&image, &detector.spec().input).unwrap();
        let mut samples = make_samples(&mut detector, vec![input], 2).unwrap();
        change(&mut samples);
        self.write(name, &write_samples(&std::fs::read(&path).unwrap(), &samples).unwrap())
    }
}

/// The node with a model and more parameters.
fn start(model: &str, parameters: &[&str]) -> Node {
    let model = format!("model:={model}");
    let parameters = std::iter::once(model).chain(parameters.iter().map(|&parameter| parameter.to_owned()));
    Node::start(PROGRAM, &parameters.collect::<Vec<_>>())
}

fn lead(node: &Node, steps: &[Value]) -> Vec<Value> {
    node.hear(CLIENT, &json!({"pid": node.pid(), "image": image(), "rate": RATE, "steps": steps}))
}

/// Slope of a straight line through equally spaced values, by least squares.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let above: f64 = values.iter().enumerate().map(|(place, value)| (place as f64 - middle) * (value - mean)).sum();
    let below: f64 = (0..values.len()).map(|place| (place as f64 - middle).powi(2)).sum();
    above / below
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_model_is_swapped_under_load_without_a_gap_or_a_leak() {
    if !is_possible() {
        return;
    }
    let swaps: usize = env::var("HOT_SWAPS").ok().map_or(20, |swaps| swaps.parse().unwrap());
    let bundles = Bundles::new();
    let (one, other) = (bundles.of_class("person"), bundles.of_class("human"));
    let node = start(&one, &["allow_other_classes:=true"]);
    let steps = [
        json!({"do": "watch", "seconds": 5.0}),
        json!({"do": "swaps", "models": [[other, "human"], [one, "person"]], "count": swaps}),
    ];
    let heard = lead(&node, &steps);
    let (calm, swapped) = (&heard[0], &heard[1]);
    let megabytes: Vec<f64> = swapped["memory"].as_array().unwrap().iter().map(|seen| number(&seen[0])).collect();
    let threads: Vec<f64> = swapped["memory"].as_array().unwrap().iter().map(|seen| number(&seen[1])).collect();
    let growth = slope(&megabytes[swaps / 2..]);
    if let Some(path) = env::var_os("HOT_SWAP_FIGURES") {
        let mut figures = json!({"rate": RATE, "swaps": swaps, "calm": calm, "swapped": swapped});
        figures["slope_of_second_half_mb_per_swap"] = growth.into();
        std::fs::write(path, serde_json::to_vec_pretty(&figures).unwrap()).unwrap();
    }

    assert_eq!(swapped["lost"], json!([]), "every model takes its place");
    assert_eq!(swapped["mixed"], 0, "no result is of two models");
    assert_eq!(swapped["changes"], swaps, "no result of a model comes after the next one's");
    assert_eq!(swapped["label_changes"], swaps, "label_info follows");
    assert_eq!(swapped["model"]["values"]["swaps"], swaps.to_string());
    let infer = number(&swapped["detection"]["values"]["infer_ms_max"]) / 1e3;
    let gap = number(&swapped["gaps"]["max"]);
    assert!(
        gap <= 1.0 / RATE + infer + JITTER,
        "a gap of {gap} s at inferences of up to {infer} s; calm: {}",
        calm["gaps"]
    );
    let (published, results) = (number(&swapped["published"]), number(&swapped["results"]));
    assert!(results >= 0.98 * published, "{results} results of {published} images");
    assert_eq!(swapped["detection"]["values"]["failed"], "0");
    // What is freed and taken again moves the figure to and fro; a session that stayed would be some megabytes each time.
    let most = if swaps < 100 { 1.0 } else { 0.05 };
    assert!(growth < most, "{growth} MB more with each swap: {megabytes:?}");
    assert!(threads.last() <= threads.first(), "{threads:?}");
    let (code, _) = node.end("-INT");
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_not_fit_is_refused_with_the_reason_and_the_old_model_goes_on() {
    if !is_possible() {
        return;
    }
    let bundles = Bundles::new();
    let good = bundles.with_samples("good", |_| {});
    let whole = std::fs::read(&good).unwrap();
    let failing = bundles.with_samples("failing", |samples| samples.samples[0].expected[0].score -= 0.1);
    let cases = [
        ("/nowhere/student.onnx".to_owned(), "/nowhere/student.onnx"),
        (bundles.write("broken", &whole[..whole.len() / 2]), "broken.onnx"),
        (root("models/legs.onnx").display().to_string(), "the node lidar_detector runs it"),
        (bundles.make("newer", |metadata| metadata.bundle_version += 1), "update distilled_perception"),
        (failing, "the self-test on recorded samples fails"),
        (bundles.of_class("human"), "lacks the classes person"),
    ];
    let node = start(&good, &[]);
    let mut steps: Vec<Value> =
        cases.iter().map(|(path, _)| json!({"do": "refused", "path": path, "seconds": 20.0})).collect();
    steps.push(json!({"do": "watch", "seconds": 1.0}));
    steps.push(json!({"do": "set", "name": "allow_other_classes", "value": true}));
    steps.push(json!({"do": "set", "name": "model", "value": cases[5].0, "class": "human"}));
    let heard = lead(&node, &steps);
    for ((path, words), result) in cases.iter().zip(&heard) {
        assert_eq!((&result["successful"], &result["is_back"]), (&json!(true), &json!(true)), "{path}: {result}");
        let status = &result["diagnostics"];
        assert_eq!(status["level"], 1, "{status}");
        for text in [&status["message"], &status["values"]["swap"]] {
            assert!(text.as_str().unwrap().contains(words), "`{words}` is not in {text}");
        }
        assert_eq!(status["values"]["model"], json!(good));
    }
    let after = &heard[cases.len()];
    assert_eq!((&after["classes"], &after["changes"]), (&json!(["person"]), &json!(0)));
    assert!(number(&after["results"]) > 20.0, "{after}");
    assert!(heard[cases.len() + 2]["seconds"].is_number(), "allow_other_classes takes it");
}

#[test]
fn a_bundle_with_samples_passes_its_own_self_test() {
    if !support::onnx_runtime() {
        return;
    }
    let bundles = Bundles::new();
    let test = |path: String| self_test(&mut Detector::load(path, &SessionOptions::default()).unwrap());
    assert_eq!(
        test(bundles.with_samples("good", |samples| assert_eq!(samples.samples[0].expected.len(), 1))).unwrap(),
        Some(1)
    );
    assert_eq!(test(bundles.make("plain", |_| {})).unwrap(), None);
    let error = test(bundles.with_samples("failing", |samples| samples.samples[0].expected.clear())).unwrap_err();
    assert!(error.to_string().contains("nothing is expected"), "{error}");
}

#[test]
fn the_former_model_comes_back() {
    if !is_possible() {
        return;
    }
    let bundles = Bundles::new();
    let (one, other) = (bundles.of_class("person"), bundles.of_class("human"));
    let node = start(&one, &["allow_other_classes:=true"]);
    let rollback = json!({"do": "trigger", "service": "rollback"});
    let steps = [
        rollback.clone(),
        json!({"do": "set", "name": "model", "value": other, "class": "human"}),
        rollback.clone(),
        rollback,
        json!({"do": "trigger", "service": "promote"}),
    ];
    let heard = lead(&node, &steps);
    assert_eq!(heard[0]["success"], false, "nothing was replaced yet: {}", heard[0]);
    for (step, class, path) in [(2, "person", &one), (3, "human", &other)] {
        let result = &heard[step];
        assert_eq!((&result["success"], &result["classes"]), (&json!(true), &json!([class])), "{result}");
        assert_eq!(result["model"], json!(path), "the parameter follows");
        assert!(number(&result["seconds"]) < 0.5, "nothing has to be loaded: {result}");
    }
    assert_eq!(heard[4]["success"], false);
    assert!(heard[4]["message"].as_str().unwrap().contains("no candidate"), "{}", heard[4]);
}

#[test]
fn a_candidate_is_compared_beside_the_model_and_promoted() {
    if !is_possible() {
        return;
    }
    let bundles = Bundles::new();
    let (model, same, blind) = (bundles.of_class("person"), bundles.make("same", |_| {}), bundles.blind());
    let node = start(&model, &["shadow_share:=0.5"]);
    let candidate = |path: &str| {
        [
            json!({"do": "set", "name": "shadow_model", "value": path}),
            json!({"do": "await_candidate", "path": path, "seconds": 20.0}),
            json!({"do": "watch", "seconds": 3.0}),
        ]
    };
    let mut steps = candidate(&blind).to_vec();
    steps.extend(candidate(&same));
    steps.push(json!({"do": "trigger", "service": "promote"}));
    steps.push(json!({"do": "trigger", "service": "rollback"}));
    let heard = lead(&node, &steps);
    // What came of the candidate before may still be under way when the next one is there.
    let agreements =
        |step: usize| heard[step]["agreements"].as_array().unwrap().iter().map(number).skip(2).collect::<Vec<_>>();
    assert!(heard[1] == true && heard[4] == true, "{} {}", heard[1], heard[4]);
    let (blind_agrees, same_agrees) = (agreements(2), agreements(5));
    assert!(blind_agrees.len() > 20 && blind_agrees.iter().all(|&agreement| agreement == 0.0), "{blind_agrees:?}");
    assert!(same_agrees.len() > 20 && same_agrees.iter().all(|&agreement| agreement == 1.0), "{same_agrees:?}");
    for step in [2, 5] {
        let share = heard[step]["agreements"].as_array().unwrap().len() as f64 / number(&heard[step]["results"]);
        assert!(share <= 0.55, "the candidate gets {share} of the frames");
    }
    let shadow = &heard[5]["diagnostics"]["shadow"]["values"];
    assert_eq!(number(&shadow["agreement_mean"]), 1.0);
    assert!(
        number(&shadow["frames"]) > 20.0
            && number(&shadow["candidate_ms_p95"]) > 0.0
            && number(&shadow["active_ms_p50"]) > 0.0
    );
    let (promoted, back) = (&heard[6], &heard[7]);
    assert_eq!((&promoted["success"], &promoted["model"]), (&json!(true), &json!(same)), "{promoted}");
    assert_eq!(promoted["shadow_model"], "");
    assert_eq!((&back["success"], &back["model"]), (&json!(true), &json!(model)), "{back}");
}

#[test]
fn a_candidate_that_agrees_takes_over_by_itself() {
    if !is_possible() {
        return;
    }
    let bundles = Bundles::new();
    let (model, same, blind) = (bundles.of_class("person"), bundles.make("same", |_| {}), bundles.blind());
    let node = start(&model, &["shadow_share:=1.0", "promote_after:=20", &format!("shadow_model:={blind}")]);
    let steps = [
        json!({"do": "watch", "seconds": 4.0}),
        json!({"do": "set", "name": "shadow_model", "value": same}),
        json!({"do": "watch", "seconds": 5.0}),
    ];
    let heard = lead(&node, &steps);
    assert_eq!(heard[0]["diagnostics"]["model"]["values"]["model"], json!(model), "who is blind stays a candidate");
    assert!(number(&heard[0]["diagnostics"]["shadow"]["values"]["frames"]) > 20.0);
    let status = &heard[2]["diagnostics"]["model"];
    assert_eq!(status["values"]["model"], json!(same), "{status}");
    assert!(status["values"]["swap"].as_str().unwrap().contains("promoted"), "{status}");
}

#[test]
fn a_node_that_is_killed_during_a_swap_starts_again() {
    if !is_possible() {
        return;
    }
    let bundles = Bundles::new();
    let (one, other) = (bundles.of_class("person"), bundles.of_class("human"));
    for after in [0.005, 0.03, 0.06] {
        let node = start(&one, &["allow_other_classes:=true"]);
        lead(&node, &[json!({"do": "kill", "path": other, "after": after})]);
        drop(node);
        let again = start(&other, &[]);
        let heard = lead(&again, &[json!({"do": "watch", "seconds": 1.0})]);
        assert_eq!(heard[0]["classes"], json!(["human"]));
        assert!(number(&heard[0]["results"]) > 20.0);
    }
    let files: Vec<_> = bundles.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "nothing else is written: {files:?}");
}
