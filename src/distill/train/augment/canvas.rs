//! Pixels of augmentation: painting images onto the canvas, motion blur, normalisation.

use super::{
    bilinear::{Columns, Rows, taps},
    color::ColorMap,
    placement::Placement,
};
use crate::model::{ColorOrder, InputSpec};

/// An RGB image to paint from, perhaps kept smaller than the recording's image that placements and boxes speak of.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// RGB, `[height, width, 3]`.
    pub pixels: &'a [u8],
    /// Width of `pixels`.
    pub width: usize,
    /// Height of `pixels`.
    pub height: usize,
    /// Size of the recording's image, in its own pixels.
    pub original: (f32, f32),
}

/// The image that a training sample is painted on.
#[derive(Debug, Clone)]
pub struct Canvas {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// RGB, `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

impl Canvas {
    /// A canvas of one grey.
    pub fn new(width: usize, height: usize, grey: u8) -> Self {
        Self { width, height, pixels: vec![grey; width * height * 3] }
    }

    /// Paints the picture by bilinear sampling, averaged over several samples a pixel where it is shrunk a lot. What the picture
    /// does not cover stays as it is.
    pub fn paint(&mut self, picture: &Picture<'_>, placement: &Placement, color: &ColorMap) {
        let view = placement.viewport;
        let ratio_x = picture.width as f32 / picture.original.0;
        let ratio_y = picture.height as f32 / picture.original.1;
        let (columns, samples) = taps(view.x, view.width, placement.scale_x, placement.shift_x, ratio_x, picture.width);
        let Some(columns) = Columns::new(&columns, samples) else { return };
        let (taps, samples) = taps(view.y, view.height, placement.scale_y, placement.shift_y, ratio_y, picture.height);
        let width = columns.counts.len();
        let mut rows = Rows::new(picture, &columns);
        let mut sums = vec![0.0; 3 * width];
        for (row, taps) in taps.chunks_exact(samples).enumerate() {
            sums.fill(0.0);
            let mut count = 0.0f32;
            for &(top, bottom, down) in taps.iter().flatten() {
                rows.add_between(top, bottom, down, &mut sums);
                count += 1.0;
            }
            if count > 0.0 {
                for plane in sums.chunks_exact_mut(width) {
                    for (value, columns) in plane.iter_mut().zip(&columns.counts) {
                        *value /= count * columns;
                    }
                }
                let start = ((view.y + row) * self.width + view.x + columns.first) * 3;
                let (red, others) = sums.split_at_mut(width);
                let (green, blue) = others.split_at_mut(width);
                color.apply([red, green, blue], &mut self.pixels[start..start + 3 * width]);
            }
        }
    }

    /// Mixes with another canvas of the same size; `share` in `[0, 1]` is this one's.
    pub fn blend(&mut self, other: &Self, share: f32) {
        for (own, other) in self.pixels.iter_mut().zip(&other.pixels) {
            *own = (f32::from(*own) * share + f32::from(*other) * (1.0 - share)).round() as u8;
        }
    }

    /// Averages along a line of `length` pixels through each pixel, `angle` radians from the x axis: a moving camera's blur.
    pub fn motion_blur(&mut self, length: usize, angle: f32) {
        if length < 2 {
            return;
        }
        let middle = (length - 1) as f32 / 2.0;
        let steps: Vec<(isize, isize)> = (0..length)
            .map(|k| {
                let distance = k as f32 - middle;
                ((distance * angle.cos()).round() as isize, (distance * angle.sin()).round() as isize)
            })
            .collect();
        let source = self.pixels.clone();
        for y in 0..self.height {
            for x in 0..self.width {
                let mut sum = [0u32; 3];
                for (dx, dy) in &steps {
                    let column = x.saturating_add_signed(*dx).min(self.width - 1);
                    let row = y.saturating_add_signed(*dy).min(self.height - 1);
                    let at = (row * self.width + column) * 3;
                    for (channel, total) in sum.iter_mut().enumerate() {
                        *total += u32::from(source[at + channel]);
                    }
                }
                let at = (y * self.width + x) * 3;
                for (pixel, total) in self.pixels[at..at + 3].iter_mut().zip(sum) {
                    *pixel = (total / length as u32) as u8;
                }
            }
        }
    }

