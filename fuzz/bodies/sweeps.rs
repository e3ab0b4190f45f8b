//! Any bytes as a laser scan or point cloud, and clouds of any layout: no panic on the way to a range image, and its points and
//! cells name each other.

use distilled_perception::messages::{LaserScan, PointCloud2, PointField};
use distilled_perception::sensing::point_cloud::whole_numbers;
use distilled_perception::sensing::range_image::{NONE, RangeGrid, RangeImage, Sweep};

use super::source::Source;

const NAMES: [&str; 9] = ["x", "y", "z", "intensity", "reflectivity", "ring", "channel", "line", "t"];

/// The first byte tells what the others are: 0 a small cloud of any layout, else a message.
pub fn check(bytes: &[u8]) {
    let mut source = Source(bytes);
    if source.u8() > 0 {
        if let Ok(message) = LaserScan::decode(source.0) {
            scan(&message);
        }
        if let Ok(message) = PointCloud2::decode(source.0) {
            cloud(&message);
        }
        return;
    }
    // Sizes at which many clouds are whole.
    let (width, height) = (u32::from(source.u8() % 32), u32::from(source.u8() % 8));
    let (point_step, row_padding) = (u32::from(source.u8()), u32::from(source.u8()));
    let is_bigendian = source.bool();
    let count = source.u8() % 8;
    let fields = (0..count).map(|_| PointField {
        name: NAMES[usize::from(source.u8()) % NAMES.len()],
        offset: u32::from(source.u8()),
        datatype: source.u8() % 10,
        count: u32::from(source.u8()),
    });
    let fields = fields.collect();
    cloud(&PointCloud2 {
        height,
        width,
        fields,
        is_bigendian,
        point_step,
        row_step: width * point_step + row_padding,
        data: source.0,
        ..PointCloud2::default()
    });
}

fn scan(scan: &LaserScan<'_>) {
    if let (Ok(sweep), Ok(grid)) = (Sweep::from_scan(scan), RangeGrid::of_scan(scan)) {
        project(&sweep, &grid);
    }
}

fn cloud(cloud: &PointCloud2<'_>) {
    let points = u64::from(cloud.width) * u64::from(cloud.height);
    if points > 0 {
        assert!(Sweep::from_cloud_within(cloud, points - 1).is_err());
    }
    let _ = whole_numbers(cloud, "ring");
    let Ok(sweep) = Sweep::from_cloud(cloud) else { return };
    for rows in [1, 4, cloud.height as usize % 64] {
        if let Ok(grid) = RangeGrid::of_sweep(&sweep, rows, 64) {
            project(&sweep, &grid);
        }
    }
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
