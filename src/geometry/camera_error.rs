//! What can be wrong with a camera's calibration.

/// Why a camera cannot be reckoned with: which field of its `sensor_msgs/msg/CameraInfo` is wrong, and the mend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CameraModelError {
    /// No size.
    #[error(
        "CameraInfo: `width` x `height` is {width} x {height}: the driver must tell the size that the camera was calibrated at"
    )]
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// `k` is zero, which stands for a camera without a calibration.
    #[error(
        "CameraInfo: `k` is zero, so this camera is not calibrated: calibrate it (package camera_calibration) and give the \
         file to the driver, mostly by its parameter camera_info_url"
    )]
    Uncalibrated,
    /// An element of the intrinsic matrix makes no sense.
    #[error(
        "CameraInfo: `k[{index}]` is {value}, which must be {expected}: `k` is row by row fx, skew, cx, 0, fy, cy, 0, 0, 1, in \
         pixels; calibrate again, or mend the driver's calibration file"
    )]
    Matrix {
        /// Place in `k`.
        index: usize,
        /// What is there.
        value: f64,
        /// What should be.
        expected: &'static str,
    },
    /// The region of interest is not within the image.
    #[error(
        "CameraInfo: `roi` of {columns} x {rows} pixels at ({x_offset}, {y_offset}), joined {binning_x} x {binning_y}, is not \
         within the {width} x {height} pixels of the calibration: mend the driver's region of interest, or leave it zero"
    )]
    Region {
        /// Columns of the region.
        columns: u32,
        /// Rows of the region.
        rows: u32,
        /// Left edge.
        x_offset: u32,
        /// Top edge.
        y_offset: u32,
        /// Columns joined into one.
        binning_x: u32,
        /// Rows joined into one.
        binning_y: u32,
        /// Columns at calibration.
        width: u32,
        /// Rows at calibration.
        height: u32,
    },
    /// A distortion model that is not known.
    #[error(
        "CameraInfo: `distortion_model` is `{name}`; known are {known}: calibrate with one of these, or rectify the image and \
         give it a CameraInfo with an empty model"
    )]
    Model {
        /// The name in the message.
        name: String,
        /// The names that would do.
        known: &'static str,
    },
    /// Coefficients without a model.
    #[error(
        "CameraInfo: `distortion_model` is empty, but `d` has {found} numbers that are not all zero: the driver must name the \
         model, mostly plumb_bob"
    )]
    UnnamedModel {
        /// How many coefficients there are.
        found: usize,
    },
    /// The wrong number of coefficients.
    #[error("CameraInfo: `d` has {found} numbers, `{model}` has {expected}: mend the driver's calibration file")]
    Coefficients {
        /// The distortion model.
        model: String,
        /// How many coefficients there are.
        found: usize,
        /// How many there should be.
        expected: &'static str,
    },
    /// A coefficient that is no number.
    #[error("CameraInfo: `d[{index}]` is {value}: calibrate again")]
    Coefficient {
        /// Place in `d`.
        index: usize,
        /// What is there.
        value: f64,
    },
    /// A sensor that is tilted against its lens.
    #[error(
        "CameraInfo: the last two numbers of `d` say that the sensor is tilted ({value} rad), which is not supported: calibrate \
         without a tilted sensor (OpenCV's flag CALIB_TILTED_MODEL)"
    )]
    Tilt {
        /// One of the two angles.
        value: f64,
    },
    /// A distortion that bends the picture into itself at once.
    #[error(
        "CameraInfo: `d` bends the picture back into itself near its middle, which no lens does: look whether the numbers are in \
         the order of `{model}`, else calibrate again"
    )]
    Folded {
        /// The distortion model.
        model: String,
    },
}
