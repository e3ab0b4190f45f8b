//! `distill quantize` as a user runs it: the shipped indoor student on small recordings made here, and on the real one where it is.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::{
    distill::export::{count_macs, read_onnx},
    model::{
        Detector, ModelSpec, SessionOptions,
        bundle::{BundleMetadata, read_metadata},
    },
};
use serde_json::Value;
use support::recording::{self, Shot};

const START: i64 = 1_700_000_000_000_000_000;
/// Twenty seconds in all, so that every block has frames between the gaps.
const FRAMES: usize = 40;
const FRAME_INTERVAL: i64 = 500_000_000;

fn student() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/indoor_person.onnx")
}

/// A folder with a bag of noise, in which the student sees a few persons.
fn bag() -> (tempfile::TempDir, PathBuf) {
    bag_with_night(0)
}

/// The same with so many dark frames in the beginning.
fn bag_with_night(dark: usize) -> (tempfile::TempDir, PathBuf) {
    let shot = |index: usize| {
        let mut image = recording::noise(320, 192, index as u64);
        if index < dark {
            image.iter_mut().for_each(|value| *value /= 16);
        }
        let truth = vec![("person", [100.0, 20.0, 160.0, 180.0])];
        Shot { stamp: START + index as i64 * FRAME_INTERVAL, image, truth }
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    recording::write_bag(&path, &(0..FRAMES).map(shot).collect::<Vec<_>>());
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Quantises the student, calibrated on as many frames as is usual.
fn quantize_usually(arguments: &[&str]) -> Output {
    let student = student();
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(["quantize", text(&student)]).args(arguments);
    command.stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

/// Quantises the student, calibrated on few frames.
fn quantize(arguments: &[&str]) -> Output {
    quantize_usually(&[arguments, &["--frames", "8"]].concat())
}

/// What it prints, once it has ended with this exit code.
fn ended(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    stdout.into_owned()
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn metadata(path: &Path) -> BundleMetadata {
    read_metadata::<ModelSpec>(path).unwrap().unwrap()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// Whatever the float student finds for sure on an image, an int8 bundle finds as well.
fn assert_finds_the_same(int8: &Path) {
    let image = recording::noise(320, 192, 99);
    let detect = |path: &Path| {
        let mut detector = Detector::load(path, &SessionOptions::default()).unwrap();
        detector.set_thresholds(0.45, 0.6, 100);
        detector.detect(&image).unwrap().detections
    };
    let (float, int8) = (detect(&student()), detect(int8));
    for found in &float {
        let near =
            int8.iter().any(|other| other.bbox.iou(&found.bbox) > 0.6 && (other.score() - found.score()).abs() < 0.1);
        assert!(near || found.score() < 0.55, "{found:?} is not among {int8:?}");
    }
}

#[test]
fn int8_is_smaller_runs_as_the_float_bundle_and_tells_its_origin() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag();
    let (out, figures) = (folder.path().join("int8.onnx"), folder.path().join("int8.json"));
    let arguments =
        ["--data", text(&bag), "--out", text(&out), "--report", text(&figures), "--labels", recording::TRUTH];
    let stdout = ended(&quantize(&[&arguments[..], &["--agreement", "0.8", "--budget", "100"]].concat()), 0);
    assert!(stdout.contains("stages.1.reduce.conv") && stdout.contains("taken"), "{stdout}");
    assert!(size(&out) < 2 * size(&student()) / 5, "{} of {}", size(&out), size(&student()));

    let report = report(&figures);
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 24);
    assert!(layers.iter().all(|layer| layer["is_float"] == false), "{layers:?}");
    let losses: Vec<f64> = layers.iter().map(|layer| layer["loss"].as_f64().unwrap()).collect();
    assert!(losses.is_sorted_by(|a, b| a >= b) && losses[0] > 0.0, "{losses:?}");
    let attempts = report["attempts"].as_array().unwrap();
    // Five methods, on the network as it is and equalised, and one with biases corrected.
    assert_eq!(attempts.len(), 11);
    let least = attempts.iter().map(|attempt| attempt["loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(report["loss"].as_f64(), Some(least));
    assert!(least > 0.0 && least < 0.02, "{least}");
    let worth = &report["worth"];
    assert!(worth["agreement"].as_f64().is_some_and(|f1| f1 > 0.8), "{worth}");
    assert!(worth["ap50"].is_f64() && worth["float_ap50"].is_f64(), "{worth}");

    let (before, after) = (metadata(&student()), metadata(&out));
    assert_eq!((&after.spec, after.macs, after.parameters), (&before.spec, before.macs, before.parameters));
    assert_eq!(after.provenance.precision, "int8");
    assert_eq!(after.provenance.teachers, before.provenance.teachers);
    assert_eq!(after.figures["quantization"]["layer_loss"].as_object().map(serde_json::Map::len), Some(24));
    // The float bundle's average precision must not be taken for this one's.
    assert!(!after.figures.contains_key("ap50"));

    let model = read_onnx(&out).unwrap();
    assert!(model.graph.node.iter().filter(|node| node.op_type == "Conv").count() == 24);
    assert!(model.graph.initializer.iter().all(|tensor| tensor.data_type != 1 || tensor.dims.len() < 2));
    assert_eq!(count_macs(&model).macs, count_macs(&read_onnx(&student()).unwrap()).macs);
    // Tensors that further students learn from are still there.
    let made: Vec<&String> = model.graph.node.iter().flat_map(|node| &node.output).collect();
    for output in &read_onnx(&student()).unwrap().graph.output {
        assert!(made.contains(&&output.name), "{}", output.name);
    }
    assert_finds_the_same(&out);
}

#[test]
fn unsigned_weights_are_stored_so_and_cost_no_room() {
    const UINT8: i32 = 2;
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag();
    let (out, figures) = (folder.path().join("unsigned.onnx"), folder.path().join("unsigned.json"));
    let arguments = ["--data", text(&bag), "--out", text(&out), "--report", text(&figures), "--weights", "unsigned"];
    let stdout = ended(&quantize(&[&arguments[..], &["--agreement", "0.8", "--max-float", "0"]].concat()), 0);
    assert!(stdout.contains("int8, unsigned weights: loss"), "{stdout}");
    assert!(size(&out) < 2 * size(&student()) / 5, "{} of {}", size(&out), size(&student()));
    let report = report(&figures);
    assert_eq!(report["weights"], "unsigned");
    assert!(report["loss"].as_f64().is_some_and(|loss| loss > 0.0 && loss < 0.02), "{}", report["loss"]);
    assert_eq!(metadata(&out).figures["quantization"]["weights"], "unsigned");

    let model = read_onnx(&out).unwrap();
    let weights: Vec<_> = model.graph.initializer.iter().filter(|tensor| tensor.dims.len() == 4).collect();
    assert_eq!(weights.len(), 24);
    assert!(weights.iter().all(|tensor| tensor.data_type == UINT8));
    let zeros = model.graph.initializer.iter().filter(|tensor| tensor.name.starts_with("zero_points/"));
    // ONNX Runtime wants the same for all channels.
    assert!(zeros.flat_map(|tensor| tensor.raw_data.iter()).all(|&zero| zero == 128));
    assert_finds_the_same(&out);
}

#[test]
fn what_loses_too_much_is_refused_with_the_layers_and_written_when_forced() {
    if !support::onnx_runtime() {
        return;
    }
    // Calibrated in the night: ranges are so narrow that the day is cut off.
    let (folder, bag) = bag_with_night(FRAMES / 2);
    let out = folder.path().join("int8.onnx");
    let strict =
        ["--data", text(&bag), "--out", text(&out), "--method", "minmax", "--agreement", "0.9", "--max-float", "0"];
    let output = quantize(&strict);
    let stdout = ended(&output, 1);
    assert!(stdout.contains("heads.0.class_prediction") && !out.exists(), "{stdout}");
    support::refused(&output, 1, &["agree", "below 0.900", "--keep-float", "--force"]);
    ended(&quantize(&[&strict[..], &["--force"]].concat()), 0);
    assert!(out.exists());
}

#[test]
fn layers_that_hurt_go_back_to_float_until_the_budget_holds() {
    const FLOAT: i32 = 1;
    if !support::onnx_runtime() {
        return;
    }
    // Calibrated in the night, as above: with every layer in int8 much is lost.
    let (folder, bag) = bag_with_night(FRAMES / 2);
    let (out, figures) = (folder.path().join("int8.onnx"), folder.path().join("int8.json"));
    let data = ["--data", text(&bag), "--out", text(&out), "--report", text(&figures), "--method", "minmax"];
    let agreement = |more: &[&str]| {
        ended(&quantize(&[&data[..], &["--max-float", "0", "--agreement", "0"], more].concat()), 0);
        report(&figures)["worth"]["agreement"].as_f64().unwrap()
    };
    let all = agreement(&[]);
    let table = report(&figures)["layers"].as_array().unwrap().clone();
    let names: Vec<&str> = table.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    let worst = names[..names.len() / 2].join(",");
    let half = agreement(&["--keep-float", &worst]);
    assert!(all < half, "{all} with every layer in int8, {half} with the worse half in float");

    let wanted = 0.5 * (all + half);
    let stdout = ended(&quantize(&[&data[..], &["--agreement", &wanted.to_string()]].concat()), 0);
    assert!(stdout.contains("float32"), "{stdout}");
    let mixed = report(&figures);
    assert!(mixed["worth"]["agreement"].as_f64().is_some_and(|reached| reached >= wanted), "{}", mixed["worth"]);
    let layers = mixed["layers"].as_array().unwrap();
    let is_float: Vec<bool> = layers.iter().map(|layer| layer["is_float"] == true).collect();
    let count = is_float.iter().filter(|is_float| **is_float).count();
    assert!((1..=names.len() / 2).contains(&count), "{is_float:?}");
    assert!(is_float[..count].iter().all(|is_float| *is_float), "those first that hurt most: {is_float:?}");
    // What the report says is what is in the graph, and in the bundle's own words.
    let model = read_onnx(&out).unwrap();
    for (layer, is_float) in layers.iter().zip(is_float) {
        let name = layer["layer"].as_str().unwrap();
        let weights = model.graph.initializer.iter().filter(|tensor| tensor.dims.len() == 4);
        let mut floats = weights.filter(|tensor| tensor.data_type == FLOAT);
        assert_eq!(floats.any(|tensor| tensor.name == format!("{name}.weight")), is_float, "{name}");
    }
    let told = metadata(&out).figures["quantization"]["float_layers"].as_array().unwrap().len();
    assert_eq!(told, count);
}

#[test]
fn layers_that_are_named_stay_float() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag();
    let out = folder.path().join("int8.onnx");
    let data = ["--data", text(&bag), "--out", text(&out), "--method", "percentile", "--agreement", "0"];
    ended(&quantize(&[&data[..], &["--keep-float", "first,last"]].concat()), 0);
    let model = read_onnx(&out).unwrap();
    let floats: Vec<&str> = model
        .graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_type == 1 && tensor.dims.len() == 4)
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(floats.len(), 7, "{floats:?}");
    assert!(floats.contains(&"stem.conv.weight") && floats.contains(&"heads.2.box_prediction.weight"), "{floats:?}");
    let output = quantize(&[&data[..], &["--keep-float", "stem"]].concat());
    support::refused(&output, 2, &["--keep-float stem", "no such layer", "stem.conv"]);
}

#[test]
fn float16_halves_the_file() {
    if !support::onnx_runtime() {
        return;
    }
    let (folder, bag) = bag();
    let out = folder.path().join("half.onnx");
    ended(&quantize(&["--data", text(&bag), "--out", text(&out), "--fp16", "--agreement", "0.9"]), 0);
    assert!(size(&out) < 11 * size(&student()) / 20, "{} of {}", size(&out), size(&student()));
    assert_eq!(metadata(&out).provenance.precision, "float16");
    assert!(Detector::load(&out, &SessionOptions::default()).unwrap().warm_up().is_ok());
}

#[test]
fn inputs_are_dumped_for_other_quantisers() {
    let (folder, bag) = bag();
    let dumped = folder.path().join("dumped");
    ended(&quantize(&["--data", text(&bag), "--dump-calibration", text(&dumped)]), 0);
    for (name, shape) in [("calibration.npy", "(8, 1, 3, 192, 320)"), ("validation.npy", ", 1, 3, 192, 320)")] {
        let bytes = std::fs::read(dumped.join(name)).unwrap();
        let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
        assert!(header.contains(shape), "{name}: {header}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let (folder, bag) = bag();
    let out = folder.path().join("out.onnx");
    support::refused(&quantize(&["--out", text(&out)]), 2, &["indoor_person.onnx", "--data"]);
    support::refused(&quantize(&["--out", text(&out), "--data", text(&bag), "--budget=-1"]), 2, &["--budget -1"]);
    let foreign = support::tiny_model("tiny_yolov8.onnx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(["quantize", text(&foreign), "--data", text(&bag), "--out", text(&out)]).stdin(Stdio::null());
    support::refused(&command.output().unwrap(), 2, &["tiny_yolov8.onnx", "no bundle"]);
}

#[test]
fn the_real_recording_is_judged_alike_in_int8() {
    const BAG: &str = "bags/indoor_person_mcap";
    let Some(data) = support::test_data(BAG) else { return };
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, figures) = (folder.path().join("int8.onnx"), folder.path().join("int8.json"));
    let bag = data.join(BAG);
    // The usual budget holds with every layer in int8.
    let arguments = ["--data", text(&bag), "--out", text(&out), "--report", text(&figures), "--max-float", "0"];
    ended(&quantize_usually(&arguments), 0);
    let report = report(&figures);
    let (loss, agreement) = (report["loss"].as_f64().unwrap(), report["worth"]["agreement"].as_f64().unwrap());
    assert!(loss < 0.002 && agreement >= 0.97, "loss {loss}, agreement {agreement}");
}
