//! Average precision as COCO defines it (Lin et al. 2014), step for step as its reference implementation `pycocotools`
//! computes it: greedy matching by score at IoU 0.50:0.05:0.95, interpolated precision at 101 recalls, at most 100
//! detections an image and class, crowds neither found nor missed.

use serde::{Deserialize, Serialize};

use crate::geometry::Box2;

const IOU_THRESHOLDS: usize = 10;
const RECALL_POINTS: usize = 101;
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
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredBox {
    /// Where, in image pixels.
    pub bbox: Box2,
    /// Index of its class.
    pub class: usize,
    /// Confidence; only the order matters.
    pub score: f32,
}

/// Average precision of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAp {
    /// Name of the class.
    pub class: String,
    /// Objects that were to be found.
    pub truths: usize,
    /// Mean over IoU 0.50:0.95; `None` when the data holds no object of the class.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
}

/// Average precision over the classes that occur in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApSummary {
    /// Mean over classes and IoU 0.50:0.95; `None` without any truth.
    pub ap: Option<f64>,
    /// At IoU 0.50.
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    pub ap75: Option<f64>,
    /// Each class by itself.
    pub per_class: Vec<ClassAp>,
    /// Images seen.
    pub images: usize,
}

/// How one detection fared at each IoU threshold.
#[derive(Clone, Copy)]
struct Judged {
    score: f32,
    /// Bit t: matched a truth at threshold t.
    matched: u16,
    /// Bit t: neither for nor against at threshold t.
    ignored: u16,
}

/// Collects images one by one, then gives the summary. Memory grows by 8 bytes a detection.
pub struct ApAccumulator {
    classes: Vec<String>,
    judged: Vec<Vec<Judged>>,
    truths: Vec<usize>,
    images: usize,
    iou_thresholds: [f64; IOU_THRESHOLDS],
}

impl ApAccumulator {
    /// An empty accumulator for classes of these names.
    pub fn new(classes: &[String]) -> Self {
        let step = (0.95 - 0.5) / 9.0;
        let mut iou_thresholds = [0.95; IOU_THRESHOLDS];
        for (index, threshold) in iou_thresholds.iter_mut().enumerate().take(IOU_THRESHOLDS - 1) {
            *threshold = index as f64 * step + 0.5;
        }
        Self {
            classes: classes.to_vec(),
            judged: vec![Vec::new(); classes.len()],
            truths: vec![0; classes.len()],
            images: 0,
            iou_thresholds,
        }
    }

    /// Judges one image's detections against its truth. Classes outside the known ones are passed over, and so are
    /// detections whose score or box is not a finite number.
    pub fn add_image(&mut self, truths: &[TruthBox], detections: &[ScoredBox]) {
        self.images += 1;
        for class in 0..self.classes.len() {
            // Required objects first, as the reference does: a detection prefers them over a region to be ignored.
            let mut objects: Vec<&TruthBox> =
                truths.iter().filter(|truth| truth.class == class && truth.bbox.is_valid()).collect();
            objects.sort_by_key(|truth| truth.demand != Demand::Required);
            self.truths[class] += objects.iter().filter(|truth| truth.demand == Demand::Required).count();

            let mut claims: Vec<&ScoredBox> = detections
                .iter()
                .filter(|claim| claim.class == class && claim.score.is_finite() && claim.bbox.is_valid())
                .collect();
            claims.sort_by(|a, b| b.score.total_cmp(&a.score));
            claims.truncate(MAX_DETECTIONS);

            self.judge(class, &objects, &claims);
        }
    }

    fn judge(&mut self, class: usize, objects: &[&TruthBox], claims: &[&ScoredBox]) {
        let overlaps: Vec<Vec<f64>> =
            claims.iter().map(|claim| objects.iter().map(|truth| overlap(&claim.bbox, truth)).collect()).collect();
        let start = self.judged[class].len();
        self.judged[class].extend(claims.iter().map(|claim| Judged { score: claim.score, matched: 0, ignored: 0 }));
        for (index, threshold) in self.iou_thresholds.iter().enumerate() {
            let bit = 1u16 << index;
            for (claim, found) in match_greedily(objects, &overlaps, *threshold).into_iter().enumerate() {
                if let Some(found) = found {
                    let judged = &mut self.judged[class][start + claim];
                    judged.matched |= bit;
                    if objects[found].demand != Demand::Required {
                        judged.ignored |= bit;
                    }
                }
            }
        }
    }

