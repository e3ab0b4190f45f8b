//! The node `camera_detector`; see the library's `node::camera_detector`.

#[cfg(feature = "ros")]
fn main() -> std::process::ExitCode {
    use distilled_perception::node::{camera_detector, run_program};

    run_program(&camera_detector::PROGRAM, camera_detector::run)
}

/// A build of the workshop alone has no nodes.
#[cfg(not(feature = "ros"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this build has no ROS 2 nodes; source ROS 2 and build the package with the feature `ros`");
    std::process::ExitCode::from(2)
}
