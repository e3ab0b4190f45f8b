//! A batch in shards beside the same batch in one piece.

use burn::{
    module::{Flag, ModuleMapper, ModuleVisitor, Param},
    nn::{BatchNorm, BatchNormConfig},
    tensor::Tensor,
};

use super::*;
use crate::{
    distill::{
        loss::{
            Lesson, LossConfig, TargetBox, TermConfig, TermPlan, detection_loss,
            reference::{device, values, waves},
        },
        student::{Adapters, CameraStudent, Size, StudentConfig},
    },
    geometry::Box2,
};

#[test]
fn shards_are_even_and_none_is_a_single_image() {
    assert_eq!(shard_ranges(8, 2), [0..4, 4..8]);
    assert_eq!(shard_ranges(5, 2), [0..2, 2..5]);
    assert_eq!(shard_ranges(9, 100), [0..2, 2..4, 4..6, 6..9]);
    for images in 0..4 {
        assert_eq!(shard_ranges(images, 2).len(), 1, "{images}");
        assert_eq!(shard_ranges(images, 2)[0].end, images);
    }
    assert_eq!(shard_ranges(8, 1).len(), 1);
    let values: Vec<usize> = (0..10).collect();
    assert_eq!(cut(values.clone(), 5, &shard_ranges(5, 2)), [vec![0, 1, 2, 3], vec![4, 5, 6, 7, 8, 9]]);
    assert_eq!(cut(values.clone(), 2, &shard_ranges(2, 2)), [values]);
}

#[test]
fn batches_are_cut_on_the_cpu() {
    assert_eq!((shards_on(&device(), 3), shards_on(&Device::flex(), 3)), (3, 3));
}

/// Has BatchNorm take its running statistics in training, too, so that images do not depend on each other.
struct StatisticsAtRest;

impl ModuleMapper for StatisticsAtRest {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Reads gradients in the order of a module's parameters.
struct GradientReader {
    gradients: GradientsParams,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for GradientReader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.extend(self.gradients.remove::<D>(param.id).map(values));
    }
}

/// The boxes of four images, of which one shows none and the last the most.
fn boxes() -> Vec<Vec<TargetBox>> {
    let target = |[x_min, y_min, x_max, y_max]: [f32; 4], probability: f32| TargetBox {
        bbox: Box2::new(x_min, y_min, x_max, y_max),
        probabilities: vec![probability, 0.1],
        weight: 0.8,
    };
    vec![
        vec![target([8.0, 8.0, 40.0, 40.0], 0.9)],
        vec![],
        vec![target([30.0, 6.0, 70.0, 58.0], 0.7)],
        vec![
            target([4.0, 20.0, 36.0, 60.0], 0.95),
            target([50.0, 10.0, 66.0, 26.0], 0.5),
            target([60.0, 30.0, 92.0, 60.0], 0.8),
        ],
    ]
}

/// The terms of some images of the batch.
type Terms<'a> = &'a (dyn Fn(&CameraStudent, Tensor<4>, Range<usize>) -> Vec<NamedTerm> + Sync);

fn losses_and_gradients(
    student: &CameraStudent,
    terms: Terms<'_>,
    ranges: &[Range<usize>],
) -> (LossValues, Vec<Vec<f32>>) {
    let images = waves([4, 3, 64, 96], 0.3);
    let part = |range: &Range<usize>| (images.clone().narrow(0, range.start, range.len()), range.clone());
    let parts: Vec<(Tensor<4>, Range<usize>)> = ranges.iter().map(part).collect();
    let shards = Shards::show(student, parts, |student: &CameraStudent, (images, range): (Tensor<4>, Range<usize>)| {
        terms(student, images, range)
    });
    let losses = shards.losses();
    let mut reader = GradientReader { gradients: shards.gradients(student).unwrap(), found: Vec::new() };
    student.visit(&mut reader);
    (losses, reader.found)
}

