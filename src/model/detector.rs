//! A detector: image in, boxes in image pixels out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::RgbImage;

use super::bundle::{BundleMetadata, METADATA_KEY};
use super::guess::GuessError;
use super::head;
use super::{ModelError, ModelSpec, Session, SessionOptions, SoftDetection};
use crate::geometry::{Candidate, suppress};
use crate::sensing::letterbox::{InputFiller, Letterbox};

/// How long each stage of one detection took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTiming {
    /// Image to input tensor.
    pub preprocess: Duration,
    /// The network.
    pub infer: Duration,
    /// Outputs to suppressed boxes in image pixels.
    pub decode: Duration,
}

impl StageTiming {
    /// All stages together.
    pub fn total(&self) -> Duration {
        self.preprocess + self.infer + self.decode
    }
}

/// What was found in one image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detections {
    /// Boxes in pixels of the image, best score first.
    pub detections: Vec<SoftDetection>,
    /// How long it took.
    pub timing: StageTiming,
    /// Boxes left out because a value was not finite.
    pub skipped: usize,
}

/// Where a detector's specification comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SpecSource {
    /// From the bundle's metadata.
    Bundle(Box<BundleMetadata>),
    /// From the YAML beside the ONNX file.
    Yaml(PathBuf),
    /// Guessed from the network's outputs.
    Guessed,
    /// Given by the caller.
    Given,
}

impl std::fmt::Display for SpecSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle(_) => f.write_str("bundle metadata"),
            Self::Yaml(path) => write!(f, "{}", path.display()),
            Self::Guessed => f.write_str("guessed from the outputs"),
            Self::Given => f.write_str("given"),
        }
    }
}

/// A network with its specification and the memory that it needs from image to image.
#[derive(Debug)]
pub struct Detector {
    session: Session,
    spec: ModelSpec,
    source: SpecSource,
    filler: InputFiller,
    input: Vec<f32>,
    /// The specification's own score threshold and those of its classes, which [`Self::set_thresholds`] may put aside.
    own_thresholds: (f32, BTreeMap<String, f32>),
    /// Set once boxes that are not finite were reported, so that a broken network does not fill the log.
    reported: bool,
}

impl Detector {
    /// Loads a detector. Its specification is the bundle's metadata; else the YAML beside a foreign ONNX file (`model.onnx` ->
    /// `model.yaml`); else guessed from the outputs ([`ModelSpec::guess`]).
    ///
    /// # Errors
    /// The file or its YAML cannot be read, cannot be run, or does not tell enough about itself.
    pub fn load(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let session = Session::load(path, options)?;
        let yaml = path.with_extension("yaml");
        if session.metadata(METADATA_KEY).is_none() && yaml.is_file() {
            let spec = ModelSpec::read_yaml(&yaml)?;
            return Self::assemble(session, spec, SpecSource::Yaml(yaml));
        }
        Self::from_session(session, &yaml.display().to_string())
    }

    /// Loads a detector from an ONNX file's bytes, by its bundle metadata or guessed; `name` stands for the file in messages.
    ///
    /// # Errors
    /// The bytes cannot be run, or do not tell enough about themselves.
    pub fn from_bytes(bytes: &[u8], name: &str, options: &SessionOptions) -> Result<Self, ModelError> {
        Self::from_session(Session::from_bytes(bytes, name, options)?, "a YAML beside it")
    }

    /// Loads an ONNX file with a given specification, whatever its metadata says.
    ///
    /// # Errors
    /// The file cannot be read or run, or its input is not the specification's.
    pub fn with_spec(path: impl AsRef<Path>, spec: ModelSpec, options: &SessionOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        spec.validate().map_err(|reason| ModelError::Spec { path: path.to_path_buf(), reason })?;
        Self::assemble(Session::load(path, options)?, spec, SpecSource::Given)
    }

    fn from_session(mut session: Session, yaml: &str) -> Result<Self, ModelError> {
        if let Some(json) = session.metadata(METADATA_KEY) {
            let metadata = BundleMetadata::from_json(&json)
                .map_err(|source| ModelError::Bundle { model: session.model().to_owned(), source })?;
            return Self::assemble(session, metadata.spec.clone(), SpecSource::Bundle(Box::new(metadata)));
        }
        let needed = |model: &str, reason: GuessError| ModelError::SpecNeeded {
            model: model.to_owned(),
            yaml: yaml.to_owned(),
            reason: reason.to_string(),
        };
        let (Some(height), Some(width)) = session.image_size()? else {
            return Err(needed(session.model(), GuessError::InputSize));
        };
        let spec = guess(&mut session, width, height)?.map_err(|reason| needed(session.model(), reason))?;
        Self::assemble(session, spec, SpecSource::Guessed)
    }

