//! One lidar experiment is one YAML file.
//!
//! ```yaml
//! task: lidar
//! name: legs
//! classes: [leg]
//! output: runs/legs                    # relative paths start from this file's folder
//! data:
//!   - path: bags/monday
//!     labels: [truth: {poses: /leg_cluster_positions, class: leg}]
//!   - path: ${BAGS:-bags}/tuesday      # environment variables, with a default after `:-`
//!     labels: [camera: {}]
//!     block: test                      # the whole recording is test instead of its last quarter
//! sensor: {rows: 1, max_range: 10}
//! train: {epochs: 40, batch: 16}
//! ```
//!
//! Every key that is not known is refused, with the nearest right one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use super::sections::{
    LidarAugmentConfig, LidarEvaluateConfig, LidarLossConfig, LidarSelfTraining, LidarStudentSection, SensorConfig,
};
use super::{
    labels::{LabelSource, LidarData},
    student::{LidarStudentConfig, TOTAL_STRIDE},
};
use crate::{
    distill::{
        config::{
            Complaint, ConfigError, PathResolver, TrainConfig, check_data, check_run, default_seed, read_file,
            read_yaml, resolve_teachers, spread, teacher_names,
        },
        split::{Block, SplitConfig},
        student::check_classes,
        teacher::{EnsembleOptions, TeacherConfig},
    },
    model::lidar::{Grouping, LidarSpec},
    sensing::range_image::RangeGrid,
};

/// The value of `task` that makes an experiment one of lidar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LidarTask {
    /// Objects and the classes of points in laser scans and point clouds.
    Lidar,
}

/// A whole lidar experiment. Paths are absolute once [`LidarExperiment::load`] has returned it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LidarExperiment {
    /// `lidar`.
    pub task: LidarTask,
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
    /// The student's classes, in the order of its score vector.
    pub classes: Vec<String>,
    /// The recordings.
    pub data: Vec<LidarData>,
    /// How each recording is cut into training, validation and test.
    #[serde(default)]
    pub split: SplitConfig,
    /// The teachers that look at camera images, for data with `labels: [camera: {}]`.
    #[serde(default)]
    pub teachers: Vec<TeacherConfig>,
    /// Thresholds of the teachers' fusion.
    #[serde(default)]
    pub fusion: EnsembleOptions,
    /// The grid that sweeps are laid on.
    #[serde(default)]
    pub sensor: SensorConfig,
    /// By class name: how far apart votes for one object lie, and how many make one; others have the usual grouping.
    #[serde(default)]
    pub grouping: BTreeMap<String, Grouping>,
    /// By class name: the score from which a point is of the class. For the others it is chosen on the validation block, every 0.05 from
    /// 0.1 up, where the points' IoU is best; it is 0.3 where that block has no point of the class. Written into the bundle.
    #[serde(default)]
    pub class_thresholds: BTreeMap<String, f32>,
    /// The student network.
    #[serde(default)]
    pub student: LidarStudentSection,
    /// The losses, each with its weight.
    #[serde(default)]
    pub losses: LidarLossConfig,
    /// Epochs, optimiser, checkpoints.
    #[serde(default)]
    pub train: TrainConfig,
    /// What is done to the sweeps while training.
    #[serde(default)]
    pub augment: LidarAugmentConfig,
    /// A second training, on points that nobody labelled but the student itself does alike over time. Off by default.
    #[serde(default)]
    pub self_training: Option<LidarSelfTraining>,
    /// How the student is judged.
    #[serde(default)]
    pub evaluate: LidarEvaluateConfig,
    /// The YAML as it was written, changes by `--set` included: what a bundle tells of its origin, without this machine's paths.
    #[serde(skip)]
    pub written: String,
}

