//! What the programs of all nodes do around their node.

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use super::Shutdown;

/// Logs to stderr, makes the tokio runtime, and runs a node until SIGINT or SIGTERM. Exit code 2 is an error that was logged.
pub fn run_program(node: impl FnOnce(&Shutdown) -> anyhow::Result<()>) -> ExitCode {
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
    let result = shutdown.listen().map_err(Into::into).and_then(|()| node(&shutdown));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}
