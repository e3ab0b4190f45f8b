//! BatchNorm ("Batch Normalization", Ioffe and Szegedy 2015) with the statistics of the batch, then an addition and ReLU where
//! wanted, in one pass over memory forward and two backward.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{any_values, kernel::vectorized};

/// A batch `[B, C, H, W]` as planes of `size = H * W` values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub batch: usize,
    pub channels: usize,
    pub size: usize,
}

impl Planes {
    /// Values of one channel in the batch.
    fn count(&self) -> f64 {
        (self.batch * self.size) as f64
    }

    /// For each channel what `of` makes of what each of its planes gave.
    fn per_channel<T: Copy, R>(&self, of_planes: &[T], of: impl Fn(&mut dyn Iterator<Item = T>) -> R) -> Vec<R> {
        let planes = |channel: usize| of_planes.iter().skip(channel).step_by(self.channels).copied();
        (0..self.channels).map(|channel| of(&mut planes(channel))).collect()
    }
}

/// Mean and (biased) variance of each channel over the batch.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Statistics {
    /// Plane by plane, put together by the formula of Chan, Golub and LeVeque (1983).
    pub(super) fn of(planes: Planes, values: &[f32]) -> Self {
        let found: Vec<(f64, f64)> = values
            .par_chunks(planes.size)
            .map(|plane| {
                vectorized(
                    #[inline(always)]
                    || mean_and_squares(plane),
                )
            })
            .collect();
        let size = planes.size as f64;
        let channels = planes.per_channel(&found, |planes| {
            let planes: Vec<(f64, f64)> = planes.collect();
            let mean = planes.iter().map(|(mean, _)| mean).sum::<f64>() / planes.len() as f64;
            let between: f64 = planes.iter().map(|(of_plane, _)| (of_plane - mean).powi(2)).sum();
            let within: f64 = planes.iter().map(|(_, squares)| squares).sum();
            (mean, size * between + within)
        });
        let (mean, variance) =
            channels.into_iter().map(|(mean, squares)| (mean as f32, (squares / planes.count()) as f32)).unzip();
        Self { mean, variance }
    }
}

/// Mean of a plane, and sum of its squared distances from that.
#[inline(always)]
fn mean_and_squares(plane: &[f32]) -> (f64, f64) {
    let mean = sum(plane, |value| value) / plane.len() as f64;
    let center = mean as f32;
    let squares = sum(plane, |value| (value - center) * (value - center));
    (mean, squares - plane.len() as f64 * (mean - f64::from(center)).powi(2))
}

/// A channel's normalisation as `value * scale + shift`.
#[derive(Debug, Clone, Copy)]
struct Line {
    scale: f32,
    shift: f32,
    /// Results up to this let no gradient pass.
    floor: f32,
}

impl Line {
    /// [`Self::passed`] of vectors.
    #[inline(always)]
    fn in_vectors<S: Simd>(self, simd: S) -> impl Fn(S::f32s, S::f32s) -> S::f32s {
        let [scale, shift, floor] = [self.scale, self.shift, self.floor].map(|value| simd.splat_f32s(value));
        let zero = simd.splat_f32s(0.0);
        move |value, gradient| {
            let result = simd.add_f32s(simd.mul_f32s(value, scale), shift);
            simd.select_f32s(simd.greater_than_f32s(result, floor), gradient, zero)
        }
    }

    /// A gradient, or 0 where ReLU stopped the value.
    #[inline(always)]
    fn passed(self, value: f32, gradient: f32) -> f32 {
        if value * self.scale + self.shift > self.floor { gradient } else { 0.0 }
    }
}

/// What is done after the statistics are known.
#[derive(Debug, Clone)]
pub(super) struct Normalization {
    pub planes: Planes,
    pub statistics: Statistics,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub epsilon: f32,
    /// Whether negative results become 0.
    pub rectified: bool,
}

impl Normalization {
    fn inverse(&self, channel: usize) -> f32 {
        1.0 / (self.statistics.variance[channel] + self.epsilon).sqrt()
    }

