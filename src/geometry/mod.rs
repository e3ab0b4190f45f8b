//! Plane geometry of detections: boxes in pixels, intersection over union, suppression and box fusion; and what connects planes
//! with space: rigid transforms between frames, and cameras with their lenses.

mod boxes;
mod camera_error;
mod camera_model;
mod fusion;
mod lens;
mod rigid;
mod suppression;

pub use boxes::Box2;
pub use camera_error::CameraModelError;
pub use camera_model::CameraModel;
pub use fusion::{FusedBox, FusionBox, FusionSource, weighted_box_fusion};
pub use rigid::RigidTransform;
pub use suppression::{Candidate, suppress};
