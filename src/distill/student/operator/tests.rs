//! Convolution and BatchNorm against burn's own operators, finite differences and PyTorch.

use burn::{
    module::Param,
    nn::BatchNormConfig,
    tensor::{Device, Distribution, TensorData},
};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random(shape: [usize; 4]) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.3, 1.0), &device())
}

fn assert_close<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let scale = expected.clone().abs().max().into_scalar::<f32>().max(1.0);
    let worst = (found - expected).abs().max().into_scalar::<f32>();
    assert!(worst <= 1e-4 * scale, "{what} differs by {worst} at a scale of {scale}");
}

fn convolution(case: &Case, weight: Tensor<4>) -> Conv2d {
    let [top, left] = case.padding;
    Conv2d {
        weight: Param::from_tensor(weight),
        bias: None,
        stride: [case.stride; 2],
        kernel_size: case.kernel,
        dilation: [1, 1],
        groups: case.groups,
        padding: PaddingConfig2d::Explicit(top, left, top, left),
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Case {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
    groups: usize,
}

impl Case {
    fn input(&self) -> [usize; 4] {
        [self.batch, self.channels[0], self.size[0], self.size[1]]
    }

    fn weight(&self) -> [usize; 4] {
        [self.channels[1], self.channels[0] / self.groups, self.kernel[0], self.kernel[1]]
    }
}

/// Convolutions of all kinds: pointwise, depthwise, grouped, strided, padded more than their kernel reaches.
fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..=5usize, 1..=5usize, 1..=3usize, 0..=3usize, 0..=3usize);
    let groups = prop_oneof![3 => Just(1usize), 1 => 2..=6usize];
    (sizes, groups, 1..=6usize, 1..=6usize, 0..=24usize, 0..=40usize, 1..=5usize).prop_map(
        |((rows, columns, stride, top, left), groups, ins, outs, height, width, batch)| Case {
            batch,
            channels: [ins * groups, outs * groups],
            size: [height + rows, width + columns],
            kernel: [rows, columns],
            stride,
            padding: [top, left],
            groups,
        },
    )
}

