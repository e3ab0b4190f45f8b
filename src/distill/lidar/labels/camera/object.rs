//! The middle of an object of which one side is seen.

use super::projection::quantile;
use crate::geometry::RigidTransform;

/// The nearest and the farthest of an object's points, but for strays.
const SURFACE: [f64; 2] = [0.05, 0.95];
/// An object without a known size is taken to be as deep as it is wide, and no deeper than this, in metres.
const DEEPEST: f64 = 1.0;
/// What begins lower than this above the floor stands on it, in metres.
const STANDING: f64 = 0.5;
/// Sizes whose length and width differ by less than this share are round: the object looks alike from all sides.
const ROUND: f32 = 0.2;

/// What its points tell about an object, in the lidar's frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Estimate {
    /// Its middle, in metres.
    pub center: [f32; 3],
    /// Length, width and height, where it is of a class whose objects are alike from all sides.
    pub size: Option<[f32; 3]>,
}

/// Estimates an object by its points in the lidar's frame, of which there must be one.
///
/// Along the line of sight the middle lies half the object's depth behind its nearest points (at least in the middle of its points):
/// `size` tells length, width and height that objects of the class mostly have, and what is seen from its long side is as deep as the
/// class is wide. Across, it is the middle of what is seen. The height is that of the points, down to the floor when the object
/// stands on it, as `base_from_sensor` tells; round ones are as high as their class.
pub(in super::super) fn estimate(
    points: &[[f64; 3]],
    size: Option<[f32; 3]>,
    base_from_sensor: Option<&RigidTransform>,
    is_planar: bool,
) -> Option<Estimate> {
    let count = points.len() as f64;
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count;
    let (x, y) = (mean(0), mean(1));
    let range = x.hypot(y);
    if points.is_empty() || range <= 0.0 || !range.is_finite() {
        return None;
    }
    let sight = [x / range, y / range];
    let sorted = |value: &dyn Fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = points.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let along = sorted(&|point: &[f64; 3]| point[0] * sight[0] + point[1] * sight[1]);
    let across = sorted(&|point: &[f64; 3]| point[1] * sight[0] - point[0] * sight[1]);
    let [near, far] = SURFACE.map(|share| quantile(&along, share));
    let [right, left] = [0.0, 1.0].map(|share| quantile(&across, share));
    let wide = left - right;
    let round = size.filter(|[length, width, _]| (length - width).abs() <= ROUND * length.max(*width));
    let deep = match size {
        Some([length, width, _]) => {
            let [length, width] = [length, width].map(f64::from);
            if wide >= (length + width) / 2.0 { width.min(length) } else { length.max(width) }
        }
        None => wide.min(DEEPEST),
    };
    let forwards = near + (deep / 2.0).max((far - near) / 2.0);
    let sideways = (left + right) / 2.0;
    let (x, y) = (forwards * sight[0] - sideways * sight[1], forwards * sight[1] + sideways * sight[0]);
    let heights = sorted(&|point: &[f64; 3]| point[2]);
    let [low, high] = [0.0, 1.0].map(|share| quantile(&heights, share));
    let z = if is_planar { (low + high) / 2.0 } else { middle_height([x, y], [low, high], round, base_from_sensor) };
    Some(Estimate { center: [x, y, z].map(|coordinate| coordinate as f32), size: round })
}

fn middle_height(
    [x, y]: [f64; 2],
    [low, high]: [f64; 2],
    round: Option<[f32; 3]>,
    base_from_sensor: Option<&RigidTransform>,
) -> f64 {
    let above_floor = base_from_sensor.map_or(f64::INFINITY, |base_from_sensor| base_from_sensor.apply([x, y, low])[2]);
    let floor = low - above_floor;
    match round.map(|[_, _, height]| f64::from(height)) {
        // The lidar may see only its upper part.
        Some(height) if above_floor < height => floor + height / 2.0,
        _ if above_floor < STANDING => (floor + high) / 2.0,
        _ => (low + high) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::staged::{PERSON, Stage};
    use super::*;

    #[test]
    fn the_middle_of_a_person_lies_behind_what_is_seen_of_it() {
        for mut stage in [Stage::cloud(), Stage::scan()] {
            stage.person(3.0, 1.5);
            let (sweep, truth) = stage.sweep(0.0);
            let seen: Vec<[f64; 3]> = sweep
                .points
                .iter()
                .zip(&truth)
                .filter(|(_, who)| who.is_some())
                .map(|(point, _)| point.map(f64::from))
                .collect();
            let is_planar = sweep.rows == 1;
            let found = estimate(&seen, Some(PERSON), Some(&stage.base_from_sensor), is_planar).unwrap();
            let [x, y, z] = stage.base_from_sensor.apply(found.center.map(f64::from));
            assert!((x - 3.0).abs() < 0.06 && (y - 1.5).abs() < 0.06, "{x} {y}");
            assert!((z - if is_planar { 0.3 } else { 0.875 }).abs() < 0.01, "{z}");
            assert_eq!(found.size, Some(PERSON));
        }
    }

    #[test]
    fn the_long_side_tells_that_an_object_is_narrow_behind() {
        // Two metres of a wall-like side, 3 m ahead.
        let side: Vec<[f64; 3]> = (0..21).map(|i| [3.0, f64::from(i) * 0.1 - 1.0, 0.0]).collect();
        let forklift = Some([2.2, 1.1, 2.1]);
        let found = estimate(&side, forklift, None, true).unwrap();
        assert!((found.center[0] - 3.55).abs() < 0.01 && found.center[1].abs() < 0.01, "{found:?}");
        assert_eq!(found.size, None);
        let front = estimate(&side[5..16], forklift, None, true).unwrap();
        assert!((front.center[0] - 4.1).abs() < 0.01, "{front:?}");
        assert_eq!(estimate(&[], forklift, None, true), None);
    }
}
