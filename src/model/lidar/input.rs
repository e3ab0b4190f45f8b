//! Range image to input tensor.

use super::{LidarSpec, RangeChannel};
use crate::sensing::range_image::{RangeGrid, RangeImage};

/// Range differences are held within this and divided by it, in metres.
const RANGE_STEP: f32 = 0.5;
/// Heights are divided by this, in metres.
const HEIGHT_SCALE: f32 = 2.0;
/// Scaled heights are held within this: a stray point high up is not to drown its neighbours.
const MAX_HEIGHT: f32 = 5.0;

/// Fills the input tensor `[channels, rows, columns]` of a range image by the specification's channels; cells without a
/// point hold 0. Of a tensor of another length as many whole channels are filled as there is room for.
pub fn fill_input(image: &RangeImage, spec: &LidarSpec, out: &mut [f32]) {
    let cells = image.grid.cells();
    if cells == 0 {
        return;
    }
    for (plane, &channel) in out.chunks_exact_mut(cells).zip(&spec.channels) {
        plane.fill(0.0);
        match channel.step() {
            Some((up, left)) => fill_differences(image, up, left, plane),
            None => fill_values(image, channel, spec.max_range, plane),
        }
    }
}

fn fill_values(image: &RangeImage, channel: RangeChannel, max_range: f32, plane: &mut [f32]) {
    for ((out, &range), &[x, y, z]) in plane.iter_mut().zip(&image.ranges).zip(&image.points) {
        if !range.is_finite() {
            continue;
        }
        *out = match channel {
            RangeChannel::Range => (range / max_range).min(1.0),
            RangeChannel::InverseRange => (1.0 / range).min(1.0),
            RangeChannel::Height => (z / HEIGHT_SCALE).clamp(-MAX_HEIGHT, MAX_HEIGHT),
            RangeChannel::Planar => (x.hypot(y) / max_range).min(1.0),
            _ => 1.0,
        };
    }
}

fn fill_differences(image: &RangeImage, up: isize, left: isize, plane: &mut [f32]) {
    let is_circle = image.grid.is_full_circle();
    for (cell, (out, &range)) in plane.iter_mut().zip(&image.ranges).enumerate() {
        if !range.is_finite() {
            continue;
        }
        let other = neighbour(&image.grid, is_circle, cell, up, left).and_then(|other| image.ranges.get(other));
        *out = match other {
            Some(other) if other.is_finite() => ((other - range) / RANGE_STEP).clamp(-1.0, 1.0),
            _ => 1.0,
        };
    }
}

