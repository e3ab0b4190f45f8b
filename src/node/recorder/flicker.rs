//! Objects that come and go between consecutive frames: where a student sees something in every frame but one, or in one frame alone, one
//! of its answers is wrong, however sure it was.

use std::collections::VecDeque;

use super::memory::Seen;
use crate::{geometry::Box2, node::onlooker::SightKind};

/// Three frames in a row tell of flicker where no more than so many nanoseconds lie between the first and the last.
const SPAN: i64 = 600_000_000;
/// Boxes that overlap by this IoU two frames apart are the same object.
const SAME: f32 = 0.3;
/// So near to each other, in metres, places two frames apart are the same object.
const SAME_PLACE: f32 = 0.5;
/// How far an object may go from one frame to the next, in metres.
const REACH: f32 = 1.0;
/// A box nearer to the image's edge than this share may be of something that is just coming or going.
const EDGE: f32 = 0.02;

/// What flickers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flicker {
    /// The stamp of the frame in the middle, which is the one to learn from.
    pub(super) stamp: i64,
    /// The object: in the frame before where it is missing in the middle, or in the middle where it is there alone.
    pub(super) object: Seen,
    /// Whether it is missing in the middle.
    pub(super) is_missing: bool,
}

/// The newest three frames.
#[derive(Debug, Default)]
pub(super) struct FlickerWatch {
    frames: VecDeque<(i64, Vec<Seen>)>,
}

impl FlickerWatch {
    /// Looks at the next frame, and tells what flickered in the one before it.
    pub(super) fn look(&mut self, stamp: i64, kind: SightKind, objects: &[Seen]) -> Option<Flicker> {
        if self.frames.back().is_some_and(|(last, _)| stamp <= *last) {
            // The clock was set back, or the same frame came again.
            self.frames.clear();
        }
        self.frames.push_back((stamp, objects.to_vec()));
        if self.frames.len() > 3 {
            self.frames.pop_front();
        }
        let [(first, before), (middle, during), (last, after)] = self.frames.make_contiguous() else { return None };
        if last.saturating_sub(*first) > SPAN {
            return None;
        }
        let stayed = matched(before, after, |a, b| is_same(kind, a, b));
        let still_there = matched(before, during, |a, b| may_have_moved(kind, a, b));
        let missing = before.iter().zip(stayed.iter().zip(&still_there)).find(|(_, pair)| *pair.0 && !*pair.1);
        if let Some((object, _)) = missing {
            return Some(Flicker { stamp: *middle, object: *object, is_missing: true });
        }
        let came_from = matched(during, before, |a, b| may_have_moved(kind, a, b));
        let went_on = matched(during, after, |a, b| may_have_moved(kind, a, b));
        let alone = during
            .iter()
            .zip(came_from.iter().zip(&went_on))
            .find(|(object, pair)| !*pair.0 && !*pair.1 && !is_at_edge(kind, object));
        alone.map(|(object, _)| Flicker { stamp: *middle, object: *object, is_missing: false })
    }
}

/// Which of the objects have one of their own among the others, the surest first.
fn matched(objects: &[Seen], others: &[Seen], fits: impl Fn(&Seen, &Seen) -> bool) -> Vec<bool> {
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by(|&a, &b| objects[b].score.total_cmp(&objects[a].score));
    let (mut found, mut is_taken) = (vec![false; objects.len()], vec![false; others.len()]);
    for index in order {
        let object = &objects[index];
        let free = others
            .iter()
            .enumerate()
            .filter(|(place, other)| !is_taken[*place] && other.class == object.class && fits(object, other));
        let nearest = free.min_by(|(_, a), (_, b)| apart(object, a).total_cmp(&apart(object, b)));
        if let Some((place, _)) = nearest {
            is_taken[place] = true;
            found[index] = true;
        }
    }
    found
}

fn bounds(object: &Seen) -> Box2 {
    let [x_min, y_min, x_max, y_max] = object.place;
    Box2::new(x_min, y_min, x_max, y_max)
}

