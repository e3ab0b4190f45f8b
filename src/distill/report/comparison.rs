//! Frames of the test block on which the student and the truth disagree most.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops::thumbnail};

use super::{folder::RunFolder, markup::data_address};
use crate::{
    distill::{
        audit::{ErrorInheritance, JudgedFrame, inherited_errors},
        bag::{EncodedFrame, Frames, TruthSource},
        evaluate::{
            EvaluateError, EvaluateJob, EvaluatedRecording, EvaluationReport, EvaluationTruth, FrameDetections,
            RecordingTruth, Role, evaluate,
        },
        worst::{Compared, NANOSECONDS_APART, worst},
    },
    geometry::Box2,
    metrics::{Demand, ScoredBox, TruthBox, Verdict, judge_image},
};

/// Neighbouring frames show the same mistake: shown ones are this many frames, or [`NANOSECONDS_APART`], apart.
const FRAMES_APART: u64 = 5;
/// Width of the pictures in pixels.
const PICTURE_WIDTH: u32 = 480;
const JPEG_QUALITY: u8 = 78;
/// Boxes that overlap by at least this IoU are at the same place.
const SAME_PLACE: f64 = 0.5;

/// Why there is no gallery when nobody asked for it.
pub(super) const UNWANTED: &str = "the report was made without it (--no-gallery)";

/// The gallery, or why there is none.
pub(super) enum Gallery {
    /// Frames were compared.
    Shown(Comparison),
    /// In words.
    LeftOut(String),
}

/// What student and teachers found on the test block, beside what is true.
pub(super) struct Comparison {
    /// Names and parts of the models.
    pub models: Vec<(String, Role)>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Whether the truth is labels; otherwise it is what the teachers agreed on.
    pub by_labels: bool,
    /// How many frames were compared.
    pub compared: usize,
    /// The worst ones, worst first.
    pub frames: Vec<ComparedFrame>,
    /// Over all that were compared, how the errors of the first model, the student, relate to those of the others, each as sure as it
    /// wants to be on a robot; `None` where the student is alone.
    pub inheritance: Option<ErrorInheritance>,
}

/// A frame with all boxes on it.
pub(super) struct ComparedFrame {
    /// The recording's place in the experiment.
    pub recording: usize,
    /// The recording's name.
    pub recording_name: String,
    /// The frame's place in its recording.
    pub index: u64,
    /// Header stamp, nanoseconds.
    pub stamp: i64,
    /// The frame's name.
    pub name: String,
    /// Width and height in pixels, that boxes are in.
    pub size: (u32, u32),
    /// A small picture of it, as a `data:` address; empty when it could not be made.
    pub picture: String,
    /// What is true.
    pub truth: Vec<ShownTruth>,
    /// What each model found at its own threshold, in the order of the models.
    pub found: Vec<Vec<ShownBox>>,
    /// The student's false alarms and misses, each by how sure it, or the truth, is.
    pub disagreement: f32,
}

/// A truth box.
pub(super) struct ShownTruth {
    /// Where.
    pub bbox: Box2,
    /// What.
    pub class: usize,
    /// How sure the teachers are; `None` for labels.
    pub score: Option<f32>,
    /// Whether it must be found.
    pub required: bool,
}

/// A box that a model found.
pub(super) struct ShownBox {
    /// Where.
    pub bbox: Box2,
    /// What.
    pub class: usize,
    /// How sure the model is.
    pub score: f32,
    /// What became of it.
    pub verdict: Verdict,
}

impl ComparedFrame {
    /// The truth boxes that must be found and that a model has not found.
    pub fn missed(&self, model: usize) -> impl Iterator<Item = &ShownTruth> {
        let hits: HashSet<usize> = self.found[model]
            .iter()
            .filter_map(|found| match found.verdict {
                Verdict::Hit(place) => Some(place),
                _ => None,
            })
            .collect();
        let missed = move |(place, truth): &(usize, &ShownTruth)| truth.required && !hits.contains(place);
        self.truth.iter().enumerate().filter(missed).map(|(_, truth)| truth)
    }

    /// The boxes of a model that lie on nothing.
    pub fn false_alarms(&self, model: usize) -> impl Iterator<Item = &ShownBox> {
        self.found[model].iter().filter(|found| found.verdict == Verdict::FalseAlarm)
    }
}

impl Gallery {
    /// By what the run's evaluation has kept of each model's boxes; where it has not, the models are run on the test block again.
    pub fn of(folder: &RunFolder) -> Self {
        let experiment = match &folder.experiment {
            Ok(experiment) => experiment,
            Err(reason) => return Self::LeftOut(reason.clone()),
        };
        let compared = EvaluateJob::of_experiment(experiment).map_err(|error| error.to_string()).and_then(|job| {
            let found = folder.detections().map_or_else(|| run_again(&job), Ok);
            found.and_then(|found| compare(&job, &found)).map_err(|error| error.to_string())
        });
        compared.map_or_else(Self::LeftOut, Self::Shown)
    }

