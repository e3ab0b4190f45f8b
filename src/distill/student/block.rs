//! What the student is built of.

use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, PaddingConfig2d, conv::Conv2d},
    tensor::{
        Device, Tensor,
        activation::relu,
        module::interpolate,
        ops::{InterpolateMode, InterpolateOptions},
    },
};

use super::{
    arithmetic::{Arithmetic, Floats},
    config::Convolution,
    inherit::{InheritError, Taken, every_nth, take_channels, take_norm, take_weights},
    operator::{self, After},
    seed::WeightSeed,
};

/// A convolution with "same" padding and BatchNorm, or with the bias that BatchNorm became by folding. A depthwise-separable
/// one (MobileNets, Howard et al. 2017) is two of them: each channel by itself, then all channels of each pixel.
#[derive(Module, Debug)]
pub struct ConvUnit {
    depthwise: Option<Conv2d>,
    depthwise_norm: Option<BatchNorm>,
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

impl ConvUnit {
    /// A unit with BatchNorm and weights out of the seed, initialised for ReLU.
    pub(in crate::distill) fn new(
        channels: [usize; 2],
        kernel: [usize; 2],
        stride: usize,
        seed: &mut WeightSeed,
        device: &Device,
    ) -> Self {
        let conv = plain_convolution(channels, kernel, stride, 2.0_f64.sqrt(), None, seed, device);
        let norm = Some(BatchNormConfig::new(channels[1]).init(device));
        Self { depthwise: None, depthwise_norm: None, conv, norm }
    }

    /// A unit of such a block.
    pub(in crate::distill) fn of(
        convolution: Convolution,
        channels: [usize; 2],
        kernel: [usize; 2],
        stride: usize,
        seed: &mut WeightSeed,
        device: &Device,
    ) -> Self {
        match convolution {
            Convolution::Plain => Self::new(channels, kernel, stride, seed, device),
            Convolution::Depthwise => {
                let depthwise = depthwise_convolution(channels[0], kernel, stride, seed, device);
                Self {
                    depthwise: Some(depthwise),
                    depthwise_norm: Some(BatchNormConfig::new(channels[0]).init(device)),
                    ..Self::new(channels, [1, 1], 1, seed, device)
                }
            }
        }
    }

    /// Convolution, BatchNorm and ReLU: `[B, in, H, W]` -> `[B, out, H / stride, W / stride]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_with(input, None)
    }

    /// [`Self::forward`] with something added before ReLU.
    pub fn forward_with(&self, input: Tensor<4>, added: Option<Tensor<4>>) -> Tensor<4> {
        self.forward_by(&mut Floats, input, added)
    }

    /// [`Self::forward_with`] in other numbers, which is for folded units.
    pub(super) fn forward_by(
        &self,
        arithmetic: &mut dyn Arithmetic,
        input: Tensor<4>,
        added: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let input = match &self.depthwise {
            Some(depthwise) => {
                let made = arithmetic.convolve(depthwise, input);
                arithmetic.store(rectified(self.depthwise_norm.as_ref(), made, None))
            }
            None => input,
        };
        let mut made = arithmetic.convolve(&self.conv, input);
        if added.is_some() {
            // Runtimes join a convolution with the ReLU behind it, not with an addition: that adds what was stored.
            made = arithmetic.store(made);
        }
        arithmetic.store(rectified(self.norm.as_ref(), made, added))
    }

    /// The weights `[out, in, rows, columns]` that make its output channels: the pointwise ones where it is depthwise-separable.
    pub(in crate::distill) fn filters(&self) -> &Param<Tensor<4>> {
        &self.conv.weight
    }

    /// The bias of each output channel, which it has once it is folded.
    pub(in crate::distill) fn bias(&self) -> Option<&Param<Tensor<1>>> {
        self.conv.bias.as_ref()
    }

    /// BatchNorm's scale of each output channel, unless it is folded.
    pub(in crate::distill) fn scale(&self) -> Option<&Param<Tensor<1>>> {
        self.norm.as_ref().map(|norm| &norm.gamma)
    }

