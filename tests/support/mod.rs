//! What several test files need. Each of them is a program of its own and takes in the whole module, so parts lie idle in some.
#![allow(dead_code)]

#[cfg(feature = "distill")]
pub mod lidar_student;
pub mod mutate;
#[cfg(feature = "distill")]
pub mod page;
#[cfg(feature = "distill")]
pub mod recording;
#[cfg(feature = "ros")]
pub mod ros;
#[cfg(feature = "distill")]
pub mod scene;
pub mod seeds;
#[cfg(feature = "distill")]
pub mod training;

#[cfg(feature = "distill")]
use std::process::{Command, Stdio};
use std::{
    path::{Path, PathBuf},
    process::Output,
};

/// The folder of real recordings and models, where `needed` (a file or folder in it) is there. Otherwise says, as a test's last
/// words, why it is skipped.
pub fn test_data(needed: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PERCEPTION_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if data.join(needed).exists() {
        return Some(data);
    }
    println!("skipped: no {needed} in {} (PERCEPTION_TEST_DATA names the folder of test data)", data.display());
    None
}

/// Whether tests may pass without what this machine lacks, by the variable `CI`: a developer reads that something was left out, in CI
/// nobody would.
pub fn may_skip() -> bool {
    matches!(std::env::var("CI").ok().as_deref(), None | Some("" | "0" | "false"))
}

/// Runs a subcommand of `distill` in a folder.
#[cfg(feature = "distill")]
pub fn distill_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.output().unwrap()
}

/// Whether ONNX Runtime is at hand. Otherwise says, as a test's last words, why it is skipped; where `CI` is true, which always has it,
/// the test fails.
pub fn onnx_runtime() -> bool {
    let found = std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty());
    assert!(found || may_skip(), "ORT_DYLIB_PATH does not name ONNX Runtime's library, and CI is set");
    if !found {
        println!(
            "skipped: ORT_DYLIB_PATH does not name ONNX Runtime's library (run scripts/setup, source scripts/env)"
        );
    }
    found
}

/// A small network out of the committed ones; scripts/reference/teachers.py makes them and tells what they find.
pub fn tiny_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers").join(name)
}

/// Asserts an exit code and one line of error that holds all words.
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let line = stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(line.starts_with("error: ") && line.contains(word), "`{word}` is not in: {stderr}");
    }
}
