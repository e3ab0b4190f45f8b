//! The Kalman filter of one object: nearly constant velocity in the plane.
//!
//! Formulas after Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", Wiley 2001: the
//! continuous white noise acceleration model of section 6.2.2, the filter of section 5.2 with the Joseph form of its covariance.

use nalgebra::{Matrix2, Matrix2x4, Matrix4, Vector2, Vector4};

use super::mahalanobis::invert;

/// Where an object is and how fast it moves, with how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KalmanFilter {
    /// x, y in metres and their velocities in m/s.
    pub state: Vector4<f64>,
    /// Its covariance.
    pub covariance: Matrix4<f64>,
}

/// How a measurement differs from what the filter expected of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Innovation {
    residual: Vector2<f64>,
    noise: Matrix2<f64>,
    inverse: Matrix2<f64>,
    /// Squared Mahalanobis distance.
    pub distance: f64,
    /// Logarithm of the determinant of the innovation's covariance.
    pub log_determinant: f64,
}

impl KalmanFilter {
    /// A filter from one measurement: the velocity is 0 with a standard deviation of `speed_deviation` m/s along each axis
    /// (section 5.5: the first covariance must cover the first error).
    pub fn start(position: Vector2<f64>, noise: &Matrix2<f64>, speed_deviation: f64) -> Self {
        let mut covariance = Matrix4::<f64>::zeros();
        covariance.fixed_view_mut::<2, 2>(0, 0).copy_from(noise);
        covariance[(2, 2)] = speed_deviation * speed_deviation;
        covariance[(3, 3)] = speed_deviation * speed_deviation;
        Self { state: Vector4::new(position[0], position[1], 0.0, 0.0), covariance }
    }

    /// The filter `seconds` later, for a power spectral density of acceleration of `density` m²/s³:
    /// `x' = F x`, `P' = F P F' + Q` with `Q = density * [t³/3 t²/2; t²/2 t]` for each axis.
    ///
    /// Negative seconds give the past (retrodiction): with `x(past) = F⁻¹ (x - w)` the noise `w` is turned back as well, which gives
    /// the same `Q` with the sign of `t²/2` changed. What the filter has learnt about `w` is not made use of, so this is for a look
    /// back and not for corrections.
    pub fn at(&self, seconds: f64, density: f64) -> Self {
        let mut transition = Matrix4::<f64>::identity();
        transition[(0, 2)] = seconds;
        transition[(1, 3)] = seconds;
        let span = seconds.abs();
        let mut noise = Matrix4::<f64>::zeros();
        for axis in 0..2 {
            noise[(axis, axis)] = density * span.powi(3) / 3.0;
            noise[(axis, axis + 2)] = density * seconds * span / 2.0;
            noise[(axis + 2, axis)] = density * seconds * span / 2.0;
            noise[(axis + 2, axis + 2)] = density * span;
        }
        let covariance = transition * self.covariance * transition.transpose() + noise;
        Self { state: transition * self.state, covariance: symmetric(&covariance) }
    }

    /// How a position measured at the filter's time with covariance `noise` differs from what was expected: `z - H x` and
    /// `S = H P H' + R`. `None` when the numbers do not give a positive definite `S`.
    pub fn innovation(&self, position: &Vector2<f64>, noise: &Matrix2<f64>) -> Option<Innovation> {
        let observation = observation();
        let residual = position - observation * self.state;
        let covariance = observation * self.covariance * observation.transpose() + noise;
        let (inverse, determinant) = invert(&covariance)?;
        let distance = residual.dot(&(inverse * residual));
        let log_determinant = determinant.ln();
        (distance.is_finite() && log_determinant.is_finite()).then_some(Innovation {
            residual,
            noise: *noise,
            inverse,
            distance,
            log_determinant,
        })
    }

    /// The filter after a measurement: `K = P H' S⁻¹`, `x' = x + K (z - H x)` and the Joseph form
    /// `P' = (I - K H) P (I - K H)' + K R K'`, which stays symmetric and positive where the short form loses it to rounding.
    /// `None` when the result is not finite or not positive definite all the same.
    pub fn updated(&self, innovation: &Innovation) -> Option<Self> {
        let observation = observation();
        let gain = self.covariance * observation.transpose() * innovation.inverse;
        let rest = Matrix4::<f64>::identity() - gain * observation;
        let covariance = rest * self.covariance * rest.transpose() + gain * innovation.noise * gain.transpose();
        let next = Self { state: self.state + gain * innovation.residual, covariance: symmetric(&covariance) };
        next.is_sound().then_some(next)
    }

    /// Whether all numbers are finite and the covariance is positive definite.
    pub fn is_sound(&self) -> bool {
        self.state.iter().chain(self.covariance.iter()).all(|value| value.is_finite())
            && self.covariance.cholesky().is_some()
    }
}

/// What of the state is measured: x and y.
fn observation() -> Matrix2x4<f64> {
    Matrix2x4::new(1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
}

/// The matrix without what rounding did to its symmetry.
fn symmetric(matrix: &Matrix4<f64>) -> Matrix4<f64> {
    (matrix + matrix.transpose()) * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> KalmanFilter {
        KalmanFilter::start(Vector2::new(1.0, 2.0), &Matrix2::new(0.04, 0.01, 0.01, 0.09), 1.0)
    }

    #[test]
    fn two_steps_are_one() {
        let once = started().at(0.5, 0.7);
        let twice = started().at(0.2, 0.7).at(0.3, 0.7);
        assert!((once.covariance - twice.covariance).norm() < 1e-12);
        assert!((once.state - twice.state).norm() < 1e-12);
        // The variance of the position by hand: 0.04 + 1 * 0.5² + 0.7 * 0.5³ / 3.
        assert!((once.covariance[(0, 0)] - (0.04 + 0.25 + 0.7 * 0.125 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn without_noise_the_past_is_the_past() {
        let filter = started();
        let back = filter.at(0.4, 0.0).at(-0.4, 0.0);
        assert!((back.covariance - filter.covariance).norm() < 1e-12);
        assert!(filter.at(-0.4, 1.0).is_sound());
        assert!(filter.at(-0.4, 1.0).covariance[(0, 0)] > filter.at(-0.4, 0.0).covariance[(0, 0)]);
    }

    #[test]
    fn two_measurements_give_the_velocity() {
        let noise = Matrix2::<f64>::identity() * 1e-4;
        let filter = KalmanFilter::start(Vector2::new(0.0, 0.0), &noise, 10.0).at(1.0, 1e-6);
        let innovation = filter.innovation(&Vector2::new(1.0, -0.5), &noise).unwrap();
        let filter = filter.updated(&innovation).unwrap();
        assert!((filter.state - Vector4::new(1.0, -0.5, 1.0, -0.5)).norm() < 1e-4);
        assert!(filter.is_sound());
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let filter = started();
        assert!(filter.innovation(&Vector2::new(f64::NAN, 0.0), &Matrix2::identity()).is_none());
        assert!(filter.innovation(&Vector2::new(0.0, 0.0), &(Matrix2::<f64>::identity() * -9.0)).is_none());
    }
}