    /// Nobody asked for it.
    pub fn unwanted() -> Self {
        Self::LeftOut(UNWANTED.to_owned())
    }
}

/// What every model of a job finds now.
fn run_again(job: &EvaluateJob) -> Result<EvaluationReport, EvaluateError> {
    let job = EvaluateJob { keep_detections: true, latency_rounds: 0, ..job.clone() };
    evaluate(&job, &mut |_| ControlFlow::Continue(()))
}

/// Holds what every model found against the truth, and keeps the frames on which the first model, the student, is most wrong.
fn compare(job: &EvaluateJob, found: &EvaluationReport) -> Result<Comparison, EvaluateError> {
    let place = |frame: &FrameDetections| (frame.recording, frame.index, frame.stamp);
    let per_model: Vec<HashMap<_, &FrameDetections>> =
        found.models.iter().map(|model| model.detections.iter().map(|frame| (place(frame), frame)).collect()).collect();
    let (mut frames, mut judged) = (Vec::new(), Vec::new());
    for (place, recording) in job.recordings.iter().enumerate() {
        let known = RecordingTruth::new(job, recording);
        for frame in Frames::open(&recording.path, recording.topic.as_deref(), known.source())? {
            let frame = frame?;
            let said = per_model.iter().map(|frames| frames.get(&(place, frame.index, frame.stamp)).copied());
            if let Some(said) = said.collect::<Option<Vec<_>>>()
                && let Some(truth) = known.of(&frame)?
            {
                let (mut compared, said) = compare_frame(&frame, truth, &known, &said);
                compared.recording = place;
                compared.recording_name = name_of(recording);
                frames.push(compared);
                judged.push(said);
            }
        }
    }
    let knows: Vec<Vec<bool>> = found.models.iter().skip(1).map(|teacher| teacher.knows.clone()).collect();
    let is_labelled =
        |frame: &ComparedFrame| matches!(job.recordings[frame.recording].truth, EvaluationTruth::Labels(_));
    let by_labels = frames.iter().all(is_labelled);
    let compared = frames.len();
    let mut frames = worst(frames);
    take_pictures(job, &mut frames)?;
    Ok(Comparison {
        models: found.models.iter().map(|model| (model.name.clone(), model.role)).collect(),
        classes: job.classes.clone(),
        by_labels,
        compared,
        frames,
        inheritance: (found.models.len() > 1).then(|| inherited_errors(&judged, &knows, SAME_PLACE)),
    })
}

fn name_of(recording: &EvaluatedRecording) -> String {
    recording.path.file_name().unwrap_or(recording.path.as_os_str()).to_string_lossy().into_owned()
}

/// A frame to look at, without its picture, and what all said about it.
fn compare_frame(
    frame: &EncodedFrame,
    truth: Vec<TruthBox>,
    known: &RecordingTruth<'_>,
    said: &[&FrameDetections],
) -> (ComparedFrame, JudgedFrame) {
    let said: Vec<Vec<ScoredBox>> = said.iter().map(|said| said.boxes.clone()).collect();
    let mut found = Vec::with_capacity(said.len());
    for boxes in &said {
        let verdicts = judge_image(&truth, boxes, SAME_PLACE);
        let shown = boxes.iter().zip(verdicts).map(|(found, verdict)| ShownBox {
            bbox: found.bbox,
            class: found.class,
            score: found.score,
            verdict,
        });
        found.push(shown.collect::<Vec<_>>());
    }
    let shown = truth.iter().enumerate().map(|(place, truth)| ShownTruth {
        bbox: truth.bbox,
        class: truth.class,
        score: known.score(frame.index, place),
        required: truth.demand == Demand::Required,
    });
    let mut compared = ComparedFrame {
        recording: 0,
        recording_name: String::new(),
        index: frame.index,
        stamp: frame.stamp,
        name: frame.name.clone(),
        size: (0, 0),
        picture: String::new(),
        truth: shown.collect(),
        found,
        disagreement: 0.0,
    };
    compared.disagreement = disagreement(&compared);
    let mut said = said.into_iter();
    let student = said.next().unwrap_or_default();
    (compared, JudgedFrame { truth, per_teacher: said.collect(), student })
}

