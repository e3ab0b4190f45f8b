//! The ROS 2 nodes.
//!
//! | node | takes | gives |
//! |---|---|---|
//! | [`camera_detector`] | images | 2-D detections |
//! | [`lidar_detector`] | laser scans or point clouds | 3-D detections, labelled points |
//! | [`obstacle_fusion`] | both kinds of detections, TF | tracked obstacles as a point cloud for Nav2, 3-D detections, markers |
//!
//! [`container`] runs several of them in one process.
//!
//! All are managed nodes (`lifecycle`), which somebody else may start and stop, or which start by themselves.
//!
//! One thread owns the r2r node and spins. In detectors each sensor stream is drained into a slot where the newest wins, and one
//! inference thread takes from it; another thread loads models meanwhile and tries candidates; where several detectors share a process
//! their inference threads take turns (`turns`). In the fusion no message replaces another: each is applied at its own stamp. `watch`
//! looks whether others publish what a node listens to, and whether the stamps make sense.

mod bond;
pub mod camera_detector;
mod clock;
pub mod container;
mod context;
mod detection;
mod diagnostics;
mod gate;
mod help;
mod host;
mod labels;
mod latest;
pub mod lidar_detector;
mod lifecycle;
mod limits;
mod logging;
pub mod obstacle_fusion;
mod onlooker;
mod overlay;
mod palette;
mod parameters;
mod preparation;
mod process;
mod recorder;
mod requests;
mod shutdown;
mod stopwatch;
#[doc(hidden)]
pub mod storm;
mod subscriptions;
mod topic_names;
mod transform_listener;
mod turns;
mod warnings;
mod watch;

pub use diagnostics::{Counters, NodeStatistics, Stage, Thresholds};
pub use help::Program;
pub use latest::{Latest, Taken};
pub use parameters::{
    CameraDetectorParameters, LidarDetectorParameters, ObstacleFusionParameters, ParameterError, PerClass, TextList,
};
pub use process::run_program;
pub use shutdown::Shutdown;
pub use transform_listener::TransformListener;