/// Squared distance of corners or of places and sizes: only to be compared.
fn apart(a: &Seen, b: &Seen) -> f32 {
    a.place.iter().zip(&b.place).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn distance(a: &Seen, b: &Seen) -> f32 {
    (a.place[0] - b.place[0]).hypot(a.place[1] - b.place[1])
}

/// Whether two objects are surely one.
fn is_same(kind: SightKind, a: &Seen, b: &Seen) -> bool {
    match kind {
        SightKind::Boxes => bounds(a).iou(&bounds(b)) >= SAME,
        SightKind::Places => distance(a, b) <= SAME_PLACE,
    }
}

/// Whether two objects may be one that moves fast: its box moved by no more than its own size.
fn may_have_moved(kind: SightKind, a: &Seen, b: &Seen) -> bool {
    match kind {
        SightKind::Boxes => {
            let (a, b) = (bounds(a), bounds(b));
            let ((ax, ay), (bx, by)) = (a.center(), b.center());
            (ax - bx).abs() <= a.width().max(b.width()) && (ay - by).abs() <= a.height().max(b.height())
        }
        SightKind::Places => distance(a, b) <= REACH,
    }
}

/// Whether something may be coming into the image or leaving it.
fn is_at_edge(kind: SightKind, object: &Seen) -> bool {
    let [x_min, y_min, x_max, y_max] = object.place;
    let is_inside = x_min > EDGE && y_min > EDGE && x_max < 1.0 - EDGE && y_max < 1.0 - EDGE;
    kind == SightKind::Boxes && !is_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 100_000_000;

    fn object(x: f32) -> Seen {
        Seen { class: 0, score: 0.9, place: [x, 0.4, x + 0.1, 0.7] }
    }

    /// What is told at each of the frames, 0.1 s apart.
    fn told(kind: SightKind, frames: &[&[Seen]]) -> Vec<Option<(i64, bool)>> {
        let mut watch = FlickerWatch::default();
        let look = |(number, objects): (usize, &&[Seen])| {
            watch.look(number as i64 * STEP, kind, objects).map(|flicker| (flicker.stamp / STEP, flicker.is_missing))
        };
        frames.iter().enumerate().map(look).collect()
    }

    #[test]
    fn an_object_that_is_missing_once_or_there_once_flickers() {
        let (here, there) = (object(0.2), object(0.7));
        let missing = told(SightKind::Boxes, &[&[here], &[], &[here], &[here]]);
        assert_eq!(missing, [None, None, Some((1, true)), None]);
        let alone = told(SightKind::Boxes, &[&[here], &[here, there], &[here], &[here]]);
        assert_eq!(alone, [None, None, Some((1, false)), None]);
        // One of two that stand beside each other.
        let one_of_two = told(SightKind::Boxes, &[&[here, object(0.25)], &[here], &[here, object(0.25)]]);
        assert_eq!(one_of_two, [None, None, Some((1, true))]);
    }

    #[test]
    fn what_moves_comes_or_leaves_does_not_flicker() {
        let moving: Vec<Vec<Seen>> = (0..8).map(|number| vec![object(0.08 * number as f32)]).collect();
        let moving: Vec<&[Seen]> = moving.iter().map(Vec::as_slice).collect();
        assert_eq!(told(SightKind::Boxes, &moving), vec![None; 8]);
        let here = object(0.2);
        assert_eq!(told(SightKind::Boxes, &[&[], &[here], &[here], &[]]), vec![None; 4]);
        assert_eq!(told(SightKind::Boxes, &[&[], &[object(0.0)], &[]]), vec![None; 3], "at the edge");
        let other = Seen { class: 1, ..here };
        assert_eq!(told(SightKind::Boxes, &[&[here], &[other], &[here]])[2], Some((1, true)), "another class");
    }

    #[test]
    fn frames_that_are_far_apart_say_nothing() {
        let mut watch = FlickerWatch::default();
        let here = [object(0.2)];
        for (stamp, objects) in [(0, &here[..]), (5 * STEP, &here[..0]), (10 * STEP, &here[..])] {
            assert_eq!(watch.look(stamp, SightKind::Boxes, objects), None);
        }
        // The clock is set back: what was before does not count.
        assert_eq!(watch.look(0, SightKind::Boxes, &[]), None);
        assert_eq!(watch.look(STEP, SightKind::Boxes, &here), None);
    }

    #[test]
    fn places_are_compared_in_metres() {
        let person = |x: f32| Seen { class: 0, score: 0.8, place: [x, 1.0, 0.4, 0.5] };
        let flicker = told(SightKind::Places, &[&[person(2.0)], &[], &[person(2.3)]]);
        assert_eq!(flicker[2], Some((1, true)));
        let walking = told(SightKind::Places, &[&[person(2.0)], &[person(2.6)], &[person(3.2)]]);
        assert_eq!(walking, vec![None; 3]);
    }
}
