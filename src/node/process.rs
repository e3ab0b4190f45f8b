//! What the programs of all nodes do around their node.

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use super::{
    Shutdown,
    help::{Asked, Program},
    logging,
};

/// Answers what is asked of the program by its arguments; else logs as the environment says, makes the tokio runtime, and runs a node
/// until SIGINT or SIGTERM. Exit code 2 is an error that was told on stderr.
pub fn run_program(program: &Program, node: impl FnOnce(&Shutdown) -> anyhow::Result<()>) -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    // Who does not listen to the end, such as `| head`, has heard enough.
    match Asked::of(arguments) {
        Asked::Run => run_logged(node),
        Asked::Help => {
            let _ = stdout().write_all(program.help().as_bytes());
            ExitCode::SUCCESS
        }
        Asked::Version => {
            let _ = stdout().write_all(program.version().as_bytes());
            ExitCode::SUCCESS
        }
        Asked::Unknown(argument) => {
            let _ = stderr().write_all(program.misunderstood(&argument).as_bytes());
            ExitCode::from(2)
        }
    }
}

/// Logs as the environment says, makes the tokio runtime, and runs until SIGINT or SIGTERM. Exit code 2 is an error that was told on
/// stderr.
pub(super) fn run_logged(node: impl FnOnce(&Shutdown) -> anyhow::Result<()>) -> ExitCode {
    // Until the end of this function: then the trace's file is whole.
    let _logging = match logging::begin() {
        Ok(logging) => logging,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error}");
            return ExitCode::from(2);
        }
    };
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
