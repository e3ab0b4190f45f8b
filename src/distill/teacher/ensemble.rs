//! Several teachers asked about the same image.

use std::collections::BTreeMap;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{ClassMap, TeacherConfig, TeacherError, TeacherFormat, TeacherSpec, class_map::nearest_hint};
use crate::{
    distill::digest::file_sha256,
    geometry::{FusedBox, FusionBox, FusionSource, weighted_box_fusion},
    model::{Detector, HeadFormat, ModelError, ModelSpec, Session, SessionOptions, SoftDetection, StageTiming},
};

/// Thresholds of soft targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleOptions {
    /// Teachers' boxes and fused boxes with a lower best score are dropped. Low, because a student also learns from doubt.
    pub score_threshold: f32,
    /// Boxes of two teachers mean the same object when they overlap by more than this IoU.
    pub iou_threshold: f32,
}

impl Default for EnsembleOptions {
    fn default() -> Self {
        Self { score_threshold: 0.05, iou_threshold: 0.55 }
    }
}

/// A loaded teacher.
#[derive(Debug)]
pub struct Teacher {
    config: TeacherConfig,
    detector: Detector,
    class_map: ClassMap,
    own_threshold: f32,
}

/// Where targets come from: one teacher as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherProvenance {
    /// What it is called.
    pub name: String,
    /// The ONNX file.
    pub path: String,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
    /// How far it was trusted.
    pub trust: f32,
    /// Its classes that were used, with the student's names for them.
    pub class_map: BTreeMap<String, String>,
    /// How it was run.
    pub spec: ModelSpec,
}

impl Teacher {
    /// Loads a teacher for a student with these classes and runs it once on an empty image: a specification that does not fit the
    /// network shows here, not at the first frame. One thread computes.
    ///
    /// # Errors
    /// [`TeacherError`]: the model cannot be loaded or run, its outputs are not as its specification says, or its classes do not
    /// meet the student's.
    pub fn load(config: &TeacherConfig, classes: &[String], options: EnsembleOptions) -> Result<Self, TeacherError> {
        let name = config.display_name();
        if !(config.trust > 0.0 && config.trust <= 1.0) {
            return Err(TeacherError::Trust { teacher: name, trust: config.trust });
        }
        let mut detector = Self::load_detector(config)?;
        let spec = detector.spec();
        let own_threshold = spec.score_threshold;
        let (iou_threshold, max_detections) = (spec.iou_threshold, spec.max_detections);
        let class_map = ClassMap::new(&name, &spec.classes, classes, &config.class_map)?;
        detector.set_thresholds(options.score_threshold, iou_threshold, max_detections);
        detector.warm_up().map_err(|source| misfit(config, &detector, source))?;
        Ok(Self { config: config.clone(), detector, class_map, own_threshold })
    }

    /// Loads a teacher's detector, by its `spec`, its `format`, or what the file tells of itself.
    ///
    /// # Errors
    /// [`TeacherError::Model`] and [`TeacherError::Format`].
    pub fn load_detector(config: &TeacherConfig) -> Result<Detector, TeacherError> {
        let options = SessionOptions::default();
        let fail =
            |source: ModelError| TeacherError::Model { teacher: config.display_name(), source: Box::new(source) };
        match (&config.spec, config.format.head()) {
            (Some(TeacherSpec::Inline(spec)), None) => {
                Detector::with_spec(&config.model, ModelSpec::clone(spec), &options).map_err(fail)
            }
            (Some(TeacherSpec::File(path)), None) => ModelSpec::read_yaml(path)
                .and_then(|spec| Detector::with_spec(&config.model, spec, &options))
                .map_err(fail),
            (None, None) => Detector::load(&config.model, &options).map_err(fail),
            (Some(_), Some(_)) => Err(TeacherError::Format {
                teacher: config.display_name(),
                reason: "`format` and `spec` are both given, and `spec` has the format in its `head`".into(),
            }),
            (None, Some(head)) => {
                let spec = usual_spec(config, head, &options)?;
                Detector::with_spec(&config.model, spec, &options).map_err(fail)
            }
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.config.display_name()
    }

    /// The score threshold that the model itself asks for, before that of the ensemble took its place.
    pub fn own_threshold(&self) -> f32 {
        self.own_threshold
    }

    /// The detector as it is run.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Finds objects, with a score per student class. What is none of these is dropped before anything is suppressed or counted:
    /// a hall full of chairs leaves the persons their places among the best.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn detect(&mut self, image: &RgbImage) -> Result<(Vec<SoftDetection>, StageTiming), ModelError> {
        let class_map = &self.class_map;
        let translate = |probabilities: &[f32]| class_map.translate(probabilities);
        let found = self.detector.detect_translated(image, &translate)?;
        Ok((found.detections, found.timing))
    }
}

