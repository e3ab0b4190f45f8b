//! Convolution as a matrix product over tiles of unrolled patches, with "same" padding, on row-major `[B, C, H, W]` values.

use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};
use rayon::prelude::*;

/// Columns (output pixels) of a tile: its patches should stay in the cache.
const TILE: usize = 768;

/// Sizes of a convolution whose padding is half its (odd) kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    pub channels_in: usize,
    pub height: usize,
    pub width: usize,
    pub channels_out: usize,
    pub kernel: usize,
    pub stride: usize,
}

impl Geometry {
    pub(super) fn height_out(&self) -> usize {
        (self.height - 1) / self.stride + 1
    }

    pub(super) fn width_out(&self) -> usize {
        (self.width - 1) / self.stride + 1
    }

    fn pixels_in(&self) -> usize {
        self.height * self.width
    }

    fn pixels_out(&self) -> usize {
        self.height_out() * self.width_out()
    }

    /// Values of one patch: the rows of the unrolled matrix.
    fn patch(&self) -> usize {
        self.channels_in * self.kernel * self.kernel
    }

    /// Output rows of a tile.
    fn tile_rows(&self) -> usize {
        (TILE / self.width_out()).clamp(1, self.height_out())
    }

    /// True when the unrolled matrix is the image itself.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    /// The first and one past the last output position along one side whose input position for this kernel offset exists.
    fn valid(&self, offset: usize, side_in: usize, side_out: usize) -> (usize, usize) {
        let padding = self.kernel / 2;
        let first = padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (side_in + padding).saturating_sub(offset).div_ceil(self.stride).min(side_out);
        (first.min(end), end)
    }

    /// For each row of the unrolled matrix: channel, vertical and horizontal kernel offset.
    fn taps(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (channels, kernel) = (self.channels_in, self.kernel);
        (0..channels).flat_map(move |channel| {
            (0..kernel).flat_map(move |vertical| (0..kernel).map(move |horizontal| (channel, vertical, horizontal)))
        })
    }
}

/// The convolution of a batch: `[B, out, H', W']`.
pub(super) fn forward(geometry: Geometry, input: &[f32], weight: &[f32]) -> Vec<f32> {
    let pixels = geometry.pixels_out();
    let weight = matrix(weight, geometry.channels_out, geometry.patch());
    let mut output = vec![0.0; geometry.batch * geometry.channels_out * pixels];
    output
        .par_chunks_mut(geometry.channels_out * pixels)
        .zip(input.par_chunks(geometry.channels_in * geometry.pixels_in()))
        .for_each_init(Vec::new, |patches, (output, image)| {
            for (first, rows) in tiles(geometry) {
                let columns = unroll(geometry, image, first, rows, patches);
                let start = first * geometry.width_out();
                let width = rows * geometry.width_out();
                let mut tile = strided_mut(&mut output[start..], geometry.channels_out, width, pixels);
                general_mat_mul(1.0, &weight, &columns, 0.0, &mut tile);
            }
        });
    output
}

/// Gradients of the input (empty unless asked for) and of the weights, given the output's gradient.
pub(super) fn backward(
    geometry: Geometry,
    input: &[f32],
    weight: &[f32],
    gradient: &[f32],
    of_input: bool,
) -> (Vec<f32>, Vec<f32>) {
    let (pixels, patch) = (geometry.pixels_out(), geometry.patch());
    let transposed = matrix(weight, geometry.channels_out, patch).reversed_axes();
    let image_in = geometry.channels_in * geometry.pixels_in();
    let mut input_gradient = vec![0.0; if of_input { geometry.batch * image_in } else { 0 }];
    let mut images: Vec<Option<&mut [f32]>> = input_gradient.chunks_mut(image_in).map(Some).collect();
    images.resize_with(geometry.batch, || None);
    let weight_gradients: Vec<Vec<f32>> = images
        .into_par_iter()
        .zip(input.par_chunks(image_in))
        .zip(gradient.par_chunks(geometry.channels_out * pixels))
        .map_init(
            Default::default,
            |(patches, unrolled): &mut (Vec<f32>, Vec<f32>), ((mut target, image), gradient)| {
                let mut sum = vec![0.0; weight.len()];
                for (first, rows) in tiles(geometry) {
                    let width = rows * geometry.width_out();
                    let tile = strided(&gradient[first * geometry.width_out()..], geometry.channels_out, width, pixels);
                    let columns = unroll(geometry, image, first, rows, patches);
                    let mut sum =
                        ArrayViewMut2::from_shape((geometry.channels_out, patch), &mut sum).expect("sized above");
                    general_mat_mul(1.0, &tile, &columns.t(), 1.0, &mut sum);
                    if let Some(target) = &mut target {
                        unrolled.resize(patch * width, 0.0);
                        let mut back = strided_mut(unrolled, patch, width, width);
                        general_mat_mul(1.0, &transposed, &tile, 0.0, &mut back);
                        roll_up(geometry, unrolled, first, rows, target);
                    }
                }
                sum
            },
        )
        .collect();
    // Summed image by image, so that the result is the same for every number of threads.
    let mut weight_gradient = vec![0.0; weight.len()];
    for image in &weight_gradients {
        weight_gradient.iter_mut().zip(image).for_each(|(sum, value)| *sum += value);
    }
    (input_gradient, weight_gradient)
}