    /// This unit with some output channels of another one, folded or not, whose inputs are the channels `ins`; says which outputs these
    /// are.
    pub(super) fn inherit(
        self,
        from: &Self,
        ins: &[usize],
        outs: Taken<'_>,
        layer: &str,
    ) -> Result<(Self, Vec<usize>), InheritError> {
        let (wanted, given) = (self.conv.weight.dims()[0], from.conv.weight.dims()[0]);
        let outs = outs.of(layer, wanted, given)?;
        let depthwise = match (self.depthwise, &from.depthwise) {
            (Some(own), Some(from)) => {
                let bias = from.bias.as_ref().map(|bias| take_channels(bias, ins));
                Some(Conv2d { weight: take_weights(&from.weight, ins, &[0]), bias, ..own })
            }
            (None, None) => None,
            (own, _) => {
                let (wanted, given) = (usize::from(own.is_some()), usize::from(from.depthwise.is_some()));
                return Err(InheritError::new(&format!("depthwise convolution of {layer}"), wanted, given));
            }
        };
        let norm = |norm: &Option<BatchNorm>, channels: &[usize]| norm.as_ref().map(|norm| take_norm(norm, channels));
        // A folded unit has biases in the place of its BatchNorm, and its heir is folded, too.
        let bias = from.conv.bias.as_ref().map(|bias| take_channels(bias, &outs));
        let unit = Self {
            depthwise,
            depthwise_norm: norm(&from.depthwise_norm, ins),
            conv: Conv2d { weight: take_weights(&from.conv.weight, &outs, ins), bias, ..self.conv },
            norm: norm(&from.norm, &outs),
        };
        Ok((unit, outs))
    }

    /// The same unit for inference without BatchNorm: its running statistics, scale and shift multiplied into the
    /// convolution's weights and bias.
    #[must_use]
    pub fn fold(self) -> Self {
        let Self { depthwise, depthwise_norm, conv, norm } = self;
        Self {
            depthwise: depthwise.map(|depthwise| folded(depthwise, depthwise_norm)),
            depthwise_norm: None,
            conv: folded(conv, norm),
            norm: None,
        }
    }
}

/// BatchNorm, where it is not folded, then an addition where there is one, then ReLU.
fn rectified(norm: Option<&BatchNorm>, input: Tensor<4>, added: Option<Tensor<4>>) -> Tensor<4> {
    match (norm, added) {
        (Some(norm), added) => operator::normalize(norm, input, After { added, rectified: true }),
        (None, Some(added)) => relu(input + added),
        (None, None) => relu(input),
    }
}

/// The convolution whose outputs are those of a convolution and BatchNorm with its running statistics.
fn folded(mut conv: Conv2d, norm: Option<BatchNorm>) -> Conv2d {
    let Some(norm) = norm else { return conv };
    let scale = norm.gamma.val() / (norm.running_var.value_sync() + norm.epsilon).sqrt();
    let mut shift = norm.beta.val() - norm.running_mean.value_sync() * scale.clone();
    if let Some(bias) = conv.bias {
        shift = shift + bias.val() * scale.clone();
    }
    let [channels] = scale.dims();
    conv.weight = Param::from_tensor(conv.weight.val() * scale.reshape([channels, 1, 1, 1]));
    conv.bias = Some(Param::from_tensor(shift));
    conv
}

/// Two things added: the input and one convolution unit of it, then ReLU (He et al. 2016, with one convolution).
#[derive(Module, Debug)]
pub struct Residual {
    unit: ConvUnit,
}

impl Residual {
    pub(in crate::distill) fn new(
        convolution: Convolution,
        channels: usize,
        kernel: [usize; 2],
        seed: &mut WeightSeed,
        device: &Device,
    ) -> Self {
        Self { unit: ConvUnit::of(convolution, [channels, channels], kernel, 1, seed, device) }
    }

    /// `[B, C, H, W]` -> the same shape.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_by(&mut Floats, input)
    }

    /// See [`ConvUnit::forward_by`].
    pub(super) fn forward_by(&self, arithmetic: &mut dyn Arithmetic, input: Tensor<4>) -> Tensor<4> {
        self.unit.forward_by(arithmetic, input.clone(), Some(input))
    }

    /// See [`ConvUnit::inherit`]; its outputs are its inputs' channels.
    pub(super) fn inherit(self, from: &Self, ins: &[usize], layer: &str) -> Result<Self, InheritError> {
        Ok(Self { unit: self.unit.inherit(&from.unit, ins, Taken::These(ins), layer)?.0 })
    }

    /// See [`ConvUnit::fold`].
    #[must_use]
    pub fn fold(self) -> Self {
        Self { unit: self.unit.fold() }
    }
}

