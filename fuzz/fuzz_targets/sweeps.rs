//! Any bytes as a laser scan or point cloud, and clouds of any layout: no panic on the way to a range image, and its points and
//! cells name each other.
#![no_main]

use arbitrary::Arbitrary;
use distilled_perception::messages::{LaserScan, PointCloud2, PointField};
use distilled_perception::sensing::range_image::{NONE, RangeGrid, RangeImage, Sweep};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 9] = ["x", "y", "z", "intensity", "reflectivity", "ring", "channel", "line", "t"];

#[derive(Debug, Arbitrary)]
struct Field {
    name: u8,
    offset: u8,
    datatype: u8,
    count: u8,
}

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Message(&'a [u8]),
    /// Sizes at which many clouds are whole.
    SmallCloud {
        width: u8,
        height: u8,
        fields: Vec<Field>,
        point_step: u8,
        row_padding: u8,
        is_bigendian: bool,
        data: &'a [u8],
    },
}

fn project(sweep: &Sweep, grid: &RangeGrid) {
    let image = RangeImage::project(sweep, grid);
    assert_eq!(image.cell_of_point.len(), sweep.len());
    for (cell, &point) in image.point_of_cell.iter().enumerate() {
        assert_eq!(point == NONE, image.ranges[cell].is_nan());
        if point != NONE {
            assert_eq!(image.cell_of_point[point as usize] as usize, cell);
        }
    }
}

fn scan(scan: &LaserScan<'_>) {
    if let (Ok(sweep), Ok(grid)) = (Sweep::from_scan(scan), RangeGrid::of_scan(scan)) {
        project(&sweep, &grid);
    }
}

fn cloud(cloud: &PointCloud2<'_>) {
    let Ok(sweep) = Sweep::from_cloud(cloud) else { return };
    for rows in [1, 4, cloud.height as usize % 64] {
        if let Ok(grid) = RangeGrid::of_sweep(&sweep, rows, 64) {
            project(&sweep, &grid);
        }
    }
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Message(bytes) => {
        if let Ok(message) = LaserScan::decode(bytes) {
            scan(&message);
        }
        if let Ok(message) = PointCloud2::decode(bytes) {
            cloud(&message);
        }
    }
    Input::SmallCloud { width, height, fields, point_step, row_padding, is_bigendian, data } => {
        let field = |field: &Field| PointField {
            name: NAMES[usize::from(field.name) % NAMES.len()],
            offset: u32::from(field.offset),
            datatype: field.datatype % 10,
            count: u32::from(field.count),
        };
        let (width, point_step) = (u32::from(width % 32), u32::from(point_step));
        cloud(&PointCloud2 {
            height: u32::from(height % 8),
            width,
            fields: fields.iter().map(field).collect(),
            is_bigendian,
            point_step,
            row_step: width * point_step + u32::from(row_padding),
            data,
            ..PointCloud2::default()
        });
    }
});
