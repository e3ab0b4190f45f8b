//! The bundles in models/: small enough to keep, made by the experiments that lie beside them, and runnable.

mod support;

use std::path::{Path, PathBuf};

use distilled_perception::model::{Detector, SessionOptions, bundle::read_metadata};

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
        let metadata = read_metadata(root(model)).unwrap().expect("a bundle");
        assert_eq!(metadata.spec.classes, classes, "{model}");
        let written = std::fs::read_to_string(root(experiment)).unwrap();
        assert_eq!(metadata.provenance.config, written, "{model} was not made by {experiment} as it stands");
        assert!(metadata.figures["ap50"].as_f64().unwrap() > 0.8, "{model}: {:?}", metadata.figures);
    }
}

#[test]
fn shipped_models_run() {
    if !support::onnx_runtime() {
        return;
    }
    for (model, ..) in SHIPPED {
        let mut detector = Detector::load(root(model), &SessionOptions::default()).unwrap();
        assert!(
            detector.detect(&image::RgbImage::new(640, 360)).unwrap().detections.is_empty(),
            "{model}: black is empty"
        );
    }
}
