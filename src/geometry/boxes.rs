//! Axis-aligned boxes in image pixels.

use serde::{Deserialize, Serialize};

/// An axis-aligned box in pixels: x grows to the right, y grows downwards, the origin is the outer corner of the
/// top-left pixel (so an image of width `w` spans `0.0..=w`).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Box2 {
    /// Left edge.
    pub x_min: f32,
    /// Top edge.
    pub y_min: f32,
    /// Right edge.
    pub x_max: f32,
    /// Bottom edge.
    pub y_max: f32,
}

impl Box2 {
    /// A box from its edges.
    pub const fn new(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> Self {
        Self { x_min, y_min, x_max, y_max }
    }

    /// A box from its centre and size.
    pub fn from_center(center_x: f32, center_y: f32, width: f32, height: f32) -> Self {
        Self::new(center_x - width / 2.0, center_y - height / 2.0, center_x + width / 2.0, center_y + height / 2.0)
    }

    /// Width, 0 for an inverted box.
    pub fn width(&self) -> f32 {
        (self.x_max - self.x_min).max(0.0)
    }

    /// Height, 0 for an inverted box.
    pub fn height(&self) -> f32 {
        (self.y_max - self.y_min).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Centre `(x, y)`.
    pub fn center(&self) -> (f32, f32) {
        ((self.x_min + self.x_max) / 2.0, (self.y_min + self.y_max) / 2.0)
    }

    /// True when every edge is a finite number and the box has an area.
    pub fn is_valid(&self) -> bool {
        [self.x_min, self.y_min, self.x_max, self.y_max].iter().all(|v| v.is_finite()) && self.area() > 0.0
    }

    /// The overlap's area.
    pub fn intersection(&self, other: &Self) -> f32 {
        let width = self.x_max.min(other.x_max) - self.x_min.max(other.x_min);
        let height = self.y_max.min(other.y_max) - self.y_min.max(other.y_min);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, in `[0, 1]`; 0 when both boxes are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part of the box inside an image of `width` x `height` pixels.
    pub fn clip(&self, width: f32, height: f32) -> Self {
        Self::new(
            self.x_min.clamp(0.0, width),
            self.y_min.clamp(0.0, height),
            self.x_max.clamp(0.0, width),
            self.y_max.clamp(0.0, height),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_half_overlap() {
        let a = Box2::new(0.0, 0.0, 2.0, 2.0);
        let b = Box2::new(1.0, 0.0, 3.0, 2.0);
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&Box2::new(5.0, 5.0, 6.0, 6.0)), 0.0);
    }

    #[test]
    fn inverted_boxes_have_no_area() {
        let inverted = Box2::new(2.0, 2.0, 1.0, 1.0);
        assert_eq!(inverted.area(), 0.0);
        assert!(!inverted.is_valid());
        assert!(!Box2::new(f32::NAN, 0.0, 1.0, 1.0).is_valid());
    }
}