/// Gives frames their pictures; those that have none are left out.
fn take_pictures(job: &EvaluateJob, frames: &mut Vec<ComparedFrame>) -> Result<(), EvaluateError> {
    for (place, recording) in job.recordings.iter().enumerate() {
        let own = frames.iter_mut().filter(|frame| frame.recording == place);
        let mut wanted: HashMap<u64, &mut ComparedFrame> = own.map(|frame| (frame.index, frame)).collect();
        if wanted.is_empty() {
            continue;
        }
        for frame in Frames::open(&recording.path, recording.topic.as_deref(), TruthSource::None)? {
            let frame = frame?;
            if let Some(shown) = wanted.remove(&frame.index)
                && let Ok(image) = frame.decode()
            {
                (shown.size, shown.picture) = (image.dimensions(), picture(&image));
            }
            if wanted.is_empty() {
                break;
            }
        }
    }
    frames.retain(|frame| !frame.picture.is_empty());
    Ok(())
}

/// How wrong the first model is: the scores of its false alarms, and for each miss the truth's score, 1 for labels.
fn disagreement(frame: &ComparedFrame) -> f32 {
    if frame.found.is_empty() {
        return 0.0;
    }
    let alarms: f32 = frame.false_alarms(0).map(|found| found.score).sum();
    let misses: f32 = frame.missed(0).map(|truth| truth.score.unwrap_or(1.0)).sum();
    alarms + misses
}

impl Compared for ComparedFrame {
    fn disagreement(&self) -> f32 {
        self.disagreement
    }

    fn objects(&self) -> usize {
        self.truth.iter().filter(|truth| truth.required).count()
    }

    fn is_apart(&self, other: &Self) -> bool {
        self.recording != other.recording
            || self.index.abs_diff(other.index) >= FRAMES_APART
            || self.stamp.abs_diff(other.stamp) >= NANOSECONDS_APART
    }
}

/// A small JPEG of the image as a `data:` address.
fn picture(image: &RgbImage) -> String {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return String::new();
    }
    let small_width = width.min(PICTURE_WIDTH);
    let small_height = (f64::from(height) * f64::from(small_width) / f64::from(width)).round().max(1.0) as u32;
    let small: RgbImage = thumbnail(image, small_width, small_height);
    let mut bytes = Vec::new();
    match JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&small) {
        Ok(()) => data_address("image/jpeg", &bytes),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;

    /// A frame of 100 x 60 with one object that a model misses, and a false alarm.
    pub(in crate::distill::report) fn frame(index: u64, disagreement: f32) -> ComparedFrame {
        let bbox = Box2::new(10.0, 10.0, 30.0, 50.0);
        let other = Box2::new(50.0, 5.0, 90.0, 40.0);
        let found = vec![ShownBox { bbox: other, class: 0, score: 0.5, verdict: Verdict::FalseAlarm }];
        let hit = vec![ShownBox { bbox, class: 0, score: 0.75, verdict: Verdict::Hit(0) }];
        ComparedFrame {
            recording: 0,
            recording_name: "bag".into(),
            index,
            stamp: index as i64 * 50_000_000,
            name: index.to_string(),
            size: (100, 60),
            picture: picture(&RgbImage::new(100, 60)),
            truth: vec![ShownTruth { bbox, class: 0, score: Some(0.75), required: true }],
            found: vec![found, hit],
            disagreement,
        }
    }

    #[test]
    fn misses_and_false_alarms_count_by_their_scores() {
        assert!((disagreement(&frame(0, 0.0)) - 1.25).abs() < 1e-6);
        let mut labelled = frame(0, 0.0);
        labelled.truth[0].score = None;
        assert!((disagreement(&labelled) - 1.5).abs() < 1e-6);
        labelled.truth[0].required = false;
        assert!((disagreement(&labelled) - 0.5).abs() < 1e-6);
        assert_eq!((labelled.missed(1).count(), labelled.false_alarms(1).count()), (0, 0));
    }

    #[test]
    fn the_worst_frames_are_not_one_moment() {
        // 50 ms apart: a bad moment of 40 frames, and another, less bad frame far away.
        let mut frames: Vec<ComparedFrame> = (0..40).map(|index| frame(index, 2.0 - index as f32 / 100.0)).collect();
        frames.push(frame(500, 0.1));
        frames.push(frame(600, 0.0));
        let shown: Vec<u64> = worst(frames).iter().map(|frame| frame.index).collect();
        assert_eq!(shown, [0, 5, 10, 15, 20, 25, 30, 35, 500]);
        let few: Vec<u64> =
            worst(vec![frame(3, 0.0), frame(600, 0.0), frame(4, 0.0)]).iter().map(|f| f.index).collect();
        assert_eq!(few, [3, 600]);
    }

    #[test]
    fn pictures_are_small_and_lie_in_the_page() {
        let address = picture(&RgbImage::new(1920, 1080));
        let bytes = BASE64_STANDARD.decode(address.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!((image.width(), image.height()), (480, 270));
    }
}
