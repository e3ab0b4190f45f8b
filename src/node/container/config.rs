//! The YAML file of `perception_container`.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use r2r::ParameterValue;
use serde::Deserialize;
use serde_yaml::Mapping;

use super::values::{Parameters, parameters_of, parameters_of_file, put};
use crate::{
    node::{
        CameraDetectorParameters, LidarDetectorParameters, ObstacleFusionParameters, camera_detector,
        host::NodeOptions, lidar_detector, obstacle_fusion, parameters::check_type,
    },
    unknown_key,
};

/// Which nodes run in the process, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerConfig {
    /// Detectors that compute at the same time.
    #[serde(default = "one")]
    pub(super) inference_threads: NonZeroUsize,
    /// What a node that fails does to the others.
    #[serde(default)]
    pub(super) restart: Restart,
    nodes: Vec<NodeEntry>,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// What may be started anew when a node has failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Restart {
    /// The whole process: it ends with the node's error.
    #[default]
    Process,
    /// Nothing: the other nodes go on.
    KeepGoing,
}

/// One node of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    node: NodeKind,
    name: Option<String>,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    parameters: Mapping,
    parameters_file: Option<PathBuf>,
}

/// The nodes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NodeKind {
    /// Images to detections.
    CameraDetector,
    /// Scans or clouds to objects.
    LidarDetector,
    /// Both to obstacles.
    ObstacleFusion,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no YAML, or has what it should not have, or not what it should.
    #[error("{path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl ContainerConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, keys that are unknown or missing, values of the wrong kind.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        read_yaml(path)
    }

    /// The nodes by their kinds, with names, namespaces and parameters as they are started. `path` is the file, which paths in it
    /// count from.
    ///
    /// # Errors
    /// No node, names that ROS does not take or that two nodes have, parameters that a node does not have, parameter files that cannot
    /// be used.
    pub(super) fn nodes(&self, path: &Path) -> Result<Vec<(NodeKind, NodeOptions)>, ConfigError> {
        let fault = |reason: String| ConfigError::Content { path: path.to_path_buf(), reason };
        if self.nodes.is_empty() {
            return Err(fault("nodes: there is none".to_owned()));
        }
        let mut names = BTreeSet::new();
        let mut nodes = Vec::new();
        for (place, entry) in self.nodes.iter().enumerate() {
            let at = |reason: String| fault(format!("nodes[{place}]: {reason}"));
            let name = entry.name.clone().unwrap_or_else(|| entry.node.name().to_owned());
            let namespace = namespace(&entry.namespace).map_err(at)?;
            check_name("name", &name).map_err(at)?;
            let full_name = format!("{namespace}/{name}");
            if !names.insert(full_name.clone()) {
                let reason = format!("another node is {full_name}, too; give each a name or a namespace of its own");
                return Err(at(reason));
            }
            let mut parameters = match &entry.parameters_file {
                Some(file) => entry.node.read_parameters(&beside(path, file), &full_name)?,
                None => Parameters::new(),
            };
            for (name, value) in
                parameters_of(&entry.parameters).map_err(|reason| at(format!("parameters: {reason}")))?
            {
                entry.node.check(&name, &value).map_err(|reason| at(format!("{full_name}: {reason}")))?;
                put(&mut parameters, name, value);
            }
            nodes.push((entry.node, NodeOptions { name, namespace, parameters }));
        }
        Ok(nodes)
    }
}

impl NodeKind {
    /// The node's name unless it is given another.
    fn name(self) -> &'static str {
        match self {
            Self::CameraDetector => camera_detector::NAME,
            Self::LidarDetector => lidar_detector::NAME,
            Self::ObstacleFusion => obstacle_fusion::NAME,
        }
    }

    /// Whether the node has this parameter, and it may be of this kind.
    fn check(self, name: &str, value: &ParameterValue) -> Result<(), String> {
        let checked = match self {
            Self::CameraDetector => check_type::<CameraDetectorParameters>(name, value),
            Self::LidarDetector => check_type::<LidarDetectorParameters>(name, value),
            Self::ObstacleFusion => check_type::<ObstacleFusionParameters>(name, value),
        };
        checked.map_err(|refusal| refusal.to_string())
    }

    /// What a parameter file has for a node. Such a file may be made for several nodes, so what another may have is left out.
    fn read_parameters(self, path: &Path, full_name: &str) -> Result<Parameters, ConfigError> {
        let fault = |reason: String| ConfigError::Content { path: path.to_path_buf(), reason };
        let mut parameters = parameters_of_file(&read_yaml(path)?, full_name).map_err(fault)?;
        parameters.retain(|(name, value)| match self.check(name, value) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!("{}: left out for {full_name}: {reason}", path.display());
                false
            }
        });
        Ok(parameters)
    }
}

/// A path as the file at `file` means it.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
}

