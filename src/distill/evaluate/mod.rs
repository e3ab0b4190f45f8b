//! What a model is worth: average precision, size, work and latency next to its teachers', measured in one run on the same
//! frames.

mod experiment;
mod forgetting;
mod recording;
mod report;
mod standing;
mod truth;

use std::{collections::BTreeSet, ops::ControlFlow, path::PathBuf, time::Duration};

use image::RgbImage;
use rayon::prelude::*;

pub use experiment::{bundle_path, detections_path, judging_folder, targets_folder};
pub use forgetting::{Forgetting, RetainedSkill, missing_inputs, seen_before};
pub(in crate::distill) use recording::short_names;
pub use recording::{RecordingAp, RecordingReport};
pub use report::{EvaluationReport, FrameDetections, ModelReport, Role};
pub use standing::Standing;
pub(in crate::distill) use truth::RecordingTruth;
pub use truth::judged_truth;

use crate::{
    bench::{Lap, Laps, Plan, Until, clock, take_turns},
    distill::{
        bag::{BagError, EncodedFrame, Frames, TruthSource},
        export::{ExportFailed, count_macs, read_onnx},
        few::Few,
        split::{Block, Split},
        targets::FrameTargets,
        teacher::{EnsembleOptions, Teacher, TeacherConfig, TeacherError, scored},
    },
    metrics::{ApAccumulator, Demand, ScoredBox, TruthBox},
    model::{ModelError, onnx_facts},
};

/// Scores down to this count for average precision, whatever a model's own threshold is.
pub(in crate::distill) const LOWEST_SCORE: f32 = 0.01;
/// Images that the latency is measured on, spread over the frames.
const LATENCY_IMAGES: usize = 16;

/// What to evaluate on what.
#[derive(Debug, Clone)]
pub struct EvaluateJob {
    /// The recordings.
    pub recordings: Vec<EvaluatedRecording>,
    /// Classes that are judged, in the order of the truth's indices.
    pub classes: Vec<String>,
    /// The models; each needs classes that mean some of [`EvaluateJob::classes`].
    pub models: Vec<EvaluatedModel>,
    /// Target boxes of at least this best score are truth; weaker ones are neither to be found nor wrong to find.
    pub target_score: f32,
    /// Stop after this many frames.
    pub max_frames: Option<usize>,
    /// Rounds of the latency measurement (every model once a round, in turn); 0 does without.
    pub latency_rounds: usize,
    /// Keep what each model finds at its own threshold, frame by frame.
    pub keep_detections: bool,
    /// Run the models on frames without truth too: there is then no average precision, but all else. Otherwise such frames are
    /// passed over, and a recording without any truth is an error.
    pub allow_unjudged: bool,
}

/// One recording and where its truth is.
#[derive(Debug, Clone)]
pub struct EvaluatedRecording {
    /// A bag or a folder of images.
    pub path: PathBuf,
    /// Its camera topic, where it has several.
    pub topic: Option<String>,
    /// Where the truth boxes come from.
    pub truth: EvaluationTruth,
    /// Only frames of this block; all without.
    pub block: Option<(Split, Block)>,
}

impl EvaluatedRecording {
    /// Whether a frame with this header stamp (nanoseconds) is to be looked at.
    pub(in crate::distill) fn is_in_block(&self, stamp: i64) -> bool {
        self.block.as_ref().is_none_or(|(split, block)| split.block_of(stamp) == Some(*block))
    }
}

/// Where truth boxes come from.
#[derive(Debug, Clone)]
pub enum EvaluationTruth {
    /// People's or a simulator's labels.
    Labels(TruthSource),
    /// The teachers' fused boxes of the same recording: what a student is to reproduce, not what is really there.
    Targets {
        /// The frames of the recording.
        frames: Vec<FrameTargets>,
        /// Whose boxes they are.
        teachers: Vec<String>,
    },
}

