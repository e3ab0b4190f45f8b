//! The command line of `distill`: one file per subcommand, each with its arguments and its `run`. How they print and end is in
//! [`command_line`](crate::command_line).

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use crate::command_line::{Outcome, WorkFailed};
use crate::{
    bench::command::BenchArgs,
    command_line::{finish, one_line, start_log},
};

mod ablate;
mod audit;
mod bench;
mod completions;
mod compress;
mod evaluate;
mod evaluate_lidar;
mod forgetting;
mod gate;
mod generations;
mod inspect;
pub mod label;
mod label_lidar;
mod prune;
mod quantize;
mod quantize_aware;
mod quantize_lidar;
mod quantize_values;
mod report;
mod run;
mod run_lidar;
mod samples;
mod score_profile;
mod synth;
mod teacher;
mod test_figures;
mod train;
mod train_display;

/// Small, fast perception students out of your robots' own recordings.
///
/// A usual day:
///
///   distill inspect my_bag                      # what is in it, what can be distilled from it
///   distill run config/distill/indoor_person.yaml   # label -> audit -> train -> export -> evaluate -> report
///   distill evaluate --model runs/indoor_person/student.onnx --data my_bag
#[derive(Debug, Parser)]
#[command(name = "distill", version, verbatim_doc_comment, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::InspectArgs),
    Synth(synth::SynthArgs),
    Label(label::LabelArgs),
    Audit(audit::AuditArgs),
    Train(train::TrainArgs),
    Run(run::RunArgs),
    Evaluate(evaluate::EvaluateArgs),
    Bench(BenchArgs),
    Prune(prune::PruneArgs),
    Quantize(quantize::QuantizeArgs),
    Compress(compress::CompressArgs),
    Ablate(ablate::AblateArgs),
    Report(report::ReportArgs),
    Teacher(teacher::TeacherArgs),
    Completions(completions::CompletionsArgs),
}

/// Parses the arguments, runs the subcommand and turns the result into an exit code. An error goes to stderr as one line with its
/// causes.
pub fn main() -> ExitCode {
    start_log();
    finish(dispatch(Cli::parse()))
}

fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Label(args) => label::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Train(args) => train::run(args),
        Command::Run(args) => run::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Prune(args) => prune::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Compress(args) => compress::run(args),
        Command::Ablate(args) => ablate::run(args),
        Command::Report(args) => report::run(args),
        Command::Teacher(args) => teacher::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
    }
}