    fn line(&self, channel: usize) -> Line {
        let scale = self.gamma[channel] * self.inverse(channel);
        let shift = self.beta[channel] - self.statistics.mean[channel] * scale;
        Line { scale, shift, floor: f32::NEG_INFINITY }
    }

    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, plus `added` where given, and of that the positive part where
    /// rectified.
    pub(super) fn forward(&self, values: &[f32], added: Option<&[f32]>) -> Vec<f32> {
        let mut output = any_values(values.len());
        let size = self.planes.size;
        let floor = if self.rectified { 0.0 } else { f32::NEG_INFINITY };
        // Not f32::max: a value that is not a number must be seen by the guard at the end.
        let bounded = |value: f32| if value < floor { floor } else { value };
        output.par_chunks_mut(size).zip(values.par_chunks(size)).enumerate().for_each(|(plane, (output, values))| {
            let Line { scale, shift, .. } = self.line(plane % self.planes.channels);
            vectorized(
                #[inline(always)]
                || match added {
                    None => output.iter_mut().zip(values).for_each(|(to, value)| *to = bounded(value * scale + shift)),
                    Some(added) => output
                        .iter_mut()
                        .zip(values)
                        .zip(&added[plane * size..])
                        .for_each(|((to, value), added)| *to = bounded(value * scale + shift + added)),
                },
            );
        });
        output
    }

    /// Differentiates [`Self::forward`]; `output` is what it gave where something was added (otherwise it is not needed).
    pub(super) fn backward(&self, values: &[f32], output: Option<&[f32]>, gradient: &[f32]) -> NormalizationGradients {
        let (planes, size) = (self.planes, self.planes.size);
        // What passed the ReLU; after an addition that is the gradient of what was added, too.
        let masked: Option<Vec<f32>> = output.filter(|_| self.rectified).map(|output| {
            let mut masked = any_values(gradient.len());
            let chunks = masked.par_chunks_mut(size).zip(output.par_chunks(size)).zip(gradient.par_chunks(size));
            chunks.for_each(|((masked, output), gradient)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for ((to, output), gradient) in masked.iter_mut().zip(output).zip(gradient) {
                            *to = if *output > 0.0 { *gradient } else { 0.0 };
                        }
                    },
                );
            });
            masked
        });
        let mask_left = self.rectified && masked.is_none();
        let gradient = masked.as_deref().unwrap_or(gradient);
        let line = |channel| Line { floor: if mask_left { 0.0 } else { f32::NEG_INFINITY }, ..self.line(channel) };

        let sums: Vec<(f64, f64)> = values
            .par_chunks(size)
            .zip(gradient.par_chunks(size))
            .enumerate()
            .map(|(plane, (values, gradient))| {
                let channel = plane % planes.channels;
                let (mean, line) = (self.statistics.mean[channel], line(channel));
                Arch::new().dispatch(PlainAndCentered { values, gradients: gradient, mean, line })
            })
            .collect();
        let sums = planes.per_channel(&sums, |planes| planes.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1)));
        let beta: Vec<f32> = sums.iter().map(|(plain, _)| *plain as f32).collect();
        let gamma: Vec<f32> = sums
            .iter()
            .enumerate()
            .map(|(channel, (_, centered))| (centered * f64::from(self.inverse(channel))) as f32)
            .collect();

        let count = planes.count() as f32;
        let mut x = any_values(values.len());
        let chunks = x.par_chunks_mut(size).zip(values.par_chunks(size)).zip(gradient.par_chunks(size));
        chunks.enumerate().for_each(|(plane, ((x, values), gradient))| {
            let channel = plane % planes.channels;
            let line = line(channel);
            // x's gradient = scale * (g - mean(g) - xhat * mean(g * xhat)), with xhat = (x - mean) * inverse.
            let slope = -line.scale * self.inverse(channel) * gamma[channel] / count;
            let shift = -line.scale * beta[channel] / count - slope * self.statistics.mean[channel];
            Arch::new().dispatch(InputGradient { values, gradients: gradient, line, slope, shift, x });
        });
        NormalizationGradients { x, gamma, beta, added: masked }
    }
}

