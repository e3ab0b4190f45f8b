//! Footprints: what is filled, at which heights, and that nothing of a costmap stays empty.

use proptest::prelude::*;

use super::*;

fn track(position: [f64; 3], velocity: [f64; 2], size: [f64; 3], yaw: f64) -> Track {
    Track { position, velocity, size, yaw, ..Track::person_at(0.0, 0.0) }
}

fn options(inflation: f64) -> FootprintOptions {
    let profiles = vec![ClassProfile { inflation, ..ClassProfile::default() }];
    FootprintOptions { profiles, ..FootprintOptions::default() }
}

#[test]
fn a_turned_box_is_filled_and_nothing_beside_it() {
    let truck = track([3.0, -2.0, 1.0], [0.0, 0.0], [2.0, 1.0, 2.0], std::f64::consts::FRAC_PI_2);
    let points = fill(&truck, &FootprintOptions { levels: 1, ..options(0.0) });
    // 2 m x 1 m in steps of 3.5 cm, a row more or less where the edge falls on a step.
    assert!((1530..=1740).contains(&points.len()), "{}", points.len());
    for [x, y, z] in &points {
        assert!((x - 3.0).abs() <= 0.501 && (y + 2.0).abs() <= 1.001, "{x} {y}");
        assert!(*z > 0.1 && *z < 1.8);
    }
    let wider = fill(&truck, &FootprintOptions { levels: 1, ..options(0.3) });
    let expected = (2.0 + 6.0 * 0.3 + std::f64::consts::PI * 0.09) / 0.035f64.powi(2);
    assert!((wider.len() as f64 - expected).abs() < 0.06 * expected, "{} {expected}", wider.len());
}

/// A cell of a costmap.
type Cell = (i64, i64);

/// Cells of a costmap of 5 cm that is turned and shifted against the track's frame: those that lie in the box of 2 m x 1 m at
/// the origin, turned by `yaw`, and those that have a point in them.
fn marked(points: &[[f32; 3]], yaw: f64, turn: f64, shift: f64) -> (Vec<Cell>, BTreeSet<Cell>) {
    let rotate = |[x, y]: [f64; 2], angle: f64| {
        let (sin, cos) = angle.sin_cos();
        [x * cos - y * sin, x * sin + y * cos]
    };
    let cell = |value: f64| ((value - shift) / 0.05).floor() as i64;
    let in_cells = |point: &[f32; 3]| {
        let [x, y] = rotate([f64::from(point[0]), f64::from(point[1])], -turn);
        (cell(x), cell(y))
    };
    let corner = |column: i64, row: i64| {
        let place = rotate([column as f64 * 0.05 + shift, row as f64 * 0.05 + shift], turn);
        let [along, across] = rotate(place, -yaw);
        along.abs() <= 1.0 && across.abs() <= 0.5
    };
    let is_inside = |&(column, row): &(i64, i64)| {
        [(0, 0), (1, 0), (0, 1), (1, 1)].iter().all(|&(right, up)| corner(column + right, row + up))
    };
    let all = (-60..60).flat_map(|column| (-60..60).map(move |row| (column, row)));
    (all.filter(is_inside).collect(), points.iter().map(in_cells).collect())
}

#[test]
fn no_cell_of_a_turned_costmap_stays_empty() {
    for step in 0..40 {
        let (yaw, turn, shift) = (0.17 * f64::from(step), 0.29 * f64::from(step), 0.0031 * f64::from(step));
        let truck = track([0.0, 0.0, 1.0], [0.0; 2], [2.0, 1.0, 2.0], yaw);
        let (inside, taken) = marked(&fill(&truck, &options(0.0)), yaw, turn, shift);
        assert!(inside.len() > 600, "{}", inside.len());
        let empty = inside.iter().filter(|cell| !taken.contains(cell)).count();
        assert_eq!(empty, 0, "of {} cells at {yaw} in a costmap at {turn}", inside.len());
    }
}

#[test]
fn the_inside_has_one_level_and_the_outline_all() {
    let truck = track([3.0, -2.0, 1.0], [0.0, 0.0], [2.0, 1.0, 2.0], 0.0);
    let points = fill(&truck, &options(0.0));
    let lowest = points.iter().map(|point| point[2]).fold(f32::INFINITY, f32::min);
    let (base, above): (Vec<[f32; 3]>, Vec<[f32; 3]>) = points.iter().copied().partition(|point| point[2] == lowest);
    // The outline of 2 m x 1 m in steps of 3.5 cm, at two more levels.
    let outline = 2.0 * 3.0 * 2.0 / 0.035;
    assert!((above.len() as f64 / outline - 1.0).abs() < 0.1, "{} {outline}", above.len());
    assert!(above.iter().all(|point| (point[0] - 3.0).abs() > 0.9 || (point[1] + 2.0).abs() > 0.4));
    assert_eq!(base.len(), fill(&truck, &FootprintOptions { levels: 1, ..options(0.0) }).len());
}

