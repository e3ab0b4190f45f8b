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

/// A build for robots alone has no workshop, but it tells what a model costs on the robot.
#[cfg(all(feature = "bench", not(feature = "distill")))]
fn main() -> ExitCode {
    distilled_perception::bench::program::main()
}

/// colcon installs every binary of the package, also of a build with no feature at all.
#[cfg(not(feature = "bench"))]
fn main() -> ExitCode {
    eprintln!(
        "error: this build has no workshop; build the package with the feature `distill`, or `bench` for `distill bench` alone"
    );
    ExitCode::from(2)
}
