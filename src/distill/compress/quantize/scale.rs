//! Numbers to eight bits: scales, zero points and rounding.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::range::Range;

/// Steps that eight bits tell apart.
pub(super) const STEPS: usize = 256;
/// The least scale: a tensor that is always 0 has to have one.
const LEAST_SCALE: f32 = 1e-12;
/// The greatest magnitude of an int8 weight; -128 is left out, so that the scale is the same for both signs.
const MOST_WEIGHT: f32 = 127.0;
/// Two uint8 activations times int8 weights whose sum is at most this stay within 16 bits: 255 x 128 = 32640.
const MOST_PAIR: f32 = 127.0;

/// How a tensor's floats become `uint8`: `q = round(x / scale) + zero_point`. Zero is met exactly, so that padding and ReLU are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::distill) struct Affine {
    /// What one step stands for.
    pub scale: f32,
    /// The step that stands for 0.
    pub zero_point: u8,
}

impl Affine {
    /// The steps that cover a range and 0.
    pub fn of(range: Range) -> Self {
        let (min, max) = (range.min.min(0.0), range.max.max(0.0));
        let scale = (max - min) / (STEPS - 1) as f32;
        if !(scale.is_finite() && scale > LEAST_SCALE) {
            return Self { scale: LEAST_SCALE, zero_point: 0 };
        }
        // A cast takes what is too great for 255.
        Self { scale, zero_point: (-min / scale).round() as u8 }
    }

    /// The least and the greatest value that is told apart; what lies outside is taken for these.
    pub fn ends(&self) -> [f32; 2] {
        let zero = f32::from(self.zero_point);
        [-zero * self.scale, ((STEPS - 1) as f32 - zero) * self.scale]
    }

    /// What is left of a value.
    pub fn round_trip(&self, value: f32) -> f32 {
        let zero = f32::from(self.zero_point);
        let step = ((value / self.scale).round_ties_even() + zero).clamp(0.0, 255.0);
        (step - zero) * self.scale
    }
}

/// How far weights of eight bits may reach, and how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRange {
    /// int8, and so far that no CPU cuts sums off. x86 without VNNI instructions adds two products of uint8 and int8 in 16 bits and cuts
    /// off what does not fit (ONNX Runtime, "Quantize ONNX models", on U8S8 and AVX2), which ruins a student whose weights use all of
    /// eight bits. Here the two greatest weights of one sign of an output channel are together at most 128, whichever of them meet. Most
    /// channels thus have a little more than seven bits, those with a lone great weight all eight.
    #[default]
    #[serde(alias = "saturation_free")]
    Clear,
    /// int8, all eight bits for every channel: for CPUs with VNNI or Arm's dot products, and for GPUs.
    Full,
    /// uint8, all eight bits for every channel, 128 standing for 0. The values are those of [`WeightRange::Full`]; ONNX Runtime computes uint8
    /// weights by other kernels, which cut nothing off on any CPU, and are slower on x86.
    Unsigned,
}

impl WeightRange {
    /// Its name in YAML and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Full => "full",
            Self::Unsigned => "unsigned",
        }
    }
}

impl fmt::Display for WeightRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an element of a tensor lies along an axis.
pub(in crate::distill) fn channel_of(shape: &[usize], axis: usize) -> impl Fn(usize) -> usize + use<> {
    let inner: usize = shape[axis + 1..].iter().product();
    let (inner, count) = (inner.max(1), shape[axis].max(1));
    move |element| element / inner % count
}

/// A scale for each output channel of some weights, symmetric about 0.
pub(in crate::distill) fn weight_scales(values: &[f32], shape: &[usize], axis: usize, range: WeightRange) -> Vec<f32> {
    let channel = channel_of(shape, axis);
    // The two greatest of either sign, greatest first.
    let mut greatest = vec![[[0.0_f32; 2]; 2]; shape[axis]];
    for (element, &value) in values.iter().enumerate() {
        let pair = &mut greatest[channel(element)][usize::from(value < 0.0)];
        let magnitude = value.abs();
        if magnitude > pair[0] {
            *pair = [magnitude, pair[0]];
        } else if magnitude > pair[1] {
            pair[1] = magnitude;
        }
    }
    let scale = |[above, below]: &[[f32; 2]; 2]| {
        let full = above[0].max(below[0]) / MOST_WEIGHT;
        let scale = match range {
            WeightRange::Full | WeightRange::Unsigned => full,
            WeightRange::Clear => full.max((above[0] + above[1]).max(below[0] + below[1]) / MOST_PAIR),
        };
        scale.max(LEAST_SCALE)
    };
    greatest.iter().map(scale).collect()
}

/// Weights rounded to int8, each by the scale of its output channel.
pub(in crate::distill) fn quantize_weights(values: &[f32], shape: &[usize], axis: usize, scales: &[f32]) -> Vec<i8> {
    let channel = channel_of(shape, axis);
    let round = |(element, value): (usize, &f32)| {
        (value / scales[channel(element)]).round_ties_even().clamp(-MOST_WEIGHT, MOST_WEIGHT) as i8
    };
    values.iter().enumerate().map(round).collect()
}

/// int8 weights as uint8: 128 stands for 0. The scales stay the same.
pub(super) fn unsigned_weights(weights: &[i8]) -> Vec<u8> {
    weights.iter().map(|weight| weight.abs_diff(i8::MIN)).collect()
}

