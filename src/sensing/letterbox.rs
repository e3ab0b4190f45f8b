//! RGB images of any size to a network's input tensor, and boxes back.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::{ColorOrder, Fit, InputSpec};
use crate::geometry::Box2;

/// Where an image lies in the network's input, and how boxes go there and back.
///
/// The scale of each axis is that of the resized image in whole pixels, so the corners of the image are the corners of its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    source_width: u32,
    source_height: u32,
    /// Left and top edge of the image in the input, in pixels.
    pad: (u32, u32),
    /// Size of the image in the input, in pixels.
    size: (u32, u32),
}

impl Letterbox {
    /// How an image of `source_width` x `source_height` pixels is fitted into `spec`'s input.
    pub fn new(source_width: u32, source_height: u32, spec: &InputSpec) -> Self {
        let (width, height) = (spec.width as u32, spec.height as u32);
        let size = match spec.fit {
            Fit::Stretch => (width, height),
            Fit::LetterboxCenter(_) | Fit::LetterboxTopLeft(_) => {
                let (source_width, source_height) = (f64::from(source_width.max(1)), f64::from(source_height.max(1)));
                let scale = (f64::from(width) / source_width).min(f64::from(height) / source_height);
                let fit = |source: f64, limit: u32| ((source * scale).round() as u32).max(1).min(limit);
                (fit(source_width, width), fit(source_height, height))
            }
        };
        let pad = match spec.fit {
            Fit::LetterboxCenter(_) => ((width - size.0) / 2, (height - size.1) / 2),
            Fit::LetterboxTopLeft(_) | Fit::Stretch => (0, 0),
        };
        Self { source_width, source_height, pad, size }
    }

    /// Left and top edge of the image in the input, in pixels.
    pub fn pad(&self) -> (u32, u32) {
        self.pad
    }

    /// Width and height of the image in the input, in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Input pixels per image pixel, along x and y.
    pub fn scale(&self) -> (f32, f32) {
        (
            self.size.0.max(1) as f32 / self.source_width.max(1) as f32,
            self.size.1.max(1) as f32 / self.source_height.max(1) as f32,
        )
    }

    /// A box from image pixels to input pixels.
    pub fn to_input(&self, bbox: Box2) -> Box2 {
        let (scale_x, scale_y) = self.scale();
        let (pad_x, pad_y) = (self.pad.0 as f32, self.pad.1 as f32);
        Box2::new(
            bbox.x_min * scale_x + pad_x,
            bbox.y_min * scale_y + pad_y,
            bbox.x_max * scale_x + pad_x,
            bbox.y_max * scale_y + pad_y,
        )
    }

    /// A box from input pixels to image pixels, clipped to the image.
    pub fn to_image(&self, bbox: Box2) -> Box2 {
        let (scale_x, scale_y) = self.scale();
        let (pad_x, pad_y) = (self.pad.0 as f32, self.pad.1 as f32);
        Box2::new(
            (bbox.x_min - pad_x) / scale_x,
            (bbox.y_min - pad_y) / scale_y,
            (bbox.x_max - pad_x) / scale_x,
            (bbox.y_max - pad_y) / scale_y,
        )
        .clip(self.source_width as f32, self.source_height as f32)
    }
}

/// Fills input tensors and keeps the memory that this takes from frame to frame.
#[derive(Debug, Default)]
pub struct InputFiller {
    resizer: Resizer,
    resized: Vec<u8>,
}

