//! A bundle's self-test: a few recorded inputs with what its network found in them when it was exported.
//!
//! They stand beside the bundle's metadata under a key of their own. Whoever loads the bundle gives them to the network again: another
//! execution provider, a broken runtime or a file that is not what it says to be answers otherwise, before the first frame counts.
//! A network without samples can be run as well; it is then not known to be well.

mod input;

pub use input::SampleInput;
use serde::{Deserialize, Serialize};

use super::bundle::BundleError;
use super::lidar::{LidarDetector, LidarObject};
use super::{Detector, ModelError, ModelSpec, SoftDetection, onnx_file};
use crate::geometry::Box2;

/// The key in the ONNX file's `metadata_props` under which [`Samples`] stand as JSON.
pub const SAMPLES_KEY: &str = "distilled_perception_samples";
/// The JSON of all samples together is at most so long, in bytes.
pub const MAX_SAMPLES_BYTES: usize = 100_000;

/// The version of [`Samples`] that this package writes and reads.
const SAMPLES_VERSION: u32 = 1;
/// Frames in which more is found than this are not taken: in a crowd, much is just above or just below a threshold.
const MOST_EXPECTED: usize = 20;
/// Scores so much above the threshold are sure to be above it elsewhere, too.
const SURE: f32 = 0.1;
/// By so much the threshold is raised until enough frames have few enough.
const RAISED: f32 = 0.1;

/// The samples of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Version of this form.
    pub version: u32,
    /// The score threshold, for all classes, that the answers were found with.
    pub score_threshold: f32,
    /// How far answers may be from what is expected.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// The recorded inputs.
    pub samples: Vec<Sample>,
}

/// One recorded input and the answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What the network is given.
    pub input: SampleInput,
    /// What it found when it was exported.
    pub expected: Vec<Answer>,
}

/// One thing that was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Index of its class.
    pub class: usize,
    /// Its score, 0 to 1.
    pub score: f32,
    /// Where it is.
    pub place: Place,
}

/// Where something is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Edges in pixels of the sample's image: x_min, y_min, x_max, y_max.
    Box([f32; 4]),
    /// Centre x, y in metres, sensor frame.
    Center([f32; 2]),
}

/// How far an answer may be from what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tolerance {
    /// Difference of scores.
    pub score: f32,
    /// Least intersection over union of boxes.
    pub iou: f32,
    /// Distance of centres in metres.
    pub distance: f32,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { score: 0.02, iou: 0.9, distance: 0.1 }
    }
}

impl Tolerance {
    /// Whether one answer is as good as the other.
    fn agrees(&self, one: &Answer, other: &Answer) -> bool {
        let is_near = match (one.place, other.place) {
            (Place::Box(one), Place::Box(other)) => box_of(one).iou(&box_of(other)) >= self.iou,
            (Place::Center([x, y]), Place::Center([u, v])) => (x - u).hypot(y - v) <= self.distance,
            _ => false,
        };
        is_near && one.class == other.class && (one.score - other.score).abs() <= self.score
    }
}

fn box_of([x_min, y_min, x_max, y_max]: [f32; 4]) -> Box2 {
    Box2::new(x_min, y_min, x_max, y_max)
}

/// Why a bundle's samples could not be made, or did not pass.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The JSON is broken or lacks a field.
    #[error("its samples under {SAMPLES_KEY:?} cannot be read: {0}; export it again")]
    Json(String),
    /// Samples of another version of this package.
    #[error(
        "its samples are of version {found}, this package reads version {SAMPLES_VERSION}; update distilled_perception, or export it again"
    )]
    Version {
        /// The samples' version.
        found: u32,
    },
    /// An input that is none.
    #[error("a recorded sample cannot be decoded: {0}; export the bundle again")]
    Input(String),
    /// The network cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The network does not answer as it did.
    #[error(
        "the self-test on recorded samples fails: in sample {sample} {difference}; what computes (parameter provider, ONNX Runtime) is \
         broken, or the file is not what was exported"
    )]
    Differs {
        /// Which of the samples, from 1.
        sample: usize,
        /// What was expected and what came.
        difference: String,
    },
}

