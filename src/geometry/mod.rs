//! Plane geometry of detections: boxes in pixels, intersection over union, suppression and box fusion.

mod boxes;
mod fusion;

pub use boxes::Box2;
pub use fusion::{FusedBox, FusionBox, FusionSource, weighted_box_fusion};