/// A namespace with a slash before it and none behind; empty for none.
fn namespace(written: &str) -> Result<String, String> {
    let parts: Vec<&str> = written.split('/').filter(|part| !part.is_empty()).collect();
    for part in &parts {
        check_name("namespace", part)?;
    }
    Ok(parts.iter().map(|part| format!("/{part}")).collect())
}

/// Names as ROS takes them.
fn check_name(key: &str, name: &str) -> Result<(), String> {
    let is_good = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty();
    if is_good {
        return Ok(());
    }
    Err(format!("{key}: `{name}` is no name in ROS, which are letters, digits and underscores, no digit first"))
}

fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    serde_yaml::from_str(&text).map_err(|error| {
        let message = error.to_string();
        let hint = if message.contains("unknown field `remap`") {
            "; topics are parameters, and for the rest see perception_container --help".to_owned()
        } else {
            unknown_key::hint(&message)
        };
        ConfigError::Content { path: path.to_path_buf(), reason: format!("{message}{hint}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes of a file, or the whole error.
    fn nodes(text: &str) -> Result<Vec<(NodeKind, NodeOptions)>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("front.yaml"),
            "/**: {ros__parameters: {threads: 2, max_detections: 9, rate: 5.0}}",
        )
        .unwrap();
        let path = folder.path().join("container.yaml");
        std::fs::write(&path, text).unwrap();
        ContainerConfig::read(&path).and_then(|config| config.nodes(&path)).map_err(|error| error.to_string())
    }

    #[test]
    fn nodes_have_their_names_and_parameters() {
        let nodes = nodes(
            "
            nodes:
              - node: camera_detector
                name: front_camera
                namespace: robot1/front/
                parameters_file: front.yaml
                parameters:
                  {model: m.onnx, threads: 1, use_sim_time: true, qos_overrides: {/eye: {subscription: {depth: 1}}}}
              - node: obstacle_fusion
                parameters:
                  cameras: [a|b]
                  qos_overrides: {/a: {subscription: {depth: 1}}}
                  inflation: {person: 0.4}",
        )
        .unwrap();
        let [(NodeKind::CameraDetector, camera), (NodeKind::ObstacleFusion, fusion)] = &nodes[..] else {
            panic!("{nodes:?}")
        };
        assert_eq!((camera.name.as_str(), camera.namespace.as_str()), ("front_camera", "/robot1/front"));
        let value =
            |name: &str| camera.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(value("threads"), Some(ParameterValue::Integer(1)), "the file's own parameters come last");
        assert_eq!(value("max_detections"), Some(ParameterValue::Integer(9)));
        assert_eq!(value("qos_overrides./eye.subscription.depth"), Some(ParameterValue::Integer(1)));
        assert_eq!((value("rate"), camera.parameters.len()), (None, 5), "another node's parameters are left out");
        assert_eq!((fusion.name.as_str(), fusion.namespace.as_str()), ("obstacle_fusion", ""));
        let names: Vec<&str> = fusion.parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cameras", "qos_overrides./a.subscription.depth", "inflation.person"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_its_mend() {
        let entry = |entry: &str| format!("nodes: [{{node: camera_detector, {entry}}}]");
        for (text, words) in [
            ("nodes: []".to_owned(), &["nodes", "none"][..]),
            ("inference_thread: 2\nnodes: []".to_owned(), &["`inference_thread`", "did you mean `inference_threads`"]),
            ("inference_threads: 0\nnodes: []".to_owned(), &["inference_threads", "nonzero"]),
            ("restart: keep_goin\nnodes: []".to_owned(), &["did you mean `keep_going`"]),
            ("nodes: [{node: camera_detecter}]".to_owned(), &["did you mean `camera_detector`"]),
            (entry("paramters: {}"), &["did you mean `parameters`"]),
            (entry("remap: {image: x}"), &["topics are parameters"]),
            (entry("name: 1st_camera"), &["nodes[0]", "`1st_camera`"]),
            (entry("namespace: robot-1"), &["nodes[0]", "`robot-1`"]),
            (entry("parameters: {modle: m.onnx}"), &["/camera_detector", "parameter modle", "did you mean model?"]),
            (entry("parameters: {score_threshold: 1}"), &["score_threshold", "integer", "double", "1.0"]),
            (entry("parameters: {use_sim_time: 1}"), &["use_sim_time"]),
            (entry("parameters_file: nowhere.yaml"), &["cannot read", "nowhere.yaml"]),
            (entry("parameters_file: container.yaml"), &["container.yaml", "ros__parameters"]),
            (
                "nodes: [{node: lidar_detector}, {node: lidar_detector, namespace: /}]".to_owned(),
                &["nodes[1]", "/lidar_detector"],
            ),
        ] {
            let error = nodes(&text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "`{word}` is not in: {error}");
            }
        }
    }
}
