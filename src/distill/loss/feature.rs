//! Distillation of a teacher's feature maps.
//!
//! Maps are `[batch, channels, H, W]` and, unless said otherwise, of equal shape on both sides; whoever calls brings them there
//! (adapters, resizing). Each function returns `[1]`. The teacher is a constant; gradients flow to the student only.

use burn::tensor::{Tensor, activation::softmax};
use serde::{Deserialize, Serialize};

use super::{response::softened_divergence, vectors::directions};

/// Half the mean squared error ("FitNets: Hints for Thin Deep Nets", Romero et al. 2015).
pub fn hint(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    (student - teacher.detach()).square().mean() / 2.0
}

/// Mean squared difference of attention maps: squares summed over channels, then brought to length 1 in each image ("Paying
/// More Attention to Attention", Zagoruyko and Komodakis 2017). The channels may be of different number.
pub fn attention_transfer(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    let map = |features: Tensor<4>| {
        let [images, _, height, width] = features.dims();
        directions(features.square().sum_dim(1).reshape([images, height * width]), 1)
    };
    (map(student) - map(teacher.detach())).square().mean()
}

/// Channel-wise distillation: each channel is a distribution over the cells, softened by the temperature; the mean over
/// channels and images of the divergences, times the temperature squared ("Channel-wise Knowledge Distillation for Dense
/// Prediction", Shu et al. 2021).
pub fn channel_wise(student: Tensor<4>, teacher: Tensor<4>, temperature: f32) -> Tensor<1> {
    let [images, channels, height, width] = student.dims();
    let rows = |features: Tensor<4>| features.reshape([images * channels, height * width]);
    softened_divergence(rows(student), rows(teacher), temperature)
}

/// Weights of the terms of [`focal_guided`].
///
/// The defaults are those of the authors for sums over the 256 channels and all cells of a feature pyramid's map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FocalWeights {
    /// Of the foreground's differences (alpha in the paper).
    pub foreground: f32,
    /// Of the background's differences (beta).
    pub background: f32,
    /// Of the differences between the attentions (gamma).
    pub attention: f32,
}

impl Default for FocalWeights {
    fn default() -> Self {
        Self { foreground: 1e-3, background: 5e-4, attention: 1e-3 }
    }
}

/// Focal distillation: squared differences, weighted by where and in which channels the teacher's attention lies, apart for
/// foreground and background, and the absolute differences between the student's and the teacher's attention ("Focal and
/// Global Knowledge Distillation for Detectors", Yang et al. 2022). The paper's global term, a relation between pixels learnt
/// by blocks of its own (GcBlock), is left out.
///
/// `foreground` and `background` are weights of the cells, `[batch, 1, H, W]`. In the paper a cell of the foreground weighs
/// one over the number of its smallest box's cells, one of the background one over the number of the image's background cells.
/// The temperature sharpens (below 1) or levels the attention; the paper's is 0.5. Sums over channels and cells are divided by
/// the number of images.
pub fn focal_guided(
    student: Tensor<4>,
    teacher: Tensor<4>,
    foreground: Tensor<4>,
    background: Tensor<4>,
    weights: FocalWeights,
    temperature: f32,
) -> Tensor<1> {
    let images = student.dims()[0];
    let teacher = teacher.detach();
    let (student_spatial, student_channel) = attention(student.clone(), temperature);
    let (spatial, channel) = attention(teacher.clone(), temperature);
    let cells = foreground.detach() * weights.foreground + background.detach() * weights.background;
    let squares = ((student - teacher).square() * channel.clone()).sum_dim(1);
    let features = (squares * spatial.clone() * cells).sum();
    let imitation = (student_spatial - spatial).abs().sum() + (student_channel - channel).abs().sum();
    (features + imitation * weights.attention) / images as f32
}

