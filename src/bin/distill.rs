//! The workshop's one binary; see `distill --help`.

use std::process::ExitCode;

/// A step of training frees what the next one asks for again; the C library's allocator gives megabytes back to the system each
/// time, and taking them anew costs more than BatchNorm itself.
#[cfg(feature = "distill")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "distill")]
fn main() -> ExitCode {
    distilled_perception::distill::command::main()
}

/// A build for robots alone has no workshop, but colcon installs every binary of the package.
#[cfg(not(feature = "distill"))]
fn main() -> ExitCode {
    eprintln!("error: this build has no workshop; build the package with the feature `distill`");
    ExitCode::from(2)
}
