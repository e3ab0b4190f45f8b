//! The bundle: one ONNX file with everything needed to run it in its metadata, and where it comes from.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ModelError, ModelSpec, onnx_file};
use crate::metrics::ScoreProfile;

/// The key in the ONNX file's `metadata_props` under which [`BundleMetadata`] stands as JSON.
pub const METADATA_KEY: &str = "distilled_perception";

/// The version of [`BundleMetadata`] that this package writes and reads. It rises when a reader of an earlier version would
/// run a bundle wrongly.
pub const BUNDLE_VERSION: u32 = 1;

/// What a bundle's network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Boxes in camera images.
    #[default]
    CameraDetection,
    /// Objects in the sweeps of a lidar.
    LidarDetection,
}

impl Task {
    /// The name in the metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CameraDetection => "camera_detection",
            Self::LidarDetection => "lidar_detection",
        }
    }

    /// The node that runs bundles of this task.
    pub const fn node(self) -> &'static str {
        match self {
            Self::CameraDetection => "camera_detector",
            Self::LidarDetection => "lidar_detector",
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How the network of a bundle is run: one type for each [`Task`].
pub trait BundleSpec: Serialize + DeserializeOwned {
    /// The task of all bundles with this specification.
    const TASK: Task;

    /// Says what cannot be run.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    fn validate(&self) -> Result<(), String>;
}

impl BundleSpec for ModelSpec {
    const TASK: Task = Task::CameraDetection;

    fn validate(&self) -> Result<(), String> {
        ModelSpec::validate(self)
    }
}

/// What a bundle says about itself: a camera detector's, unless another specification is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BundleMetadata<S = ModelSpec> {
    /// Version of this form, [`BUNDLE_VERSION`].
    pub bundle_version: u32,
    /// What the network does.
    pub task: Task,
    /// How it is run.
    pub spec: S,
    /// Where it comes from.
    #[serde(default)]
    pub provenance: Provenance,
    /// Figures of its evaluation, by name: numbers, or deeper maps of them; and its [`ScoreProfile`].
    #[serde(default)]
    pub figures: serde_json::Map<String, serde_json::Value>,
    /// Learnt parameters.
    #[serde(default)]
    pub parameters: u64,
    /// Multiply-accumulates of one inference.
    #[serde(default)]
    pub macs: u64,
}

impl<S: BundleSpec> BundleMetadata<S> {
    /// Metadata of this package's version, without provenance and figures yet.
    pub fn new(spec: S) -> Self {
        let provenance = Provenance { crate_version: env!("CARGO_PKG_VERSION").to_owned(), ..Provenance::default() };
        Self {
            bundle_version: BUNDLE_VERSION,
            task: S::TASK,
            spec,
            provenance,
            figures: serde_json::Map::new(),
            parameters: 0,
            macs: 0,
        }
    }

    /// Reads the JSON, the version before all else and the task before the specification.
    ///
    /// # Errors
    /// Another version or task, JSON that does not fit, or a specification that cannot be run.
    pub fn from_json(json: &str) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Version {
            bundle_version: u32,
        }
        #[derive(Deserialize)]
        struct Purpose {
            task: Task,
        }
        let broken = |error: serde_json::Error| BundleError::Json(error.to_string());
        let Version { bundle_version } = serde_json::from_str(json).map_err(broken)?;
        if bundle_version > BUNDLE_VERSION {
            return Err(BundleError::Newer { found: bundle_version });
        }
        if bundle_version < BUNDLE_VERSION {
            return Err(BundleError::Older { found: bundle_version });
        }
        let Purpose { task } = serde_json::from_str(json).map_err(broken)?;
        if task != S::TASK {
            return Err(BundleError::Task { found: task, wanted: S::TASK });
        }
        let metadata: Self = serde_json::from_str(json).map_err(broken)?;
        metadata.spec.validate().map_err(BundleError::Spec)?;
        Ok(metadata)
    }

    /// Puts the figures of an evaluation, a JSON object, in place of earlier ones. The score profile stays: it is of the export.
    pub fn set_figures(&mut self, figures: serde_json::Value) {
        let profile = self.figures.remove(ScoreProfile::KEY);
        self.figures = match figures {
            serde_json::Value::Object(figures) => figures,
            _ => serde_json::Map::new(),
        };
        if let Some(profile) = profile {
            self.figures.insert(ScoreProfile::KEY.to_owned(), profile);
        }
    }

    /// The JSON that stands in the file.
    pub fn to_json(&self) -> String {
        // Serialising fails only for maps with keys that are not strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The teachers.
    pub teachers: Vec<TeacherSource>,
    /// The bags or image folders that it was trained on.
    pub data: Vec<DataSource>,
    /// The experiment's YAML as it was written.
    pub config: String,
    /// The seed of its training.
    pub seed: u64,
    /// Version of this package that made it.
    pub crate_version: String,
    /// The numbers that its network computes in, `int8` or `float16`; empty for `float32`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub precision: String,
}

