//! From recordings and targets to the frames that are trained and validated on.

use std::{collections::HashMap, path::PathBuf};

use image::RgbImage;
use rayon::prelude::*;

use super::{
    TrainError,
    dataset::{FrameSet, NetworkInput, Shrunk, ValidationSet, shrink},
};
use crate::{
    distill::{
        bag::{EncodedFrame, Frames, TruthBox, TruthSource},
        config::{DataConfig, Experiment, TargetSource, TruthConfig},
        loss::TargetBox,
        split::{Block, Split},
        targets::{FrameTargets, TargetSet},
    },
    model::InputSpec,
};

/// Frames decoded at a time, on all cores.
const CHUNK: usize = 64;

/// What an experiment's recordings gave. Frames of the test block are never decoded here.
#[derive(Debug)]
pub struct Gathered {
    /// Frames to fit to.
    pub train: FrameSet,
    /// Frames to choose by.
    pub validation: ValidationSet,
    /// Each recording's frames by block.
    pub recordings: Vec<BlockCounts>,
    /// What of the recordings could not be read, in words.
    pub losses: Vec<String>,
}

/// How many frames of a recording went where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockCounts {
    /// The recording.
    pub path: PathBuf,
    /// Frames to fit to.
    pub train: usize,
    /// Frames to choose by.
    pub validation: usize,
    /// Frames left for the test.
    pub test: usize,
    /// Frames between the blocks, used for nothing.
    pub gap: usize,
    /// Frames without truth, or that no teacher has labelled.
    pub unlabelled: usize,
    /// Frames that could not be decoded.
    pub undecodable: usize,
}

/// How a recording's truth is found.
pub fn truth_source(data: &DataConfig) -> TruthSource {
    match &data.truth {
        Some(TruthConfig { topic: Some(topic), .. }) => TruthSource::Topic(topic.clone()),
        Some(TruthConfig { coco: Some(path), .. }) => TruthSource::Coco(path.clone()),
        _ => TruthSource::None,
    }
}

/// The blocks of a recording, as its configuration and the experiment's split say.
///
/// # Errors
/// When the recording cannot be read or the split makes no sense.
pub fn split_of(data: &DataConfig, experiment: &Experiment) -> Result<Split, TrainError> {
    if let Some(block) = data.block {
        return Ok(Split::whole(block));
    }
    let stamps = Frames::open(&data.path, data.topic.as_deref(), TruthSource::None)?.stamp_range()?;
    let (first, last) = stamps.ok_or_else(|| TrainError::Data {
        path: data.path.clone(),
        message: "holds no frames; `distill inspect` tells what is in it".into(),
    })?;
    Ok(Split::by_time(&experiment.split, first, last)?)
}

/// Reads the training and validation frames of all recordings. `targets` are the teachers' soft targets, whose sources are the
/// experiment's recordings in their order; with [`TargetSource::Truth`] they are not looked at.
///
/// # Errors
/// [`TrainError`] that names the recording.
pub fn gather(experiment: &Experiment, targets: Option<&TargetSet>) -> Result<Gathered, TrainError> {
    let spec = experiment.student_config().input_spec();
    let labels = Labels::new(experiment, targets)?;
    let limit = experiment.train.cache_mb.saturating_mul(1 << 20);
    // Validation frames take as much memory as they need, but not more than a quarter.
    let mut gathered = Gathered {
        train: FrameSet::new(limit - limit / 4),
        validation: ValidationSet::new(limit / 4),
        recordings: Vec::new(),
        losses: Vec::new(),
    };
    for (source, data) in experiment.data.iter().enumerate() {
        let split = split_of(data, experiment)?;
        let mut counts = BlockCounts { path: data.path.clone(), ..BlockCounts::default() };
        let mut frames = Frames::open(&data.path, data.topic.as_deref(), truth_source(data))?;
        let mut chunk = Vec::with_capacity(CHUNK);
        for frame in &mut frames {
            let frame = frame?;
            match split.block_of(frame.stamp) {
                Some(Block::Test) => counts.test += 1,
                None => counts.gap += 1,
                Some(block) => match labels.of(source, data, &frame)? {
                    Some(boxes) => chunk.push((block, frame, boxes)),
                    None => counts.unlabelled += 1,
                },
            }
            if chunk.len() == CHUNK {
                gathered.add(std::mem::take(&mut chunk), &spec, &mut counts)?;
            }
        }
        gathered.add(chunk, &spec, &mut counts)?;
        if !frames.loss().is_empty() {
            gathered.losses.push(format!("{}: {}", data.path.display(), frames.loss()));
        }
        gathered.recordings.push(counts);
    }
    Ok(gathered)
}