/// Gradients of the input, the two parameters, and what was added before ReLU (without ReLU that is the output's gradient).
pub(super) struct NormalizationGradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub added: Option<Vec<f32>>,
}

/// Lanes of the sums: enough for the compiler to use vector registers, a fixed number so that results do not change.
const LANES: usize = 32;

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += of(chunk[lane]);
        }
    }
    let rest: f32 = rest.iter().map(|&value| of(value)).sum();
    f64::from(rest) + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
}

/// The sums of the gradients that passed, and of their products with the values' distances from the mean.
struct PlainAndCentered<'a> {
    values: &'a [f32],
    gradients: &'a [f32],
    mean: f32,
    line: Line,
}

impl WithSimd for PlainAndCentered<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        /// Sums under way of each kind, so that one addition need not wait for the last one.
        const WAYS: usize = 4;
        let Self { values, gradients, mean, line } = self;
        let (chunks, rest) = S::as_simd_f32s(values);
        let (gradient_chunks, gradient_rest) = S::as_simd_f32s(gradients);
        let center = simd.splat_f32s(mean);
        let passed = line.in_vectors(simd);
        let mut plain = [simd.splat_f32s(0.0); WAYS];
        let mut centered = plain;
        let (groups, chunks) = chunks.as_chunks::<WAYS>();
        let (gradient_groups, gradient_chunks) = gradient_chunks.as_chunks::<WAYS>();
        for (values, gradients) in groups.iter().zip(gradient_groups) {
            for way in 0..WAYS {
                let gradient = passed(values[way], gradients[way]);
                plain[way] = simd.add_f32s(plain[way], gradient);
                let distance = simd.sub_f32s(values[way], center);
                centered[way] = simd.mul_add_e_f32s(gradient, distance, centered[way]);
            }
        }
        for (&value, &gradient) in chunks.iter().zip(gradient_chunks) {
            let gradient = passed(value, gradient);
            plain[0] = simd.add_f32s(plain[0], gradient);
            centered[0] = simd.mul_add_e_f32s(gradient, simd.sub_f32s(value, center), centered[0]);
        }
        let total = |ways: [S::f32s; WAYS]| ways.iter().map(|&way| f64::from(simd.reduce_sum_f32s(way))).sum::<f64>();
        let mut sums = (total(plain), total(centered));
        for (value, gradient) in rest.iter().zip(gradient_rest) {
            let gradient = f64::from(line.passed(*value, *gradient));
            sums = (sums.0 + gradient, sums.1 + gradient * f64::from(value - mean));
        }
        sums
    }
}

/// `x = factor * passed gradient + slope * value + shift` for each value.
struct InputGradient<'a> {
    values: &'a [f32],
    gradients: &'a [f32],
    line: Line,
    slope: f32,
    shift: f32,
    x: &'a mut [f32],
}

impl WithSimd for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { values, gradients, line, slope, shift, x } = self;
        let (values, values_rest) = S::as_simd_f32s(values);
        let (gradients, gradients_rest) = S::as_simd_f32s(gradients);
        let (x, x_rest) = S::as_mut_simd_f32s(x);
        let passed = line.in_vectors(simd);
        let [factor, slopes, shifts] = [line.scale, slope, shift].map(|value| simd.splat_f32s(value));
        for ((to, &value), &gradient) in x.iter_mut().zip(values).zip(gradients) {
            let of_value = simd.mul_add_e_f32s(value, slopes, shifts);
            *to = simd.mul_add_e_f32s(passed(value, gradient), factor, of_value);
        }
        for ((to, &value), &gradient) in x_rest.iter_mut().zip(values_rest).zip(gradients_rest) {
            *to = line.scale * line.passed(value, gradient) + (slope * value + shift);
        }
    }
}
