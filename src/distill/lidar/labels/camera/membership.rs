//! Which points belong to which box.

use super::{
    projection::{SeenPoint, View, Viewpoint, quantile},
    seen_box::{ClassedBox, SeenBox},
};

/// A group that covers at least this share of what stands in a box's core covers it well enough.
const FULL_COVER: f64 = 0.3;
/// One that covers less than this, or fits less well than that, is not taken for the object.
const LEAST_COVER: f64 = 0.15;
const LEAST_FIT: f64 = 0.2;
/// Among groups that explain the box about equally well, as far as this share of the best, the nearest is taken.
const EQUALLY_WELL: f64 = 0.95;
/// Groups whose middle is at most so much nearer or farther than the object's points are parts of it, in metres.
const PART: f64 = 0.1;
/// Points of the object that are farther off than this from the bulk of it are not sure, in metres.
const STRAY: f64 = 0.2;
/// Shares of the object's points between which the bulk of it lies.
const BULK: [f64; 2] = [0.02, 0.98];
/// A box is aboard another when at least this share of it lies within that one, and it is no larger than so much of that one.
const ABOARD_SHARE: f32 = 0.85;
const ABOARD_SIZE: f32 = 0.5;
/// A box that the teachers are not sure of disputes a sure one's points when its score is more than this share of that one's.
const DISPUTE_SHARE: f32 = 0.5;

/// What a point is, as the boxes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody knows.
    Ignored,
    /// Nothing that the teachers know.
    Background,
    /// It lies on the object of the box with this place; `alone` where no other box claims it too.
    Object { owner: usize, alone: bool },
}

