//! One experiment is one YAML file: data, split, teachers, student, losses, training, augmentation, evaluation.
//!
//! ```yaml
//! name: aisle_person
//! classes: [person]
//! output: runs/aisle_person            # relative paths start from this file's folder
//! data:
//!   - path: bags/monday                # a rosbag2 folder, .mcap, .db3, or a folder of images
//!     topic: /camera/image_raw         # may be left out when there is only one camera
//!   - path: ${BAGS:-bags}/tuesday      # environment variables, with a default after `:-`
//!     block: test                      # the whole recording is test instead of its last quarter
//! teachers:
//!   - {name: yolox, model: models/yolox_nano_416.onnx, format: yolox, trust: 1}
//! student: {size: micro, width: 320, height: 192}
//! train: {epochs: 40, batch: 8}
//! ```
//!
//! Every key that is not known is refused, with the nearest right one.

mod distillation;
mod error;
mod gate;
mod overrides;
mod paths;
mod sections;

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use distillation::{DistillationConfig, GenerationsConfig, Relabel, RetainConfig, SelfTrainingConfig, TrustSource};
pub use error::ConfigError;
pub use gate::GateConfig;
pub(in crate::distill) use paths::{PathResolver, absolute_path, read_resolved, spread};
use paths::{folder_of, relative_path};
pub(in crate::distill) use sections::Complaint;
pub use sections::{
    AugmentConfig, ColorJitter, DataConfig, EvaluateConfig, Optimizer, StudentSection, TargetSource, TrainConfig,
    TruthConfig,
};

use crate::distill::{
    loss::LossConfig,
    split::{Block, SplitConfig},
    student::StudentConfig,
    teacher::{EnsembleOptions, TeacherConfig},
};

/// A whole experiment. Paths are absolute once [`Experiment::load`] has returned it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What the run is called; letters, digits, `_` and `-`.
    pub name: String,
    /// Seed of everything that is random: same seed and same device give the same student. Default 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Threads for computing; 0, the default, takes all cores.
    #[serde(default)]
    pub threads: usize,
    /// Folder that everything is written to.
    pub output: PathBuf,
    /// Folder of the soft targets; experiments with the same teachers, classes and data may share one. Default: `targets` in
    /// the output folder.
    #[serde(default)]
    pub targets_folder: Option<PathBuf>,
    /// The student's classes, in the order of its score vector.
    pub classes: Vec<String>,
    /// The recordings.
    pub data: Vec<DataConfig>,
    /// How each recording is cut into training, validation and test.
    #[serde(default)]
    pub split: SplitConfig,
    /// Whether the student learns from teachers or from the recordings' own truth.
    #[serde(default)]
    pub targets: TargetSource,
    /// Folder of the soft targets that the validation block is judged by, where these are not the ones that are learnt.
    #[serde(default)]
    pub validation_targets: Option<PathBuf>,
    /// The teachers; empty only with `targets: truth`.
    #[serde(default)]
    pub teachers: Vec<TeacherConfig>,
    /// Thresholds of the teachers' fusion.
    #[serde(default)]
    pub fusion: EnsembleOptions,
    /// The student network.
    #[serde(default)]
    pub student: StudentSection,
    /// The losses, each with its weight.
    #[serde(default)]
    pub losses: LossConfig,
    /// What the student takes from its teachers besides their boxes.
    #[serde(default)]
    pub distillation: DistillationConfig,
    /// What the student may lose beside that of an earlier run before there is no bundle of it. Default: nothing is held against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateConfig>,
    /// Epochs, optimiser, checkpoints.
    #[serde(default)]
    pub train: TrainConfig,
    /// What is done to the images while training.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// How the student is judged at the end.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// The YAML as it was written, changes by `--set` included: what a bundle tells of its origin, without this machine's paths.
    #[serde(skip)]
    pub written: String,
}

/// The seed of experiments that say none.
pub(in crate::distill) fn default_seed() -> u64 {
    1
}