/// Output, input gradient and weight gradient of the sum of the output times a factor.
fn differentiate(
    of: impl Fn(&Conv2d, Tensor<4>) -> Tensor<4>,
    layer: &Conv2d,
    input: &Tensor<4>,
    factor: Option<&Tensor<4>>,
) -> [Tensor<4>; 3] {
    let output = of(layer, input.clone());
    let factor = factor.cloned().unwrap_or_else(|| output.ones_like());
    let gradients = (output.clone() * factor).sum().backward();
    [output.inner(), input.grad(&gradients).unwrap(), layer.weight.val().grad(&gradients).unwrap()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn convolutions_and_gradients_equal_burns(case in cases()) {
        let layer = convolution(&case, random(case.weight()));
        let input = random(case.input()).require_grad();
        let factor = random(layer.forward(input.clone()).dims());
        let [ours, burns] = [convolve as fn(&Conv2d, Tensor<4>) -> Tensor<4>, Conv2d::forward]
            .map(|of| differentiate(of, &layer, &input, Some(&factor)));
        for ((what, ours), burns) in ["output", "input gradient", "weight gradient"].into_iter().zip(ours).zip(burns) {
            assert_close(&format!("{what} of {case:?}"), ours, burns);
        }
    }

    /// A convolution is linear in the input and in the weights, so differences are exact whatever their step.
    #[test]
    fn gradients_of_convolutions_equal_finite_differences(case in cases(), seed in any::<u64>()) {
        let (weight, input) = (random(case.weight()), random(case.input()).require_grad());
        let layer = convolution(&case, weight.clone());
        let output = convolve(&layer, input.clone());
        let factor = random(output.dims());
        let gradients = (output.clone() * factor.clone()).sum().backward();
        let loss = |layer: &Conv2d, input: Tensor<4>| read((convolve(layer, input) * factor.clone()).inner());
        let difference = |up: Vec<f32>, down: Vec<f32>| {
            up.iter().zip(down).map(|(up, down)| f64::from(*up) - f64::from(down)).sum::<f64>()
        };
        for (what, tensor, gradient) in [
            ("input", input.clone(), input.grad(&gradients).unwrap()),
            ("weight", weight.clone(), layer.weight.val().grad(&gradients).unwrap()),
        ] {
            let gradient = read(gradient);
            let place = (seed % gradient.len() as u64) as usize;
            let moved = |step: f32| {
                let mut values = read(tensor.clone().inner());
                values[place] += step;
                Tensor::<4>::from_data(TensorData::new(values, tensor.dims()), &device())
            };
            let at = |step: f32| match what {
                "input" => loss(&layer, moved(step)),
                _ => loss(&convolution(&case, moved(step)), input.clone()),
            };
            let expected = difference(at(1.0), at(-1.0)) / 2.0;
            let (found, scale) = (f64::from(gradient[place]), gradient.iter().fold(1.0f32, |a, b| a.max(b.abs())));
            prop_assert!((found - expected).abs() < 2e-4 * f64::from(scale), "{what} {place}: {found}, {expected}");
        }
    }

    #[test]
    fn normalizations_and_gradients_equal_burns(
        shape in (1..=4usize, 1..=9usize, 1..=12usize, 2..=30usize), rectified: bool, with_added: bool,
    ) {
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let [ours, burns] = [(); 2].map(|()| BatchNormConfig::new(shape[1]).init(&device()));
        let input = random(shape).require_grad();
        let added = with_added.then(|| random(shape).require_grad());
        let our_output = normalize(&ours, input.clone(), After { added: added.clone(), rectified });
        let mut burns_output = burns.forward(input.clone());
        if let Some(added) = added.clone() {
            burns_output = burns_output + added;
        }
        if rectified {
            burns_output = relu(burns_output);
        }
        let factor = random(shape);
        let our_gradients = (our_output.clone() * factor.clone()).sum().backward();
        let burns_gradients = (burns_output.clone() * factor).sum().backward();
        assert_close("output", our_output.inner(), burns_output.inner());
        assert_close("input", input.grad(&our_gradients).unwrap(), input.grad(&burns_gradients).unwrap());
        if let Some(added) = added {
            assert_close("added", added.grad(&our_gradients).unwrap(), added.grad(&burns_gradients).unwrap());
        }
        for (name, our, burn) in [("gamma", &ours.gamma, &burns.gamma), ("beta", &ours.beta, &burns.beta)] {
            let (our, burn) = (our.val().grad(&our_gradients), burn.val().grad(&burns_gradients));
            assert_close(name, our.unwrap(), burn.unwrap());
        }
        assert_close("mean", ours.running_mean.value_sync().inner(), burns.running_mean.value_sync().inner());
        assert_close("variance", ours.running_var.value_sync().inner(), burns.running_var.value_sync().inner());
    }
}

fn read(tensor: Tensor<4>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// The threads of a test are those of rayon's pool; a pool of its own gives another number.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = |size, channels, kernel: usize, stride, groups| Case {
        batch: 6,
        channels,
        size,
        kernel: [kernel; 2],
        stride,
        padding: [kernel / 2; 2],
        groups,
    };
    for case in [
        case([6, 10], [40, 52], 3, 1, 1),
        case([48, 80], [16, 24], 3, 2, 1),
        case([24, 40], [40, 32], 1, 1, 1),
        case([24, 40], [24, 24], 3, 1, 24),
    ] {
        let layer = convolution(&case, random(case.weight()));
        let input = random(case.input()).require_grad();
        let results = [1, 3, 16].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| differentiate(convolve, &layer, &input, None).map(read))
        });
        assert!(results[0] == results[1] && results[0] == results[2], "{case:?}");
    }
}

#[test]
fn convolutions_without_gradients_are_the_same() {
    let case =
        Case { batch: 2, channels: [4, 6], size: [9, 16], kernel: [3, 3], stride: 2, padding: [1, 1], groups: 2 };
    let layer = convolution(&case, random(case.weight()));
    let input = random(case.input());
    let tracked = read(convolve(&layer, input.clone()).inner());
    let plain = convolution(&case, layer.weight.val().inner());
    assert_eq!(read(convolve(&plain, input.inner())), tracked);
}