    fn assemble(session: Session, spec: ModelSpec, source: SpecSource) -> Result<Self, ModelError> {
        let (height, width) = session.image_size()?;
        let (network_width, network_height) = (width.unwrap_or(spec.input.width), height.unwrap_or(spec.input.height));
        if (network_width, network_height) != (spec.input.width, spec.input.height) {
            return Err(ModelError::InputSize {
                model: session.model().to_owned(),
                network_width,
                network_height,
                spec_width: spec.input.width,
                spec_height: spec.input.height,
            });
        }
        let input = vec![0.0; 3 * spec.input.width * spec.input.height];
        tracing::debug!(model = session.model(), head = spec.head.name(), %source, "detector loaded");
        let own_thresholds = (spec.score_threshold, spec.class_thresholds.clone());
        Ok(Self { session, spec, source, filler: InputFiller::new(), input, own_thresholds, reported: false })
    }

    /// The specification in use. Thresholds may be changed through [`Self::set_thresholds`].
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Where the specification comes from.
    pub fn source(&self) -> &SpecSource {
        &self.source
    }

    /// The bundle's metadata, when it is a bundle.
    pub fn bundle(&self) -> Option<&BundleMetadata> {
        match &self.source {
            SpecSource::Bundle(metadata) => Some(metadata),
            _ => None,
        }
    }

    /// The network in ONNX Runtime.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Sets what is kept: the lowest score, the overlap that suppresses, and how many boxes an image may have.
    ///
    /// A score other than the specification's own holds for every class, also for those that have a threshold of their own
    /// there; with the specification's own score these come back.
    pub fn set_thresholds(&mut self, score: f32, iou: f32, max_detections: usize) {
        let (own_score, own_of_classes) = &self.own_thresholds;
        self.spec.class_thresholds = if score == *own_score { own_of_classes.clone() } else { BTreeMap::new() };
        self.spec.score_threshold = score;
        self.spec.iou_threshold = iou;
        self.spec.max_detections = max_detections;
    }

    /// Finds objects in an image of any size.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect(&mut self, image: &RgbImage) -> Result<Detections, ModelError> {
        self.find(image, None)
    }

    /// [`Self::detect`] with scores of other classes: `translate` makes them out of a score for each of the network's classes.
    ///
    /// Only then are boxes dropped, suppressed and counted, so that what is none of the other classes takes no place among the
    /// best. One score threshold holds for all: those of the network's classes mean nothing to others.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect_translated(
        &mut self,
        image: &RgbImage,
        translate: &dyn Fn(&[f32]) -> Vec<f32>,
    ) -> Result<Detections, ModelError> {
        self.find(image, Some(translate))
    }

    fn find(&mut self, image: &RgbImage, translate: Option<Translate<'_>>) -> Result<Detections, ModelError> {
        let start = Instant::now();
        let letterbox = self.filler.fill(image, &self.spec.input, &mut self.input);
        let preprocess = start.elapsed();
        let mut found = run(&mut self.session, &self.spec, &self.input, &letterbox, translate)?;
        found.timing.preprocess = preprocess;
        if found.skipped > 0 && !self.reported {
            self.reported = true;
            let (model, skipped) = (self.session.model(), found.skipped);
            tracing::warn!(model, skipped, "the network gives boxes that are not finite; they are left out");
        }
        Ok(found)
    }

    /// Finds objects in a ready input tensor `[3, height, width]`; `letterbox` takes the boxes to image pixels.
    ///
    /// # Errors
    /// The tensor has another length, ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect_tensor(&mut self, input: &[f32], letterbox: &Letterbox) -> Result<Detections, ModelError> {
        run(&mut self.session, &self.spec, input, letterbox, None)
    }

    /// Runs the network once on an empty input, so that the first image does not pay for the memory that ONNX Runtime takes
    /// at its first run; returns how long that took.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head: a model that cannot work is found out before the first image.
    pub fn warm_up(&mut self) -> Result<Duration, ModelError> {
        let start = Instant::now();
        self.input.fill(0.0);
        let letterbox = Letterbox::new(self.spec.input.width as u32, self.spec.input.height as u32, &self.spec.input);
        run(&mut self.session, &self.spec, &self.input, &letterbox, None)?;
        Ok(start.elapsed())
    }
}

/// The specification by the outputs' shapes, or by their values for an empty input where these leave it open.
fn guess(session: &mut Session, width: usize, height: usize) -> Result<Result<ModelSpec, GuessError>, ModelError> {
    let shapes = session.output_shapes(width, height)?;
    if !head::needs_values(&shapes, width, height) {
        return Ok(ModelSpec::guess(&shapes, width, height));
    }
    let outputs = session.run_on_empty(width, height)?;
    let spec = ModelSpec::guess_by_values(&outputs.tensors()?, width, height);
    Ok(spec)
}

