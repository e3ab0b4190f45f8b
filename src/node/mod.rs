//! The ROS 2 nodes.
//!
//! | node | takes | gives |
//! |---|---|---|
//! | [`camera_detector`] | images | 2-D detections |
//! | [`lidar_detector`] | laser scans or point clouds | 3-D detections, labelled points |
//! | [`obstacle_fusion`] | both kinds of detections, TF | tracked obstacles as a point cloud for Nav2, 3-D detections, markers |
//!
//! All are managed nodes (`lifecycle`), which somebody else may start and stop, or which start by themselves.
//!
//! One thread owns the r2r node and spins. In detectors each sensor stream is drained into a slot where the newest wins, and one
//! inference thread takes from it. In the fusion no message replaces another: each is applied at its own stamp.

mod bond;
pub mod camera_detector;
mod clock;
mod context;
mod detection_loop;
mod gate;
mod host;
mod labels;
mod latest;
pub mod lidar_detector;
mod lifecycle;
mod limits;
pub mod obstacle_fusion;
mod overlay;
mod palette;
mod parameters;
mod process;
mod shutdown;
mod statistics;
mod stopwatch;
#[doc(hidden)]
pub mod storm;
mod subscriptions;
mod transform_listener;
mod warnings;

pub use latest::{Latest, Taken};
pub use parameters::{
    CameraDetectorParameters, Fixed, LidarDetectorParameters, ObstacleFusionParameters, ParameterError, PerClass,
    TextList,
};
pub use process::run_program;
pub use shutdown::Shutdown;
pub use statistics::{Counters, NodeStatistics, Stage};
pub use transform_listener::TransformListener;
