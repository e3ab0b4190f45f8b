//! Losses by which a student learns from soft boxes, and from what its teacher computes on the way to them.
//!
//! # Soft boxes
//!
//! Each cell of the output maps is assigned to at most one box ([`assign`]); then three named terms are summed:
//!
//! | term | of | after |
//! |---|---|---|
//! | class | every cell and class: teacher's softened probability x alignment, 0 for the background | quality focal loss (Li et al. 2020), temperature (Hinton et al. 2015) |
//! | giou | assigned cells | generalised IoU (Rezatofighi et al. 2019) |
//! | distribution | the four distances of assigned cells | distribution focal loss (Li et al. 2020) |
//!
//! The box terms are weighted by the cell's target score and by the trust in the box; all terms are divided by the sum of the
//! target scores in the batch, as in TOOD (Feng et al. 2021).
//!
//! # Outputs, features and relations
//!
//! Plain functions of a student's and a teacher's tensors. Each returns one number, not yet weighted, is finite for zeros as
//! well, and sends gradients to the student only.
//!
//! | of | functions |
//! |---|---|
//! | raw outputs | [`softened_divergence`], [`binary_divergence`], [`localization_divergence`] |
//! | feature maps | [`hint`], [`attention_transfer`], [`channel_wise`], [`focal_guided`], [`patient`], [`cosine`] |
//! | relations between images ([`image_embeddings`]) or boxes ([`box_embeddings`]) | [`relation_distance`], [`relation_angle`], [`similarity_preserving`] |
//! | two maps of one network | [`flow()`] |

mod assign;
mod cells;
mod detection;
mod embedding;
mod feature;
mod flow;
mod named;
#[cfg(test)]
pub(in crate::distill) mod reference;
mod relation;
mod response;
mod term;
mod terms;
mod vectors;

use serde::{Deserialize, Serialize};

pub use assign::{Assigned, Predictions, assign};
pub use cells::Cells;
pub(in crate::distill) use cells::in_one_column;
pub use detection::detection_loss;
pub use embedding::{box_embeddings, image_embeddings};
pub use feature::{FocalWeights, attention_transfer, channel_wise, cosine, focal_guided, hint, patient};
pub use flow::flow;
pub use named::{LossValues, NamedTerm, TermValue};
pub use relation::{relation_angle, relation_distance, similarity_preserving};
pub use response::{binary_divergence, localization_divergence, softened_divergence};
pub use term::{
    HintRequest, Lesson, MisfitError, Pair, Relating, Strategy, TermConfig, TermKind, TermPlan, WeightSchedule,
};
pub use terms::{distribution_focal, generalized_iou_loss, quality_focal, smooth_l1};

use crate::geometry::Box2;

/// What one object of one image teaches, in pixels of the student's INPUT (after letterboxing and augmentation).
#[derive(Debug, Clone, PartialEq)]
pub struct TargetBox {
    /// Where.
    pub bbox: Box2,
    /// The teacher's probability of each of the student's classes, in `[0, 1]`; a hard label is a one-hot vector.
    pub probabilities: Vec<f32>,
    /// Trust in this box, usually teacher trust x agreement, in `[0, 1]`.
    pub weight: f32,
}

impl TargetBox {
    /// A whole image of this width and height, in pixels of the student's input, of which nothing is known: no weight, so that it teaches
    /// none of the so many classes, not even background.
    pub fn unknown((width, height): (f32, f32), classes: usize) -> Self {
        Self { bbox: Box2::new(0.0, 0.0, width, height), probabilities: vec![0.0; classes], weight: 0.0 }
    }

    /// The most probable class and its probability; none without classes. What is no number counts as most probable.
    pub fn best(&self) -> Option<(usize, f32)> {
        self.probabilities.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// How much there is to learn from the box: the probability of its best class x the trust in it. 0 where either is no finite
    /// number.
    pub fn credit(&self) -> f32 {
        let (_, probability) = self.best().unwrap_or_default();
        let credit = probability * self.weight.clamp(0.0, 1.0);
        if self.weight.is_finite() && credit.is_finite() { credit.max(0.0) } else { 0.0 }
    }
}

/// How sure a pseudo-label is taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// As sure as the teachers are (Hinton et al. 2015).
    #[default]
    Soft,
    /// Boxes of at least [`LossConfig::hard_threshold`] with probability 1 for their best class, none else.
    Hard,
}

/// Weights and shape of the losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Weight of the class term.
    pub class: f32,
    /// Weight of the generalised IoU term.
    pub giou: f32,
    /// Weight of the distribution term.
    pub distribution: f32,
    /// Softens teacher and student alike: probabilities become `sigmoid(logit(p) / T)`, the student's logits are divided by T
    /// and the class term is multiplied by T squared, so that its gradient keeps its size (Hinton et al. 2015).
    pub temperature: f32,
    /// Exponent of quality focal loss: how much well predicted cells are spared.
    pub focus: f32,
    /// Exponent of the predicted score in the alignment `score^a * iou^b` that assigns cells to boxes.
    pub alignment_score: f32,
    /// Exponent of the predicted box's IoU in that alignment.
    pub alignment_iou: f32,
    /// At most this many cells are assigned to a box.
    pub cells_per_box: usize,
    /// Whether target scores are multiplied by the IoU that the box's best cell reaches, so that scores rank by localisation
    /// as well; without, the best cell's target is the teacher's probability itself.
    pub localization_quality: bool,
    /// Whether the teachers' boxes are soft targets or hard pseudo-labels.
    pub labels: LabelKind,
    /// Lowest score of a hard pseudo-label.
    pub hard_threshold: f32,
    /// Weight of the same terms with the recordings' own truth as hard labels, beside the teachers' targets; where a recording has
    /// no truth this counts nothing. 0, the default, does without.
    pub truth: f32,
    /// When the terms on boxes count, those with the truth as well (`class`, `giou`, `distribution` and their like of `truth_`): all of the
    /// time, unless a first stage is for features alone.
    pub schedule: WeightSchedule,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            class: 1.0,
            giou: 2.0,
            distribution: 0.5,
            temperature: 1.0,
            focus: 2.0,
            alignment_score: 1.0,
            alignment_iou: 6.0,
            cells_per_box: 10,
            localization_quality: true,
            labels: LabelKind::default(),
            hard_threshold: 0.4,
            truth: 0.0,
            schedule: WeightSchedule::default(),
        }
    }
}

