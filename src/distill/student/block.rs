//! What the student is built of.

use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, PaddingConfig2d, conv::Conv2d},
    tensor::{Device, Tensor, activation::relu},
};

use super::{operator, seed::WeightSeed};

/// A convolution with "same" padding and BatchNorm, or with the bias that BatchNorm became by folding.
#[derive(Module, Debug)]
pub struct ConvUnit {
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

impl ConvUnit {
    /// A unit with BatchNorm and weights out of the seed, initialised for ReLU.
    pub(super) fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        seed: &mut WeightSeed,
        device: &Device,
    ) -> Self {
        let conv = plain_convolution(channels, kernel, stride, 2.0_f64.sqrt(), None, seed, device);
        Self { conv, norm: Some(BatchNormConfig::new(channels[1]).init(device)) }
    }

    /// Convolution and BatchNorm: `[B, in, H, W]` -> `[B, out, H / stride, W / stride]`.
    pub fn linear(&self, input: Tensor<4>) -> Tensor<4> {
        let output = operator::convolve(&self.conv, input);
        match &self.norm {
            Some(norm) => operator::normalize(norm, output, false),
            None => output,
        }
    }

    /// [`Self::linear`], then ReLU.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let output = operator::convolve(&self.conv, input);
        match &self.norm {
            Some(norm) => operator::normalize(norm, output, true),
            None => relu(output),
        }
    }

    /// The same unit for inference without BatchNorm: its running statistics, scale and shift multiplied into the
    /// convolution's weights and bias.
    #[must_use]
    pub fn fold(self) -> Self {
        let Self { mut conv, norm } = self;
        let Some(norm) = norm else { return Self { conv, norm: None } };
        let scale = norm.gamma.val() / (norm.running_var.value_sync() + norm.epsilon).sqrt();
        let mut shift = norm.beta.val() - norm.running_mean.value_sync() * scale.clone();
        if let Some(bias) = conv.bias {
            shift = shift + bias.val() * scale.clone();
        }
        let [channels] = scale.dims();
        conv.weight = Param::from_tensor(conv.weight.val() * scale.reshape([channels, 1, 1, 1]));
        conv.bias = Some(Param::from_tensor(shift));
        Self { conv, norm: None }
    }
}

/// Two things added: the input and one convolution unit of it, then ReLU (He et al. 2016, with one convolution).
#[derive(Module, Debug)]
pub struct Residual {
    unit: ConvUnit,
}

impl Residual {
    pub(super) fn new(channels: usize, seed: &mut WeightSeed, device: &Device) -> Self {
        Self { unit: ConvUnit::new([channels, channels], 3, 1, seed, device) }
    }

    /// `[B, C, H, W]` -> the same shape.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        relu(self.unit.linear(input.clone()) + input)
    }

    /// See [`ConvUnit::fold`].
    #[must_use]
    pub fn fold(self) -> Self {
        Self { unit: self.unit.fold() }
    }
}

/// A convolution with "same" padding, whose bias, if any, starts at one value.
pub(super) fn plain_convolution(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    gain: f64,
    bias: Option<f64>,
    seed: &mut WeightSeed,
    device: &Device,
) -> Conv2d {
    let padding = kernel / 2;
    Conv2d {
        weight: seed.convolution([channels[1], channels[0], kernel, kernel], gain, device),
        bias: bias.map(|value| Param::from_data(vec![value as f32; channels[1]].as_slice(), device)),
        stride: [stride, stride],
        kernel_size: [kernel, kernel],
        dilation: [1, 1],
        groups: 1,
        padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
    }
}
