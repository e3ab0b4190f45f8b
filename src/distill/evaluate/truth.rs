//! What is true of a recording's frames.

use std::collections::HashMap;

use super::{EvaluateError, EvaluateJob, EvaluatedRecording, EvaluationTruth};
use crate::{
    distill::{
        bag::{EncodedFrame, TruthSource},
        targets::FrameTargets,
    },
    metrics::{Demand, TruthBox},
};

/// The truth of one recording, to be asked frame by frame.
pub(in crate::distill) struct RecordingTruth<'j> {
    job: &'j EvaluateJob,
    recording: &'j EvaluatedRecording,
    targets: Option<HashMap<u64, &'j FrameTargets>>,
}

impl<'j> RecordingTruth<'j> {
    /// The truth of a recording of the job.
    pub fn new(job: &'j EvaluateJob, recording: &'j EvaluatedRecording) -> Self {
        let targets = match &recording.truth {
            EvaluationTruth::Labels(_) => None,
            EvaluationTruth::Targets { frames, .. } => Some(frames.iter().map(|t| (t.index, t)).collect()),
        };
        Self { job, recording, targets }
    }

    /// Where the frames have to bring it from.
    pub fn source(&self) -> TruthSource {
        match &self.recording.truth {
            EvaluationTruth::Labels(source) => source.clone(),
            EvaluationTruth::Targets { .. } => TruthSource::None,
        }
    }

    /// The truth of a frame, `None` when nothing is known of it.
    pub fn of(&self, frame: &EncodedFrame) -> Result<Option<Vec<TruthBox>>, EvaluateError> {
        if let Some(targets) = &self.targets {
            let Some(targets) = targets.get(&frame.index) else { return Ok(None) };
            if targets.stamp != frame.stamp {
                return Err(EvaluateError::OtherTargets {
                    path: self.recording.path.clone(),
                    index: frame.index,
                    stamp: frame.stamp,
                    labelled: targets.stamp,
                });
            }
            let truth = targets.boxes.iter().map(|target| {
                let (class, score) = target.best();
                let demand = if score < self.job.target_score { Demand::Optional } else { Demand::Required };
                TruthBox { bbox: target.bbox, class, demand }
            });
            return Ok(Some(truth.collect()));
        }
        let Some(labelled) = frame.truth.as_ref() else { return Ok(None) };
        Ok(Some(judged_truth(labelled, &self.job.classes)))
    }

    /// How sure a truth box of a frame is, by its place in [`RecordingTruth::of`]: the teachers' score, `None` for labels.
    pub fn score(&self, frame: u64, place: usize) -> Option<f32> {
        let targets = self.targets.as_ref()?.get(&frame)?;
        targets.boxes.get(place).map(|target| target.best().1)
    }
}

/// A frame's labels as truth to judge by; labels of other classes are left out.
pub fn judged_truth(labelled: &[crate::distill::bag::TruthBox], classes: &[String]) -> Vec<TruthBox> {
    let truth = labelled.iter().filter_map(|truth| {
        let class = classes.iter().position(|class| *class == truth.class)?;
        Some(TruthBox { bbox: truth.bbox, class, demand: if truth.crowd { Demand::Crowd } else { Demand::Required } })
    });
    truth.collect()
}
