//! Distances as distributions, after Generalized Focal Loss (Li et al. 2020, section 3.2): a softmax over bins `0..n`
//! whose expectation is the distance in units of the stride. Shared by NanoDet, our own student and the
//! assignment of its loss.

use crate::geometry::Box2;

/// Expectation of the bin number under the softmax of `bins` logits; NaN when a logit is not finite.
pub(crate) fn expectation(logits: impl Iterator<Item = f32> + Clone) -> f32 {
    let mut peak = f32::NEG_INFINITY;
    for logit in logits.clone() {
        if !logit.is_finite() {
            return f32::NAN;
        }
        peak = peak.max(logit);
    }
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.enumerate() {
        let weight = (logit - peak).exp();
        sum += weight;
        weighted += weight * bin as f32;
    }
    weighted / sum
}

/// The box around a point from its distances to the left, top, right and bottom edges in units of the stride.
pub(crate) fn around(center_x: f32, center_y: f32, distances: [f32; 4], stride: f32) -> Box2 {
    let [left, top, right, bottom] = distances.map(|distance| distance * stride);
    Box2::new(center_x - left, center_y - top, center_x + right, center_y + bottom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectation_of_known_distributions() {
        assert!((expectation([0.0; 8].into_iter()) - 3.5).abs() < 1e-6);
        assert!((expectation([0.0, 0.0, 100.0, 0.0].into_iter()) - 2.0).abs() < 1e-6);
        // Weights 1 : 3 over bins 0 and 1.
        assert!((expectation([0.0, 3.0_f32.ln()].into_iter()) - 0.75).abs() < 1e-6);
        assert!((expectation([1e30, 0.0].into_iter())).abs() < 1e-6, "large logits must not overflow");
        assert!(expectation([f32::INFINITY, 0.0].into_iter()).is_nan());
    }
}