/// A decoded frame, made ready for its use.
enum Ready {
    Train(Shrunk),
    Validation(NetworkInput),
}

impl Gathered {
    /// Whether part of the recordings could not be read or decoded.
    pub fn lost_data(&self) -> bool {
        !self.losses.is_empty() || self.recordings.iter().any(|counts| counts.undecodable > 0)
    }

    /// Decodes frames on all cores and adds them in their order.
    fn add(
        &mut self,
        chunk: Vec<(Block, EncodedFrame, Vec<TargetBox>)>,
        spec: &InputSpec,
        counts: &mut BlockCounts,
    ) -> Result<(), TrainError> {
        let ready: Vec<Option<Ready>> = chunk
            .par_iter()
            .map(|(block, frame, _)| {
                let image: RgbImage = match frame.decode() {
                    Ok(image) if image.width() > 0 && image.height() > 0 => image,
                    Ok(_) => return Ok(None),
                    Err(error) => {
                        tracing::warn!("{}: frame {}: {error}", counts.path.display(), frame.name);
                        return Ok(None);
                    }
                };
                Ok(Some(match block {
                    Block::Validation => Ready::Validation(NetworkInput::new(&image, spec)),
                    _ => Ready::Train(shrink(image, spec)?),
                }))
            })
            .collect::<Result<_, TrainError>>()?;
        for (ready, (_, frame, boxes)) in ready.into_iter().zip(chunk) {
            match ready {
                Some(Ready::Train(picture)) => {
                    counts.train += 1;
                    self.train.push(frame.name, picture, boxes)?;
                }
                Some(Ready::Validation(input)) => {
                    counts.validation += 1;
                    self.validation.push(input, boxes)?;
                }
                None => counts.undecodable += 1,
            }
        }
        Ok(())
    }
}

/// Where frames' boxes come from.
enum Labels<'a> {
    Truth { classes: HashMap<&'a str, usize> },
    Teachers { frames: HashMap<(u32, u64), &'a FrameTargets> },
}

impl<'a> Labels<'a> {
    fn new(experiment: &'a Experiment, targets: Option<&'a TargetSet>) -> Result<Self, TrainError> {
        match (experiment.targets, targets) {
            (TargetSource::Truth, _) => {
                let classes = experiment.classes.iter().enumerate().map(|(index, name)| (name.as_str(), index));
                Ok(Self::Truth { classes: classes.collect() })
            }
            (TargetSource::Teachers, Some(targets)) => {
                if targets.classes != experiment.classes {
                    return Err(TrainError::NothingToLearn(format!(
                        "the soft targets are of the classes {:?}, the experiment's are {:?}; label again",
                        targets.classes, experiment.classes
                    )));
                }
                let frames = targets.frames.iter().map(|frame| ((frame.source, frame.index), frame));
                Ok(Self::Teachers { frames: frames.collect() })
            }
            (TargetSource::Teachers, None) => Err(TrainError::NothingToLearn(
                "there are no soft targets yet; make them with `distill label`, or run all stages with `distill run`"
                    .into(),
            )),
        }
    }

    /// A frame's boxes in pixels of its image; `None` when it was not labelled.
    fn of(&self, source: usize, data: &DataConfig, frame: &EncodedFrame) -> Result<Option<Vec<TargetBox>>, TrainError> {
        match self {
            Self::Truth { classes } => {
                let truth = frame.truth.as_deref();
                Ok(truth.map(|boxes| boxes.iter().filter_map(|truth| hard_target(truth, classes)).collect()))
            }
            Self::Teachers { frames } => {
                let Some(targets) = frames.get(&(source as u32, frame.index)) else { return Ok(None) };
                if targets.stamp != frame.stamp {
                    return Err(TrainError::Data {
                        path: data.path.clone(),
                        message: format!(
                            "frame {} has the stamp {}, but was labelled with the stamp {}: the targets are of other data; label again",
                            frame.index, frame.stamp, targets.stamp
                        ),
                    });
                }
                let boxes = targets.boxes.iter().map(|soft| TargetBox {
                    bbox: soft.bbox,
                    probabilities: soft.probabilities.clone(),
                    weight: soft.weight,
                });
                Ok(Some(boxes.collect()))
            }
        }
    }
}

/// A true box as a target: probability 1 for its class; a crowd gets no weight, it neither teaches nor is missed.
fn hard_target(truth: &TruthBox, classes: &HashMap<&str, usize>) -> Option<TargetBox> {
    let class = *classes.get(truth.class.as_str())?;
    let mut probabilities = vec![0.0; classes.len()];
    probabilities[class] = 1.0;
    Some(TargetBox { bbox: truth.bbox, probabilities, weight: if truth.crowd { 0.0 } else { 1.0 } })
}