impl LidarExperiment {
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
        let (mut experiment, written): (Self, String) = read_yaml(text, &file.display().to_string(), overrides)?;
        experiment.written = written;
        experiment.resolve(&PathResolver { file, folder, variable })?;
        experiment.check(file)?;
        Ok(experiment)
    }

    fn resolve(&mut self, paths: &PathResolver<'_>) -> Result<(), ConfigError> {
        paths.resolve("output", &mut self.output)?;
        for (index, data) in self.data.iter_mut().enumerate() {
            for path in data.paths_mut() {
                paths.resolve(&format!("data.{index}"), path)?;
            }
        }
        spread(&mut self.data, |data| &mut data.path);
        resolve_teachers(&mut self.teachers, paths)
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let wrong =
            |key: &str, message: String| ConfigError::Value { path: file.to_owned(), key: key.to_owned(), message };
        check_run(&self.name, self.threads).map_err(|(key, message)| wrong(key, message))?;
        check_classes(&self.classes).map_err(|error| wrong("classes", error.to_string()))?;
        check_data(&self.data).map_err(|(key, message)| wrong(key, message))?;
        for (index, data) in self.data.iter().enumerate() {
            data.check(&self.classes).map_err(|(key, message)| wrong(&format!("data.{index}.{key}"), message))?;
            let is_only_judged = data.block == Some(Block::Test) && data.truth.is_some();
            if data.labels.is_empty() && !is_only_judged && self.self_training.is_none() {
                let mend = "needs something to learn from, for instance `labels: [camera: {}]`; only a recording that is all \
                            test and has `truth` does without, or one of an experiment with `self_training`";
                return Err(wrong(&format!("data.{index}.labels"), mend.into()));
            }
            let is_elsewhere = |other: &LidarData| other.path == data.path && other.block != data.block;
            if let Some(other) = self.data[..index].iter().position(is_elsewhere) {
                let mend = format!(
                    "data.{other} is the same recording and in another block, so that what judges would be learnt; give both the same \
                     `block`, or none"
                );
                return Err(wrong(&format!("data.{index}.block"), mend));
            }
        }
        let teaches =
            |data: &LidarData| !data.labels.is_empty() && data.block.is_none_or(|block| block == Block::Train);
        if !self.data.iter().any(teaches) {
            let mend = "needs a recording to train on, one with `labels` whose `block` is `train` or left out";
            return Err(wrong("data", mend.into()));
        }
        if self.asks_teachers() && self.teachers.is_empty() {
            let mend = "`labels: [camera: {}]` needs at least one teacher that looks at the images";
            return Err(wrong("teachers", mend.into()));
        }
        teacher_names(&self.teachers).map_err(|(key, message)| wrong(&key, message))?;
        self.split.check().map_err(|source| ConfigError::Split { path: file.to_owned(), source })?;
        let grid = RangeGrid { rows: 1, columns: TOTAL_STRIDE, azimuth: [-1.0, 1.0], elevation: [0.0, 0.0] };
        self.spec(grid).validate().map_err(|message| {
            let key = ["class_thresholds", "grouping"].into_iter().find(|key| message.starts_with(key));
            wrong(key.unwrap_or("classes"), message)
        })?;
        // The columns are known once the recordings are; the rest of the student is checked here.
        let columns = self.sensor.columns.unwrap_or(TOTAL_STRIDE).next_multiple_of(TOTAL_STRIDE);
        let rows = if self.sensor.rows == 1 { 1 } else { self.sensor.rows.next_multiple_of(TOTAL_STRIDE) };
        let LidarStudentSection { width, depth } = self.student;
        let student =
            LidarStudentConfig { channels: 1, classes: 1, rows, columns, is_full_circle: false, width, depth };
        let sections = [
            self.sensor.check(),
            self.losses.check(),
            self.train.check(),
            check_for_images(&self.train),
            self.augment.check(),
            self.evaluate.check(),
        ];
        sections.into_iter().collect::<Result<(), _>>().map_err(|(key, message)| wrong(key, message))?;
        if let Some(own) = &self.self_training {
            let key = |key| format!("self_training.consistency.{key}");
            own.consistency.check().map_err(|(name, message)| wrong(&key(name), message))?;
        }
        student.check().map_err(|error| wrong("student", error.to_string()))
    }

    /// Whether some recording is labelled by teachers that look at its camera.
    pub fn asks_teachers(&self) -> bool {
        self.data.iter().flat_map(|data| &data.labels).any(|source| matches!(source, LabelSource::Camera(_)))
    }

    /// How the student is run on a grid.
    pub fn spec(&self, grid: RangeGrid) -> LidarSpec {
        LidarSpec {
            grouping: self.grouping.clone(),
            class_thresholds: self.class_thresholds.clone(),
            ..LidarSpec::new(grid, self.sensor.channels(), self.sensor.max_range, self.classes.clone())
        }
    }

    /// The student network that this experiment trains.
    pub fn student_config(&self, spec: &LidarSpec) -> LidarStudentConfig {
        let LidarStudentSection { width, depth } = self.student;
        LidarStudentConfig {
            channels: spec.channels.len(),
            classes: spec.classes.len(),
            rows: spec.grid.rows,
            columns: spec.grid.columns,
            is_full_circle: spec.grid.is_full_circle(),
            width,
            depth,
        }
    }

    /// The experiment as YAML with every default filled in and every path absolute.
    ///
    /// # Errors
    /// When a value cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(self)
    }
}