/// First output row and number of rows of each tile.
fn tiles(geometry: Geometry) -> impl Iterator<Item = (usize, usize)> {
    let (rows, height) = (geometry.tile_rows(), geometry.height_out());
    (0..height).step_by(rows).map(move |first| (first, rows.min(height - first)))
}

/// The patches of some output rows as a matrix `[patch, rows * width]`, in `patches` or in the image itself.
fn unroll<'a>(
    geometry: Geometry,
    image: &'a [f32],
    first: usize,
    rows: usize,
    patches: &'a mut Vec<f32>,
) -> ArrayView2<'a, f32> {
    let (width_in, width_out) = (geometry.width, geometry.width_out());
    let width = rows * width_out;
    if geometry.is_pointwise() {
        return strided(&image[first * width_in..], geometry.channels_in, width, geometry.pixels_in());
    }
    patches.resize(geometry.patch() * width, 0.0);
    let padding = geometry.kernel / 2;
    for ((channel, vertical, horizontal), line) in geometry.taps().zip(patches.chunks_exact_mut(width)) {
        let plane = &image[channel * geometry.pixels_in()..(channel + 1) * geometry.pixels_in()];
        let (left, right) = geometry.valid(horizontal, width_in, width_out);
        let (top, bottom) = geometry.valid(vertical, geometry.height, geometry.height_out());
        for (row, line) in (first..).zip(line.chunks_exact_mut(width_out)) {
            if row < top || row >= bottom {
                line.fill(0.0);
                continue;
            }
            let source = &plane[(row * geometry.stride + vertical - padding) * width_in..][..width_in];
            line[..left].fill(0.0);
            line[right..].fill(0.0);
            let source = &source[left * geometry.stride + horizontal - padding..];
            let line = &mut line[left..right];
            if geometry.stride == 1 {
                line.copy_from_slice(&source[..line.len()]);
            } else {
                line.iter_mut().zip(source.iter().step_by(geometry.stride)).for_each(|(to, from)| *to = *from);
            }
        }
    }
    strided(patches, geometry.patch(), width, width)
}

/// Adds the gradients of some output rows' patches `[patch, rows * width]` to the image's.
fn roll_up(geometry: Geometry, patches: &[f32], first: usize, rows: usize, image: &mut [f32]) {
    let (width_in, width_out) = (geometry.width, geometry.width_out());
    let padding = geometry.kernel / 2;
    for ((channel, vertical, horizontal), line) in geometry.taps().zip(patches.chunks_exact(rows * width_out)) {
        let plane = &mut image[channel * geometry.pixels_in()..(channel + 1) * geometry.pixels_in()];
        let (left, right) = geometry.valid(horizontal, width_in, width_out);
        let (top, bottom) = geometry.valid(vertical, geometry.height, geometry.height_out());
        for (row, line) in (first..).zip(line.chunks_exact(width_out)) {
            if row < top || row >= bottom {
                continue;
            }
            let target = &mut plane[(row * geometry.stride + vertical - padding) * width_in..][..width_in];
            let target = &mut target[left * geometry.stride + horizontal - padding..];
            let line = &line[left..right];
            if geometry.stride == 1 {
                target[..line.len()].iter_mut().zip(line).for_each(|(to, from)| *to += from);
            } else {
                target.iter_mut().step_by(geometry.stride).zip(line).for_each(|(to, from)| *to += from);
            }
        }
    }
}

fn matrix(values: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    strided(values, rows, columns, columns)
}

/// A matrix whose rows lie `stride` values apart.
fn strided(values: &[f32], rows: usize, columns: usize, stride: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns).strides((stride, 1)), values).expect("the tile lies inside its image")
}

fn strided_mut(values: &mut [f32], rows: usize, columns: usize, stride: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns).strides((stride, 1)), values).expect("the tile lies inside its image")
}