/// Makes scales of weights so large that biases fit into int32 with `input_scale` times them.
pub(super) fn fit_bias(scales: &mut [f32], bias: &[f32], input_scale: f32) {
    // Half of what int32 holds, so that the sum of the products has room beside the bias.
    let most = i32::MAX as f32 / 2.0;
    for (scale, value) in scales.iter_mut().zip(bias) {
        *scale = scale.max(value.abs() / (input_scale * most));
    }
}

/// Biases rounded to int32 in steps of `input_scale` times the weights' scales, and these steps.
pub(super) fn quantize_bias(bias: &[f32], scales: &[f32], input_scale: f32) -> (Vec<i32>, Vec<f32>) {
    let steps: Vec<f32> = scales.iter().map(|scale| scale * input_scale).collect();
    let round = |(value, step): (&f32, &f32)| (f64::from(*value) / f64::from(*step)).round_ties_even() as i32;
    (bias.iter().zip(&steps).map(round).collect(), steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::compress::quantize::graph::tests::noise;

    #[test]
    fn zero_is_met_exactly_and_other_values_to_half_a_step() {
        for (min, max) in [(0.0, 6.0), (-1.0, 3.0), (-5.0, -1.0), (2.0, 3.0), (-0.3, 0.1)] {
            let affine = Affine::of(Range { min, max });
            assert_eq!(affine.round_trip(0.0), 0.0);
            for step in 0..=20 {
                let value = min + (max - min) * step as f32 / 20.0;
                let gap = (affine.round_trip(value) - value).abs();
                // At the ends the rounding of the zero point adds up to half a step more.
                assert!(gap <= 1.01 * affine.scale, "{min}..{max}: {value} is off by {gap}");
            }
        }
        assert_eq!(Affine::of(Range { min: 0.0, max: 6.0 }).zero_point, 0);
        assert_eq!(Affine { scale: 0.5, zero_point: 4 }.ends(), [-2.0, 125.5]);
        assert_eq!(Affine::of(Range { min: 0.0, max: 0.0 }).round_trip(0.0), 0.0);
        assert_eq!(Affine::of(Range::NONE).zero_point, 0);
    }

    #[test]
    fn each_channel_has_its_own_scale_along_its_axis() {
        let values = [1.5, -2.0, 0.5, 100.0, 40.0, -25.0];
        let scales = weight_scales(&values, &[2, 3], 0, WeightRange::Full);
        assert_eq!(scales, [2.0 / 127.0, 100.0 / 127.0]);
        assert_eq!(quantize_weights(&values, &[2, 3], 0, &scales), [95, -127, 32, 127, 51, -32]);
        let scales = weight_scales(&values, &[2, 3], 1, WeightRange::Full);
        assert_eq!(scales, [100.0 / 127.0, 40.0 / 127.0, 25.0 / 127.0]);
        assert_eq!(weight_scales(&[0.0; 4], &[2, 2], 0, WeightRange::Clear), [LEAST_SCALE; 2]);
    }

    #[test]
    fn no_two_weights_of_a_channel_overflow_sixteen_bits() {
        let mut values = noise(8 * 90, 11);
        values[3] = 9.0;
        let shape = [8, 10, 3, 3];
        let scales = weight_scales(&values, &shape, 0, WeightRange::Clear);
        let rounded = quantize_weights(&values, &shape, 0, &scales);
        for channel in rounded.chunks(90) {
            let mut sorted: Vec<i32> = channel.iter().map(|&weight| i32::from(weight)).collect();
            sorted.sort_unstable();
            let (least, greatest) = (sorted[0] + sorted[1], sorted[88] + sorted[89]);
            assert!(255 * greatest <= 32_767 && 255 * least >= -32_768, "{least} {greatest}");
            assert!(greatest > 100 || least < -100, "eight bits are not left idle: {least} {greatest}");
        }
        assert_eq!(rounded[..90].iter().max(), Some(&115), "a lone great weight has nearly all of them");
    }

    #[test]
    fn unsigned_weights_stand_for_the_numbers_of_full_ones() {
        assert_eq!(unsigned_weights(&[0, -127, 127, -1, -128]), [128, 1, 255, 127, 0]);
        let (values, shape) = (noise(4 * 18, 5), [4, 2, 3, 3]);
        let scales = weight_scales(&values, &shape, 0, WeightRange::Unsigned);
        assert_eq!(scales, weight_scales(&values, &shape, 0, WeightRange::Full));
        let signed = quantize_weights(&values, &shape, 0, &scales);
        for (place, (signed, unsigned)) in signed.iter().zip(unsigned_weights(&signed)).enumerate() {
            let back = (f32::from(unsigned) - 128.0) * scales[place / 18];
            assert_eq!(back, f32::from(*signed) * scales[place / 18]);
            assert!((back - values[place]).abs() <= 0.501 * scales[place / 18], "{back} for {}", values[place]);
        }
    }

    #[test]
    fn the_names_are_those_of_the_yaml() {
        for range in [WeightRange::Clear, WeightRange::Full, WeightRange::Unsigned] {
            assert_eq!(serde_yaml::from_str::<WeightRange>(range.name()).unwrap(), range);
        }
    }

    #[test]
    fn biases_are_rounded_in_steps_of_both_scales_and_fit() {
        let mut scales = vec![0.5, 1e-12];
        let bias = [3.1, 1000.0];
        fit_bias(&mut scales, &bias, 0.1);
        let (rounded, steps) = quantize_bias(&bias, &scales, 0.1);
        assert_eq!(rounded[0], 62);
        for ((rounded, step), bias) in rounded.iter().zip(&steps).zip(bias) {
            assert!((*rounded as f32 * step - bias).abs() <= step.max(1e-4 * bias), "{rounded} x {step} for {bias}");
        }
    }
}