/// One stage of a backbone: halves the resolution, then refines.
#[derive(Module, Debug)]
pub struct Stage {
    reduce: ConvUnit,
    refine: Vec<Residual>,
}

impl Stage {
    /// A stage that halves rows and columns, as far as there are several, and then refines `depth` times.
    pub(in crate::distill) fn new(
        convolution: Convolution,
        channels: [usize; 2],
        kernel: [usize; 2],
        depth: usize,
        seed: &mut WeightSeed,
        device: &Device,
    ) -> Self {
        Self {
            reduce: ConvUnit::of(convolution, channels, kernel, 2, seed, device),
            refine: (0..depth).map(|_| Residual::new(convolution, channels[1], kernel, seed, device)).collect(),
        }
    }

    /// `[B, in, H, W]` -> `[B, out, H / 2, W / 2]`; a single row stays one.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_by(&mut Floats, input)
    }

    /// See [`ConvUnit::forward_by`].
    pub(super) fn forward_by(&self, arithmetic: &mut dyn Arithmetic, input: Tensor<4>) -> Tensor<4> {
        let reduced = self.reduce.forward_by(arithmetic, input, None);
        self.refine.iter().fold(reduced, |features, unit| unit.forward_by(arithmetic, features))
    }

    /// See [`ConvUnit::inherit`].
    pub(super) fn inherit(
        self,
        from: &Self,
        ins: &[usize],
        outs: Taken<'_>,
        layer: &str,
    ) -> Result<(Self, Vec<usize>), InheritError> {
        let (reduce, outs) = self.reduce.inherit(&from.reduce, ins, outs, layer)?;
        let layers = every_nth(&format!("depth of {layer}"), self.refine.len(), from.refine.len())?;
        let refine = self.refine.into_iter().zip(layers);
        let refine = refine.map(|(unit, place)| unit.inherit(&from.refine[place], &outs, layer));
        Ok((Self { reduce, refine: refine.collect::<Result<_, _>>()? }, outs))
    }

    /// The units whose sum its features are.
    pub(super) fn units(&self) -> impl Iterator<Item = &ConvUnit> {
        std::iter::once(&self.reduce).chain(self.refine.iter().map(|residual| &residual.unit))
    }

    /// See [`ConvUnit::fold`].
    #[must_use]
    pub fn fold(self) -> Self {
        Self { reduce: self.reduce.fold(), refine: self.refine.into_iter().map(Residual::fold).collect() }
    }
}

/// `[B, C, H, W]` -> `[B, C, rows, columns]` by nearest neighbours.
pub(in crate::distill) fn upsample(input: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    interpolate(input, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size))
}

/// A convolution with "same" padding, whose bias, if any, starts at one value.
pub(in crate::distill) fn plain_convolution(
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    gain: f64,
    bias: Option<f64>,
    seed: &mut WeightSeed,
    device: &Device,
) -> Conv2d {
    let [rows, columns] = kernel;
    let [above, beside] = kernel.map(|side| side / 2);
    Conv2d {
        weight: seed.convolution([channels[1], channels[0], rows, columns], gain, device),
        bias: bias.map(|value| Param::from_data(vec![value as f32; channels[1]].as_slice(), device)),
        stride: [stride, stride],
        kernel_size: kernel,
        dilation: [1, 1],
        groups: 1,
        padding: PaddingConfig2d::Explicit(above, beside, above, beside),
    }
}

/// A convolution of each channel by itself, with "same" padding.
fn depthwise_convolution(
    channels: usize,
    kernel: [usize; 2],
    stride: usize,
    seed: &mut WeightSeed,
    device: &Device,
) -> Conv2d {
    let plain = plain_convolution([1, channels], kernel, stride, 2.0_f64.sqrt(), None, seed, device);
    Conv2d { groups: channels, ..plain }
}
