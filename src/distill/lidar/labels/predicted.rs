//! Labels out of what a lidar detector found.

use super::{LabelledObject, PointTarget, SweepLabels};
use crate::{
    model::lidar::LidarDetections,
    sensing::range_image::{Sweep, is_void},
};

/// Labels a sweep by a detector's finds. `meanings` gives the experiment's class for each of the detector's, `None` for one that is
/// background. Points on objects that `is_sure` wants (by their place in the finds) are theirs; points that no object has and whose
/// score is under `uncertain_score` are background; all others are ignored, and so are points that the detector does not see.
pub(super) fn labels_of(
    sweep: &Sweep,
    found: &LidarDetections,
    meanings: &[Option<u16>],
    uncertain_score: f32,
    is_sure: impl Fn(usize) -> bool,
) -> SweepLabels {
    let mut objects = Vec::new();
    // What the points of each find become.
    let targets: Vec<PointTarget> = found
        .objects
        .iter()
        .enumerate()
        .map(|(place, object)| {
            if !is_sure(place) {
                return PointTarget::IGNORED;
            }
            let Some(class) = meanings.get(object.class).copied().flatten() else { return PointTarget::BACKGROUND };
            objects.push(LabelledObject {
                class: usize::from(class),
                center: object.center,
                size: Some(object.size),
                yaw: Some(object.yaw),
                score: object.score,
                points: 0,
            });
            PointTarget::of_class(class, Some(objects.len() as u32 - 1))
        })
        .collect();
    let target = |(index, point): (usize, &[f32; 3])| match found.points.get(index) {
        Some(label) if !is_void(point) => match label.object {
            Some(object) => targets.get(object as usize).copied().unwrap_or(PointTarget::IGNORED),
            // A score of exactly 0 means that the point was not seen.
            None if label.score > 0.0 && label.score < uncertain_score => PointTarget::BACKGROUND,
            None => PointTarget::IGNORED,
        },
        _ => PointTarget::IGNORED,
    };
    let mut labels = SweepLabels { points: sweep.points.iter().enumerate().map(target).collect(), objects };
    labels.count_points(|object| object.points > 0);
    labels
}
