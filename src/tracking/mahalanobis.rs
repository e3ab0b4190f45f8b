//! Distances in the plane, measured by how sure the positions are.

use nalgebra::{Matrix2, Vector2};

/// The squared distance within which the share `probability` of all differences fall: the quantile of the chi-square distribution
/// with two degrees of freedom, `-2 ln(1 - probability)` (Bar-Shalom et al. 2001, section 1.5).
pub(crate) fn gate(probability: f64) -> f64 {
    -2.0 * (1.0 - probability).ln()
}

/// The inverse of a symmetric positive definite matrix and its determinant; `None` for any other matrix.
pub(crate) fn invert(matrix: &Matrix2<f64>) -> Option<(Matrix2<f64>, f64)> {
    let determinant = matrix[(0, 0)] * matrix[(1, 1)] - matrix[(0, 1)] * matrix[(1, 0)];
    if !(determinant.is_finite() && determinant > 0.0 && matrix[(0, 0)] > 0.0) {
        return None;
    }
    let adjugate = Matrix2::new(matrix[(1, 1)], -matrix[(0, 1)], -matrix[(1, 0)], matrix[(0, 0)]);
    Some((adjugate / determinant, determinant))
}

/// The squared Mahalanobis distance of a difference with this covariance; `None` when that is not positive definite.
pub(crate) fn squared_distance(difference: &Vector2<f64>, covariance: &Matrix2<f64>) -> Option<f64> {
    let (inverse, _) = invert(covariance)?;
    let distance = difference.dot(&(inverse * difference));
    distance.is_finite().then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_those_of_the_tables() {
        assert!((gate(0.95) - 5.991).abs() < 1e-3);
        assert!((gate(0.99) - 9.210).abs() < 1e-3);
    }

    #[test]
    fn distances_go_by_the_covariance() {
        let covariance = Matrix2::new(4.0, 0.0, 0.0, 0.25);
        let distance = |x, y| squared_distance(&Vector2::new(x, y), &covariance).unwrap();
        assert!((distance(2.0, 0.0) - 1.0).abs() < 1e-12);
        assert!((distance(0.0, 2.0) - 16.0).abs() < 1e-12);
        assert_eq!(squared_distance(&Vector2::new(1.0, 1.0), &Matrix2::new(1.0, 2.0, 2.0, 1.0)), None);
        assert_eq!(squared_distance(&Vector2::new(1.0, 1.0), &Matrix2::new(-1.0, 0.0, 0.0, -1.0)), None);
        assert_eq!(squared_distance(&Vector2::new(f64::NAN, 1.0), &covariance), None);
    }

    #[test]
    fn inverses_undo() {
        let matrix = Matrix2::new(2.0, 0.5, 0.5, 1.0);
        let (inverse, determinant) = invert(&matrix).unwrap();
        assert!((inverse * matrix - Matrix2::identity()).norm() < 1e-12);
        assert!((determinant - 1.75).abs() < 1e-12);
    }
}
