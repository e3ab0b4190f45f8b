//! RGB images of any size to a network's input tensor, and boxes back.

use fast_image_resize::images::{Image as ResizeTarget, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::geometry::Box2;
use crate::model::{ColorOrder, Fit, InputSpec};

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
        let source = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3);
        let target = ResizeTarget::from_slice_u8(width, height, &mut self.resized, PixelType::U8x3);
        let done = match (source, target) {
            (Ok(source), Ok(mut target)) => self.resizer.resize(&source, &mut target, &options).is_ok(),
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
