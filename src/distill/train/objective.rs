//! What a student is to minimise on a batch, or on some of its images.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    loader::{Batch, Hint},
    retain::Rehearsal,
    shard::{cut, shard_ranges},
    step::Learner,
};
use crate::distill::{
    loss::{Lesson, LossConfig, NamedTerm, TermPlan, detection_loss},
    student::Rounding,
};

/// Some images of a batch.
pub(super) struct Part {
    /// Their places in the batch.
    range: Range<usize>,
    /// `[images, 3, H, W]`.
    images: Vec<f32>,
    /// What the teachers' insides say of them.
    hints: Vec<Hint>,
}

impl Part {
    /// Cuts a batch, whose images and hints are used up, into so many parts at most.
    pub(super) fn of(batch: &mut Batch, parts: usize) -> Vec<Self> {
        let count = batch.targets.len();
        let ranges = shard_ranges(count, parts);
        let images = cut(std::mem::take(&mut batch.images), count, &ranges);
        let mut parts: Vec<Self> = ranges
            .iter()
            .zip(images)
            .map(|(range, images)| Self { range: range.clone(), images, hints: Vec::new() })
            .collect();
        for hint in &mut batch.hints {
            let [_, channels, rows, columns] = hint.shape;
            for (part, values) in parts.iter_mut().zip(cut(std::mem::take(&mut hint.values), count, &ranges)) {
                part.hints.push(Hint { values, shape: [part.range.len(), channels, rows, columns] });
            }
        }
        parts
    }
}

/// What a student is to minimise.
pub(super) struct Objective {
    pub losses: LossConfig,
    pub plan: TermPlan,
    /// What keeps the student near an earlier one.
    pub rehearsal: Option<Rehearsal>,
    /// How the student's numbers are rounded while it learns.
    pub rounding: Option<Rounding>,
    pub device: Device,
}

impl Objective {
    /// The terms of a part of a batch: those on predictions, those with the truth as hard labels, those that look into teachers, those
    /// that keep what an earlier student did.
    pub(super) fn terms(&self, learner: &Learner, part: Part, batch: &Batch, progress: f64) -> Vec<NamedTerm> {
        let Part { range, images, hints } = part;
        let [_, channels, height, width] = batch.shape;
        let targets = &batch.targets[range.clone()];
        let images = self.tensor(images, [range.len(), channels, height, width]);
        let rehearsed = self
            .rehearsal
            .as_ref()
            .map(|rehearsal| (rehearsal, rehearsal.weight(progress), images.clone()))
            .filter(|(_, weight, _)| *weight > 0.0);
        let (output, features) = learner.student.forward_rounded(images, &self.plan.anchors(), self.rounding.as_ref());
        let mut terms = Vec::new();
        let factor = self.losses.schedule.factor(progress);
        if factor > 0.0 {
            terms.extend(detection_loss(&output, targets, &self.losses));
            if self.losses.truth > 0.0 {
                // Hard labels are not softened (Hinton et al. 2015, section 2).
                let losses = LossConfig { temperature: 1.0, ..self.losses.clone() };
                let hard = detection_loss(&output, &batch.truth[range], &losses);
                terms.extend(hard.map(|term| NamedTerm {
                    name: format!("truth_{}", term.name),
                    weight: term.weight * self.losses.truth,
                    ..term
                }));
            }
            terms.iter_mut().for_each(|term| term.weight *= factor);
        }
        let hints: Vec<Tensor<4>> = hints.into_iter().map(|hint| self.tensor(hint.values, hint.shape)).collect();
        let adapters = &learner.adapters;
        let lesson = Lesson { features: &features, hints: &hints, adapters, targets, progress };
        terms.extend(self.plan.evaluate(&lesson));
        if let Some((rehearsal, weight, images)) = rehearsed {
            terms.extend(rehearsal.terms(images, &output, weight));
        }
        terms
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
