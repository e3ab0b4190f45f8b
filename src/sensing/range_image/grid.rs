//! The cells of a range image and the directions they look in.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use serde::{Deserialize, Serialize};

use super::{
    Sweep, SweepError,
    sweep::{BeamAngles, is_void},
};
use crate::messages::LaserScan;

/// Greatest number of cells: what is beyond is a slip of the pen.
const MAX_CELLS: usize = 1 << 22;
/// Smallest width and height of a cell in radians: what single precision tells apart with ease.
const MIN_STEP: f32 = 1e-5;
/// Cells are not made smaller than this, in radians, where all echoes come from one direction.
const LEAST_STEP_OF_SWEEP: f32 = 1e-4;
/// A sweep with no wider gap than this, in degrees, is taken for a full circle.
const MAX_GAP_OF_CIRCLE: usize = 45;

/// A grid of directions, in radians. Column `c` holds azimuths from `azimuth[0] + c * step` up to the next column, with
/// `step = (azimuth[1] - azimuth[0]) / columns`, anticlockwise about z, 0 forwards along x; row `r` likewise holds elevations
/// above the x-y plane, row 0 the lowest ones. With one row, which a planar scan has, elevations are not looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeGrid {
    /// Number of rows, 1 for planar scans.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Where the first column begins and the last one ends, in radians.
    pub azimuth: [f32; 2],
    /// Where the lowest row begins and the highest one ends, in radians; zeros for planar scans.
    pub elevation: [f32; 2],
}

impl RangeGrid {
    /// One row with a column for each beam, the beam in the middle of its column. Where a scan goes round more than once, as those
    /// do whose first and last beam have one direction, beams of one direction share a column.
    ///
    /// # Errors
    /// Angles that give no directions, no beams, or beams so close that single precision does not tell them apart.
    pub fn of_scan(scan: &LaserScan<'_>) -> Result<Self, SweepError> {
        let angles = BeamAngles::of(scan)?;
        let step = angles.increment.abs();
        if step == 0.0 {
            return Err(SweepError::Angle { field: "angle_increment", value: scan.angle_increment });
        }
        // At least 1, as no step is above a turn.
        let beams_in_a_turn = (std::f64::consts::TAU / step).round();
        let columns = (angles.beams as f64).min(beams_in_a_turn) as usize;
        let lowest_beam = if angles.increment > 0.0 { 0 } else { columns.saturating_sub(1) };
        let mut start = angles.angle(lowest_beam) - step / 2.0;
        // Angles stay as the scan has them unless they are beyond one turn.
        let middle = start + columns as f64 * step / 2.0;
        if middle.abs() > 1.01 * std::f64::consts::PI {
            start -= (middle / std::f64::consts::TAU).round() * std::f64::consts::TAU;
        }
        let end = start + columns as f64 * step;
        Self { rows: 1, columns, azimuth: [start as f32, end as f32], elevation: [0.0, 0.0] }.checked()
    }

    /// A grid of so many rows and columns that a sweep's echoes just fill: the first and the last of them lie in the middle of a
    /// row or column. A full circle where no gap between their azimuths is wider than 45 degrees; otherwise all but the widest gap.
    ///
    /// # Errors
    /// No echoes, or sizes that [`Self::validate`] refuses.
    pub fn of_sweep(sweep: &Sweep, rows: usize, columns: usize) -> Result<Self, SweepError> {
        let mut azimuths = Vec::with_capacity(sweep.len());
        let (mut lowest, mut highest) = (f32::INFINITY, f32::NEG_INFINITY);
        for &[x, y, z] in sweep.points.iter().filter(|point| !is_void(point)) {
            azimuths.push(y.atan2(x));
            let elevation = z.atan2(x.hypot(y));
            lowest = lowest.min(elevation);
            highest = highest.max(elevation);
        }
        if azimuths.is_empty() {
            return Err(SweepError::NoEchoes);
        }
        let azimuth = azimuths_around(&azimuths, columns);
        let elevation = if rows == 1 {
            [0.0, 0.0]
        } else {
            range_around(lowest, highest, rows).map(|edge| edge.clamp(-FRAC_PI_2, FRAC_PI_2))
        };
        Self { rows, columns, azimuth, elevation }.checked()
    }

    fn checked(self) -> Result<Self, SweepError> {
        self.validate().map_err(SweepError::Grid)?;
        Ok(self)
    }