/// Attention to places `[batch, 1, H, W]` and to channels `[batch, channels, 1, 1]`: softmax of the mean absolute values,
/// each with mean 1.
fn attention(features: Tensor<4>, temperature: f32) -> (Tensor<4>, Tensor<4>) {
    let [images, channels, height, width] = features.dims();
    let cells = height * width;
    let magnitudes = features.abs().reshape([images, channels, cells]);
    let spatial = magnitudes.clone().mean_dim(1).reshape([images, cells]) / temperature;
    let channel = magnitudes.mean_dim(2).reshape([images, channels]) / temperature;
    (
        softmax(spatial, 1).reshape([images, 1, height, width]) * cells as f32,
        softmax(channel, 1).reshape([images, channels, 1, 1]) * channels as f32,
    )
}

/// Mean over cells of the squared distance between the channel vectors, both of length 1 ("Patient Knowledge Distillation for
/// BERT Model Compression", Sun et al. 2019, whose layers' vectors are those of the cells here). Twice [`cosine`], save for
/// vectors of length 0, which are 0 apart.
pub fn patient(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    let difference = directions(student, 1) - directions(teacher.detach(), 1);
    difference.square().sum_dim(1).mean()
}

/// Mean over cells of 1 minus the cosine between the channel vectors ("DistilBERT", Sanh et al. 2019). A vector of length 0 is
/// orthogonal to every other.
pub fn cosine(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    let cosines = (directions(student, 1) * directions(teacher.detach(), 1)).sum_dim(1);
    cosines.mean().neg() + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{check_cases, check_properties, device, values, waves};

    type Loss = fn(Tensor<4>, Tensor<4>) -> Tensor<1>;

    #[test]
    fn feature_losses_agree_with_the_reference() {
        check_cases("hint", |_, student, teacher| hint(student, teacher));
        check_cases("attention_transfer", |_, student, teacher| attention_transfer(student, teacher));
        check_cases("channel_wise", |case, student, teacher| {
            channel_wise(student, teacher, case.setting("temperature"))
        });
        check_cases("focal_guided", |case, student, teacher| {
            let weights = FocalWeights {
                foreground: case.setting("alpha"),
                background: case.setting("beta"),
                attention: case.setting("gamma"),
            };
            let (foreground, background) = (case.input("foreground").unwrap(), case.input("background").unwrap());
            focal_guided(student, teacher, foreground, background, weights, case.setting("temperature"))
        });
        check_cases("patient", |_, student, teacher| patient(student, teacher));
        check_cases("cosine", |_, student, teacher| cosine(student, teacher));
    }

    #[test]
    fn equal_features_cost_nothing_and_zeros_stay_finite() {
        let shape = [2, 3, 4, 5];
        check_properties("hint", shape, hint);
        check_properties("attention_transfer", shape, attention_transfer);
        check_properties("channel_wise", shape, |student, teacher| channel_wise(student, teacher, 2.0));
        check_properties("focal_guided", shape, |student, teacher| {
            let cells = || Tensor::<4>::ones([2, 1, 4, 5], &device());
            focal_guided(student, teacher, cells(), cells(), FocalWeights::default(), 0.5)
        });
        check_properties("patient", shape, patient);
        check_properties("cosine", shape, cosine);
    }

    #[test]
    fn directions_alone_count_for_patient_and_cosine() {
        let (student, teacher) = (waves([2, 3, 4, 5], 0.0), waves([2, 3, 4, 5], 1.0));
        let losses: [(&str, Loss); 2] = [("patient", patient), ("cosine", cosine)];
        let [patient, cosine] = losses.map(|(name, loss)| {
            let once = values(loss(student.clone(), teacher.clone()))[0];
            let scaled = values(loss(student.clone() * 7.0, teacher.clone() * 0.5))[0];
            assert!(once > 0.1 && (once - scaled).abs() < 1e-5, "{name}: {once} became {scaled}");
            once
        });
        assert!((patient - 2.0 * cosine).abs() < 1e-5, "{patient} is not twice {cosine}");
    }
}