/// What a box says of a point.
#[derive(Debug, Clone, Copy)]
struct Claim {
    by: usize,
    kind: ClaimKind,
    /// Whether the point is in the box's core.
    is_core: bool,
    /// Where the box's object begins and ends, in metres from the camera.
    depth: [f64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimKind {
    /// On the object.
    Object,
    /// Perhaps on it.
    Unsure,
}

/// The object of a box, as far as the lidar sees it.
struct Bulk {
    is_member: Vec<bool>,
    /// Where the main group begins and ends, in metres from the camera.
    depth: [f64; 2],
    /// What lies before or behind of this is certainly something else.
    clear: [f64; 2],
    /// What stands farther away along the floor is not the object, in metres.
    farthest: f64,
}

/// Decides about all points of the view. `sizes` has the length, width and height that objects of each class mostly have;
/// `clear_depth` in metres, `border_degrees` seen from the camera.
pub(super) fn decide(
    view: &View,
    from: &Viewpoint<'_>,
    boxes: &[ClassedBox],
    sizes: &[Option<[f32; 3]>],
    clear_depth: f64,
    border_degrees: f64,
) -> Vec<Verdict> {
    let mut claims: Vec<Vec<Claim>> = vec![Vec::new(); view.points.len()];
    for (by, given) in boxes.iter().enumerate() {
        let seen = SeenBox::new(*given, view, from, border_degrees);
        let size = sizes.get(given.class).copied().flatten();
        let bulk = if given.is_sure { find_bulk(view, &seen, size, clear_depth) } else { None };
        for (place, point) in view.points.iter().enumerate() {
            if !seen.touches(point) {
                continue;
            }
            let claim = match &bulk {
                Some(bulk) => claim_of(&seen, bulk, point, bulk.is_member[place]).map(|kind| (kind, bulk.depth)),
                // Its object may be anywhere.
                None => Some((ClaimKind::Unsure, [0.0, f64::INFINITY])),
            };
            if let Some((kind, depth)) = claim {
                claims[place].push(Claim { by, kind, is_core: seen.has_in_core(point), depth });
            }
        }
    }
    let mut verdicts = Vec::with_capacity(view.points.len());
    for (point, claims) in view.points.iter().zip(&claims) {
        let is_seen = point.is_inside && !point.is_hidden;
        verdicts.push(if is_seen { judge(point, claims, boxes, clear_depth) } else { Verdict::Ignored });
    }
    verdicts
}

/// The group of points that explains a box best.
fn find_bulk(view: &View, seen: &SeenBox, size: Option<[f32; 3]>, clear_depth: f64) -> Option<Bulk> {
    let stands = |point: &SeenPoint| !point.is_floor && !point.is_hidden && point.is_inside;
    let is_candidate = |point: &SeenPoint| stands(point) && seen.holds(point);
    let candidates: Vec<usize> = (0..view.points.len()).filter(|&place| is_candidate(&view.points[place])).collect();
    let in_core = |places: &[usize]| places.iter().filter(|&&place| seen.has_in_core(&view.points[place])).count();
    let all_in_core = in_core(&candidates).max(1) as f64;
    let sorted = |places: &[usize], value: fn(&SeenPoint) -> f64| {
        let mut values: Vec<f64> = places.iter().map(|&place| value(&view.points[place])).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let groups = view.groups(&candidates);
    // Score, distance, place.
    let mut scored: Vec<(f64, f64, usize)> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let cover = in_core(group) as f64 / all_in_core;
        let distance = quantile(&sorted(group, |point| point.distance), 0.5);
        let near_side = quantile(&sorted(group, |point| point.floor_distance), 0.1);
        let fit = seen.fit(size, distance, near_side);
        if cover >= LEAST_COVER && fit >= LEAST_FIT {
            scored.push(((cover / FULL_COVER).min(1.0) * fit, distance, number));
        }
    }
    let best = scored.iter().map(|(score, ..)| *score).fold(0.0, f64::max);
    let equal = scored.iter().filter(|(score, ..)| *score >= EQUALLY_WELL * best);
    let (_, _, main) = equal.min_by(|a, b| a.1.total_cmp(&b.1)).copied()?;
    let distances = sorted(&groups[main], |point| point.distance);
    let depth = BULK.map(|share| quantile(&distances, share));
    let mut is_member = vec![false; view.points.len()];
    for (number, group) in groups.iter().enumerate() {
        let middle = quantile(&sorted(group, |point| point.distance), 0.5);
        if number == main || (depth[0] - PART..depth[1] + PART).contains(&middle) {
            for &place in group {
                is_member[place] = true;
            }
        }
    }
    // As deep as the class can be, or, where that is not known, as deep as the object is wide.
    let wide = seen.extent[0] * depth[0];
    let deep = size.map_or(wide, |[length, width, _]| f64::from(length.hypot(width)));
    let clear =
        [(depth[0] - clear_depth).min(depth[1] - deep - STRAY), (depth[1] + clear_depth).max(depth[0] + deep + STRAY)];
    Some(Bulk { is_member, depth, clear, farthest: seen.farthest + deep })
}

/// What a box with an object says of a point; nothing when the point is clearly something else.
fn claim_of(seen: &SeenBox, bulk: &Bulk, point: &SeenPoint, is_member: bool) -> Option<ClaimKind> {
    let is_within = |[near, far]: [f64; 2]| (near..=far).contains(&point.distance);
    let [near, far] = bulk.depth;
    if is_member && is_within([near - STRAY, far + STRAY]) && point.floor_distance <= bulk.farthest {
        return Some(if seen.surely_holds(point) { ClaimKind::Object } else { ClaimKind::Unsure });
    }
    let clear = if point.is_floor { [near - 2.0 * STRAY, far + 2.0 * STRAY] } else { bulk.clear };
    is_within(clear).then_some(ClaimKind::Unsure)
}

/// Whether one box is aboard another: a smaller one of another class, nearly all of it within the other.
fn is_aboard(inner: &ClassedBox, outer: &ClassedBox) -> bool {
    let area = inner.bbox.area();
    inner.class != outer.class
        && area > 0.0
        && area <= ABOARD_SIZE * outer.bbox.area()
        && inner.bbox.intersection(&outer.bbox) >= ABOARD_SHARE * area
}

/// Weighs what all boxes say of a point that the camera sees.
fn judge(point: &SeenPoint, claims: &[Claim], boxes: &[ClassedBox], clear_depth: f64) -> Verdict {
    let objects = || claims.iter().filter(|claim| claim.kind == ClaimKind::Object);
    let by_score = |a: &&Claim, b: &&Claim| boxes[a.by].score.total_cmp(&boxes[b.by].score);
    let Some(mut owner) = objects().max_by(by_score) else {
        return if claims.is_empty() { Verdict::Background } else { Verdict::Ignored };
    };
    let is_weak = |other: &ClassedBox, given: &ClassedBox| !other.is_sure && other.score <= DISPUTE_SHARE * given.score;
    // The driver in a forklift has a box within the forklift's, and what is in the middle of it is the driver.
    let rides = |claim: &&Claim| {
        let given = &boxes[claim.by];
        claims.iter().map(|other| &boxes[other.by]).any(|other| is_aboard(given, other) && !is_weak(other, given))
    };
    if let Some(rider) = objects().filter(rides).max_by(by_score) {
        if !rider.is_core {
            return Verdict::Ignored;
        }
        owner = rider;
    }
    let given = &boxes[owner.by];
    let disputes = |claim: &Claim| {
        let other = &boxes[claim.by];
        let [near, far] = claim.depth;
        let is_near = (near - clear_depth..far + clear_depth).contains(&point.distance);
        let carries = is_aboard(given, other);
        claim.by != owner.by && other.class != given.class && !is_weak(other, given) && is_near && !carries
    };
    if claims.iter().any(disputes) {
        return Verdict::Ignored;
    }
    Verdict::Object { owner: owner.by, alone: objects().count() == 1 }
}

#[cfg(test)]
mod tests {
    use super::super::staged::{PERSON, Stage};
    use super::*;
    use crate::geometry::Box2;

    /// Length, width and height of a staged forklift in metres.
    const FORKLIFT: [f32; 3] = [2.2, 1.1, 2.1];

    /// Verdicts by place in the sweep; what is not before the camera is ignored.
    fn verdicts(stage: &Stage, boxes: &[ClassedBox]) -> (Vec<Verdict>, Vec<Option<usize>>) {
        let (sweep, truth) = stage.sweep(0.0);
        let viewpoint = stage.viewpoint();
        let view = View::new(&sweep, &viewpoint, 0.1);
        let decided = decide(&view, &viewpoint, boxes, &[Some(PERSON), Some([1.2, 0.9, 0.9])], 0.5, 0.5);
        let mut found = vec![Verdict::Ignored; sweep.points.len()];
        for (point, verdict) in view.points.iter().zip(decided) {
            found[point.index] = verdict;
        }
        (found, truth)
    }

    fn is_object(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Object { .. })
    }

    #[test]
    fn a_wall_behind_a_person_is_not_the_person() {
        for mut stage in [Stage::cloud(), Stage::scan()] {
            stage.person(4.0, 0.4);
            stage.wall(7.0);
            let (found, truth) = verdicts(&stage, &stage.boxes());
            let on_person = truth.iter().filter(|who| who.is_some()).count();
            let labelled = found.iter().filter(|verdict| is_object(verdict)).count();
            assert!(labelled * 2 >= on_person && labelled >= 3, "{labelled} of {on_person}");
            for (verdict, who) in found.iter().zip(&truth) {
                assert!(!is_object(verdict) || *who == Some(0));
                assert!(who.is_none() || *verdict != Verdict::Background);
            }
            assert!(found.iter().filter(|verdict| **verdict == Verdict::Background).count() > 50);
        }
    }

    #[test]
    fn of_two_people_in_one_direction_each_box_takes_its_own() {
        let mut stage = Stage::cloud();
        stage.person(3.6, 0.2);
        stage.person(6.0, 0.9);
        stage.wall(9.0);
        let boxes = stage.boxes();
        assert!(boxes[0].bbox.intersection(&boxes[1].bbox) > 0.0);
        let (found, truth) = verdicts(&stage, &boxes);
        for (verdict, who) in found.iter().zip(&truth) {
            if let Verdict::Object { owner, .. } = verdict {
                assert_eq!(Some(*owner), *who);
            }
        }
        for number in 0..2 {
            let of = |verdict: &&Verdict| matches!(verdict, Verdict::Object { owner, .. } if *owner == number);
            assert!(found.iter().filter(of).count() >= 4, "person {number}");
        }
    }

    #[test]
    fn nobody_learns_from_boxes_without_an_object_or_certainty() {
        let mut stage = Stage::cloud();
        stage.person(4.0, 0.0);
        stage.wall(7.0);
        let sure = stage.boxes();
        let unsure = [ClassedBox { is_sure: false, score: 0.3, ..sure[0] }];
        let (found, truth) = verdicts(&stage, &unsure);
        assert!(!found.iter().any(is_object));
        assert!(found.iter().zip(&truth).all(|(verdict, who)| who.is_none() || *verdict == Verdict::Ignored));
        // A box that would make a giant of the wall.
        let giant = ClassedBox { bbox: Box2::new(200.0, 5.0, 300.0, 100.0), ..sure[0] };
        let (found, _) = verdicts(&stage, &[giant]);
        assert!(!found.iter().any(is_object));
    }

    #[test]
    fn boxes_of_two_classes_around_one_object_dispute_it() {
        let mut stage = Stage::cloud();
        stage.person(4.0, 0.0);
        stage.wall(7.0);
        let person = stage.boxes()[0];
        let count = |other: ClassedBox| verdicts(&stage, &[person, other]).0.iter().filter(|v| is_object(v)).count();
        assert_eq!(count(ClassedBox { class: 1, is_sure: false, score: 0.49, ..person }), 0);
        assert!(count(ClassedBox { class: 1, is_sure: false, score: 0.2, ..person }) > 3, "too weak to dispute");
        assert!(count(ClassedBox { score: 0.8, ..person }) > 3, "the same class twice");
    }

    #[test]
    fn the_middle_of_a_drivers_box_is_the_driver_and_what_is_around_it_the_forklift() {
        let mut stage = Stage::cloud();
        // A broad front, of which the second quarter is the driver.
        for y in [-0.6, -0.2, 0.2, 0.6] {
            stage.person(4.0, y);
        }
        stage.wall(9.0);
        let quarters = stage.boxes();
        assert_eq!(quarters.len(), 4);
        let around = |a: Box2, b: Box2| {
            Box2::new(a.x_min.min(b.x_min), a.y_min.min(b.y_min), a.x_max.max(b.x_max), a.y_max.max(b.y_max))
        };
        let front = quarters.iter().map(|quarter| quarter.bbox).reduce(around).unwrap();
        let (sweep, truth) = stage.sweep(0.0);
        let viewpoint = stage.viewpoint();
        let view = View::new(&sweep, &viewpoint, 0.1);
        // Whoever is surer.
        for (score, of_driver) in [(0.9, 0.8), (0.8, 0.9)] {
            let forklift = ClassedBox { bbox: front, class: 1, score, is_sure: true };
            let driver = ClassedBox { score: of_driver, ..quarters[1] };
            let decided = decide(&view, &viewpoint, &[forklift, driver], &[Some(PERSON), Some(FORKLIFT)], 0.5, 0.5);
            let seen = SeenBox::new(driver, &view, &viewpoint, 0.5);
            let (mut owned, mut ignored) = ([0; 2], 0);
            for (point, verdict) in view.points.iter().zip(&decided) {
                let is_on_it = truth[point.index].is_some();
                match *verdict {
                    Verdict::Object { owner, .. } => {
                        assert!(is_on_it);
                        assert!(if owner == 1 { seen.has_in_core(point) } else { !seen.touches(point) });
                        owned[owner] += 1;
                    }
                    Verdict::Ignored => ignored += usize::from(is_on_it && seen.holds(point)),
                    Verdict::Background => assert!(!is_on_it),
                }
            }
            let [forklift, driver] = owned;
            assert!(forklift > 40 && driver > 10 && ignored > 5, "{forklift}, {driver}, {ignored}");
        }
    }

    #[test]
    fn aboard_is_a_smaller_box_of_another_class_that_lies_within() {
        let of = |class, x_min, x_max| {
            let bbox = Box2::new(x_min, 0.0, x_max, 100.0);
            ClassedBox { bbox, class, score: 0.9, is_sure: true }
        };
        let forklift = of(1, 100.0, 200.0);
        for (x_min, x_max, expected) in [
            (120.0, 160.0, true),
            (90.0, 160.0, false),  // Larger than half of the forklift.
            (95.0, 135.0, true),   // A little of it is outside.
            (80.0, 120.0, false),  // Half of it is.
            (150.0, 150.0, false), // Nothing.
        ] {
            assert_eq!(is_aboard(&of(0, x_min, x_max), &forklift), expected, "{x_min}..{x_max}");
        }
        assert!(!is_aboard(&of(1, 120.0, 160.0), &forklift), "a part of the same forklift");
        assert!(!is_aboard(&forklift, &of(0, 120.0, 160.0)));
    }
}
