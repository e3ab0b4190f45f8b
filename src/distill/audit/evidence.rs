//! What each teacher's boxes are worth, one by one, and which objects it found.

use super::{AuditOptions, JudgedBy, TruthFrames};
use crate::{
    distill::targets::{FrameTargets, SoftBox, TargetSet, fusion_source},
    geometry::{Box2, FusionSource, weighted_box_fusion},
    metrics::{Demand, ScoredBox, TruthBox, Verdict, judge_image},
};

/// Everything that one teacher said, judged.
pub(super) struct Evidence {
    /// Per student class, whether it knows it.
    pub knows: Vec<bool>,
    /// Its boxes.
    pub claims: Vec<Claim>,
    /// What most of the other teachers agree on, of the classes that it knows.
    pub agreed: Vec<Object>,
    /// What is really there, of the classes that it knows.
    pub truths: Vec<Object>,
}

impl Evidence {
    /// The boxes that it stands by, of one class or of all.
    pub fn stood_by(&self, class: Option<usize>, options: AuditOptions) -> impl Iterator<Item = &Claim> {
        let is_wanted = move |claim: &&Claim| class.is_none_or(|class| claim.class == class);
        self.claims.iter().filter(is_wanted).filter(move |claim| claim.score >= options.confident_score)
    }
}

/// One box of a teacher.
pub(super) struct Claim {
    /// Place of its frame in the targets.
    pub frame: usize,
    pub bbox: Box2,
    /// Its best class.
    pub class: usize,
    pub score: f32,
    /// Other teachers who know the class.
    pub others: usize,
    /// Those among them who have a box of the class at the place.
    pub confirmed: usize,
    /// Sum of the IoU with these boxes.
    pub iou_sum: f64,
    /// Whether it is true; `None` without truth, or where the truth is not sure of itself.
    pub correct: Option<bool>,
}

impl Claim {
    /// Share of the other teachers who confirm it; `None` when nobody else knows its class.
    pub fn agreement(&self) -> Option<f64> {
        (self.others > 0).then(|| self.confirmed as f64 / self.others as f64)
    }

    /// Its score, and how far it is right: 0 or 1 by truth, a share by agreement.
    pub fn point(&self, judged_by: JudgedBy) -> Option<(f32, f64)> {
        let right = match judged_by {
            JudgedBy::Truth => self.correct.map(|correct| if correct { 1.0 } else { 0.0 }),
            JudgedBy::Agreement => self.agreement(),
        };
        right.map(|right| (self.score, right))
    }
}

/// An object that was to be found.
pub(super) struct Object {
    /// Place of its frame in the targets.
    pub frame: usize,
    pub bbox: Box2,
    pub class: usize,
    /// Whether the teacher has a confident box on it.
    pub found: bool,
}

/// Judges every box of every teacher.
pub(super) fn collect(targets: &TargetSet, truth: &TruthFrames, options: AuditOptions) -> Vec<Evidence> {
    let knows = targets.known_classes();
    let nothing = |knows: &Vec<bool>| Evidence { knows: knows.clone(), claims: vec![], agreed: vec![], truths: vec![] };
    let mut evidence: Vec<Evidence> = knows.iter().map(nothing).collect();
    for (place, frame) in targets.frames.iter().enumerate() {
        let said: Vec<Vec<ScoredBox>> =
            (0..knows.len()).map(|teacher| scored_boxes(frame, teacher, targets.classes.len())).collect();
        let truth = truth.get(&(frame.source, frame.index));
        for (teacher, evidence) in evidence.iter_mut().enumerate() {
            let own = &said[teacher];
            let matches = truth.map(|truth| judge_image(truth, own, options.iou));
            for (index, claim) in own.iter().enumerate() {
                let mut judged = Claim {
                    frame: place,
                    bbox: claim.bbox,
                    class: claim.class,
                    score: claim.score,
                    others: 0,
                    confirmed: 0,
                    iou_sum: 0.0,
                    correct: match matches.as_ref().map(|matches| matches[index]) {
                        Some(Verdict::Hit(_)) => Some(true),
                        Some(Verdict::FalseAlarm) => Some(false),
                        Some(Verdict::Ignored) | None => None,
                    },
                };
                for (other, boxes) in said.iter().enumerate() {
                    if other == teacher || !knows[other][claim.class] {
                        continue;
                    }
                    judged.others += 1;
                    let overlap = best_overlap(claim, boxes);
                    if overlap >= options.iou {
                        judged.confirmed += 1;
                        judged.iou_sum += overlap;
                    }
                }
                evidence.claims.push(judged);
            }
            if let (Some(truth), Some(matches)) = (truth, &matches) {
                evidence.truths.extend(objects(place, truth, own, matches, &knows[teacher], options));
            }
            let agreed = agreed_by_others(frame, teacher, &knows, options);
            let matches = judge_image(&agreed, own, options.iou);
            evidence.agreed.extend(objects(place, &agreed, own, &matches, &knows[teacher], options));
        }
    }
    evidence
}

/// What a teacher said about a frame, each box with its best class.
pub(super) fn scored_boxes(frame: &FrameTargets, teacher: usize, classes: usize) -> Vec<ScoredBox> {
    let said: &[SoftBox] = frame.per_teacher.get(teacher).map_or(&[], Vec::as_slice);
    said.iter()
        .map(|found| {
            let (class, score) = found.best();
            ScoredBox { bbox: found.bbox, class, score }
        })
        .filter(|found| found.bbox.is_valid() && found.score > 0.0 && found.class < classes)
        .collect()
}

/// The highest IoU with a box of the same class.
fn best_overlap(claim: &ScoredBox, boxes: &[ScoredBox]) -> f64 {
    let same = boxes.iter().filter(|other| other.class == claim.class);
    same.map(|other| f64::from(claim.bbox.iou(&other.bbox))).fold(0.0, f64::max)
}

/// What more than half of the teachers besides this one see, each counted alike.
fn agreed_by_others(frame: &FrameTargets, teacher: usize, knows: &[Vec<bool>], options: AuditOptions) -> Vec<TruthBox> {
    let others = frame.per_teacher.iter().zip(knows).enumerate().filter(|(other, _)| *other != teacher);
    let sources: Vec<FusionSource<'_>> = others.map(|(_, (boxes, knows))| fusion_source(boxes, knows, 1.0)).collect();
    weighted_box_fusion(&sources, options.iou as f32)
        .into_iter()
        .filter(|fused| fused.agreement > 0.5 && fused.score() >= options.confident_score)
        .map(|fused| TruthBox { bbox: fused.bbox, class: fused.best().0, demand: Demand::Required })
        .collect()
}

/// The objects that a teacher could have found, and whether it did.
fn objects(
    frame: usize,
    truth: &[TruthBox],
    own: &[ScoredBox],
    matches: &[Verdict],
    knows: &[bool],
    options: AuditOptions,
) -> Vec<Object> {
    let confident = |claim: &ScoredBox| claim.score >= options.confident_score;
    let mut objects = Vec::new();
    for (index, object) in truth.iter().enumerate() {
        let wanted = object.demand == Demand::Required && object.bbox.is_valid();
        if wanted && knows.get(object.class) == Some(&true) {
            let found = own.iter().zip(matches).any(|(claim, found)| *found == Verdict::Hit(index) && confident(claim));
            objects.push(Object { frame, bbox: object.bbox, class: object.class, found });
        }
    }
    objects
}

/// Share of the objects that were found; `None` of none.
pub(super) fn recall<'a>(objects: impl Iterator<Item = &'a Object>) -> Option<f64> {
    mean(objects.map(|object| if object.found { 1.0 } else { 0.0 }))
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
