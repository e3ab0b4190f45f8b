//! How far teachers are worth trusting, out of what they say about the same frames: by how far they agree with each other, or by
//! labels.
//!
//! Frames are given as `frames[frame][teacher]`, each a teacher's boxes with a score per student class
//! ([`EnsembleOutput::per_teacher`](super::EnsembleOutput::per_teacher)); `knows[teacher][class]` tells which classes a teacher
//! could have found. Trust is relative: the best teacher has 1.

use super::ensemble::fusion_boxes;
use crate::{
    geometry::{FusedBox, FusionSource, weighted_box_fusion},
    metrics::{ApAccumulator, ScoredBox, TruthBox, mean},
    model::SoftDetection,
};

/// The least trust that is given: no teacher is silenced on a figure that may be chance.
const LEAST: f32 = 0.1;
/// Most rounds of [`agreement_trust`].
const ROUNDS: usize = 50;
/// Trust that moves by less than this in a round has settled.
const SETTLED: f32 = 1e-4;

/// The trust that teachers earn by agreeing with each other; no labels are needed.
///
/// Each teacher is held against the weighted box fusion of all others, leaving itself out. A box of its own is confirmed by as
/// much as the share of the others' trust that saw the object it lies on (IoU over `iou_threshold`, the same best class); its
/// precision is the confirmed share of its scores, its recall the share of the others' fused scores that it found, both among
/// the classes that the two sides know. Precision times recall, relative to the best teacher's and at least 0.1, is its trust in the
/// next round, until the trust settles. The idea is that of Dawid and Skene (Applied Statistics 28, 1979): who errs is seen by
/// who stands alone, weighted by who errs.
///
/// Two teachers come out alike, for nothing tells which of them errs. Teachers that err together are believed. One that shares no
/// class with another cannot be judged and has 1.
pub fn agreement_trust(knows: &[Vec<bool>], frames: &[Vec<Vec<SoftDetection>>], iou_threshold: f32) -> Vec<f32> {
    let mut trust = vec![1.0_f32; knows.len()];
    for _ in 0..ROUNDS {
        let agreement = |teacher: usize| agreement(teacher, &trust, knows, frames, iou_threshold);
        let earned = relative(&(0..knows.len()).map(agreement).collect::<Vec<_>>());
        // Half the way, lest teachers that lean on each other swing to and fro.
        let next: Vec<f32> = trust.iter().zip(&earned).map(|(old, new)| (old + new) / 2.0).collect();
        let moved = trust.iter().zip(&next).map(|(old, new)| (old - new).abs()).fold(0.0, f32::max);
        trust = next;
        if moved < SETTLED {
            break;
        }
    }
    relative(&trust.iter().map(|&trust| Some(f64::from(trust))).collect::<Vec<_>>())
}

/// The trust that teachers earn by labels: their mean AP at IoU 0.50 over the classes that they know, relative to the best
/// teacher's and at least 0.1. `truth[frame]` has the objects of each frame, their classes as indices into `classes`.
///
/// A teacher of which no class occurs in the truth cannot be judged and has 1.
pub fn measured_trust(
    knows: &[Vec<bool>],
    frames: &[Vec<Vec<SoftDetection>>],
    truth: &[Vec<TruthBox>],
    classes: &[String],
) -> Vec<f32> {
    let quality = |(teacher, knows): (usize, &Vec<bool>)| {
        let mut precision = ApAccumulator::new(classes);
        for (frame, truth) in frames.iter().zip(truth) {
            let found: Vec<ScoredBox> = said_by(frame, teacher).iter().map(scored).collect();
            precision.add_image(truth, &found);
        }
        let summary = precision.finish();
        let known = summary.per_class.iter().zip(knows).filter(|(_, knows)| **knows);
        mean(known.filter_map(|(class, _)| class.ap50))
    };
    relative(&knows.iter().enumerate().map(quality).collect::<Vec<_>>())
}

/// A detection as average precision takes it: its best class alone.
pub(in crate::distill) fn scored(found: &SoftDetection) -> ScoredBox {
    let (class, score) = found.best();
    ScoredBox { bbox: found.bbox, class, score }
}

/// What a teacher said about a frame.
fn said_by(frame: &[Vec<SoftDetection>], teacher: usize) -> &[SoftDetection] {
    frame.get(teacher).map(Vec::as_slice).unwrap_or_default()
}

