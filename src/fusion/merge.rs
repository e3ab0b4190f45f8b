//! One object out of what several cameras saw of it.

use super::{FusionOptions, evidence::combine, ground::Located};
use crate::tracking::mahalanobis::{gate, invert, squared_distance};

/// Something that only cameras saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CameraObject {
    /// The camera's number.
    pub camera: usize,
    /// Index of its class.
    pub class: usize,
    /// Confidence.
    pub score: f32,
    /// Where it stands.
    pub place: Located,
}

/// Joins objects of one class that different cameras put so near to each other that they are one by their covariances: the nearest
/// cluster, best scores first, at most one object of each camera in a cluster.
pub(super) fn merge(mut objects: Vec<CameraObject>, options: &FusionOptions) -> Vec<CameraObject> {
    objects.sort_by(|a, b| b.score.total_cmp(&a.score));
    let gate = gate(options.gate_probability);
    let mut clusters: Vec<(Vec<usize>, CameraObject)> = Vec::new();
    for object in objects {
        let nearest = clusters
            .iter_mut()
            .filter(|(cameras, cluster)| cluster.class == object.class && !cameras.contains(&object.camera))
            .filter_map(|cluster| Some((distance(&cluster.1.place, &object.place)?, cluster)))
            .filter(|(distance, _)| *distance <= gate)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, (cameras, cluster))) => {
                cameras.push(object.camera);
                cluster.place = mean(&cluster.place, &object.place);
                cluster.score = combine((cluster.class, cluster.score), (object.class, object.score)).1;
            }
            None => clusters.push((vec![object.camera], object)),
        }
    }
    clusters.into_iter().map(|(_, cluster)| cluster).collect()
}

fn distance(a: &Located, b: &Located) -> Option<f64> {
    squared_distance(&(a.position - b.position), &(a.covariance + b.covariance))
}

/// The mean weighted by inverse covariances: `P = (P1⁻¹ + P2⁻¹)⁻¹`, `x = P (P1⁻¹ x1 + P2⁻¹ x2)` (Bar-Shalom et al. 2001, section
/// 3.4, for independent errors). Two rays that cross give a place that neither has alone.
fn mean(a: &Located, b: &Located) -> Located {
    let (Some((first, _)), Some((second, _))) = (invert(&a.covariance), invert(&b.covariance)) else { return *a };
    let Some((covariance, _)) = invert(&(first + second)) else { return *a };
    // Rounding must not cost the symmetry.
    let covariance = (covariance + covariance.transpose()) * 0.5;
    // Where two rays are as good as parallel, the inverse of an inverse may be beyond all numbers.
    Located::finite(covariance * (first * a.position + second * b.position), covariance).unwrap_or(*a)
}

#[cfg(test)]
mod tests {
    use nalgebra::{Matrix2, Vector2};

    use super::*;

    fn object(camera: usize, class: usize, x: f64, y: f64, variances: [f64; 2]) -> CameraObject {
        let place =
            Located { position: Vector2::new(x, y), covariance: Matrix2::new(variances[0], 0.0, 0.0, variances[1]) };
        CameraObject { camera, class, score: 0.5, place }
    }

    #[test]
    fn two_rays_cross() {
        let merged = merge(
            vec![object(0, 0, 4.0, 0.0, [1.0, 0.01]), object(1, 0, 4.8, 0.5, [0.01, 1.0])],
            &FusionOptions::default(),
        );
        assert_eq!(merged.len(), 1);
        let place = merged[0].place;
        assert!((place.position - Vector2::new(4.792, 0.005)).norm() < 0.01, "{place:?}");
        assert!(place.covariance[(0, 0)] < 0.01 && place.covariance[(1, 1)] < 0.01);
        assert!((merged[0].score - 0.75).abs() < 1e-6);
    }

    #[test]
    fn one_camera_other_classes_and_far_places_stay_apart() {
        let count = |objects: Vec<CameraObject>| merge(objects, &FusionOptions::default()).len();
        let here = object(0, 0, 1.0, 1.0, [0.1, 0.1]);
        assert_eq!(count(vec![here, object(0, 0, 1.1, 1.0, [0.1, 0.1])]), 2);
        assert_eq!(count(vec![here, object(1, 1, 1.1, 1.0, [0.1, 0.1])]), 2);
        assert_eq!(count(vec![here, object(1, 0, 4.0, 1.0, [0.1, 0.1])]), 2);
        assert_eq!(count(vec![here, object(1, 0, 1.1, 1.0, [0.1, 0.1])]), 1);
    }
}
