//! Grids of scans and clouds, and what lies in their cells.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use super::*;
use crate::messages::{Floats, LaserScan};

fn scan(first: f32, increment: f32, ranges: &[f32]) -> LaserScan<'_> {
    LaserScan {
        angle_min: first,
        angle_increment: increment,
        range_max: 100.0,
        ranges: Floats::from(ranges),
        ..LaserScan::default()
    }
}

fn of_scan(scan: &LaserScan<'_>) -> RangeImage {
    RangeImage::project(&Sweep::from_scan(scan).unwrap(), &RangeGrid::of_scan(scan).unwrap())
}

/// A point of this direction, in degrees.
fn at(azimuth: f32, elevation: f32, range: f32) -> [f32; 3] {
    let (sin, cos) = azimuth.to_radians().sin_cos();
    let (up, planar) = elevation.to_radians().sin_cos();
    [range * planar * cos, range * planar * sin, range * up]
}

/// 36 points round about at each elevation, in degrees, each elevation a ring of its place here.
fn spinning(elevations: &[f32]) -> Sweep {
    let mut sweep = Sweep::default();
    for (ring, elevation) in elevations.iter().enumerate() {
        for column in 0..36 {
            sweep.points.push(at(10.0 * column as f32 - 175.0, *elevation, 5.0));
            sweep.rings.push(ring as u16);
        }
    }
    sweep
}

/// The row of each ring's points, which must all be in one.
fn rows_of_rings(sweep: &Sweep, grid: &RangeGrid) -> Vec<Option<u32>> {
    let image = RangeImage::project(sweep, grid);
    let row = |cell: u32| (cell != NONE).then(|| cell / grid.columns as u32);
    image
        .cell_of_point
        .chunks(36)
        .map(|cells| {
            let first = row(cells[0]);
            assert!(cells.iter().all(|cell| row(*cell) == first));
            first
        })
        .collect()
}

fn grid(rows: usize, degrees: [f32; 2]) -> RangeGrid {
    RangeGrid { rows, columns: 36, azimuth: [-PI, PI], elevation: degrees.map(f32::to_radians) }
}

#[test]
fn a_scan_has_a_column_for_each_beam() {
    let ranges: Vec<f32> = (1..=270).map(|beam| beam as f32 / 10.0).collect();
    let scan = scan((-135_f32).to_radians(), 1_f32.to_radians(), &ranges);
    let grid = RangeGrid::of_scan(&scan).unwrap();
    assert_eq!((grid.rows, grid.columns, grid.elevation), (1, 270, [0.0, 0.0]));
    assert!(!grid.is_full_circle());
    assert!((grid.azimuth[0] + 135.5_f32.to_radians()).abs() < 1e-5, "{grid:?}");
    assert!((grid.azimuth_of(0) + 135_f32.to_radians()).abs() < 1e-5, "{grid:?}");
    let image = of_scan(&scan);
    assert!((0..270).all(|beam| image.cell_of_point[beam] == beam as u32));
    assert!(image.ranges.iter().zip(&ranges).all(|(seen, range)| (seen - range).abs() < 1e-4));
}

#[test]
fn columns_run_anticlockwise_also_where_the_scan_does_not() {
    let image = of_scan(&scan(0.5, -0.25, &[1.0, 2.0, 3.0, 4.0]));
    assert_eq!(image.cell_of_point, [3, 2, 1, 0]);
    assert_eq!(image.point_of_cell, [3, 2, 1, 0]);
    assert!(image.grid.azimuth_of(0) < image.grid.azimuth_of(3));
}

#[test]
fn a_scan_of_a_full_circle_closes() {
    // From 0 up: every beam of the second half has a negative azimuth.
    let ranges = vec![3.0; 400];
    let image = of_scan(&scan(0.0, TAU / 400.0, &ranges));
    assert!(image.grid.is_full_circle());
    assert!((0..400).all(|beam| image.cell_of_point[beam] == beam as u32));
    // One beam more than a turn has, as some drivers send: the last one has the first one's direction.
    let mut ranges = vec![3.0; 360];
    ranges[359] = 2.0;
    let image = of_scan(&scan(-PI, TAU / 359.0, &ranges));
    assert!(image.grid.is_full_circle());
    assert_eq!((image.grid.columns, image.cell_of_point[359], image.point_of_cell[0]), (359, 0, 359));
}

#[test]
fn scans_without_directions_give_no_grid() {
    assert!(matches!(RangeGrid::of_scan(&scan(0.0, 0.1, &[])), Err(SweepError::Grid(_))));
    assert!(matches!(RangeGrid::of_scan(&scan(0.0, 0.0, &[1.0])), Err(SweepError::Angle { .. })));
    assert!(matches!(RangeGrid::of_scan(&scan(0.0, 1e-9, &[1.0, 1.0])), Err(SweepError::Grid(_))));
    assert!(matches!(RangeGrid::of_scan(&scan(0.0, f32::MAX, &[1.0, 1.0])), Err(SweepError::Angle { .. })));
}

