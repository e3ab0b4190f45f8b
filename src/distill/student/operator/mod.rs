//! Convolution and BatchNorm for training on the CPU, several times as fast as burn's own there.
//!
//! burn's CPU device computes the weight gradient of a convolution as a convolution with a kernel as large as the image, and
//! BatchNorm as some thirty passes over memory. Here a convolution is a matrix product whose right matrix is never made
//! (`kernel`, `planes`), and BatchNorm with what follows it one pass forward and two backward. Results do not depend on
//! the number of threads. On other devices burn's operators are used, and ONNX export sees those alone.

mod convolution;
mod kernel;
mod memory;
mod normalization;
mod planes;
mod rounding;
mod threads;

use burn::{
    backend::{
        Autodiff, Flex,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        flex::FlexTensor,
    },
    module::{Param, ParamId},
    nn::{BatchNorm, PaddingConfig2d, conv::Conv2d},
    tensor::{Tensor, activation::relu},
};

use convolution::Geometry;
use memory::{any_values, tensor};
use normalization::{Normalization, Planes, Statistics};
pub(in crate::distill) use rounding::round_through;
pub(in crate::distill) use threads::one_of;

/// burn's CPU device with gradients.
type Training = Autodiff<Flex, NoCheckpointing>;

/// The sizes of a convolution, when it is one that is computed here: as much padding on opposite sides, the same stride in
/// both directions, no dilation.
fn geometry(layer: &Conv2d, input: [usize; 4], weight: [usize; 4]) -> Option<Geometry> {
    let [batch, channels_in, height, width] = input;
    let [channels_out, _, rows, columns] = weight;
    let padding = match layer.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if (top, left) == (bottom, right) => [top, left],
        _ => return None,
    };
    let ([stride, other], [1, 1]) = (layer.stride, layer.dilation) else { return None };
    let kernel = [rows, columns];
    let geometry =
        Geometry { batch, channels_in, height, width, channels_out, kernel, stride, padding, groups: layer.groups };
    (stride == other && geometry.is_possible()).then_some(geometry)
}

/// What [`Conv2d::forward`] computes: `[batch, channels in, H, W]` -> `[batch, channels out, H', W']`, where `H'` is
/// `(H + 2 padding - kernel) / stride + 1`, rounded down, and so is `W'`. The bias, `[channels out]`, is added where there is one.
pub fn convolve(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    computed_here(layer, layer.weight.val(), &input).unwrap_or_else(|| layer.forward(input))
}

/// [`convolve`] with these weights, of the same shape, in the place of the layer's own. Gradients of them are those of what they were
/// computed from.
pub(in crate::distill) fn convolve_by(layer: &Conv2d, weight: Tensor<4>, input: Tensor<4>) -> Tensor<4> {
    computed_here(layer, weight.clone(), &input).unwrap_or_else(|| {
        // `Param::from_tensor` would want a leaf of the graph.
        let weight = Param::initialized(ParamId::new(), weight);
        Conv2d { weight, ..layer.clone() }.forward(input)
    })
}

/// What a layer with these weights computes; nothing where burn's operators are to do it.
fn computed_here(layer: &Conv2d, weight: Tensor<4>, input: &Tensor<4>) -> Option<Tensor<4>> {
    let geometry = geometry(layer, input.dims(), weight.dims())?;
    let shape = [geometry.batch, geometry.channels_out, geometry.height_out(), geometry.width_out()];
    let tracked = (input.clone().try_into_primitive::<Training>(), weight.clone().try_into_primitive::<Training>());
    let output = if let (Ok(x), Ok(w)) = tracked {
        let ((x, x_node), (w, w_node)) = (x.into_parts(), w.into_parts());
        let (x, w) = (x.to_contiguous(), w.to_contiguous());
        let output = tensor(convolution::forward(&geometry, values(&x), values(&w)), &shape);
        let output = match ConvolutionStep.prepare::<NoCheckpointing>([x_node, w_node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((geometry, x, w), output),
            OpsKind::UnTracked(step) => step.finish(output),
        };
        Tensor::from_primitive::<Training>(output)
    } else if let (Ok(x), Ok(w)) = (input.clone().try_into_primitive::<Flex>(), weight.try_into_primitive::<Flex>()) {
        // Validation.
        let (x, w) = (x.to_contiguous(), w.to_contiguous());
        Tensor::from_primitive::<Flex>(tensor(convolution::forward(&geometry, values(&x), values(&w)), &shape))
    } else {
        return None;
    };
    Some(match &layer.bias {
        Some(bias) => output + bias.val().reshape([1, geometry.channels_out, 1, 1]),
        None => output,
    })
}

#[derive(Debug)]
struct ConvolutionStep;

impl Backward<Flex, 2> for ConvolutionStep {
    type State = (Geometry, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, w_node] = ops.parents;
        let (geometry, x, w) = ops.state;
        let output = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (of_x, of_w) = convolution::backward(&geometry, values(&x), values(&w), values(&output), x_node.is_some());
        register(gradients, x_node.map(|node| node.id), of_x, x.layout().shape());
        register(gradients, w_node.map(|node| node.id), of_w, w.layout().shape());
    }
}

