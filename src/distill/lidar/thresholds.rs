//! The score from which a point is of a class, chosen where it decides best.
//!
//! A student's scores are no probabilities: focal loss and soft labels pull them together, and how far differs from class to class. One
//! threshold for all would take too many points of one class and too few of another.

use crate::{
    metrics::{PointIou, PointIouAccumulator},
    model::lidar::PointLabel,
};

/// Steps of the thresholds that are tried, in one unit of score.
const STEPS: u8 = 20;

/// The least threshold that is tried: what was found must have been decoded with this one or less. A student that needs a lower one
/// has learnt nothing of the class.
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

/// Point IoU at many thresholds at once: every 0.05 from [`LEAST`] up.
#[derive(Debug, Clone)]
pub struct ThresholdSweep {
    classes: Vec<String>,
    tried: Vec<(f32, PointIouAccumulator)>,
}

impl ThresholdSweep {
    /// Nothing judged yet, for classes of these names.
    pub fn new(classes: &[String]) -> Self {
        let steps = (1..STEPS).map(|step| f32::from(step) / f32::from(STEPS)).filter(|&threshold| threshold >= LEAST);
        let tried = steps.map(|threshold| (threshold, PointIouAccumulator::new(classes))).collect();
        Self { classes: classes.to_vec(), tried }
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

    /// The best threshold of each class of which there are points; of several as good the least. A class that is never right has the
    /// highest, with which it is wrong least often.
    pub fn finish(&self) -> Vec<ChosenThreshold> {
        let figures: Vec<(f32, PointIou)> =
            self.tried.iter().map(|(threshold, points)| (*threshold, points.finish())).collect();
        let choose = |(class, name): (usize, &String)| {
            let mut best: Option<ChosenThreshold> = None;
            for (score, figures) in &figures {
                let figures = &figures.per_class[class];
                let Some(iou) = figures.iou.filter(|_| figures.points > 0) else { continue };
                if best.as_ref().is_none_or(|best| iou > best.iou || best.iou <= 0.0) {
                    best = Some(ChosenThreshold { class: name.clone(), score: *score, iou });
                }
            }
            best
        };
        self.classes.iter().enumerate().filter_map(choose).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(class: u16, score: f32) -> PointLabel {
        PointLabel { class: Some(class), score, object: None }
    }

    #[test]
    fn thresholds_lie_where_points_agree_best() {
        let mut sweep = ThresholdSweep::new(&["post".to_owned(), "wall".to_owned(), "cat".to_owned()]);
        let found = [label(0, 0.9), label(0, 0.6), label(0, 0.55), label(0, 0.12), label(1, 0.12), label(0, 0.95)];
        let truth = [Some(0), Some(0), None, None, Some(1), None];
        // The last point is not known.
        sweep.add(&truth, &found, &|point| point < 5);
        let chosen = |class: &str, score| ChosenThreshold { class: class.into(), score, iou: 1.0 };
        assert_eq!(sweep.finish(), [chosen("post", 0.6), chosen("wall", 0.1)]);
    }

    #[test]
    fn what_is_never_right_is_kept_quiet() {
        let mut sweep = ThresholdSweep::new(&["post".to_owned()]);
        sweep.add(&[Some(0), None], &[PointLabel::default(), label(0, 0.99)], &|_| true);
        assert_eq!(sweep.finish(), [ChosenThreshold { class: "post".into(), score: 0.95, iou: 0.0 }]);
    }
}
