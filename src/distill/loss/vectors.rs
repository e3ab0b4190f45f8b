//! Lengths and directions, differentiable everywhere.

use burn::tensor::Tensor;

/// What is added to squared lengths, so that the root has a gradient at 0 and none explodes near it.
const TINY: f32 = 1e-8;

/// Euclidean lengths along dimension `dim`, which becomes 1. Vectors of length 0 have exactly that, and no gradient.
pub(super) fn lengths<const D: usize>(vectors: Tensor<D>, dim: usize) -> Tensor<D> {
    let squares = vectors.square().sum_dim(dim);
    let not_zero = squares.clone().detach().sign();
    (squares + TINY).sqrt() * not_zero
}

/// The vectors along dimension `dim` at length 1. Vectors of length 0 have no direction: they stay 0, without a gradient.
pub(super) fn directions<const D: usize>(vectors: Tensor<D>, dim: usize) -> Tensor<D> {
    let squares = vectors.clone().square().sum_dim(dim);
    let not_zero = squares.clone().detach().sign();
    vectors * (not_zero / (squares + TINY).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{assert_finite, device, tensor, values};

    #[test]
    fn zeros_have_neither_length_nor_direction_nor_gradient() {
        let vectors = tensor(&[3.0, 4.0, 0.0, 0.0], [2, 2]).require_grad();
        assert_eq!(values(directions(vectors.clone(), 1))[2..], [0.0, 0.0]);
        assert_finite("directions", &vectors, directions(vectors.clone(), 1));
        let lengths = lengths(vectors.clone(), 1);
        let gradients = lengths.clone().sum().backward();
        let lengths = values(lengths);
        assert!((lengths[0] - 5.0).abs() < 1e-6 && lengths[1] == 0.0, "{lengths:?}");
        let gradient = values(vectors.grad(&gradients).unwrap());
        assert!((gradient[0] - 0.6).abs() < 1e-6 && gradient[2..] == [0.0, 0.0], "{gradient:?}");
        assert!(values(directions(Tensor::<2>::zeros([3, 1], &device()), 0)).iter().all(|&value| value == 0.0));
    }
}
