//! Convolution and BatchNorm against burn's own operators, finite differences and PyTorch.

use burn::{
    module::Param,
    nn::BatchNormConfig,
    tensor::{Device, Distribution, TensorData},
};
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng};
use rand_pcg::Pcg64Mcg;
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

/// A BatchNorm, what it was given and what it gave.
struct Normalized {
    layer: BatchNorm,
    input: Tensor<4>,
    added: Option<Tensor<4>>,
    output: Tensor<4>,
}

impl Normalized {
    /// Of input, gamma, beta, and what is added; nothing is added where that is empty.
    fn of(shape: [usize; 4], [input, gamma, beta, added]: [&[f32]; 4], rectified: bool) -> Self {
        let mut layer = BatchNormConfig::new(shape[1]).init(&device());
        layer.gamma = Param::from_tensor(of_values(gamma, [shape[1]]));
        layer.beta = Param::from_tensor(of_values(beta, [shape[1]]));
        let input = of_values(input, shape).require_grad();
        let added = (!added.is_empty()).then(|| of_values(added, shape).require_grad());
        let output = normalize(&layer, input.clone(), After { added: added.clone(), rectified });
        Self { layer, input, added, output }
    }

    /// Gradients of the same four, or of three where nothing is added, for the sum of the output times a factor.
    fn gradients(&self, factor: &[f32]) -> Vec<Vec<f32>> {
        let factor = of_values(factor, self.output.dims());
        let gradients = (self.output.clone() * factor).sum().backward();
        let of_map = |map: &Tensor<4>| read(map.grad(&gradients).unwrap());
        let of_parameter = |parameter: &Param<Tensor<1>>| read(parameter.val().grad(&gradients).unwrap());
        let mut found = vec![of_map(&self.input), of_parameter(&self.layer.gamma), of_parameter(&self.layer.beta)];
        found.extend(self.added.as_ref().map(of_map));
        found
    }
}

/// What [`Normalized::gradients`] lists.
const NORMALIZED: [&str; 4] = ["input", "gamma", "beta", "added"];

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

    /// BatchNorm bends, so that steps are small; of 16 values or more it bends little. What ReLU's kink is near to weighs nothing: a
    /// step moves no output by as much as 0.05.
    #[test]
    fn gradients_of_normalizations_equal_finite_differences(
        shape in (2..=4usize, 1..=5usize, 2..=7usize, 4..=12usize), rectified: bool, with_added: bool, seed in any::<u64>(),
    ) {
        const STEP: f32 = 1e-2;
        const KINK: f32 = 0.1;
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let count = shape.iter().product::<usize>();
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut draw = |count: usize, low: f32, high: f32| -> Vec<f32> {
            (0..count).map(|_| random.random_range(low..high)).collect()
        };
        let input = draw(count, -1.0, 2.0);
        let mut gamma = draw(shape[1], 0.5, 1.5);
        gamma.iter_mut().step_by(2).for_each(|gamma| *gamma = -*gamma);
        let beta = draw(shape[1], -1.0, 1.0);
        let added = draw(if with_added { count } else { 0 }, -1.0, 1.0);
        let mut factor = draw(count, -1.0, 1.0);
        let values = [input, gamma, beta, added];
        let normalized = |values: &[Vec<f32>; 4], rectified: bool| {
            Normalized::of(shape, values.each_ref().map(Vec::as_slice), rectified)
        };
        if rectified {
            let before = read(normalized(&values, false).output.inner());
            for (factor, _) in factor.iter_mut().zip(&before).filter(|(_, before)| before.abs() < KINK) {
                *factor = 0.0;
            }
        }
        let gradients = normalized(&values, rectified).gradients(&factor);
        for (which, gradient) in gradients.iter().enumerate() {
            let place = (seed % gradient.len() as u64) as usize;
            let outputs = |step: f32| {
                let mut moved = values.clone();
                moved[which][place] += step;
                read(normalized(&moved, rectified).output.inner())
            };
            let (up, down) = (outputs(STEP), outputs(-STEP));
            let differences = up.iter().zip(&down).map(|(up, down)| f64::from(*up) - f64::from(*down));
            let rise: f64 = differences.zip(&factor).map(|(difference, factor)| difference * f64::from(*factor)).sum();
            let expected = rise / f64::from(2.0 * STEP);
            let (found, scale) = (f64::from(gradient[place]), gradient.iter().fold(1.0f32, |a, b| a.max(b.abs())));
            let what = NORMALIZED[which];
            prop_assert!((found - expected).abs() < 5e-4 * f64::from(scale), "{what} {place}: {found}, {expected}");
        }
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
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
        let values = [&case.input, &case.gamma, &case.beta, &case.added].map(Vec::as_slice);
        let found = Normalized::of(case.shape, values, case.rectified);
        let gradients = found.gradients(&case.factor);
        assert_eq!(gradients.len(), if case.added.is_empty() { 3 } else { 4 });
        assert_near("output", &read(found.output.inner()), &case.output);
        let expected = [&case.of_input, &case.of_gamma, &case.of_beta, &case.of_added];
        for ((what, found), expected) in NORMALIZED.into_iter().zip(&gradients).zip(expected) {
            assert_near(what, found, expected);
        }
    }
}