/// Why a loaded network cannot be run as its specification says, and where that stands.
fn misfit(config: &TeacherConfig, detector: &Detector, source: ModelError) -> TeacherError {
    let (teacher, source) = (config.display_name(), Box::new(source));
    if !matches!(*source, ModelError::Head { .. }) {
        return TeacherError::Model { teacher, source };
    }
    let place = match (&config.spec, config.format) {
        (Some(TeacherSpec::Inline(_)), _) => "`spec` in its entry".to_owned(),
        (Some(TeacherSpec::File(path)), _) => path.display().to_string(),
        (None, TeacherFormat::Auto) => detector.source().to_string(),
        (None, _) => "`format` in its entry".to_owned(),
    };
    TeacherError::Misfit { teacher, source, place }
}

/// The specification that models of a named format usually have; COCO's classes where there are 80.
fn usual_spec(config: &TeacherConfig, head: HeadFormat, options: &SessionOptions) -> Result<ModelSpec, TeacherError> {
    let teacher = || config.display_name();
    let fail = |source: ModelError| TeacherError::Model { teacher: teacher(), source: Box::new(source) };
    let mut session = Session::load(&config.model, options).map_err(fail)?;
    let (Some(height), Some(width)) = session.image_size().map_err(fail)? else {
        let reason = "the network leaves its input size open".into();
        return Err(TeacherError::Format { teacher: teacher(), reason });
    };
    let outputs = session.output_shapes(width, height).map_err(fail)?;
    let format = head.name();
    ModelSpec::usual(head, &outputs, width, height).ok_or_else(|| {
        let reason = format!("a {format} head with these outputs does not tell its number of classes");
        TeacherError::Format { teacher: teacher(), reason }
    })
}

/// What an ensemble says about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleOutput {
    /// The fused boxes in pixels of the image, best first.
    pub fused: Vec<FusedBox>,
    /// What each teacher said, in the order of the teachers, with a score per student class.
    pub per_teacher: Vec<Vec<SoftDetection>>,
    /// How long each teacher took.
    pub timing: Vec<StageTiming>,
}

/// Teachers of one student.
#[derive(Debug)]
pub struct Ensemble {
    teachers: Vec<Teacher>,
    options: EnsembleOptions,
}