    /// Writes the network's input `[3, height, width]`: channel order, mean and deviation as the specification says.
    pub fn normalize(&self, spec: &InputSpec, output: &mut [f32]) {
        let area = self.width * self.height;
        for (index, plane) in output.chunks_exact_mut(area).take(3).enumerate() {
            let channel = match spec.color {
                ColorOrder::Rgb => index,
                ColorOrder::Bgr => 2 - index,
            };
            let (mean, factor) = (spec.mean[index], 1.0 / spec.std[index]);
            for (value, pixel) in plane.iter_mut().zip(self.pixels.chunks_exact(3)) {
                *value = (f32::from(pixel[channel]) - mean) * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::distill::train::augment::placement::Viewport;
    use crate::model::Fit;

    fn whole(width: usize, height: usize) -> Viewport {
        Viewport { x: 0, y: 0, width, height }
    }

    #[test]
    fn same_size_is_copied_and_mirroring_mirrors() {
        let pixels: Vec<u8> = (0..4 * 2 * 3).map(|v| v as u8 * 10).collect();
        let picture = Picture { pixels: &pixels, width: 4, height: 2, original: (4.0, 2.0) };
        let placement = Placement { scale_x: 1.0, scale_y: 1.0, shift_x: 0.0, shift_y: 0.0, viewport: whole(4, 2) };
        let mut canvas = Canvas::new(4, 2, 0);
        canvas.paint(&picture, &placement, &ColorMap::IDENTITY);
        assert_eq!(canvas.pixels, pixels);
        canvas.paint(&picture, &placement.mirrored(4.0), &ColorMap::IDENTITY);
        for x in 0..4 {
            assert_eq!(canvas.pixels[x * 3..x * 3 + 3], pixels[(3 - x) * 3..(3 - x) * 3 + 3]);
        }
    }

    #[test]
    fn outside_stays_grey_and_shrinking_averages() {
        let pixels: Vec<u8> = (0..8 * 8).flat_map(|i| [if (i % 8) % 2 == 0 { 0 } else { 200 }; 3]).collect();
        let picture = Picture { pixels: &pixels, width: 8, height: 8, original: (16.0, 16.0) };
        let placement = Placement { scale_x: 0.125, scale_y: 0.125, shift_x: 1.0, shift_y: 1.0, viewport: whole(4, 4) };
        let mut canvas = Canvas::new(4, 4, 114);
        canvas.paint(&picture, &placement, &ColorMap::IDENTITY);
        assert_eq!(canvas.pixels[0], 114);
        let inside = canvas.pixels[(4 + 1) * 3];
        assert!((70..=130).contains(&inside), "{inside}");
    }

    /// [`Canvas::paint`] pixel by pixel.
    fn paint_pixels(canvas: &mut Canvas, picture: &Picture<'_>, placement: &Placement, color: &ColorMap) {
        let view = placement.viewport;
        let ratio_x = picture.width as f32 / picture.original.0;
        let ratio_y = picture.height as f32 / picture.original.1;
        let (columns, samples_x) =
            taps(view.x, view.width, placement.scale_x, placement.shift_x, ratio_x, picture.width);
        let (rows, samples_y) =
            taps(view.y, view.height, placement.scale_y, placement.shift_y, ratio_y, picture.height);
        let stride = picture.width * 3;
        for row in 0..view.height {
            for column in 0..view.width {
                let mut sum = [0.0f32; 3];
                let mut count = 0.0f32;
                for (top, bottom, down) in rows[row * samples_y..(row + 1) * samples_y].iter().flatten() {
                    let (top, bottom) = (&picture.pixels[top * stride..], &picture.pixels[bottom * stride..]);
                    for (left, right, over) in columns[column * samples_x..(column + 1) * samples_x].iter().flatten() {
                        for (channel, total) in sum.iter_mut().enumerate() {
                            let value = |line: &[u8], x: usize| f32::from(line[x * 3 + channel]);
                            let upper = value(top, *left) + (value(top, *right) - value(top, *left)) * over;
                            let lower = value(bottom, *left) + (value(bottom, *right) - value(bottom, *left)) * over;
                            *total += upper + (lower - upper) * down;
                        }
                        count += 1.0;
                    }
                }
                if count > 0.0 {
                    let [mut red, mut green, mut blue] = sum.map(|total| [total / count]);
                    let start = ((view.y + row) * canvas.width + view.x + column) * 3;
                    color.apply([&mut red, &mut green, &mut blue], &mut canvas.pixels[start..start + 3]);
                }
            }
        }
    }

    #[test]
    fn rows_are_painted_as_pixel_by_pixel() {
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut covered = 0;
        for case in 0..500 {
            let (width, height) = (rng.random_range(1..=40usize), rng.random_range(1..=40usize));
            let reserve = rng.random_range(1.0..3.0f32);
            let original = ((width as f32 * reserve).round(), (height as f32 * reserve).round());
            let pixels: Vec<u8> = (0..width * height * 3).map(|_| rng.random()).collect();
            let picture = Picture { pixels: &pixels, width, height, original };
            let mut canvas = Canvas::new(rng.random_range(1..=50), rng.random_range(1..=50), 114);
            let (x, y) = (rng.random_range(0..canvas.width), rng.random_range(0..canvas.height));
            let viewport = Viewport {
                x,
                y,
                width: rng.random_range(0..=canvas.width - x),
                height: rng.random_range(0..=canvas.height - y),
            };
            // From much smaller, with up to eight samples a pixel, to much larger, and partly or wholly beside the viewport.
            let mut scale = || rng.random_range(0.05f32.ln()..4.0f32.ln()).exp();
            let (scale_x, scale_y) = (scale(), scale());
            let mut shift = |start: usize, length: usize, size: f32| {
                start as f32 + length as f32 * rng.random_range(-0.3..1.3f32) - size * rng.random::<f32>()
            };
            let (shift_x, shift_y) =
                (shift(x, viewport.width, scale_x * original.0), shift(y, viewport.height, scale_y * original.1));
            let mut placement = Placement { scale_x, scale_y, shift_x, shift_y, viewport };
            if case % 2 == 1 {
                placement = placement.mirrored(original.0);
            }
            let color = ColorMap::new(1.2, 0.9, 0.7, 0.3);
            let mut expected = canvas.clone();
            paint_pixels(&mut expected, &picture, &placement, &color);
            canvas.paint(&picture, &placement, &color);
            assert!(canvas.pixels == expected.pixels, "case {case}: {width}x{height}, {placement:?}");
            covered += usize::from(canvas.pixels.iter().any(|value| *value != 114));
        }
        assert!(covered > 250, "{covered}");
    }

    #[test]
    fn motion_blur_smears_along_its_angle_only() {
        let mut canvas = Canvas::new(9, 9, 0);
        canvas.pixels[(4 * 9 + 4) * 3..(4 * 9 + 5) * 3].fill(250);
        canvas.motion_blur(5, 0.0);
        let red = |x: usize, y: usize| canvas.pixels[(y * 9 + x) * 3];
        assert_eq!((2..7).map(|x| red(x, 4)).collect::<Vec<_>>(), [50; 5]);
        assert_eq!((red(1, 4), red(7, 4), red(4, 3)), (0, 0, 0));
    }

    #[test]
    fn normalisation_follows_the_channel_order() {
        let spec = InputSpec {
            width: 1,
            height: 1,
            color: ColorOrder::Bgr,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 4.0],
            fit: Fit::Stretch,
        };
        let canvas = Canvas { width: 1, height: 1, pixels: vec![11, 22, 33] };
        let mut output = [0.0; 3];
        canvas.normalize(&spec, &mut output);
        assert_eq!(output, [32.0, 10.0, 2.0]);
    }
}