#[test]
fn what_is_far_from_the_robot_is_left_out() {
    let person = |x: f64, speed: f64| track([x, 0.0, 0.85], [speed, 0.0], [0.5, 0.5, 1.7], 0.0);
    let near = FootprintOptions { range: 6.0, horizon: 2.0, ..options(0.1) };
    let tracks = [person(4.0, 0.0), person(9.0, 0.0), person(9.0, -1.5)];
    let alone = |place: usize| fill(&tracks[place], &near).len();
    let around = |robot: Option<[f64; 2]>| fill_around(&tracks, robot, &near).len();
    // The second stands too far away; the third walks towards the robot.
    assert_eq!(around(Some([0.0, 0.0])), alone(0) + alone(2));
    assert_eq!(around(Some([12.0, 0.0])), alone(1) + alone(2));
    // An edge within the range is enough.
    assert_eq!(around(Some([9.0, -6.3])), alone(1) + alone(2));
    assert_eq!(around(None), alone(0) + alone(1) + alone(2));
    assert_eq!(around(Some([f64::NAN, 0.0])), around(None));
}

#[test]
fn levels_stay_within_the_limits_and_the_object() {
    let heights = |z: f64, tall: f64| {
        let points = fill(&track([0.0, 0.0, z], [0.0; 2], [0.5, 0.5, tall], 0.0), &options(0.1));
        let mut heights: Vec<f32> = points.iter().map(|point| point[2]).collect();
        heights.sort_by(f32::total_cmp);
        heights.dedup();
        heights
    };
    let person = heights(0.85, 1.7);
    assert!(person.len() == 3 && person[0] > 0.1 && person[2] < 1.7, "{person:?}");
    assert!(heights(2.0, 4.0)[2] < 1.8);
    // Lower than the layer looks: marked at its lower limit, for it is there.
    assert_eq!(heights(0.04, 0.08), [0.1]);
}

#[test]
fn the_way_ahead_is_swept_without_gaps() {
    let walker = track([0.0, 0.0, 0.85], [1.5, 0.0], [0.5, 0.5, 1.7], 0.0);
    let points = fill(&walker, &FootprintOptions { horizon: 2.0, levels: 1, ..options(0.1) });
    let furthest = points.iter().map(|point| point[0]).fold(f32::MIN, f32::max);
    assert!((furthest - 3.35).abs() < 0.06, "{furthest}");
    // Along the middle each cell from the start to the end is taken.
    for step in 0..66 {
        let x = -0.3 + 0.05 * step as f32;
        assert!(points.iter().any(|point| (point[0] - x).abs() < 0.051 && point[1].abs() < 0.05), "{x}");
    }
    let standing = track([0.0, 0.0, 0.85], [0.01, 0.0], [0.5, 0.5, 1.7], 0.0);
    let still = fill(&standing, &FootprintOptions { horizon: 2.0, levels: 1, ..options(0.1) });
    assert!(still.iter().all(|point| point[0] < 0.4));
}

#[test]
fn wrong_numbers_give_no_points_and_large_objects_not_too_many() {
    assert!(fill(&track([f64::NAN, 0.0, 0.0], [0.0; 2], [1.0; 3], 0.0), &options(0.1)).is_empty());
    let hall = track([0.0, 0.0, 1.0], [20.0, 3.0], [30.0, 30.0, 2.0], 0.4);
    let few = FootprintOptions { max_points: 500, horizon: 5.0, ..options(0.5) };
    let points = fill(&hall, &few);
    assert!((100..=500).contains(&points.len()), "{}", points.len());
    let one = FootprintOptions { max_points: 1, ..options(0.0) };
    assert_eq!(fill(&track([0.0; 3], [0.0; 2], [0.1, 0.1, 0.1], 0.0), &one).len(), 1);
    assert!(FootprintOptions { z_max: 0.0, ..FootprintOptions::default() }.validate().is_err());
    assert_eq!(FootprintOptions::default().validate(), Ok(()));
}

proptest! {
    #[test]
    fn points_are_few_finite_and_at_the_object(
        x in -50.0..50.0f64, y in -50.0..50.0f64, speed in -3.0..3.0f64, yaw in -3.2..3.2f64,
        length in 0.0..5.0f64, width in 0.0..3.0f64, horizon in 0.0..3.0f64, max_points in 1..3000usize,
    ) {
        let object = track([x, y, 0.9], [speed, -speed], [length, width, 1.8], yaw);
        let points = fill(&object, &FootprintOptions { horizon, max_points, ..options(0.2) });
        prop_assert!(!points.is_empty() && points.len() <= max_points);
        for [px, py, pz] in points {
            prop_assert!(px.is_finite() && py.is_finite() && pz > 0.1 && pz < 1.8);
            prop_assert!((f64::from(px) - x).hypot(f64::from(py) - y) < 50.0);
        }
    }
}