impl Ensemble {
    /// Loads all teachers, each computing on one thread.
    ///
    /// # Errors
    /// [`TeacherError`]: a teacher cannot be loaded, knows none of the student's classes, or a class has no teacher.
    pub fn load(
        teachers: &[TeacherConfig],
        classes: &[String],
        options: EnsembleOptions,
    ) -> Result<Self, TeacherError> {
        for (name, value) in [("score_threshold", options.score_threshold), ("iou_threshold", options.iou_threshold)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(TeacherError::Threshold { name, value });
            }
        }
        let teachers =
            teachers.iter().map(|config| Teacher::load(config, classes, options)).collect::<Result<Vec<_>, _>>()?;
        if teachers.is_empty() {
            return Err(TeacherError::None);
        }
        for (index, class) in classes.iter().enumerate() {
            if !teachers.iter().any(|teacher| teacher.class_map.knows()[index]) {
                let known: Vec<&String> =
                    teachers.iter().flat_map(|teacher| &teacher.detector.spec().classes).collect();
                return Err(TeacherError::Untaught {
                    class: class.clone(),
                    hint: nearest_hint([class], known.iter().copied()),
                });
            }
        }
        Ok(Self { teachers, options })
    }

    /// The teachers' names.
    pub fn names(&self) -> Vec<String> {
        self.teachers.iter().map(Teacher::name).collect()
    }

    /// The teachers.
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// What to keep with the targets about who made them.
    ///
    /// # Errors
    /// [`TeacherError::Read`] when a model's file cannot be read any more.
    pub fn provenance(&self) -> Result<Vec<TeacherProvenance>, TeacherError> {
        let provenance = |teacher: &Teacher| {
            let path = teacher.config.model.display().to_string();
            match file_sha256(&teacher.config.model) {
                Err(source) => Err(TeacherError::Read { teacher: teacher.name(), path, source }),
                Ok(sha256) => Ok(TeacherProvenance {
                    name: teacher.name(),
                    path,
                    sha256,
                    trust: teacher.config.trust,
                    class_map: teacher.class_map.names().clone(),
                    spec: teacher.detector.spec().clone(),
                }),
            }
        };
        self.teachers.iter().map(provenance).collect()
    }

    /// Asks all teachers about an image and fuses their answers.
    ///
    /// # Errors
    /// A teacher fails in ONNX Runtime, or its outputs do not fit its head.
    pub fn label(&mut self, image: &RgbImage) -> Result<EnsembleOutput, ModelError> {
        let mut per_teacher = Vec::with_capacity(self.teachers.len());
        let mut timing = Vec::with_capacity(self.teachers.len());
        for teacher in &mut self.teachers {
            let (detections, took) = teacher.detect(image)?;
            per_teacher.push(detections);
            timing.push(took);
        }
        let sources: Vec<FusionSource<'_>> = self
            .teachers
            .iter()
            .zip(&per_teacher)
            .map(|(teacher, detections)| FusionSource {
                trust: teacher.config.trust,
                knows: teacher.class_map.knows(),
                boxes: detections
                    .iter()
                    .map(|found| FusionBox { bbox: found.bbox, probabilities: &found.probabilities })
                    .collect(),
            })
            .collect();
        let mut fused = weighted_box_fusion(&sources, self.options.iou_threshold);
        fused.retain(|fused| fused.score() >= self.options.score_threshold);
        Ok(EnsembleOutput { fused, per_teacher, timing })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::InputSpec;

    /// A teacher on one of the tiny networks of scripts/reference/teachers.py, whose outputs do not depend on the image.
    fn tiny(name: &str) -> TeacherConfig {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers");
        TeacherConfig::new(folder.join(name))
    }

    fn inline(name: &str, classes: &[&str], max_detections: usize) -> TeacherConfig {
        let input = InputSpec { width: 32, height: 32, ..InputSpec::default() };
        let classes = classes.iter().map(ToString::to_string).collect();
        let spec = ModelSpec { max_detections, ..ModelSpec::new(input, HeadFormat::Yolov8, classes) };
        TeacherConfig { spec: Some(TeacherSpec::Inline(Box::new(spec))), ..tiny(name) }
    }

    fn load(config: &TeacherConfig, class: &str) -> Result<Teacher, TeacherError> {
        let options = EnsembleOptions { score_threshold: 0.1, ..EnsembleOptions::default() };
        Teacher::load(config, &[class.to_owned()], options)
    }

    fn has_runtime() -> bool {
        let found = std::env::var_os("ORT_DYLIB_PATH").is_some();
        if !found {
            println!("skipped: ORT_DYLIB_PATH does not name ONNX Runtime's library");
        }
        found
    }

    #[test]
    fn what_the_student_does_not_want_crowds_nothing_out() {
        if !has_runtime() {
            return;
        }
        // 19 sure chairs and two doubtful persons, but only 5 boxes an image.
        let mut teacher = load(&inline("tiny_crowd.onnx", &["chair", "person"], 5), "person").unwrap();
        let (found, _) = teacher.detect(&RgbImage::new(32, 32)).unwrap();
        assert_eq!(found.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(0, 0.25), (0, 0.125)]);
        let mut all = load(&inline("tiny_crowd.onnx", &["chair", "person"], 5), "chair").unwrap();
        let (found, _) = all.detect(&RgbImage::new(32, 32)).unwrap();
        assert_eq!(found.iter().map(SoftDetection::score).collect::<Vec<_>>(), [0.75; 5]);
    }

    #[test]
    fn a_specification_that_does_not_fit_shows_at_loading() {
        if !has_runtime() {
            return;
        }
        let error = load(&inline("tiny_yolov8.onnx", &["chair", "person", "pallet"], 5), "person").unwrap_err();
        assert!(matches!(error, TeacherError::Misfit { .. }), "{error}");
        let text = error.to_string();
        for part in ["tiny_yolov8.onnx", "2 classes", "`classes`", "`spec` in its entry"] {
            assert!(text.contains(part), "{text}");
        }
        let mut config = inline("tiny_yolov8.onnx", &["chair", "person"], 5);
        if let Some(TeacherSpec::Inline(spec)) = &mut config.spec {
            spec.head = HeadFormat::Fastestdet;
        }
        let text = load(&config, "person").unwrap_err().to_string();
        assert!(text.contains("tiny_yolov8.onnx") && text.contains("fastestdet") && text.contains("`head`"), "{text}");
        let detr = TeacherConfig { format: TeacherFormat::Detr, ..tiny("tiny_yolov8.onnx") };
        let error = load(&detr, "class_0").unwrap_err().to_string();
        assert!(error.contains("number of classes"), "{error}");
    }

    #[test]
    fn a_named_format_is_enough_for_open_shapes_and_detr() {
        if !has_runtime() {
            return;
        }
        let config = TeacherConfig { format: TeacherFormat::Detr, ..tiny("tiny_detr.onnx") };
        let mut teacher = load(&config, "person").unwrap();
        assert_eq!(teacher.detector().spec().classes.len(), 80);
        let (found, _) = teacher.detect(&RgbImage::new(32, 32)).unwrap();
        assert_eq!(found.len(), 1, "the other query found no object");
        assert!(found[0].score() > 0.99, "{found:?}");
    }
}