/// The cell so many rows up and columns to the left of another, if there is one.
fn neighbour(grid: &RangeGrid, is_circle: bool, cell: usize, up: isize, left: isize) -> Option<usize> {
    let (row, column) = (cell / grid.columns, cell % grid.columns);
    let row = row.checked_add_signed(up).filter(|&row| row < grid.rows)?;
    let column = if is_circle {
        (column as isize + left).rem_euclid(grid.columns as isize) as usize
    } else {
        column.checked_add_signed(left).filter(|&column| column < grid.columns)?
    };
    Some(row * grid.columns + column)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;
    use crate::model::lidar::spec::tests::scan_spec;
    use crate::sensing::range_image::Sweep;

    const VOID: f32 = f32::NAN;

    /// The range image of a scan with these ranges, one for each column.
    fn scan(grid: &RangeGrid, ranges: &[f32]) -> RangeImage {
        let beam = |(column, &range): (usize, &f32)| {
            let azimuth = grid.azimuth_of(column);
            [range * azimuth.cos(), range * azimuth.sin(), 0.0]
        };
        let points = ranges.iter().enumerate().map(beam).collect();
        RangeImage::project(&Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 }, grid)
    }

    fn fill(image: &RangeImage, channels: &[RangeChannel]) -> Vec<f32> {
        let spec = LidarSpec { grid: image.grid.clone(), channels: channels.to_vec(), ..scan_spec(8) };
        // What was there before must not shine through.
        let mut out = vec![9.0; spec.input_len()];
        fill_input(image, &spec, &mut out);
        out
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} is not {expected:?}");
    }

    #[test]
    fn ranges_are_measured_by_the_greatest() {
        let image = scan(&scan_spec(8).grid, &[0.5, 1.0, 2.0, 5.0, 20.0, VOID, 4.0, 8.0]);
        let found = fill(&image, &[RangeChannel::Valid, RangeChannel::Range, RangeChannel::InverseRange]);
        assert_near(&found[..8], &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_near(&found[8..16], &[0.05, 0.1, 0.2, 0.5, 1.0, 0.0, 0.4, 0.8]);
        assert_near(&found[16..], &[1.0, 1.0, 0.5, 0.2, 0.05, 0.0, 0.25, 0.125]);
    }

    #[test]
    fn neighbours_are_compared_around_the_circle() {
        let ranges = [1.0, 1.2, 1.1, VOID, 3.0, 2.75, 1.0, 1.0];
        let image = scan(&scan_spec(8).grid, &ranges);
        let found = fill(&image, &[RangeChannel::Left1, RangeChannel::Right1, RangeChannel::Left4]);
        assert_near(&found[..8], &[0.4, -0.2, 1.0, 0.0, -0.5, -1.0, 0.0, 0.0]);
        assert_near(&found[8..16], &[0.0, -0.4, 0.2, 0.0, 1.0, 0.5, 1.0, 0.0]);
        assert_near(&found[16..], &[1.0, 1.0, -0.2, 0.0, -1.0, -1.0, 0.2, 1.0]);
        let half = RangeGrid { azimuth: [-PI / 2.0, PI / 2.0], ..scan_spec(8).grid };
        let found = fill(&scan(&half, &ranges), &[RangeChannel::Left1, RangeChannel::Right2]);
        assert_near(&found[..8], &[0.4, -0.2, 1.0, 0.0, -0.5, -1.0, 0.0, 1.0]);
        assert_near(&found[8..], &[1.0, 1.0, -0.2, 0.0, -1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn rows_are_counted_upwards() {
        let grid = RangeGrid { rows: 2, columns: 2, azimuth: [-0.5, 0.5], elevation: [-0.4, 0.4] };
        // Elevations of -0.2 and 0.2 rad: the left column has points in both rows, the right one only below.
        let point = |azimuth: f32, elevation: f32, range: f32| {
            let planar = range * elevation.cos();
            [planar * azimuth.cos(), planar * azimuth.sin(), range * elevation.sin()]
        };
        let points = vec![point(0.25, -0.2, 4.0), point(0.25, 0.2, 4.25), point(-0.25, -0.2, 40.0)];
        let image = RangeImage::project(&Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 }, &grid);
        let channels = [
            RangeChannel::Above1,
            RangeChannel::Below1,
            RangeChannel::Height,
            RangeChannel::Planar,
            RangeChannel::Valid,
        ];
        let found = fill(&image, &channels);
        // Columns run anticlockwise: the right one is the first.
        assert_near(&found[..4], &[1.0, 0.5, 0.0, 1.0]);
        assert_near(&found[4..8], &[1.0, 1.0, 0.0, -0.5]);
        let (low, high) = (-4.0 * 0.2_f32.sin() / 2.0, 4.25 * 0.2_f32.sin() / 2.0);
        assert_near(&found[8..12], &[-20.0 * 0.2_f32.sin(), low, 0.0, high]);
        assert_near(&found[12..16], &[1.0, 0.4 * 0.2_f32.cos(), 0.0, 0.425 * 0.2_f32.cos()]);
        assert_near(&found[16..], &[1.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_tensor_of_another_length_is_filled_as_far_as_it_goes() {
        let spec = scan_spec(8);
        let image = scan(&spec.grid, &[1.0; 8]);
        let mut short = vec![9.0; 11];
        fill_input(&image, &spec, &mut short);
        assert_eq!(short, [&[1.0_f32; 8][..], &[9.0; 3][..]].concat());
    }
}