    /// The figures over everything added so far.
    pub fn finish(&self) -> ApSummary {
        let per_class: Vec<ClassAp> = (0..self.classes.len())
            .map(|class| {
                let at_thresholds = self.precision_at_thresholds(class);
                ClassAp {
                    class: self.classes[class].clone(),
                    truths: self.truths[class],
                    ap: at_thresholds.map(|values| values.iter().sum::<f64>() / IOU_THRESHOLDS as f64),
                    ap50: at_thresholds.map(|values| values[0]),
                    ap75: at_thresholds.map(|values| values[5]),
                }
            })
            .collect();
        ApSummary {
            ap: mean(per_class.iter().filter_map(|class| class.ap)),
            ap50: mean(per_class.iter().filter_map(|class| class.ap50)),
            ap75: mean(per_class.iter().filter_map(|class| class.ap75)),
            per_class,
            images: self.images,
        }
    }

    fn precision_at_thresholds(&self, class: usize) -> Option<[f64; IOU_THRESHOLDS]> {
        let truths = self.truths[class];
        if truths == 0 {
            return None;
        }
        let mut judged = self.judged[class].clone();
        judged.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut values = [0.0; IOU_THRESHOLDS];
        for (index, value) in values.iter_mut().enumerate() {
            *value = interpolated_precision(&judged, 1 << index, truths);
        }
        Some(values)
    }
}

/// What became of one detection of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It found the truth box of this index, which was to be found.
    Hit(usize),
    /// It counts neither for nor against: it lies on an optional object or in a crowd, or is no box at all.
    Ignored,
    /// Nothing of its class is there, or a better detection has found it already.
    False,
}

/// Matches one image's detections with its truth at one IoU threshold above 0, by the rules of average precision: within each
/// class the best detection chooses first, and takes the free object that it overlaps most. The result is in the order of the
/// detections.
pub fn match_detections(truths: &[TruthBox], detections: &[ScoredBox], iou_threshold: f64) -> Vec<Match> {
    let mut places: Vec<usize> = (0..truths.len()).filter(|&place| truths[place].bbox.is_valid()).collect();
    places.sort_by_key(|&place| truths[place].demand != Demand::Required);
    let objects: Vec<&TruthBox> = places.iter().map(|&place| &truths[place]).collect();
    let usable = |claim: &ScoredBox| claim.score.is_finite() && claim.bbox.is_valid();
    let mut order: Vec<usize> = (0..detections.len()).filter(|&claim| usable(&detections[claim])).collect();
    order.sort_by(|&a, &b| detections[b].score.total_cmp(&detections[a].score));
    // Classes do not meet: an overlap of 0 matches nothing.
    let overlap_in_class = |claim: &ScoredBox, truth: &TruthBox| {
        if claim.class == truth.class { overlap(&claim.bbox, truth) } else { 0.0 }
    };
    let overlaps: Vec<Vec<f64>> = order
        .iter()
        .map(|&claim| objects.iter().map(|truth| overlap_in_class(&detections[claim], truth)).collect())
        .collect();
    let mut matches = vec![Match::Ignored; detections.len()];
    for (&claim, found) in order.iter().zip(match_greedily(&objects, &overlaps, iou_threshold)) {
        matches[claim] = match found {
            None => Match::False,
            Some(found) if objects[found].demand == Demand::Required => Match::Hit(places[found]),
            Some(_) => Match::Ignored,
        };
    }
    matches
}

/// For each detection, best first, the object that it is matched with. `objects` has those to be found first; `overlaps` has a row
/// per detection and a column per object.
fn match_greedily(objects: &[&TruthBox], overlaps: &[Vec<f64>], iou_threshold: f64) -> Vec<Option<usize>> {
    let required = |truth: &TruthBox| truth.demand == Demand::Required;
    let mut taken = vec![false; objects.len()];
    let mut matches = Vec::with_capacity(overlaps.len());
    for row in overlaps {
        let mut best_overlap = iou_threshold.min(1.0 - 1e-10);
        let mut best: Option<usize> = None;
        for (candidate, truth) in objects.iter().enumerate() {
            if taken[candidate] && truth.demand != Demand::Crowd {
                continue;
            }
            // Objects are sorted: once an ordinary one is matched, regions to be ignored need no look.
            if !required(truth) && best.is_some_and(|found| required(objects[found])) {
                break;
            }
            if row[candidate] >= best_overlap {
                best_overlap = row[candidate];
                best = Some(candidate);
            }
        }
        if let Some(found) = best {
            taken[found] = true;
        }
        matches.push(best);
    }
    matches
}

