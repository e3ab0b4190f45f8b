//! What a lens does to a picture: OpenCV's formulas of distortion under the names that `sensor_msgs/CameraInfo` has for them.
//!
//! | name | coefficients `d` | formula |
//! |---|---|---|
//! | `plumb_bob`, `rational_polynomial` | k1 k2 p1 p2, then k3, then k4 k5 k6, then s1 s2 s3 s4, then two tilts | OpenCV's `projectPoints` |
//! | `equidistant` | k1 k2 k3 k4 | OpenCV's `fisheye` (Kannala and Brandt 2006) |
//!
//! What is left out at the end of the first is zero; with k1 k2 p1 p2 k3 alone it is Brown's formula (1966). OpenCV, and so ROS,
//! goes by the number of coefficients, not by which of the two names it is.
//!
//! All formulas are in the normalised plane: coordinates are pixels from the optical axis, divided by the focal length.

use super::camera_error::CameraModelError;
use crate::excerpt::excerpt;

/// Names of lenses, for errors.
const KNOWN: &str = "plumb_bob, rational_polynomial and equidistant";
/// How finely the angle is searched at which a formula stops being one to one, in degrees.
const STEP: f64 = 0.1;
/// A formula that is one to one in less than this angle from the axis, in degrees, is not of a lens.
const LEAST_REACH: f64 = 1.0;
/// Halvings after which an interval is as short as `f64` can tell.
const HALVINGS: usize = 64;
/// Steps of Newton's method at most; it takes about four.
const NEWTON_STEPS: usize = 20;

/// A lens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lens {
    /// Straight lines stay straight.
    Straight,
    Polynomial(Polynomial),
    Equidistant(Equidistant),
}

impl Lens {
    /// The lens of a `distortion_model` with the coefficients `d`.
    pub(super) fn new(name: &str, d: &[f64]) -> Result<Self, CameraModelError> {
        if let Some(index) = d.iter().position(|value| !value.is_finite()) {
            return Err(CameraModelError::Coefficient { index, value: d[index] });
        }
        let wrong_number =
            |expected| CameraModelError::Coefficients { model: name.to_owned(), found: d.len(), expected };
        let is_zero = d.iter().all(|&value| value == 0.0);
        let lens = match name {
            "" if is_zero => Self::Straight,
            "" => return Err(CameraModelError::UnnamedModel { found: d.len() }),
            "plumb_bob" | "rational_polynomial" if is_zero => Self::Straight,
            "plumb_bob" | "rational_polynomial" => {
                if ![4, 5, 8, 12, 14].contains(&d.len()) {
                    return Err(wrong_number("4, 5, 8, 12 or 14"));
                }
                if let Some(&value) = d.iter().skip(12).find(|&&tilt| tilt != 0.0) {
                    return Err(CameraModelError::Tilt { value });
                }
                Self::Polynomial(Polynomial::new(d))
            }
            "equidistant" => match d {
                &[k1, k2, k3, k4] => Self::Equidistant(Equidistant::new([k1, k2, k3, k4])),
                _ => return Err(wrong_number("4")),
            },
            _ => return Err(CameraModelError::Model { name: excerpt(name), known: KNOWN }),
        };
        let reach = match &lens {
            Self::Straight => return Ok(lens),
            Self::Polynomial(polynomial) => polynomial.reach.atan(),
            Self::Equidistant(equidistant) => equidistant.reach,
        };
        if reach < LEAST_REACH.to_radians() {
            return Err(CameraModelError::Folded { model: name.to_owned() });
        }
        Ok(lens)
    }

    /// Where a point before the lens appears in the normalised plane; nothing where the formula is not one to one any more. The
    /// point's z must be greater than 0.
    pub(super) fn plane_of(&self, [x, y, z]: [f64; 3]) -> Option<[f64; 2]> {
        match self {
            Self::Straight => Some([x / z, y / z]),
            Self::Polynomial(polynomial) => {
                let point = [x / z, y / z];
                (length(point) <= polynomial.reach).then(|| polynomial.distort(point))
            }
            Self::Equidistant(equidistant) => {
                let radius = length([x, y]);
                let angle = radius.atan2(z);
                if angle > equidistant.reach {
                    return None;
                }
                // On the axis the quotient's limit is 1 / z.
                let scale = if radius > 0.0 { equidistant.distort(angle) / radius } else { 1.0 / z };
                Some([x * scale, y * scale])
            }
        }
    }

