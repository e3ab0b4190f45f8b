//! Loading models: bundles, foreign models with and without YAML, and files that are no models. The tiny networks are made by
//! scripts/reference/teachers.py.

mod support;

use std::path::{Path, PathBuf};

use distilled_perception::geometry::Box2;
use distilled_perception::model::bundle::{BundleMetadata, read_metadata, write_metadata};
use distilled_perception::model::{
    Detector, ExecutionProvider, HeadFormat, InputSpec, ModelError, ModelSpec, Session, SessionOptions, SpecSource,
    onnx_facts,
};
use image::RgbImage;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers").join(name)
}

fn load(path: &Path) -> Result<Detector, ModelError> {
    Detector::load(path, &SessionOptions::default())
}

fn spec(classes: &[&str]) -> ModelSpec {
    let input = InputSpec { width: 32, height: 32, ..InputSpec::default() };
    ModelSpec::new(input, HeadFormat::Yolov8, classes.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_bundle_tells_everything_about_itself() {
    let plain = std::fs::read(fixture("tiny_yolov8.onnx")).unwrap();
    let mut metadata = BundleMetadata::new(spec(&["pallet", "person"]));
    metadata.figures.insert("ap50".into(), 0.875.into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.onnx");
    std::fs::write(&path, write_metadata(&plain, &metadata).unwrap()).unwrap();
    assert_eq!(read_metadata::<ModelSpec>(&path).unwrap(), Some(metadata.clone()));
    assert_eq!(read_metadata::<ModelSpec>(fixture("tiny_yolov8.onnx")).unwrap(), None);
    if !support::onnx_runtime() {
        return;
    }
    // A YAML beside it does not matter to a bundle.
    std::fs::write(folder.path().join("bundle.yaml"), "nonsense").unwrap();
    let mut detector = load(&path).unwrap();
    assert_eq!(detector.bundle(), Some(&metadata), "ONNX Runtime reads the same metadata");
    // 64x32 in 32x32: half the size, 8 rows of border above.
    let found = detector.detect(&RgbImage::new(64, 32)).unwrap().detections;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bbox, Box2::new(24.0, 0.0, 40.0, 4.0));
    assert_eq!(found[0].probabilities, [0.25, 0.75]);

    metadata.bundle_version = 99;
    std::fs::write(&path, write_metadata(&plain, &metadata).unwrap()).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("bundle.onnx") && error.contains("update distilled_perception"), "{error}");
    assert!(read_metadata::<ModelSpec>(&path).is_err());
}

#[test]
fn a_foreign_model_is_guessed_even_when_it_leaves_its_shapes_open() {
    if !support::onnx_runtime() {
        return;
    }
    for name in ["tiny_yolov8.onnx", "tiny_dynamic.onnx"] {
        let mut detector = load(&fixture(name)).unwrap();
        assert_eq!(detector.source(), &SpecSource::Guessed);
        assert_eq!(detector.spec().head, HeadFormat::Yolov8, "{name}");
        assert_eq!(detector.spec().classes, ["class_0", "class_1"]);
        let found = detector.detect(&RgbImage::new(32, 32)).unwrap().detections;
        assert_eq!(found[0].bbox, Box2::new(12.0, 6.0, 20.0, 10.0));
    }
}

#[test]
fn values_tell_a_decode_inside_the_graph() {
    if !support::onnx_runtime() {
        return;
    }
    // [1, 84, 7] for 64x64 pixels: the shape of YOLOX's raw output.
    let mut detector = load(&fixture("tiny_decoded.onnx")).unwrap();
    assert_eq!((detector.source(), &detector.spec().head), (&SpecSource::Guessed, &HeadFormat::Yolov5));
    assert_eq!(detector.spec().input.std, [1.0; 3], "YOLOX's input stays as it is");
    let found = detector.detect(&RgbImage::new(64, 64)).unwrap().detections;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].bbox, found[0].best()), (Box2::new(4.0, 4.0, 20.0, 20.0), (1, 0.5)));
}

#[test]
fn suppression_inside_works_with_one_object_and_with_none() {
    if !support::onnx_runtime() {
        return;
    }
    for (name, count) in [("tiny_suppressed_one.onnx", 1), ("tiny_suppressed_none.onnx", 0)] {
        let spec = ModelSpec { head: HeadFormat::Suppressed, ..spec(&["a", "b", "c"]) };
        let mut detector = Detector::with_spec(fixture(name), spec, &SessionOptions::default()).unwrap();
        let found = detector.detect(&RgbImage::new(32, 32)).unwrap().detections;
        assert_eq!(found.len(), count, "{name}");
        assert!(found.iter().all(|found| found.best() == (2, 0.5)), "{name}");
    }
}

#[test]
fn classes_have_thresholds_of_their_own_until_one_is_set_for_all() {
    if !support::onnx_runtime() {
        return;
    }
    let mut spec = spec(&["pallet", "person"]);
    spec.class_thresholds.insert("person".into(), 0.875);
    let options = SessionOptions::default();
    let mut detector = Detector::with_spec(fixture("tiny_yolov8.onnx"), spec.clone(), &options).unwrap();
    // The one box is a person of 0.75.
    let image = RgbImage::new(32, 32);
    assert!(detector.detect(&image).unwrap().detections.is_empty());
    detector.set_thresholds(0.5, 0.6, 100);
    assert_eq!(detector.detect(&image).unwrap().detections.len(), 1);
    detector.set_thresholds(spec.score_threshold, 0.6, 100);
    assert!(detector.detect(&image).unwrap().detections.is_empty());
    spec.class_thresholds.insert("persn".into(), 0.5);
    let error = Detector::with_spec(fixture("tiny_yolov8.onnx"), spec, &options).unwrap_err().to_string();
    assert!(error.contains("persn"), "{error}");
}

