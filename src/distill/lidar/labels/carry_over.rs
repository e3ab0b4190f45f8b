//! What stands still keeps its label: points that one sweep knows tell what the same places are in sweeps that do not.
//!
//! A camera looks ahead, a lidar all around. What is beside the robot now was ahead of it seconds ago: the recording's transforms bring
//! all labelled points to one fixed frame, where small cubes count what was said of them. A point of which nothing is known takes the
//! label of its cube when that was seen often enough and always as the same; a label that its cube contradicts is dropped.
//!
//! Classes that move are carried nowhere: a cube in which a person stood says nothing about who stands there later. Their labels still
//! count against others, and a person who walks where nothing ever stood stays as unknown as before, because free space has no points.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{LabelledSweep, PointClass, PointTarget};
use crate::{
    geometry::RigidTransform,
    sensing::{range_image::is_void, transforms::TransformBuffer},
};

/// How labels are carried over to other sweeps of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarryOver {
    /// The frame in which what stands still does so. Default `odom`.
    pub fixed_frame: String,
    /// Side of the cubes in metres. Default 0.15.
    pub cell: f32,
    /// Classes that move, and are carried nowhere. Default person and forklift.
    pub moving: Vec<String>,
    /// Points that must have been labelled in a cube before it is believed. Default 5.
    pub min_count: u32,
    /// Share of them that must say the same. Default 0.9.
    pub agreement: f32,
    /// Weight of a label that was carried over, beside 1 of a sure one. Default 0.5.
    pub weight: f32,
}

impl Default for CarryOver {
    fn default() -> Self {
        Self {
            fixed_frame: "odom".into(),
            cell: 0.15,
            moving: vec!["person".into(), "forklift".into()],
            min_count: 5,
            agreement: 0.9,
            weight: 0.5,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CarriedOver {
    /// Points that took a class over.
    pub of_class: u64,
    /// Points that were taken for background.
    pub background: u64,
    /// Labels that were dropped because their places were called something else at most other times.
    pub dropped: u64,
    /// Sweeps whose place the transforms do not tell.
    pub without_transform: usize,
}

impl CarryOver {
    /// The key and what is wrong with its value.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, message: String| Err((key.to_owned(), message));
        if self.fixed_frame.is_empty() {
            return wrong("fixed_frame", "is empty; name a frame such as odom or map".into());
        }
        if !(0.01..=10.0).contains(&self.cell) {
            return wrong("cell", format!("{} must be metres in 0.01..10", self.cell));
        }
        if self.min_count == 0 {
            return wrong("min_count", "must be at least 1".into());
        }
        if !(self.agreement > 0.5 && self.agreement <= 1.0) {
            return wrong("agreement", format!("{} must be above 0.5 and at most 1", self.agreement));
        }
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return wrong("weight", format!("{} must be above 0 and at most 1", self.weight));
        }
        Ok(())
    }

    /// Carries labels over between the sweeps of one recording.
    pub(super) fn apply(
        &self,
        sweeps: &mut [LabelledSweep],
        transforms: &TransformBuffer,
        classes: &[String],
    ) -> CarriedOver {
        let mut carried = CarriedOver::default();
        let poses: Vec<Option<RigidTransform>> = sweeps
            .iter()
            .map(|sweep| transforms.lookup(&self.fixed_frame, &sweep.frame_id, sweep.stamp).ok())
            .collect();
        carried.without_transform = poses.iter().filter(|pose| pose.is_none()).count();
        let mut cubes = Cubes::new(self.cell, classes.len());
        for (sweep, pose) in sweeps.iter().zip(&poses) {
            let Some(pose) = pose else { continue };
            let known = sweep.sweep.points.iter().zip(&sweep.labels.points);
            for (point, target) in known.filter(|(point, target)| target.is_known() && !is_void(point)) {
                cubes.count(pose.apply_f32(*point), target.class);
            }
        }
        let moves: Vec<bool> = classes.iter().map(|class| self.moving.contains(class)).collect();
        let stays = |class: PointClass| class.class().is_none_or(|class| !moves[usize::from(class)]);
        for (sweep, pose) in sweeps.iter_mut().zip(&poses) {
            let Some(pose) = pose else { continue };
            for (point, target) in sweep.sweep.points.iter().zip(&mut sweep.labels.points) {
                if is_void(point) {
                    continue;
                }
                let Some(cube) = cubes.at(pose.apply_f32(*point)) else { continue };
                if cube.count < self.min_count {
                    continue;
                }
                let is_agreed = cube.share >= self.agreement;
                if !target.is_known() {
                    if is_agreed && stays(cube.class) {
                        *target = PointTarget { class: cube.class, weight: self.weight, object: None };
                        match cube.class {
                            PointClass::Background => carried.background += 1,
                            PointClass::Class(_) => carried.of_class += 1,
                        }
                    }
                } else if stays(target.class) && cube.class != target.class {
                    // What moves is right where all else was seen before; what stands still is not.
                    *target = PointTarget::IGNORED;
                    carried.dropped += 1;
                }
            }
            sweep.labels.count_points(|object| object.points > 0);
        }
        carried
    }
}

/// What was said of one cube.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cube {
    /// What was said most often.
    class: PointClass,
    /// How often anything was said.
    count: u32,
    /// Share of that which was said most often.
    share: f32,
}

