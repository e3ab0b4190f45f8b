//! Geometry of augmentation: where an image lands on the canvas, and its boxes with it.

use rand::Rng;

use crate::{
    distill::{config::AugmentConfig, loss::TargetBox},
    geometry::Box2,
};

/// A part of the canvas in whole pixels, right and bottom edge excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// Left edge.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Viewport {
    /// The four parts around a mosaic's centre: top left, top right, bottom left, bottom right.
    pub fn quadrants(width: usize, height: usize, center: (usize, usize)) -> [Self; 4] {
        let (x, y) = (center.0.min(width), center.1.min(height));
        [
            Self { x: 0, y: 0, width: x, height: y },
            Self { x, y: 0, width: width - x, height: y },
            Self { x: 0, y, width: x, height: height - y },
            Self { x, y, width: width - x, height: height - y },
        ]
    }

    fn clip(&self, bbox: &Box2) -> Box2 {
        let (left, top) = (self.x as f32, self.y as f32);
        let (right, bottom) = (left + self.width as f32, top + self.height as f32);
        Box2::new(
            bbox.x_min.clamp(left, right),
            bbox.y_min.clamp(top, bottom),
            bbox.x_max.clamp(left, right),
            bbox.y_max.clamp(top, bottom),
        )
    }
}

/// Where an image lands: `canvas = scale * image + shift` per axis, both in pixels whose origin is the outer corner of the
/// first one; a negative `scale_x` mirrors. Only the viewport is painted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Canvas pixels per image pixel to the right, negative when mirrored.
    pub scale_x: f32,
    /// Canvas pixels per image pixel downwards.
    pub scale_y: f32,
    /// Canvas x of the image's origin.
    pub shift_x: f32,
    /// Canvas y of the image's origin.
    pub shift_y: f32,
    /// What may be painted.
    pub viewport: Viewport,
}

impl Placement {
    /// Draws a size around `scale` (canvas pixels per image pixel) and a place in the viewport: somewhere inside when the image
    /// is smaller, somewhere covering it when it is larger.
    pub fn random(
        config: &AugmentConfig,
        scale: f32,
        image: (f32, f32),
        viewport: Viewport,
        rng: &mut impl Rng,
    ) -> Self {
        let [low, high] = config.scale;
        let factor = scale * log_uniform(low, high, rng);
        let stretch = log_uniform(1.0 / config.stretch, config.stretch, rng).sqrt();
        let (scale_x, scale_y) = (factor * stretch, factor / stretch);
        let place = |start: usize, length: usize, size: f32, rng: &mut dyn rand::RngCore| {
            let room = length as f32 - size;
            start as f32 + room * rng.random::<f32>()
        };
        let shift_x = place(viewport.x, viewport.width, scale_x * image.0, rng);
        let shift_y = place(viewport.y, viewport.height, scale_y * image.1, rng);
        Self { scale_x, scale_y, shift_x, shift_y, viewport }
    }

    /// The same place with the image mirrored left to right; `width` is the image's, in image pixels.
    pub fn mirrored(self, width: f32) -> Self {
        Self { scale_x: -self.scale_x, shift_x: self.shift_x + self.scale_x * width, ..self }
    }

    /// The box on the canvas, not clipped.
    pub fn to_canvas(&self, bbox: &Box2) -> Box2 {
        let (a, b) = (self.scale_x * bbox.x_min + self.shift_x, self.scale_x * bbox.x_max + self.shift_x);
        let (c, d) = (self.scale_y * bbox.y_min + self.shift_y, self.scale_y * bbox.y_max + self.shift_y);
        Box2::new(a.min(b), c.min(d), a.max(b), c.max(d))
    }

    /// The boxes as seen on the canvas: clipped to the viewport, without those of which too little is left to see. Regions without
    /// weight, of which nothing is known, stay however little is left of them.
    pub fn move_boxes(&self, config: &AugmentConfig, boxes: &[TargetBox], moved: &mut Vec<TargetBox>) {
        for target in boxes {
            let whole = self.to_canvas(&target.bbox);
            let seen = self.viewport.clip(&whole);
            let large_enough = seen.width().min(seen.height()) as f64 >= config.min_pixels;
            let shows = large_enough && f64::from(seen.area() / whole.area()) >= config.min_visible;
            if seen.is_valid() && (shows || target.weight <= 0.0) {
                moved.push(TargetBox { bbox: seen, ..target.clone() });
            }
        }
    }
}

/// A factor drawn evenly on a logarithmic scale.
fn log_uniform(low: f64, high: f64, rng: &mut impl Rng) -> f32 {
    let (low, high) = (low.ln(), high.ln());
    (low + (high - low) * rng.random::<f64>()).exp() as f32
}
