//! The grid that an experiment's sweeps are laid on.

use super::{config::SensorConfig, student::TOTAL_STRIDE};
use crate::{
    messages::{Floats, LaserScan},
    sensing::range_image::{RangeGrid, Sweep, is_void},
};

/// Share of a column that a beam may stand beside the place that evenly spread beams have.
const BEAM_TOLERANCE: f32 = 0.25;

impl SensorConfig {
    /// The grid for these sweeps, whose rows and columns the student can halve as often as it has to. What the configuration
    /// leaves open is told by the sweep with the most points.
    ///
    /// # Errors
    /// When no sweep has points, or the grid makes no sense; says the key and the mend.
    pub fn grid<'a>(&self, sweeps: impl Iterator<Item = &'a Sweep>) -> Result<RangeGrid, String> {
        let elevation = if self.rows == 1 { Some([0.0, 0.0]) } else { self.elevation };
        let grid = match (self.columns, self.azimuth, elevation) {
            (Some(columns), Some(azimuth), Some(elevation)) => {
                RangeGrid { rows: self.rows, columns, azimuth, elevation }
            }
            (columns, azimuth, elevation) => {
                let fullest = sweeps.max_by_key(|sweep| sweep.valid()).filter(|sweep| sweep.valid() > 0);
                let fullest = fullest.ok_or("no sweep of the recordings has any point that could tell the grid")?;
                let is_open = self.rows == 1 && columns.is_none() && azimuth.is_none();
                let scan = if is_open { grid_of_scan(fullest) } else { None };
                let columns = columns.unwrap_or(fullest.len());
                let seen = match scan {
                    Some(grid) => grid,
                    None => {
                        let grid =
                            RangeGrid::of_sweep(fullest, self.rows, columns).map_err(|error| error.to_string())?;
                        aligned(grid, fullest)
                    }
                };
                RangeGrid {
                    azimuth: azimuth.unwrap_or(seen.azimuth),
                    elevation: elevation.unwrap_or(seen.elevation),
                    ..seen
                }
            }
        };
        grid.validate()?;
        Ok(widened(grid))
    }
}

/// Share of a column within which a sensor's beams stand at the same place of their columns, if the columns are those of its beams.
const ALIGNED: f32 = 0.7;

/// A full circle turned by less than a column, so that the beams of a sensor with as many columns stand in their middles: at their
/// edges, noise would take them to one column or the other and leave holes. Others stay as they are.
fn aligned(grid: RangeGrid, sweep: &Sweep) -> RangeGrid {
    if !grid.is_full_circle() {
        return grid;
    }
    let [first, last] = grid.azimuth;
    let step = (last - first) / grid.columns as f32;
    let (mut sin, mut cos, mut count) = (0.0_f32, 0.0_f32, 0.0_f32);
    for [x, y, _] in sweep.points.iter().filter(|point| !is_void(point)) {
        // The place within the column as an angle, so that both edges are one place.
        let (s, c) = (std::f32::consts::TAU * ((y.atan2(*x) - first) / step).fract()).sin_cos();
        (sin, cos, count) = (sin + s, cos + c, count + 1.0);
    }
    if sin.hypot(cos) < ALIGNED * count {
        return grid;
    }
    let shift = (sin.atan2(cos) / std::f32::consts::TAU - 0.5) * step;
    RangeGrid { azimuth: [first + shift, last + shift], ..grid }
}

/// The grid with columns and, where there are several, rows added at their ends until the student can halve both. A full circle
/// has no end: there the columns become narrower.
fn widened(grid: RangeGrid) -> RangeGrid {
    let wide = |count: usize| count.next_multiple_of(TOTAL_STRIDE);
    let grown = |[low, high]: [f32; 2], from: usize, to: usize| [low, low + (high - low) * to as f32 / from as f32];
    let columns = wide(grid.columns);
    let rows = if grid.rows == 1 { 1 } else { wide(grid.rows) };
    let azimuth = if grid.is_full_circle() {
        grid.azimuth
    } else {
        let [low, high] = grown(grid.azimuth, grid.columns, columns);
        [low, high.min(low + std::f32::consts::TAU)]
    };
    RangeGrid { rows, columns, azimuth, elevation: grown(grid.elevation, grid.rows, rows) }
}