#[test]
fn a_yaml_beside_a_foreign_model_is_taken_or_its_fault_named() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nms.onnx");
    std::fs::copy(fixture("tiny_suppressed.onnx"), &path).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("nms.yaml") && error.contains("`classes`"), "{error}");

    let yaml = folder.path().join("nms.yaml");
    let text = "input: {width: 32, height: 32}\nhead: suppressed\nclasses: [a, b, c]\n";
    std::fs::write(&yaml, text).unwrap();
    let mut detector = load(&path).unwrap();
    assert_eq!(detector.source(), &SpecSource::Yaml(yaml.clone()));
    let found = detector.detect(&RgbImage::new(32, 32)).unwrap().detections;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].bbox, found[0].best()), (Box2::new(4.0, 8.0, 20.0, 24.0), (2, 0.5)));

    std::fs::write(&yaml, text.replace("a, b, c", "a, b")).unwrap();
    let error = load(&path).unwrap().detect(&RgbImage::new(32, 32)).unwrap_err().to_string();
    assert!(error.contains("label 2") && error.contains("`classes`"), "{error}");
    std::fs::write(&yaml, text.replace("width: 32", "width: 64")).unwrap();
    assert!(matches!(load(&path), Err(ModelError::InputSize { network_width: 32, spec_width: 64, .. })));
    std::fs::write(&yaml, text.replace("head", "haed")).unwrap();
    let error = load(&path).unwrap_err().to_string();
    for part in ["nms.yaml", "unknown field `haed`", "did you mean `head`?"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_documented_yaml_can_be_read() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/foreign_model.example.yaml");
    let spec = ModelSpec::read_yaml(path).unwrap();
    assert_eq!(spec.head, HeadFormat::Yolov8);
    assert_eq!(spec.input, InputSpec { std: [255.0; 3], ..InputSpec::default() });
    assert!(spec.class_thresholds.is_empty());
}

#[test]
fn files_that_are_no_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.onnx");
    std::fs::write(&text, "a text, not a model\n").unwrap();
    assert!(read_metadata::<ModelSpec>(&text).is_err());
    assert!(onnx_facts(&text).is_err());
    if !support::onnx_runtime() {
        return;
    }
    let whole = std::fs::read(fixture("tiny_yolov8.onnx")).unwrap();
    let cut = folder.path().join("cut.onnx");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let empty = folder.path().join("empty.onnx");
    std::fs::write(&empty, "").unwrap();
    for path in [&text, &cut, &empty] {
        let error = load(path).unwrap_err();
        assert!(matches!(error, ModelError::Load { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    for path in [&folder.path().join("absent.onnx"), folder.path()] {
        let error = load(path).unwrap_err();
        assert!(matches!(error, ModelError::Read { .. }), "{error}");
    }
    let error = Detector::with_spec(fixture("tiny_yolov8.onnx"), spec(&["one"]), &SessionOptions::default())
        .unwrap()
        .detect(&RgbImage::new(8, 8))
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 classes") && error.contains("tiny_yolov8.onnx"), "{error}");
}

#[test]
fn a_provider_that_the_library_lacks_falls_back_to_the_cpu() {
    if !support::onnx_runtime() {
        return;
    }
    for provider in [ExecutionProvider::Xnnpack, ExecutionProvider::OpenVino, ExecutionProvider::TensorRt] {
        let options = SessionOptions { provider, threads: 2, ..SessionOptions::default() };
        let mut session = Session::load(fixture("tiny_yolov8.onnx"), &options).unwrap();
        // A library that has the provider may use it; the plain CPU one falls back. Either way it says so and works.
        assert!([provider, ExecutionProvider::Cpu].contains(&session.provider()));
        let outputs = session.run(&[1, 3, 32, 32], &[0.5; 3 * 32 * 32]).unwrap();
        assert_eq!(outputs.tensors().unwrap()[0].shape, [1, 6, 21]);
    }
    let mut session = Session::load(fixture("tiny_yolov8.onnx"), &SessionOptions::default()).unwrap();
    assert_eq!(session.provider(), ExecutionProvider::Cpu);
    assert!(matches!(session.run(&[1, 3, 32, 32], &[0.0; 5]), Err(ModelError::InputLength { got: 5, .. })));
}

#[test]
fn parameters_of_the_real_models_are_counted() {
    let Some(data) = support::test_data("models") else { return };
    for (name, millions, bytes) in [
        ("yolox_nano_416.onnx", 0.90, 3_660_092),
        ("nanodet_m_416.onnx", 0.94, 3_802_805),
        ("FastestDet_352.onnx", 0.24, 998_169),
    ] {
        let facts = onnx_facts(data.join("models").join(name)).unwrap();
        assert!((facts.parameters as f64 / 1e6 - millions).abs() < 0.01, "{name}: {}", facts.parameters);
        assert_eq!(facts.bytes, bytes);
    }
}