/// Mean of the precision envelope at the recalls 0.00, 0.01, ... 1.00; `judged` in descending order of score.
fn interpolated_precision(judged: &[Judged], bit: u16, truths: usize) -> f64 {
    let mut recalls = Vec::with_capacity(judged.len());
    let mut precisions = Vec::with_capacity(judged.len());
    let (mut hits, mut misses) = (0.0_f64, 0.0_f64);
    for claim in judged {
        if claim.ignored & bit == 0 {
            if claim.matched & bit != 0 {
                hits += 1.0;
            } else {
                misses += 1.0;
            }
        }
        recalls.push(hits / truths as f64);
        precisions.push(hits / (hits + misses + f64::EPSILON));
    }
    for index in (1..precisions.len()).rev() {
        if precisions[index] > precisions[index - 1] {
            precisions[index - 1] = precisions[index];
        }
    }
    let total: f64 = (0..RECALL_POINTS)
        .map(|point| {
            let recall = if point == RECALL_POINTS - 1 { 1.0 } else { point as f64 * 0.01 };
            let place = recalls.partition_point(|&reached| reached < recall);
            precisions.get(place).copied().unwrap_or(0.0)
        })
        .sum();
    total / RECALL_POINTS as f64
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

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(x: f32) -> TruthBox {
        TruthBox { bbox: Box2::new(x, 0.0, x + 10.0, 10.0), class: 0, demand: Demand::Required }
    }

    fn claim(x: f32, score: f32) -> ScoredBox {
        ScoredBox { bbox: Box2::new(x, 0.0, x + 10.0, 10.0), class: 0, score }
    }

    fn accumulator() -> ApAccumulator {
        ApAccumulator::new(&["person".to_owned()])
    }

    #[test]
    fn perfect_detections_score_one() {
        let mut ap = accumulator();
        ap.add_image(&[truth(0.0), truth(50.0)], &[claim(0.0, 0.9), claim(50.0, 0.8)]);
        let summary = ap.finish();
        assert!((summary.ap.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_false_alarm_above_the_hits_costs_and_below_them_does_not() {
        let mut above = accumulator();
        above.add_image(&[truth(0.0)], &[claim(200.0, 0.9), claim(0.0, 0.8)]);
        assert!((above.finish().ap50.unwrap() - 0.5).abs() < 1e-9);
        let mut below = accumulator();
        below.add_image(&[truth(0.0)], &[claim(200.0, 0.7), claim(0.0, 0.8)]);
        assert!((below.finish().ap50.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_second_claim_on_one_object_is_a_false_alarm() {
        let mut ap = accumulator();
        ap.add_image(&[truth(0.0), truth(100.0)], &[claim(0.0, 0.9), claim(1.0, 0.8), claim(100.0, 0.7)]);
        let value = ap.finish().ap50.unwrap();
        assert!(value < 0.9 && value > 0.7, "{value}");
    }

    #[test]
    fn a_crowd_swallows_any_number_of_claims() {
        let mut ap = accumulator();
        let region = TruthBox { bbox: Box2::new(100.0, 0.0, 200.0, 100.0), class: 0, demand: Demand::Crowd };
        ap.add_image(&[truth(0.0), region], &[claim(120.0, 0.95), claim(150.0, 0.9), claim(0.0, 0.8)]);
        let summary = ap.finish();
        assert!((summary.ap50.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(summary.per_class[0].truths, 1);
    }

    #[test]
    fn an_optional_object_excuses_one_claim_that_fits_it() {
        let unsure = TruthBox { demand: Demand::Optional, ..truth(100.0) };
        let ap50 = |claims: &[ScoredBox]| {
            let mut ap = accumulator();
            ap.add_image(&[truth(0.0), unsure.clone()], claims);
            ap.finish().ap50.unwrap()
        };
        assert!((ap50(&[claim(101.0, 0.95), claim(0.0, 0.8)]) - 1.0).abs() < 1e-9);
        assert!((ap50(&[claim(101.0, 0.95), claim(100.0, 0.9), claim(0.0, 0.8)]) - 0.5).abs() < 1e-9);
        let inside = ScoredBox { bbox: Box2::new(102.0, 2.0, 105.0, 5.0), ..claim(0.0, 0.95) };
        assert!((ap50(&[inside, claim(0.0, 0.8)]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn each_detection_is_told_what_became_of_it() {
        let unsure = TruthBox { demand: Demand::Optional, ..truth(100.0) };
        let other = TruthBox { class: 1, ..truth(200.0) };
        let truths = [unsure, truth(0.0), other];
        let claims = [claim(1.0, 0.6), claim(100.0, 0.9), claim(0.0, 0.8), claim(200.0, 0.9), claim(0.0, f32::NAN)];
        let expected = [Match::False, Match::Ignored, Match::Hit(1), Match::False, Match::Ignored];
        assert_eq!(match_detections(&truths, &claims, 0.5), expected);
        assert_eq!(match_detections(&truths, &[], 0.5), []);
    }

    #[test]
    fn without_truth_there_is_no_figure() {
        let mut ap = accumulator();
        ap.add_image(&[], &[claim(0.0, 0.9)]);
        assert_eq!(ap.finish().ap, None);
        ap.add_image(&[truth(0.0)], &[claim(0.0, f32::NAN)]);
        assert_eq!(ap.finish().ap, Some(0.0));
    }
}