/// Sweeps are small: they are all kept in memory and prepared by the threads that compute. Nor is there training as int8 computes.
fn check_for_images(train: &TrainConfig) -> Result<(), Complaint> {
    let TrainConfig { workers, cache_mb, .. } = TrainConfig::default();
    let set = [
        ("train.workers", train.workers != workers),
        ("train.cache_mb", train.cache_mb != cache_mb),
        ("train.quantize_aware", train.quantize_aware),
    ];
    for (key, is_set) in set {
        if is_set {
            return Err((key, "is for images alone; leave it out of an experiment with `task: lidar`".into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
task: lidar
name: small
classes: [leg]
output: ../out
data:
  - path: ${BAGS:-bags}/monday
    labels: [truth: {poses: /legs, class: leg}]
train: {epochs: 3}
";

    fn read(text: &str, overrides: &[&str]) -> Result<LidarExperiment, ConfigError> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        LidarExperiment::from_yaml(text, Path::new("/x/e.yaml"), PathBuf::from("/x"), &overrides, &|_| None)
    }

    #[test]
    fn defaults_are_filled_in_and_the_resolved_form_reads_back() {
        let experiment = read(SMALL, &[]).unwrap();
        assert_eq!(experiment.output, Path::new("/out"));
        assert_eq!(experiment.data[0].path, Path::new("/x/bags/monday"));
        assert_eq!((experiment.student.width, experiment.sensor.rows, experiment.train.epochs), (32, 1, 3));
        let again = read(&experiment.to_yaml().unwrap(), &[]).unwrap();
        assert_eq!(again, LidarExperiment { written: again.written.clone(), ..experiment });
    }

    #[test]
    fn wrong_values_are_told_by_key() {
        for (set, key) in [
            ("sensor.rows=0", "sensor.rows"),
            ("sensor={rows: 16}", "sensor.columns"),
            ("student.width=7", "student.width"),
            ("losses.balance=1", "losses.balance"),
            ("losses.object_balance=1.5", "losses.object_balance"),
            ("augment.shift=-1", "augment.shift"),
            ("train.workers=2", "train.workers"),
            ("train.quantize_aware=true", "train.quantize_aware"),
            ("evaluate.distances=[]", "evaluate.distances"),
            ("evaluate.max_distance=-1", "evaluate.max_distance"),
            ("class_thresholds={dog: 0.5}", "e.yaml: class_thresholds"),
            ("grouping={leg: {radius: 0, min_points: 1}}", "e.yaml: grouping"),
            ("data.0.labels=[camera: {}]", "teachers"),
            ("data.0.labels=[]", "data.0.labels"),
            ("self_training={consistency: {min_score: 0.1}}", "self_training.consistency.uncertain_score"),
            ("self_training={consistency: {distance: .nan}}", "self_training.consistency.distance"),
            ("data.0.block=validation", "data"),
            ("classes=[]", "classes"),
        ] {
            let error = read(SMALL, &[set]).unwrap_err().to_string();
            assert!(error.contains(key), "{set}: {error}");
        }
        let error = read(SMALL, &["sensor.colums=4"]).unwrap_err().to_string();
        assert!(error.contains("sensor.columns"), "{error}");
    }

    #[test]
    fn what_is_tested_on_is_not_trained_on() {
        let twice = SMALL.replace("train: {epochs: 3}", "  - {path: bags/monday, block: test, truth: {poses: /legs}}");
        let error = read(&twice, &[]).unwrap_err().to_string();
        assert!(error.contains("data.1.block: data.0 is the same recording"), "{error}");
        assert!(read(&twice, &["data.1.path=bags/friday"]).is_ok());
        assert!(
            read(&twice, &["data.0.block=train", "data.1.block=train", "data.1.labels=[truth: {poses: /legs}]"])
                .is_ok()
        );
    }
}
