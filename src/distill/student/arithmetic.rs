//! What numbers a network computes in, so that one description of it serves training in floats, training as int8 hardware computes,
//! and looking at what flows through it.

use burn::{nn::conv::Conv2d, tensor::Tensor};

use super::operator::convolve;

/// How a network computes. It stores tensors in the same order each time, at the places where a graph in QDQ form rounds: what it is
/// given, what a convolution makes (behind its ReLU, or before an addition) and what an addition makes (behind its ReLU).
pub(super) trait Arithmetic {
    /// A convolution.
    fn convolve(&mut self, layer: &Conv2d, input: Tensor<4>) -> Tensor<4>;

    /// What is left of a tensor `[B, C, H, W]` once it is stored for those that come after.
    fn store(&mut self, tensor: Tensor<4>) -> Tensor<4>;
}

/// As it is.
#[derive(Debug)]
pub(super) struct Floats;

impl Arithmetic for Floats {
    fn convolve(&mut self, layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        convolve(layer, input)
    }

    fn store(&mut self, tensor: Tensor<4>) -> Tensor<4> {
        tensor
    }
}
