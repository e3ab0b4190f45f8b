//! The single terms, each a plain function of tensors that is differentiated by burn.

use burn::tensor::{Tensor, activation, activation::log_sigmoid};

/// Quality focal loss `|y - sigmoid(z)|^focus * BCE(z, y)` of each logit `z` with its target score `y` in `[0, 1]`, not yet
/// summed (Generalized Focal Loss, Li et al. 2020, equation 5). Both `[N, C]`.
pub fn quality_focal(logits: Tensor<2>, targets: Tensor<2>, focus: f32) -> Tensor<2> {
    let entropy = cross_entropy(logits.clone(), targets.clone());
    if focus == 0.0 {
        return entropy;
    }
    let error = activation::sigmoid(logits) - targets;
    let modulation = if focus == 2.0 { error.clone() * error } else { error.abs().clamp_min(1e-6).powf_scalar(focus) };
    modulation * entropy
}

/// Binary cross entropy `BCE(z, y) = -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z))` of each logit `z` with its target probability `y` in
/// `[0, 1]`, not yet summed; all of one shape.
pub(super) fn cross_entropy<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    // log(1 - sigmoid(z)) is log_sigmoid(-z), which stays finite where 1 - sigmoid(z) is rounded to 0.
    (targets.clone() * log_sigmoid(logits.clone()) + (targets.neg() + 1.0) * log_sigmoid(logits.neg())).neg()
}

/// Distribution focal loss: cross entropy of each distance's distribution with the two bins around the true distance, split
/// linearly between them (Li et al. 2020, equation 6).
///
/// `logits` are `[M, bins]`, one row a distance; `targets` holds the M true distances in strides (limited to what the bins
/// can express). Returns `[M]`.
pub fn distribution_focal(logits: Tensor<2>, targets: &[f32]) -> Tensor<1> {
    let [rows, bins] = logits.dims();
    debug_assert_eq!(rows, targets.len());
    let mut two_hot = vec![0.0_f32; rows * bins];
    for (row, &distance) in targets.iter().enumerate() {
        let last = (bins - 1) as f32;
        let distance = if distance.is_finite() { distance.clamp(0.0, last) } else { 0.0 };
        let lower = (distance.floor() as usize).min(bins - 2);
        let share = distance - lower as f32;
        two_hot[row * bins + lower] = 1.0 - share;
        two_hot[row * bins + lower + 1] = share;
    }
    let two_hot = Tensor::<2>::from_data(burn::tensor::TensorData::new(two_hot, [rows, bins]), &logits.device());
    (two_hot * activation::log_softmax(logits, 1)).sum_dim(1).neg().reshape([rows])
}

/// `1 - GIoU` of predicted and true boxes, both `[M, 4]` as left, top, right and bottom edge; returns `[M]` in `[0, 2]`
/// ("Generalized Intersection over Union", Rezatofighi et al. 2019). Boxes may have no area, but not a negative one.
pub fn generalized_iou_loss(predicted: Tensor<2>, truth: Tensor<2>) -> Tensor<1> {
    const TINY: f32 = 1e-7;
    let [rows, _] = predicted.dims();
    let corners = |boxes: &Tensor<2>| (boxes.clone().narrow(1, 0, 2), boxes.clone().narrow(1, 2, 2));
    let area = |size: Tensor<2>| size.clone().narrow(1, 0, 1) * size.narrow(1, 1, 1);
    let (predicted_min, predicted_max) = corners(&predicted);
    let (truth_min, truth_max) = corners(&truth);
    let overlap = (predicted_max.clone().min_pair(truth_max.clone())
        - predicted_min.clone().max_pair(truth_min.clone()))
    .clamp_min(0.0);
    let hull = predicted_max.clone().max_pair(truth_max.clone()) - predicted_min.clone().min_pair(truth_min.clone());
    let intersection = area(overlap);
    let union = area(predicted_max - predicted_min) + area(truth_max - truth_min) - intersection.clone();
    let hull = area(hull).clamp_min(TINY);
    let iou = intersection / union.clone().clamp_min(TINY);
    let giou = iou - (hull.clone() - union) / hull;
    (giou.neg() + 1.0).reshape([rows])
}

