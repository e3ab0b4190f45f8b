//! BatchNorm ("Batch Normalization", Ioffe and Szegedy 2015) with the statistics of the batch, and ReLU after it.

use rayon::prelude::*;

/// A batch `[B, C, H, W]` as planes of `size = H * W` values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub batch: usize,
    pub channels: usize,
    pub size: usize,
}

impl Planes {
    /// The plane of an image's channel.
    fn of<'a>(&self, values: &'a [f32], image: usize, channel: usize) -> &'a [f32] {
        &values[(image * self.channels + channel) * self.size..][..self.size]
    }

    /// Values of one channel in the batch.
    fn count(&self) -> f64 {
        (self.batch * self.size) as f64
    }
}

/// Mean and (biased) variance of each channel over the batch.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Statistics {
    pub(super) fn of(planes: Planes, values: &[f32]) -> Self {
        let (mean, variance) = (0..planes.channels)
            .into_par_iter()
            .map(|channel| {
                let all = || (0..planes.batch).map(|image| planes.of(values, image, channel));
                let mean = (all().map(|plane| sum(plane, |value| value)).sum::<f64>() / planes.count()) as f32;
                let squares = all().map(|plane| sum(plane, |value| (value - mean) * (value - mean))).sum::<f64>();
                (mean, (squares / planes.count()) as f32)
            })
            .unzip();
        Self { mean, variance }
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, and its positive part where `rectified`.
pub(super) fn forward(
    planes: Planes,
    values: &[f32],
    statistics: &Statistics,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    rectified: bool,
) -> Vec<f32> {
    let mut output = vec![0.0; values.len()];
    let floor = if rectified { 0.0 } else { f32::NEG_INFINITY };
    output.par_chunks_mut(planes.size).zip(values.par_chunks(planes.size)).enumerate().for_each(
        |(plane, (output, values))| {
            let channel = plane % planes.channels;
            let scale = gamma[channel] / (statistics.variance[channel] + epsilon).sqrt();
            let shift = beta[channel] - statistics.mean[channel] * scale;
            // Not f32::max: a value that is not a number must be seen by the guard at the end.
            let bounded = |value: f32| if value < floor { floor } else { value };
            output.iter_mut().zip(values).for_each(|(to, from)| *to = bounded(from * scale + shift));
        },
    );
    output
}

/// Gradients of the input and the two parameters.
pub(super) struct NormalizationGradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// Differentiates [`forward`]; `rectified` is its output where it was rectified.
pub(super) fn backward(
    planes: Planes,
    values: &[f32],
    statistics: &Statistics,
    gamma: &[f32],
    epsilon: f32,
    rectified: Option<&[f32]>,
    gradient: &[f32],
) -> NormalizationGradients {
    let masked;
    let gradient = match rectified {
        None => gradient,
        Some(output) => {
            let mut passed = vec![0.0; gradient.len()];
            passed
                .par_chunks_mut(planes.size)
                .zip(output.par_chunks(planes.size))
                .zip(gradient.par_chunks(planes.size))
                .for_each(|((passed, output), gradient)| {
                    for ((to, &output), &gradient) in passed.iter_mut().zip(output).zip(gradient) {
                        *to = if output > 0.0 { gradient } else { 0.0 };
                    }
                });
            masked = passed;
            masked.as_slice()
        }
    };
    let inverse: Vec<f32> = statistics.variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
    let (of_gamma, of_beta): (Vec<f32>, Vec<f32>) = (0..planes.channels)
        .into_par_iter()
        .map(|channel| {
            let (mut product, mut plain) = (0.0, 0.0);
            for image in 0..planes.batch {
                let gradient = planes.of(gradient, image, channel);
                plain += sum(gradient, |value| value);
                product += centered_product(gradient, planes.of(values, image, channel), statistics.mean[channel]);
            }
            ((product * f64::from(inverse[channel])) as f32, plain as f32)
        })
        .unzip();
    let count = planes.count() as f32;
    let mut x = vec![0.0; values.len()];
    x.par_chunks_mut(planes.size)
        .zip(values.par_chunks(planes.size))
        .zip(gradient.par_chunks(planes.size))
        .enumerate()
        .for_each(|(plane, ((x, values), gradient))| {
            let channel = plane % planes.channels;
            let scale = gamma[channel] * inverse[channel];
            // x's gradient = scale * (g - mean(g) - xhat * mean(g * xhat)), with xhat = (x - mean) * inverse.
            let slope = -scale * inverse[channel] * of_gamma[channel] / count;
            let shift = -scale * of_beta[channel] / count - slope * statistics.mean[channel];
            for ((to, &value), &gradient) in x.iter_mut().zip(values).zip(gradient) {
                *to = scale * gradient + slope * value + shift;
            }
        });
    NormalizationGradients { x, gamma: of_gamma, beta: of_beta }
}

/// Lanes of the sums: enough for the compiler to use vector registers, a fixed number so that results do not change.
const LANES: usize = 16;

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

fn centered_product(a: &[f32], b: &[f32], mean: f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * (b - mean)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * (b[lane] - mean);
        }
    }
    f64::from(rest) + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
}
