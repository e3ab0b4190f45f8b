//! One turn of a laser scanner, planar or not, as points.

use std::f64::consts::TAU;

use crate::messages::LaserScan;

/// Sweeps of more points than this are refused, whatever the limit asked for.
pub const MAX_POINTS: u64 = 1 << 24;

/// The coordinates of a void point.
pub const VOID: [f32; 3] = [f32::NAN; 3];

/// True when a point stands for a beam without an echo.
pub fn is_void(point: &[f32; 3]) -> bool {
    !point.iter().all(|coordinate| coordinate.is_finite())
}

/// What a laser scanner saw in one turn: metres in the sensor's frame, x forwards, y left, z up.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// One for each beam or point of the message, in its order; NaN where void.
    pub points: Vec<[f32; 3]>,
    /// Strength of each echo in the device's own units, or empty.
    pub intensities: Vec<f32>,
    /// Number of the laser that each point is of, or empty.
    pub rings: Vec<u16>,
    /// Rows of an organised cloud, which lie one after another in `points`; otherwise 1.
    pub rows: usize,
}

impl Default for Sweep {
    /// A sweep without points.
    fn default() -> Self {
        Self { points: Vec::new(), intensities: Vec::new(), rings: Vec::new(), rows: 1 }
    }
}

impl Sweep {
    /// The points of a planar scan, at a height of 0. A range that is NaN, infinite, 0, under `range_min` or over `range_max` is
    /// void. Intensities are kept when there is one for each range.
    ///
    /// # Errors
    /// Angles that give no directions, or more than [`MAX_POINTS`] beams.
    pub fn from_scan(scan: &LaserScan<'_>) -> Result<Self, SweepError> {
        Self::from_scan_within(scan, MAX_POINTS)
    }

    /// [`Self::from_scan`] of at most so many beams.
    ///
    /// # Errors
    /// As [`Self::from_scan`].
    pub fn from_scan_within(scan: &LaserScan<'_>, most: u64) -> Result<Self, SweepError> {
        check_points(scan.ranges.len() as u64, most)?;
        let angles = BeamAngles::of(scan)?;
        let is_echo =
            |range: f32| range > 0.0 && range.is_finite() && (scan.range_min..=scan.range_max).contains(&range);
        let point = |(beam, range): (usize, f32)| {
            if !is_echo(range) {
                return VOID;
            }
            let (sin, cos) = angles.angle(beam).sin_cos();
            [(f64::from(range) * cos) as f32, (f64::from(range) * sin) as f32, 0.0]
        };
        let points = scan.ranges.iter().enumerate().map(point).collect();
        let has_intensities = scan.intensities.len() == scan.ranges.len();
        let intensities = if has_intensities { scan.intensities.to_vec() } else { Vec::new() };
        Ok(Self { points, intensities, ..Self::default() })
    }

    /// Number of points, void ones among them.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// True when there are no points, not even void ones.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Number of points that are not void.
    pub fn valid(&self) -> usize {
        self.points.iter().filter(|point| !is_void(point)).count()
    }
}

/// The directions of a scan's beams in radians, in double precision: a beam's angle is a product with its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct BeamAngles {
    /// Angle of the first beam.
    pub first: f64,
    /// From beam to beam; negative when the scanner turns clockwise; 0 only where there are not two beams.
    pub increment: f64,
    /// How many beams.
    pub beams: usize,
}

impl BeamAngles {
    pub fn of(scan: &LaserScan<'_>) -> Result<Self, SweepError> {
        let beams = scan.ranges.len();
        check_points(beams as u64, MAX_POINTS)?;
        for (field, value) in [("angle_min", scan.angle_min), ("angle_increment", scan.angle_increment)] {
            if !value.is_finite() {
                return Err(SweepError::Angle { field, value });
            }
        }
        let increment = f64::from(scan.angle_increment);
        if (beams > 1 && increment == 0.0) || increment.abs() > TAU {
            return Err(SweepError::Angle { field: "angle_increment", value: scan.angle_increment });
        }
        Ok(Self { first: f64::from(scan.angle_min), increment, beams })
    }

    pub fn angle(&self, beam: usize) -> f64 {
        self.first + beam as f64 * self.increment
    }
}

/// No more points than are wanted, nor than [`MAX_POINTS`].
pub(in crate::sensing) fn check_points(points: u64, most: u64) -> Result<(), SweepError> {
    let most = most.min(MAX_POINTS);
    if points > most { Err(SweepError::TooManyPoints { points, most }) } else { Ok(()) }
}