/// A teacher of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherSource {
    /// Its name in the experiment.
    pub name: String,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// A recording that a bundle was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// The name of its file or folder.
    #[serde(alias = "path")]
    pub name: String,
    /// SHA-256 over its files, hexadecimal.
    pub sha256: String,
}

/// Why a bundle's metadata cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Written by a later version.
    #[error(
        "it is a bundle of version {found}, this package reads version {BUNDLE_VERSION}; update distilled_perception"
    )]
    Newer {
        /// The bundle's version.
        found: u32,
    },
    /// Written by an earlier version.
    #[error(
        "it is a bundle of version {found}, this package reads version {BUNDLE_VERSION}; export it again with this version of \
         `distill`"
    )]
    Older {
        /// The bundle's version.
        found: u32,
    },
    /// The network does something else.
    #[error("it is a bundle for {found}, {wanted} is wanted here; the node {} runs it", found.node())]
    Task {
        /// The bundle's task.
        found: Task,
        /// The task that was to be done.
        wanted: Task,
    },
    /// There is no metadata where the network cannot be run without.
    #[error(
        "it has no metadata under {METADATA_KEY:?}, so it is no bundle; take the ONNX file that `distill run` wrote"
    )]
    Missing,
    /// The JSON is broken or lacks a field.
    #[error("its metadata under {METADATA_KEY:?} cannot be read: {0}; export it again")]
    Json(String),
    /// The specification in it cannot be run.
    #[error("its metadata under {METADATA_KEY:?} cannot be run: {0}; export it again")]
    Spec(String),
    /// The bytes are no ONNX model.
    #[error("it is not an ONNX file (a protobuf message with a graph)")]
    NotOnnx,
}

/// The bundle metadata of an ONNX file, read without ONNX Runtime; `None` for a foreign model.
///
/// # Errors
/// The file cannot be read, is no ONNX file, or its metadata is of another version or task, or broken.
pub fn read_metadata<S: BundleSpec>(path: impl AsRef<Path>) -> Result<Option<BundleMetadata<S>>, ModelError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_path_buf(), source })?;
    let bundle = |source| ModelError::Bundle { model: path.display().to_string(), source };
    metadata_of(&bytes).map_err(bundle)
}

/// What the network of an ONNX file does by its bundle metadata; `None` for a foreign model.
///
/// # Errors
/// The file cannot be read, is no ONNX file, or its metadata is of another version, or broken.
pub fn task_of(path: impl AsRef<Path>) -> Result<Option<Task>, ModelError> {
    match read_metadata::<ModelSpec>(path) {
        Ok(bundle) => Ok(bundle.map(|bundle| bundle.task)),
        Err(ModelError::Bundle { source: BundleError::Task { found, .. }, .. }) => Ok(Some(found)),
        Err(error) => Err(error),
    }
}

/// [`read_metadata`] of an ONNX file's bytes.
///
/// # Errors
/// The bytes are no ONNX model, or their metadata is of another version or task, or broken.
pub fn metadata_of<S: BundleSpec>(onnx: &[u8]) -> Result<Option<BundleMetadata<S>>, BundleError> {
    // The parameters are counted only to see that there is a graph: text files can pass for an empty message.
    onnx_file::parameters(onnx).ok_or(BundleError::NotOnnx)?;
    let json = onnx_file::metadata(onnx, METADATA_KEY).ok_or(BundleError::NotOnnx)?;
    json.map(|json| BundleMetadata::from_json(&json)).transpose()
}