/// Precision times recall of one teacher against the fusion of the others; `None` where there is nothing to judge it by.
fn agreement(
    teacher: usize,
    trust: &[f32],
    knows: &[Vec<bool>],
    frames: &[Vec<Vec<SoftDetection>>],
    iou_threshold: f32,
) -> Option<f64> {
    let others: Vec<usize> = (0..knows.len()).filter(|&other| other != teacher).collect();
    let others_know = |class: usize| others.iter().any(|&other| knows[other].get(class) == Some(&true));
    let (mut claimed, mut confirmed) = (0.0_f64, 0.0_f64);
    let (mut wanted, mut found) = (0.0_f64, 0.0_f64);
    for frame in frames {
        let source = |&other: &usize| FusionSource {
            trust: trust[other],
            knows: &knows[other],
            boxes: fusion_boxes(said_by(frame, other)),
        };
        let sources: Vec<FusionSource<'_>> = others.iter().map(source).collect();
        let objects = weighted_box_fusion(&sources, iou_threshold);
        let detections = said_by(frame, teacher);
        let matches = matches(detections, &objects, iou_threshold);
        for (detection, object) in detections.iter().zip(&matches) {
            let (class, score) = detection.best();
            // What no other teacher knows none can deny.
            if others_know(class) {
                let share = object.map_or(0.0, |object| objects[object].agreement);
                claimed += f64::from(score);
                confirmed += f64::from(score) * f64::from(share);
            }
        }
        for (index, object) in objects.iter().enumerate() {
            let (class, score) = object.best();
            if knows[teacher].get(class) == Some(&true) {
                wanted += f64::from(score);
                found += if matches.contains(&Some(index)) { f64::from(score) } else { 0.0 };
            }
        }
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    (claimed > 0.0 || wanted > 0.0).then(|| share(confirmed, claimed) * share(found, wanted))
}

/// For each detection the object that it lies on: of its class, overlapping by more than `iou_threshold`, and not taken by a surer
/// detection.
fn matches(detections: &[SoftDetection], objects: &[FusedBox], iou_threshold: f32) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..detections.len()).collect();
    order.sort_by(|&a, &b| detections[b].score().total_cmp(&detections[a].score()));
    let mut matches: Vec<Option<usize>> = vec![None; detections.len()];
    for index in order {
        let detection = &detections[index];
        let class = detection.best().0;
        let nearest = objects
            .iter()
            .enumerate()
            .filter(|(object, fused)| fused.best().0 == class && !matches.contains(&Some(*object)))
            .map(|(object, fused)| (fused.bbox.iou(&detection.bbox), object))
            .filter(|(overlap, _)| *overlap > iou_threshold)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        matches[index] = nearest.map(|(_, object)| object);
    }
    matches
}