/// A model under test.
#[derive(Debug, Clone)]
pub struct EvaluatedModel {
    /// The file, how to run it and what its classes mean.
    pub config: TeacherConfig,
    /// Its part.
    pub role: Role,
}

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A recording could not be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A model could not be loaded.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model's graph could not be read for its costs.
    #[error(transparent)]
    Graph(#[from] ExportFailed),
    /// Nothing to judge by.
    #[error(
        "no frame of {recordings} has truth to judge by{block}: name a truth topic or COCO file (--labels), soft targets (--targets), or another block"
    )]
    NoTruth {
        /// The recordings.
        recordings: String,
        /// ` in the .. block`, or nothing.
        block: String,
    },
    /// The soft targets were made of something else.
    #[error(
        "{}: frame {index} has the stamp {stamp}, but the soft targets were made of a frame with the stamp {labelled}: they are of other data; label again",
        path.display()
    )]
    OtherTargets {
        /// The recording.
        path: PathBuf,
        /// The frame's place in it.
        index: u64,
        /// Its stamp.
        stamp: i64,
        /// The stamp that was labelled.
        labelled: i64,
    },
    /// The recording holds no frame that can be decoded, or none in the block.
    #[error("{recordings}: no frame{block} could be read; `distill inspect` tells what is in a recording")]
    NoFrames {
        /// The recordings.
        recordings: String,
        /// ` in the .. block`, or nothing.
        block: String,
    },
    /// Stopped by the caller.
    #[error("stopped before the end; nothing was written")]
    Stopped,
}

/// Runs every model over every frame, then their latencies in turn on the same images. `progress` hears the number of frames
/// done and may stop the work.
///
/// # Errors
/// [`EvaluateError`]: a recording or model cannot be read, no frame has truth, or `progress` said stop.
pub fn evaluate(
    job: &EvaluateJob,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<EvaluationReport, EvaluateError> {
    let options = EnsembleOptions { score_threshold: LOWEST_SCORE, ..EnsembleOptions::default() };
    let mut models = Vec::with_capacity(job.models.len());
    for model in &job.models {
        models.push(UnderTest {
            model,
            teacher: Teacher::load(&model.config, &job.classes, options)?,
            precision: ApAccumulator::new(&job.classes),
            own_precision: ApAccumulator::new(&job.classes),
            kept: Vec::new(),
        });
    }

    let (mut images, mut seen) = (Few::new(LATENCY_IMAGES), Vec::new());
    let (mut frames, mut truths, mut undecodable, mut losses) = (0, 0, 0, Vec::new());
    let (mut judges, mut per_recording) = (BTreeSet::new(), Vec::new());
    for (place, recording) in job.recordings.iter().enumerate() {
        if job.max_frames.is_some_and(|limit| frames >= limit) {
            break;
        }
        let truth_of = RecordingTruth::new(job, recording);
        let mut stream = Frames::open(&recording.path, recording.topic.as_deref(), truth_of.source())?;
        let (frames_before, truths_before) = (frames, truths);
        for frame in &mut stream {
            let frame = frame?;
            if !recording.is_in_block(frame.stamp) {
                continue;
            }
            let truth = truth_of.of(&frame)?;
            if truth.is_none() && !job.allow_unjudged {
                continue;
            }
            let Ok(image) = frame.decode() else {
                undecodable += 1;
                continue;
            };
            if let Some(truth) = &truth {
                judges.insert(match &recording.truth {
                    EvaluationTruth::Labels(_) => "labels".to_owned(),
                    EvaluationTruth::Targets { teachers, .. } => {
                        format!("boxes of {} of score >= {}", teachers.join(" and "), job.target_score)
                    }
                });
                truths += truth.iter().filter(|truth| truth.demand == Demand::Required).count();
            }
            // Each model computes on one thread.
            models
                .par_iter_mut()
                .try_for_each(|model| model.judge((place, &frame), &image, truth.as_deref(), job.keep_detections))?;
            images.offer(image);
            frames += 1;
            if progress(frames).is_break() {
                return Err(EvaluateError::Stopped);
            }
            if job.max_frames.is_some_and(|limit| frames >= limit) {
                break;
            }
        }
        if frames > frames_before {
            let data = recording.path.display().to_string();
            seen.push(data.clone());
            per_recording.push(RecordingReport {
                data,
                frames: frames - frames_before,
                truths: truths - truths_before,
                models: models.iter_mut().map(|model| model.end_recording(&job.classes)).collect(),
            });
        }
        if !stream.loss().is_empty() {
            losses.push(format!("{}: {}", recording.path.display(), stream.loss()));
        }
    }
    if frames == 0 {
        return Err(nothing_done(job));
    }
    if per_recording.len() < 2 {
        // They are the report's own.
        per_recording.clear();
    }
    let latencies = measure_latency(&mut models, &images.kept, job.latency_rounds)?;
    let models = models
        .into_iter()
        .zip(latencies)
        .map(|(model, latency)| model.report(latency))
        .collect::<Result<Vec<_>, EvaluateError>>()?;
    Ok(EvaluationReport {
        data: seen,
        block: job.recordings.iter().find_map(|recording| recording.block.as_ref().map(|(_, block)| *block)),
        truth: match judges.is_empty() {
            true => "none; nothing is judged".to_owned(),
            false => judges.into_iter().collect::<Vec<_>>().join(" and "),
        },
        classes: job.classes.clone(),
        frames,
        truths,
        undecodable,
        lost_data: !losses.is_empty() || undecodable > 0,
        losses,
        latency_rounds: job.latency_rounds,
        per_recording,
        models,
    })
}

/// Why no frame was looked at.
fn nothing_done(job: &EvaluateJob) -> EvaluateError {
    let paths: Vec<String> = job.recordings.iter().map(|recording| recording.path.display().to_string()).collect();
    let recordings = paths.join(", ");
    let block = job.recordings.iter().find_map(|recording| recording.block.as_ref());
    let block = block.map(|(_, block)| format!(" in the {block:?} block").to_lowercase()).unwrap_or_default();
    if job.allow_unjudged {
        EvaluateError::NoFrames { recordings, block }
    } else {
        EvaluateError::NoTruth { recordings, block }
    }
}

/// A model while it is judged.
struct UnderTest<'j> {
    model: &'j EvaluatedModel,
    teacher: Teacher,
    /// Over the recordings that are done.
    precision: ApAccumulator,
    /// Over the recording at hand.
    own_precision: ApAccumulator,
    kept: Vec<FrameDetections>,
}

