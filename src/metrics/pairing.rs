//! Which detection of an image finds which object: greedy by score, as COCO's reference implementation does it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::geometry::Box2;

/// Detections of an image and class that are looked at, the best ones.
const MAX_DETECTIONS: usize = 100;

/// What is asked of a detector about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// It must be found.
    Required,
    /// It may be found: one detection on it counts neither for nor against (an object that the truth itself is unsure of).
    Optional,
    /// A region of many objects (COCO's `iscrowd`): any number of detections mostly inside it count neither for nor against.
    Crowd,
}

/// One object that is really there.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthBox {
    /// Where, in image pixels.
    pub bbox: Box2,
    /// Index of its class.
    pub class: usize,
    /// Whether it must be found.
    pub demand: Demand,
}

/// One object that a detector claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredBox {
    /// Where, in image pixels.
    pub bbox: Box2,
    /// Index of its class.
    pub class: usize,
    /// Confidence; average precision goes by the order alone, calibration by the value in `[0, 1]`.
    pub score: f32,
}

/// What became of one detection of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It found the truth box of this index.
    Hit(usize),
    /// It lies on something that need not be found, and counts neither for nor against.
    Ignored,
    /// There is nothing, or another detection had found it already.
    FalseAlarm,
}

/// Judges the detections of one image at an IoU threshold and says of each, in their order, what became of it. As in
/// [`super::ApAccumulator::add_image`], but without the names of classes; what is passed over there is [`Verdict::Ignored`] here.
pub fn judge_image(truths: &[TruthBox], detections: &[ScoredBox], iou_threshold: f64) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Ignored; detections.len()];
    let classes: BTreeSet<usize> = detections.iter().map(|claim| claim.class).collect();
    for class in classes {
        let pairing = Pairing::new(class, truths, detections);
        for ((place, _), found) in pairing.claims.iter().zip(pairing.at(iou_threshold)) {
            verdicts[*place] = match found.map(|found| pairing.objects[found]) {
                None => Verdict::FalseAlarm,
                Some((truth, object)) if object.demand == Demand::Required => Verdict::Hit(truth),
                Some(_) => Verdict::Ignored,
            };
        }
    }
    verdicts
}

/// The objects and detections of one class in one image, with how far each two overlap.
pub(super) struct Pairing<'i> {
    /// Each with its place in the truth, required ones first.
    pub objects: Vec<(usize, &'i TruthBox)>,
    /// Each with its place among the detections, best first.
    pub claims: Vec<(usize, &'i ScoredBox)>,
    /// A row for each claim.
    overlaps: Vec<Vec<f64>>,
}

impl<'i> Pairing<'i> {
    pub fn new(class: usize, truths: &'i [TruthBox], detections: &'i [ScoredBox]) -> Self {
        // Required objects first, as the reference does: a detection prefers them over a region to be ignored.
        let mut objects: Vec<(usize, &TruthBox)> =
            truths.iter().enumerate().filter(|(_, truth)| truth.class == class && truth.bbox.is_valid()).collect();
        objects.sort_by_key(|(_, truth)| truth.demand != Demand::Required);
        let mut claims: Vec<(usize, &ScoredBox)> = detections
            .iter()
            .enumerate()
            .filter(|(_, claim)| claim.class == class && claim.score.is_finite() && claim.bbox.is_valid())
            .collect();
        claims.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        claims.truncate(MAX_DETECTIONS);
        let row =
            |claim: &ScoredBox| -> Vec<f64> { objects.iter().map(|(_, truth)| overlap(&claim.bbox, truth)).collect() };
        let overlaps: Vec<Vec<f64>> = claims.iter().map(|(_, claim)| row(claim)).collect();
        Self { objects, claims, overlaps }
    }

    /// For each claim the object that it finds at an IoU threshold: greedy, the best score chooses first.
    pub fn at(&self, threshold: f64) -> Vec<Option<usize>> {
        let mut taken = vec![false; self.objects.len()];
        let mut found = Vec::with_capacity(self.claims.len());
        for row in &self.overlaps {
            let mut best_overlap = threshold.min(1.0 - 1e-10);
            let mut best: Option<usize> = None;
            for (candidate, (_, truth)) in self.objects.iter().enumerate() {
                if taken[candidate] && truth.demand != Demand::Crowd {
                    continue;
                }
                // Objects are sorted: once an ordinary one is matched, regions to be ignored need no look.
                let required = |truth: &TruthBox| truth.demand == Demand::Required;
                if !required(truth) && best.is_some_and(|found| required(self.objects[found].1)) {
                    break;
                }
                if row[candidate] >= best_overlap {
                    best_overlap = row[candidate];
                    best = Some(candidate);
                }
            }
            if let Some(best) = best {
                taken[best] = true;
            }
            found.push(best);
        }
        found
    }
}

/// Intersection over union, or over the claim alone on a crowd.
fn overlap(claim: &Box2, truth: &TruthBox) -> f64 {
    let edges = |b: &Box2| [f64::from(b.x_min), f64::from(b.y_min), f64::from(b.x_max), f64::from(b.y_max)];
    let (a, b) = (edges(claim), edges(&truth.bbox));
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let intersection = width * height;
    let area = |e: &[f64; 4]| (e[2] - e[0]) * (e[3] - e[1]);
    let crowd = truth.demand == Demand::Crowd;
    let union = if crowd { area(&a) } else { area(&a) + area(&b) - intersection };
    if union > 0.0 { intersection / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32) -> Box2 {
        Box2::new(x, 0.0, x + 10.0, 10.0)
    }

    #[test]
    fn verdicts_are_in_the_order_of_the_detections() {
        let truth = |x, demand| TruthBox { bbox: square(x), class: 0, demand };
        let claim = |x, score| ScoredBox { bbox: square(x), class: 0, score };
        let other = ScoredBox { class: 1, ..claim(50.0, 0.9) };
        let claims = [claim(200.0, 0.3), claim(101.0, 0.5), claim(1.0, 0.6), claim(0.0, 0.7), other];
        let required = Demand::Required;
        let truths = [truth(100.0, Demand::Optional), truth(0.0, required), truth(50.0, required)];
        let verdicts = judge_image(&truths, &claims, 0.5);
        let wrong = Verdict::FalseAlarm;
        assert_eq!(verdicts, [wrong, Verdict::Ignored, wrong, Verdict::Hit(1), wrong]);
    }
}
