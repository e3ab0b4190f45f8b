//! How far two models agree on a frame.

use crate::{
    geometry::Box2,
    metrics::{CenterTruth, Demand, ScoredBox, ScoredCenter, TruthBox, Verdict, judge_centers, judge_image},
    node::onlooker::{SightKind, Sighting},
};

/// Boxes that overlap by this intersection over union are of one thing.
const IOU: f64 = 0.5;
/// Centres no farther from each other than this, in metres, are of one thing.
const DISTANCE: f32 = 0.5;

/// What one model sees in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// What it sees.
    pub(super) sightings: &'a [Sighting],
    /// Its classes.
    pub(super) classes: &'a [String],
}

impl Seen<'_> {
    /// The sightings of those classes that the other one knows, too, numbered as in `numbers`.
    fn common(&self, numbers: &[String], other: &[String]) -> Vec<Sighting> {
        let renumbered = |seen: &Sighting| {
            let name = self.classes.get(seen.class).filter(|name| other.contains(name))?;
            let class = numbers.iter().position(|known| known == name)?;
            Some(Sighting { class, ..*seen })
        };
        self.sightings.iter().filter_map(renumbered).collect()
    }
}

/// The F1 score of a candidate's sightings with those of the active model as truth: twice what both see, by what each sees. Sightings of
/// classes that only one of them knows are left out; classes are the same by name. Nothing where neither sees anything: two that are
/// blind agree on nothing.
pub(super) fn agreement(kind: SightKind, active: Seen<'_>, candidate: Seen<'_>) -> Option<f64> {
    let active_sees = active.common(active.classes, candidate.classes);
    let candidate_sees = candidate.common(active.classes, active.classes);
    let all = active_sees.len() + candidate_sees.len();
    if all == 0 {
        return None;
    }
    let verdicts = match kind {
        SightKind::Boxes => {
            let truth =
                |seen: &Sighting| TruthBox { bbox: box_of(seen.place), class: seen.class, demand: Demand::Required };
            let claim = |seen: &Sighting| ScoredBox { bbox: box_of(seen.place), class: seen.class, score: seen.score };
            let truths: Vec<TruthBox> = active_sees.iter().map(truth).collect();
            let claims: Vec<ScoredBox> = candidate_sees.iter().map(claim).collect();
            judge_image(&truths, &claims, IOU)
        }
        SightKind::Places => {
            let center = |[x, y, _, _]: [f32; 4]| [x, y, 0.0];
            let truth = |seen: &Sighting| CenterTruth { class: seen.class, center: center(seen.place), ignored: false };
            let claim =
                |seen: &Sighting| ScoredCenter { class: seen.class, score: seen.score, center: center(seen.place) };
            let truths: Vec<CenterTruth> = active_sees.iter().map(truth).collect();
            let claims: Vec<ScoredCenter> = candidate_sees.iter().map(claim).collect();
            judge_centers(&truths, &claims, DISTANCE)
        }
    };
    let both = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Hit(_))).count();
    Some(2.0 * both as f64 / all as f64)
}

fn box_of([x_min, y_min, x_max, y_max]: [f32; 4]) -> Box2 {
    Box2::new(x_min, y_min, x_max, y_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn at(class: usize, x: f32) -> Sighting {
        Sighting { class, score: 0.8, place: [x, 0.1, x + 0.2, 0.5] }
    }

    fn f1(kind: SightKind, active: &[Sighting], candidate: &[Sighting], classes: [&[&str]; 2]) -> Option<f64> {
        let (active_classes, candidate_classes) = (names(classes[0]), names(classes[1]));
        let active = Seen { sightings: active, classes: &active_classes };
        agreement(kind, active, Seen { sightings: candidate, classes: &candidate_classes })
    }

    #[test]
    fn what_both_see_is_counted_once_each() {
        let (boxes, same): (_, [&[&str]; 2]) = (SightKind::Boxes, [&["person"], &["person"]]);
        let two = [at(0, 0.1), at(0, 0.6)];
        assert_eq!(f1(boxes, &two, &two, same), Some(1.0));
        assert_eq!(f1(boxes, &two, &two[..1], same), Some(2.0 / 3.0));
        assert_eq!(f1(boxes, &two[..1], &[at(0, 0.1), at(0, 0.11)], same), Some(2.0 / 3.0));
        assert_eq!(f1(boxes, &two, &[], same), Some(0.0));
        assert_eq!(f1(boxes, &[at(0, 0.1)], &[at(0, 0.25)], same), Some(0.0));
        assert_eq!(f1(boxes, &[], &[], same), None);
    }

    #[test]
    fn classes_are_the_same_by_name() {
        let turned: [&[&str]; 2] = [&["person", "pallet"], &["pallet", "person"]];
        assert_eq!(f1(SightKind::Boxes, &[at(0, 0.1)], &[at(1, 0.1)], turned), Some(1.0));
        assert_eq!(f1(SightKind::Boxes, &[at(0, 0.1)], &[at(0, 0.1)], turned), Some(0.0));
        let more: [&[&str]; 2] = [&["person"], &["forklift", "person"]];
        assert_eq!(f1(SightKind::Boxes, &[at(0, 0.1)], &[at(1, 0.1), at(0, 0.6)], more), Some(1.0));
        assert_eq!(f1(SightKind::Boxes, &[at(0, 0.1)], &[at(0, 0.1)], [&["person"], &["human"]]), None);
    }

    #[test]
    fn places_go_by_their_distance() {
        let same: [&[&str]; 2] = [&["leg"], &["leg"]];
        let near = Sighting { class: 0, score: 0.9, place: [0.4, 0.2, 0.1, 0.1] };
        let far = Sighting { place: [0.9, 0.2, 0.1, 0.1], ..near };
        let origin = Sighting { place: [0.0, 0.0, 0.1, 0.1], ..near };
        assert_eq!(f1(SightKind::Places, &[origin], &[near], same), Some(1.0));
        assert_eq!(f1(SightKind::Places, &[origin], &[far], same), Some(0.0));
    }
}