    /// The direction, of any length, from which a point of the normalised plane is seen; for points that the lens does not reach,
    /// the direction of its edge.
    pub(super) fn direction_of(&self, point: [f64; 2]) -> [f64; 3] {
        match self {
            Self::Straight => [point[0], point[1], 1.0],
            Self::Polynomial(polynomial) => {
                let [x, y] = polynomial.undistort(point);
                [x, y, 1.0]
            }
            Self::Equidistant(equidistant) => {
                let radius = length(point);
                if radius == 0.0 {
                    return [0.0, 0.0, 1.0];
                }
                let angle = preimage(|angle| equidistant.distort(angle), equidistant.reach, radius);
                let scale = angle.sin() / radius;
                [point[0] * scale, point[1] * scale, angle.cos()]
            }
        }
    }
}

/// `x (1 + k1 r² + k2 r⁴ + k3 r⁶) / (1 + k4 r² + k5 r⁴ + k6 r⁶)` along the radius, and to the side what a lens out of line (p) and
/// a thin prism (s) do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Polynomial {
    k: [f64; 6],
    p: [f64; 2],
    s: [f64; 4],
    /// The radius before distortion up to which the distorted radius grows.
    reach: f64,
}

impl Polynomial {
    /// From coefficients in OpenCV's order; those that are left out are zero.
    fn new(d: &[f64]) -> Self {
        let at = |index: usize| d.get(index).copied().unwrap_or(0.0);
        let k = [at(0), at(1), at(4), at(5), at(6), at(7)];
        let mut polynomial = Self { k, p: [at(2), at(3)], s: [at(8), at(9), at(10), at(11)], reach: 0.0 };
        polynomial.reach = reach(90.0, |angle| {
            let squared = angle.tan().powi(2);
            let (factor, slope) = polynomial.radial(squared);
            factor > 0.0 && factor + 2.0 * squared * slope > 0.0
        })
        .tan();
        polynomial
    }

    /// The factor along the radius at a squared radius, and how fast it grows with that.
    fn radial(&self, squared: f64) -> (f64, f64) {
        let [k1, k2, k3, k4, k5, k6] = self.k;
        let above = 1.0 + squared * (k1 + squared * (k2 + squared * k3));
        let below = 1.0 + squared * (k4 + squared * (k5 + squared * k6));
        let above_slope = k1 + squared * (2.0 * k2 + squared * 3.0 * k3);
        let below_slope = k4 + squared * (2.0 * k5 + squared * 3.0 * k6);
        (above / below, (above_slope * below - above * below_slope) / (below * below))
    }

    fn distort(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([p1, p2], [s1, s2, s3, s4]) = (self.p, self.s);
        let squared = x * x + y * y;
        let (factor, _) = self.radial(squared);
        [
            x * factor + 2.0 * p1 * x * y + p2 * (squared + 2.0 * x * x) + squared * (s1 + squared * s2),
            y * factor + p1 * (squared + 2.0 * y * y) + 2.0 * p2 * x * y + squared * (s3 + squared * s4),
        ]
    }

    /// How the distorted point changes with the point: rows are the distorted x and y, columns x and y.
    fn slopes(&self, [x, y]: [f64; 2]) -> [[f64; 2]; 2] {
        let ([p1, p2], [s1, s2, s3, s4]) = (self.p, self.s);
        let squared = x * x + y * y;
        let (factor, slope) = self.radial(squared);
        let (prism_x, prism_y) = (s1 + 2.0 * s2 * squared, s3 + 2.0 * s4 * squared);
        let mixed = 2.0 * x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y;
        [
            [factor + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x + 2.0 * x * prism_x, mixed + 2.0 * y * prism_x],
            [mixed + 2.0 * x * prism_y, factor + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x + 2.0 * y * prism_y],
        ]
    }

    /// The point that is distorted into this one. Along the radius by halving, which cannot fail; from there by Newton's method,
    /// for what goes to the side.
    fn undistort(&self, distorted: [f64; 2]) -> [f64; 2] {
        let radius = length(distorted);
        if radius == 0.0 {
            return distorted;
        }
        let straight = preimage(|radius| radius * self.radial(radius * radius).0, self.reach, radius);
        let mut found = distorted.map(|coordinate| coordinate * straight / radius);
        let miss = |point: [f64; 2]| {
            let [x, y] = self.distort(point);
            [x - distorted[0], y - distorted[1]]
        };
        let mut missed = miss(found);
        for _ in 0..NEWTON_STEPS {
            let [[a, b], [c, d]] = self.slopes(found);
            let determinant = a * d - b * c;
            let [x, y] = missed;
            let next = [found[0] - (d * x - b * y) / determinant, found[1] - (a * y - c * x) / determinant];
            let missed_next = miss(next);
            let is_better = length(missed_next) < length(missed) && length(next) <= self.reach;
            if !is_better {
                break;
            }
            (found, missed) = (next, missed_next);
        }
        found
    }
}

