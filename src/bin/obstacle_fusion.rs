//! The node `obstacle_fusion`; see the library's `node::obstacle_fusion`.

#[cfg(feature = "ros")]
fn main() -> std::process::ExitCode {
    use distilled_perception::node::{obstacle_fusion, run_program};

    run_program(&obstacle_fusion::PROGRAM, obstacle_fusion::run)
}

/// A build of the workshop alone has no nodes.
#[cfg(not(feature = "ros"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this build has no ROS 2 nodes; source ROS 2 and build the package with the feature `ros`");
    std::process::ExitCode::from(2)
}
