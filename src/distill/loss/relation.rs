//! Distillation of how embeddings lie to each other, whatever the widths of student and teacher.
//!
//! Embeddings are `[count, width]`, one row for each image or box (see [`image_embeddings`](super::image_embeddings) and
//! [`box_embeddings`](super::box_embeddings)), the same rows on both sides. Each function returns `[1]`, 0 when there is just
//! one embedding. The teacher is a constant; gradients flow to the student only.

use burn::tensor::Tensor;

use super::{
    terms::smooth_l1,
    vectors::{directions, lengths},
};

/// Distance-wise relational distillation: Huber loss between the distances of all pairs, on each side in units of their mean
/// ("Relational Knowledge Distillation", Park et al. 2019, RKD-D). As in the authors' code, the mean distance is that of the
/// pairs that are apart, and the mean loss that of all pairs. Memory grows with `count^2 * width`.
pub fn relation_distance(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    smooth_l1(relative_distances(student) - relative_distances(teacher.detach()), 1.0).mean()
}

/// Angle-wise relational distillation: Huber loss between the cosines of the angles that all pairs make at every embedding,
/// the mean over all triples (Park et al. 2019, RKD-A). Memory grows with `count^3`.
pub fn relation_angle(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    smooth_l1(cosines(student) - cosines(teacher.detach()), 1.0).mean()
}

/// Similarity-preserving distillation: mean squared difference between the matrices of all pairs' dot products, whose rows
/// are brought to length 1 ("Similarity-Preserving Knowledge Distillation", Tung and Mori 2019).
pub fn similarity_preserving(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let similarities = |embeddings: Tensor<2>| directions(embeddings.clone().matmul(embeddings.transpose()), 1);
    (similarities(student) - similarities(teacher.detach())).square().mean()
}

/// For each embedding the ways to all: `[count, width]` -> `[count, count, width]`. Distances from dot products would need
/// less memory, but lose their digits where embeddings are long and close to each other.
fn differences(embeddings: Tensor<2>) -> Tensor<3> {
    let [count, width] = embeddings.dims();
    embeddings.clone().reshape([1, count, width]) - embeddings.reshape([count, 1, width])
}

/// Distances of all pairs divided by the mean of those that are not 0, `[count, count, 1]`.
fn relative_distances(embeddings: Tensor<2>) -> Tensor<3> {
    let distances = lengths(differences(embeddings), 2);
    let apart = distances.clone().detach().sign().sum().clamp_min(1.0);
    // Without any distance the mean is 0, and so is what it divides.
    let mean = (distances.clone().sum() / apart).clamp_min(1e-8).reshape([1, 1, 1]);
    distances / mean
}

/// Cosines of the angles at the first index between the ways to the two others, `[count, count, count]`.
fn cosines(embeddings: Tensor<2>) -> Tensor<3> {
    let directions = directions(differences(embeddings), 2);
    directions.clone().matmul(directions.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{assert_close, assert_finite, check_cases, check_properties, waves};

    #[test]
    fn relation_losses_agree_with_the_reference() {
        check_cases("relation_distance", |_, student, teacher| relation_distance(student, teacher));
        check_cases("relation_angle", |_, student, teacher| relation_angle(student, teacher));
        check_cases("similarity_preserving", |_, student, teacher| similarity_preserving(student, teacher));
    }

    #[test]
    fn equal_relations_cost_nothing_and_zeros_stay_finite() {
        check_properties("distance", [5, 3], relation_distance);
        check_properties("angle", [5, 3], relation_angle);
        check_properties("similarity", [5, 3], similarity_preserving);
    }

    #[test]
    fn moved_and_scaled_embeddings_keep_distances_and_angles() {
        let student = waves([5, 3], 0.0).require_grad();
        let teacher = student.clone().detach() * 3.0 + 1.0;
        assert_close("distance", relation_distance(student.clone(), teacher.clone()), &[0.0]);
        assert_close("angle", relation_angle(student.clone(), teacher.clone()), &[0.0]);
    }

    #[test]
    fn a_single_embedding_has_no_relations() {
        for loss in [relation_distance, relation_angle, similarity_preserving] {
            let student = waves([1, 4], 0.0).require_grad();
            let value = loss(student.clone(), waves([1, 2], 2.0));
            assert_close("single", value.clone(), &[0.0]);
            assert_finite("single", &student, value);
        }
    }
}
