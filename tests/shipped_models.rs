//! The bundles in models/: small enough to keep, made by the experiments that lie beside them, and runnable.

mod support;

use std::path::{Path, PathBuf};

use distilled_perception::model::{
    Detector, ModelSpec, SessionOptions,
    bundle::read_metadata,
    lidar::{LidarDetector, LidarSpec},
};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Each bundle with its experiment and its classes.
const SHIPPED: [(&str, &str, &[&str]); 3] = [
    ("models/warehouse_base.onnx", "models/warehouse_base.yaml", &["person", "forklift", "pallet"]),
    ("models/warehouse_small.onnx", "models/warehouse_small.yaml", &["person", "forklift", "pallet"]),
    ("models/indoor_person.onnx", "config/distill/indoor_person.yaml", &["person"]),
];

#[test]
fn shipped_models_are_small_and_tell_the_experiment_that_made_them() {
    for (model, experiment, classes) in SHIPPED {
        let bytes = std::fs::metadata(root(model)).unwrap().len();
        assert!(bytes < 5_000_000, "{model}: {bytes} bytes");
        let metadata = read_metadata::<ModelSpec>(root(model)).unwrap().expect("a bundle");
        assert_eq!(metadata.spec.classes, classes, "{model}");
        let written = std::fs::read_to_string(root(experiment)).unwrap();
        assert_eq!(metadata.provenance.config, written, "{model} was not made by {experiment} as it stands");
        assert!(metadata.figures["ap50"].as_f64().unwrap() > 0.8, "{model}: {:?}", metadata.figures);
    }
}

/// What `distill compress config/distill/compress.yaml` chose: the size that its ladder wants, and a detector that runs.
#[test]
fn the_compressed_student_is_small_and_runs() {
    let path = root("models/indoor_person_small.onnx");
    assert!(std::fs::metadata(&path).unwrap().len() <= 500_000);
    let metadata = read_metadata::<ModelSpec>(&path).unwrap().expect("a bundle");
    assert!(metadata.provenance.config.contains("channels:"), "it was cut");
    assert!(metadata.figures["float"]["ap50"].as_f64().unwrap() > 0.97, "{:?}", metadata.figures);
    assert!(metadata.figures["quantization"].is_object(), "{:?}", metadata.figures);
    if support::onnx_runtime() {
        let mut detector = Detector::load(&path, &SessionOptions::default()).unwrap();
        detector.detect(&image::RgbImage::new(640, 360)).unwrap();
    }
}

/// The lidar student in int8.
#[test]
fn the_small_lidar_student_is_small_and_runs() {
    let path = root("models/warehouse_lidar_small.onnx");
    assert!(std::fs::metadata(&path).unwrap().len() <= 500_000);
    let metadata = read_metadata::<LidarSpec>(&path).unwrap().expect("a bundle");
    assert!(metadata.figures["quantization"].is_object(), "{:?}", metadata.figures);
    if support::onnx_runtime() {
        LidarDetector::load(&path, &SessionOptions::default()).unwrap().warm_up().unwrap();
    }
}

#[test]
fn shipped_models_run() {
    if !support::onnx_runtime() {
        return;
    }
    for (model, _, classes) in SHIPPED {
        let mut detector = Detector::load(root(model), &SessionOptions::default()).unwrap();
        for detection in detector.detect(&image::RgbImage::new(640, 360)).unwrap().detections {
            assert!(
                detection.bbox.is_valid() && detection.probabilities.len() == classes.len(),
                "{model}: {detection:?}"
            );
        }
    }
}

/// A warehouse that neither teacher was trained on; docs/results tells what they reach on a longer one.
#[test]
#[cfg(feature = "distill")]
fn warehouse_teachers_find_what_is_in_a_warehouse() {
    if !support::onnx_runtime() {
        return;
    }
    let distill = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_distill"));
        let output = command.args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("bag");
    let bag = bag.to_str().unwrap();
    distill(&["synth", "--out", bag, "--seed", "4711", "--seconds", "8", "--rate", "5"]);
    let models = SHIPPED.map(|(model, ..)| root(model));
    let (base, small) = (models[0].to_str().unwrap(), models[1].to_str().unwrap());
    let mut arguments = vec!["evaluate", "--model", base, "--model", small, "--data", bag];
    arguments.extend(["--labels", "/truth/detections_2d", "--latency-rounds", "1", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&distill(&arguments)).unwrap();
    for model in 0..2 {
        let ap50 = report["models"][model]["ap50"].as_f64();
        assert!(ap50 > Some(0.5), "{}: AP50 {ap50:?}", SHIPPED[model].0);
    }
}
