//! From points before a camera to pixels and back, after the camera's calibration.

use super::camera_error::CameraModelError;
use super::lens::Lens;
use crate::messages::CameraInfo;

/// Nearer points, in metres along the optical axis, are on the lens or behind it.
const NEAREST: f64 = 0.05;
/// Focal lengths in pixels outside of this are faults.
const FOCAL: std::ops::RangeInclusive<f64> = 1e-3..=1e9;

/// A calibrated camera: where the raw image (not the rectified one) shows a point, and from where a pixel is seen.
///
/// Points are in the optical frame (REP-103: z forwards, x right, y down; metres). Pixels have whole coordinates at their
/// centres, as `CameraInfo` has them, and those of the delivered image: a region of interest is cut out and pixels are joined as
/// the message says. In [`Box2`](super::Box2), whose origin is the outer corner of the top-left pixel, the pixel `(u, v)` is
/// `(u + 0.5, v + 0.5)`.
///
/// ```
/// use distilled_perception::geometry::CameraModel;
/// use distilled_perception::messages::CameraInfo;
///
/// let k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0];
/// let camera = CameraModel::from_info(&CameraInfo { width: 640, height: 480, k, ..CameraInfo::default() })?;
/// assert_eq!(camera.project([1.0, 0.0, 5.0]), Some([419.5, 239.5]));
/// assert_eq!(camera.project([1.0, 0.0, -5.0]), None);
/// # Ok::<(), distilled_perception::geometry::CameraModelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraModel {
    /// Columns of the delivered image.
    pub width: u32,
    /// Rows of the delivered image.
    pub height: u32,
    /// In pixels of the delivered image, across and down.
    focal: [f64; 2],
    skew: f64,
    /// The optical axis.
    center: [f64; 2],
    lens: Lens,
}

impl CameraModel {
    /// The camera that a message describes by its `k` and `d`.
    ///
    /// # Errors
    /// When the message has no usable calibration; the error names the field.
    pub fn from_info(info: &CameraInfo<'_>) -> Result<Self, CameraModelError> {
        let (width, height) = (info.width, info.height);
        if width == 0 || height == 0 {
            return Err(CameraModelError::Size { width, height });
        }
        check_matrix(&info.k)?;
        let lens = Lens::new(info.distortion_model, &info.d)?;
        let (roi, binning_x, binning_y) = (info.roi, info.binning_x.max(1), info.binning_y.max(1));
        let (x_offset, y_offset) = (roi.x_offset, roi.y_offset);
        // A region that says only where it starts ends where the image does.
        let columns = if roi.width == 0 { width.saturating_sub(x_offset) } else { roi.width };
        let rows = if roi.height == 0 { height.saturating_sub(y_offset) } else { roi.height };
        let is_within = |offset: u32, size: u32, whole: u32, binning: u32| {
            size >= binning && u64::from(offset) + u64::from(size) <= u64::from(whole)
        };
        if !is_within(x_offset, columns, width, binning_x) || !is_within(y_offset, rows, height, binning_y) {
            return Err(CameraModelError::Region {
                columns,
                rows,
                x_offset,
                y_offset,
                binning_x,
                binning_y,
                width,
                height,
            });
        }
        let [fx, skew, cx, _, fy, cy, ..] = info.k;
        let (across, down) = (f64::from(binning_x), f64::from(binning_y));
        // What is joined has its centre in the middle of its pixels, hence the halves.
        let center = |center: f64, offset: u32, binning: f64| (center - f64::from(offset) + 0.5) / binning - 0.5;
        Ok(Self {
            width: columns / binning_x,
            height: rows / binning_y,
            focal: [fx / across, fy / down],
            skew: skew / across,
            center: [center(cx, x_offset, across), center(cy, y_offset, down)],
            lens,
        })
    }

    /// The pixel at which a point of the optical frame appears, within the image or beside it. Nothing for points less than 5 cm
    /// before the camera, behind it, or so far to the side that the calibration's distortion does not hold any more (there it
    /// bends the picture back into itself, and points would appear where they are not).
    pub fn project(&self, point_optical: [f64; 3]) -> Option<[f64; 2]> {
        let is_before = point_optical[2] >= NEAREST && point_optical.iter().all(|coordinate| coordinate.is_finite());
        if !is_before {
            return None;
        }
        let [x, y] = self.lens.plane_of(point_optical)?;
        let pixel = [self.focal[0] * x + self.skew * y + self.center[0], self.focal[1] * y + self.center[1]];
        pixel.iter().all(|coordinate| coordinate.is_finite()).then_some(pixel)
    }

    /// The direction of length 1, in the optical frame, from which a pixel is seen. A pixel so far outside that the distortion does
    /// not reach it has the direction of the nearest that it reaches; one that is not finite has none (NaN).
    pub fn unproject(&self, pixel: [f64; 2]) -> [f64; 3] {
        let y = (pixel[1] - self.center[1]) / self.focal[1];
        let x = (pixel[0] - self.center[0] - self.skew * y) / self.focal[0];
        if !x.is_finite() || !y.is_finite() {
            return [f64::NAN; 3];
        }
        let direction = self.lens.direction_of([x, y]);
        let length = direction[0].hypot(direction[1]).hypot(direction[2]);
        direction.map(|part| part / length)
    }
}