/// Smooth L1 of errors of any shape, which it keeps, not yet summed: `e^2 / (2 beta)` up to `|e| = beta`, and from there on the straight
/// line `|e| - beta / 2` (Fast R-CNN, Girshick 2015, equation 3, where beta is 1). `beta`, in the errors' unit, is above 0.
pub fn smooth_l1<const D: usize>(errors: Tensor<D>, beta: f32) -> Tensor<D> {
    let errors = errors.abs();
    let bent = errors.clone().clamp_max(beta);
    bent.clone() * (errors - bent / 2.0) / beta
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::distill::loss::reference::{assert_close, assert_finite, check, tensor};

    /// Written by scripts/reference/losses.py.
    const REFERENCE: &str = include_str!("../../../tests/fixtures/losses.json");

    #[derive(Deserialize)]
    struct Reference {
        quality_focal: Vec<Focal>,
        distribution_focal: Distribution,
        generalized_iou: Overlap,
        smooth_l1: Vec<Smooth>,
    }

    #[derive(Deserialize)]
    struct Focal {
        focus: f32,
        logits: Vec<f32>,
        targets: Vec<f32>,
        loss: Vec<f32>,
        gradient: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Distribution {
        logits: Vec<f32>,
        targets: Vec<f32>,
        loss: Vec<f32>,
        gradient: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Overlap {
        predicted: Vec<f32>,
        truth: Vec<f32>,
        loss: Vec<f32>,
        gradient: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Smooth {
        beta: f32,
        errors: Vec<f32>,
        loss: Vec<f32>,
        gradient: Vec<f32>,
    }

    fn reference() -> Reference {
        serde_json::from_str(REFERENCE).unwrap()
    }

    fn table(values: &[f32], columns: usize) -> Tensor<2> {
        tensor(values, [values.len() / columns, columns])
    }

    #[test]
    fn quality_focal_agrees_with_the_reference() {
        for case in reference().quality_focal {
            let logits = table(&case.logits, 3).require_grad();
            let loss = quality_focal(logits.clone(), table(&case.targets, 3), case.focus);
            check(&format!("focus {}", case.focus), &logits, loss, &case.loss, &case.gradient);
        }
    }

    #[test]
    fn distribution_focal_agrees_with_the_reference() {
        let case = reference().distribution_focal;
        let logits = table(&case.logits, 8).require_grad();
        let loss = distribution_focal(logits.clone(), &case.targets);
        check("distribution", &logits, loss, &case.loss, &case.gradient);
    }

    #[test]
    fn generalized_iou_agrees_with_the_reference() {
        let case = reference().generalized_iou;
        let predicted = table(&case.predicted, 4).require_grad();
        let loss = generalized_iou_loss(predicted.clone(), table(&case.truth, 4));
        check("giou", &predicted, loss, &case.loss, &case.gradient);
    }

    #[test]
    fn smooth_l1_agrees_with_the_reference() {
        for case in reference().smooth_l1 {
            let errors = table(&case.errors, 1).require_grad();
            let loss = smooth_l1(errors.clone(), case.beta);
            check(&format!("beta {}", case.beta), &errors, loss, &case.loss, &case.gradient);
        }
    }

    #[test]
    fn large_errors_count_in_a_straight_line() {
        let errors = tensor(&[0.0, -0.5, 1.0, -3.0], [1, 2, 2]).require_grad();
        let gradients = smooth_l1(errors.clone(), 1.0).sum().backward();
        assert_close("loss", smooth_l1(errors.clone(), 1.0), &[0.0, 0.125, 0.5, 2.5]);
        let gradient = errors.grad(&gradients).unwrap();
        assert_close("small", gradient.clone().narrow(1, 0, 1), &[0.0, -0.5]);
        assert_close("large", gradient.narrow(1, 1, 1).narrow(2, 1, 1), &[-1.0]);
        assert_close("narrow", smooth_l1(errors, 0.25), &[0.0, 0.375, 0.875, 2.875]);
    }

    #[test]
    fn extremes_stay_finite() {
        let logits = table(&[-200.0, 200.0, 0.0, -200.0, 200.0, 0.0], 1).require_grad();
        let targets = table(&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], 1);
        for focus in [0.0, 1.0, 2.0] {
            let loss = quality_focal(logits.clone(), targets.clone(), focus);
            assert_finite(&format!("focus {focus}"), &logits, loss);
        }
        let empty = table(&[0.0, 0.0, 0.0, 0.0], 4).require_grad();
        let loss = generalized_iou_loss(empty.clone(), table(&[0.0, 0.0, 0.0, 0.0], 4));
        assert_finite("giou", &empty, loss);
    }
}
