//! Rounding to eight bits with a gradient that passes straight through.

use burn::{
    backend::{
        Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        flex::FlexTensor,
    },
    tensor::Tensor,
};

use super::{
    Training,
    memory::{any_values, tensor},
    register, values,
};
use crate::distill::compress::quantize::Affine;

/// What eight bits leave of each value ([`Affine::round_trip`]). The gradient passes straight through where a value lies within the range
/// that the steps cover, and is 0 where the value was cut off (the straight-through estimator of Bengio et al. 2013, as Jacob et al. 2018
/// train with it).
pub(in crate::distill) fn round_through(input: Tensor<4>, steps: Affine) -> Tensor<4> {
    let shape = input.dims();
    if let Ok(x) = input.clone().try_into_primitive::<Training>() {
        let (x, node) = x.into_parts();
        let x = x.to_contiguous();
        let output = tensor(rounded(values(&x), steps), &shape);
        let output = match RoundingStep.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((steps, x), output),
            OpsKind::UnTracked(step) => step.finish(output),
        };
        return Tensor::from_primitive::<Training>(output);
    }
    if let Ok(x) = input.clone().try_into_primitive::<Flex>() {
        // Validation.
        let x = x.to_contiguous();
        return Tensor::from_primitive::<Flex>(tensor(rounded(values(&x), steps), &shape));
    }
    round_by_tensors(input, steps)
}

/// The same by burn's operators, for other devices.
fn round_by_tensors(input: Tensor<4>, steps: Affine) -> Tensor<4> {
    let [least, greatest] = steps.ends();
    let within = input.clamp(least, greatest);
    let rounded = within.clone().detach().div_scalar(steps.scale).round().mul_scalar(steps.scale);
    // The difference is 0 and has the gradient of what is within.
    within.clone() - within.detach() + rounded
}

fn rounded(input: &[f32], steps: Affine) -> Vec<f32> {
    let mut output = any_values(input.len());
    output.iter_mut().zip(input).for_each(|(output, &value)| *output = steps.round_trip(value));
    output
}

#[derive(Debug)]
struct RoundingStep;

impl Backward<Flex, 1> for RoundingStep {
    type State = (Affine, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let (steps, x) = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [least, greatest] = steps.ends();
        let mut passed = any_values(values(&x).len());
        for ((passed, &gradient), &value) in passed.iter_mut().zip(values(&gradient)).zip(values(&x)) {
            *passed = if (least..=greatest).contains(&value) { gradient } else { 0.0 };
        }
        register(gradients, node.map(|node| node.id), passed, x.layout().shape());
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// A step stands for 0.5, the third for 0: from -1 to 126.5.
    const STEPS: Affine = Affine { scale: 0.5, zero_point: 2 };
    const VALUES: [f32; 8] = [-7.0, -1.01, -1.0, -0.3, 0.0, 0.74, 126.5, 200.0];

    fn input(device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(VALUES.to_vec(), [1, 2, 2, 2]), device)
    }

    fn numbers(tensor: Tensor<4>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    #[test]
    fn values_are_rounded_and_gradients_pass_within_the_range_alone() {
        for round in [round_through, round_by_tensors] {
            let x = input(&Device::flex().autodiff()).require_grad();
            let rounded = round(x.clone(), STEPS);
            assert_eq!(numbers(rounded.clone().inner()), [-1.0, -1.0, -1.0, -0.5, 0.0, 0.5, 126.5, 126.5]);
            let gradients = (rounded.clone() * rounded).sum().backward();
            // Twice the rounded value, where nothing was cut off.
            let expected = [0.0, 0.0, -2.0, -1.0, 0.0, 1.0, 253.0, 0.0];
            assert_eq!(numbers(x.grad(&gradients).unwrap()), expected);
        }
        assert_eq!(numbers(round_through(input(&Device::flex()), STEPS)), VALUES.map(|value| STEPS.round_trip(value)));
    }

    #[test]
    fn over_many_steps_the_gradient_is_the_slope() {
        // Finite differences over whole steps, in which rounding has no part.
        let at = |value: f32| {
            let x = Tensor::<4>::from_data(TensorData::new(vec![value], [1, 1, 1, 1]), &Device::flex());
            let rounded: f32 = round_through(x, STEPS).into_scalar();
            rounded
        };
        for (from, slope) in [(3.2, 1.0), (60.0, 1.0), (127.0, 0.0), (-40.0, 0.0)] {
            assert_eq!((at(from + 8.0) - at(from)) / 8.0, slope, "at {from}");
        }
    }
}
