//! Decoding gives back the objects that were put in, and never panics, whatever the values.

use std::f32::consts::{FRAC_PI_2, PI};

use proptest::prelude::*;

use super::spec::tests::scan_spec;
use super::{Grouping, LidarDetections, LidarOutput, LidarSpec, decode, encode_box, encode_vote, label_hidden_points};
use crate::sensing::range_image::{RangeImage, Sweep};

const COLUMNS: usize = 72;
const OBJECTS: usize = 6;
/// Columns on which each object is seen.
const SEEN: usize = 3;

/// An object that is put in: class, distance, size, yaw.
type Placed = (u16, f32, [f32; 3], f32);

fn any_object() -> impl Strategy<Value = Placed> {
    (0_u16..2, 2.0_f32..9.0, prop::array::uniform3(0.1_f32..3.0), -FRAC_PI_2..FRAC_PI_2)
}

fn azimuth_of_object(index: usize) -> f32 {
    (index as f32 + 0.5) * (2.0 * PI / OBJECTS as f32) - PI
}

/// The point in the middle of a column.
fn point(spec: &LidarSpec, column: usize, range: f32) -> [f32; 3] {
    let azimuth = spec.grid.azimuth_of(column);
    [range * azimuth.cos(), range * azimuth.sin(), 0.0]
}

fn project(points: Vec<[f32; 3]>, spec: &LidarSpec) -> (Sweep, RangeImage) {
    let sweep = Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 };
    let image = RangeImage::project(&sweep, &spec.grid);
    (sweep, image)
}

/// Maps `[channels, cells]` out of the channels of each cell.
fn maps<const N: usize>(cells: &[[f32; N]]) -> Vec<f32> {
    (0..N).flat_map(|channel| cells.iter().map(move |cell| cell[channel])).collect()
}

/// What is decoded for objects all around, each seen on three columns before a wall, by a network that knows
/// everything.
fn decode_perfect(objects: &[Placed]) -> (LidarDetections, Vec<[f32; 3]>) {
    let spec = scan_spec(COLUMNS);
    let mut points: Vec<_> = (0..COLUMNS).map(|column| point(&spec, column, 20.0)).collect();
    let mut logits = vec![[-4.0; 2]; COLUMNS];
    // What it says of the wall is of no matter.
    let (mut votes, mut boxes) = (vec![[9.0; 3]; COLUMNS], vec![[f32::NAN; 5]; COLUMNS]);
    let mut centers = Vec::new();
    for (index, &(class, distance, size, yaw)) in objects.iter().enumerate() {
        let azimuth = azimuth_of_object(index);
        let center = [distance * azimuth.cos(), distance * azimuth.sin(), 0.5];
        let middle = spec.grid.column_of(azimuth).unwrap();
        for side in 0..SEEN {
            let column = middle - 1 + side;
            points[column] = point(&spec, column, distance - 0.25);
            logits[column][usize::from(class)] = 4.0 + 0.5 * (column % SEEN) as f32;
            votes[column] = encode_vote(points[column], center);
            boxes[column] = encode_box(points[column], size, yaw);
        }
        centers.push(center);
    }
    let (_, image) = project(points, &spec);
    let output = LidarOutput { class_logits: &maps(&logits), votes: &maps(&votes), boxes: &maps(&boxes) };
    (decode(&output, &image, &spec), centers)
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -4.0_f32..4.0,
        1 => any::<f32>(),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(1e30)],
    ]
}

/// Ranges of 24 beams, several on a cell.
fn any_ranges() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![6 => 0.1_f32..12.0, 1 => any_value()], 24)
}

/// Outputs for 8 cells; the lengths are mostly right.
fn any_maps(channels: usize) -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        20 => prop::collection::vec(any_value(), channels * 8),
        1 => prop::collection::vec(any_value(), 0..channels * 9),
    ]
}

