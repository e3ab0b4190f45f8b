//! One teacher, ready to be asked.

use image::RgbImage;

use super::{
    ClassMap, EnsembleOptions, FeatureMap, TeacherConfig, TeacherError, TeacherFormat, TeacherSpec, tapped_bytes,
};
use crate::{
    model::{
        Detections, Detector, HeadFormat, ModelError, ModelSpec, Session, SessionOptions, SoftDetection, StageTiming,
        head::OutputTensor,
    },
    sensing::letterbox::Letterbox,
};

/// A loaded teacher.
#[derive(Debug)]
pub struct Teacher {
    pub(super) config: TeacherConfig,
    detector: Detector,
    pub(super) class_map: ClassMap,
    own_threshold: f32,
    /// Whether tensors are tapped.
    has_taps: bool,
}

impl Teacher {
    /// Loads a teacher for a student with these classes and runs it once on an empty image: a specification that does not fit the
    /// network shows here, not at the first frame. One thread computes.
    ///
    /// # Errors
    /// [`TeacherError`]: the model cannot be loaded or run, its outputs are not as its specification says, or its classes do not
    /// meet the student's.
    pub fn load(config: &TeacherConfig, classes: &[String], options: EnsembleOptions) -> Result<Self, TeacherError> {
        Self::load_tapped(config, classes, options, &[])
    }

    /// [`Self::load`] with `tensors` of the network, by their names in its graph, which [`Self::detect_tapped`] and
    /// [`Self::features`] hand out; [`list_tensors`](super::list_tensors) tells what there is.
    ///
    /// # Errors
    /// As [`Self::load`], and [`TeacherError::Tensors`] or [`ModelError::NoMap`] for a tensor that is not there or is no feature map.
    pub fn load_tapped(
        config: &TeacherConfig,
        classes: &[String],
        options: EnsembleOptions,
        tensors: &[String],
    ) -> Result<Self, TeacherError> {
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
        let fail = |source: ModelError| TeacherError::Model { teacher: name.clone(), source: Box::new(source) };
        let has_taps = !tensors.is_empty();
        if has_taps {
            let bytes = tapped_bytes(&config.model, tensors)
                .map_err(|source| TeacherError::Tensors { teacher: name.clone(), source })?;
            detector.tap(&bytes, tensors, &SessionOptions::default()).map_err(fail)?;
        }
        detector.warm_up().map_err(|source| misfit(config, &detector, source))?;
        let mut teacher = Self { config: config.clone(), detector, class_map, own_threshold, has_taps };
        // Tensors that are no maps show here, too.
        teacher.features(&RgbImage::new(1, 1)).map_err(fail)?;
        Ok(teacher)
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

    /// Per student class, whether it knows the class.
    pub fn knows(&self) -> &[bool] {
        self.class_map.knows()
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

    /// [`Self::detect`] with the tapped tensors, in the order in which they were named.
    ///
    /// # Errors
    /// When the network cannot be run, or a tensor is no feature map.
    pub fn detect_tapped(&mut self, image: &RgbImage) -> Result<(Detections, Vec<FeatureMap>), ModelError> {
        let class_map = &self.class_map;
        let translate = |probabilities: &[f32]| class_map.translate(probabilities);
        let tapped = self.detector.detect_tapped(image, &translate)?;
        Ok((tapped.found, self.maps(tapped.tensors, tapped.letterbox)?))
    }

    /// The tapped tensors alone; without taps the network is not run.
    ///
    /// # Errors
    /// When the network cannot be run, or a tensor is no feature map.
    pub fn features(&mut self, image: &RgbImage) -> Result<Vec<FeatureMap>, ModelError> {
        if !self.has_taps {
            return Ok(Vec::new());
        }
        let (tensors, letterbox) = self.detector.tapped(image)?;
        self.maps(tensors, letterbox)
    }

    fn maps(&self, tensors: Vec<OutputTensor<'static>>, letterbox: Letterbox) -> Result<Vec<FeatureMap>, ModelError> {
        let (input, model) = (&self.detector.spec().input, self.detector.session().model());
        tensors.into_iter().map(|tensor| FeatureMap::new(tensor, letterbox, input, model)).collect()
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

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::{InputSpec, has_runtime};

    /// A teacher on one of the tiny networks of scripts/reference/teachers.py, whose outputs do not depend on the image.
    pub(in crate::distill::teacher) fn tiny(name: &str) -> TeacherConfig {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers");
        TeacherConfig::new(folder.join(name))
    }

    pub(in crate::distill::teacher) fn inline(name: &str, classes: &[&str], max_detections: usize) -> TeacherConfig {
        let input = InputSpec { width: 32, height: 32, ..InputSpec::default() };
        let classes = classes.iter().map(ToString::to_string).collect();
        let spec = ModelSpec { max_detections, ..ModelSpec::new(input, HeadFormat::Yolov8, classes) };
        TeacherConfig { spec: Some(TeacherSpec::Inline(Box::new(spec))), ..tiny(name) }
    }

    fn load(config: &TeacherConfig, class: &str) -> Result<Teacher, TeacherError> {
        let options = EnsembleOptions { score_threshold: 0.1, ..EnsembleOptions::default() };
        Teacher::load(config, &[class.to_owned()], options)
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
