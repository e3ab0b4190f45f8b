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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lidar::{LidarObject, PointLabel};

    #[test]
    fn objects_of_other_classes_are_background_and_doubt_is_ignored() {
        let object =
            |class, score| LidarObject { class, score, center: [2.0, 1.0, 0.0], size: [0.5; 3], yaw: 0.5, points: 1 };
        let point = |score, object| PointLabel { class: None, score, object };
        let found = LidarDetections {
            // A class that the student has as its second, one that it does not have, and one that is not sure.
            objects: vec![object(0, 0.9), object(1, 0.8), object(0, 0.3)],
            points: vec![
                point(0.9, Some(0)),
                point(0.8, Some(1)),
                point(0.3, Some(2)),
                point(0.25, None),
                point(0.1, None),
                point(0.0, None),
                point(0.9, Some(0)),
                point(0.9, Some(9)),
            ],
            ..LidarDetections::default()
        };
        let mut points = vec![[1.0; 3]; 9];
        points[6] = [f32::NAN; 3];
        let sweep = Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 };
        let labels = labels_of(&sweep, &found, &[Some(1), None], 0.2, |place| found.objects[place].score >= 0.5);
        let mut expected = vec![PointTarget::IGNORED; 9];
        expected[0] = PointTarget::of_class(1, Some(0));
        expected[1] = PointTarget::BACKGROUND;
        expected[4] = PointTarget::BACKGROUND;
        assert_eq!(labels.points, expected);
        let [object] = &labels.objects[..] else { panic!("{:?}", labels.objects) };
        assert_eq!((object.class, object.points, object.score), (1, 1, 0.9));
        assert_eq!((object.size, object.yaw), (Some([0.5; 3]), Some(0.5)));
    }
}
