//! Convolution and BatchNorm for training on the CPU, several times as fast as burn's own there.
//!
//! burn's CPU device computes the weight gradient of a convolution as a convolution with a kernel as large as the image, and
//! BatchNorm as some thirty passes over memory. Here a convolution is tiles through a matrix product, image by image on all
//! cores, and BatchNorm two passes. Results do not depend on the number of threads. On other devices, and without gradients,
//! burn's operators are used; ONNX export never sees these.

mod convolution;
mod normalization;

use burn::{
    backend::{
        Autodiff, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        flex::FlexTensor,
    },
    nn::{BatchNorm, conv::Conv2d},
    tensor::{Tensor, TensorData, activation::relu},
};

use convolution::Geometry;
use normalization::{Planes, Statistics};

/// burn's CPU device with gradients.
type Training = Autodiff<Flex, NoCheckpointing>;

/// What [`Conv2d::forward`] computes, for convolutions that are neither dilated nor grouped and padded by half their kernel.
pub(super) fn convolve(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    let weight = layer.weight.val();
    let [batch, channels_in, height, width] = input.dims();
    let [channels_out, _, kernel, _] = weight.dims();
    let geometry = Geometry { batch, channels_in, height, width, channels_out, kernel, stride: layer.stride[0] };
    let primitives = (input.clone().try_into_primitive::<Training>(), weight.try_into_primitive::<Training>());
    let (Ok(x), Ok(w)) = primitives else { return layer.forward(input) };
    let ((x, x_node), (w, w_node)) = (x.into_parts(), w.into_parts());
    let (x, w) = (x.to_contiguous(), w.to_contiguous());
    let output = convolution::forward(geometry, values(&x), values(&w));
    let output = tensor(output, &[batch, channels_out, geometry.height_out(), geometry.width_out()]);
    let output = match ConvolutionStep.prepare::<NoCheckpointing>([x_node, w_node]).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish((geometry, x, w), output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    let output = Tensor::from_primitive::<Training>(output);
    match &layer.bias {
        Some(bias) => output + bias.val().reshape([1, channels_out, 1, 1]),
        None => output,
    }
}

#[derive(Debug)]
struct ConvolutionStep;

impl Backward<Flex, 2> for ConvolutionStep {
    type State = (Geometry, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, w_node] = ops.parents;
        let (geometry, x, w) = ops.state;
        let output = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (of_x, of_w) = convolution::backward(geometry, values(&x), values(&w), values(&output), x_node.is_some());
        if let Some(node) = x_node {
            let shape = [geometry.batch, geometry.channels_in, geometry.height, geometry.width];
            gradients.register::<Flex>(node.id, tensor(of_x, &shape));
        }
        if let Some(node) = w_node {
            let shape = [geometry.channels_out, geometry.channels_in, geometry.kernel, geometry.kernel];
            gradients.register::<Flex>(node.id, tensor(of_w, &shape));
        }
    }
}

/// What [`BatchNorm::forward`] computes, then ReLU where `rectified`; in training the running statistics are renewed.
pub(super) fn normalize(layer: &BatchNorm, input: Tensor<4>, rectified: bool) -> Tensor<4> {
    let [batch, channels, height, width] = input.dims();
    let planes = Planes { batch, channels, size: height * width };
    let device = input.device();
    let primitives = (
        input.clone().try_into_primitive::<Training>(),
        layer.gamma.val().try_into_primitive::<Training>(),
        layer.beta.val().try_into_primitive::<Training>(),
    );
    let (true, (Ok(x), Ok(gamma), Ok(beta))) = (layer.training.is_enabled(), primitives) else {
        let output = layer.forward(input);
        return if rectified { relu(output) } else { output };
    };
    let (x, x_node) = x.into_parts();
    let ((gamma, gamma_node), (beta, beta_node)) = (gamma.into_parts(), beta.into_parts());
    let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
    let statistics = Statistics::of(planes, values(&x));
    let epsilon = layer.epsilon as f32;
    let output =
        normalization::forward(planes, values(&x), &statistics, values(&gamma), values(&beta), epsilon, rectified);
    let output = tensor(output, &[batch, channels, height, width]);

    let mixed = |old: Tensor<1>, new: &[f32]| {
        let new = Tensor::<1>::from_data(new, &device);
        (old.to_device(&device) * (1.0 - layer.momentum) + new * layer.momentum).detach()
    };
    layer.running_mean.update(mixed(layer.running_mean.value_sync(), &statistics.mean));
    layer.running_var.update(mixed(layer.running_var.value_sync(), &statistics.variance));

    let nodes = [x_node, gamma_node, beta_node];
    let output = match NormalizationStep.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => {
            let state = NormalizationState { planes, x, gamma, statistics, epsilon, output: output.clone(), rectified };
            step.finish(state, output)
        }
        OpsKind::UnTracked(step) => step.finish(output),
    };
    Tensor::from_primitive::<Training>(output)
}

