//! A student's own finds as labels, where neighbouring sweeps agree.

use serde::{Deserialize, Serialize};

use super::{LabelledSweep, SweepLabels, predicted::labels_of, scores::check_scores};
use crate::model::lidar::{LidarDetections, LidarObject};

/// When a find counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsistencyOptions {
    /// An object must be found again in the neighbouring sweeps within this distance in the x-y plane, in metres. Default 0.5.
    pub distance: f32,
    /// Objects with at least this score are learnt. Default 0.5.
    pub min_score: f32,
    /// Points with a lower score are background, and objects with at least this score confirm those of the neighbouring sweeps.
    /// Default 0.2.
    pub uncertain_score: f32,
    /// Sweeps further apart than this are no neighbours, in seconds. Default 0.5.
    pub most_gap: f64,
}

impl Default for ConsistencyOptions {
    fn default() -> Self {
        Self { distance: 0.5, min_score: 0.5, uncertain_score: 0.2, most_gap: 0.5 }
    }
}

impl ConsistencyOptions {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// The key (`distance`, say) and the mend.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        check_scores(self.min_score, self.uncertain_score)?;
        if !(self.distance > 0.0 && self.distance <= 10.0) {
            return Err(("distance", format!("must be more than 0 and at most 10 metres, not {}", self.distance)));
        }
        if !(self.most_gap > 0.0 && self.most_gap <= 60.0) {
            return Err(("most_gap", format!("must be more than 0 and at most 60 seconds, not {}", self.most_gap)));
        }
        Ok(())
    }
}

/// Labels sweeps by what a detector with the experiment's classes found in them, with `uncertain_score` as its threshold: what it
/// holds back confirms nothing. `sweeps` are in the order of time, recording after recording; `predictions` has one entry for each.
///
/// A find of at least `min_score` is learnt where both the sweep before and the one after have an object of its class at the same
/// place, give or take `distance`; at the ends of a recording one neighbour is enough, and a sweep without neighbours teaches no
/// object. Other finds are ignored; background stays background.
///
/// The same place means the same coordinates in the sensor's frame. At 5 to 10 sweeps a second a walking person moves 0.14 to 0.28 m
/// between sweeps and a robot at 1 m/s as much, within the default distance; while the robot turns fast, far objects are not
/// confirmed, which loses labels and adds no wrong ones.
pub fn consistent(
    sweeps: &[&LabelledSweep],
    predictions: &[LidarDetections],
    options: &ConsistencyOptions,
) -> Vec<SweepLabels> {
    let label = |(index, sweep): (usize, &&LabelledSweep)| {
        let Some(found) = predictions.get(index) else { return SweepLabels::ignored(sweep.sweep.points.len()) };
        let around = [index.checked_sub(1), Some(index + 1)].into_iter().flatten();
        let neighbours: Vec<&LidarDetections> = around
            .filter(|other| sweeps.get(*other).is_some_and(|other| are_neighbours(sweep, other, options)))
            .filter_map(|other| predictions.get(other))
            .collect();
        let is_sure = |place: usize| {
            found.objects.get(place).is_some_and(|object| {
                object.score >= options.min_score
                    && !neighbours.is_empty()
                    && neighbours.iter().all(|neighbour| confirms(neighbour, object, options))
            })
        };
        // The detector's classes are the experiment's: each means itself.
        let classes = found.objects.iter().map(|object| object.class + 1).max().unwrap_or(0);
        let meanings: Vec<Option<u16>> = (0..classes).map(|class| u16::try_from(class).ok()).collect();
        labels_of(&sweep.sweep, found, &meanings, options.uncertain_score, is_sure)
    };
    sweeps.iter().enumerate().map(label).collect()
}

/// Whether two sweeps are of one sensor and near in time.
fn are_neighbours(one: &LabelledSweep, other: &LabelledSweep, options: &ConsistencyOptions) -> bool {
    let apart = one.stamp.abs_diff(other.stamp) as f64 / 1e9;
    one.frame_id == other.frame_id && apart > 0.0 && apart <= options.most_gap
}

fn confirms(found: &LidarDetections, object: &LidarObject, options: &ConsistencyOptions) -> bool {
    found.objects.iter().any(|other| {
        let (x, y) = (other.center[0] - object.center[0], other.center[1] - object.center[1]);
        other.class == object.class
            && other.score >= options.uncertain_score
            && (x * x + y * y).sqrt() <= options.distance
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{distill::lidar::labels::PointTarget, model::lidar::PointLabel, sensing::range_image::Sweep};

    /// A sweep of four points at so many milliseconds.
    fn sweep(milliseconds: i64) -> LabelledSweep {
        let points = vec![[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 0.0], [f32::NAN; 3]];
        LabelledSweep {
            stamp: milliseconds * 1_000_000,
            frame_id: "laser".into(),
            labels: SweepLabels::ignored(points.len()),
            sweep: Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 },
            truth: None,
        }
    }

    /// One object on the first point, and a doubt about the second.
    fn found(class: usize, x: f32, score: f32) -> LidarDetections {
        let object = LidarObject { class, score, center: [x, 0.0, 0.0], size: [0.5; 3], yaw: 0.0, points: 1 };
        let point = |class, score, object| PointLabel { class, score, object };
        LidarDetections {
            objects: vec![object],
            points: vec![
                point(Some(class as u16), score, Some(0)),
                point(None, 0.3, None),
                point(None, 0.1, None),
                point(None, 0.0, None),
            ],
            ..LidarDetections::default()
        }
    }

    fn label(times: &[i64], predictions: &[LidarDetections]) -> Vec<SweepLabels> {
        let sweeps: Vec<LabelledSweep> = times.iter().map(|time| sweep(*time)).collect();
        consistent(&sweeps.iter().collect::<Vec<_>>(), predictions, &ConsistencyOptions::default())
    }

    fn learns(labels: &SweepLabels) -> bool {
        labels.points[0] == PointTarget::of_class(1, Some(0)) && labels.objects.len() == 1
    }

    #[test]
    fn finds_count_where_the_sweeps_before_and_after_agree() {
        let labels = label(&[0, 100, 200], &[found(1, 1.0, 0.9), found(1, 1.3, 0.6), found(1, 1.6, 0.3)]);
        let learnt: Vec<bool> = labels.iter().map(learns).collect();
        // The last one's own score is too low, yet it confirms the one before.
        assert_eq!(learnt, [true, true, false]);
        assert_eq!((labels[1].objects[0].points, labels[1].objects[0].class), (1, 1));
        for labels in &labels {
            assert_eq!(labels.points[1..], [PointTarget::IGNORED, PointTarget::BACKGROUND, PointTarget::IGNORED]);
        }
        assert_eq!(labels[2].points[0], PointTarget::IGNORED);
    }

    #[test]
    fn another_place_another_class_and_a_gap_do_not_confirm() {
        let sure = || found(1, 1.0, 0.9);
        for (times, predictions) in [
            ([0, 100, 200], [sure(), sure(), found(1, 1.6, 0.9)]),
            ([0, 100, 200], [found(0, 1.0, 0.9), sure(), sure()]),
            ([0, 100, 200], [found(1, 1.0, 0.1), sure(), sure()]),
            ([0, 900, 1800], [sure(), sure(), sure()]),
            ([100, 100, 100], [sure(), sure(), sure()]),
        ] {
            let labels = label(&times, &predictions);
            assert!(!learns(&labels[1]), "{times:?}");
            assert_eq!(labels[1].points[0], PointTarget::IGNORED);
        }
        let labels = label(&[0, 100], &[sure()]);
        assert!(!learns(&labels[0]) && !labels[1].is_known());
    }
}
