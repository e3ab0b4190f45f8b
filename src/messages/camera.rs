//! What cameras publish (sensor_msgs).

use crate::messages::cdr::cdr_struct;
use crate::messages::header::Header;

cdr_struct! {
    /// `sensor_msgs/msg/Image`: an uncompressed image.
    #[derive(Copy, Eq)]
    pub struct Image<'a> = "sensor_msgs/msg/Image" {
        /// Stamp and optical frame (z forward, x right, y down).
        pub header: Header<'a>,
        /// Rows.
        pub height: u32,
        /// Columns.
        pub width: u32,
        /// Pixel format, such as `rgb8`: see sensor_msgs/image_encodings.hpp.
        pub encoding: &'a str,
        /// Not 0 when channels of 16 bits and more have their most significant byte first.
        pub is_bigendian: u8,
        /// Bytes from one row to the next.
        pub step: u32,
        /// The rows, `step * height` bytes.
        pub data: &'a [u8],
    }
}

cdr_struct! {
    /// `sensor_msgs/msg/CompressedImage`: an image as a JPEG or PNG file.
    #[derive(Copy, Eq)]
    pub struct CompressedImage<'a> = "sensor_msgs/msg/CompressedImage" {
        /// Stamp and optical frame.
        pub header: Header<'a>,
        /// What is in `data`, such as `jpeg` or `rgb8; jpeg compressed bgr8`.
        pub format: &'a str,
        /// The file's bytes.
        pub data: &'a [u8],
    }
}

cdr_struct! {
    /// `sensor_msgs/msg/RegionOfInterest`: the part of the full resolution that a camera delivers.
    #[derive(Copy, Eq)]
    pub struct RegionOfInterest {
        /// Left edge in pixels.
        pub x_offset: u32,
        /// Top edge in pixels.
        pub y_offset: u32,
        /// Rows; 0 for the full image.
        pub height: u32,
        /// Columns; 0 for the full image.
        pub width: u32,
        /// True when the rectified region differs from the raw one.
        pub do_rectify: bool,
    }
}

cdr_struct! {
    /// `sensor_msgs/msg/CameraInfo`: the calibration of a camera (matrices row by row, pixels).
    pub struct CameraInfo<'a> = "sensor_msgs/msg/CameraInfo" {
        /// Stamp and optical frame.
        pub header: Header<'a>,
        /// Rows at calibration.
        pub height: u32,
        /// Columns at calibration.
        pub width: u32,
        /// Such as `plumb_bob` or `rational_polynomial`.
        pub distortion_model: &'a str,
        /// Distortion coefficients.
        pub d: Vec<f64>,
        /// Intrinsic matrix of the raw image, 3 x 3.
        pub k: [f64; 9],
        /// Rectification matrix, 3 x 3.
        pub r: [f64; 9],
        /// Projection matrix of the rectified image, 3 x 4.
        pub p: [f64; 12],
        /// Columns joined into one; 0 is the same as 1.
        pub binning_x: u32,
        /// Rows joined into one; 0 is the same as 1.
        pub binning_y: u32,
        /// Part of the full resolution.
        pub roi: RegionOfInterest,
    }
}
