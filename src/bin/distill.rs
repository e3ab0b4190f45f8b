//! The workshop's one binary; see `distill --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    distilled_perception::distill::command::main()
}
