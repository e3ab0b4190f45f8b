//! How the commands of `distill` print and end, whichever of them a build has.
//!
//! Exit codes: 0 done; 1 the work itself failed (disk full, diverged training); 2 wrong input or arguments;
//! 3 finished, but part of the input could not be read.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// `print!` that goes on when nobody reads: `distill run my.yaml | head -1` must not end hours of training with a panic.
macro_rules! out {
    ($($words:tt)*) => {
        $crate::command_line::write_out(::std::format_args!($($words)*))
    };
}

/// `println!` as `out!` is `print!`.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::command_line::write_out(::std::format_args!("{}\n", ::std::format_args!($($words)*)))
    };
}

/// `eprintln!` as `out!` is `print!`.
macro_rules! errln {
    ($($words:tt)*) => {
        $crate::command_line::write_err(::std::format_args!("{}\n", ::std::format_args!($($words)*)))
    };
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

/// Lets what the library has to say go to stderr: warnings, or what `RUST_LOG` asks for.
pub fn start_log() {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// The exit code of what a command came to. An error goes to stderr as one line with its causes.
pub fn finish(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::DataLost) => ExitCode::from(3),
        Err(error) => {
            errln!("error: {}", one_line(&error));
            if error.chain().any(|cause| cause.is::<WorkFailed>()) { ExitCode::from(1) } else { ExitCode::from(2) }
        }
    }
}

/// Writes to stdout as far as anyone reads there.
pub(crate) fn write_out(text: fmt::Arguments<'_>) {
    let _ = io::stdout().lock().write_fmt(text);
}

/// Writes to stderr as far as anyone reads there.
pub(crate) fn write_err(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// An error with its causes on one line. Many errors tell their cause themselves; what was told is not told again.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
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