/// Scores of other classes out of a score for each of the network's.
type Translate<'t> = &'t dyn Fn(&[f32]) -> Vec<f32>;

fn run(
    session: &mut Session,
    spec: &ModelSpec,
    input: &[f32],
    letterbox: &Letterbox,
    translate: Option<Translate<'_>>,
) -> Result<Detections, ModelError> {
    let model = session.model().to_owned();
    let start = Instant::now();
    let outputs = session.run(&[1, 3, spec.input.height, spec.input.width], input)?;
    let infer = start.elapsed();
    let start = Instant::now();
    let decoded = head::decode(spec, &outputs.tensors()?).map_err(|source| ModelError::Head { model, source })?;
    let selected = match translate {
        None => select(spec, decoded.detections, |class| spec.threshold(class)),
        Some(translate) => select(spec, translated(decoded.detections, translate), |_| spec.score_threshold),
    };
    let detections = selected
        .into_iter()
        .map(|found| SoftDetection { bbox: letterbox.to_image(found.bbox), ..found })
        // What lay in the padding has no area in the image.
        .filter(|found| found.bbox.is_valid())
        .collect();
    let timing = StageTiming { preprocess: Duration::ZERO, infer, decode: start.elapsed() };
    Ok(Detections { detections, timing, skipped: decoded.skipped })
}

/// Boxes with the scores of other classes. One that is none of these says nothing.
fn translated(detections: Vec<SoftDetection>, translate: Translate<'_>) -> Vec<SoftDetection> {
    detections
        .into_iter()
        .map(|found| SoftDetection { probabilities: translate(&found.probabilities), ..found })
        .filter(|found| found.score() > 0.0)
        .collect()
}

/// What reaches the threshold of its class, best first: suppressed, but for heads that need none, and the best ones only.
fn select(
    spec: &ModelSpec,
    mut detections: Vec<SoftDetection>,
    threshold: impl Fn(usize) -> f32,
) -> Vec<SoftDetection> {
    detections.retain(|found| {
        let (class, score) = found.best();
        score >= threshold(class)
    });
    let candidates: Vec<_> = detections
        .iter()
        .map(|found| {
            let (class, score) = found.best();
            Candidate { bbox: found.bbox, class, score }
        })
        .collect();
    // With a threshold of 1 nothing is suppressed: an overlap is never above it.
    let iou_threshold = if spec.head.needs_suppression() { spec.iou_threshold } else { 1.0 };
    let kept = suppress(&candidates, iou_threshold, spec.max_detections);
    kept.into_iter()
        .map(|index| {
            let empty = SoftDetection { bbox: candidates[index].bbox, probabilities: Vec::new() };
            std::mem::replace(&mut detections[index], empty)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;
    use crate::model::{HeadFormat, InputSpec};

    /// Chairs (class 0) and persons (class 1) side by side, all apart from each other.
    fn crowd() -> (ModelSpec, Vec<SoftDetection>) {
        let classes = vec!["chair".to_owned(), "person".to_owned()];
        let mut spec = ModelSpec::new(InputSpec::default(), HeadFormat::Yolov8, classes);
        (spec.score_threshold, spec.max_detections) = (0.0625, 3);
        let found = |place: usize, probabilities: [f32; 2]| SoftDetection {
            bbox: Box2::new(place as f32 * 20.0, 0.0, place as f32 * 20.0 + 10.0, 10.0),
            probabilities: probabilities.to_vec(),
        };
        let mut detections: Vec<_> = (0..9).map(|place| found(place, [0.75, 0.0])).collect();
        detections.extend([found(20, [0.0, 0.25]), found(21, [0.0, 0.5])]);
        (spec, detections)
    }

    #[test]
    fn classes_that_are_not_wanted_take_no_place_among_the_best() {
        let (spec, detections) = crowd();
        let among_all = select(&spec, detections.clone(), |class| spec.threshold(class));
        assert_eq!(among_all.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(0, 0.75); 3]);
        let persons = translated(detections, &|probabilities: &[f32]| vec![probabilities[1]]);
        let persons = select(&spec, persons, |_| spec.score_threshold);
        assert_eq!(persons.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(0, 0.5), (0, 0.25)]);
    }

    #[test]
    fn each_class_has_its_threshold() {
        let (mut spec, detections) = crowd();
        spec.max_detections = 100;
        spec.class_thresholds = BTreeMap::from([("person".to_owned(), 0.375), ("chair".to_owned(), 0.875)]);
        let kept = select(&spec, detections, |class| spec.threshold(class));
        assert_eq!(kept.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(1, 0.5)]);
    }
}
