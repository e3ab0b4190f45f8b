//! What must hold of every sweep: points come back from clouds of any layout, no layout panics or reserves memory that the data do
//! not fill, and points and cells of a range image agree.

use std::f32::consts::{PI, TAU};

use distilled_perception::{
    messages::{Floats, LaserScan, PointCloud2, PointField},
    sensing::range_image::{MAX_POINTS, NONE, RangeGrid, RangeImage, Sweep, is_void},
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};

const NAMES: [&str; 5] = ["x", "y", "z", "intensity", "ring"];

/// A layout of [`NAMES`] in any order and of any number type, with padding anywhere.
#[derive(Debug, Clone)]
struct Layout {
    /// Order of the fields in a point.
    order: Vec<usize>,
    /// For each of the names.
    datatypes: Vec<u8>,
    counts: Vec<u32>,
    /// Bytes before each field, and behind the last one.
    padding: Vec<u32>,
    /// Bytes behind each row.
    row_padding: u32,
    is_bigendian: bool,
}

fn layout() -> impl Strategy<Value = Layout> {
    (
        Just((0..NAMES.len()).collect::<Vec<_>>()).prop_shuffle(),
        vec(PointField::INT8..=PointField::FLOAT64, NAMES.len()),
        vec(1_u32..3, NAMES.len()),
        vec(0_u32..5, NAMES.len() + 1),
        0_u32..9,
        any::<bool>(),
    )
        .prop_map(|(order, datatypes, counts, padding, row_padding, is_bigendian)| Layout {
            order,
            datatypes,
            counts,
            padding,
            row_padding,
            is_bigendian,
        })
}

/// A number as the type holds it, in bytes and as it is to be read.
fn written(value: f32, datatype: u8, is_bigendian: bool) -> (Vec<u8>, f32) {
    macro_rules! number {
        ($type:ty) => {{
            let number = value as $type;
            let bytes = if is_bigendian { number.to_be_bytes() } else { number.to_le_bytes() };
            (bytes.to_vec(), number as f32)
        }};
    }
    match datatype {
        PointField::INT8 => number!(i8),
        PointField::UINT8 => number!(u8),
        PointField::INT16 => number!(i16),
        PointField::UINT16 => number!(u16),
        PointField::INT32 => number!(i32),
        PointField::UINT32 => number!(u32),
        PointField::FLOAT32 => {
            let bytes = if is_bigendian { value.to_be_bytes() } else { value.to_le_bytes() };
            (bytes.to_vec(), value)
        }
        _ => number!(f64),
    }
}

/// A cloud's layout and bytes, and what is to be read of them: the values of [`NAMES`] for each point.
struct Made {
    fields: Vec<PointField<'static>>,
    point_step: u32,
    row_step: u32,
    data: Vec<u8>,
    expected: Vec<[f32; 5]>,
}

impl Made {
    fn new(layout: &Layout, values: &[[f32; 5]], width: usize) -> Self {
        let (mut fields, mut offset) = (Vec::new(), 0);
        for (place, &name) in layout.order.iter().enumerate() {
            let (datatype, count) = (layout.datatypes[name], layout.counts[name]);
            offset += layout.padding[place];
            fields.push(PointField { name: NAMES[name], offset, datatype, count });
            offset += count * written(0.0, datatype, false).0.len() as u32;
        }
        let point_step = offset + layout.padding[NAMES.len()];
        let row_step = width as u32 * point_step + layout.row_padding;
        let height = values.len() / width;
        let mut data = vec![0xEE; row_step as usize * height];
        let mut expected = Vec::new();
        for (index, point) in values.iter().enumerate() {
            let start = index / width * row_step as usize + index % width * point_step as usize;
            let mut read = [0.0; 5];
            for (field, &name) in fields.iter().zip(&layout.order) {
                let (bytes, value) = written(point[name], field.datatype, layout.is_bigendian);
                let begin = start + field.offset as usize;
                data[begin..begin + bytes.len()].copy_from_slice(&bytes);
                read[name] = value;
            }
            expected.push(read);
        }
        Self { fields, point_step, row_step, data, expected }
    }

    fn cloud(&self, layout: &Layout, width: usize) -> PointCloud2<'_> {
        PointCloud2 {
            height: (self.expected.len() / width) as u32,
            width: width as u32,
            fields: self.fields.clone(),
            is_bigendian: layout.is_bigendian,
            point_step: self.point_step,
            row_step: self.row_step,
            data: &self.data,
            ..PointCloud2::default()
        }
    }
}