impl InputFiller {
    /// A filler with no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fits `image` into `spec`'s input (bilinear, over the whole area of each target pixel when it shrinks), normalises it and
    /// writes it to `input`, `[3, height, width]` in `spec`'s channel order.
    ///
    /// # Panics
    /// When `input` has not `3 * spec.height * spec.width` elements.
    pub fn fill(&mut self, image: &RgbImage, spec: &InputSpec, input: &mut [f32]) -> Letterbox {
        let (width, height) = (spec.width, spec.height);
        assert_eq!(input.len(), 3 * width * height, "the input tensor is [3, {height}, {width}]");
        let letterbox = Letterbox::new(image.width(), image.height(), spec);
        if input.is_empty() {
            return letterbox;
        }
        let tables = normalization_tables(spec);
        // Index of the RGB channel that each plane of the tensor takes.
        let sources = match spec.color {
            ColorOrder::Rgb => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };

        let (left, top) = (letterbox.pad.0 as usize, letterbox.pad.1 as usize);
        let (inner_width, inner_height) = (letterbox.size.0 as usize, letterbox.size.1 as usize);
        let rgb = self.resize(image, letterbox.size);
        // An image without pixels leaves nothing but the filling.
        let inner_height = if rgb.is_empty() { 0 } else { inner_height };
        let fill = match spec.fit {
            Fit::LetterboxCenter(fill) | Fit::LetterboxTopLeft(fill) => fill,
            Fit::Stretch => 0,
        };
        for ((plane, table), source) in input.chunks_exact_mut(width * height).zip(&tables).zip(sources) {
            let fill = table[usize::from(fill)];
            let (above, rest) = plane.split_at_mut(top * width);
            let (middle, below) = rest.split_at_mut(inner_height * width);
            above.fill(fill);
            below.fill(fill);
            for (row, rgb) in middle.chunks_exact_mut(width).zip(rgb.chunks_exact(inner_width * 3)) {
                row[..left].fill(fill);
                row[left + inner_width..].fill(fill);
                for (value, pixel) in row[left..left + inner_width].iter_mut().zip(rgb.as_chunks::<3>().0) {
                    *value = table[usize::from(pixel[source])];
                }
            }
        }
        letterbox
    }

    /// The image's pixels at another size; none for an image without pixels.
    fn resize<'a>(&'a mut self, image: &'a RgbImage, (width, height): (u32, u32)) -> &'a [u8] {
        if image.dimensions() == (width, height) {
            return image.as_raw();
        }
        self.resized.clear();
        if image.width() == 0 || image.height() == 0 {
            return &self.resized;
        }
        self.resized.resize(width as usize * height as usize * 3, 0);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        let source = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw());
        let target = TypedImage::<U8x3>::from_buffer(width, height, &mut self.resized);
        // The call that is generic over pixel formats would compile the code of all of them.
        let done = match (source, target) {
            (Ok(source), Ok(mut target)) => self.resizer.resize_typed(&source, &mut target, &options).is_ok(),
            _ => false,
        };
        debug_assert!(done, "the buffers have the sizes that are claimed and one pixel type");
        &self.resized
    }
}

/// `(value - mean) / std` of every value of a byte, per channel of the tensor.
fn normalization_tables(spec: &InputSpec) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|value| (value as f32 - spec.mean[channel]) / spec.std[channel]))
}

