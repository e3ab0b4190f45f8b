//! What a picture is like, in two numbers.

use image::RgbImage;

/// Pictures are made at most so wide before they are measured: noise of single pixels then weighs little, and a large picture costs
/// one pass.
const WIDEST: u32 = 320;

/// Cheap figures of a picture, for asking whether teachers fail in the dark or on blurred pictures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PictureStatistics {
    /// Mean luma (BT.601), 0 to 255.
    pub brightness: f32,
    /// Variance of the Laplacian of the luma, the picture made at most 320 pixels wide: low where it is blurred or empty
    /// (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).
    pub blur: f32,
}

impl PictureStatistics {
    /// Measures a picture; zeros for one without pixels.
    pub fn of(image: &RgbImage) -> Self {
        let luma = Luma::reduced(image);
        let (brightness, _) = mean_and_variance(&luma.values);
        let (_, blur) = mean_and_variance(&luma.laplacian());
        Self { brightness: brightness as f32, blur: blur as f32 }
    }
}

/// A grey picture, row after row.
struct Luma {
    width: usize,
    values: Vec<f32>,
}

impl Luma {
    /// Square blocks of pixels, as large as the width asks for, become their means.
    fn reduced(image: &RgbImage) -> Self {
        let (full_width, block) = (image.width() as usize, image.width().div_ceil(WIDEST).max(1) as usize);
        let width = full_width.div_ceil(block);
        let mut values = Vec::new();
        if full_width == 0 {
            return Self { width, values };
        }
        let row_bytes = 3 * full_width;
        for rows in image.as_raw().chunks(row_bytes * block) {
            let mut sums = vec![0u64; width];
            for row in rows.chunks_exact(row_bytes) {
                for (sum, pixels) in sums.iter_mut().zip(row.chunks(3 * block)) {
                    *sum += pixels.as_chunks::<3>().0.iter().map(|pixel| u64::from(luma_256(*pixel))).sum::<u64>();
                }
            }
            let height = rows.len() / row_bytes;
            values.extend(sums.iter().enumerate().map(|(column, &sum)| {
                let pixels = height * block.min(full_width - column * block);
                (sum as f64 / (256 * pixels) as f64) as f32
            }));
        }
        Self { width, values }
    }

    /// Sum of the four neighbours less four times the pixel, for all pixels that have four.
    fn laplacian(&self) -> Vec<f32> {
        let rows: Vec<&[f32]> = self.values.chunks_exact(self.width.max(1)).collect();
        let mut laplacian = Vec::with_capacity(self.values.len());
        for three in rows.windows(3) {
            for x in 1..self.width.saturating_sub(1) {
                let around = three[0][x] + three[2][x] + three[1][x - 1] + three[1][x + 1];
                laplacian.push(around - 4.0 * three[1][x]);
            }
        }
        laplacian
    }
}

/// 256 times the luma: 0.299 red, 0.587 green, 0.114 blue.
fn luma_256([red, green, blue]: [u8; 3]) -> u32 {
    77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue)
}

/// Zeros for nothing.
fn mean_and_variance(values: &[f32]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn grey_is_as_bright_as_it_is_and_has_no_edges() {
        for (width, height) in [(64, 48), (1000, 7), (2, 2)] {
            let grey = PictureStatistics::of(&RgbImage::from_pixel(width, height, Rgb([90; 3])));
            assert!((grey.brightness - 90.0).abs() < 1e-3 && grey.blur < 1e-6, "{grey:?}");
        }
        assert_eq!(PictureStatistics::of(&RgbImage::new(0, 0)), PictureStatistics::default());
        let green = PictureStatistics::of(&RgbImage::from_pixel(8, 8, Rgb([0, 255, 0])));
        assert!((green.brightness - 0.587 * 255.0).abs() < 0.5, "{green:?}");
    }

    #[test]
    fn a_sharp_edge_weighs_more_than_a_soft_one() {
        // Interior pixels of 16 columns: the two beside the edge have -200 and 200, the other 12 have 0.
        let sharp = PictureStatistics::of(&RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 0 } else { 200 }; 3])));
        assert!((sharp.blur - 2.0 * 200.0 * 200.0 / 14.0).abs() < 1.0, "{sharp:?}");
        let soft = PictureStatistics::of(&RgbImage::from_fn(16, 8, |x, _| Rgb([(x * 13) as u8; 3])));
        assert!(soft.blur < 1.0, "{soft:?}");
        assert!((sharp.brightness - 100.0).abs() < 1e-3);
    }

    #[test]
    fn large_pictures_are_reduced_first() {
        // Stripes of one pixel vanish when two pixels become one.
        let stripes = RgbImage::from_fn(640, 16, |x, _| Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
        let statistics = PictureStatistics::of(&stripes);
        assert!(statistics.blur < 1e-3 && (statistics.brightness - 100.0).abs() < 1e-3, "{statistics:?}");
    }
}