impl Experiment {
    /// Reads an experiment, changes single values by `overrides` (`key.path=value`), resolves its paths and checks it.
    ///
    /// # Errors
    /// [`ConfigError`] that names the file and the key, and the mend.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let (text, folder) = read_file(path)?;
        Self::from_yaml(&text, path, folder, overrides, &|name| std::env::var(name).ok())
    }

    fn from_yaml(
        text: &str,
        file: &Path,
        folder: PathBuf,
        overrides: &[String],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        if is_lidar(text) {
            return Err(ConfigError::Lidar { path: file.to_owned() });
        }
        let (mut experiment, written): (Self, String) = read_yaml(text, &file.display().to_string(), overrides)?;
        experiment.written = written;
        experiment.resolve(&PathResolver { file, folder, variable })?;
        experiment.check(file)?;
        Ok(experiment)
    }

    fn resolve(&mut self, paths: &PathResolver<'_>) -> Result<(), ConfigError> {
        self.each_path(&mut |key, path| paths.resolve(key, path))?;
        spread(&mut self.data, |data| &mut data.path);
        Ok(())
    }

    /// Shows each path, with its key, to `change`.
    fn each_path<E>(&mut self, change: &mut dyn FnMut(&str, &mut PathBuf) -> Result<(), E>) -> Result<(), E> {
        change("output", &mut self.output)?;
        let retained = self.distillation.retain.as_mut().map(|retain| &mut retain.run);
        let against = self.gate.as_mut().and_then(|gate| gate.against.as_mut());
        let others = [
            ("targets_folder", self.targets_folder.as_mut()),
            ("validation_targets", self.validation_targets.as_mut()),
            ("evaluate.targets", self.evaluate.targets.as_mut()),
            ("student.inherit", self.student.inherit.as_mut()),
            ("distillation.retain.run", retained),
            ("gate.against", against),
        ];
        for (key, path) in others {
            if let Some(path) = path {
                change(key, path)?;
            }
        }
        for (index, data) in self.data.iter_mut().enumerate() {
            change(&format!("data.{index}.path"), &mut data.path)?;
            if let Some(TruthConfig { coco: Some(path), .. }) = &mut data.truth {
                change(&format!("data.{index}.truth.coco"), path)?;
            }
        }
        each_teacher_path(&mut self.teachers, change)
    }

    /// The same experiment as it is written into a file of this folder, both absolute: with paths that start from there. What a bundle
    /// keeps of its experiment then says little of the machine.
    #[must_use]
    pub fn relative_to(&self, folder: &Path) -> Self {
        let mut moved = self.clone();
        let Ok(()) = moved.each_path(&mut |_, path| {
            *path = relative_path(path, folder);
            Ok::<(), Infallible>(())
        });
        moved
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let wrong =
            |key: &str, message: String| ConfigError::Value { path: file.to_owned(), key: key.to_owned(), message };
        check_run(&self.name, self.threads).map_err(|(key, message)| wrong(key, message))?;
        check_data(&self.data).map_err(|(key, message)| wrong(key, message))?;
        for (index, data) in self.data.iter().enumerate() {
            if let Some(truth) = &data.truth
                && truth.topic.is_some() == truth.coco.is_some()
            {
                let mend = "give one of `topic: /name` and `coco: file.json`";
                return Err(wrong(&format!("data.{index}.truth"), mend.into()));
            }
        }
        for (index, pair) in self.data.windows(2).enumerate() {
            if let [DataConfig { unlabelled: true, .. }, DataConfig { unlabelled: false, .. }] = pair {
                return Err(wrong(
                    &format!("data.{index}"),
                    "unlabelled recordings stand last; move it to the end".into(),
                ));
            }
        }
        if let Some(index) =
            self.data.iter().position(|data| data.unlabelled && (data.truth.is_some() || data.block.is_some()))
        {
            let mend = "an unlabelled recording has neither truth nor block; leave `unlabelled` or these out";
            return Err(wrong(&format!("data.{index}"), mend.into()));
        }
        if self.data.iter().all(|data| data.unlabelled) {
            return Err(wrong("data", "needs a recording that is labelled".into()));
        }
        self.student_config().check().map_err(|error| wrong("student", error.to_string()))?;
        self.split.check().map_err(|source| ConfigError::Split { path: file.to_owned(), source })?;
        self.losses.check().map_err(|error| wrong("losses", error.to_string()))?;
        match self.targets {
            TargetSource::Teachers if self.teachers.is_empty() => {
                let mend = "needs at least one teacher; to learn from the recordings' own truth, say `targets: truth`";
                return Err(wrong("teachers", mend.into()));
            }
            TargetSource::Truth => {
                for (index, data) in self.data.iter().enumerate() {
                    if data.truth.is_none() && data.block != Some(Block::Test) && !data.unlabelled {
                        let mend = "`targets: truth` needs `truth: {topic: ..}` or `truth: {coco: ..}` here";
                        return Err(wrong(&format!("data.{index}"), mend.into()));
                    }
                }
            }
            TargetSource::Teachers => {}
        }
        if self.targets == TargetSource::Truth && self.losses.temperature != 1.0 {
            let mend = "with `targets: truth` labels are hard, and hard labels are not softened; leave it at 1";
            return Err(wrong("losses.temperature", mend.into()));
        }
        if self.losses.truth > 0.0 && !self.data.iter().any(|data| data.truth.is_some()) {
            let mend =
                "needs `truth: {topic: ..}` or `truth: {coco: ..}` of a recording; set it to 0 where there is none";
            return Err(wrong("losses.truth", mend.into()));
        }
        let teachers = teacher_names(&self.teachers).map_err(|(key, message)| wrong(&key, message))?;
        let has_judge = |data: &DataConfig| data.truth.is_some() && data.block != Some(Block::Test);
        match self.distillation.trust {
            TrustSource::Labels if !self.data.iter().any(has_judge) => {
                let mend =
                    "`labels` needs a recording with `truth: {topic: ..}` or `truth: {coco: ..}` that is not all test";
                return Err(wrong("distillation.trust", mend.into()));
            }
            TrustSource::Agreement | TrustSource::Labels if self.targets == TargetSource::Truth => {
                let mend = "with `targets: truth` nobody learns from the teachers' boxes; leave it out";
                return Err(wrong("distillation.trust", mend.into()));
            }
            _ => {}
        }
        if self.student.inherit.as_ref().is_some_and(|run| run.starts_with(&self.output)) {
            let mend = "is in this run's own output folder; give `output` another one";
            return Err(wrong("student.inherit", mend.into()));
        }
        self.distillation.check(&teachers, &wrong)?;
        if self.distillation.retain.as_ref().is_some_and(|retain| retain.run == self.output) {
            let mend = "is this experiment's own `output`, where the new student would replace the earlier one; \
                        choose another `output`";
            return Err(wrong("distillation.retain.run", mend.into()));
        }
        if let Some(gate) = &self.gate {
            gate.check(self).map_err(|(key, message)| wrong(key, message))?;
        }
        if self.train.quantize_aware {
            let key = "train.quantize_aware";
            if self.student.inherit.is_none() {
                let mend = "needs a finished student to start from: name its run's folder in `student.inherit`";
                return Err(wrong(key, mend.into()));
            }
            if self.distillation.generations.count > 0 {
                let mend = "makes one student, no generations; leave `distillation.generations` out";
                return Err(wrong(key, mend.into()));
            }
        }
        let sections = [self.train.check(), self.augment.check(), self.evaluate.check()];
        sections.into_iter().collect::<Result<(), _>>().map_err(|(key, message)| wrong(key, message))
    }

    /// The recordings that are labelled, the first ones of [`Self::data`].
    pub fn labelled_data(&self) -> impl Iterator<Item = &DataConfig> {
        self.data.iter().filter(|data| !data.unlabelled)
    }

    /// The student network that this experiment trains.
    pub fn student_config(&self) -> StudentConfig {
        let StudentSection { size, convolution, width, height, channels, .. } = self.student;
        StudentConfig { convolution, channels, ..StudentConfig::new(size, self.classes.clone(), width, height) }
    }

    /// The experiment as YAML with every default filled in and every path absolute.
    ///
    /// # Errors
    /// When a value cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

