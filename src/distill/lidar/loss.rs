//! What a lidar student is to minimise: named terms over the cells of range images.
//!
//! | term | of | after |
//! |---|---|---|
//! | class | every cell of which something is known, and every class | focal loss (Lin et al. 2017), for soft targets quality focal loss (Li et al. 2020) |
//! | vote | cells of objects: the way to the centre, in metres | smooth L1 (Girshick 2015); votes as in DROW (Beyer et al. 2016) |
//! | size, yaw | cells of objects whose size or yaw is known | smooth L1 of logarithms, and of sine and cosine of twice the yaw |
//!
//! With `w` the cell's weight, `y` its target probability and `p` the student's,
//!
//! ```text
//! class = sum w a |y - p|^focus BCE(p, y) / max(1, sum w y),   a = balance y + (1 - balance) (1 - y)
//! vote  = sum w mean_3 smooth_l1(v - v*)  / max(1, sum w)
//! ```
//!
//! For labels of 0 and 1 the class term is the focal loss of its paper with `alpha = balance` and `gamma = focus`. It is divided by
//! the weight of the objects' points, as there, so that walls, which are most of a sweep, do not decide the size of a step.

use burn::tensor::{Tensor, TensorData};

use super::{
    batch::CellTargets,
    config::LidarLossConfig,
    student::{BOX_CHANNELS, LidarStudentOutput, VOTE_CHANNELS},
};
use crate::distill::loss::{NamedTerm, quality_focal, smooth_l1};

/// Channels of `boxes` that hold the size; the yaw's follow.
const SIZE_CHANNELS: usize = 3;

/// The terms `class`, `vote`, `size` and `yaw` of a batch. Without any point of an object all but the first are 0.
///
/// # Panics
/// When `targets` are not those of as many cells and classes; that is a mistake of the caller's code.
pub fn lidar_loss(output: &LidarStudentOutput, targets: &CellTargets, config: &LidarLossConfig) -> Vec<NamedTerm> {
    let [batch, classes, rows, columns] = output.class_logits.dims();
    let device = output.class_logits.device();
    let map = |values: &[f32], channels: usize| {
        let data = TensorData::new(values.to_vec(), [batch, channels, rows, columns]);
        Tensor::<4>::from_data(data, &device)
    };
    let sum = |weights: &[f32]| weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() as f32;

    let probabilities = map(&targets.probabilities, classes);
    let flat = |map: Tensor<4>| map.reshape([batch * classes * rows * columns, 1]);
    let focal = quality_focal(flat(output.class_logits.clone()), flat(probabilities.clone()), config.focus)
        .reshape([batch, classes, rows, columns]);
    let balance = probabilities * (2.0 * config.balance - 1.0) + (1.0 - config.balance);
    let known = known_objects(targets, classes, batch);
    let class = (focal * balance * map(&targets.class_weights, 1)).sum() / known.max(1.0);

    let regression = |found: Tensor<4>, truth: Tensor<4>, weights: &[f32]| {
        let [_, channels, ..] = found.dims();
        let errors = smooth_l1(found - truth, config.smooth);
        (errors * map(weights, 1)).sum() / (sum(weights).max(1.0) * channels as f32)
    };
    let vote = regression(output.votes.clone(), map(&targets.votes, VOTE_CHANNELS), &targets.vote_weights);
    let boxes = map(&targets.boxes, BOX_CHANNELS);
    let part = |first: usize, channels: usize, weights: &[f32]| {
        let found = output.boxes.clone().narrow(1, first, channels);
        regression(found, boxes.clone().narrow(1, first, channels), weights)
    };
    let size = part(0, SIZE_CHANNELS, &targets.size_weights);
    let yaw = part(SIZE_CHANNELS, BOX_CHANNELS - SIZE_CHANNELS, &targets.yaw_weights);
    let term = |name: &str, weight, value, normalizer| NamedTerm { name: name.into(), weight, value, normalizer };
    vec![
        term("class", config.class, class, known),
        term("vote", config.vote, vote, sum(&targets.vote_weights)),
        term("size", config.boxes, size, sum(&targets.size_weights)),
        term("yaw", config.boxes, yaw, sum(&targets.yaw_weights)),
    ]
}

