//! The ROS 2 nodes.
//!
//! | node | takes | gives |
//! |---|---|---|
//! | [`camera_detector`] | images | 2-D detections |
//!
//! One thread owns the r2r node and spins. Each sensor stream is drained into a slot where the newest wins, and one inference
//! thread takes from it.

pub mod camera_detector;
mod clock;
mod detection_loop;
mod host;
mod labels;
mod latest;
mod overlay;
mod palette;
mod parameters;
mod process;
mod shutdown;
mod statistics;
mod warnings;

pub use latest::{Latest, Taken};
pub use parameters::{CameraDetectorParameters, ParameterError};
pub use process::run_program;
pub use shutdown::Shutdown;
pub use statistics::{Counters, NodeStatistics, Stage};