/// Figures as shares of the best one, [`LEAST`] at least. What has no figure, or only noughts beside it, has 1.
fn relative(figures: &[Option<f64>]) -> Vec<f32> {
    let best = figures.iter().copied().flatten().fold(0.0, f64::max);
    let share = |figure: &Option<f64>| match *figure {
        Some(figure) if best > 0.0 => ((figure / best) as f32).max(LEAST),
        _ => 1.0,
    };
    figures.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{geometry::Box2, metrics::Demand};

    /// A square of 20 pixels in one of a hundred places, of one of two classes.
    fn square(place: usize, class: usize, score: f32) -> SoftDetection {
        let (x, y) = ((place % 10) as f32 * 40.0, (place / 10) as f32 * 40.0);
        let mut probabilities = vec![0.0; 2];
        probabilities[class] = score;
        SoftDetection { bbox: Box2::new(x, y, x + 20.0, y + 20.0), probabilities }
    }

    fn squares(places: impl IntoIterator<Item = usize>, class: usize, score: f32) -> Vec<SoftDetection> {
        places.into_iter().map(|place| square(place, class, score)).collect()
    }

    fn both(teachers: usize) -> Vec<Vec<bool>> {
        vec![vec![true; 2]; teachers]
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?}, not {expected:?}");
    }

    /// Two teachers see the same three objects a frame, slightly apart; the third sees them too and invents five.
    fn inventor() -> Vec<Vec<Vec<SoftDetection>>> {
        let frame = |frame: usize| {
            let objects = [frame, frame + 3, frame + 6];
            let mut shifted = squares(objects, 0, 0.8);
            shifted.iter_mut().for_each(|found| found.bbox.x_max += 2.0);
            let invented = (0..5).map(|index| 50 + (frame * 7 + index * 9) % 50);
            vec![squares(objects, 0, 0.9), shifted, squares(objects.into_iter().chain(invented), 0, 0.9)]
        };
        (0..4).map(frame).collect()
    }

    #[test]
    fn who_invents_boxes_is_trusted_less_than_two_that_agree() {
        let trust = agreement_trust(&both(3), &inventor(), 0.5);
        assert!(trust[0] > 0.95 && trust[1] > 0.95, "{trust:?}");
        assert!(trust[2] < 0.7 && trust[2] >= LEAST, "{trust:?}");
        // The order of the teachers does not matter.
        let reordered: Vec<_> = inventor()
            .into_iter()
            .map(|frame| {
                let [a, b, inventor] = <[_; 3]>::try_from(frame).unwrap();
                vec![inventor, a, b]
            })
            .collect();
        close(&agreement_trust(&both(3), &reordered, 0.5), &[trust[2], trust[0], trust[1]]);
    }

    #[test]
    fn who_misses_what_others_see_is_trusted_less() {
        let frames = vec![vec![squares(0..4, 0, 0.9), squares(0..4, 0, 0.9), squares(0..1, 0, 0.9)]; 3];
        let trust = agreement_trust(&both(3), &frames, 0.5);
        assert!(trust[0] == 1.0 && trust[1] == 1.0 && trust[2] < 0.4, "{trust:?}");
        let silent = vec![vec![squares(0..4, 0, 0.9), squares(0..4, 0, 0.9), Vec::new()]; 3];
        close(&agreement_trust(&both(3), &silent, 0.5), &[1.0, 1.0, LEAST]);
    }

    #[test]
    fn boxes_of_another_class_or_place_confirm_nothing() {
        let frames = vec![vec![squares(0..4, 0, 0.9), squares(0..4, 0, 0.9), squares(0..4, 1, 0.9)]; 3];
        close(&agreement_trust(&both(3), &frames, 0.5), &[1.0, 1.0, LEAST]);
        let frames = vec![vec![squares(0..4, 0, 0.9), squares(0..4, 0, 0.9), squares(10..14, 0, 0.9)]; 3];
        close(&agreement_trust(&both(3), &frames, 0.5), &[1.0, 1.0, LEAST]);
    }

    #[test]
    fn two_teachers_come_out_alike() {
        let frames = vec![vec![squares(0..6, 0, 0.9), squares(2..5, 0, 0.4)]; 2];
        close(&agreement_trust(&both(2), &frames, 0.5), &[1.0, 1.0]);
    }

    #[test]
    fn what_others_do_not_know_is_not_held_against_a_teacher() {
        // The first alone knows class 1, and finds it beside what the others see.
        let knows = [vec![true, true], vec![true, false], vec![true, false]];
        let first = [squares(0..4, 0, 0.9), squares(10..30, 1, 0.9)].concat();
        let frames = vec![vec![first, squares(0..4, 0, 0.9), squares(0..4, 0, 0.9)]; 2];
        close(&agreement_trust(&knows, &frames, 0.5), &[1.0; 3]);
        // Nothing in common, nothing said, nobody: nothing to judge by.
        let apart = [vec![true, false], vec![false, true]];
        let frames = [vec![squares(0..4, 0, 0.9), squares(0..4, 1, 0.9)]];
        close(&agreement_trust(&apart, &frames, 0.5), &[1.0; 2]);
        close(&agreement_trust(&both(2), &[], 0.5), &[1.0; 2]);
        close(&agreement_trust(&both(1), &frames, 0.5), &[1.0]);
        assert!(agreement_trust(&[], &frames, 0.5).is_empty());
    }

    #[test]
    fn labels_measure_each_teacher_on_its_classes() {
        let classes = ["person".to_owned(), "pallet".to_owned()];
        let object =
            |found: SoftDetection| TruthBox { bbox: found.bbox, class: found.best().0, demand: Demand::Required };
        let objects = [squares(0..4, 0, 1.0), squares(20..22, 1, 1.0)].concat();
        let truth: Vec<TruthBox> = objects.into_iter().map(object).collect();
        let whole = [squares(0..4, 0, 0.9), squares(20..22, 1, 0.9)].concat();
        // Right about all persons, but surer of four that are not there; pallets it does not know.
        let inventor = [squares(50..54, 0, 0.9), squares(0..4, 0, 0.5)].concat();
        let frames = vec![vec![whole, squares(0..4, 0, 0.9), inventor, Vec::new()]; 3];
        let persons = vec![true, false];
        let knows = [vec![true; 2], persons.clone(), persons.clone(), persons];
        let trust = measured_trust(&knows, &frames, &vec![truth; 3], &classes);
        // Precision is 12 of 24 at every recall, as the false ones come first: AP50 0.5.
        close(&trust, &[1.0, 1.0, 0.5, LEAST]);
        // Without truth all are alike.
        close(&measured_trust(&knows, &frames, &vec![Vec::new(); 3], &classes), &[1.0; 4]);
    }
}
