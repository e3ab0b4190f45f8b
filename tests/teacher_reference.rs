//! The decoders against values made by scripts/reference/teachers.py, an independent implementation in NumPy: on random outputs
//! of every head format, and on what the three published detectors give for real frames. Tensors inside a network against those
//! that ONNX Runtime gives it in Python.

mod support;

use std::path::PathBuf;

use distilled_perception::geometry::{Box2, Candidate, suppress};
use distilled_perception::model::head::{self, OutputTensor};
use distilled_perception::model::{
    Detector, HeadFormat, InputSpec, ModelSpec, SessionOptions, SoftDetection, SpecSource,
};
use distilled_perception::sensing::letterbox::Letterbox;
use serde::Deserialize;

const FRAME_WIDTH: usize = 208;

#[derive(Deserialize)]
struct Expected {
    #[serde(rename = "box")]
    corners: [f32; 4],
    label: usize,
    score: f32,
    sum: f32,
}

#[derive(Deserialize)]
struct Synthetic {
    width: usize,
    height: usize,
    classes: usize,
    score_threshold: f32,
    iou_threshold: f32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    head: HeadFormat,
    outputs: Vec<Tensor>,
    detections: Vec<Expected>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    integer: bool,
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Real {
    iou_threshold: f32,
    models: Vec<RealModel>,
}

#[derive(Deserialize)]
struct RealModel {
    model: String,
    head: HeadFormat,
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    score_threshold: f32,
    frames: std::collections::BTreeMap<String, Vec<Expected>>,
}

#[derive(Deserialize)]
#[cfg(feature = "distill")]
struct Tapped {
    model: String,
    size: usize,
    frame: String,
    mean: [f32; 3],
    std: [f32; 3],
    every: usize,
    tensors: Vec<Inner>,
}

#[derive(Deserialize)]
#[cfg(feature = "distill")]
struct Inner {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers").join(name)
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// The real models, or `None` with the reason said aloud.
fn models() -> Option<PathBuf> {
    let models = support::test_data("models")?.join("models");
    support::onnx_runtime().then_some(models)
}

fn assert_agree(case: &str, found: &[SoftDetection], expected: &[Expected]) {
    let summary: Vec<_> = found.iter().map(|f| (f.bbox, f.best())).collect();
    assert_eq!(found.len(), expected.len(), "{case}: {summary:?}");
    for (found, expected) in found.iter().zip(expected) {
        let [x_min, y_min, x_max, y_max] = expected.corners;
        let (label, score) = found.best();
        assert_eq!(label, expected.label, "{case}");
        assert!((score - expected.score).abs() < 1e-4, "{case}: score {score}, expected {}", expected.score);
        let sum: f32 = found.probabilities.iter().sum();
        assert!((sum - expected.sum).abs() < 1e-3, "{case}: probabilities sum to {sum}, expected {}", expected.sum);
        let Box2 { x_min: a, y_min: b, x_max: c, y_max: d } = found.bbox;
        for (edge, expected) in [a, b, c, d].into_iter().zip([x_min, y_min, x_max, y_max]) {
            assert!(
                (edge - expected).abs() < 1e-3,
                "{case}: {:?}, expected {:?}",
                found.bbox,
                [x_min, y_min, x_max, y_max]
            );
        }
    }
}

#[test]
fn every_format_decodes_as_the_reference_does() {
    let synthetic: Synthetic = read("synthetic.json");
    assert!(synthetic.cases.len() >= 10);
    for case in &synthetic.cases {
        let input = InputSpec { width: synthetic.width, height: synthetic.height, ..InputSpec::default() };
        let classes = (0..synthetic.classes).map(|class| class.to_string()).collect();
        let spec = ModelSpec {
            score_threshold: synthetic.score_threshold,
            iou_threshold: synthetic.iou_threshold,
            ..ModelSpec::new(input, case.head.clone(), classes)
        };
        let outputs: Vec<_> = case
            .outputs
            .iter()
            .map(|tensor| OutputTensor {
                is_integer: tensor.integer,
                ..OutputTensor::new(&tensor.name, &tensor.shape, &tensor.values)
            })
            .collect();
        let decoded = head::decode(&spec, &outputs).unwrap();
        assert_eq!(decoded.skipped, 0, "{}", case.name);
        let candidates: Vec<_> = decoded
            .detections
            .iter()
            .map(|found| Candidate { bbox: found.bbox, class: found.best().0, score: found.score() })
            .collect();
        let iou = if spec.head.needs_suppression() { spec.iou_threshold } else { 1.0 };
        let kept: Vec<_> =
            suppress(&candidates, iou, usize::MAX).into_iter().map(|index| decoded.detections[index].clone()).collect();
        assert_agree(&case.name, &kept, &case.detections);
    }
}

/// The input tensor by the integer rule of the reference script.
fn tensor(frame: &image::RgbImage, size: usize, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    assert_eq!(frame.width() as usize, FRAME_WIDTH);
    let mut values = Vec::with_capacity(3 * size * size);
    for channel in 0..3 {
        for y in 0..size {
            for x in 0..size {
                let (x, y) = ((x * FRAME_WIDTH / size) as u32, (y * FRAME_WIDTH / size) as u32);
                let value = if y < frame.height() { frame.get_pixel(x, y)[2 - channel] } else { 114 };
                values.push((f32::from(value) - mean[channel]) / std[channel]);
            }
        }
    }
    values
}

#[test]
fn real_models_find_what_the_reference_finds() {
    let Some(models) = models() else { return };
    let real: Real = read("expected.json");
    assert_eq!(real.models.len(), 3);
    for model in &real.models {
        // The guessed specification must be right about head, classes and size without help.
        let mut detector = Detector::load(models.join(&model.model), &SessionOptions::default()).unwrap();
        assert_eq!(detector.source(), &SpecSource::Guessed);
        assert_eq!(detector.spec().head, model.head);
        assert_eq!(detector.spec().classes.len(), 80);
        assert_eq!((detector.spec().input.mean, detector.spec().input.std), (model.mean, model.std));
        detector.set_thresholds(model.score_threshold, real.iou_threshold, 1000);
        // The input's own pixels, so that boxes stay as the head gives them but for the clip to the image.
        let whole = Letterbox::new(model.size as u32, model.size as u32, &detector.spec().input);
        assert_eq!(model.frames.len(), 3);
        for (name, expected) in &model.frames {
            let frame = image::open(fixture(name)).unwrap().into_rgb8();
            let input = tensor(&frame, model.size, model.mean, model.std);
            let found = detector.detect_tensor(&input, &whole).unwrap();
            let limit = model.size as f32;
            let expected: Vec<_> =
                expected.iter().map(|e| Expected { corners: e.corners.map(|v| v.clamp(0.0, limit)), ..*e }).collect();
            assert_agree(&format!("{} {name}", model.model), &found.detections, &expected);
        }
    }
}

#[test]
fn real_models_find_the_person_in_real_frames() {
    let Some(models) = models() else { return };
    // Where the person stands, in pixels of the frame (YOLOX's box of the reference values, halved).
    let frames = [
        ("frame_indoor_150.png", Box2::new(103.2, 3.5, 147.1, 100.7)),
        ("frame_indoor_420.png", Box2::new(97.9, 10.0, 135.2, 102.7)),
    ];
    for model in ["yolox_nano_416.onnx", "nanodet_m_416.onnx", "FastestDet_352.onnx"] {
        let mut detector = Detector::load(models.join(model), &SessionOptions::default()).unwrap();
        detector.warm_up().unwrap();
        for (name, person) in frames {
            let frame = image::open(fixture(name)).unwrap().into_rgb8();
            let found = detector.detect(&frame).unwrap();
            let best = &found.detections[0];
            let (class, score) = best.best();
            assert_eq!(detector.spec().classes[class], "person", "{model} {name}");
            assert!(score > 0.5 && best.bbox.iou(&person) > 0.75, "{model} {name}: {score} {:?}", best.bbox);
            assert!(found.timing.infer.as_nanos() > 0 && found.timing.preprocess.as_nanos() > 0);
            // The same image gives the same bits.
            assert_eq!(detector.detect(&frame).unwrap().detections, found.detections);
        }
    }
}

#[test]
#[cfg(feature = "distill")]
fn tensors_inside_a_network_are_what_the_reference_gets() {
    use distilled_perception::{distill::teacher::tapped_bytes, model::Session};

    let Some(models) = models() else { return };
    let tapped: Tapped = read("tapped.json");
    let path = models.join(&tapped.model);
    let names: Vec<String> = tapped.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    assert!(names.len() >= 3);
    let bytes = tapped_bytes(&path, &names).unwrap();
    let mut session = Session::from_bytes(&bytes, &tapped.model, &SessionOptions::default()).unwrap();
    let frame = image::open(fixture(&tapped.frame)).unwrap().into_rgb8();
    let input = tensor(&frame, tapped.size, tapped.mean, tapped.std);
    let outputs = session.run(&[1, 3, tapped.size, tapped.size], &input).unwrap();
    for expected in &tapped.tensors {
        let found = outputs.tensor(&expected.name).unwrap();
        assert_eq!(found.shape, expected.shape, "{}", expected.name);
        let values: Vec<f32> = found.values.iter().copied().step_by(tapped.every).collect();
        assert_eq!(values.len(), expected.values.len(), "{}", expected.name);
        for (value, expected_value) in values.iter().zip(&expected.values) {
            let tolerance = 1e-3 * expected_value.abs().max(1.0);
            assert!(
                (value - expected_value).abs() < tolerance,
                "{}: {value}, expected {expected_value}",
                expected.name
            );
        }
    }
}