/// [`InputFiller::fill`] with memory of its own: for single images.
///
/// # Panics
/// When `input` has not `3 * spec.height * spec.width` elements.
pub fn fill_input(image: &RgbImage, spec: &InputSpec, input: &mut [f32]) -> Letterbox {
    InputFiller::new().fill(image, spec, input)
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn spec(width: usize, height: usize, fit: Fit) -> InputSpec {
        InputSpec { width, height, color: ColorOrder::Rgb, mean: [0.0; 3], std: [1.0; 3], fit }
    }

    fn fits() -> impl Strategy<Value = Fit> {
        prop_oneof![
            any::<u8>().prop_map(Fit::LetterboxCenter),
            any::<u8>().prop_map(Fit::LetterboxTopLeft),
            Just(Fit::Stretch)
        ]
    }

    #[test]
    fn wide_images_are_centred() {
        let letterbox = Letterbox::new(640, 360, &spec(416, 416, Fit::LetterboxCenter(114)));
        assert_eq!((letterbox.size(), letterbox.pad()), ((416, 234), (0, 91)));
        assert_eq!(letterbox.to_input(Box2::new(0.0, 0.0, 640.0, 360.0)), Box2::new(0.0, 91.0, 416.0, 325.0));
    }

    #[test]
    fn tall_images_lie_top_left() {
        let letterbox = Letterbox::new(300, 600, &spec(320, 192, Fit::LetterboxTopLeft(0)));
        assert_eq!((letterbox.size(), letterbox.pad()), ((96, 192), (0, 0)));
    }

    #[test]
    fn stretching_scales_each_axis() {
        let letterbox = Letterbox::new(100, 50, &spec(200, 200, Fit::Stretch));
        assert_eq!(letterbox.scale(), (2.0, 4.0));
        assert_eq!(letterbox.to_input(Box2::new(1.0, 1.0, 2.0, 2.0)), Box2::new(2.0, 4.0, 4.0, 8.0));
    }

    #[test]
    fn boxes_in_the_filling_are_clipped_to_the_image() {
        let letterbox = Letterbox::new(640, 360, &spec(416, 416, Fit::LetterboxCenter(114)));
        let outside = letterbox.to_image(Box2::new(10.0, 0.0, 20.0, 50.0));
        assert!(!outside.is_valid(), "{outside:?}");
        assert_eq!(letterbox.to_image(Box2::new(-9.0, 0.0, 999.0, 416.0)), Box2::new(0.0, 0.0, 640.0, 360.0));
    }

    #[test]
    fn values_are_normalised_in_the_order_of_the_tensor() {
        let image = RgbImage::from_pixel(2, 1, Rgb([10, 20, 30]));
        let mut spec = spec(2, 2, Fit::LetterboxTopLeft(50));
        spec.color = ColorOrder::Bgr;
        (spec.mean, spec.std) = ([1.0, 2.0, 3.0], [2.0, 4.0, 8.0]);
        let mut input = [f32::NAN; 12];
        fill_input(&image, &spec, &mut input);
        let plane = |value: f32, index: usize| {
            let normalise = |value: f32| (value - spec.mean[index]) / spec.std[index];
            [normalise(value), normalise(value), normalise(50.0), normalise(50.0)]
        };
        assert_eq!(input.to_vec(), [plane(30.0, 0), plane(20.0, 1), plane(10.0, 2)].concat());
    }

    #[test]
    fn shrinking_takes_the_mean_of_what_is_covered() {
        // Stripes of one pixel: sampling without regard to the covered area would give black or white.
        let image = RgbImage::from_fn(64, 64, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        let spec = spec(16, 16, Fit::Stretch);
        let mut input = vec![0.0; 3 * 16 * 16];
        fill_input(&image, &spec, &mut input);
        assert!(input.iter().all(|value| (value - 127.5).abs() < 20.0), "{:?}", &input[..16]);
    }

    #[test]
    fn a_ramp_stays_a_ramp() {
        // Bilinear interpolation is exact on a linear ramp, away from the edges, and shows any shift of the pixel grid.
        let image = RgbImage::from_fn(120, 4, |x, _| Rgb([x as u8 * 2; 3]));
        let spec = spec(40, 4, Fit::Stretch);
        let mut input = vec![0.0; 3 * 40 * 4];
        fill_input(&image, &spec, &mut input);
        for (x, &value) in input[..40].iter().enumerate().take(38).skip(2) {
            let expected = ((x as f32 + 0.5) * 3.0 - 0.5) * 2.0;
            assert!((value - expected).abs() <= 1.0, "at {x}: {value}, expected {expected}");
        }
    }

    #[test]
    fn an_image_without_pixels_leaves_filling() {
        let mut input = [f32::NAN; 12];
        fill_input(&RgbImage::new(0, 7), &spec(2, 2, Fit::LetterboxCenter(9)), &mut input);
        assert_eq!(input, [9.0; 12]);
    }

    proptest! {
        #[test]
        fn boxes_come_back(
            source in (1_u32..3000, 1_u32..3000), target in (1_usize..700, 1_usize..700), fit in fits(),
            corners in (0.0_f32..1.0, 0.0_f32..1.0, 0.0_f32..1.0, 0.0_f32..1.0),
        ) {
            let letterbox = Letterbox::new(source.0, source.1, &spec(target.0, target.1, fit));
            let (width, height) = (source.0 as f32, source.1 as f32);
            let bbox = Box2::new(
                corners.0.min(corners.2) * width, corners.1.min(corners.3) * height,
                corners.0.max(corners.2) * width, corners.1.max(corners.3) * height,
            );
            let back = letterbox.to_image(letterbox.to_input(bbox));
            // A thousandth of a pixel, or what is left of 24 bits where a large image becomes a few pixels behind a wide filling.
            let (scale_x, scale_y) = letterbox.scale();
            let rounding = f32::EPSILON * 2.0 * (target.0 as f32 / scale_x).max(target.1 as f32 / scale_y);
            let tolerance = rounding.max(1e-3);
            for (a, b) in [(bbox.x_min, back.x_min), (bbox.y_min, back.y_min), (bbox.x_max, back.x_max), (bbox.y_max, back.y_max)] {
                prop_assert!((a - b).abs() <= tolerance, "{bbox:?} came back as {back:?}");
            }
        }

        #[test]
        fn the_image_lies_inside_and_keeps_its_shape(source in (1_u32..3000, 1_u32..3000), target in (1_usize..700, 1_usize..700), fit in fits()) {
            let letterbox = Letterbox::new(source.0, source.1, &spec(target.0, target.1, fit));
            let ((left, top), (width, height)) = (letterbox.pad(), letterbox.size());
            prop_assert!(width >= 1 && height >= 1);
            prop_assert!((left + width) as usize <= target.0 && (top + height) as usize <= target.1);
            prop_assert!(width as usize == target.0 || height as usize == target.1);
            if fit != Fit::Stretch {
                // Rounded to whole pixels, and one pixel at least.
                let scale = (target.0 as f32 / source.0 as f32).min(target.1 as f32 / source.1 as f32);
                prop_assert!((width as f32 - (source.0 as f32 * scale).max(1.0)).abs() <= 0.51);
                prop_assert!((height as f32 - (source.1 as f32 * scale).max(1.0)).abs() <= 0.51);
            }
        }

        #[test]
        fn padding_is_filled_and_bgr_swaps_channels(
            source in (1_u32..40, 1_u32..40), target in (1_usize..40, 1_usize..40), fill in 200_u8..=255, center in any::<bool>(),
        ) {
            let fit = if center { Fit::LetterboxCenter(fill) } else { Fit::LetterboxTopLeft(fill) };
            let mut spec = spec(target.0, target.1, fit);
            // Values under 200, so that the filling can be told from the image.
            let image = RgbImage::from_fn(source.0, source.1, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, 199]));
            let plane = target.0 * target.1;
            let mut filler = InputFiller::new();
            let mut rgb = vec![f32::NAN; 3 * plane];
            let letterbox = filler.fill(&image, &spec, &mut rgb);
            let ((left, top), (width, height)) = (letterbox.pad(), letterbox.size());
            for (index, &value) in rgb.iter().enumerate() {
                let (x, y) = ((index % plane % target.0) as u32, (index % plane / target.0) as u32);
                let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
                prop_assert_eq!(value == f32::from(fill), !inside, "{} at ({}, {})", value, x, y);
            }
            spec.color = ColorOrder::Bgr;
            let mut bgr = vec![f32::NAN; 3 * plane];
            filler.fill(&image, &spec, &mut bgr);
            prop_assert_eq!(&rgb[..plane], &bgr[2 * plane..]);
            prop_assert_eq!(&rgb[plane..2 * plane], &bgr[plane..2 * plane]);
            prop_assert_eq!(&rgb[2 * plane..], &bgr[..plane]);
        }
    }
}
