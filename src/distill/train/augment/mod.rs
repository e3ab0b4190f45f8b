//! Augmentation: each time a frame is trained on, it is drawn anew - mirrored, scaled, cropped, put together with others,
//! coloured, blurred - and its boxes with it. What is drawn depends on the random generator given, on nothing else.

mod bilinear;
mod canvas;
mod color;
mod placement;

use rand::Rng;

use super::dataset::FrameBoxes;

pub use canvas::{Canvas, Picture};
pub use color::ColorMap;
pub use placement::{Placement, Viewport};

use crate::{
    distill::{config::AugmentConfig, loss::TargetBox},
    geometry::Box2,
    model::{Fit, InputSpec},
    sensing::letterbox::Letterbox,
};

/// A frame to draw from: its picture and its boxes in pixels of the recording's image.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The pixels.
    pub picture: Picture<'a>,
    /// What is known of it.
    pub boxes: &'a FrameBoxes,
}

/// A training sample: pixels, and boxes in input pixels.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The image.
    pub canvas: Canvas,
    /// Its boxes.
    pub boxes: Vec<TargetBox>,
    /// Its true boxes.
    pub truth: Vec<TargetBox>,
    /// False where part of it is of a frame that nobody labelled.
    pub labelled: bool,
}

/// Draws training samples for one input.
#[derive(Debug, Clone)]
pub struct Augmenter {
    config: AugmentConfig,
    spec: InputSpec,
}

/// Mosaic tiles are drawn this much smaller than single images, for there are four of them.
const TILE_SCALE: f32 = 0.7;

impl Augmenter {
    /// An augmenter for networks with this input.
    pub fn new(config: AugmentConfig, spec: InputSpec) -> Self {
        Self { config, spec }
    }

    /// Whether the next sample is a mosaic of four frames ("YOLOv4", Bochkovskiy et al. 2020), with the configured probability where
    /// `mosaic_allowed`. Draw this first, for any other sample needs one frame.
    pub fn wants_mosaic(&self, mosaic_allowed: bool, rng: &mut impl Rng) -> bool {
        rng.random_bool(self.config.mosaic) && mosaic_allowed
    }

    /// Whether the next sample is laid over another one, with the configured probability where `mixup_allowed`; draw this after
    /// [`Self::wants_mosaic`].
    pub fn wants_mixup(&self, mixup_allowed: bool, rng: &mut impl Rng) -> bool {
        self.config.mixup > 0.0 && rng.random_bool(self.config.mixup) && mixup_allowed
    }

    /// Lays one sample over another of the same size ("mixup", Zhang et al. 2018), so that each shows by 0.4 to 0.6, drawn evenly. The
    /// boxes of both are kept, with weights times as much as their image shows.
    pub fn mix(&self, mut sample: Sample, other: Sample, rng: &mut impl Rng) -> Sample {
        let share = rng.random_range(0.4..0.6f32);
        sample.canvas.blend(&other.canvas, share);
        let weigh = |boxes: Vec<TargetBox>, share: f32| {
            boxes.into_iter().map(move |found| TargetBox { weight: found.weight * share, ..found })
        };
        let both =
            |own: Vec<TargetBox>, other: Vec<TargetBox>| weigh(own, share).chain(weigh(other, 1.0 - share)).collect();
        Sample {
            boxes: both(sample.boxes, other.boxes),
            truth: both(sample.truth, other.truth),
            labelled: sample.labelled && other.labelled,
            canvas: sample.canvas,
        }
    }

    /// Draws a sample out of one frame, or a mosaic out of four.
    pub fn draw(&self, frames: &[Frame<'_>], rng: &mut impl Rng) -> Sample {
        let (width, height) = (self.spec.width, self.spec.height);
        let canvas = Canvas::new(width, height, self.grey());
        let mut sample = Sample { canvas, boxes: Vec::new(), truth: Vec::new(), labelled: true };
        if let [first, second, third, fourth] = frames {
            let mut part = |length: usize| (length as f32 * rng.random_range(0.3..0.7f32)).round() as usize;
            let center = (part(width), part(height));
            let quadrants = Viewport::quadrants(width, height, center);
            for (frame, viewport) in [first, second, third, fourth].into_iter().zip(quadrants) {
                let base = self.letterbox(frame.picture.original);
                let scale = base.scale_x.min(base.scale_y) * TILE_SCALE;
                let placement = Placement::random(&self.config, scale, frame.picture.original, viewport, rng);
                self.add(&mut sample, frame, placement, rng);
            }
        } else {
            for frame in frames.iter().take(1) {
                let mut placement = self.letterbox(frame.picture.original);
                if rng.random_bool(self.config.crop) {
                    let scale = placement.scale_x.min(placement.scale_y);
                    let original = frame.picture.original;
                    placement = Placement::random(&self.config, scale, original, placement.viewport, rng);
                }
                self.add(&mut sample, frame, placement, rng);
            }
        }
        if rng.random_bool(self.config.motion_blur) && self.config.motion_blur_pixels >= 2 {
            let length = rng.random_range(2..=self.config.motion_blur_pixels);
            sample.canvas.motion_blur(length, rng.random_range(0.0..std::f32::consts::PI));
        }
        sample
    }

    /// Mirrors or not, paints, and moves the boxes.
    fn add(&self, sample: &mut Sample, frame: &Frame<'_>, mut placement: Placement, rng: &mut impl Rng) {
        if rng.random_bool(self.config.flip) {
            placement = placement.mirrored(frame.picture.original.0);
        }
        sample.canvas.paint(&frame.picture, &placement, &ColorMap::random(&self.config.color, rng));
        placement.move_boxes(&self.config, &frame.boxes.boxes, &mut sample.boxes);
        placement.move_boxes(&self.config, &frame.boxes.truth, &mut sample.truth);
        sample.labelled &= frame.boxes.labelled;
    }

    /// The place that the robot gives an image of this size.
    fn letterbox(&self, original: (f32, f32)) -> Placement {
        let letterbox = Letterbox::new(original.0 as u32, original.1 as u32, &self.spec);
        let whole = letterbox.to_input(Box2::new(0.0, 0.0, original.0, original.1));
        Placement {
            scale_x: whole.width() / original.0,
            scale_y: whole.height() / original.1,
            shift_x: whole.x_min,
            shift_y: whole.y_min,
            viewport: Viewport { x: 0, y: 0, width: self.spec.width, height: self.spec.height },
        }
    }

    fn grey(&self) -> u8 {
        match self.spec.fit {
            Fit::LetterboxCenter(grey) | Fit::LetterboxTopLeft(grey) => grey,
            Fit::Stretch => 114,
        }
    }
}

#[cfg(test)]
mod tests;