proptest! {
    #[test]
    fn a_perfect_network_is_decoded_to_its_objects(placed in prop::collection::vec(any_object(), OBJECTS)) {
        let (found, centers) = decode_perfect(&placed);
        prop_assert_eq!(found.skipped, 0);
        prop_assert_eq!(found.objects.len(), OBJECTS);
        let distance = |a: &[f32; 3], b: &[f32; 3]| (a[0] - b[0]).hypot(a[1] - b[1]).hypot(a[2] - b[2]);
        for (index, &(class, _, size, yaw)) in placed.iter().enumerate() {
            let object = found.objects.iter().position(|object| distance(&object.center, &centers[index]) < 1e-3);
            prop_assert!(object.is_some(), "{:?} is not in {:?}", centers[index], found.objects);
            let place = object.unwrap_or_default();
            let object = found.objects[place];
            prop_assert_eq!((object.class, object.points), (usize::from(class), SEEN));
            prop_assert!(object.score > 0.98 && object.score < 1.0);
            prop_assert!(object.size.iter().zip(size).all(|(found, expected)| (found / expected - 1.0).abs() < 1e-3));
            prop_assert!((object.yaw - yaw).sin().abs() < 1e-3, "{} is not {}", object.yaw, yaw);
            let own = found.points.iter().filter(|label| label.object == Some(place as u32));
            prop_assert_eq!(own.clone().count(), SEEN);
            for label in own {
                prop_assert_eq!(label.class, Some(class));
            }
        }
        prop_assert_eq!(found.points.iter().filter(|label| label.class.is_none()).count(), COLUMNS - OBJECTS * SEEN);
    }

    #[test]
    fn decoding_never_panics_and_gives_only_sound_objects(
        ranges in any_ranges(),
        class_logits in any_maps(2),
        votes in any_maps(3),
        boxes in any_maps(5),
        threshold in any_value(),
        radius in prop_oneof![3 => 0.01_f32..9.0, 1 => any_value()],
        min_points in 0_usize..4,
        max_objects in 0_usize..6,
    ) {
        let mut spec = LidarSpec { score_threshold: threshold, max_objects, ..scan_spec(8) };
        spec.grouping.insert("person".into(), Grouping { radius, min_points });
        let points = ranges.iter().enumerate().map(|(beam, &range)| point(&spec, beam % 8, range)).collect();
        let (sweep, image) = project(points, &spec);
        let output = LidarOutput { class_logits: &class_logits, votes: &votes, boxes: &boxes };
        let mut found = decode(&output, &image, &spec);
        label_hidden_points(&mut found.points, &image, &sweep);
        prop_assert_eq!(found.points.len(), sweep.points.len());
        prop_assert!(found.skipped <= 8 && found.objects.len() <= max_objects);
        prop_assert!(found.objects.is_sorted_by(|a, b| a.score >= b.score));
        for object in &found.objects {
            let values = [&object.center[..], &object.size, &[object.yaw, object.score]].concat();
            prop_assert!(values.iter().all(|value| value.is_finite()), "{:?}", object);
            prop_assert!(object.class < 2 && (0.0..=1.0).contains(&object.score) && object.points >= 1);
            prop_assert!(object.size.iter().all(|&size| size > 0.0) && object.yaw.abs() <= FRAC_PI_2);
        }
        for label in &found.points {
            prop_assert!((0.0..=1.0).contains(&label.score));
            let Some(object) = label.object else { continue };
            let class = found.objects.get(object as usize).map(|object| object.class);
            prop_assert_eq!(label.class.map(usize::from), class);
        }
    }
}

#[test]
fn a_point_hidden_by_another_shares_its_label_only_when_it_is_near() {
    let spec = scan_spec(8);
    // In one cell: a wall 1 m behind a person, and two more points on the person; one of them comes before the nearest.
    let points = vec![point(&spec, 4, 2.25), point(&spec, 4, 2.0), point(&spec, 4, 2.1), point(&spec, 4, 3.0)];
    let (sweep, image) = project(points, &spec);
    let mut logits = vec![[-4.0; 2]; 8];
    logits[4][1] = 4.0;
    let output = LidarOutput { class_logits: &maps(&logits), votes: &[0.0; 24], boxes: &[0.0; 40] };
    let mut found = decode(&output, &image, &spec);
    let classes = |found: &LidarDetections| found.points.iter().map(|label| label.class).collect::<Vec<_>>();
    assert_eq!(classes(&found), [None, Some(1), None, None]);
    label_hidden_points(&mut found.points, &image, &sweep);
    assert_eq!(classes(&found), [Some(1), Some(1), Some(1), None]);
    assert_eq!(found.points[0], found.points[1]);
}

#[test]
fn a_score_under_the_threshold_is_told_without_a_class() {
    let mut spec = scan_spec(8);
    spec.class_thresholds.insert("forklift".into(), 0.75);
    let (_, image) = project((0..8).map(|column| point(&spec, column, 2.0)).collect(), &spec);
    let mut logits = vec![[0.5, -2.0]; 8];
    logits[2] = [0.25, 1.0];
    logits[3] = [0.25, 2.0];
    let output = LidarOutput { class_logits: &maps(&logits), votes: &[0.0; 24], boxes: &[0.0; 40] };
    let found = decode(&output, &image, &spec);
    let label = found.points[2];
    // The best class decides, also where another would have reached its own threshold.
    assert_eq!((label.class, label.object), (None, None));
    assert!((label.score - 0.7310586).abs() < 1e-6, "{label:?}");
    assert_eq!((found.points[1].class, found.points[3].class), (Some(0), Some(1)));
    // Outputs of another length say nothing.
    let short = LidarOutput { votes: &[0.0; 23], ..output };
    let found = decode(&short, &image, &spec);
    assert_eq!((found.skipped, found.points.len(), found.objects.len()), (8, 8, 0));
}