/// The ONNX file's bytes with `metadata` in place of any bundle metadata that they had; all else stays byte by byte.
///
/// # Errors
/// [`BundleError::NotOnnx`].
pub fn write_metadata<S: BundleSpec>(onnx: &[u8], metadata: &BundleMetadata<S>) -> Result<Vec<u8>, BundleError> {
    onnx_file::with_metadata(onnx, METADATA_KEY, &metadata.to_json()).ok_or(BundleError::NotOnnx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx_file::tests::tiny_model;
    use crate::model::{Fit, HeadFormat, InputSpec};

    fn example() -> BundleMetadata {
        let input = InputSpec { width: 320, height: 192, fit: Fit::LetterboxCenter(114), ..InputSpec::default() };
        let head = HeadFormat::Student { strides: vec![8, 16, 32], bins: 16 };
        let mut metadata = BundleMetadata::new(ModelSpec::new(input, head, vec!["person".into()]));
        metadata.provenance.teachers.push(TeacherSource { name: "teacher".into(), sha256: "00".into() });
        metadata.provenance.config = "name: \"quoted\"\nümlaut: yes\n".into();
        metadata.figures.insert("ap50".into(), 0.1.into());
        metadata
    }

    #[test]
    fn metadata_comes_back_as_it_was_written() {
        let once = write_metadata(&tiny_model(), &example()).unwrap();
        assert_eq!(metadata_of::<ModelSpec>(&once).unwrap(), Some(example()));
        let other = BundleMetadata { macs: 7, ..example() };
        let twice = write_metadata(&once, &other).unwrap();
        assert_eq!(metadata_of::<ModelSpec>(&twice).unwrap(), Some(other));
        assert_eq!(metadata_of::<ModelSpec>(&tiny_model()).unwrap(), None);
        assert_eq!(metadata_of::<ModelSpec>(b"text"), Err(BundleError::NotOnnx));
    }

    #[test]
    fn figures_of_an_evaluation_replace_others_but_not_the_score_profile() {
        let mut metadata = example();
        metadata.figures.insert(ScoreProfile::KEY.to_owned(), 7.into());
        metadata.set_figures(serde_json::json!({"ap": 0.5}));
        assert_eq!(
            serde_json::Value::Object(metadata.figures.clone()),
            serde_json::json!({"ap": 0.5, "score_profile": 7})
        );
        metadata.figures.remove(ScoreProfile::KEY);
        metadata.set_figures(serde_json::Value::Null);
        assert!(metadata.figures.is_empty());
    }

    #[test]
    fn a_bundle_of_another_task_names_its_node() {
        /// The specification of a lidar bundle, as far as this file knows one.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        struct Beams {
            beams: usize,
        }
        impl BundleSpec for Beams {
            const TASK: Task = Task::LidarDetection;

            fn validate(&self) -> Result<(), String> {
                if self.beams > 0 { Ok(()) } else { Err("beams must be above 0".into()) }
            }
        }
        let lidar = BundleMetadata::new(Beams { beams: 8 });
        let bytes = write_metadata(&tiny_model(), &lidar).unwrap();
        assert_eq!(metadata_of::<Beams>(&bytes).unwrap(), Some(lidar));
        let error = metadata_of::<ModelSpec>(&bytes).unwrap_err();
        assert_eq!(error, BundleError::Task { found: Task::LidarDetection, wanted: Task::CameraDetection });
        assert!(error.to_string().contains("the node lidar_detector runs it"), "{error}");
        let error = BundleMetadata::<Beams>::from_json(&example().to_json()).unwrap_err();
        assert!(error.to_string().contains("the node camera_detector runs it"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let camera = write_metadata(&tiny_model(), &example()).unwrap();
        for (file, task) in
            [(bytes, Some(Task::LidarDetection)), (camera, Some(Task::CameraDetection)), (tiny_model(), None)]
        {
            std::fs::write(&path, file).unwrap();
            assert_eq!(task_of(&path).unwrap(), task);
        }
        assert!(task_of(folder.path()).is_err());
        let useless = BundleMetadata::new(Beams { beams: 0 });
        assert!(matches!(BundleMetadata::<Beams>::from_json(&useless.to_json()), Err(BundleError::Spec(_))));
        for task in [Task::CameraDetection, Task::LidarDetection] {
            assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        }
    }

    #[test]
    fn other_versions_say_what_to_do() {
        // Only the version is read of another version: the rest may have any form.
        let newer = BundleMetadata::<ModelSpec>::from_json(r#"{"bundle_version": 2, "shape": []}"#).unwrap_err();
        assert!(newer.to_string().contains("update distilled_perception"), "{newer}");
        let older = BundleMetadata::<ModelSpec>::from_json(r#"{"bundle_version": 0}"#).unwrap_err();
        assert!(older.to_string().contains("export it again"), "{older}");
        assert!(matches!(
            BundleMetadata::<ModelSpec>::from_json(r#"{"bundle_version": 1}"#),
            Err(BundleError::Json(_))
        ));
        let mut metadata = example();
        metadata.spec.input.width = 0;
        assert!(matches!(BundleMetadata::<ModelSpec>::from_json(&metadata.to_json()), Err(BundleError::Spec(_))));
    }
}