/// A loss configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("losses.{field}: {value} is not {expected}")]
pub struct LossConfigError {
    /// The field's name in the YAML.
    pub field: &'static str,
    /// What was given.
    pub value: f32,
    /// What would do.
    pub expected: &'static str,
}

impl LossConfig {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// Names the first field out of its range.
    pub fn check(&self) -> Result<(), LossConfigError> {
        if self.labels == LabelKind::Hard && self.temperature != 1.0 {
            let expected = "1, for hard labels are not softened";
            return Err(LossConfigError { field: "temperature", value: self.temperature, expected });
        }
        let not_negative = [
            ("class", self.class),
            ("giou", self.giou),
            ("distribution", self.distribution),
            ("focus", self.focus),
            ("alignment_score", self.alignment_score),
            ("alignment_iou", self.alignment_iou),
            ("truth", self.truth),
        ];
        for (field, value) in not_negative {
            if !value.is_finite() || value < 0.0 {
                return Err(LossConfigError { field, value, expected: "a finite number of at least 0" });
            }
        }
        if !(0.1..=100.0).contains(&self.temperature) {
            let expected = "a temperature between 0.1 and 100";
            return Err(LossConfigError { field: "temperature", value: self.temperature, expected });
        }
        if !(0.0..=1.0).contains(&self.hard_threshold) {
            let expected = "a score between 0 and 1";
            return Err(LossConfigError { field: "hard_threshold", value: self.hard_threshold, expected });
        }
        if self.schedule.complaint().is_some() {
            let expected = "the start of a part of the training (start, end and ramp are shares of it, start < end)";
            return Err(LossConfigError { field: "schedule", value: self.schedule.start as f32, expected });
        }
        if self.cells_per_box == 0 {
            return Err(LossConfigError { field: "cells_per_box", value: 0.0, expected: "at least 1" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_out_of_their_range_are_named() {
        let default = LossConfig::default;
        assert_eq!(default().check(), Ok(()));
        let edges =
            LossConfig { class: 0.0, truth: 0.0, temperature: 0.1, hard_threshold: 1.0, cells_per_box: 1, ..default() };
        assert_eq!(edges.check(), Ok(()));
        let late = WeightSchedule { start: 1.0, ..WeightSchedule::default() };
        for (field, config) in [
            ("class", LossConfig { class: -0.5, ..default() }),
            ("giou", LossConfig { giou: f32::NAN, ..default() }),
            ("distribution", LossConfig { distribution: f32::INFINITY, ..default() }),
            ("focus", LossConfig { focus: -1.0, ..default() }),
            ("alignment_score", LossConfig { alignment_score: -1.0, ..default() }),
            ("alignment_iou", LossConfig { alignment_iou: -1.0, ..default() }),
            ("truth", LossConfig { truth: -0.1, ..default() }),
            ("temperature", LossConfig { temperature: 0.05, ..default() }),
            ("temperature", LossConfig { temperature: 101.0, ..default() }),
            ("temperature", LossConfig { temperature: 2.0, labels: LabelKind::Hard, ..default() }),
            ("hard_threshold", LossConfig { hard_threshold: 1.01, ..default() }),
            ("hard_threshold", LossConfig { hard_threshold: -0.01, ..default() }),
            ("schedule", LossConfig { schedule: late, ..default() }),
            ("cells_per_box", LossConfig { cells_per_box: 0, ..default() }),
        ] {
            let error = config.check().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.to_string().starts_with(&format!("losses.{field}: ")), "{error}");
        }
        let hard = LossConfig { labels: LabelKind::Hard, hard_threshold: 0.0, ..default() };
        assert_eq!(hard.check(), Ok(()));
    }

    #[test]
    fn a_box_is_worth_its_best_class_and_the_trust_in_it() {
        let target = |probabilities: &[f32], weight| {
            let bbox = Box2::new(0.0, 0.0, 8.0, 8.0);
            TargetBox { bbox, probabilities: probabilities.to_vec(), weight }
        };
        let sure = target(&[0.25, 0.75, 0.5], 0.5);
        assert_eq!((sure.best(), sure.credit()), (Some((1, 0.75)), 0.375));
        assert_eq!(target(&[0.75], 3.0).credit(), 0.75);
        assert_eq!((target(&[], 1.0).best(), target(&[], 1.0).credit()), (None, 0.0));
        for (probability, weight) in [(0.5, 0.0), (0.5, -1.0), (0.5, f32::NAN), (0.5, f32::INFINITY), (f32::NAN, 1.0)] {
            assert_eq!(target(&[0.25, probability], weight).credit(), 0.0, "{probability}, {weight}");
        }
        assert_eq!(TargetBox::unknown((96.0, 64.0), 2).credit(), 0.0);
    }
}