#[test]
fn azimuths_are_found_turns_away_and_not_outside() {
    let grid = RangeGrid { rows: 1, columns: 4, azimuth: [2.0, 4.0], elevation: [0.0, 0.0] };
    assert_eq!(grid.column_of(2.1), Some(0));
    assert_eq!(grid.column_of(-2.5), Some(3));
    assert_eq!(grid.column_of(2.1 - 2.0 * TAU), Some(0));
    assert_eq!(grid.column_of(1.9), None);
    assert_eq!(grid.column_of(4.1), None);
    assert_eq!(grid.column_of(f32::NAN), None);
    assert_eq!(grid.column_of(f32::INFINITY), None);
    assert!((0..4).all(|column| grid.column_of(grid.azimuth_of(column)) == Some(column)));
}

#[test]
fn grids_that_cannot_be_used_are_told() {
    let good = grid(4, [-10.0, 10.0]);
    assert_eq!(good.validate(), Ok(()));
    let refused = |grid: RangeGrid, word: &str| {
        let text = grid.validate().unwrap_err();
        assert!(text.contains(word), "{text}");
    };
    refused(RangeGrid { rows: 0, ..good.clone() }, "at least 1");
    refused(RangeGrid { columns: usize::MAX, ..good.clone() }, "at most");
    refused(RangeGrid { azimuth: [1.0, 1.0], ..good.clone() }, "azimuth must rise");
    refused(RangeGrid { azimuth: [-PI, 2.0 * PI], ..good.clone() }, "one circle");
    refused(RangeGrid { azimuth: [f32::NAN, 1.0], ..good.clone() }, "azimuth must hold");
    refused(RangeGrid { elevation: [0.0, 0.0], ..good.clone() }, "elevation must rise");
    refused(RangeGrid { elevation: [0.0, 2.0], ..good.clone() }, "pi/2");
    assert_eq!(RangeGrid { rows: 1, elevation: [0.0, 0.0], ..good }.validate(), Ok(()));
}

#[test]
fn the_nearest_point_wins_and_those_behind_keep_its_cell() {
    let mut sweep = Sweep { points: vec![at(0.5, 0.0, 5.0), at(0.6, 0.0, 2.0), at(0.4, 0.0, 9.0)], ..Sweep::default() };
    sweep.intensities = vec![1.0, 2.0, 3.0];
    let image = RangeImage::project(&sweep, &grid(1, [0.0, 0.0]));
    assert_eq!(image.cell_of_point, [18, 18, 18]);
    assert_eq!((image.point_of_cell[18], image.intensities[18]), (1, 2.0));
    assert_eq!(image.points[18], sweep.points[1]);
    assert!(image.ranges.iter().enumerate().all(|(cell, range)| range.is_nan() == (cell != 18)));
}

#[test]
fn one_row_measures_in_the_plane_and_more_in_space() {
    let sweep = Sweep { points: vec![[3.0, 0.0, 4.0], VOID], ..Sweep::default() };
    let flat = RangeImage::project(&sweep, &grid(1, [0.0, 0.0]));
    assert_eq!(flat.ranges[18], 3.0);
    let space = RangeImage::project(&sweep, &grid(2, [-90.0, 90.0]));
    assert_eq!((space.ranges[36 + 18], space.cell_of_point[1]), (5.0, NONE));
}

#[test]
fn rings_are_rows_in_either_order_and_unevenly_spaced() {
    let elevations = [-25.0, -10.0, -5.0, -4.0, -3.0, 0.0, 3.0, 15.0];
    let grid = grid(8, [-25.0, 15.0]);
    let rising: Vec<Option<u32>> = (0..8).map(Some).collect();
    assert_eq!(rows_of_rings(&spinning(&elevations), &grid), rising);
    let mut falling = elevations;
    falling.reverse();
    let rows = rows_of_rings(&spinning(&falling), &grid);
    assert_eq!(rows, rising.into_iter().rev().collect::<Vec<_>>());
    // As lasers are fired: every other one from the top half.
    let fired = [-25.0, -3.0, -10.0, 0.0, -5.0, 3.0, -4.0, 15.0];
    assert_eq!(rows_of_rings(&spinning(&fired), &grid), [0_u32, 4, 1, 5, 2, 6, 3, 7].map(Some));
}

#[test]
fn a_ring_that_sees_nothing_does_not_move_the_others() {
    let elevations = [-25.0, -10.0, -5.0, -4.0, -3.0, 0.0, 3.0, 15.0];
    for blind in [0, 3, 7] {
        let mut sweep = spinning(&elevations);
        sweep.points[36 * blind..36 * (blind + 1)].fill(VOID);
        let rows = rows_of_rings(&sweep, &grid(8, [-25.0, 15.0]));
        for (ring, row) in rows.into_iter().enumerate() {
            // Where the highest ring is missing, the numbers still rise from the lowest row.
            assert_eq!(row, (ring != blind).then_some(ring as u32), "ring {ring} with {blind} blind");
        }
    }
}

#[test]
fn more_rings_than_rows_go_by_elevation() {
    let rows = rows_of_rings(&spinning(&[-8.0, -6.0, -4.0, -2.0, 2.0, 4.0, 6.0, 12.0]), &grid(2, [-10.0, 10.0]));
    assert_eq!(rows, [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), None]);
}

