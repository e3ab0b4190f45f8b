//! What range sensors publish (sensor_msgs).

use crate::messages::cdr::cdr_struct;
use crate::messages::floats::Floats;
use crate::messages::header::Header;

cdr_struct! {
    /// `sensor_msgs/msg/LaserScan`: one sweep of a planar laser; angles in radians about z, counter-clockwise, 0 forward along x.
    #[derive(Copy)]
    pub struct LaserScan<'a> = "sensor_msgs/msg/LaserScan" {
        /// Stamp of the first ray, and frame.
        pub header: Header<'a>,
        /// Angle of the first ray.
        pub angle_min: f32,
        /// Angle of the last ray.
        pub angle_max: f32,
        /// Angle from ray to ray.
        pub angle_increment: f32,
        /// Seconds from ray to ray.
        pub time_increment: f32,
        /// Seconds from scan to scan.
        pub scan_time: f32,
        /// Ranges under this are void, in metres.
        pub range_min: f32,
        /// Ranges above this are void, in metres.
        pub range_max: f32,
        /// Distances in metres; infinite or NaN where there was no echo.
        pub ranges: Floats<'a>,
        /// Strength of the echoes in the device's own units, or empty.
        pub intensities: Floats<'a>,
    }
}

cdr_struct! {
    /// `sensor_msgs/msg/PointField`: one value of each point.
    #[derive(Copy, Eq)]
    pub struct PointField<'a> {
        /// Such as `x`, `intensity`, `ring`.
        pub name: &'a str,
        /// Bytes from the start of the point.
        pub offset: u32,
        /// Number type: one of this type's constants.
        pub datatype: u8,
        /// How many numbers.
        pub count: u32,
    }
}

impl PointField<'_> {
    /// `datatype` of i8.
    pub const INT8: u8 = 1;
    /// `datatype` of u8.
    pub const UINT8: u8 = 2;
    /// `datatype` of i16.
    pub const INT16: u8 = 3;
    /// `datatype` of u16.
    pub const UINT16: u8 = 4;
    /// `datatype` of i32.
    pub const INT32: u8 = 5;
    /// `datatype` of u32.
    pub const UINT32: u8 = 6;
    /// `datatype` of f32.
    pub const FLOAT32: u8 = 7;
    /// `datatype` of f64.
    pub const FLOAT64: u8 = 8;
}

cdr_struct! {
    /// `sensor_msgs/msg/PointCloud2`: points of any layout, metres in the sensor's frame.
    pub struct PointCloud2<'a> = "sensor_msgs/msg/PointCloud2" {
        /// Stamp and frame.
        pub header: Header<'a>,
        /// Rows: 1 for an unordered cloud.
        pub height: u32,
        /// Points in a row.
        pub width: u32,
        /// Layout of a point.
        pub fields: Vec<PointField<'a>>,
        /// True when the numbers in `data` have their most significant byte first.
        pub is_bigendian: bool,
        /// Bytes from point to point.
        pub point_step: u32,
        /// Bytes from row to row.
        pub row_step: u32,
        /// The points, `row_step * height` bytes.
        pub data: &'a [u8],
        /// True when no point is void.
        pub is_dense: bool,
    }
}
