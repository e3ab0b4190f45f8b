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
            LossConfig, TargetBox, detection_loss,
            reference::{device, values, waves},
        },
        student::{CameraStudent, Size, StudentConfig},
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

type Part = (Tensor<4>, Vec<Vec<TargetBox>>);

fn losses_and_gradients(student: &CameraStudent, ranges: &[Range<usize>]) -> (LossValues, Vec<Vec<f32>>) {
    let (images, boxes) = (waves([4, 3, 64, 96], 0.3), boxes());
    let part =
        |range: &Range<usize>| (images.clone().narrow(0, range.start, range.len()), boxes[range.clone()].to_vec());
    let parts: Vec<Part> = ranges.iter().map(part).collect();
    let shards = Shards::show(student, parts, |student: &CameraStudent, (images, boxes): Part| {
        Vec::from(detection_loss(&student.forward(images), &boxes, &LossConfig::default()))
    });
    let losses = shards.losses();
    let mut reader = GradientReader { gradients: shards.gradients(student).unwrap(), found: Vec::new() };
    student.visit(&mut reader);
    (losses, reader.found)
}

#[test]
fn without_statistics_of_the_batch_shards_give_its_losses_and_gradients() {
    let config = StudentConfig::new(Size::Micro, vec!["a".into(), "b".into()], 96, 64);
    let student = CameraStudent::new(&config, 5, &device()).unwrap().map(&mut StatisticsAtRest);
    let (whole, expected) = losses_and_gradients(&student, &shard_ranges(4, 1));
    for ranges in [shard_ranges(4, 2), vec![0..3, 3..4], vec![0..1, 1..2, 2..3, 3..4]] {
        let (losses, gradients) = losses_and_gradients(&student, &ranges);
        assert_eq!(losses.terms.len(), 3);
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
