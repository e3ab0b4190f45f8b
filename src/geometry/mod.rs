//! Plane geometry of detections: boxes in pixels, intersection over union, suppression and box fusion.

mod boxes;
mod suppression;

pub use boxes::Box2;
pub use suppression::{Candidate, suppress};
