//! The score from which a point is of a class, chosen where it decides best.
//!
//! A student's scores are no probabilities: focal loss and soft labels pull them together, and how far differs from class to class. One
//! threshold for all would take too many points of one class and too few of another.

use crate::{
    metrics::{PointIou, PointIouAccumulator},
    model::lidar::{LidarSpec, PointLabel},
};

/// Steps of the thresholds that are tried, in one unit of score.
const STEPS: u8 = 20;

/// The least threshold that is tried. A student that needs a lower one has learnt nothing of the class.
pub const LEAST: f32 = 0.1;

/// The threshold of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenThreshold {
    /// The class.
    pub class: String,
    /// The score from which points are of it.
    pub score: f32,
    /// IoU of the class' points there.
    pub iou: f64,
}

/// Point IoU at many thresholds at once.
#[derive(Debug, Clone)]
pub struct ThresholdSweep<'a> {
    spec: &'a LidarSpec,
    /// All that are tried: the steps, then the specification's own.
    tried: Vec<(f32, PointIouAccumulator)>,
    /// How many of them are steps.
    steps: usize,
}

impl<'a> ThresholdSweep<'a> {
    /// Tries every 0.05 from [`LEAST`] up, and the specification's own thresholds of single classes.
    pub fn new(spec: &'a LidarSpec) -> Self {
        let steps = (1..STEPS).map(|step| f32::from(step) / f32::from(STEPS));
        let steps: Vec<f32> = steps.filter(|&threshold| threshold >= LEAST).collect();
        let count = steps.len();
        let own = spec.class_thresholds.values().copied();
        let accumulator = |threshold: f32| (threshold, PointIouAccumulator::new(&spec.classes));
        Self { spec, tried: steps.into_iter().chain(own).map(accumulator).collect(), steps: count }
    }

    /// The least threshold of all that are tried: what was found must have been decoded with this one or less.
    pub fn least(&self) -> f32 {
        self.tried.iter().map(|(threshold, _)| *threshold).fold(LEAST, f32::min)
    }

    /// Judges the points of one sweep, as far as they count.
    pub fn add(&mut self, truth: &[Option<u16>], found: &[PointLabel], counts: &dyn Fn(usize) -> bool) {
        for (threshold, points) in &mut self.tried {
            // The best class of a point is the same at all thresholds, so each class can be judged by itself.
            let claimed: Vec<Option<u16>> =
                found.iter().map(|point| point.class.filter(|_| point.score >= *threshold)).collect();
            points.add(truth, &claimed, counts);
        }
    }

    /// Each class of which there are points, with the specification's own threshold or else the best one, of several as good the least.
    pub fn finish(&self) -> Vec<ChosenThreshold> {
        let figures: Vec<(f32, PointIou)> =
            self.tried.iter().map(|(threshold, points)| (*threshold, points.finish())).collect();
        let choose = |(class, name): (usize, &String)| {
            let own = self.spec.class_thresholds.get(name);
            let mut best: Option<ChosenThreshold> = None;
            for (place, (score, figures)) in figures.iter().enumerate() {
                let figures = &figures.per_class[class];
                let Some(iou) = figures.iou.filter(|_| figures.points > 0) else { continue };
                let is_allowed = own.map_or(place < self.steps, |own| own == score);
                if is_allowed && best.as_ref().is_none_or(|best| iou > best.iou) {
                    best = Some(ChosenThreshold { class: name.clone(), score: *score, iou });
                }
            }
            best
        };
        self.spec.classes.iter().enumerate().filter_map(choose).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::lidar::batch::tests::spec;

    fn sweep(spec: &LidarSpec) -> Vec<ChosenThreshold> {
        let mut sweep = ThresholdSweep::new(spec);
        let found = [0.9, 0.6, 0.55, 0.2, 0.95].map(|score| PointLabel {
            class: (score >= sweep.least()).then_some(0),
            score,
            object: None,
        });
        let truth = [Some(0), Some(0), None, None, None];
        // The last one is not known.
        sweep.add(&truth, &found, &|point| point < 4);
        sweep.finish()
    }

    #[test]
    fn the_threshold_lies_where_points_agree_best() {
        let chosen = sweep(&spec());
        assert_eq!(chosen, [ChosenThreshold { class: "post".into(), score: 0.6, iou: 1.0 }]);
    }

    #[test]
    fn an_own_threshold_stays_and_is_what_counts() {
        let mut spec = spec();
        spec.class_thresholds.insert("post".into(), 0.03);
        assert_eq!(ThresholdSweep::new(&spec).least(), 0.03);
        let chosen = sweep(&spec);
        assert_eq!((chosen[0].score, chosen[0].iou), (0.03, 0.5));
    }

    #[test]
    fn a_class_without_points_has_none() {
        let spec = spec();
        let mut sweep = ThresholdSweep::new(&spec);
        sweep.add(&[None], &[PointLabel { class: Some(0), score: 0.9, object: None }], &|_| true);
        assert!(sweep.finish().is_empty());
    }
}
