//! The section of an experiment that says what the student takes from its teachers besides their boxes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::distill::loss::{TermConfig, WeightSchedule};

/// Which training images the teachers label anew, as the student sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relabel {
    /// None: boxes of the recording's frames move with the augmentation.
    #[default]
    Never,
    /// Mosaics and mixed images, which no recording holds: an ensemble is compressed through synthetic data (Bucila et al. 2006).
    Synthetic,
    /// Every image.
    Always,
}

/// How far the teachers are trusted where their boxes are fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustSource {
    /// As `teachers[].trust` says.
    #[default]
    Given,
    /// As far as they agree with each other.
    Agreement,
    /// As their AP on the recordings' truth outside the test blocks says.
    Labels,
}

/// How a student learns from recordings that nobody labelled: the moving average of its weights labels them ("Mean teachers are
/// better role models", Tarvainen and Valpola 2017).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTrainingConfig {
    /// Lowest score of the average's boxes that are learnt from; soft, like a teacher's. Default 0.4.
    pub score: f32,
    /// Share of the training before which the average knows too little to label. Default 0.3.
    pub start: f64,
    /// Trust in the average's boxes, in `(0, 1]`. Default 0.5.
    pub trust: f32,
}

impl Default for SelfTrainingConfig {
    fn default() -> Self {
        Self { score: 0.4, start: 0.3, trust: 0.5 }
    }
}

/// Self-distillation over generations: students that are each taught by the ones before ("Born-Again Neural Networks", Furlanello et
/// al. 2018).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationsConfig {
    /// Generations after the first student; 0, the default, makes none.
    pub count: usize,
    /// A generation is kept when its AP on the validation block is greater than the best one's by this much; the first that is not
    /// ends it. Default 0.
    pub gate: f64,
    /// Whether the teachers go on teaching beside the students. Default true.
    pub keep_teachers: bool,
    /// Whether all kept generations teach the next one, or the last one alone. Default false.
    pub ensemble: bool,
    /// Trust in an earlier generation as a teacher, in `(0, 1]`. Default 1.
    pub trust: f32,
}

impl Default for GenerationsConfig {
    fn default() -> Self {
        Self { count: 0, gate: 0.0, keep_teachers: true, ensemble: false, trust: 1.0 }
    }
}

/// An earlier run whose student is taught something new, and goes on doing what it already did: "Learning without Forgetting" (Li and
/// Hoiem 2016), which Schmidhuber's automatizer (1991) has to do whenever the chunker is collapsed into it.
///
/// The new student starts from that run's weights. On every training image it is kept near what the earlier student says of it: the
/// terms `retain_class` (the earlier classes) and `retain_box`. The new experiment may have more classes, in any order; size,
/// convolution and input stay as they are. With `student.inherit` the student starts from the run named there, and may be of another
/// size; the earlier one is then its teacher alone. `distill run` measures on the earlier run's test block what was forgotten.
///
/// ```yaml
/// classes: [person, pallet]                      # the earlier run knew persons
/// data: [{path: bags/pallets}, {path: bags/persons}]
/// distillation: {retain: {run: runs/persons}}
/// ```
///
/// What images of the new task do not show cannot be rehearsed on them: list the earlier run's recordings in `data` too, where they
/// are still there, with the split that they had. Objects of earlier classes should be labelled in the new recordings as well; where
/// they are not, the losses on boxes call them background, and `weight` must outweigh that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetainConfig {
    /// The earlier run's output folder (`config.yaml`, `train/best.bpk`, and for the measurement `student.onnx`).
    pub run: PathBuf,
    /// Weight of both terms. 0 does without: the student is only fine-tuned, and its forgetting still measured. Default 1.
    #[serde(default = "default_retain_weight")]
    pub weight: f32,
    /// Softens what both students say, in 0.1..100. Default 2, as in the paper.
    #[serde(default = "default_retain_temperature")]
    pub temperature: f32,
    /// When both terms count. Default: always.
    #[serde(default, skip_serializing_if = "WeightSchedule::is_always")]
    pub schedule: WeightSchedule,
}

impl RetainConfig {
    /// What retains an earlier run's student with the usual settings.
    pub fn new(run: PathBuf) -> Self {
        Self {
            run,
            weight: default_retain_weight(),
            temperature: default_retain_temperature(),
            schedule: WeightSchedule::default(),
        }
    }
}

fn default_retain_weight() -> f32 {
    1.0
}

fn default_retain_temperature() -> f32 {
    2.0
}

/// What the student takes from its teachers besides their boxes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillationConfig {
    /// Terms that look into teachers, each added to the losses with its weight.
    pub terms: Vec<TermConfig>,
    /// Which training images the teachers label anew while the student trains. Default `never`.
    pub relabel: Relabel,
    /// How far the teachers are trusted in the boxes that are learnt from. Default `given`.
    pub trust: TrustSource,
    /// How unlabelled recordings (`data[].unlabelled`) are learnt from.
    pub self_training: SelfTrainingConfig,
    /// Generations of students that are each taught by the ones before.
    pub generations: GenerationsConfig,
    /// An earlier run whose student learns on without forgetting. Default: none.
    pub retain: Option<RetainConfig>,
}

impl DistillationConfig {
    /// Whether teachers are run while the student trains.
    pub fn needs_teachers(&self) -> bool {
        !self.terms.is_empty() || self.relabel != Relabel::Never
    }

    /// Checks the terms; `teachers` are the experiment's.
    pub(super) fn check(
        &self,
        teachers: &[String],
        wrong: &dyn Fn(&str, String) -> ConfigError,
    ) -> Result<(), ConfigError> {
        if self.relabel != Relabel::Never && teachers.is_empty() {
            return Err(wrong("distillation.relabel", "needs teachers".into()));
        }
        let SelfTrainingConfig { score, start, trust } = self.self_training;
        if !((0.0..=1.0).contains(&score) && (0.0..=1.0).contains(&start) && trust > 0.0 && trust <= 1.0) {
            let message =
                format!("score {score} and start {start} must be in 0..1, trust {trust} above 0 and at most 1");
            return Err(wrong("distillation.self_training", message));
        }
        let GenerationsConfig { count, gate, trust, .. } = self.generations;
        if count > 20 || !(-1.0..=1.0).contains(&gate) || !(trust > 0.0 && trust <= 1.0) {
            let message =
                format!("count {count} must be at most 20, gate {gate} an AP, trust {trust} above 0 and at most 1");
            return Err(wrong("distillation.generations", message));
        }
        if count > 0 && !self.generations.keep_teachers && !self.terms.is_empty() {
            let mend =
                "terms look into teachers, which later generations then do not have; keep them, or leave the terms out";
            return Err(wrong("distillation.generations.keep_teachers", mend.into()));
        }
        if let Some(RetainConfig { weight, temperature, schedule, .. }) = &self.retain {
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(wrong("distillation.retain.weight", format!("{weight} must be a number >= 0")));
            }
            if !(0.1..=100.0).contains(temperature) {
                return Err(wrong("distillation.retain.temperature", format!("{temperature} must be in 0.1..100")));
            }
            if let Some(complaint) = schedule.complaint() {
                return Err(wrong("distillation.retain.schedule", complaint));
            }
        }
        for (index, term) in self.terms.iter().enumerate() {
            if let Some((field, message)) = term.complaint(teachers) {
                return Err(wrong(&format!("distillation.terms.{index}.{field}"), message));
            }
        }
        Ok(())
    }
}