    /// Says what cannot be used: no rows or columns, too many cells or too small ones, ranges that are empty or wider than a circle.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let (rows, columns) = (self.rows, self.columns);
        if rows == 0 || columns == 0 {
            return Err(format!("rows and columns must be at least 1, they are {rows} and {columns}"));
        }
        if rows.saturating_mul(columns) > MAX_CELLS {
            return Err(format!("rows x columns must be at most {MAX_CELLS} cells, they are {rows} x {columns}"));
        }
        for (name, [start, end]) in [("azimuth", self.azimuth), ("elevation", self.elevation)] {
            if !start.is_finite() || !end.is_finite() {
                return Err(format!("{name} must hold two finite angles in radians, it is [{start}, {end}]"));
            }
        }
        let [start, end] = self.azimuth;
        let step = self.column_step();
        if step < MIN_STEP {
            return Err(format!(
                "azimuth must rise by at least {MIN_STEP} radians a column, it is [{start}, {end}] for {columns} columns"
            ));
        }
        if (end - start > TAU && !self.is_full_circle()) || start.abs().max(end.abs()) > 2.0 * TAU {
            return Err(format!("azimuth must lie within one circle in radians, it is [{start}, {end}]"));
        }
        let [low, high] = self.elevation;
        if low < -FRAC_PI_2 || high > FRAC_PI_2 || low > high {
            return Err(format!("elevation must rise from -pi/2 to pi/2 at most, it is [{low}, {high}]"));
        }
        if rows > 1 && (high - low) / (rows as f32) < MIN_STEP {
            return Err(format!(
                "elevation must rise by at least {MIN_STEP} radians a row, it is [{low}, {high}] for {rows} rows"
            ));
        }
        Ok(())
    }

    /// True when the last column lies beside the first one.
    pub fn is_full_circle(&self) -> bool {
        // A scan's columns are as wide as its angles say, so that a circle of them may lack or exceed half a column.
        (self.azimuth[1] - self.azimuth[0] - TAU).abs() <= 0.501 * self.column_step()
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// The column that looks in the direction of `azimuth`, which may be any number of turns away.
    pub fn column_of(&self, azimuth: f32) -> Option<usize> {
        let [start, end] = self.azimuth;
        let mut offset = azimuth - start;
        if !(0.0..TAU).contains(&offset) {
            offset = offset.rem_euclid(TAU);
        }
        if offset > end - start && !self.is_full_circle() {
            return None;
        }
        place(offset / (end - start), self.columns)
    }

    /// The middle of a column, in radians.
    pub fn azimuth_of(&self, column: usize) -> f32 {
        self.azimuth[0] + (column as f32 + 0.5) * self.column_step()
    }

    /// The row that looks in the direction of `elevation`; with one row it is that for every elevation.
    pub fn row_of(&self, elevation: f32) -> Option<usize> {
        let [low, high] = self.elevation;
        if self.rows == 1 {
            return (!elevation.is_nan()).then_some(0);
        }
        if elevation < low || elevation > high {
            return None;
        }
        place((elevation - low) / (high - low), self.rows)
    }

    /// The middle of a row, in radians.
    pub fn elevation_of(&self, row: usize) -> f32 {
        let [low, high] = self.elevation;
        low + (row as f32 + 0.5) * ((high - low) / self.rows as f32)
    }

    fn column_step(&self) -> f32 {
        (self.azimuth[1] - self.azimuth[0]) / self.columns as f32
    }
}

/// Which of `count` equal parts the `share` of the whole lies in; what is rounded beyond the last one lies in that.
fn place(share: f32, count: usize) -> Option<usize> {
    if share.is_nan() {
        return None;
    }
    Some(((share * count as f32) as usize).min(count.checked_sub(1)?))
}

/// A range with `low` and `high` in the middle of the first and the last of so many cells.
fn range_around(low: f32, high: f32, cells: usize) -> [f32; 2] {
    let step = ((high - low) / cells.saturating_sub(1).max(1) as f32).max(LEAST_STEP_OF_SWEEP);
    let (middle, half) = ((low + high) / 2.0, step * cells as f32 / 2.0);
    [middle - half, middle + half]
}

/// The range of azimuths, in [-pi, pi], from behind their widest gap to before it.
fn azimuths_around(azimuths: &[f32], columns: usize) -> [f32; 2] {
    const FULL_CIRCLE: [f32; 2] = [-PI, PI];
    const DEGREES: usize = 360;
    let mut is_seen = [false; DEGREES];
    for azimuth in azimuths {
        is_seen[((azimuth + PI).to_degrees() as usize).min(DEGREES - 1)] = true;
    }
    let (mut gap, mut gap_end, mut run) = (0, 0, 0);
    // Twice round, for gaps across the back.
    for degree in 1..=2 * DEGREES {
        run = if is_seen[(degree - 1) % DEGREES] { 0 } else { run + 1 };
        if run > gap {
            (gap, gap_end) = (run, degree);
        }
    }
    if gap <= MAX_GAP_OF_CIRCLE {
        return FULL_CIRCLE;
    }
    // Angles are counted from the middle of the gap, where none can fall on the wrong side by rounding.
    let origin = (gap_end as f32 - gap as f32 / 2.0).to_radians() - PI;
    let offsets = azimuths.iter().map(|azimuth| (azimuth - origin).rem_euclid(TAU));
    let (low, high) = offsets.fold((TAU, 0.0_f32), |(low, high), offset| (low.min(offset), high.max(offset)));
    let [start, end] = range_around(low, high, columns);
    if end - start >= TAU {
        return FULL_CIRCLE;
    }
    let turns = (((start + end) / 2.0 + origin) / TAU).round() * TAU;
    [start + origin - turns, end + origin - turns]
}