/// Coordinates, whole numbers among them as the integer types hold them, and what marks void points.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -120.0_f32..120.0,
        3 => (-100_i8..100).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => Just(0.0_f32),
    ]
}

fn values() -> impl Strategy<Value = (usize, Vec<[f32; 5]>)> {
    (1_usize..6, 1_usize..4).prop_flat_map(|(width, height)| {
        let point = [value(), value(), value(), value(), value()];
        (Just(width), vec(point, width * height))
    })
}

/// That points and cells name each other, and that each cell has the nearest of its points.
fn check_image(sweep: &Sweep, image: &RangeImage) -> Result<(), TestCaseError> {
    let cells = image.grid.cells();
    prop_assert_eq!(image.cell_of_point.len(), sweep.len());
    prop_assert!(image.ranges.len() == cells && image.points.len() == cells && image.intensities.len() == cells);
    prop_assert_eq!(image.point_of_cell.len(), cells);
    for (cell, &point) in image.point_of_cell.iter().enumerate() {
        prop_assert_eq!(point == NONE, image.ranges[cell].is_nan());
        prop_assert_eq!(point == NONE, is_void(&image.points[cell]));
        prop_assert!(image.intensities[cell].is_finite());
        if point != NONE {
            prop_assert_eq!(image.cell_of_point[point as usize] as usize, cell);
            prop_assert_eq!(image.points[cell], sweep.points[point as usize]);
        }
    }
    for (point, &cell) in image.cell_of_point.iter().enumerate() {
        if cell == NONE {
            continue;
        }
        prop_assert!(!is_void(&sweep.points[point]));
        let [x, y, z] = sweep.points[point].map(f64::from);
        let z = if image.grid.rows == 1 { 0.0 } else { z };
        let range = (x * x + y * y + z * z).sqrt();
        // Squares of less are at the end of single precision.
        if range > 1e-15 {
            prop_assert!(f64::from(image.ranges[cell as usize]) <= range * (1.0 + 1e-6));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn clouds_of_any_layout_come_back(layout in layout(), (width, values) in values()) {
        let made = Made::new(&layout, &values, width);
        let cloud = made.cloud(&layout, width);
        let sweep = Sweep::from_cloud(&cloud).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((sweep.len(), sweep.rows), (values.len(), values.len() / width));
        let has_rings = (PointField::INT8..=PointField::UINT32).contains(&layout.datatypes[4]);
        prop_assert_eq!(sweep.rings.len(), if has_rings { values.len() } else { 0 });
        for (index, [x, y, z, intensity, ring]) in made.expected.iter().copied().enumerate() {
            let position = [x, y, z];
            if is_void(&position) || position == [0.0; 3] {
                prop_assert!(is_void(&sweep.points[index]));
            } else {
                prop_assert_eq!(sweep.points[index], position);
            }
            let read = sweep.intensities[index];
            prop_assert!(read == intensity || (read.is_nan() && intensity.is_nan()), "{read} is not {intensity}");
            if has_rings {
                prop_assert_eq!(sweep.rings[index], ring as u16);
            }
        }
        if let Ok(grid) = RangeGrid::of_sweep(&sweep, 4, 32) {
            let image = RangeImage::project(&sweep, &grid);
            check_image(&sweep, &image)?;
            // The grid of a sweep has room for all that it saw, also where points find their rows by their rings.
            for (point, &cell) in sweep.points.iter().zip(&image.cell_of_point) {
                prop_assert_eq!(is_void(point), cell == NONE);
            }
        }
    }

    #[test]
    fn no_cloud_of_short_data_is_read(layout in layout(), (width, values) in values(), cut in any::<prop::sample::Index>()) {
        let made = Made::new(&layout, &values, width);
        let cloud = made.cloud(&layout, width);
        let needed = made.data.len() - layout.row_padding as usize;
        let cut = cut.index(made.data.len() + 1);
        let read = Sweep::from_cloud(&PointCloud2 { data: &made.data[..cut], ..cloud });
        prop_assert_eq!(read.is_ok(), cut >= needed);
    }

    #[test]
    fn no_cloud_panics(
        sizes in vec(prop_oneof![0_u32..40, any::<u32>()], 4),
        fields in vec((0_usize..NAMES.len(), prop_oneof![0_u32..40, any::<u32>()], 0_u8..11, any::<u32>()), 0..8),
        is_bigendian in any::<bool>(),
        data in vec(any::<u8>(), 0..600),
    ) {
        let field = |(name, offset, datatype, count): (usize, u32, u8, u32)| PointField { name: NAMES[name], offset, datatype, count };
        let cloud = PointCloud2 {
            height: sizes[0],
            width: sizes[1],
            fields: fields.into_iter().map(field).collect(),
            is_bigendian,
            point_step: sizes[2],
            row_step: sizes[3],
            data: &data,
            ..PointCloud2::default()
        };
        if let Ok(sweep) = Sweep::from_cloud(&cloud) {
            let points = u64::from(cloud.width) * u64::from(cloud.height);
            prop_assert!(points <= MAX_POINTS);
            prop_assert_eq!(sweep.len() as u64, points);
            // A point takes at least a byte.
            prop_assert!(sweep.len() <= data.len());
            if let Ok(grid) = RangeGrid::of_sweep(&sweep, 3, 16) {
                check_image(&sweep, &RangeImage::project(&sweep, &grid))?;
            }
        }
    }

    /// Beam and column are one to one, whatever the directions and the sense of rotation.
    #[test]
    fn each_beam_has_its_column(
        first in -4.0_f32..7.0, beams in 1_usize..1500, share in 0.001_f32..0.99, clockwise in any::<bool>(),
        ranges in vec(prop_oneof![4 => 0.05_f32..40.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(0.0_f32)], 1500),
    ) {
        // At most a circle but for one beam.
        let step = share * TAU / (beams + 1) as f32;
        prop_assume!(step > 2e-5);
        let scan = LaserScan {
            angle_min: first,
            angle_increment: if clockwise { -step } else { step },
            range_min: 0.1,
            range_max: 30.0,
            ranges: Floats::from(&ranges[..beams]),
            ..LaserScan::default()
        };
        let grid = RangeGrid::of_scan(&scan).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let sweep = Sweep::from_scan(&scan).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((grid.rows, grid.columns), (1, beams));
        let image = RangeImage::project(&sweep, &grid);
        check_image(&sweep, &image)?;
        for (beam, range) in ranges[..beams].iter().enumerate() {
            let column = if clockwise { beams - 1 - beam } else { beam };
            if (0.1..=30.0).contains(range) {
                prop_assert_eq!(image.cell_of_point[beam] as usize, column);
                prop_assert!((image.ranges[column] - range).abs() <= 1e-6 * range);
            } else {
                prop_assert_eq!(image.cell_of_point[beam], NONE);
            }
        }
    }

    #[test]
    fn a_full_circle_has_a_column_for_each_beam(first in -4.0_f32..7.0, beams in 3_usize..4000, clockwise in any::<bool>()) {
        let step = TAU / beams as f32;
        let ranges = vec![5.0; beams];
        let scan = LaserScan {
            angle_min: first,
            angle_increment: if clockwise { -step } else { step },
            range_max: 30.0,
            ranges: Floats::from(&ranges),
            ..LaserScan::default()
        };
        let grid = RangeGrid::of_scan(&scan).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(grid.is_full_circle());
        let sweep = Sweep::from_scan(&scan).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let image = RangeImage::project(&sweep, &grid);
        for beam in 0..beams {
            let column = if clockwise { beams - 1 - beam } else { beam };
            prop_assert_eq!(image.cell_of_point[beam] as usize, column);
        }
    }

    /// The middle of each column and row is found in it, turns away too.
    #[test]
    fn directions_come_back(
        start in -PI..PI, share in 0.01_f32..1.0, columns in 1_usize..3000, low in -1.5_f32..1.0, height in 0.01_f32..0.5,
        rows in 1_usize..200, turns in -2_i8..3,
    ) {
        let grid = RangeGrid { rows, columns, azimuth: [start, start + share * TAU], elevation: [low, low + height] };
        prop_assume!(grid.validate().is_ok() && share * TAU / columns as f32 > 1e-4);
        for column in [0, columns / 2, columns - 1] {
            let azimuth = grid.azimuth_of(column) + f32::from(turns) * TAU;
            prop_assert_eq!(grid.column_of(azimuth), Some(column));
        }
        for row in [0, rows / 2, rows - 1] {
            prop_assert_eq!(grid.row_of(grid.elevation_of(row)), Some(row));
        }
    }
}
