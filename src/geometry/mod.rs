//! Plane geometry of detections: boxes in pixels, intersection over union, suppression and box fusion.

mod boxes;
mod fusion;
mod suppression;

pub use boxes::Box2;
pub use fusion::{FusedBox, FusionBox, FusionSource, weighted_box_fusion};
pub use suppression::{Candidate, suppress};
