//! The value of a term for a batch.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::{
    Relating, TermKind, TermPlan,
    foreground::Foreground,
    plan::{PlannedPair, PlannedTerm},
};
use crate::{
    distill::{
        loss::{
            NamedTerm, TargetBox, attention_transfer, binary_divergence, box_embeddings, channel_wise, cosine, flow,
            focal_guided, hint, image_embeddings, localization_divergence, patient, relation_angle, relation_distance,
            similarity_preserving,
        },
        student::{Adapters, AnchorPoint},
    },
    geometry::Box2,
};

/// Boxes of a batch that are related with each other at most.
const MOST_BOXES: usize = 64;

/// What a batch offers to the terms.
pub struct Lesson<'a> {
    /// The student's features at the plan's anchor points, `[B, C, H, W]`.
    pub features: &'a BTreeMap<AnchorPoint, Tensor<4>>,
    /// The teachers' tensors in the order of [`TermPlan::hints`], `[B, teacher's C, H, W]`.
    pub hints: &'a [Tensor<4>],
    /// The adapters, in the order of [`TermPlan::adapter_channels`].
    pub adapters: &'a Adapters,
    /// The boxes of each image, in input pixels.
    pub targets: &'a [Vec<TargetBox>],
    /// Share of the training's steps that were made.
    pub progress: f64,
}

impl TermPlan {
    /// The terms that count now, each with its weight by its schedule.
    pub fn evaluate(&self, lesson: &Lesson<'_>) -> Vec<NamedTerm> {
        let mut values = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            let weight = term.config.weight * term.config.schedule.factor(lesson.progress);
            if weight == 0.0 {
                continue;
            }
            if let Some((value, normalizer)) = term.value(lesson) {
                values.push(NamedTerm { name: term.name.clone(), weight, value, normalizer });
            }
        }
        values
    }
}

impl PlannedTerm {
    /// The mean over the pairs and what it is a mean of ([`NamedTerm::normalizer`]): images, or for `localization` the trust in the objects
    /// of all cells of all pairs. Nothing when the batch has nothing to compare, as relations between fewer than two boxes.
    fn value(&self, lesson: &Lesson<'_>) -> Option<(Tensor<1>, f32)> {
        let images = lesson.targets.len() as f32;
        if self.config.kind == TermKind::Flow {
            let [from, to] = self.pairs.as_slice() else { return None };
            let ((from, from_teacher), (to, to_teacher)) = (sides(from, lesson), sides(to, lesson));
            return Some((flow(from, to, from_teacher, to_teacher), images));
        }
        if self.config.kind == TermKind::Localization {
            let trusts: Vec<f32> = self.pairs.iter().map(|pair| pair_trust(pair, lesson)).collect();
            let total: f32 = trusts.iter().sum();
            // Each pair's value is a mean over its own cells; together they are one over the cells of all, so that a stride at which there
            // is nothing counts nothing.
            let part = |(pair, trust): (&PlannedPair, &f32)| {
                Some(self.pair_value(pair, lesson)? * (trust.max(1.0) / total.max(1.0)))
            };
            let sum = self.pairs.iter().zip(&trusts).filter_map(part).reduce(|sum, value| sum + value)?;
            return Some((sum, total));
        }
        let values: Vec<Tensor<1>> = self.pairs.iter().filter_map(|pair| self.pair_value(pair, lesson)).collect();
        let count = values.len();
        let sum = values.into_iter().reduce(|sum, value| sum + value)?;
        Some((sum / count as f32, images))
    }

    fn pair_value(&self, pair: &PlannedPair, lesson: &Lesson<'_>) -> Option<Tensor<1>> {
        let (student, teacher) = sides(pair, lesson);
        let temperature = self.config.temperature();
        let [_, channels, rows, columns] = student.dims();
        let device = student.device();
        let stride = pair.anchor.stride();
        let foreground = || Foreground::new(lesson.targets, rows, columns, stride);
        if self.config.kind.is_relation() {
            let (student, teacher) = self.embeddings(student, teacher, stride, lesson.targets)?;
            return Some(match self.config.kind {
                TermKind::RelationDistance => relation_distance(student, teacher),
                TermKind::RelationAngle => relation_angle(student, teacher),
                _ => similarity_preserving(student, teacher),
            });
        }
        Some(match self.config.kind {
            TermKind::Attention => attention_transfer(student, teacher),
            TermKind::ChannelWise => channel_wise(student, teacher, temperature),
            TermKind::Focal => {
                let cells = foreground();
                let (objects, background) = (cells.shares(&device), cells.background(&device));
                focal_guided(student, teacher, objects, background, self.config.focal.unwrap_or_default(), temperature)
            }
            TermKind::Patient => patient(student, teacher),
            TermKind::Cosine => cosine(student, teacher),
            TermKind::Logits => binary_divergence(student, teacher, None, temperature),
            TermKind::Localization => {
                let trust = foreground().trust(&device);
                localization_divergence(student, teacher, trust, channels / 4, temperature)
            }
            _ => hint(student, teacher),
        })
    }

    /// One row per image or box of the batch, for both sides.
    fn embeddings(
        &self,
        student: Tensor<4>,
        teacher: Tensor<4>,
        stride: usize,
        targets: &[Vec<TargetBox>],
    ) -> Option<(Tensor<2>, Tensor<2>)> {
        match self.config.relating {
            Relating::Images if targets.len() < 2 => None,
            Relating::Images => Some((image_embeddings(student), image_embeddings(teacher))),
            Relating::Boxes => {
                let boxes = surest_boxes(targets);
                Some((box_embeddings(student, &boxes, stride)?, box_embeddings(teacher, &boxes, stride)?))
            }
        }
    }
}

/// The boxes of a batch that are surest, each with its image, in their order. Angles take memory by the third power of their number.
fn surest_boxes(targets: &[Vec<TargetBox>]) -> Vec<(usize, Box2)> {
    let all = targets.iter().enumerate().flat_map(|(image, boxes)| boxes.iter().map(move |object| (image, object)));
    let mut boxes: Vec<(usize, f32, usize, Box2)> = all
        .filter(|(_, object)| object.weight > 0.0)
        .enumerate()
        .map(|(place, (image, object))| (place, object.credit(), image, object.bbox))
        .collect();
    boxes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    boxes.truncate(MOST_BOXES);
    boxes.sort_by_key(|(place, ..)| *place);
    boxes.into_iter().map(|(_, _, image, bbox)| (image, bbox)).collect()
}

/// The trust in the objects of all cells of a pair's maps.
fn pair_trust(pair: &PlannedPair, lesson: &Lesson<'_>) -> f32 {
    let [_, _, rows, columns] = lesson.features[&pair.anchor].dims();
    Foreground::new(lesson.targets, rows, columns, pair.anchor.stride()).trust_sum()
}

/// The student's features, adapted where the term wants it, and the teacher's.
fn sides(pair: &PlannedPair, lesson: &Lesson<'_>) -> (Tensor<4>, Tensor<4>) {
    let student = lesson.features[&pair.anchor].clone();
    let student = match pair.adapter {
        Some(adapter) => lesson.adapters.adapt(adapter, student),
        None => student,
    };
    (student, lesson.hints[pair.hint].clone())
}
