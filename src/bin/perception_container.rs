//! Several nodes in one process; see the library's `node::container`.

#[cfg(feature = "ros")]
fn main() -> std::process::ExitCode {
    distilled_perception::node::container::main()
}

/// A build of the workshop alone has no nodes.
#[cfg(not(feature = "ros"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this build has no ROS 2 nodes; source ROS 2 and build the package with the feature `ros`");
    std::process::ExitCode::from(2)
}