/// A detector whose bundle may have samples.
pub trait Sampled {
    /// The samples' JSON as it stands in the bundle.
    fn samples(&self) -> Option<String>;

    /// The lowest score that the bundle's own thresholds keep.
    fn lowest_threshold(&self) -> f32;

    /// What is found in an input with one score threshold for all classes, best first. The thresholds are the bundle's own afterwards.
    ///
    /// # Errors
    /// The input cannot be decoded, or the network not be run.
    fn answer(&mut self, input: &SampleInput, score: f32) -> Result<Vec<Answer>, SampleError>;
}

impl Sampled for Detector {
    fn samples(&self) -> Option<String> {
        self.session().metadata(SAMPLES_KEY)
    }

    fn lowest_threshold(&self) -> f32 {
        self.spec().lowest_threshold()
    }

    fn answer(&mut self, input: &SampleInput, score: f32) -> Result<Vec<Answer>, SampleError> {
        let image = input.image()?;
        let ModelSpec { score_threshold, iou_threshold, max_detections, .. } = *self.spec();
        self.set_thresholds(score, iou_threshold, max_detections);
        let found = self.detect(&image);
        self.set_thresholds(score_threshold, iou_threshold, max_detections);
        let answer = |detection: &SoftDetection| {
            let (class, score) = detection.best();
            let Box2 { x_min, y_min, x_max, y_max } = detection.bbox;
            Answer { class, score, place: Place::Box([x_min, y_min, x_max, y_max]) }
        };
        Ok(found?.detections.iter().map(answer).collect())
    }
}

impl Sampled for LidarDetector {
    fn samples(&self) -> Option<String> {
        self.session().metadata(SAMPLES_KEY)
    }

    fn lowest_threshold(&self) -> f32 {
        let spec = &self.bundle().spec;
        spec.class_thresholds.values().fold(spec.score_threshold, |lowest, &own| lowest.min(own))
    }

    fn answer(&mut self, input: &SampleInput, score: f32) -> Result<Vec<Answer>, SampleError> {
        let sweep = input.sweep(&self.spec().grid)?;
        self.set_score_threshold(Some(score));
        let found = self.detect(&sweep);
        self.set_score_threshold(None);
        let answer = |object: &LidarObject| {
            let [x, y, _] = object.center;
            Answer { class: object.class, score: object.score, place: Place::Center([x, y]) }
        };
        Ok(found?.objects.iter().map(answer).collect())
    }
}

/// Samples out of inputs that may serve: at most so many, those in which most is surely found before those that show nothing. Where too
/// much is found in all but a few, they are made with a higher threshold, and expect what is surest.
///
/// # Errors
/// An input cannot be decoded, or the network not be run.
pub fn make_samples<D: Sampled>(
    detector: &mut D,
    inputs: Vec<SampleInput>,
    most: usize,
) -> Result<Samples, SampleError> {
    let mut score_threshold = detector.lowest_threshold();
    let enough = most.min(inputs.len());
    let mut found = few_expected(detector, &inputs, score_threshold)?;
    while found.len() < enough && score_threshold + RAISED < 1.0 {
        score_threshold += RAISED;
        found = few_expected(detector, &inputs, score_threshold)?;
    }
    let sure = |sample: &Sample| sample.expected.iter().filter(|one| one.score >= score_threshold + SURE).count();
    found.sort_by_key(|sample| std::cmp::Reverse(sure(sample)));
    let mut samples =
        Samples { version: SAMPLES_VERSION, score_threshold, tolerance: Tolerance::default(), samples: Vec::new() };
    for sample in found {
        if samples.samples.len() == most {
            break;
        }
        samples.samples.push(sample);
        if samples.to_json().len() > MAX_SAMPLES_BYTES {
            samples.samples.pop();
        }
    }
    Ok(samples)
}

/// The inputs in which not too much is found to be samples with this threshold.
fn few_expected<D: Sampled>(
    detector: &mut D,
    inputs: &[SampleInput],
    score_threshold: f32,
) -> Result<Vec<Sample>, SampleError> {
    let mut found = Vec::with_capacity(inputs.len());
    for input in inputs {
        let expected = detector.answer(input, score_threshold)?;
        if expected.len() <= MOST_EXPECTED {
            found.push(Sample { input: input.clone(), expected });
        }
    }
    Ok(found)
}

