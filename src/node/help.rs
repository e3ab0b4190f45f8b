//! What the programs of the nodes say of themselves: `--help` and `--version`.

use std::fmt::Write as _;

use r2r::indexmap::IndexMap;

use super::{
    logging::{FORMAT_VARIABLE, LARGEST_TRACE, TRACE_VARIABLE, USUAL_FILTER},
    parameters::{NodeParameters, written},
};

/// Columns that descriptions are broken at.
const WIDTH: usize = 100;
/// Spaces before a description.
const INDENT: &str = "      ";

/// The program of a node, for those who ask what it is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    name: &'static str,
    about: &'static str,
    parameters: fn() -> Vec<ParameterLine>,
}

/// A parameter in the help.
#[derive(Debug, Clone)]
struct ParameterLine {
    name: String,
    kind: &'static str,
    default: String,
    description: &'static str,
}

/// What is asked of a program by its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To be the node.
    Run,
    /// What it is.
    Help,
    /// Its version.
    Version,
    /// Something that is not known.
    Unknown(String),
}

impl Asked {
    /// By the arguments after the program's name. Those of ROS stand between `--ros-args` and `--`, and are ROS's to judge.
    pub(super) fn of(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut is_of_ros = false;
        for argument in arguments {
            match argument.as_str() {
                "--ros-args" => is_of_ros = true,
                "--" => is_of_ros = false,
                _ if is_of_ros => {}
                "-h" | "--help" => return Self::Help,
                "-V" | "--version" => return Self::Version,
                _ => return Self::Unknown(argument),
            }
        }
        Self::Run
    }
}

impl Program {
    /// The program of a node with parameters of type `P`. `about` says what the node is, its topics and an example.
    pub(super) const fn of<P: NodeParameters>(name: &'static str, about: &'static str) -> Self {
        Self { name, about, parameters: lines_of::<P> }
    }

    /// Name and version.
    pub(super) fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// What to do about an argument that is not known.
    pub(super) fn misunderstood(&self, argument: &str) -> String {
        let name = self.name;
        format!(
            "error: `{argument}` is not known; parameters and remappings of ROS follow --ros-args, such as \
             `{name} --ros-args -p model:=student.onnx`; see `{name} --help`\n"
        )
    }

    /// Everything.
    pub(super) fn help(&self) -> String {
        let name = self.name;
        let mut text =
            format!("{}\n\nUsage: {name} [--ros-args -p NAME:=VALUE ... -r FROM:=TO ...]\n", self.about.trim());
        text.push_str("\nOptions:\n  -h, --help     This text\n  -V, --version  The version\n");
        text.push_str("\nParameters (as `ros2 param describe` tells them; `--params-file FILE.yaml` after --ros-args reads many):\n");
        for line in (self.parameters)() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {} ({}, default {})", line.name, line.kind, line.default);
            for row in wrapped(line.description, WIDTH - INDENT.len()) {
                let _ = writeln!(text, "{INDENT}{row}");
            }
        }
        let mebibytes = LARGEST_TRACE / (1024 * 1024);
        let _ = write!(
            text,
            "
Environment:
  RUST_LOG            What is logged to stderr, by level and crate; default {USUAL_FILTER}. For example
                      RUST_LOG=distilled_perception=debug
  {FORMAT_VARIABLE}
                      text (default) or json: one JSON object a line with timestamp, level, target and message
  {TRACE_VARIABLE}
                      A file for a trace of every frame's stages in Chrome's format; open it with ui.perfetto.dev.
                      It is whole when the node has ended, and ends by itself at {mebibytes} MiB. %p in its name stands
                      for the process's number: where several are started together, each needs a file of its own
  ORT_DYLIB_PATH      ONNX Runtime's library, where the parameter onnxruntime_library does not name one
  ROS_DOMAIN_ID, RMW_IMPLEMENTATION and the others of ROS 2

Exit codes:
  0  ended by SIGINT or SIGTERM
  1  the program's runtime cannot start
  2  an error that is on stderr: a parameter that makes no sense, a model that cannot be run, no ROS 2, an unknown argument

See also docs/nodes.md and docs/operations.md: topics, diagnostics, managed nodes, Nav2.
"
        );
        text
    }
}

/// The parameters as the node declares them: one source for this text, `ros2 param describe` and the defaults.
fn lines_of<P: NodeParameters>() -> Vec<ParameterLine> {
    let mut declared = IndexMap::new();
    // Nothing is given from outside here, so nothing can be of a wrong type.
    if P::default().register_parameters("", None, &mut declared).is_err() {
        return Vec::new();
    }
    let line = |(name, parameter): (String, r2r::Parameter)| ParameterLine {
        name,
        kind: parameter.value.type_name(),
        default: written(&parameter.value),
        description: parameter.description,
    };
    declared.into_iter().map(line).collect()
}

/// Breaks a text at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{camera_detector, lidar_detector, obstacle_fusion};

    #[test]
    fn arguments_of_ros_are_left_to_ros() {
        let asked = |arguments: &[&str]| Asked::of(arguments.iter().map(|&argument| argument.to_owned()));
        assert_eq!(asked(&[]), Asked::Run);
        assert_eq!(asked(&["--ros-args", "-p", "model:=a.onnx", "-h", "--log-level", "info"]), Asked::Run);
        assert_eq!(asked(&["--ros-args", "-r", "a:=b", "--", "--help"]), Asked::Help);
        assert_eq!(asked(&["-V"]), Asked::Version);
        assert_eq!(asked(&["model.onnx", "--help"]), Asked::Unknown("model.onnx".into()));
    }

    #[test]
    fn every_help_teaches() {
        for program in [camera_detector::PROGRAM, lidar_detector::PROGRAM, obstacle_fusion::PROGRAM] {
            let help = program.help();
            let example = format!("\n  ros2 run distilled_perception {} --ros-args ", program.name);
            for words in
                [example.as_str(), "Topics:", "/diagnostics", "\n  autostart (boolean, default true)\n", "Exit codes:"]
            {
                assert!(help.contains(words), "`{words}` is not in:\n{help}");
            }
            assert!(help.lines().all(|line| line.chars().count() <= 140), "{help}");
            assert!(program.misunderstood("a.onnx").contains(program.name));
        }
        assert!(camera_detector::PROGRAM.help().contains("\n  image_topic (string, default \"image\")\n"));
    }

    #[test]
    fn texts_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a_word_that_is_too_long b", 5), ["a_word_that_is_too_long", "b"]);
        assert!(wrapped("", 5).is_empty());
    }
}
