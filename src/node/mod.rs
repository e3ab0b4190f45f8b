//! The ROS 2 nodes. One thread owns the r2r node and spins; each sensor stream is drained into a slot where the newest wins;
//! one inference thread per model takes from it.

pub mod camera_detector;
mod latest;
mod overlay;
mod parameters;
mod shutdown;
mod statistics;
mod transform_listener;

pub use latest::{Latest, Taken};
pub use parameters::{CameraDetectorParameters, ParameterError};
pub use shutdown::Shutdown;
pub use statistics::{Counters, NodeStatistics, Stage};
pub use transform_listener::TransformListener;