/// Gives a detector its bundle's samples and compares its answers with what is expected; says how many there were, or nothing where
/// the bundle has none.
///
/// # Errors
/// [`SampleError::Differs`], or samples that cannot be read or run.
pub fn self_test<D: Sampled>(detector: &mut D) -> Result<Option<usize>, SampleError> {
    let Some(json) = detector.samples() else { return Ok(None) };
    let samples = Samples::from_json(&json)?;
    for (index, sample) in samples.samples.iter().enumerate() {
        let found = detector.answer(&sample.input, samples.score_threshold)?;
        if let Some(difference) = samples.difference(&sample.expected, &found) {
            return Err(SampleError::Differs { sample: index + 1, difference });
        }
    }
    Ok(Some(samples.samples.len()))
}

/// The ONNX file's bytes with `samples` in place of any that they had; all else stays byte by byte.
///
/// # Errors
/// [`BundleError::NotOnnx`].
pub fn write_samples(onnx: &[u8], samples: &Samples) -> Result<Vec<u8>, BundleError> {
    onnx_file::with_metadata(onnx, SAMPLES_KEY, &samples.to_json()).ok_or(BundleError::NotOnnx)
}

impl Samples {
    /// Reads the JSON, the version before all else.
    ///
    /// # Errors
    /// Another version, or JSON that does not fit.
    pub fn from_json(json: &str) -> Result<Self, SampleError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let broken = |error: serde_json::Error| SampleError::Json(error.to_string());
        let Version { version } = serde_json::from_str(json).map_err(broken)?;
        if version != SAMPLES_VERSION {
            return Err(SampleError::Version { found: version });
        }
        serde_json::from_str(json).map_err(broken)
    }

    /// The JSON that stands in the file.
    pub fn to_json(&self) -> String {
        // Serialising fails only for maps with keys that are not strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What differs in words. What lies within the tolerance of the threshold may be there or not.
    fn difference(&self, expected: &[Answer], found: &[Answer]) -> Option<String> {
        let is_sure = |answer: &Answer| answer.score >= self.score_threshold + self.tolerance.score;
        let mut is_met = vec![false; found.len()];
        for wanted in expected {
            let place = (0..found.len()).find(|&place| !is_met[place] && self.tolerance.agrees(wanted, &found[place]));
            match place {
                Some(place) => is_met[place] = true,
                None if is_sure(wanted) => return Some(format!("{wanted} is expected, and {} is found", list(found))),
                None => {}
            }
        }
        let more = found.iter().zip(is_met).find(|(answer, is_met)| !is_met && is_sure(answer));
        more.map(|(answer, _)| format!("{answer} is found, and {} is expected", list(expected)))
    }
}

