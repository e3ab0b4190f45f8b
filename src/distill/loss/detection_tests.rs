//! The loss of whole batches: what it is worth beside the reference, and that students learn by it.

use std::collections::HashMap;

use burn::{
    module::Module,
    optim::{AdamConfig, GradientsParams},
    tensor::Device,
};
use serde::Deserialize;

use super::*;
use crate::{
    distill::{
        loss::{
            LossValues,
            reference::{assert_close, tensor},
        },
        student::{CameraStudent, Size, StudentConfig},
    },
    geometry::Box2,
};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;

fn config() -> StudentConfig {
    StudentConfig::new(Size::Micro, vec!["bright".into(), "dark".into()], WIDTH, HEIGHT)
}

/// Four grey images with two rectangles each, bright ones of class 0 and dark ones of class 1.
fn rectangles(device: &Device) -> (Tensor<4>, Vec<Vec<TargetBox>>) {
    let boxes = [
        [(0, [8, 8, 40, 40]), (1, [56, 16, 88, 56])],
        [(1, [4, 20, 36, 60]), (0, [60, 4, 92, 36])],
        [(0, [30, 6, 70, 58]), (1, [76, 30, 92, 50])],
        [(1, [50, 10, 66, 26]), (0, [6, 30, 46, 62])],
    ];
    let mut pixels = vec![0.0_f32; 4 * 3 * HEIGHT * WIDTH];
    let mut targets = Vec::new();
    for (image, objects) in boxes.iter().enumerate() {
        let mut list = Vec::new();
        for &(class, [left, top, right, bottom]) in objects {
            for channel in 0..3 {
                for row in top..bottom {
                    let start = ((image * 3 + channel) * HEIGHT + row) * WIDTH;
                    pixels[start + left..start + right].fill(if class == 0 { 2.0 } else { -2.0 });
                }
            }
            let bbox = Box2::new(left as f32, top as f32, right as f32, bottom as f32);
            let mut probabilities = vec![0.05, 0.05];
            probabilities[class] = 0.95;
            list.push(TargetBox { bbox, probabilities, weight: 1.0 });
        }
        targets.push(list);
    }
    (Tensor::from_data(TensorData::new(pixels, [4, 3, HEIGHT, WIDTH]), device), targets)
}

/// The best scoring cell's box of a class in each image.
fn best_boxes(output: &StudentOutput, class: usize) -> Vec<(f32, Box2)> {
    let flat = Flat::new(output);
    let scores = read(sigmoid(flat.class_logits.clone()));
    let distances = Distances::new(&flat);
    (0..flat.images)
        .map(|image| {
            let score = |cell: usize| scores[(image * flat.cells.len() + cell) * flat.classes + class];
            let best = (0..flat.cells.len()).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
            (score(best), flat.cells.decode(best, &distances.of(Row { image, cell: best })))
        })
        .collect()
}

#[test]
fn a_student_learns_four_images_by_heart() {
    let device = Device::flex().autodiff();
    let mut student = CameraStudent::new(&config(), 3, &device).unwrap();
    let (images, targets) = rectangles(&device);
    let mut optimizer = AdamConfig::new().init();
    let mut first = None;
    let mut last = LossValues::default();
    for step in 0..100 {
        let terms = detection_loss(&student.forward(images.clone()), &targets, &LossConfig::default());
        last = LossValues::new(&terms);
        assert!(last.is_finite(), "step {step}: {last:?}");
        first.get_or_insert(last.clone());
        let gradients = GradientsParams::from_grads(NamedTerm::sum(&terms).unwrap().backward(), &student);
        let rate = if step < 70 { 3e-3 } else { 5e-4 };
        student = optimizer.step(rate, student, gradients);
    }
    let first = first.unwrap();
    assert!(last.total < first.total / 2.0, "{first:?} became only {last:?}");
    let output = student.forward(images);
    for class in 0..2 {
        for (image, (score, bbox)) in best_boxes(&output, class).into_iter().enumerate() {
            let truth = targets[image].iter().find(|target| target.probabilities[class] > 0.5).unwrap();
            let iou = bbox.iou(&truth.bbox);
            assert!(iou > 0.7, "image {image}, class {class}: {bbox:?} of {:?}, IoU {iou}", truth.bbox);
            assert!(score > 0.4, "image {image}, class {class}: score {score}");
        }
    }
}