/// What is done to normalised values.
#[derive(Debug, Clone, Default)]
pub struct After {
    /// Is added.
    pub added: Option<Tensor<4>>,
    /// Then ReLU.
    pub rectified: bool,
}

/// What [`BatchNorm::forward`] computes ("Batch Normalization", Ioffe and Szegedy 2015), then what is said: `[batch, channels, H, W]`, of
/// which the shape stays. In training each channel has the mean and variance of its batch, and the running statistics are renewed;
/// otherwise it has those.
pub fn normalize(layer: &BatchNorm, input: Tensor<4>, after: After) -> Tensor<4> {
    let [batch, channels, height, width] = input.dims();
    let device = input.device();
    let primitives = (
        input.clone().try_into_primitive::<Training>(),
        layer.gamma.val().try_into_primitive::<Training>(),
        layer.beta.val().try_into_primitive::<Training>(),
        after.added.clone().map(Tensor::try_into_primitive::<Training>).transpose(),
    );
    let (true, (Ok(x), Ok(gamma), Ok(beta), Ok(added))) = (layer.training.is_enabled(), primitives) else {
        let mut output = layer.forward(input);
        if let Some(added) = after.added {
            output = output + added;
        }
        return if after.rectified { relu(output) } else { output };
    };
    let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) = (x.into_parts(), gamma.into_parts(), beta.into_parts());
    let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
    let planes = Planes { batch, channels, size: height * width };
    let normalization = Normalization {
        planes,
        statistics: Statistics::of(planes, values(&x)),
        gamma: values(&gamma).to_vec(),
        beta: values(&beta).to_vec(),
        epsilon: layer.epsilon as f32,
        rectified: after.rectified,
    };
    let mixed = |old: Tensor<1>, new: &[f32]| {
        let new = Tensor::<1>::from_data(new, &device);
        (old.to_device(&device) * (1.0 - layer.momentum) + new * layer.momentum).detach()
    };
    layer.running_mean.update(mixed(layer.running_mean.value_sync(), &normalization.statistics.mean));
    layer.running_var.update(mixed(layer.running_var.value_sync(), &normalization.statistics.variance));

    let shape = x.layout().shape().clone();
    let Some(added) = added else {
        let output = tensor(normalization.forward(values(&x), None), &shape);
        let nodes = [x_node, gamma_node, beta_node];
        return match NormalizationStep.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => Tensor::from_primitive::<Training>(step.finish((normalization, x), output)),
            OpsKind::UnTracked(step) => Tensor::from_primitive::<Training>(step.finish(output)),
        };
    };
    let (added, added_node) = added.into_parts();
    let added = added.to_contiguous();
    let output = tensor(normalization.forward(values(&x), Some(values(&added))), &shape);
    let nodes = [x_node, gamma_node, beta_node, added_node];
    let output = match AddedNormalizationStep.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish((normalization, x, output.clone()), output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    Tensor::from_primitive::<Training>(output)
}

#[derive(Debug)]
struct NormalizationStep;

impl Backward<Flex, 3> for NormalizationStep {
    type State = (Normalization, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let (normalization, x) = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let found = normalization.backward(values(&x), None, values(&gradient));
        let (channels, shape) = (&[normalization.planes.channels], x.layout().shape());
        register(gradients, x_node.map(|node| node.id), found.x, shape);
        register(gradients, gamma_node.map(|node| node.id), found.gamma, channels);
        register(gradients, beta_node.map(|node| node.id), found.beta, channels);
    }
}

#[derive(Debug)]
struct AddedNormalizationStep;

impl Backward<Flex, 4> for AddedNormalizationStep {
    type State = (Normalization, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node, added_node] = ops.parents;
        let (normalization, x, output) = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let found = normalization.backward(values(&x), Some(values(&output)), values(&gradient));
        let (channels, shape) = (&[normalization.planes.channels], x.layout().shape());
        register(gradients, x_node.map(|node| node.id), found.x, shape);
        register(gradients, gamma_node.map(|node| node.id), found.gamma, channels);
        register(gradients, beta_node.map(|node| node.id), found.beta, channels);
        if let Some(node) = added_node {
            let added = found.added.map_or(gradient, |added| tensor(added, shape));
            gradients.register::<Flex>(node.id, added);
        }
    }
}

/// Notes a gradient where one is wanted.
fn register(gradients: &mut Gradients, node: Option<NodeId>, values: Vec<f32>, shape: &[usize]) {
    if let Some(node) = node {
        gradients.register::<Flex>(node, tensor(values, shape));
    }
}

/// The values of a contiguous float tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("a student's tensors are contiguous 32-bit floats")
}

#[cfg(test)]
mod tests;
