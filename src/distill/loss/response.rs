//! Distillation of a teacher's raw outputs: divergences between softened distributions.
//!
//! Each divergence is multiplied by the temperature squared, so that its gradient keeps its size when the temperature changes
//! (Hinton et al. 2015). The teacher is a constant; gradients flow to the student only.

use burn::tensor::{
    Tensor,
    activation::{log_softmax, sigmoid},
};

use super::terms::cross_entropy;

/// Kullback-Leibler divergence of the student's class distributions from the teacher's, both softened by the temperature, the
/// mean over rows ("Distilling the Knowledge in a Neural Network", Hinton et al. 2015).
///
/// Both are logits `[rows, classes]` of a softmax. Returns `[1]`; 0 without rows.
pub fn softened_divergence(student: Tensor<2>, teacher: Tensor<2>, temperature: f32) -> Tensor<1> {
    let rows = student.dims()[0];
    if rows == 0 {
        return Tensor::zeros([1], &student.device());
    }
    divergence(student, teacher, 1, temperature).sum() / rows as f32
}

/// Kullback-Leibler divergence of the student's class scores from the teacher's where each class is a sigmoid of its own, both
/// softened by the temperature (Hinton et al. 2015, for Bernoulli distributions).
///
/// `student` and `teacher` are logits `[batch, classes, H, W]`, `weights` are those of the cells, `[batch, 1, H, W]`. Returns
/// the mean over classes and cells, `[1]`; the mean over cells is weighted, see [`localization_divergence`].
pub fn binary_divergence(
    student: Tensor<4>,
    teacher: Tensor<4>,
    weights: Option<Tensor<4>>,
    temperature: f32,
) -> Tensor<1> {
    let (student, teacher) = (student / temperature, teacher.detach() / temperature);
    let targets = sigmoid(teacher.clone());
    // The divergence is what the student's cross entropy is above the teacher's own entropy.
    let divergence = cross_entropy(student, targets.clone()) - cross_entropy(teacher, targets);
    let divergence = divergence * (temperature * temperature);
    match weights {
        Some(weights) => weighted_mean(divergence.mean_dim(1), weights),
        None => divergence.mean(),
    }
}

/// Localisation distillation: divergence of the student's distributions of the distances to a box's four sides from the
/// teacher's, both softened by the temperature, the mean over the sides ("Localization Distillation for Dense Object
/// Detection", Zheng et al. 2022).
///
/// `student` and `teacher` are logits `[batch, 4 * bins, H, W]`, `bins` for each side; `weights` are those of the cells,
/// `[batch, 1, H, W]`. Returns the weighted sum over cells divided by the sum of the weights, `[1]`. A sum below 1 counts as
/// 1, so that few cells without much weight are not made important.
pub fn localization_divergence(
    student: Tensor<4>,
    teacher: Tensor<4>,
    weights: Tensor<4>,
    bins: usize,
    temperature: f32,
) -> Tensor<1> {
    let [images, channels, height, width] = student.dims();
    debug_assert_eq!(channels, 4 * bins);
    let sides = |logits: Tensor<4>| logits.reshape([images, 4, bins, height * width]);
    let divergence = divergence(sides(student), sides(teacher), 2, temperature);
    weighted_mean(divergence.mean_dim(1).reshape([images, 1, height, width]), weights)
}

/// KL(teacher || student) of softmax distributions along dimension `dim`, which becomes 1, times the temperature squared.
fn divergence<const D: usize>(student: Tensor<D>, teacher: Tensor<D>, dim: usize, temperature: f32) -> Tensor<D> {
    let student = log_softmax(student / temperature, dim);
    let teacher = log_softmax(teacher.detach() / temperature, dim);
    (teacher.clone().exp() * (teacher - student)).sum_dim(dim) * (temperature * temperature)
}

/// Weighted mean of cells, both `[batch, 1, H, W]`; weights that sum up to less than 1 do so with nothing in the other cells.
fn weighted_mean(values: Tensor<4>, weights: Tensor<4>) -> Tensor<1> {
    let weights = weights.detach();
    (values * weights.clone()).sum() / weights.sum().clamp_min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{assert_finite, check_cases, check_properties, device, tensor};

    #[test]
    fn divergences_agree_with_the_reference() {
        check_cases("softened_divergence", |case, student, teacher| {
            softened_divergence(student, teacher, case.setting("temperature"))
        });
        check_cases("binary_divergence", |case, student, teacher| {
            binary_divergence(student, teacher, case.input("weights"), case.setting("temperature"))
        });
        check_cases("localization_divergence", |case, student, teacher| {
            let weights = case.input("weights").unwrap();
            let bins = case.setting("bins") as usize;
            localization_divergence(student, teacher, weights, bins, case.setting("temperature"))
        });
    }

    #[test]
    fn equal_outputs_cost_nothing_and_zeros_stay_finite() {
        check_properties("softened", [4, 5], |student, teacher| softened_divergence(student, teacher, 2.0));
        check_properties("binary", [2, 3, 4, 5], |student, teacher| binary_divergence(student, teacher, None, 2.0));
        check_properties("weighted binary", [2, 3, 4, 5], |student, teacher| {
            binary_divergence(student, teacher, Some(Tensor::ones([2, 1, 4, 5], &device())), 2.0)
        });
        check_properties("localization", [2, 12, 4, 5], |student, teacher| {
            localization_divergence(student, teacher, Tensor::ones([2, 1, 4, 5], &device()), 3, 2.0)
        });
    }

    #[test]
    fn extremes_stay_finite() {
        let logits = [-200.0, 200.0, 0.0, 200.0];
        for teacher in [[200.0, -200.0, 200.0, 200.0], [0.0, -200.0, -200.0, 0.0]] {
            let student = tensor(&logits, [1, 4, 1, 1]).require_grad();
            let loss = binary_divergence(student.clone(), tensor(&teacher, [1, 4, 1, 1]), None, 1.0);
            assert_finite("binary", &student, loss);
            let student = tensor(&logits, [1, 4]).require_grad();
            let loss = softened_divergence(student.clone(), tensor(&teacher, [1, 4]), 0.5);
            assert_finite("softened", &student, loss);
        }
        let nothing = || Tensor::<2>::zeros([0, 3], &device());
        assert_eq!(softened_divergence(nothing(), nothing(), 1.0).into_scalar::<f32>(), 0.0);
    }
}
