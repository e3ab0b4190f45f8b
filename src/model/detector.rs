//! A detector: image in, boxes in image pixels out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::RgbImage;

use super::bundle::{BundleMetadata, METADATA_KEY};
use super::guess::GuessError;
use super::head::{self, OutputTensor};
use super::network::{Network, Translate};
use super::{ModelError, ModelSpec, Session, SessionOptions, SoftDetection};
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

/// What was found in one image, and the tensors that were tapped on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Tapped {
    /// The boxes.
    pub found: Detections,
    /// The tensors in the order of their names at [`Detector::tap`], none without it.
    pub tensors: Vec<OutputTensor<'static>>,
    /// Where the image lies in the network's input.
    pub letterbox: Letterbox,
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
    network: Network,
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
        // Where folders are limited, what lies beside the model itself counts, not what lies beside a link to it.
        let yaml = options.limits.admit(path)?.with_extension("yaml");
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
            let metadata = BundleMetadata::<ModelSpec>::from_json(&json)
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
        let network = Network::new(session, spec);
        Ok(Self { network, source, filler: InputFiller::new(), input, own_thresholds, reported: false })
    }

    /// The specification in use. Thresholds may be changed through [`Self::set_thresholds`].
    pub fn spec(&self) -> &ModelSpec {
        &self.network.spec
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
        &self.network.session
    }

    /// Sets what is kept: the lowest score, the overlap that suppresses, and how many boxes an image may have.
    ///
    /// A score other than the specification's own holds for every class, also for those that have a threshold of their own
    /// there; with the specification's own score these come back.
    pub fn set_thresholds(&mut self, score: f32, iou: f32, max_detections: usize) {
        let (own_score, own_of_classes) = &self.own_thresholds;
        self.network.spec.class_thresholds = if score == *own_score { own_of_classes.clone() } else { BTreeMap::new() };
        self.network.spec.score_threshold = score;
        self.network.spec.iou_threshold = iou;
        self.network.spec.max_detections = max_detections;
    }

    /// Finds objects in an image of any size.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect(&mut self, image: &RgbImage) -> Result<Detections, ModelError> {
        Ok(self.find(image, None, false)?.found)
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
        Ok(self.find(image, Some(translate), false)?.found)
    }

    /// [`Self::detect_translated`] with the tensors named at [`Self::tap`].
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect_tapped(
        &mut self,
        image: &RgbImage,
        translate: &dyn Fn(&[f32]) -> Vec<f32>,
    ) -> Result<Tapped, ModelError> {
        self.find(image, Some(translate), true)
    }

    /// The tensors named at [`Self::tap`] alone, with the place of the image in the network's input.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn tapped(&mut self, image: &RgbImage) -> Result<(Vec<OutputTensor<'static>>, Letterbox), ModelError> {
        let letterbox = self.filler.fill(image, &self.network.spec.input, &mut self.input);
        Ok((self.network.tapped(&self.input)?, letterbox))
    }

    /// Puts a copy of the network in its place that gives more tensors: `bytes` are the same ONNX file with further outputs after
    /// its own, of which [`Self::detect_tapped`] and [`Self::tapped`] hand out those in `names`. The boxes stay what they were.
    ///
    /// # Errors
    /// The bytes cannot be run, or a name is not among their outputs; the network before then stays in place.
    pub fn tap(&mut self, bytes: &[u8], names: &[String], options: &SessionOptions) -> Result<(), ModelError> {
        let session = Session::from_bytes(bytes, self.network.session.model(), options)?;
        self.network.tap(session, names)
    }

    fn find(&mut self, image: &RgbImage, translate: Option<Translate<'_>>, wanted: bool) -> Result<Tapped, ModelError> {
        let start = Instant::now();
        let span = tracing::trace_span!("preprocess").entered();
        let letterbox = self.filler.fill(image, &self.network.spec.input, &mut self.input);
        drop(span);
        let preprocess = start.elapsed();
        let (mut found, tensors) = self.network.detect(&self.input, &letterbox, translate, wanted)?;
        found.timing.preprocess = preprocess;
        if found.skipped > 0 && !self.reported {
            self.reported = true;
            let (model, skipped) = (self.network.session.model(), found.skipped);
            tracing::warn!(model, skipped, "the network gives boxes that are not finite; they are left out");
        }
        Ok(Tapped { found, tensors, letterbox })
    }

    /// Finds objects in a ready input tensor `[3, height, width]`; `letterbox` takes the boxes to image pixels.
    ///
    /// # Errors
    /// The tensor has another length, ONNX Runtime fails, or the outputs do not fit the head.
    pub fn detect_tensor(&mut self, input: &[f32], letterbox: &Letterbox) -> Result<Detections, ModelError> {
        Ok(self.network.detect(input, letterbox, None, false)?.0)
    }

    /// Runs the network once on an empty input, so that the first image does not pay for the memory that ONNX Runtime takes
    /// at its first run; returns how long that took.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head: a model that cannot work is found out before the first image.
    pub fn warm_up(&mut self) -> Result<Duration, ModelError> {
        let start = Instant::now();
        self.input.fill(0.0);
        let input = &self.network.spec.input;
        let letterbox = Letterbox::new(input.width as u32, input.height as u32, input);
        self.network.detect(&self.input, &letterbox, None, false)?;
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
