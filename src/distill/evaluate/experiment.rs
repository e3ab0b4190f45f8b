//! The evaluation that belongs to an experiment.

use std::path::{Path, PathBuf};

use super::{EvaluateJob, EvaluatedModel, EvaluatedRecording, EvaluationTruth, Role};
use crate::distill::{
    bag::TruthSource,
    config::{Experiment, TargetSource},
    split::Block,
    targets::TargetSet,
    teacher::TeacherConfig,
    train::{TrainError, split_of, truth_source},
};

impl EvaluateJob {
    /// The student of an experiment next to its teachers on the test blocks of its recordings. Where people or a simulator have
    /// labelled a recording, these labels are the judge, elsewhere soft targets: those of `evaluate.targets`, or those that were learnt.
    ///
    /// # Errors
    /// When soft targets or a recording cannot be read, or the split makes no sense.
    pub fn of_experiment(experiment: &Experiment) -> Result<Self, TrainError> {
        let mut targets = match experiment.targets {
            TargetSource::Teachers => Some(TargetSet::read(&judging_folder(experiment))?),
            TargetSource::Truth => None,
        };
        let mut recordings = Vec::new();
        for (source, data) in experiment.labelled_data().enumerate() {
            let labels = truth_source(data);
            let truth = match &mut targets {
                Some(set) if labels == TruthSource::None => {
                    let (own, others) = set.frames.drain(..).partition(|frame| frame.source as usize == source);
                    set.frames = others;
                    let teachers = set.teachers.iter().map(|teacher| teacher.name.clone()).collect();
                    EvaluationTruth::Targets { frames: own, teachers }
                }
                _ => EvaluationTruth::Labels(labels),
            };
            let block = Some((split_of(data, experiment)?, Block::Test));
            recordings.push(EvaluatedRecording { path: data.path.clone(), topic: data.topic.clone(), truth, block });
        }
        let student =
            TeacherConfig { name: Some("student".into()), ..TeacherConfig::new(bundle_path(&experiment.output)) };
        let mut models = vec![EvaluatedModel { config: student, role: Role::Student }];
        if experiment.evaluate.teachers {
            let teachers = experiment.teachers.iter().cloned();
            models.extend(teachers.map(|config| EvaluatedModel { config, role: Role::Teacher }));
        }
        Ok(Self {
            recordings,
            classes: experiment.classes.clone(),
            models,
            target_score: experiment.evaluate.target_score,
            max_frames: None,
            latency_rounds: experiment.evaluate.latency_rounds,
            keep_detections: false,
            allow_unjudged: false,
        })
    }

    /// [`Self::of_experiment`] on the validation blocks, judged as the training judges them: what is chosen by is none of the test.
    ///
    /// # Errors
    /// As [`Self::of_experiment`].
    pub fn of_validation(experiment: &Experiment) -> Result<Self, TrainError> {
        let mut judged = experiment.clone();
        judged.evaluate.targets = experiment.validation_targets.clone().or_else(|| Some(targets_folder(experiment)));
        let mut job = Self::of_experiment(&judged)?;
        for (_, block) in job.recordings.iter_mut().filter_map(|recording| recording.block.as_mut()) {
            *block = Block::Validation;
        }
        Ok(job)
    }
}

/// The student's bundle in the output folder of an experiment.
pub fn bundle_path(output: &Path) -> PathBuf {
    output.join("student.onnx")
}

/// The figures of an experiment's evaluation with the boxes that each model found, in its output folder.
pub fn detections_path(output: &Path) -> PathBuf {
    output.join("detections.json")
}

/// Folder of the soft targets that judge an experiment's test block where there is no truth.
pub fn judging_folder(experiment: &Experiment) -> PathBuf {
    experiment.evaluate.targets.clone().unwrap_or_else(|| targets_folder(experiment))
}

/// Folder of an experiment's soft targets.
pub fn targets_folder(experiment: &Experiment) -> PathBuf {
    experiment.targets_folder.clone().unwrap_or_else(|| experiment.output.join("targets"))
}