/// What is not computed here is left to burn.
#[test]
fn uneven_padding_and_dilation_are_burns() {
    let case = Case { batch: 1, channels: [2, 3], size: [7, 8], kernel: [3, 3], stride: 1, padding: [1, 1], groups: 1 };
    let mut layer = convolution(&case, random(case.weight()));
    let input = random(case.input()).require_grad();
    layer.padding = PaddingConfig2d::Explicit(0, 1, 1, 0);
    assert!(geometry(&layer, input.dims(), case.weight()).is_none());
    assert_close("output", convolve(&layer, input.clone()).inner(), layer.forward(input.clone()).inner());
    layer.padding = PaddingConfig2d::Valid;
    layer.dilation = [2, 2];
    assert!(geometry(&layer, input.dims(), case.weight()).is_none());
    assert_eq!(convolve(&layer, input).dims(), [1, 3, 3, 4]);
}

/// Written by scripts/reference/operators.py.
const PYTORCH: &str = include_str!("../../../../tests/fixtures/operators.json");

#[derive(Deserialize)]
struct Reference {
    convolutions: Vec<ReferenceConvolution>,
    normalizations: Vec<ReferenceNormalization>,
}

#[derive(Deserialize)]
struct ReferenceConvolution {
    case: Case,
    input: Vec<f32>,
    weight: Vec<f32>,
    factor: Vec<f32>,
    output: Vec<f32>,
    of_input: Vec<f32>,
    of_weight: Vec<f32>,
}

#[derive(Deserialize)]
struct ReferenceNormalization {
    shape: [usize; 4],
    rectified: bool,
    input: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    added: Vec<f32>,
    factor: Vec<f32>,
    output: Vec<f32>,
    of_input: Vec<f32>,
    of_gamma: Vec<f32>,
    of_beta: Vec<f32>,
    of_added: Vec<f32>,
}

fn of_values<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = 1e-4 * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{what} {place}: {found}, PyTorch {expected}");
    }
}

#[test]
fn convolutions_and_gradients_equal_pytorchs() {
    let reference: Reference = serde_json::from_str(PYTORCH).unwrap();
    for ReferenceConvolution { case, input, weight, factor, output, of_input, of_weight } in reference.convolutions {
        let layer = convolution(&case, of_values(&weight, case.weight()));
        let input = of_values(&input, case.input()).require_grad();
        let shape = layer.forward(input.clone()).dims();
        let factor = of_values(&factor, shape);
        let found = differentiate(convolve, &layer, &input, Some(&factor)).map(read);
        for ((what, found), expected) in
            ["output", "input gradient", "weight gradient"].iter().zip(&found).zip([&output, &of_input, &of_weight])
        {
            assert_near(&format!("{what} of {case:?}"), found, expected);
        }
    }
}

#[test]
fn normalizations_and_gradients_equal_pytorchs() {
    let reference: Reference = serde_json::from_str(PYTORCH).unwrap();
    for case in reference.normalizations {
        let mut layer = BatchNormConfig::new(case.shape[1]).init(&device());
        layer.gamma = Param::from_tensor(of_values(&case.gamma, [case.shape[1]]));
        layer.beta = Param::from_tensor(of_values(&case.beta, [case.shape[1]]));
        let input = of_values(&case.input, case.shape).require_grad();
        let added = (!case.added.is_empty()).then(|| of_values(&case.added, case.shape).require_grad());
        let output = normalize(&layer, input.clone(), After { added: added.clone(), rectified: case.rectified });
        let gradients = (output.clone() * of_values(&case.factor, case.shape)).sum().backward();
        assert_near("output", &read(output.inner()), &case.output);
        assert_near("input gradient", &read(input.grad(&gradients).unwrap()), &case.of_input);
        let parameter =
            |parameter: &Param<Tensor<1>>| parameter.val().grad(&gradients).unwrap().try_into_vec_as::<f32>().unwrap();
        assert_near("gamma", &parameter(&layer.gamma), &case.of_gamma);
        assert_near("beta", &parameter(&layer.beta), &case.of_beta);
        if let Some(added) = added {
            assert_near("added", &read(added.grad(&gradients).unwrap()), &case.of_added);
        }
    }
}
