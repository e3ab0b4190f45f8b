//! The program `distill` of a build without the workshop: it has this one command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{
    command::{self, BenchArgs},
    images::read_folder,
};
use crate::command_line::{finish, start_log};

/// What models cost on this board.
///
/// This build is for robots. It has none of the workshop's commands; build the package with the feature `distill` for those.
///
///   distill bench --model student.onnx --json board.json
#[derive(Debug, Parser)]
#[command(name = "distill", version, verbatim_doc_comment, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(BenchArgs),
}

/// Parses the arguments, measures and turns the result into an exit code.
pub fn main() -> ExitCode {
    start_log();
    let Cli { command: Command::Bench(args) } = Cli::parse();
    finish(command::run(&args, &read_folder))
}
