//! The workshop's one binary; see `distill --help`.

use std::process::ExitCode;

#[cfg(feature = "distill")]
#[global_allocator]
static ALLOCATOR: distilled_perception::distill::allocator::MiMalloc =
    distilled_perception::distill::allocator::MiMalloc;

#[cfg(feature = "distill")]
fn main() -> ExitCode {
    distilled_perception::distill::allocator::keep_freed_memory();
    distilled_perception::distill::command::main()
}

/// A build for robots alone has no workshop, but colcon installs every binary of the package.
#[cfg(not(feature = "distill"))]
fn main() -> ExitCode {
    eprintln!("error: this build has no workshop; build the package with the feature `distill`");
    ExitCode::from(2)
}
