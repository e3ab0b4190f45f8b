//! BatchNorm ("Batch Normalization", Ioffe and Szegedy 2015) with the statistics of the batch, then an addition and ReLU where
//! wanted, in one pass over memory forward and two backward.

use pulp::Arch;
use rayon::prelude::*;

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
        let of_plane = |plane: &[f32]| {
            let mean = sum(plane, |value| value) / plane.len() as f64;
            let center = mean as f32;
            let squares = sum(plane, |value| (value - center) * (value - center));
            (mean, squares - plane.len() as f64 * (mean - f64::from(center)).powi(2))
        };
        let arch = Arch::new();
        let found: Vec<(f64, f64)> =
            values.par_chunks(planes.size).map(|plane| arch.dispatch(|| of_plane(plane))).collect();
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

/// A channel's normalisation as `value * scale + shift`.
#[derive(Debug, Clone, Copy)]
struct Line {
    scale: f32,
    shift: f32,
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
        Line { scale, shift: self.beta[channel] - self.statistics.mean[channel] * scale }
    }

    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, plus `added` where given, and of that the positive part where
    /// rectified.
    pub(super) fn forward(&self, values: &[f32], added: Option<&[f32]>) -> Vec<f32> {
        let mut output = vec![0.0; values.len()];
        let size = self.planes.size;
        let floor = if self.rectified { 0.0 } else { f32::NEG_INFINITY };
        // Not f32::max: a value that is not a number must be seen by the guard at the end.
        let bounded = |value: f32| if value < floor { floor } else { value };
        let arch = Arch::new();
        output.par_chunks_mut(size).zip(values.par_chunks(size)).enumerate().for_each(|(plane, (output, values))| {
            let Line { scale, shift } = self.line(plane % self.planes.channels);
            arch.dispatch(
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
        let arch = Arch::new();
        // What passed the ReLU; after an addition that is the gradient of what was added, too.
        let masked: Option<Vec<f32>> = output.filter(|_| self.rectified).map(|output| {
            let mut masked = vec![0.0; gradient.len()];
            let chunks = masked.par_chunks_mut(size).zip(output.par_chunks(size)).zip(gradient.par_chunks(size));
            chunks.for_each(|((masked, output), gradient)| {
                arch.dispatch(
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
        let passed = |line: Line| {
            let floor = if mask_left { 0.0 } else { f32::NEG_INFINITY };
            move |value: f32, gradient: f32| if value * line.scale + line.shift > floor { gradient } else { 0.0 }
        };

        let sums: Vec<(f64, f64)> = values
            .par_chunks(size)
            .zip(gradient.par_chunks(size))
            .enumerate()
            .map(|(plane, (values, gradient))| {
                let channel = plane % planes.channels;
                let (mean, passed) = (self.statistics.mean[channel], passed(self.line(channel)));
                arch.dispatch(
                    #[inline(always)]
                    || plain_and_centered(values, gradient, mean, passed),
                )
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
        let mut x = vec![0.0; values.len()];
        let chunks = x.par_chunks_mut(size).zip(values.par_chunks(size)).zip(gradient.par_chunks(size));
        chunks.enumerate().for_each(|(plane, ((x, values), gradient))| {
            let channel = plane % planes.channels;
            let line = self.line(channel);
            let passed = passed(line);
            // x's gradient = scale * (g - mean(g) - xhat * mean(g * xhat)), with xhat = (x - mean) * inverse.
            let slope = -line.scale * self.inverse(channel) * gamma[channel] / count;
            let shift = -line.scale * beta[channel] / count - slope * self.statistics.mean[channel];
            arch.dispatch(
                #[inline(always)]
                || {
                    for ((to, &value), &gradient) in x.iter_mut().zip(values).zip(gradient) {
                        *to = line.scale * passed(value, gradient) + slope * value + shift;
                    }
                },
            );
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
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&value| of(value)).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += of(value);
        }
    }
    f64::from(rest) + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
}

/// The sums of the gradients that passed, and of their products with the values' distances from the mean.
#[inline(always)]
fn plain_and_centered(
    values: &[f32],
    gradient: &[f32],
    mean: f32,
    passed: impl Fn(f32, f32) -> f32 + Copy,
) -> (f64, f64) {
    const LANES: usize = super::normalization::LANES / 2;
    let (mut plain, mut centered) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (values, gradients) = (values.chunks_exact(LANES), gradient.chunks_exact(LANES));
    let mut rest = (0.0, 0.0);
    for (value, gradient) in values.remainder().iter().zip(gradients.remainder()) {
        let gradient = f64::from(passed(*value, *gradient));
        rest = (rest.0 + gradient, rest.1 + gradient * f64::from(value - mean));
    }
    for (values, gradients) in values.zip(gradients) {
        for lane in 0..LANES {
            let gradient = passed(values[lane], gradients[lane]);
            plain[lane] += gradient;
            centered[lane] += gradient * (values[lane] - mean);
        }
    }
    let total = |lanes: [f32; LANES]| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    (rest.0 + total(plain), rest.1 + total(centered))
}
