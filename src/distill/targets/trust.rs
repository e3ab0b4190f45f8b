//! Targets fused anew with another trust in the teachers, out of what each of them said; no teacher is run again.

use std::collections::HashMap;

use super::{FrameTargets, SoftBox, TargetSet, fusion_source};
use crate::{
    distill::{
        stage::hash_of,
        teacher::{EnsembleOptions, agreement_trust, fuse, measured_trust},
    },
    geometry::FusionSource,
    metrics::TruthBox,
    model::SoftDetection,
};

impl TargetSet {
    /// For each teacher and student class, whether the teacher knows it.
    pub fn known_classes(&self) -> Vec<Vec<bool>> {
        self.teachers.iter().map(|teacher| teacher.knows(&self.classes)).collect()
    }

    /// The trust that the teachers earn by agreeing with each other, see [`agreement_trust`].
    pub fn agreement_trust(&self, iou_threshold: f32) -> Vec<f32> {
        let said: Vec<_> = self.frames.iter().map(said).collect();
        agreement_trust(&self.known_classes(), &said, iou_threshold)
    }

    /// The trust that the teachers earn on the frames whose truth is known, by source and index; see [`measured_trust`].
    pub fn measured_trust(&self, truth: &HashMap<(u32, u64), Vec<TruthBox>>) -> Vec<f32> {
        let judged = self.frames.iter().filter_map(|frame| Some((frame, truth.get(&(frame.source, frame.index))?)));
        let (said, truth): (Vec<_>, Vec<_>) = judged.map(|(frame, truth)| (said(frame), truth.clone())).unzip();
        measured_trust(&self.known_classes(), &said, &truth, &self.classes)
    }

    /// These targets, fused with this trust in the teachers, as [`crate::distill::teacher::Ensemble::label`] would.
    #[must_use]
    pub fn trusting(mut self, trust: &[f32], options: EnsembleOptions) -> Self {
        let knows = self.known_classes();
        for frame in &mut self.frames {
            for (boxes, &trust) in frame.per_teacher.iter_mut().zip(trust) {
                boxes.iter_mut().for_each(|found| found.weight = trust);
            }
            let sources: Vec<FusionSource<'_>> = frame
                .per_teacher
                .iter()
                .zip(&knows)
                .zip(trust)
                .map(|((boxes, knows), &trust)| fusion_source(boxes, knows, trust))
                .collect();
            frame.boxes = fuse(&sources, options).into_iter().map(SoftBox::from).collect();
        }
        for (teacher, &trust) in self.teachers.iter_mut().zip(trust) {
            teacher.trust = trust;
        }
        self.config_hash = hash_of(&(&self.config_hash, trust));
        self
    }
}

/// What the teachers said about a frame, as they said it.
fn said(frame: &FrameTargets) -> Vec<Vec<SoftDetection>> {
    let detection = |found: &SoftBox| SoftDetection { bbox: found.bbox, probabilities: found.probabilities.clone() };
    frame.per_teacher.iter().map(|boxes| boxes.iter().map(detection).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            PartEnd,
            part::tests::{frame, metadata},
        },
        *,
    };
    use crate::geometry::Box2;

    fn soft(x: f32, score: f32) -> SoftBox {
        SoftBox { bbox: Box2::new(x, 0.0, x + 20.0, 40.0), probabilities: vec![score, 0.0], weight: 1.0 }
    }

    /// Both see one person; the second teacher invents another one.
    fn set() -> TargetSet {
        let metadata = metadata(0, PartEnd::Source);
        let seen = |index| FrameTargets {
            boxes: Vec::new(),
            per_teacher: vec![vec![soft(10.0, 0.8)], vec![soft(10.0, 0.8), soft(100.0, 0.8)]],
            ..frame(index, 0)
        };
        TargetSet {
            classes: metadata.classes,
            teachers: metadata.teachers,
            sources: metadata.sources,
            config_hash: metadata.config_hash,
            frames: (0..4).map(seen).collect(),
        }
    }

    #[test]
    fn a_teacher_that_is_trusted_less_weighs_less() {
        let options = EnsembleOptions::default();
        let even = set().trusting(&[1.0, 1.0], options);
        let uneven = set().trusting(&[1.0, 0.25], options);
        let invented = |set: &TargetSet| {
            let found = set.frames[0].boxes.iter().find(|found| found.bbox.x_min > 50.0).unwrap();
            (found.probabilities[0], found.weight)
        };
        let ((even_score, even_weight), (score, weight)) = (invented(&even), invented(&uneven));
        assert!((even_score - 0.4).abs() < 1e-6 && (score - 0.16).abs() < 1e-6, "{even_score} {score}");
        assert!(weight < even_weight);
        let seen = |set: &TargetSet| set.frames[0].boxes[0].probabilities[0];
        assert!((seen(&even) - 0.8).abs() < 1e-6 && (seen(&uneven) - 0.8).abs() < 1e-6);
        assert_eq!(uneven.teachers[1].trust, 0.25);
        assert_ne!(even.config_hash, uneven.config_hash);
    }

    #[test]
    fn labels_tell_who_invents() {
        use crate::metrics::Demand;
        let person = TruthBox { bbox: soft(10.0, 0.0).bbox, class: 0, demand: Demand::Required };
        let truth = (0..2).map(|index| ((0, index), vec![person.clone()])).collect();
        let trust = set().measured_trust(&truth);
        assert!(trust[0] == 1.0 && trust[1] <= 1.0, "{trust:?}");
        // Two teachers who disagree are alike to each other.
        let trust = set().agreement_trust(0.5);
        assert!((trust[0] - trust[1]).abs() < 1e-3, "{trust:?}");
    }
}