/// The text of an experiment, and the absolute folder that its relative paths start from.
///
/// # Errors
/// When the file cannot be read.
pub(in crate::distill) fn read_file(path: &Path) -> Result<(String, PathBuf), ConfigError> {
    let fail = |source| ConfigError::Read { path: path.to_owned(), source };
    Ok((std::fs::read_to_string(path).map_err(fail)?, folder_of(path).map_err(fail)?))
}

/// Whether YAML is an experiment of lidar, which is to be read as a [`LidarExperiment`](super::lidar::LidarExperiment). What is no YAML
/// is told by whoever reads it.
pub(in crate::distill) fn is_lidar(text: &str) -> bool {
    let document = serde_yaml::from_str::<serde_yaml::Value>(text).ok();
    document.is_some_and(|document| document.get("task").and_then(serde_yaml::Value::as_str) == Some("lidar"))
}

/// Reads YAML with single values changed by `overrides`; gives the text with the changes, too. `origin` is its file, for messages.
///
/// # Errors
/// [`ConfigError`] that names the key and where it stands.
pub(in crate::distill) fn read_yaml<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    overrides: &[String],
) -> Result<(T, String), ConfigError> {
    let read = serde_yaml::from_str(text).map_err(|error| ConfigError::from_yaml(origin, &error, true))?;
    if overrides.is_empty() {
        return Ok((read, text.to_owned()));
    }
    let mut document: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|error| ConfigError::from_yaml(origin, &error, true))?;
    overrides::apply(&mut document, overrides)?;
    // Through text once more: only the reader of text tells the path of a wrong key.
    let changed = serde_yaml::to_string(&document).map_err(|error| ConfigError::from_yaml("--set", &error, false))?;
    let read = serde_yaml::from_str(&changed).map_err(|error| ConfigError::from_yaml("--set", &error, false))?;
    Ok((read, changed))
}

