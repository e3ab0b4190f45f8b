//! `distill completions`: shell completions.

use clap::Args;
use clap_complete::{Shell, generate};

use super::Outcome;

/// Print completions for your shell.
///
///   distill completions bash > ~/.local/share/bash-completion/completions/distill
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct CompletionsArgs {
    /// The shell to write for.
    shell: Shell,
}

/// Writes the completion script to stdout.
pub fn run(args: CompletionsArgs, mut command: clap::Command) -> anyhow::Result<Outcome> {
    // Into memory first: clap_complete panics where it cannot write, for instance into `head`.
    let mut script = Vec::new();
    generate(args.shell, &mut command, "distill", &mut script);
    out!("{}", String::from_utf8_lossy(&script));
    Ok(Outcome::Done)
}
