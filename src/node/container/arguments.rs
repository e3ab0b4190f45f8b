//! The command line of `perception_container`.

use std::path::PathBuf;

use crate::spelling;

/// What `--help` says.
pub(super) const HELP: &str = "\
Runs several of our nodes in one process, out of one YAML file, until SIGINT or SIGTERM.

Usage: perception_container --config FILE [--ros-args ...]

Options:
      --config FILE    the nodes, and how many of them compute at the same time
  -h, --help           this text
  -V, --version        the version
      --ros-args ...   ROS's own arguments; they hold for all nodes, or with a node's name before a colon for that one

The file:
  inference_threads: 1          # detectors that compute at the same time; the others wait with their newest frame
  restart: process              # a node that fails ends the process, with exit code 2; keep_going: the others go on
  nodes:
    - node: camera_detector     # or lidar_detector, obstacle_fusion
      name: front_camera        # else as the node
      namespace: /robot1/front
      parameters: {model: /path/to/student.onnx, image_topic: /robot1/front/image_raw}
      parameters_file: front.yaml    # as of ros2 run --params-file; beside this file, unless the path is absolute

Topics are parameters (image_topic, input_topic, cameras, lidar). To remap what else one node has:
  perception_container --config FILE --ros-args -r front_camera:bond:=/robot1/bond

Examples:
  perception_container --config fleet.yaml
  perception_container --config fleet.yaml --ros-args -p use_sim_time:=true -p front_camera:score_threshold:=0.4

Parameters, environment and exit codes are those of the nodes: camera_detector --help, lidar_detector --help, obstacle_fusion --help.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// The nodes of a file.
    Config(PathBuf),
}

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ArgumentError {
    /// Nothing says which nodes.
    #[error("no file is given; perception_container --config FILE, and --help shows what is in it")]
    NoConfig,
    /// An option without its value.
    #[error("--config needs a file after it")]
    NoValue,
    /// Something else.
    #[error("there is no argument `{written}`{hint}; perception_container --help shows all")]
    Unknown {
        /// What was written.
        written: String,
        /// ` (did you mean ..?)` or nothing.
        hint: String,
    },
}

impl Arguments {
    /// Reads the words after the program's name. What is between `--ros-args` and `--` is rcl's.
    ///
    /// # Errors
    /// Words that are no argument, or no file.
    pub(super) fn read(words: impl IntoIterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter();
        let mut config: Option<PathBuf> = None;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--ros-args" => {
                    let _ = words.by_ref().find(|word| word == "--");
                }
                "-h" | "--help" => return Ok(Self::Help),
                "-V" | "--version" => return Ok(Self::Version),
                "--config" => config = Some(words.next().ok_or(ArgumentError::NoValue)?.into()),
                other => match other.strip_prefix("--config=") {
                    Some(path) => config = Some(path.into()),
                    None => {
                        let nearest = spelling::nearest(other, ["--config", "--help", "--version", "--ros-args"]);
                        let hint = nearest.map_or_else(String::new, |nearest| format!(" (did you mean `{nearest}`?)"));
                        return Err(ArgumentError::Unknown { written: word, hint });
                    }
                },
            }
        }
        config.map(Self::Config).ok_or(ArgumentError::NoConfig)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_between_ros_args_and_its_end_is_not_ours() {
        for line in
            ["--config a.yaml", "--config=a.yaml --ros-args -p x:=1", "--ros-args --config b.yaml -- --config a.yaml"]
        {
            assert_eq!(read(line), Ok(Arguments::Config("a.yaml".into())), "{line}");
        }
        assert_eq!(read("--config a.yaml --help"), Ok(Arguments::Help));
        assert_eq!(read("-V"), Ok(Arguments::Version));
    }

    #[test]
    fn wrong_words_are_told() {
        assert_eq!(read("--ros-args --config a.yaml"), Err(ArgumentError::NoConfig));
        assert_eq!(read("--config"), Err(ArgumentError::NoValue));
        let slip = read("--confg a.yaml").unwrap_err().to_string();
        assert!(slip.contains("`--confg` (did you mean `--config`?)"), "{slip}");
        assert!(read("a.yaml").unwrap_err().to_string().contains("`a.yaml`;"));
    }
}