impl UnderTest<'_> {
    /// Judges it on a frame of the recording at this place.
    fn judge(
        &mut self,
        (recording, frame): (usize, &EncodedFrame),
        image: &RgbImage,
        truth: Option<&[TruthBox]>,
        keep: bool,
    ) -> Result<(), EvaluateError> {
        let (found, _) = self.teacher.detect(image)?;
        let scored: Vec<ScoredBox> = found.iter().map(scored).collect();
        if let Some(truth) = truth {
            self.own_precision.add_image(truth, &scored);
        }
        if keep {
            let own_threshold = self.teacher.own_threshold();
            let boxes = scored.into_iter().filter(|found| found.score >= own_threshold).collect();
            let (index, stamp, name) = (frame.index, frame.stamp, frame.name.clone());
            self.kept.push(FrameDetections { recording, index, stamp, name, boxes });
        }
        Ok(())
    }

    /// Ends a recording: its figures are told, and its frames count for the whole.
    fn end_recording(&mut self, classes: &[String]) -> RecordingAp {
        let own = std::mem::replace(&mut self.own_precision, ApAccumulator::new(classes));
        let summary = own.finish();
        self.precision.append(own);
        RecordingAp { name: self.teacher.name(), ap: summary.ap, ap50: summary.ap50 }
    }

    fn report(self, latency: Laps) -> Result<ModelReport, EvaluateError> {
        let path = &self.model.config.model;
        let facts = onnx_facts(path)?;
        let cost = count_macs(&read_onnx(path)?);
        let summary = self.precision.finish();
        Ok(ModelReport {
            name: self.teacher.name(),
            role: self.model.role,
            path: path.display().to_string(),
            ap: summary.ap,
            ap50: summary.ap50,
            ap75: summary.ap75,
            per_class: summary.per_class,
            curves: self.precision.curves(),
            calibration: self.precision.calibration(),
            parameters: facts.parameters,
            bytes: facts.bytes,
            macs: cost.macs,
            latency_ms: latency.infer.summary(),
            knows: self.teacher.knows().to_vec(),
            detections: self.kept,
        })
    }
}

/// Times the networks alone, one thread each, in turn on the same image.
fn measure_latency(
    models: &mut [UnderTest<'_>],
    images: &[RgbImage],
    rounds: usize,
) -> Result<Vec<Laps>, EvaluateError> {
    let plan = Plan { warm_up: Duration::ZERO, settling: 0, counted: 1, until: Until::Rounds(rounds) };
    take_turns(models.len(), &plan, &mut clock(), &mut |who, number| {
        let (_, stages) = models[who].teacher.detect(&images[number % images.len()])?;
        Ok::<_, EvaluateError>(Lap { stages, whole: stages.total() })
    })
}
