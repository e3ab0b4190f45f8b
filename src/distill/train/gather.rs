//! From recordings and targets to the frames that are trained and validated on.

use std::{collections::HashMap, path::PathBuf};

use image::RgbImage;
use rayon::prelude::*;

use super::{
    TrainError,
    dataset::{FrameBoxes, FrameSet, NetworkInput, Shrunk, ValidationSet, shrink},
};
use crate::{
    distill::{
        bag::{EncodedFrame, Frames, TruthBox, TruthSource},
        config::{DataConfig, Experiment, TargetSource, TruthConfig},
        loss::{LabelKind, LossConfig, TargetBox},
        split::{Block, Split},
        targets::{FrameTargets, SoftBox, TargetSet},
    },
    geometry::Box2,
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
    if data.unlabelled {
        return Ok(Split::whole(Block::Train));
    }
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
/// experiment's recordings in their order; with [`TargetSource::Truth`] they are not looked at. Validation frames are judged by the
/// recording's own truth, where it has some, else by the soft targets of `validation`, where there are some.
///
/// # Errors
/// [`TrainError`] that names the recording.
pub fn gather(
    experiment: &Experiment,
    targets: Option<&TargetSet>,
    validation: Option<&TargetSet>,
) -> Result<Gathered, TrainError> {
    let spec = experiment.student_config().input_spec();
    let labels = Labels::new(experiment, targets)?;
    let validation = validation.map(|targets| Labels::new(experiment, Some(targets))).transpose()?;
    let limit = experiment.train.cache_mb.saturating_mul(1 << 20);
    // Validation frames take as much memory as they need, but not more than a quarter.
    let mut gathered = Gathered {
        train: FrameSet::new(limit - limit / 4),
        validation: ValidationSet::new(limit / 4),
        recordings: Vec::new(),
        losses: Vec::new(),
    };
    let labels_of = |block| match (&validation, block) {
        (Some(validation), Block::Validation) => validation,
        _ => &labels,
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
                Some(block) => match labels_of(block).of(source, data, &frame, block)? {
                    Some(boxes) => {
                        let truth = labels.truth(&frame);
                        let labelled = !data.unlabelled;
                        chunk.push(Wanted { block, frame, boxes, truth, labelled });
                    }
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

/// A frame that is wanted, not decoded yet.
struct Wanted {
    block: Block,
    frame: EncodedFrame,
    boxes: Vec<TargetBox>,
    truth: Truth,
    labelled: bool,
}

/// The true boxes of a frame.
enum Truth {
    /// Nobody asks for them.
    Unwanted,
    /// The recording does not tell them; there are so many classes.
    Unknown(usize),
    Known(Vec<TargetBox>),
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
    fn add(&mut self, chunk: Vec<Wanted>, spec: &InputSpec, counts: &mut BlockCounts) -> Result<(), TrainError> {
        let ready: Vec<Option<Ready>> = chunk
            .par_iter()
            .map(|Wanted { block, frame, .. }| {
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
        for (ready, Wanted { frame, boxes, truth, labelled, .. }) in ready.into_iter().zip(chunk) {
            match ready {
                Some(Ready::Train(picture)) => {
                    counts.train += 1;
                    let truth = match truth {
                        Truth::Unwanted => Vec::new(),
                        Truth::Unknown(classes) => vec![TargetBox::unknown(picture.picture().original, classes)],
                        Truth::Known(boxes) => boxes,
                    };
                    self.train.push(frame.name, picture, FrameBoxes { boxes, truth, labelled })?;
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
struct Labels<'a> {
    /// The index of each class.
    classes: HashMap<&'a str, usize>,
    /// What the teachers said of each frame, unless the truth alone counts.
    teachers: Option<HashMap<(u32, u64), &'a FrameTargets>>,
    losses: &'a LossConfig,
}

impl<'a> Labels<'a> {
    fn new(experiment: &'a Experiment, targets: Option<&'a TargetSet>) -> Result<Self, TrainError> {
        let classes = experiment.classes.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let teachers = match (experiment.targets, targets) {
            (TargetSource::Truth, _) => None,
            (TargetSource::Teachers, Some(targets)) => {
                if targets.classes != experiment.classes {
                    return Err(TrainError::NothingToLearn(format!(
                        "the soft targets are of the classes {:?}, the experiment's are {:?}; label again",
                        targets.classes, experiment.classes
                    )));
                }
                Some(targets.frames.iter().map(|frame| ((frame.source, frame.index), frame)).collect())
            }
            (TargetSource::Teachers, None) => {
                return Err(TrainError::NothingToLearn(
                    "there are no soft targets yet; make them with `distill label`, or run all stages with `distill run`"
                        .into(),
                ));
            }
        };
        Ok(Self { classes, teachers, losses: &experiment.losses })
    }

    /// The true boxes, where the student learns from them beside the teachers' boxes.
    fn truth(&self, frame: &EncodedFrame) -> Truth {
        match &frame.truth {
            _ if self.losses.truth == 0.0 => Truth::Unwanted,
            None => Truth::Unknown(self.classes.len()),
            Some(boxes) => Truth::Known(self.hard_targets(boxes)),
        }
    }

    fn hard_targets(&self, boxes: &[TruthBox]) -> Vec<TargetBox> {
        boxes.iter().filter_map(|truth| hard_target(truth, &self.classes)).collect()
    }

    /// The teachers' boxes, soft or hard as the experiment wants those to fit to; those to validate on stay soft, so that all
    /// students of some teachers are chosen alike.
    fn boxes(&self, targets: &FrameTargets, block: Block) -> Vec<TargetBox> {
        let boxes = targets.boxes.iter().cloned();
        match block {
            Block::Train => boxes.filter_map(|soft| pseudo_label(soft, self.losses)).collect(),
            _ => boxes.map(TargetBox::from).collect(),
        }
    }

    /// A frame's boxes in pixels of its image; `None` when it was not labelled.
    fn of(
        &self,
        source: usize,
        data: &DataConfig,
        frame: &EncodedFrame,
        block: Block,
    ) -> Result<Option<Vec<TargetBox>>, TrainError> {
        if data.unlabelled {
            return Ok(Some(Vec::new()));
        }
        let Some(teachers) = &self.teachers else {
            return Ok(frame.truth.as_deref().map(|boxes| self.hard_targets(boxes)));
        };
        if let (Block::Validation, Some(boxes)) = (block, &frame.truth) {
            // Where people or a simulator labelled the recording, that is the better judge.
            return Ok(Some(self.hard_targets(boxes)));
        }
        let Some(targets) = teachers.get(&(source as u32, frame.index)) else { return Ok(None) };
        if targets.stamp != frame.stamp {
            return Err(TrainError::Data {
                path: data.path.clone(),
                message: format!(
                    "frame {} has the stamp {}, but was labelled with the stamp {}: the targets are of other data; label again",
                    frame.index, frame.stamp, targets.stamp
                ),
            });
        }
        Ok(Some(self.boxes(targets, block)))
    }
}

/// A true box as a target: probability 1 for its class; a crowd gets no weight, it neither teaches nor is missed.
fn hard_target(truth: &TruthBox, classes: &HashMap<&str, usize>) -> Option<TargetBox> {
    let class = *classes.get(truth.class.as_str())?;
    Some(one_hot(truth.bbox, class, classes.len(), if truth.crowd { 0.0 } else { 1.0 }))
}

/// A teachers' box as a training target: as soft as it is, or as hard as a pseudo-label, and then only when they are sure enough.
pub(super) fn pseudo_label(soft: SoftBox, losses: &LossConfig) -> Option<TargetBox> {
    let (class, score) = soft.best();
    match losses.labels {
        LabelKind::Soft => Some(soft.into()),
        LabelKind::Hard if score < losses.hard_threshold => None,
        LabelKind::Hard => Some(one_hot(soft.bbox, class, soft.probabilities.len(), 1.0)),
    }
}

fn one_hot(bbox: Box2, class: usize, classes: usize, weight: f32) -> TargetBox {
    let mut probabilities = vec![0.0; classes];
    probabilities[class] = 1.0;
    TargetBox { bbox, probabilities, weight }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