/// Weight of the points that are of objects, each as far as it is.
fn known_objects(targets: &CellTargets, classes: usize, batch: usize) -> f32 {
    let cells = (targets.class_weights.len() / batch.max(1)).max(1);
    let images = targets.probabilities.chunks(classes * cells).zip(targets.class_weights.chunks(cells));
    let weight = |(probabilities, weights): (&[f32], &[f32])| -> f64 {
        let probability = |cell: usize| (0..classes).map(|class| probabilities[class * cells + cell]).sum::<f32>();
        weights.iter().enumerate().map(|(cell, weight)| f64::from(weight * probability(cell))).sum()
    };
    images.map(weight).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::distill::loss::reference::{assert_close, assert_finite, tensor, values};

    /// Written by scripts/reference/lidar_loss.py.
    const REFERENCE: &str = include_str!("../../../tests/fixtures/lidar_loss.json");

    #[derive(Deserialize)]
    struct Case {
        /// Images, classes, rows, columns.
        shape: [usize; 4],
        focus: f32,
        balance: f32,
        smooth: f32,
        class_logits: Vec<f32>,
        votes: Vec<f32>,
        boxes: Vec<f32>,
        targets: Targets,
        /// Of class, vote, size and yaw.
        losses: [f32; 4],
        gradients: Gradients,
    }

    #[derive(Deserialize)]
    struct Targets {
        probabilities: Vec<f32>,
        class_weights: Vec<f32>,
        votes: Vec<f32>,
        vote_weights: Vec<f32>,
        boxes: Vec<f32>,
        size_weights: Vec<f32>,
        yaw_weights: Vec<f32>,
    }

    /// Of the sum of all terms.
    #[derive(Deserialize)]
    struct Gradients {
        class_logits: Vec<f32>,
        votes: Vec<f32>,
        boxes: Vec<f32>,
    }

    fn config(focus: f32, balance: f32, smooth: f32) -> LidarLossConfig {
        LidarLossConfig { focus, balance, boxes: 1.0, smooth, ..LidarLossConfig::default() }
    }

    #[test]
    fn terms_and_gradients_agree_with_the_reference() {
        let cases: Vec<Case> = serde_json::from_str(REFERENCE).unwrap();
        assert!(cases.len() >= 3);
        for (index, case) in cases.into_iter().enumerate() {
            let [batch, classes, rows, columns] = case.shape;
            let map = |values: &[f32], channels| tensor(values, [batch, channels, rows, columns]).require_grad();
            let output = LidarStudentOutput {
                class_logits: map(&case.class_logits, classes),
                votes: map(&case.votes, 3),
                boxes: map(&case.boxes, 5),
            };
            let Targets { probabilities, class_weights, votes, vote_weights, boxes, size_weights, yaw_weights } =
                case.targets;
            let targets =
                CellTargets { probabilities, class_weights, votes, vote_weights, boxes, size_weights, yaw_weights };
            let terms = lidar_loss(&output, &targets, &config(case.focus, case.balance, case.smooth));
            let names: Vec<&str> = terms.iter().map(|term| term.name.as_str()).collect();
            assert_eq!(names, ["class", "vote", "size", "yaw"]);
            for (term, expected) in terms.iter().zip(case.losses) {
                assert_close(&format!("case {index}: {}", term.name), term.value.clone(), &[expected]);
            }
            let gradients = NamedTerm::sum(&terms).unwrap().backward();
            for (name, input, expected) in [
                ("class_logits", &output.class_logits, &case.gradients.class_logits),
                ("votes", &output.votes, &case.gradients.votes),
                ("boxes", &output.boxes, &case.gradients.boxes),
            ] {
                assert_close(&format!("case {index}: gradient of {name}"), input.grad(&gradients).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_sweep_without_objects_or_labels_costs_no_votes_and_stays_finite() {
        let shape = [1, 1, 1, 4];
        let logits = tensor(&[-200.0, 200.0, 0.0, 1.0], shape).require_grad();
        let output = LidarStudentOutput {
            class_logits: logits.clone(),
            votes: tensor(&[1.0; 12], [1, 3, 1, 4]),
            boxes: tensor(&[1.0; 20], [1, 5, 1, 4]),
        };
        for known in [0.0, 1.0] {
            let targets = CellTargets {
                probabilities: vec![0.0; 4],
                class_weights: vec![known; 4],
                votes: vec![0.0; 12],
                vote_weights: vec![0.0; 4],
                boxes: vec![0.0; 20],
                size_weights: vec![0.0; 4],
                yaw_weights: vec![0.0; 4],
            };
            let terms = lidar_loss(&output, &targets, &LidarLossConfig::default());
            assert_finite("class", &logits, terms[0].value.clone());
            assert!(values(terms[0].value.clone())[0] > 0.0 || known == 0.0);
            assert!(terms[1..].iter().all(|term| values(term.value.clone()) == [0.0]));
        }
    }
}
