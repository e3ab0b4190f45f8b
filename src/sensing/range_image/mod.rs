//! Laser scans and point clouds as images of distances, which is what lidar networks see.
//!
//! | file | holds |
//! |---|---|
//! | `sweep` | [`Sweep`]: the points of one turn, out of a scan or (in [`point_cloud`](super::point_cloud)) out of a cloud |
//! | `grid` | [`RangeGrid`]: the image's cells and the directions they look in |
//! | `rows` | which row each point belongs to |
//!
//! ```
//! use distilled_perception::messages::{Floats, LaserScan};
//! use distilled_perception::sensing::range_image::{RangeGrid, RangeImage, Sweep};
//!
//! let ranges = [2.0, f32::INFINITY, 3.0];
//! let scan = LaserScan {
//!     angle_min: -0.5,
//!     angle_increment: 0.5,
//!     range_max: 10.0,
//!     ranges: Floats::from(&ranges[..]),
//!     ..LaserScan::default()
//! };
//! let image = RangeImage::project(&Sweep::from_scan(&scan)?, &RangeGrid::of_scan(&scan)?);
//! assert!(image.ranges[1].is_nan());
//! assert_eq!(image.cell_of_point[2], 2);
//! # Ok::<(), distilled_perception::sensing::range_image::SweepError>(())
//! ```

mod grid;
mod rows;
mod sweep;

#[cfg(test)]
mod tests;

pub use grid::RangeGrid;
pub(super) use sweep::check_points;
pub use sweep::{MAX_POINTS, Sweep, SweepError, VOID, is_void};

/// No cell, or no point.
pub const NONE: u32 = u32::MAX;

/// A sweep seen from its sensor: for each direction the nearest echo. Cells lie row by row, the lowest row first.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeImage {
    /// The cells' directions.
    pub grid: RangeGrid,
    /// Distance in metres, NaN where void: in the x-y plane with one row, otherwise the full distance.
    pub ranges: Vec<f32>,
    /// The point in each cell, NaN where void.
    pub points: Vec<[f32; 3]>,
    /// Strength of each cell's echo in the device's own units, 0 where there is none.
    pub intensities: Vec<f32>,
    /// Index in the sweep of the point in each cell, or [`NONE`].
    pub point_of_cell: Vec<u32>,
    /// For each point of the sweep the cell that looks at it, or [`NONE`] where it is void or out of the grid. A point behind
    /// another one has that one's cell.
    pub cell_of_point: Vec<u32>,
}

impl RangeImage {
    /// Puts every point into the cell that looks at it; of several in one cell the nearest stays.
    ///
    /// A point's row is that of its ring where the grid has a row for each ring (or for each row of an organised cloud), ordered by
    /// elevation. Where there are more rings than rows or less than half as many, or the numbers are no rings, it goes by the point's
    /// own elevation. With one row, all points are in it. `grid` is one that [`RangeGrid::validate`] accepts.
    pub fn project(sweep: &Sweep, grid: &RangeGrid) -> Self {
        let cells = grid.cells();
        let mut image = Self {
            grid: grid.clone(),
            ranges: vec![f32::NAN; cells],
            points: vec![VOID; cells],
            intensities: vec![0.0; cells],
            point_of_cell: vec![NONE; cells],
            cell_of_point: Vec::with_capacity(sweep.len()),
        };
        let rule = rows::RowRule::of(sweep, grid);
        for (index, point) in sweep.points.iter().enumerate() {
            let cell = image.see(sweep, &rule, index, point);
            image.cell_of_point.push(cell);
        }
        image
    }

    /// Puts one point into its cell, unless a nearer one is there, and gives the cell.
    fn see(&mut self, sweep: &Sweep, rule: &rows::RowRule<'_>, index: usize, point: &[f32; 3]) -> u32 {
        let [x, y, z] = *point;
        let planar = (x * x + y * y).sqrt();
        let range = if self.grid.rows == 1 { planar } else { (x * x + y * y + z * z).sqrt() };
        // NaN where a coordinate is; infinite or 0 where the square is beyond single precision.
        let is_echo = range > 0.0 && range.is_finite() && z.is_finite();
        if !is_echo {
            return NONE;
        }
        let row = rule.row(&self.grid, index, z, planar);
        let (Some(row), Some(column)) = (row, self.grid.column_of(y.atan2(x))) else { return NONE };
        let cell = row * self.grid.columns + column;
        if self.ranges[cell].is_nan() || range < self.ranges[cell] {
            self.ranges[cell] = range;
            self.points[cell] = *point;
            self.point_of_cell[cell] = index as u32;
            let intensity = sweep.intensities.get(index).copied().unwrap_or(0.0);
            self.intensities[cell] = if intensity.is_finite() { intensity } else { 0.0 };
        }
        cell as u32
    }
}
