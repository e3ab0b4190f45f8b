//! Changes to a sweep while training: mirrored, turned, nearer or further, with noise and lost points. All of them move the points
//! themselves, before they are laid on the grid, and the objects with them.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::{config::LidarAugmentConfig, labels::LabelledObject};
use crate::{
    distill::synth::noise::gaussian,
    sensing::range_image::{RangeGrid, Sweep},
};

/// Draws sweeps anew for each epoch. What is drawn depends on the random generator given, on nothing else.
#[derive(Debug, Clone)]
pub struct SweepAugmenter {
    config: LidarAugmentConfig,
    /// Azimuth of the grid's middle, which sweeps are mirrored about, in radians.
    middle: f32,
    /// Radians of a column.
    step: f32,
    /// Columns to both sides that sweeps are turned by at most.
    columns: i32,
}

impl SweepAugmenter {
    /// An augmenter of sweeps that are laid on a grid.
    pub fn new(config: LidarAugmentConfig, grid: &RangeGrid) -> Self {
        let [first, last] = grid.azimuth;
        let step = (last - first) / grid.columns as f32;
        let columns = match (grid.is_full_circle(), config.shift > 0.0) {
            (true, true) => grid.columns as f32 / 2.0,
            _ => config.shift.to_radians() / step,
        };
        Self { config, middle: 0.5 * (first + last), step, columns: columns as i32 }
    }

    /// The sweep and its objects as they are learnt this time. Points keep their places, lost ones become NaN; beams stay in the
    /// middle of their columns, for a sweep is turned by whole columns and mirrored about the middle of the grid.
    pub fn draw(&self, sweep: &Sweep, objects: &[LabelledObject], rng: &mut Pcg64Mcg) -> (Sweep, Vec<LabelledObject>) {
        let is_mirrored = rng.random::<f32>() < self.config.mirror;
        let turn = rng.random_range(-self.columns..=self.columns) as f32 * self.step;
        let [least, most] = self.config.range_scale;
        let scale = least + (most - least) * rng.random::<f32>();
        let motion = Motion::new(is_mirrored.then_some(self.middle), turn, scale);
        let mut sweep = sweep.clone();
        for point in &mut sweep.points {
            // Drawn for void points too, so that a point's luck does not depend on the others.
            let (is_lost, noise) = (rng.random::<f32>() < self.config.dropout, gaussian(rng.random::<u32>()));
            let moved = motion.apply(*point);
            let range = moved.iter().map(|value| value * value).sum::<f32>().sqrt();
            // A point in the sensor itself has no direction that noise could lie along.
            let stretch = if range > 0.0 { (1.0 + self.config.noise * noise / range).max(0.0) } else { 1.0 };
            *point = if is_lost { [f32::NAN; 3] } else { moved.map(|value| value * stretch) };
        }
        let objects = objects.iter().map(|object| motion.apply_to(object)).collect();
        (sweep, objects)
    }
}

/// A mirroring, a turn about the sensor and a scaling, in this order.
#[derive(Debug, Clone, Copy)]
struct Motion {
    /// Of x and y, row by row.
    planar: [[f32; 2]; 2],
    scale: f32,
    /// The axis that is mirrored about, in radians.
    axis: Option<f32>,
    turn: f32,
}

impl Motion {
    fn new(axis: Option<f32>, turn: f32, scale: f32) -> Self {
        // Mirroring about an axis at angle m takes the angle a to 2 m - a; the turn adds to it.
        let angle = turn + 2.0 * axis.unwrap_or(0.0);
        let (sin, cos) = (scale * angle.sin(), scale * angle.cos());
        let planar = if axis.is_some() { [[cos, sin], [sin, -cos]] } else { [[cos, -sin], [sin, cos]] };
        Self { planar, scale, axis, turn }
    }

    fn apply(&self, [x, y, z]: [f32; 3]) -> [f32; 3] {
        let [[a, b], [c, d]] = self.planar;
        [a * x + b * y, c * x + d * y, self.scale * z]
    }

