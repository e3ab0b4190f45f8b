//! Plane geometry of detections: boxes in pixels, intersection over union, suppression and box fusion.

mod boxes;

pub use boxes::Box2;