#[derive(Debug)]
struct NormalizationStep;

#[derive(Debug, Clone)]
struct NormalizationState {
    planes: Planes,
    x: FlexTensor,
    gamma: FlexTensor,
    statistics: Statistics,
    epsilon: f32,
    output: FlexTensor,
    rectified: bool,
}

impl Backward<Flex, 3> for NormalizationStep {
    type State = NormalizationState;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let state = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let shape = gradient.layout().shape().to_vec();
        let rectified = state.rectified.then(|| values(&state.output));
        let found = normalization::backward(
            state.planes,
            values(&state.x),
            &state.statistics,
            values(&state.gamma),
            state.epsilon,
            rectified,
            values(&gradient),
        );
        let channels = [state.planes.channels];
        for (node, gradient, shape) in [
            (x_node, found.x, shape.as_slice()),
            (gamma_node, found.gamma, &channels),
            (beta_node, found.beta, &channels),
        ] {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, tensor(gradient, shape));
            }
        }
    }
}

/// The values of a contiguous float tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("a student's tensors are contiguous 32-bit floats")
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{BatchNormConfig, PaddingConfig2d, conv::Conv2dConfig},
        tensor::{Device, Distribution},
    };

    use super::*;

    fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.3, 1.0), device)
    }

    fn assert_close<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
        assert_eq!(found.dims(), expected.dims(), "{what}");
        let scale = expected.clone().abs().max().into_scalar::<f32>().max(1.0);
        let worst = (found - expected).abs().max().into_scalar::<f32>();
        assert!(worst <= 2e-5 * scale, "{what} differs by {worst} at a scale of {scale}");
    }

    #[test]
    fn convolutions_and_gradients_equal_burns() {
        let device = Device::flex().autodiff();
        for (channels, kernel, stride, size) in
            [([3, 8], 3, 2, [18, 22]), ([5, 7], 3, 1, [9, 11]), ([6, 4], 1, 1, [8, 5]), ([16, 24], 3, 2, [64, 96])]
        {
            let layer = Conv2dConfig::new(channels, [kernel, kernel])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2))
                .init(&device);
            let input = random([2, channels[0], size[0], size[1]], &device).require_grad();
            let ours = convolve(&layer, input.clone());
            let burns = layer.forward(input.clone());
            let factor = random(ours.dims(), &device);
            let our_gradients = (ours.clone() * factor.clone()).sum().backward();
            let burns_gradients = (burns.clone() * factor).sum().backward();
            assert_close("output", ours.inner(), burns.inner());
            let of = |gradients| (input.grad(gradients).unwrap(), layer.weight.val().grad(gradients).unwrap());
            let ((our_x, our_w), (burns_x, burns_w)) = (of(&our_gradients), of(&burns_gradients));
            assert_close("input gradient", our_x, burns_x);
            assert_close("weight gradient", our_w, burns_w);
            let bias = |gradients| layer.bias.as_ref().unwrap().val().grad(gradients).unwrap();
            assert_close("bias gradient", bias(&our_gradients), bias(&burns_gradients));
        }
    }

    #[test]
    fn normalization_and_gradients_equal_burns() {
        let device = Device::flex().autodiff();
        for rectified in [false, true] {
            let [ours, burns] = [(); 2].map(|()| BatchNormConfig::new(5).init(&device));
            let input = random([3, 5, 7, 6], &device).require_grad();
            let our_output = normalize(&ours, input.clone(), rectified);
            let burns_output = burns.forward(input.clone());
            let burns_output = if rectified { relu(burns_output) } else { burns_output };
            let factor = random([3, 5, 7, 6], &device);
            let our_gradients = (our_output.clone() * factor.clone()).sum().backward();
            let burns_gradients = (burns_output.clone() * factor).sum().backward();
            assert_close("output", our_output.inner(), burns_output.inner());
            assert_close("input", input.grad(&our_gradients).unwrap(), input.grad(&burns_gradients).unwrap());
            for (name, our, burn) in [("gamma", &ours.gamma, &burns.gamma), ("beta", &ours.beta, &burns.beta)] {
                let (our, burn) = (our.val().grad(&our_gradients), burn.val().grad(&burns_gradients));
                assert_close(name, our.unwrap(), burn.unwrap());
            }
            assert_close("mean", ours.running_mean.value_sync().inner(), burns.running_mean.value_sync().inner());
            assert_close("variance", ours.running_var.value_sync().inner(), burns.running_var.value_sync().inner());
        }
    }
}