/// The grid of a laser scan with one column a beam, out of the points of its echoes; none where the points are not evenly spread over
/// their places, as those of a cloud.
fn grid_of_scan(sweep: &Sweep) -> Option<RangeGrid> {
    let echoes: Vec<(f32, f32)> = sweep
        .points
        .iter()
        .enumerate()
        .filter(|(_, point)| !is_void(point))
        .map(|(beam, [x, y, _])| (beam as f32, y.atan2(*x)))
        .collect();
    // Azimuths that go on over half a turn and more.
    let mut azimuths = Vec::with_capacity(echoes.len());
    let mut whole = echoes.first()?.1;
    for pair in echoes.windows(2) {
        azimuths.push(whole);
        let step = pair[1].1 - pair[0].1;
        whole += step - std::f32::consts::TAU * (step / std::f32::consts::TAU).round();
    }
    azimuths.push(whole);
    let (first, last) = (echoes.first()?.0, echoes.last()?.0);
    let increment = (whole - azimuths.first()?) / (last - first);
    let angle_min = azimuths.first()? - first * increment;
    let is_even = echoes
        .iter()
        .zip(&azimuths)
        .all(|((beam, _), azimuth)| (angle_min + beam * increment - azimuth).abs() <= BEAM_TOLERANCE * increment.abs());
    if !is_even || increment == 0.0 {
        return None;
    }
    let ranges = vec![1.0_f32; sweep.len()];
    let scan = LaserScan {
        angle_min,
        angle_increment: increment,
        range_max: 2.0,
        ranges: Floats::from(&ranges[..]),
        ..LaserScan::default()
    };
    RangeGrid::of_scan(&scan).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beams_at_the_edges_of_columns_come_to_stand_in_their_middles() {
        let beams = 480;
        let step = std::f32::consts::TAU / beams as f32;
        let point = |beam: usize| {
            let azimuth = -std::f32::consts::PI + beam as f32 * step;
            [5.0 * azimuth.cos(), 5.0 * azimuth.sin(), (beam % 4) as f32]
        };
        let sweep =
            Sweep { points: (0..beams).map(point).collect(), intensities: Vec::new(), rings: Vec::new(), rows: 1 };
        let sensor = SensorConfig { rows: 4, columns: Some(beams), ..SensorConfig::default() };
        let grid = sensor.grid(std::iter::once(&sweep)).unwrap();
        assert!(grid.is_full_circle());
        for beam in 0..beams {
            let azimuth = -std::f32::consts::PI + beam as f32 * step;
            let off = (azimuth - grid.azimuth_of(grid.column_of(azimuth).unwrap()) + step / 2.0)
                .rem_euclid(std::f32::consts::TAU)
                - step / 2.0;
            assert!(off.abs() < 0.02 * step, "beam {beam} stands {off} beside the middle");
        }
    }

    #[test]
    fn a_grid_is_widened_until_it_can_be_halved() {
        let sensor = SensorConfig { columns: Some(541), azimuth: Some([-2.0, 2.0]), ..SensorConfig::default() };
        let grid = sensor.grid(std::iter::empty()).unwrap();
        assert_eq!((grid.rows, grid.columns), (1, 544));
        assert!((grid.azimuth[1] - grid.azimuth[0] - 4.0 * 544.0 / 541.0).abs() < 1e-5);
        let circle = [-std::f32::consts::PI, std::f32::consts::PI];
        let (azimuth, elevation) = (Some(circle), Some([-0.3, 0.3]));
        let sensor = SensorConfig { rows: 6, columns: Some(1022), azimuth, elevation, ..SensorConfig::default() };
        let grid = sensor.grid(std::iter::empty()).unwrap();
        assert_eq!((grid.rows, grid.columns, grid.azimuth), (8, 1024, circle));
        assert!((grid.elevation[1] - 0.5).abs() < 1e-6);
        assert!(SensorConfig::default().grid(std::iter::empty()).is_err());
    }

    /// Beams without echo at both ends do not move the columns of the others.
    #[test]
    fn a_scan_has_a_column_for_each_beam() {
        let beams = 271;
        let angle = |beam: usize| -2.356 + beam as f32 * 0.017_453_3;
        let point = |beam: usize| {
            let is_void = !(9..=240).contains(&beam) || beam.is_multiple_of(7);
            if is_void { [f32::NAN; 3] } else { [3.0 * angle(beam).cos(), 3.0 * angle(beam).sin(), 0.0] }
        };
        let sweep = Sweep { points: (0..beams).map(point).collect(), ..Sweep::default() };
        let grid = SensorConfig::default().grid(std::iter::once(&sweep)).unwrap();
        assert_eq!(grid.columns, 272);
        for beam in (0..beams).step_by(5) {
            assert!((grid.azimuth_of(beam) - angle(beam)).abs() < 1e-3, "beam {beam}");
        }
    }
}