fn check_matrix(k: &[f64; 9]) -> Result<(), CameraModelError> {
    if k.iter().all(|&value| value == 0.0) {
        return Err(CameraModelError::Uncalibrated);
    }
    let fault = |index: usize, expected| Err(CameraModelError::Matrix { index, value: k[index], expected });
    for index in [0, 4] {
        if !FOCAL.contains(&k[index]) {
            return fault(index, "a focal length in pixels, greater than 0");
        }
    }
    for index in [1, 2, 5] {
        let is_number = k[index].abs() <= *FOCAL.end();
        if !is_number {
            return fault(index, "a finite number of pixels");
        }
    }
    for index in [3, 6, 7] {
        if k[index] != 0.0 {
            return fault(index, "0");
        }
    }
    if k[8] != 1.0 {
        return fault(8, "1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::RegionOfInterest;

    const K: [f64; 9] = [400.0, 0.0, 320.0, 0.0, 410.0, 240.0, 0.0, 0.0, 1.0];

    fn info() -> CameraInfo<'static> {
        CameraInfo { width: 640, height: 480, k: K, ..CameraInfo::default() }
    }

    fn refused(info: &CameraInfo<'_>, word: &str) {
        let error = CameraModel::from_info(info).unwrap_err();
        assert!(error.to_string().contains(word), "`{word}` is not in: {error}");
    }

    #[test]
    fn a_pinhole_projects_and_sees_back() {
        let camera = CameraModel::from_info(&info()).unwrap();
        assert_eq!(camera.project([0.5, -0.25, 2.0]), Some([420.0, 188.75]));
        let [x, y, z] = camera.unproject([420.0, 188.75]);
        assert!((x / z - 0.25).abs() < 1e-12 && (y / z + 0.125).abs() < 1e-12 && z > 0.0);
        assert!((x.hypot(y).hypot(z) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn points_on_the_lens_behind_it_or_nowhere_have_no_pixel() {
        let camera = CameraModel::from_info(&info()).unwrap();
        for point in [[0.0, 0.0, 0.04], [0.0, 0.0, -2.0], [f64::NAN, 0.0, 1.0], [0.0, 0.0, f64::INFINITY]] {
            assert_eq!(camera.project(point), None, "{point:?}");
        }
        assert!(camera.unproject([f64::NAN, 0.0]).iter().all(|part| part.is_nan()));
    }

    #[test]
    fn skew_goes_both_ways() {
        let mut k = K;
        k[1] = 30.0;
        let camera = CameraModel::from_info(&CameraInfo { k, ..info() }).unwrap();
        let pixel = camera.project([0.3, 0.4, 1.0]).unwrap();
        assert_eq!(pixel, [320.0 + 400.0 * 0.3 + 30.0 * 0.4, 240.0 + 410.0 * 0.4]);
        let [x, y, z] = camera.unproject(pixel);
        assert!((x / z - 0.3).abs() < 1e-12 && (y / z - 0.4).abs() < 1e-12);
    }

    #[test]
    fn a_region_is_cut_out_and_pixels_are_joined() {
        let roi = RegionOfInterest { x_offset: 100, y_offset: 40, width: 400, height: 200, do_rectify: false };
        let cut = CameraModel::from_info(&CameraInfo { roi, ..info() }).unwrap();
        assert_eq!((cut.width, cut.height), (400, 200));
        assert_eq!(cut.project([0.0, 0.0, 1.0]), Some([220.0, 200.0]));
        let joined = CameraModel::from_info(&CameraInfo { roi, binning_x: 2, binning_y: 4, ..info() }).unwrap();
        assert_eq!((joined.width, joined.height), (200, 50));
        // The full image's column 320 is the left half of the 110th pair after the cut, whose middle lies between 220 and 221.
        assert_eq!(joined.project([0.0, 0.0, 1.0]), Some([109.75, 49.625]));
    }

    #[test]
    fn errors_name_the_field_and_the_mend() {
        refused(&CameraInfo { width: 0, ..info() }, "0 x 480");
        refused(&CameraInfo { k: [0.0; 9], ..info() }, "camera_info_url");
        for (index, value) in [(0, 0.0), (4, -5.0), (2, f64::NAN), (3, 0.1), (8, 0.0)] {
            let mut k = K;
            k[index] = value;
            refused(&CameraInfo { k, ..info() }, &format!("`k[{index}]`"));
        }
        let d = vec![0.1, 0.0, 0.0, 0.0, 0.0];
        refused(&CameraInfo { distortion_model: "", d: d.clone(), ..info() }, "distortion_model");
        refused(&CameraInfo { distortion_model: "omni", d: d.clone(), ..info() }, "plumb_bob, rational_polynomial");
        refused(&CameraInfo { distortion_model: "equidistant", d, ..info() }, "`d` has 5 numbers");
        refused(&CameraInfo { distortion_model: "plumb_bob", d: vec![0.1; 3], ..info() }, "`d` has 3 numbers");
        refused(&CameraInfo { distortion_model: "plumb_bob", d: vec![f64::NAN; 5], ..info() }, "`d[0]`");
        refused(&CameraInfo { distortion_model: "plumb_bob", d: vec![-1e9, 0.0, 0.0, 0.0], ..info() }, "bends");
        let mut tilted = vec![0.0; 14];
        tilted[13] = 0.01;
        refused(&CameraInfo { distortion_model: "rational_polynomial", d: tilted, ..info() }, "tilted");
        let roi = RegionOfInterest { x_offset: 600, width: 100, ..RegionOfInterest::default() };
        refused(&CameraInfo { roi, ..info() }, "`roi`");
        refused(&CameraInfo { binning_x: 1000, ..info() }, "joined 1000 x 1");
    }

    #[test]
    fn no_coefficients_are_no_distortion() {
        let straight = CameraModel::from_info(&info()).unwrap();
        for (distortion_model, d) in [("", vec![0.0; 5]), ("plumb_bob", vec![0.0; 5]), ("plumb_bob", Vec::new())] {
            let camera = CameraModel::from_info(&CameraInfo { distortion_model, d, ..info() }).unwrap();
            assert_eq!(camera, straight);
        }
    }
}
