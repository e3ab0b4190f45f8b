//! The help of `distill`: every subcommand teaches by example.
#![cfg(feature = "distill")]

use std::process::{Command, Output, Stdio};

const SUBCOMMANDS: [&str; 15] = [
    "inspect",
    "synth",
    "label",
    "audit",
    "train",
    "run",
    "evaluate",
    "bench",
    "prune",
    "quantize",
    "compress",
    "ablate",
    "report",
    "teacher",
    "completions",
];

fn distill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_distill")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a command that must succeed says on stdout, and nothing on stderr.
fn said(arguments: &[&str]) -> String {
    let output = distill(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_list_of_subcommands_is_whole() {
    let help = said(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Two spaces before a name, more before the rest of its description.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    assert_eq!(names, SUBCOMMANDS);
}

#[test]
fn every_help_has_an_example() {
    assert!(said(&["--help"]).lines().any(|line| line.starts_with("  distill inspect ")));
    for name in SUBCOMMANDS {
        let help = said(&[name, "--help"]);
        let example = format!("  distill {name} ");
        assert!(help.lines().any(|line| line.starts_with(&example)), "no `{example}...` in:\n{help}");
        assert_eq!(said(&["help", name]), help);
    }
}

#[test]
fn without_a_subcommand_the_help_is_shown_as_an_error() {
    let output = distill(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.contains("Usage: distill <COMMAND>") && !stderr.contains("panicked"), "{stderr}");
    for name in SUBCOMMANDS {
        assert!(stderr.contains(&format!("  {name} ")), "{stderr}");
    }
}

#[test]
fn completions_are_for_every_shell_that_the_help_names() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = said(&["completions", shell]);
        assert!(SUBCOMMANDS.iter().all(|name| script.contains(name)), "{shell}");
    }
}
