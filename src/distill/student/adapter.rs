//! Adapters: 1x1 convolutions that give the student's features as many channels as the teacher's have (the regressor of FitNets,
//! Romero et al. 2015). They exist in training only.

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Device, Tensor},
};

use super::{block::plain_convolution, operator::convolve, seed::WeightSeed};

/// The adapters of a training, in the order in which they were asked for.
#[derive(Module, Debug)]
pub struct Adapters {
    convolutions: Vec<Conv2d>,
}

impl Adapters {
    /// Adapters from and to so many channels, with weights that depend on the seed alone.
    pub fn new(channels: &[[usize; 2]], seed: u64, device: &Device) -> Self {
        // Other numbers than the student's own weights have.
        let seed = &mut WeightSeed::new(seed ^ 0x6164_6170_7465_7273);
        let convolution = |&channels| plain_convolution(channels, [1, 1], 1, 1.0, Some(0.0), seed, device);
        Self { convolutions: channels.iter().map(convolution).collect() }
    }

    /// The student's features `[B, C, H, W]` as the teacher would have them, `[B, teacher's C, H, W]`.
    pub fn adapt(&self, adapter: usize, features: Tensor<4>) -> Tensor<4> {
        convolve(&self.convolutions[adapter], features)
    }
}