/// `θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸)` for the angle θ from the axis: a fisheye lens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Equidistant {
    k: [f64; 4],
    /// The angle in radians up to which the distorted one grows.
    reach: f64,
}

impl Equidistant {
    fn new(k: [f64; 4]) -> Self {
        let [k1, k2, k3, k4] = k;
        let reach = reach(180.0, |angle| {
            let squared = angle * angle;
            let powers = squared * (3.0 * k1 + squared * (5.0 * k2 + squared * (7.0 * k3 + squared * 9.0 * k4)));
            1.0 + powers > 0.0
        });
        Self { k, reach }
    }

    fn distort(&self, angle: f64) -> f64 {
        let [k1, k2, k3, k4] = self.k;
        let squared = angle * angle;
        angle * (1.0 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4))))
    }
}

fn length([x, y]: [f64; 2]) -> f64 {
    x.hypot(y)
}

/// The greatest angle in radians, below `end` degrees, up to which `grows` holds at every step.
fn reach(end: f64, grows: impl Fn(f64) -> bool) -> f64 {
    let steps = (end / STEP) as usize;
    let angles = (1..steps).map(|step| (step as f64 * STEP).to_radians());
    angles.take_while(|&angle| grows(angle)).last().unwrap_or(0.0)
}

/// Where between 0 and `end` a growing function has a value; the nearer end when it has it nowhere.
fn preimage(function: impl Fn(f64) -> f64, end: f64, value: f64) -> f64 {
    if function(end) <= value {
        return end;
    }
    let (mut low, mut high) = (0.0, end);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if function(middle) < value {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A webcam's barrel distortion, a depth camera's quotient with a prism, a fisheye.
    fn lenses() -> [Lens; 3] {
        let quotient = [0.5, -2.6, 3e-4, -4e-5, 1.5, 0.4, -2.4, 1.4, 1e-3, -2e-4, 5e-4, 1e-4];
        [
            Lens::new("plumb_bob", &[-0.37, 0.2, 1.3e-3, 5.7e-4, -0.07]).unwrap(),
            Lens::new("rational_polynomial", &quotient).unwrap(),
            Lens::new("equidistant", &[-0.013, 0.02, -0.015, 0.003]).unwrap(),
        ]
    }

    #[test]
    fn directions_come_back_from_the_plane() {
        for lens in lenses() {
            for point in [[0.0, 0.0], [1e-9, 0.0], [0.3, -0.2], [-0.7, 0.5], [0.0, 0.6]] {
                let direction = [point[0] * 2.0, point[1] * 2.0, 2.0];
                let plane = lens.plane_of(direction).unwrap();
                let [x, y, z] = lens.direction_of(plane);
                let miss = length([x / z - point[0], y / z - point[1]]);
                assert!(miss < 1e-12, "{lens:?} {point:?}: off by {miss}");
            }
        }
    }

    #[test]
    fn what_the_lens_cannot_show_is_not_shown() {
        // Beyond about 50 degrees this polynomial bends the picture back into itself.
        let [barrel, _, _] = lenses();
        assert!(barrel.plane_of([1.0, 0.0, 1.0]).is_some());
        assert_eq!(barrel.plane_of([2.0, 0.0, 1.0]), None);
        let [x, y, z] = barrel.direction_of([10.0, 0.0]);
        assert!(x / z > 1.0 && x / z < 2.0 && (y / z).abs() < 0.1, "the edge of the picture: {x} {y} {z}");
    }

    #[test]
    fn slopes_are_those_of_the_formula() {
        let [_, Lens::Polynomial(quotient), _] = lenses() else { panic!("a polynomial") };
        let (point, step) = ([0.31, -0.24], 1e-6);
        let slopes = quotient.slopes(point);
        for column in 0..2 {
            let moved = |by: f64| {
                let mut moved = point;
                moved[column] += by;
                quotient.distort(moved)
            };
            let (back, forth) = (moved(-step), moved(step));
            for ((row, forth), back) in slopes.iter().zip(forth).zip(back) {
                let expected = (forth - back) / (2.0 * step);
                assert!((row[column] - expected).abs() < 1e-8, "{row:?} in column {column}: not {expected}");
            }
        }
    }

    #[test]
    fn a_fisheye_sees_more_than_a_half_space() {
        let lens = Lens::new("equidistant", &[0.0; 4]).unwrap();
        let [x, _, z] = lens.direction_of([2.0, 0.0]);
        assert!((x - 2.0_f64.sin()).abs() < 1e-12 && (z - 2.0_f64.cos()).abs() < 1e-12);
    }
}
