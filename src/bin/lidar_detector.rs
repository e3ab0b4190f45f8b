//! The node `lidar_detector`; see the library's `node::lidar_detector`.

#[cfg(feature = "ros")]
fn main() -> std::process::ExitCode {
    use distilled_perception::node::{lidar_detector, run_program};

    run_program(&lidar_detector::PROGRAM, lidar_detector::run)
}

/// A build of the workshop alone has no nodes.
#[cfg(not(feature = "ros"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this build has no ROS 2 nodes; source ROS 2 and build the package with the feature `ros`");
    std::process::ExitCode::from(2)
}
