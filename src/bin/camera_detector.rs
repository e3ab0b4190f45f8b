//! The node `camera_detector`; see the library's `node::camera_detector`.

use std::process::ExitCode;

#[cfg(feature = "ros")]
fn main() -> ExitCode {
    use std::io::{IsTerminal, stderr};

    use distilled_perception::node::{Shutdown, camera_detector};

    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,ort=warn")),
        )
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the tokio runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _inside = runtime.enter();
    let shutdown = Shutdown::default();
    let result = shutdown.listen().map_err(Into::into).and_then(|()| camera_detector::run(&shutdown));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// A build of the workshop alone has no nodes.
#[cfg(not(feature = "ros"))]
fn main() -> ExitCode {
    eprintln!("error: this build has no ROS 2 nodes; source ROS 2 and build the package with the feature `ros`");
    ExitCode::from(2)
}