/// Without statistics of the batch, shards must give its losses and gradients; gives the losses.
fn assert_shared(terms: Terms<'_>) -> LossValues {
    let config = StudentConfig::new(Size::Micro, vec!["a".into(), "b".into()], 96, 64);
    let student = CameraStudent::new(&config, 5, &device()).unwrap().map(&mut StatisticsAtRest);
    let (whole, expected) = losses_and_gradients(&student, terms, &shard_ranges(4, 1));
    for ranges in [shard_ranges(4, 2), vec![0..3, 3..4], vec![0..1, 1..2, 2..3, 3..4]] {
        let (losses, gradients) = losses_and_gradients(&student, terms, &ranges);
        assert_eq!(losses.terms.len(), whole.terms.len());
        for (found, expected) in losses.terms.iter().zip(&whole.terms) {
            let limit = 1e-5 * expected.value.abs().max(1.0);
            assert!((found.value - expected.value).abs() <= limit, "{ranges:?}: {found:?} is not {expected:?}");
        }
        assert_eq!(gradients.len(), expected.len());
        for (place, (found, expected)) in gradients.iter().zip(&expected).enumerate() {
            let scale = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5 * scale, "{ranges:?}, parameter {place}: {worst} at a scale of {scale}");
        }
    }
    whole
}

#[test]
fn losses_on_boxes_are_shared() {
    let whole = assert_shared(&|student: &CameraStudent, images: Tensor<4>, range: Range<usize>| {
        Vec::from(detection_loss(&student.forward(images), &boxes()[range], &LossConfig::default()))
    });
    assert_eq!(whole.terms.len(), 3);
}

#[test]
fn localization_on_several_maps_is_shared() {
    let pairs = "[{tensor: x, student: box_distribution_8}, {tensor: y, student: box_distribution_32}]";
    let term: TermConfig = serde_yaml::from_str(&format!("{{kind: localization, pairs: {pairs}}}")).unwrap();
    let config = StudentConfig::new(Size::Micro, vec!["a".into(), "b".into()], 96, 64);
    let plan = TermPlan::new(&[term], &["teacher".into()], &config);
    let whole = assert_shared(&|student: &CameraStudent, images: Tensor<4>, range: Range<usize>| {
        let (_, features) = student.forward_with_features(images, &plan.anchors());
        let of_range = |hint: Tensor<4>| hint.narrow(0, range.start, range.len());
        let hints = [waves([4, 32, 8, 12], 0.1), waves([4, 32, 2, 3], 0.7)].map(of_range);
        let (adapters, boxes) = (Adapters::new(&[], 1, &device()), boxes());
        let targets = &boxes[range.clone()];
        plan.evaluate(&Lesson { features: &features, hints: &hints, adapters: &adapters, targets, progress: 0.0 })
    });
    assert!(whole.get("localization") > Some(0.01), "{whole}");
}

#[test]
fn running_statistics_become_the_mean_of_the_shards() {
    let norm = BatchNormConfig::new(3).init(&device());
    let images = waves([4, 3, 2, 5], 0.0);
    let halves = vec![images.clone().narrow(0, 0, 2), images.narrow(0, 2, 2) * 3.0];
    let alone: Vec<[Vec<f32>; 2]> = halves
        .iter()
        .map(|half| {
            let norm = norm.valid().train();
            norm.forward(half.clone());
            [values(norm.running_mean.value_sync()), values(norm.running_var.value_sync())]
        })
        .collect();
    let shards = Shards::show(&norm, halves, |norm: &BatchNorm, images: Tensor<4>| {
        let normalizer = images.dims()[0] as f32;
        let value = norm.forward(images).square().mean();
        vec![NamedTerm { name: "square".into(), weight: 1.0, value, normalizer }]
    });
    assert_eq!(values(norm.running_var.value_sync()), [1.0; 3], "nothing is kept yet");
    let norm = shards.keep_statistics(norm).valid();
    for (place, found) in [norm.running_mean.value(), norm.running_var.value()].into_iter().enumerate() {
        let found = values(found);
        for (channel, found) in found.into_iter().enumerate() {
            let expected = (alone[0][place][channel] + alone[1][place][channel]) / 2.0;
            assert!((found - expected).abs() < 1e-6, "{place}, {channel}: {found} is not {expected}");
        }
    }
}