#[test]
fn few_rings_go_by_elevation() {
    let rows = rows_of_rings(&spinning(&[-9.0, 9.0]), &grid(8, [-10.0, 10.0]));
    assert_eq!(rows, [Some(0), Some(7)]);
}

#[test]
fn lasers_that_scan_all_elevations_are_no_rings() {
    // Four lasers by turns, each up and down the whole field of view.
    let mut sweep = Sweep::default();
    for index in 0..400_u16 {
        sweep.points.push(at(0.0, -20.0 + 0.1 * f32::from(index), 5.0));
        sweep.rings.push(index % 4);
    }
    let image = RangeImage::project(&sweep, &grid(4, [-20.0, 20.0]));
    for (index, cell) in image.cell_of_point.iter().enumerate().filter(|(index, _)| index % 100 > 5) {
        assert_eq!(*cell as usize / 36, index / 100, "point {index}");
    }
}

#[test]
fn rows_of_an_organised_cloud_are_rings() {
    let mut sweep = spinning(&[15.0, 3.0, 0.0, -20.0]);
    sweep.rings.clear();
    sweep.rows = 4;
    assert_eq!(rows_of_rings(&sweep, &grid(4, [-20.0, 15.0])), [3_u32, 2, 1, 0].map(Some));
    // A grid of another number of rows is not theirs.
    assert_eq!(rows_of_rings(&sweep, &grid(5, [-21.0, 16.0])), [Some(4), Some(3), Some(2), Some(0)]);
}

#[test]
fn a_grid_of_a_sweep_holds_all_its_echoes() {
    let mut sweep = spinning(&[-15.0, -5.0, 5.0, 15.0]);
    let grid = RangeGrid::of_sweep(&sweep, 4, 36).unwrap();
    assert_eq!(grid.azimuth, [-PI, PI]);
    assert!((grid.elevation[0] + 20_f32.to_radians()).abs() < 1e-3, "{grid:?}");
    assert!((grid.elevation_of(3) - 15_f32.to_radians()).abs() < 1e-3, "{grid:?}");
    sweep.rings.clear();
    assert_eq!(rows_of_rings(&sweep, &grid), [0_u32, 1, 2, 3].map(Some));
    assert_eq!(RangeGrid::of_sweep(&sweep, 1, 36).unwrap().elevation, [0.0, 0.0]);
}

#[test]
fn a_grid_of_a_sector_leaves_the_gap_out_also_across_the_back() {
    for center in [0.0, 90.0, 179.0, -120.0] {
        let points = (0..=100).map(|step| at(center - 50.0 + step as f32, 0.0, 4.0)).collect();
        let sweep = Sweep { points, ..Sweep::default() };
        let grid = RangeGrid::of_sweep(&sweep, 1, 101).unwrap();
        let width = grid.azimuth[1] - grid.azimuth[0];
        assert!((width - 101_f32.to_radians()).abs() < 1e-3 && !grid.is_full_circle(), "{center}: {grid:?}");
        let image = RangeImage::project(&sweep, &grid);
        assert!((0..101).all(|point| image.cell_of_point[point] == point as u32), "{center}: {grid:?}");
    }
}

#[test]
fn a_grid_of_one_point_holds_it_in_the_middle() {
    let sweep = Sweep { points: vec![VOID, at(30.0, 10.0, 2.0)], ..Sweep::default() };
    let grid = RangeGrid::of_sweep(&sweep, 3, 5).unwrap();
    let image = RangeImage::project(&sweep, &grid);
    assert_eq!(image.cell_of_point, [NONE, 7]);
    let straight_up = Sweep { points: vec![[0.0, 0.0, 1.0]], ..Sweep::default() };
    let grid = RangeGrid::of_sweep(&straight_up, 3, 5).unwrap();
    assert!(grid.elevation[1] <= FRAC_PI_2);
    assert_ne!(RangeImage::project(&straight_up, &grid).cell_of_point[0], NONE);
}

#[test]
fn a_sweep_without_echoes_gives_no_grid_but_an_empty_image() {
    let sweep = Sweep { points: vec![VOID; 3], rings: vec![0, 1, 2], ..Sweep::default() };
    assert_eq!(RangeGrid::of_sweep(&sweep, 4, 36), Err(SweepError::NoEchoes));
    let image = RangeImage::project(&sweep, &grid(4, [-10.0, 10.0]));
    assert_eq!(image.cell_of_point, [NONE; 3]);
    assert!(image.point_of_cell.iter().all(|point| *point == NONE));
}

#[test]
fn odd_numbers_of_rings_and_intensities_do_not_matter() {
    let sweep = Sweep {
        points: vec![at(0.5, 0.0, 5.0), [f32::MAX; 3], [1e-30, 0.0, 0.0]],
        intensities: vec![f32::NAN],
        rings: vec![9],
        rows: 0,
    };
    let image = RangeImage::project(&sweep, &grid(2, [-10.0, 10.0]));
    assert_eq!(image.cell_of_point, [36 + 18, NONE, NONE]);
    assert_eq!(image.intensities[36 + 18], 0.0);
}
