//! Intersection over union of point classes, as semantic segmentation is judged (PASCAL VOC; SemanticKITTI, Behley et al. 2019).

use serde::{Deserialize, Serialize};

use super::mean;

/// The figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassIou {
    /// Name of the class.
    pub class: String,
    /// Points that are really of the class.
    pub points: u64,
    /// Hits over hits, misses and false alarms; `None` when the class neither occurs nor is claimed.
    pub iou: Option<f64>,
    /// Share of the claimed points that are right; `None` where none is claimed.
    pub precision: Option<f64>,
    /// Share of the class' points that are found; `None` where it does not occur.
    pub recall: Option<f64>,
}

/// Point IoU over the classes that occur in the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointIou {
    /// Mean over the classes that occur, background left out; `None` where none does.
    pub mean: Option<f64>,
    /// Each class by itself.
    pub per_class: Vec<ClassIou>,
    /// Points judged.
    pub points: u64,
}

/// Collects sweeps one by one, then gives the figures.
#[derive(Debug, Clone)]
pub struct PointIouAccumulator {
    classes: Vec<String>,
    hits: Vec<u64>,
    misses: Vec<u64>,
    alarms: Vec<u64>,
    points: u64,
}

impl PointIouAccumulator {
    /// An empty accumulator for classes of these names.
    pub fn new(classes: &[String]) -> Self {
        let zeros = vec![0; classes.len()];
        Self { classes: classes.to_vec(), hits: zeros.clone(), misses: zeros.clone(), alarms: zeros, points: 0 }
    }

    /// Judges one sweep: the true and the found class of each point, none being background. Points for which `counts` says no (void,
    /// ignored) are passed over, and so are classes outside the known ones.
    pub fn add(&mut self, truth: &[Option<u16>], found: &[Option<u16>], counts: impl Fn(usize) -> bool) {
        for (_, (truth, found)) in truth.iter().zip(found).enumerate().filter(|(index, _)| counts(*index)) {
            self.points += 1;
            if truth == found {
                increment(&mut self.hits, *truth);
            } else {
                increment(&mut self.misses, *truth);
                increment(&mut self.alarms, *found);
            }
        }
    }

    /// The figures over everything added so far.
    pub fn finish(&self) -> PointIou {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let class = |index: usize| {
            let (hits, misses, alarms) = (self.hits[index], self.misses[index], self.alarms[index]);
            ClassIou {
                class: self.classes[index].clone(),
                points: hits + misses,
                iou: share(hits, hits + misses + alarms),
                precision: share(hits, hits + alarms),
                recall: share(hits, hits + misses),
            }
        };
        let per_class: Vec<ClassIou> = (0..self.classes.len()).map(class).collect();
        let mean = mean(per_class.iter().filter(|class| class.points > 0).filter_map(|class| class.iou));
        PointIou { mean, per_class, points: self.points }
    }
}

fn increment(counts: &mut [u64], class: Option<u16>) {
    if let Some(count) = class.and_then(|class| counts.get_mut(usize::from(class))) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_misses_and_false_alarms_are_counted_by_class() {
        let mut iou = PointIouAccumulator::new(&["person".to_owned(), "pallet".to_owned()]);
        let truth = [Some(0), Some(0), Some(0), None, Some(1), None];
        let found = [Some(0), None, Some(1), Some(0), Some(1), Some(0)];
        // The last point is void.
        iou.add(&truth, &found, |index| index != 5);
        let figures = iou.finish();
        let [person, pallet] = &figures.per_class[..] else { panic!("two classes") };
        assert_eq!((figures.points, person.points, pallet.points), (5, 3, 1));
        assert_eq!((person.iou, person.precision, person.recall), (Some(0.25), Some(0.5), Some(1.0 / 3.0)));
        assert_eq!((pallet.iou, pallet.precision, pallet.recall), (Some(0.5), Some(0.5), Some(1.0)));
        assert_eq!(figures.mean, Some(0.375));
    }

    #[test]
    fn what_does_not_occur_does_not_count_in_the_mean() {
        let mut iou = PointIouAccumulator::new(&["person".to_owned(), "pallet".to_owned()]);
        iou.add(&[Some(0), None], &[Some(0), Some(1)], |_| true);
        let figures = iou.finish();
        assert_eq!(figures.mean, Some(1.0));
        assert_eq!((figures.per_class[1].iou, figures.per_class[1].recall), (Some(0.0), None));
        assert_eq!(PointIouAccumulator::new(&["person".to_owned()]).finish().mean, None);
    }
}