/// Cubes of space, each with how often it was called what.
struct Cubes {
    cell: f32,
    /// Background and the classes.
    kinds: usize,
    places: HashMap<[i32; 3], usize>,
    counts: Vec<u32>,
}

impl Cubes {
    fn new(cell: f32, classes: usize) -> Self {
        Self { cell, kinds: classes + 1, places: HashMap::new(), counts: Vec::new() }
    }

    fn key(&self, point: [f32; 3]) -> [i32; 3] {
        point.map(|value| (value / self.cell).floor() as i32)
    }

    fn count(&mut self, point: [f32; 3], class: PointClass) {
        let next = self.places.len();
        let place = *self.places.entry(self.key(point)).or_insert(next);
        self.counts.resize(self.places.len() * self.kinds, 0);
        let kind = class.class().map_or(0, |class| usize::from(class) + 1);
        if kind < self.kinds {
            let count = &mut self.counts[place * self.kinds + kind];
            *count = count.saturating_add(1);
        }
    }

    fn at(&self, point: [f32; 3]) -> Option<Cube> {
        let place = *self.places.get(&self.key(point))?;
        let counts = &self.counts[place * self.kinds..][..self.kinds];
        let count = counts.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
        let (kind, most) = counts.iter().enumerate().max_by_key(|(kind, count)| (**count, std::cmp::Reverse(*kind)))?;
        let class = if kind == 0 { PointClass::Background } else { PointClass::Class(kind as u16 - 1) };
        Some(Cube { class, count, share: *most as f32 / count.max(1) as f32 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::SweepLabels, *};
    use crate::{
        messages::{Header, Quaternion, Time, Transform, TransformStamped, Vector3},
        sensing::range_image::Sweep,
    };

    const SECOND: i64 = 1_000_000_000;
    const CLASSES: [&str; 2] = ["person", "pallet"];

    /// A robot that drives 1 m/s along x.
    fn transforms() -> TransformBuffer {
        let mut buffer = TransformBuffer::new(Duration::from_secs(1000));
        for second in 0..10 {
            let stamp = Time::from_nanoseconds(second * SECOND);
            let transform = TransformStamped {
                header: Header { stamp, frame_id: "odom" },
                child_frame_id: "lidar",
                transform: Transform {
                    translation: Vector3 { x: second as f64, y: 0.0, z: 0.0 },
                    rotation: Quaternion::default(),
                },
            };
            buffer.insert(&transform, false).unwrap();
        }
        buffer
    }

    /// What the sweep at a second sees at places of the world, and what is known of them.
    fn sweep(second: i64, seen: &[([f32; 3], PointTarget)]) -> LabelledSweep {
        let points = seen.iter().map(|([x, y, z], _)| [x - second as f32, *y, *z]).collect();
        LabelledSweep {
            stamp: second * SECOND,
            frame_id: "lidar".into(),
            sweep: Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 },
            labels: SweepLabels { points: seen.iter().map(|(_, target)| *target).collect(), objects: Vec::new() },
            truth: None,
        }
    }

    fn carried(sweeps: &mut [LabelledSweep]) -> CarriedOver {
        let classes = CLASSES.map(str::to_owned);
        let options = CarryOver { min_count: 3, ..CarryOver::default() };
        options.apply(sweeps, &transforms(), &classes)
    }

    #[test]
    fn what_was_seen_ahead_is_known_beside_the_robot_unless_it_moves() {
        let (pallet, person) = (PointTarget::of_class(1, None), PointTarget::of_class(0, None));
        let (wall, unknown) = (PointTarget::BACKGROUND, PointTarget::IGNORED);
        let at = [[5.05, 1.05, 0.05], [5.05, 3.05, 0.05], [5.05, -2.05, 0.05], [1.05, 7.05, 0.05]];
        let ahead = |second| sweep(second, &[(at[0], pallet), (at[1], wall), (at[2], person)]);
        let mut sweeps: Vec<LabelledSweep> = (0..4).map(ahead).collect();
        sweeps.push(sweep(5, &[(at[0], unknown), (at[1], unknown), (at[2], unknown), (at[3], unknown)]));
        let result = carried(&mut sweeps);
        let found = &sweeps[4].labels.points;
        assert_eq!((found[0].class, found[0].weight), (PointClass::Class(1), 0.5));
        assert_eq!((found[1].class, found[1].weight), (PointClass::Background, 0.5));
        assert!(!found[2].is_known(), "who stood there may have left");
        assert!(!found[3].is_known(), "nothing was ever said of that place");
        assert_eq!((result.of_class, result.background, result.dropped, result.without_transform), (1, 1, 0, 0));
    }

    #[test]
    fn a_label_that_its_place_contradicts_is_dropped() {
        let (pallet, person) = (PointTarget::of_class(1, None), PointTarget::of_class(0, None));
        let at = [[5.05, 1.05, 0.05], [5.05, 3.05, 0.05]];
        let mut sweeps: Vec<LabelledSweep> =
            (0..8).map(|second| sweep(second, &[(at[0], pallet), (at[1], PointTarget::BACKGROUND)])).collect();
        // A teacher that misses the pallet once; and a person who leans on the wall.
        sweeps.push(sweep(8, &[(at[0], PointTarget::BACKGROUND), (at[1], person)]));
        let result = carried(&mut sweeps);
        assert!(!sweeps[8].labels.points[0].is_known());
        assert_eq!(sweeps[8].labels.points[1], person);
        assert_eq!(result.dropped, 1);
    }

    #[test]
    fn places_that_are_called_this_and_that_are_not_believed() {
        let pallet = PointTarget::of_class(1, None);
        let at = [5.05, 1.05, 0.05];
        let said = |second| if second % 2 == 0 { pallet } else { PointTarget::BACKGROUND };
        let mut sweeps: Vec<LabelledSweep> = (0..6).map(|second| sweep(second, &[(at, said(second))])).collect();
        sweeps.push(sweep(7, &[(at, PointTarget::IGNORED)]));
        // Before the first transform nothing is known of the sensor's place.
        sweeps.push(LabelledSweep { stamp: -5 * SECOND, ..sweep(0, &[(at, PointTarget::IGNORED)]) });
        let result = carried(&mut sweeps);
        assert!(!sweeps[6].labels.points[0].is_known());
        assert_eq!(result.without_transform, 1);
    }
}