/// Looks at what every experiment has: its name and its threads.
pub(in crate::distill) fn check_run(name: &str, threads: usize) -> Result<(), Complaint> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(("name", format!("{name:?} must be letters, digits, `_` and `-` only")));
    }
    if threads > sections::MOST_THREADS {
        return Err(("threads", format!("{threads} is more than {}", sections::MOST_THREADS)));
    }
    Ok(())
}

/// Looks for recordings: without any there is nothing to do.
pub(in crate::distill) fn check_data<T>(data: &[T]) -> Result<(), Complaint> {
    if data.is_empty() {
        return Err(("data", "needs at least one recording, for instance `- path: my_bag`".into()));
    }
    Ok(())
}

/// Makes the teachers' paths absolute.
pub(in crate::distill) fn resolve_teachers(
    teachers: &mut [TeacherConfig],
    paths: &PathResolver<'_>,
) -> Result<(), ConfigError> {
    each_teacher_path(teachers, &mut |key, path| paths.resolve(key, path))
}

/// Shows each path of the teachers, with its key, to `change`.
fn each_teacher_path<E>(
    teachers: &mut [TeacherConfig],
    change: &mut dyn FnMut(&str, &mut PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    for (index, teacher) in teachers.iter_mut().enumerate() {
        for path in teacher.paths_mut() {
            change(&format!("teachers.{index}"), path)?;
        }
    }
    Ok(())
}

/// What the teachers are called, each by a name of its own.
///
/// # Errors
/// The key of a name that another teacher has already, and the mend.
pub(in crate::distill) fn teacher_names(teachers: &[TeacherConfig]) -> Result<Vec<String>, (String, String)> {
    let names: Vec<String> = teachers.iter().map(TeacherConfig::display_name).collect();
    let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    if let Some((index, name)) = twice {
        let mend = format!("there is a teacher `{name}` already; give it another name");
        return Err((format!("teachers.{index}.name"), mend));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
