//! Several sources of labels made into one.

use super::{LabelledObject, PointClass, PointTarget, SweepLabels, facts::SourceFacts};

/// How the sources of one recording are merged.
#[derive(Debug)]
pub(super) struct Merger {
    /// Per source, which of the experiment's classes it tells apart.
    knows: Vec<Vec<bool>>,
    /// The classes that any of them tells apart.
    known: Vec<bool>,
}

impl Merger {
    /// A merger of sources that tell these classes apart.
    pub fn new(knows: Vec<Vec<bool>>) -> Self {
        let classes = knows.iter().map(Vec::len).max().unwrap_or(0);
        let known = (0..classes).map(|class| knows.iter().any(|knows| knows.get(class) == Some(&true))).collect();
        Self { knows, known }
    }

    /// Whether these sources together, one bit each, tell apart all that any source does.
    fn suffice(&self, sources: u32) -> bool {
        self.known.iter().enumerate().all(|(class, known)| {
            let told =
                |(source, knows): (usize, &Vec<bool>)| sources & (1 << source) != 0 && knows.get(class) == Some(&true);
            !*known || self.knows.iter().enumerate().any(told)
        })
    }

    /// What the sources `said` of a sweep with so many points, made into one: the first that knows a point decides, and what none
    /// knows is ignored. A source that does not know all classes which the others know cannot call a point background alone: the
    /// point may be on what it does not know. An object that loses more than half of its points to earlier sources goes, and the rest
    /// of its points stays open, for it is mostly something else. `facts` counts what each source decided.
    pub fn merge(&self, points: usize, said: &[SweepLabels], facts: &mut [SourceFacts]) -> SweepLabels {
        let mut merged = SweepLabels::ignored(points);
        // Per point the sources that called it background so far, one bit each.
        let mut background = vec![0u32; points];
        for ((source, labels), facts) in said.iter().enumerate().zip(facts) {
            let open = |merged: &SweepLabels, index: usize| !merged.points[index].is_known();
            let mut won = vec![0usize; labels.objects.len()];
            for (index, target) in labels.points.iter().enumerate().take(points) {
                if let Some(count) = target.object.and_then(|object| won.get_mut(object as usize)) {
                    *count += usize::from(target.is_known() && open(&merged, index));
                }
            }
            let places = take_objects(&mut merged, &labels.objects, &won, facts);
            for (index, target) in labels.points.iter().enumerate().take(points) {
                if !target.is_known() || !open(&merged, index) {
                    continue;
                }
                match target.class {
                    PointClass::Background => {
                        background[index] |= 1 << source;
                        if self.suffice(background[index]) {
                            facts.background += 1;
                            merged.points[index] = *target;
                        }
                    }
                    PointClass::Class(class) => {
                        let place = target.object.map(|object| places.get(object as usize).copied().flatten());
                        // Neither without an object from the start nor of one that stays: of one that goes.
                        if place == Some(None) {
                            continue;
                        }
                        facts.count_point(class);
                        merged.points[index] = PointTarget { object: place.flatten(), ..*target };
                    }
                }
            }
        }
        merged
    }
}

/// Takes over the objects that won at least half of their points, and gives the place of each among the merged ones.
fn take_objects(
    merged: &mut SweepLabels,
    objects: &[LabelledObject],
    won: &[usize],
    facts: &mut SourceFacts,
) -> Vec<Option<u32>> {
    let mut places = Vec::with_capacity(objects.len());
    for (object, &won) in objects.iter().zip(won) {
        if 2 * won < object.points {
            places.push(None);
            continue;
        }
        facts.count_object(object.class);
        places.push(u32::try_from(merged.objects.len()).ok());
        merged.objects.push(LabelledObject { points: won, ..object.clone() });
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK: PointTarget = PointTarget::BACKGROUND;
    const OPEN: PointTarget = PointTarget::IGNORED;

    fn on(class: u16, object: u32) -> PointTarget {
        PointTarget::of_class(class, Some(object))
    }

    fn labels(points: &[PointTarget], classes: &[usize]) -> SweepLabels {
        let object = |class: &usize| LabelledObject {
            class: *class,
            center: [0.0; 3],
            size: None,
            yaw: None,
            score: 1.0,
            points: 0,
        };
        let mut labels = SweepLabels { points: points.to_vec(), objects: classes.iter().map(object).collect() };
        labels.count_points(|_| true);
        labels
    }

    fn merge(knows: &[[bool; 2]], said: &[SweepLabels]) -> (SweepLabels, Vec<SourceFacts>) {
        let classes = ["person".to_owned(), "forklift".to_owned()];
        let mut facts = vec![SourceFacts::new("source".into(), &classes); said.len()];
        let merger = Merger::new(knows.iter().map(|knows| knows.to_vec()).collect());
        let merged = merger.merge(said[0].points.len(), said, &mut facts);
        (merged, facts)
    }

    #[test]
    fn the_first_that_knows_a_point_decides() {
        let first = labels(&[on(0, 0), BACK, OPEN, OPEN, OPEN], &[0]);
        let second = labels(&[BACK, on(1, 0), on(1, 1), on(1, 1), OPEN], &[1, 1]);
        let (merged, facts) = merge(&[[true; 2]; 2], &[first, second]);
        assert_eq!(merged.points, [on(0, 0), BACK, on(1, 1), on(1, 1), OPEN]);
        let objects: Vec<(usize, usize)> = merged.objects.iter().map(|object| (object.class, object.points)).collect();
        assert_eq!(objects, [(0, 1), (1, 2)]);
        assert_eq!((facts[0].background, facts[0].classes[0].points, facts[0].classes[0].objects), (1, 1, 1));
        assert_eq!((facts[1].background, facts[1].classes[1].points, facts[1].classes[1].objects), (0, 2, 1));
    }

    #[test]
    fn an_object_that_is_mostly_another_ones_goes() {
        let first = labels(&[on(0, 0), on(0, 0), OPEN, OPEN], &[0]);
        let second = labels(&[on(1, 0), on(1, 0), on(1, 0), BACK], &[1]);
        let (merged, _) = merge(&[[true; 2]; 2], &[first, second]);
        assert_eq!(merged.points, [on(0, 0), on(0, 0), OPEN, BACK]);
        assert_eq!(merged.objects.len(), 1);
    }

    #[test]
    fn background_takes_all_who_know_a_class() {
        let people = labels(&[BACK, BACK, BACK, on(0, 0)], &[0]);
        let trucks = labels(&[BACK, on(1, 0), OPEN, BACK], &[1]);
        let (merged, facts) = merge(&[[true, false], [false, true]], &[people.clone(), trucks]);
        assert_eq!(merged.points, [BACK, on(1, 1), OPEN, on(0, 0)]);
        assert_eq!((facts[0].background, facts[1].background), (0, 1));
        // Alone it does: nobody says that there is anything else.
        let (alone, _) = merge(&[[true, false]], std::slice::from_ref(&people));
        assert_eq!(alone.points, people.points);
    }

    #[test]
    fn points_of_a_class_without_an_object_are_kept_so() {
        let first = labels(&[PointTarget::of_class(1, None), OPEN], &[]);
        let (merged, _) = merge(&[[true; 2]], &[first]);
        assert_eq!(merged.points, [PointTarget::of_class(1, None), OPEN]);
    }
}