/// Why a message is no sweep, or a sweep gives no grid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A point cloud without all coordinates.
    #[error(
        "the point cloud has no field {} (its fields: {}): a topic with points in metres is needed",
        quoted(.missing),
        quoted(.present)
    )]
    MissingField {
        /// Those of `x`, `y` and `z` that are not there.
        missing: Vec<String>,
        /// The names of the fields that are there.
        present: Vec<String>,
    },
    /// A number type that sensor_msgs/PointField does not know.
    #[error(
        "field `{field}` of the point cloud has datatype {datatype}, but sensor_msgs/PointField has only 1 to 8: mend the cloud's publisher"
    )]
    UnknownDatatype {
        /// Name of the field.
        field: String,
        /// Its `datatype`.
        datatype: u8,
    },
    /// A field that reaches beyond its point.
    #[error(
        "field `{field}` of the point cloud ends at byte {end} of a point, but `point_step` is {point_step}: mend the cloud's publisher"
    )]
    FieldOutsidePoint {
        /// Name of the field.
        field: String,
        /// Where it ends, in bytes from the start of the point.
        end: u64,
        /// Bytes from point to point.
        point_step: u32,
    },
    /// `row_step` is less than a row of points.
    #[error(
        "field `row_step` of the point cloud is {row_step} bytes, but a row of {width} points of {point_step} bytes takes {needed}: mend the cloud's publisher"
    )]
    RowStepTooSmall {
        /// Bytes from row to row.
        row_step: u32,
        /// Points in a row.
        width: u32,
        /// Bytes from point to point.
        point_step: u32,
        /// Bytes that a row takes.
        needed: u64,
    },
    /// `data` ends before the last point does.
    #[error(
        "field `data` of the point cloud has {found} bytes, but {width} x {height} points with point_step {point_step} and row_step {row_step} take {needed}: \
         mend the cloud's publisher, or record it again where it was cut off"
    )]
    DataTooShort {
        /// Bytes there are.
        found: usize,
        /// Points in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from point to point.
        point_step: u32,
        /// Bytes from row to row.
        row_step: u32,
        /// Bytes that the points take.
        needed: u64,
    },
    /// More points than are taken.
    #[error(
        "the sweep has {points} points, more than the limit of {most}: few lidars give so many in a turn, so look at its publisher"
    )]
    TooManyPoints {
        /// Points there are said to be.
        points: u64,
        /// Points at most.
        most: u64,
    },
    /// A scan's angle that gives no directions.
    #[error(
        "field `{field}` of the scan is {value}, which gives its beams no directions: the laser's driver must fill it"
    )]
    Angle {
        /// `angle_min` or `angle_increment`.
        field: &'static str,
        /// What it is.
        value: f32,
    },
    /// A grid was to be made of a sweep without echoes.
    #[error("the sweep has no echo, so that there is nothing to lay a grid over: take another one")]
    NoEchoes,
    /// A grid that [`RangeGrid::validate`](super::RangeGrid::validate) refuses.
    #[error("the grid of the sweep cannot be used: {0}")]
    Grid(String),
}

/// Names in backticks with commas between.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_2;

    use super::*;
    use crate::messages::Floats;

    fn scan<'a>(ranges: &'a [f32], intensities: &'a [f32]) -> LaserScan<'a> {
        LaserScan {
            angle_min: -FRAC_PI_2,
            angle_max: FRAC_PI_2,
            angle_increment: FRAC_PI_2,
            range_min: 0.5,
            range_max: 10.0,
            ranges: Floats::from(ranges),
            intensities: Floats::from(intensities),
            ..LaserScan::default()
        }
    }

    fn assert_near(point: [f32; 3], expected: [f32; 3]) {
        let distance = point.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(distance < 1e-6 && !is_void(&point), "{point:?} is not {expected:?}");
    }

    #[test]
    fn beams_become_points() {
        let sweep = Sweep::from_scan(&scan(&[1.0, 2.0, 3.0], &[7.0, 8.0, 9.0])).unwrap();
        let expected = [[0.0, -1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 3.0, 0.0]];
        for (point, expected) in sweep.points.iter().zip(expected) {
            assert_near(*point, expected);
        }
        assert_eq!((sweep.len(), sweep.valid(), sweep.rows), (3, 3, 1));
        assert_eq!(sweep.intensities, [7.0, 8.0, 9.0]);
        assert!(sweep.rings.is_empty());
    }

    #[test]
    fn ranges_that_are_no_echoes_are_void() {
        let ranges = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 0.4, 10.1, 0.5, 10.0];
        let sweep = Sweep::from_scan(&scan(&ranges, &[])).unwrap();
        assert_eq!((sweep.len(), sweep.valid()), (9, 2));
        assert!(sweep.points[..7].iter().all(is_void) && !sweep.points[7..].iter().any(is_void));
    }

    #[test]
    fn infinity_and_zero_are_no_echoes_whatever_the_limits() {
        let limits = LaserScan { range_min: 0.0, range_max: f32::INFINITY, ..scan(&[0.0, f32::INFINITY, 1.0], &[]) };
        assert_eq!(Sweep::from_scan(&limits).unwrap().valid(), 1);
        let limits = LaserScan { range_min: f32::NAN, ..scan(&[1.0], &[]) };
        assert_eq!(Sweep::from_scan(&limits).unwrap().valid(), 0);
    }

    #[test]
    fn clockwise_scans_keep_the_order_of_their_beams() {
        let clockwise = LaserScan { angle_min: FRAC_PI_2, angle_increment: -FRAC_PI_2, ..scan(&[1.0, 2.0, 3.0], &[]) };
        let sweep = Sweep::from_scan(&clockwise).unwrap();
        assert_near(sweep.points[0], [0.0, 1.0, 0.0]);
        assert_near(sweep.points[2], [0.0, -3.0, 0.0]);
    }

    #[test]
    fn intensities_of_another_number_are_left() {
        assert!(Sweep::from_scan(&scan(&[1.0, 2.0], &[7.0])).unwrap().intensities.is_empty());
    }

    #[test]
    fn a_scan_without_beams_is_an_empty_sweep() {
        let sweep = Sweep::from_scan(&LaserScan::default()).unwrap();
        assert!(sweep.is_empty());
        assert_eq!(sweep, Sweep::default());
    }

    #[test]
    fn angles_without_directions_are_told() {
        let still = LaserScan { angle_increment: 0.0, ..scan(&[1.0, 2.0], &[]) };
        let text = Sweep::from_scan(&still).unwrap_err().to_string();
        assert!(text.contains("`angle_increment` of the scan is 0"), "{text}");
        let nowhere = LaserScan { angle_min: f32::NAN, ..scan(&[1.0, 2.0], &[]) };
        let text = Sweep::from_scan(&nowhere).unwrap_err().to_string();
        assert!(text.contains("`angle_min` of the scan is NaN"), "{text}");
    }
}