    fn apply_to(&self, object: &LabelledObject) -> LabelledObject {
        let yaw = |yaw: f32| self.turn + self.axis.map_or(yaw, |axis| 2.0 * axis - yaw);
        LabelledObject {
            center: self.apply(object.center),
            size: object.size.map(|size| size.map(|side| side * self.scale)),
            yaw: object.yaw.map(yaw),
            ..object.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;
    use crate::distill::train::generator;

    fn grid(azimuth: [f32; 2], columns: usize) -> RangeGrid {
        RangeGrid { rows: 1, columns, azimuth, elevation: [0.0, 0.0] }
    }

    /// One point in the middle of each column, 2 m away.
    fn sweep(grid: &RangeGrid) -> Sweep {
        let point = |column: usize| {
            let azimuth = grid.azimuth_of(column);
            [2.0 * azimuth.cos(), 2.0 * azimuth.sin(), 0.0]
        };
        let points: Vec<[f32; 3]> = (0..grid.columns).map(point).collect();
        Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 }
    }

    fn object(center: [f32; 3], yaw: f32) -> LabelledObject {
        LabelledObject { class: 0, center, size: Some([1.0, 2.0, 3.0]), yaw: Some(yaw), score: 1.0, points: 5 }
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-4
    }

    #[test]
    fn nothing_is_changed_when_nothing_is_wanted() {
        let grid = grid([-1.0, 2.0], 30);
        let augmenter = SweepAugmenter::new(LidarAugmentConfig::none(), &grid);
        let (drawn, objects) = augmenter.draw(&sweep(&grid), &[object([1.0, 0.5, 0.0], 0.3)], &mut generator(&[1]));
        assert_eq!(drawn.points, sweep(&grid).points);
        assert_eq!(objects[0].center, [1.0, 0.5, 0.0]);
    }

    /// Mirrored, turned and scaled points still lie in the middle of a column each, and an object moves as its points do.
    #[test]
    fn beams_stay_in_the_middle_of_their_columns() {
        for grid in [grid([-1.0, 2.0], 30), grid([-PI, PI], 36)] {
            let config =
                LidarAugmentConfig { mirror: 0.5, shift: 20.0, dropout: 0.0, noise: 0.0, ..Default::default() };
            let augmenter = SweepAugmenter::new(config, &grid);
            let before = sweep(&grid);
            let center = before.points[7];
            for seed in 0..20 {
                let (drawn, objects) = augmenter.draw(&before, &[object(center, 0.4)], &mut generator(&[seed]));
                assert!(drawn.points[7].iter().zip(objects[0].center).all(|(point, center)| near(*point, center)));
                for point in &drawn.points {
                    let azimuth = point[1].atan2(point[0]);
                    let Some(column) = grid.column_of(azimuth) else { continue };
                    assert!(near(azimuth, grid.azimuth_of(column)), "{azimuth} in column {column}");
                }
                // The yaw is that of the way from the sensor to the object, 0.4 minus its azimuth before, mirrored or not.
                let azimuth = |point: [f32; 3]| point[1].atan2(point[0]);
                let (was, is) = (0.4 - azimuth(center), objects[0].yaw.unwrap() - azimuth(objects[0].center));
                let same = |a: f32, b: f32| near((a - b).sin(), 0.0) && (a - b).cos() > 0.0;
                assert!(same(was, is) || same(-was, is), "{was} became {is}");
                let scale = objects[0].size.unwrap()[0];
                assert!((0.9..=1.1).contains(&scale) && near(objects[0].size.unwrap()[2], 3.0 * scale));
            }
        }
    }

    #[test]
    fn noise_lies_along_the_beam_and_points_are_lost() {
        let grid = grid([-PI, PI], 1000);
        let config = LidarAugmentConfig { dropout: 0.25, noise: 0.05, ..LidarAugmentConfig::none() };
        let augmenter = SweepAugmenter::new(config, &grid);
        let before = sweep(&grid);
        let (drawn, _) = augmenter.draw(&before, &[], &mut generator(&[9]));
        let lost = drawn.points.iter().filter(|point| point[0].is_nan()).count();
        assert!((190..310).contains(&lost), "{lost}");
        let mut squares = 0.0;
        for (before, after) in before.points.iter().zip(&drawn.points).filter(|(_, after)| !after[0].is_nan()) {
            assert!(near(before[0] * after[1], before[1] * after[0]));
            squares += (after[0].hypot(after[1]) - 2.0).powi(2);
        }
        let deviation = (squares / (1000 - lost) as f32).sqrt();
        assert!((0.04..0.06).contains(&deviation), "{deviation}");
    }
}
