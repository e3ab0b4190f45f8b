//! The command line of `distill`: one file per subcommand, each with its arguments and its `run`.
//!
//! Exit codes: 0 done; 1 the work itself failed (disk full, diverged training); 2 wrong input or arguments;
//! 3 finished, but part of the input could not be read.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

/// `print!` that goes on when nobody reads: `distill run my.yaml | head -1` must not end hours of training with a panic.
macro_rules! out {
    ($($words:tt)*) => {
        $crate::distill::command::write_out(::std::format_args!($($words)*))
    };
}

/// `println!` as `out!` is `print!`.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::distill::command::write_out(::std::format_args!("{}\n", ::std::format_args!($($words)*)))
    };
}

/// `eprintln!` as `out!` is `print!`.
macro_rules! errln {
    ($($words:tt)*) => {
        $crate::distill::command::write_err(::std::format_args!("{}\n", ::std::format_args!($($words)*)))
    };
}

mod ablate;
mod audit;
mod completions;
mod evaluate;
mod evaluate_lidar;
mod forgetting;
mod generations;
mod inspect;
pub mod label;
mod label_lidar;
mod quantize;
mod report;
mod run;
mod run_lidar;
mod samples;
mod score_profile;
mod synth;
mod teacher;
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
    Quantize(quantize::QuantizeArgs),
    Ablate(ablate::AblateArgs),
    Report(report::ReportArgs),
    Teacher(teacher::TeacherArgs),
    Completions(completions::CompletionsArgs),
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Done,
    /// Finished, but part of the input could not be read (exit code 3).
    DataLost,
}

/// The work itself failed although the input was right (exit code 1, where other errors give 2).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WorkFailed(pub String);

/// Parses the arguments, runs the subcommand and turns the result into an exit code. An error goes to stderr as one line with its
/// causes.
pub fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match dispatch(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::DataLost) => ExitCode::from(3),
        Err(error) => {
            errln!("error: {}", one_line(&error));
            if error.chain().any(|cause| cause.is::<WorkFailed>()) { ExitCode::from(1) } else { ExitCode::from(2) }
        }
    }
}

/// Writes to stdout as far as anyone reads there.
fn write_out(text: fmt::Arguments<'_>) {
    let _ = io::stdout().lock().write_fmt(text);
}

/// Writes to stderr as far as anyone reads there.
fn write_err(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// An error with its causes on one line. Many errors tell their cause themselves; what was told is not told again.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let words = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if line.contains(&words) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&words);
    }
    line
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
        Command::Quantize(args) => quantize::run(args),
        Command::Ablate(args) => ablate::run(args),
        Command::Report(args) => report::run(args),
        Command::Teacher(args) => teacher::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_tells_each_cause_once() {
        let cause = anyhow::anyhow!("No space\n   left");
        assert_eq!(one_line(&cause), "No space left");
        let error = cause.context("cannot write a.onnx: No space left").context("export");
        assert_eq!(one_line(&error), "export: cannot write a.onnx: No space left");
        let error = anyhow::Error::new(WorkFailed("parse error:\n\tline 3\n".into())).context("").context("my.yaml");
        assert_eq!(one_line(&error), "my.yaml: parse error: line 3");
    }
}
