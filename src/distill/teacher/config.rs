//! A teacher's entry in an experiment.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::TeacherError;
use crate::model::{HeadFormat, ModelSpec};

/// One teacher: any ONNX detector.
///
/// ```yaml
/// teachers:
///   - model: models/yolox_nano_416.onnx
///   - name: hall_camera            # default: the file's name
///     model: models/detector.onnx
///     format: yolov8               # default auto: told by the outputs, by the YAML beside the model, or by bundle metadata
///     trust: 0.7                   # default 1
///     class_map: {car: vehicle, truck: vehicle}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// What it is called in reports; by default the file's name without its ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The ONNX file.
    pub model: PathBuf,
    /// How its outputs become boxes.
    #[serde(default)]
    pub format: TeacherFormat,
    /// The whole specification (input, head, classes), where the file does not tell enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<TeacherSpec>,
    /// How far it is trusted, above 0 and at most 1; its weight in the fusion.
    #[serde(default = "full_trust")]
    pub trust: f32,
    /// Its classes' names at the student's; without entries equal names meet. Classes that are not named are dropped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_map: BTreeMap<String, String>,
}

fn full_trust() -> f32 {
    1.0
}

impl TeacherConfig {
    /// A fully trusted teacher whose format its file tells.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            model: model.into(),
            format: TeacherFormat::Auto,
            spec: None,
            trust: full_trust(),
            class_map: BTreeMap::new(),
        }
    }

    /// Every path in it, for readers of a file that paths are relative to.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let spec = match &mut self.spec {
            Some(TeacherSpec::File(path)) => Some(path),
            _ => None,
        };
        std::iter::once(&mut self.model).chain(spec)
    }

    /// Every file that it is read from.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let spec = match &self.spec {
            Some(TeacherSpec::File(path)) => Some(path),
            _ => None,
        };
        std::iter::once(&self.model).chain(spec)
    }

    /// Says whether its files can be read at all, without loading it.
    ///
    /// # Errors
    /// [`TeacherError::Read`] that names the file.
    pub fn check_files(&self) -> Result<(), TeacherError> {
        for path in self.paths() {
            std::fs::File::open(path).map_err(|source| TeacherError::Read {
                teacher: self.display_name(),
                path: path.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }

    /// What it is called in reports.
    pub fn display_name(&self) -> String {
        let stem = || self.model.file_stem().unwrap_or(self.model.as_os_str()).to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }
}

/// How a teacher's outputs become boxes, see [`HeadFormat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherFormat {
    /// As the bundle's metadata, the YAML beside the model or the shapes of the outputs tell.
    #[default]
    Auto,
    /// [`HeadFormat::Yolox`].
    Yolox,
    /// [`HeadFormat::Nanodet`].
    Nanodet,
    /// [`HeadFormat::Fastestdet`].
    Fastestdet,
    /// [`HeadFormat::Yolov8`].
    Yolov8,
    /// [`HeadFormat::Yolov5`].
    Yolov5,
    /// [`HeadFormat::Detr`].
    Detr,
    /// [`HeadFormat::Suppressed`].
    Suppressed,
}

impl TeacherFormat {
    /// The head that is named, none for `auto`.
    pub fn head(self) -> Option<HeadFormat> {
        match self {
            Self::Auto => None,
            Self::Yolox => Some(HeadFormat::Yolox),
            Self::Nanodet => Some(HeadFormat::Nanodet),
            Self::Fastestdet => Some(HeadFormat::Fastestdet),
            Self::Yolov8 => Some(HeadFormat::Yolov8),
            Self::Yolov5 => Some(HeadFormat::Yolov5),
            Self::Detr => Some(HeadFormat::Detr),
            Self::Suppressed => Some(HeadFormat::Suppressed),
        }
    }
}

/// A teacher's specification, in a file or in place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TeacherSpec {
    /// A YAML file.
    File(PathBuf),
    /// Written in place.
    Inline(Box<ModelSpec>),
}

impl<'de> Deserialize<'de> for TeacherSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not serde's `untagged`: its errors do not say which field is wrong.
        struct TextOrMap;
        impl<'de> Visitor<'de> for TextOrMap {
            type Value = TeacherSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a YAML file, or a specification with input, head and classes")
            }

            fn visit_str<E>(self, path: &str) -> Result<TeacherSpec, E> {
                Ok(TeacherSpec::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TeacherSpec, A::Error> {
                ModelSpec::deserialize(MapAccessDeserializer::new(map)).map(|spec| TeacherSpec::Inline(spec.into()))
            }
        }
        deserializer.deserialize_any(TextOrMap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<TeacherConfig, serde_yaml::Error> {
        serde_yaml::from_str(yaml)
    }

    #[test]
    fn entries_need_only_the_model() {
        let config = read("model: models/yolox_nano.onnx").unwrap();
        assert_eq!(config, TeacherConfig::new("models/yolox_nano.onnx"));
        assert_eq!(config.display_name(), "yolox_nano");
        let config = read("{name: n, model: m.onnx, format: yolov8, trust: 0.5, class_map: {car: vehicle}}").unwrap();
        assert_eq!((config.format.head(), config.trust), (Some(HeadFormat::Yolov8), 0.5));
        assert_eq!(config.display_name(), "n");
        let written = serde_yaml::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config);
    }

    #[test]
    fn specifications_stand_in_a_file_or_in_place() {
        let file = read("{model: m.onnx, spec: m_spec.yaml}").unwrap();
        assert_eq!(file.spec, Some(TeacherSpec::File("m_spec.yaml".into())));
        let spec = "{input: {width: 320, height: 192}, head: yolox, classes: [person]}";
        let inline = read(&format!("{{model: m.onnx, spec: {spec}}}")).unwrap();
        let Some(TeacherSpec::Inline(found)) = &inline.spec else { panic!("{:?}", inline.spec) };
        assert_eq!((found.input.width, &found.head), (320, &HeadFormat::Yolox));
        assert_eq!(read(&serde_yaml::to_string(&inline).unwrap()).unwrap(), inline);
    }

    #[test]
    fn unknown_keys_and_formats_are_told() {
        assert!(read("{model: m.onnx, trusted: 1}").unwrap_err().to_string().contains("unknown field `trusted`"));
        assert!(read("{model: m.onnx, format: yolo}").unwrap_err().to_string().contains("unknown variant `yolo`"));
        let spec = read("{model: m.onnx, spec: {inputs: 3}}").unwrap_err().to_string();
        assert!(spec.contains("unknown field `inputs`"), "{spec}");
        assert!(read("{model: m.onnx, spec: 3}").unwrap_err().to_string().contains("path of a YAML file"));
    }
}