#[test]
fn images_without_objects_and_other_class_counts_are_background() {
    let device = Device::flex().autodiff();
    let student = CameraStudent::new(&config(), 3, &device).unwrap();
    let (images, _) = rectangles(&device);
    let odd = TargetBox { bbox: Box2::new(0.0, 0.0, 30.0, 30.0), probabilities: vec![1.0], weight: 1.0 };
    let targets = [vec![], vec![], vec![odd], vec![]];
    let output = student.forward(images);
    let terms = detection_loss(&output, &targets, &LossConfig::default());
    let values = LossValues::new(&terms);
    assert_eq!((values.get("giou"), values.get("distribution")), (Some(0.0), Some(0.0)));
    assert!(values.get("class") > Some(0.0) && values.is_finite());
    let gradients = NamedTerm::sum(&terms).unwrap().backward();
    assert!(!GradientsParams::from_grads(gradients, &student).is_empty());
    assert!(student.valid().num_params() > 0);
}

#[test]
fn temperature_softens_teacher_and_student() {
    assert_eq!(soften(0.0, 2.0), 0.0);
    assert_eq!(soften(0.8, 1.0), 0.8);
    assert!((soften(0.8, 2.0) - 1.0 / (1.0 + 0.5)).abs() < 1e-6);
    assert!((soften(0.5, 7.0) - 0.5).abs() < 1e-6);
    assert!(soften(1.0, 2.0) < 1.0);
    assert_eq!(soften(f32::NAN, 2.0), 0.0);
}

#[test]
fn weightless_trust_lowers_the_box_terms() {
    let device = Device::flex().autodiff();
    let student = CameraStudent::new(&config(), 3, &device).unwrap();
    let (images, mut targets) = rectangles(&device);
    let output = student.forward(images);
    let full = LossValues::new(&detection_loss(&output, &targets, &LossConfig::default()));
    targets.iter_mut().flatten().for_each(|target| target.weight = 0.5);
    let half = LossValues::new(&detection_loss(&output, &targets, &LossConfig::default()));
    for name in ["giou", "distribution"] {
        let (half, full) = (half.get(name).unwrap(), full.get(name).unwrap());
        assert!((half - full / 2.0).abs() < 1e-5, "{name}: {half} of {full}");
    }
}

/// Written by scripts/reference/losses.py.
const REFERENCE: &str = include_str!("../../../tests/fixtures/losses.json");

#[derive(Deserialize)]
struct Reference {
    detection: Batch,
}

#[derive(Deserialize)]
struct Batch {
    /// One a stride.
    class_logits: Vec<Map>,
    box_distributions: Vec<Map>,
    /// Of each image.
    targets: Vec<Vec<Target>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Map {
    shape: [usize; 4],
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Target {
    edges: [f32; 4],
    probabilities: Vec<f32>,
    weight: f32,
}

#[derive(Deserialize)]
struct Case {
    temperature: f32,
    losses: HashMap<String, f32>,
    /// Gradients of the weighted sum to each map.
    classes: Vec<Vec<f32>>,
    boxes: Vec<Vec<f32>>,
}

#[test]
fn the_whole_loss_agrees_with_the_reference() {
    let Reference { detection: batch } = serde_json::from_str(REFERENCE).unwrap();
    let target = |Target { edges: [x_min, y_min, x_max, y_max], probabilities, weight }: &Target| TargetBox {
        bbox: Box2::new(*x_min, *y_min, *x_max, *y_max),
        probabilities: probabilities.clone(),
        weight: *weight,
    };
    let targets: Vec<Vec<TargetBox>> =
        batch.targets.iter().map(|targets| targets.iter().map(target).collect()).collect();
    let leaves = |maps: &[Map]| -> Vec<Tensor<4>> {
        maps.iter().map(|map| tensor(&map.values, map.shape).require_grad()).collect()
    };
    assert_eq!(batch.cases.len(), 2);
    for case in &batch.cases {
        let output = StudentOutput {
            class_logits: leaves(&batch.class_logits),
            box_distributions: leaves(&batch.box_distributions),
        };
        let config = LossConfig { temperature: case.temperature, ..LossConfig::default() };
        let terms = detection_loss(&output, &targets, &config);
        let name = format!("temperature {}", case.temperature);
        for term in &terms {
            assert_close(&format!("{name}, {}", term.name), term.value.clone(), &[case.losses[&term.name]]);
        }
        let gradients = NamedTerm::sum(&terms).unwrap().backward();
        for (maps, expected) in [(&output.class_logits, &case.classes), (&output.box_distributions, &case.boxes)] {
            assert_eq!(maps.len(), expected.len());
            for (map, expected) in maps.iter().zip(expected) {
                // The distances of a map whose cells have no box are not asked for.
                let gradient = map.grad(&gradients).unwrap_or_else(|| map.zeros_like());
                assert_close(&format!("{name}, gradient of {:?}", map.dims()), gradient, expected);
            }
        }
    }
}