fn list(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return "nothing".into();
    }
    answers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "class {} with score {:.3} at ", self.class, self.score)?;
        match self.place {
            Place::Box([x_min, y_min, x_max, y_max]) => write!(f, "[{x_min:.1}, {y_min:.1}, {x_max:.1}, {y_max:.1}]"),
            Place::Center([x, y]) => write!(f, "({x:.2}, {y:.2}) m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx_file::tests::tiny_model;

    /// Finds one thing of class 0 at the place and with the score that it was told, whatever it is given.
    struct Fixed {
        json: Option<String>,
        score: f32,
        x: f32,
    }

    impl Sampled for Fixed {
        fn samples(&self) -> Option<String> {
            self.json.clone()
        }

        fn lowest_threshold(&self) -> f32 {
            0.3
        }

        fn answer(&mut self, _: &SampleInput, score: f32) -> Result<Vec<Answer>, SampleError> {
            let place = Place::Box([self.x, 0.0, self.x + 10.0, 10.0]);
            let answer = Answer { class: 0, score: self.score, place };
            Ok(if self.score >= score { vec![answer] } else { Vec::new() })
        }
    }

    fn input() -> SampleInput {
        SampleInput::Image("AAAA".into())
    }

    #[test]
    fn a_network_that_answers_otherwise_does_not_pass() {
        let mut exported = Fixed { json: None, score: 0.8, x: 3.0 };
        assert_eq!(self_test(&mut exported).unwrap(), None);
        let samples = make_samples(&mut exported, vec![input(); 5], 2).unwrap();
        let json = Some(samples.to_json());
        let test = |score, x| self_test(&mut Fixed { json: json.clone(), score, x }).map_err(|error| error.to_string());
        assert_eq!(test(0.8, 3.0), Ok(Some(2)));
        assert_eq!(test(0.79, 3.2), Ok(Some(2)));
        for (score, x) in [(0.75, 3.0), (0.8, 6.0), (0.1, 3.0), (f32::NAN, 3.0)] {
            let error = test(score, x).unwrap_err();
            assert!(error.contains("sample 1") && error.contains("class 0 with score 0.800"), "{error}");
        }
    }

    #[test]
    fn what_is_at_the_threshold_may_be_there_or_not() {
        let samples = make_samples(&mut Fixed { json: None, score: 0.31, x: 0.0 }, vec![input()], 2).unwrap();
        assert_eq!(samples.samples[0].expected.len(), 1);
        let json = Some(samples.to_json());
        assert!(self_test(&mut Fixed { json: json.clone(), score: 0.29, x: 0.0 }).is_ok());
        assert!(self_test(&mut Fixed { json, score: 0.9, x: 50.0 }).is_err());
    }

    /// Finds one thing with each of its scores.
    struct Crowd(Vec<f32>);

    impl Sampled for Crowd {
        fn samples(&self) -> Option<String> {
            None
        }

        fn lowest_threshold(&self) -> f32 {
            0.3
        }

        fn answer(&mut self, _: &SampleInput, score: f32) -> Result<Vec<Answer>, SampleError> {
            let answer = |&score: &f32| Answer { class: 0, score, place: Place::Center([0.0, 0.0]) };
            Ok(self.0.iter().filter(|&&one| one >= score).map(answer).collect())
        }
    }

    #[test]
    fn of_a_crowd_the_surest_are_expected() {
        let doubtful = vec![0.45; 30];
        let crowd = [vec![0.9, 0.8, 0.7], doubtful].concat();
        let samples = make_samples(&mut Crowd(crowd), vec![input(); 2], 2).unwrap();
        assert_eq!(samples.samples.len(), 2);
        assert!((0.45..0.7).contains(&samples.score_threshold), "{}", samples.score_threshold);
        assert!(samples.samples.iter().all(|sample| sample.expected.len() == 3));
        // Where no threshold leaves few enough, there are none.
        assert!(make_samples(&mut Crowd(vec![1.0; 30]), vec![input()], 2).unwrap().samples.is_empty());
    }

    #[test]
    fn samples_are_few_and_small() {
        let long = SampleInput::Image("A".repeat(60_000));
        let mut fixed = Fixed { json: None, score: 0.8, x: 3.0 };
        let samples = make_samples(&mut fixed, vec![long; 3], 2).unwrap();
        assert_eq!(samples.samples.len(), 1);
        assert!(samples.to_json().len() <= MAX_SAMPLES_BYTES);
        assert!(make_samples(&mut fixed, Vec::new(), 2).unwrap().samples.is_empty());
    }

    #[test]
    fn samples_stand_beside_other_metadata() {
        let samples = make_samples(&mut Fixed { json: None, score: 0.8, x: 3.0 }, vec![input()], 2).unwrap();
        let bytes = write_samples(&tiny_model(), &samples).unwrap();
        let bytes = onnx_file::with_metadata(&bytes, "other", "thing").unwrap();
        let json = onnx_file::metadata(&bytes, SAMPLES_KEY).unwrap().unwrap();
        assert_eq!(Samples::from_json(&json).unwrap(), samples);
        let newer = Samples::from_json(r#"{"version": 2, "samples": 3}"#).unwrap_err().to_string();
        assert!(newer.contains("version 2"), "{newer}");
        assert!(matches!(Samples::from_json("{}"), Err(SampleError::Json(_))));
    }
}
