//! Truth as the middles of objects of one class, such as legs in a scan.

use crate::{
    distill::lidar::labels::{LabelledObject, PointTarget, SweepLabels},
    sensing::range_image::{Sweep, is_void},
};

/// Points whose range differs by more than this from that of the object's nearest point are not sure to be the object's, in metres:
/// half of a leg or a trunk is not deeper, and what is behind mostly is.
const MOST_JUMP: f32 = 0.15;

/// The nearest point of each pose: distance from the pose and range from the sensor, both in the x-y plane.
#[derive(Debug, Clone, Copy)]
struct Nearest {
    distance: f32,
    range: f32,
}

/// Labels a sweep by the middles of objects of `class`. A point belongs to the nearest pose when that is nearer than `radius` in the
/// x-y plane. Of these the ones as far from the sensor as the pose's nearest point, give or take [`MOST_JUMP`], are the object's; the
/// others, before or behind it, are ignored, and all the rest is background. A pose without points stays as an object with none:
/// somebody saw it.
pub fn label(sweep: &Sweep, poses: &[[f32; 3]], class: u16, radius: f32) -> SweepLabels {
    let flat = |a: f32, b: f32| (a * a + b * b).sqrt();
    let mut nearest: Vec<Option<Nearest>> = vec![None; poses.len()];
    let owner = |point: &[f32; 3]| {
        let distances = poses.iter().map(|pose| flat(point[0] - pose[0], point[1] - pose[1])).enumerate();
        distances.filter(|(_, distance)| *distance < radius).min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let owners: Vec<Option<(usize, f32)>> =
        sweep.points.iter().map(|point| if is_void(point) { None } else { owner(point) }).collect();
    for (owner, point) in owners.iter().zip(&sweep.points) {
        let Some((pose, distance)) = *owner else { continue };
        if nearest[pose].is_none_or(|nearest| distance < nearest.distance) {
            nearest[pose] = Some(Nearest { distance, range: flat(point[0], point[1]) });
        }
    }
    let target = |(owner, point): (&Option<(usize, f32)>, &[f32; 3])| match owner {
        _ if is_void(point) => PointTarget::IGNORED,
        None => PointTarget::BACKGROUND,
        Some((pose, _)) => match nearest[*pose] {
            Some(nearest) if (flat(point[0], point[1]) - nearest.range).abs() <= MOST_JUMP => {
                PointTarget::of_class(class, Some(*pose as u32))
            }
            _ => PointTarget::IGNORED,
        },
    };
    let objects = poses.iter().map(|pose| LabelledObject {
        class: usize::from(class),
        center: *pose,
        size: None,
        yaw: None,
        score: 1.0,
        points: 0,
    });
    let mut labels =
        SweepLabels { points: owners.iter().zip(&sweep.points).map(target).collect(), objects: objects.collect() };
    labels.count_points(|_| true);
    labels
}

#[cfg(test)]
mod tests {
    use super::{super::boxes::tests::sweep, *};

    #[test]
    fn legs_take_their_points_and_not_the_wall_behind() {
        let poses = [[2.0, 0.1, 0.0], [2.0, -0.1, 0.0], [-3.0, 0.0, 0.0]];
        let points = [
            [1.95, 0.1, 0.0],
            [1.97, 0.13, 0.0],
            [1.95, -0.1, 0.0],
            [2.0, -0.02, 0.0],
            [2.15, 0.11, 0.0],
            [2.2, -0.1, 0.0],
            [3.0, 0.0, 0.0],
            [f32::NAN; 3],
        ];
        let labels = label(&sweep(&points), &poses, 2, 0.25);
        let found: Vec<(bool, Option<u32>)> =
            labels.points.iter().map(|point| (point.is_known(), point.object)).collect();
        let expected = [
            (true, Some(0)),
            (true, Some(0)),
            (true, Some(1)),
            (true, Some(1)),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
        ];
        assert_eq!(found, expected);
        let counts: Vec<(usize, usize)> = labels.objects.iter().map(|object| (object.class, object.points)).collect();
        assert_eq!(counts, [(2, 2), (2, 2), (2, 0)]);
        assert_eq!(labels.objects[2].center, [-3.0, 0.0, 0.0]);
    }

    #[test]
    fn without_poses_all_that_was_measured_is_background() {
        let labels = label(&sweep(&[[1.0, 0.0, 0.0], [f32::INFINITY; 3]]), &[], 0, 0.25);
        assert_eq!(labels.points, [PointTarget::BACKGROUND, PointTarget::IGNORED]);
    }
}
