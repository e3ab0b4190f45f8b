//! All rungs of a ladder with the commands that make them, read and checked before anything is computed.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_yaml::Value;

use super::{LadderConfig, LadderError, PointPrecision, config::OWN_KEYS};
use crate::distill::{
    ablate::{Settings, check_key, overrides, path_override},
    compress::prune::{Measure, VERDICT_FILE, default_epochs},
    config::{ConfigError, DataConfig, Experiment, TargetSource},
    evaluate::bundle_path,
    student::Size,
    teacher::TeacherConfig,
    train::weights_path,
};

/// A ladder with all its commands and all the students that they make.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// The ladder as it was written.
    pub config: LadderConfig,
    /// Further changes for all rungs, `key.path=value`.
    pub set: Vec<String>,
    /// The experiment of the first rung: its data, classes and teachers are those of all.
    pub experiment: Experiment,
    /// The commands, in an order in which each finds what it needs.
    pub steps: Vec<Step>,
    /// The students: each rung first in floats, then in its other precisions.
    pub points: Vec<PlannedPoint>,
}

/// One command of `distill` that makes a student, or a part of the way to one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// What it does, for people.
    pub title: String,
    /// The rung's folder, which keeps the log and what was done already.
    pub folder: PathBuf,
    /// What the folder's book of stages calls it.
    pub stage: String,
    /// The arguments of `distill`.
    pub arguments: Vec<OsString>,
    /// The file that is there when it was done.
    pub output: PathBuf,
    /// The step whose output it needs.
    pub after: Option<usize>,
    /// Files and folders that decide its result beside the arguments.
    pub inputs: Vec<PathBuf>,
    /// What else decides its result, as text: the experiment.
    pub settings: String,
    /// A folder that it fills; what lies there of an earlier time is removed before.
    pub fills: Option<PathBuf>,
    /// The report of a quantisation, or what a cut student's gate found: where it is there and the output is not, the bundle was refused.
    pub verdict: Option<PathBuf>,
}

/// One student of the ladder.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPoint {
    /// Its name: the rung's, and its precision where that is not fp32.
    pub name: String,
    /// What was done to the student that it comes from, in words.
    pub change: String,
    /// The student that it comes from, an index into [`Ladder::points`].
    pub from: Option<usize>,
    /// What it computes in.
    pub precision: PointPrecision,
    /// Whether it may be chosen; others are made on the way alone.
    pub offered: bool,
    /// The step that makes it, an index into [`Ladder::steps`].
    pub step: usize,
    /// Its bundle.
    pub bundle: PathBuf,
}

/// A finished float student, as the next step finds it.
#[derive(Clone)]
struct Standing {
    /// Folder of its run.
    run: PathBuf,
    /// The step that makes it.
    step: usize,
    /// The student itself, an index into the points; a rung between two has none.
    point: Option<usize>,
}

impl Ladder {
    /// Plans all rungs. Every unpruned student's experiment is read and checked; `set` are further changes of all of them
    /// (`key.path=value`), which win over the ladder's, over its `epochs` too. The ladder's own are those of [`LadderConfig::load`].
    ///
    /// # Errors
    /// [`LadderError`] that names the rung and the key.
    pub fn plan(config: LadderConfig, set: Vec<String>) -> Result<Self, LadderError> {
        for text in &set {
            let key = text.split('=').next().unwrap_or_default();
            check_key(key, &OWN_KEYS).map_err(|message| ConfigError::Value {
                path: "--set".into(),
                key: key.to_owned(),
                message,
            })?;
        }
        let mut shared = overrides(&config.set);
        let lidar = |error: ConfigError| match error {
            ConfigError::Lidar { path } => LadderError::Lidar { path },
            other => LadderError::Config(other),
        };
        let base = Experiment::load(&config.experiment, &[&shared[..], &set[..]].concat()).map_err(lidar)?;
        if base.targets == TargetSource::Teachers && base.targets_folder.is_none() {
            shared.push(path_override("targets_folder", &config.output.join("targets")));
        }
        let section = &config.ladder;
        let sizes = if section.sizes.is_empty() { vec![base.student.size] } else { section.sizes.clone() };
        let own_input = vec![[base.student.width, base.student.height]];
        let inputs = if section.inputs.is_empty() { own_input } else { section.inputs.clone() };
        let mut ladder = Self { config, set, experiment: base, steps: Vec::new(), points: Vec::new() };
        for size in sizes {
            for input in &inputs {
                ladder.add_student(size, *input, &shared)?;
            }
        }
        Ok(ladder)
    }

    /// Adds a student of this size and input, and all that is made of it.
    fn add_student(&mut self, size: Size, [width, height]: [usize; 2], shared: &[String]) -> Result<(), LadderError> {
        let size = serde_yaml::to_value(size).unwrap_or_default();
        let rung = format!("{}_{width}x{height}", size.as_str().unwrap_or_default());
        let folder = self.config.output.join(&rung);
        let run = folder.join("run");
        let mut own = Settings::from([
            ("student.size".to_owned(), size),
            ("student.width".to_owned(), Value::from(width)),
            ("student.height".to_owned(), Value::from(height)),
        ]);
        if let Some(seed) = self.config.seed {
            own.insert("seed".to_owned(), Value::from(seed));
        }
        if let Some(epochs) = self.config.epochs {
            own.insert("train.epochs".to_owned(), Value::from(epochs));
        }
        let mut changes = shared.to_vec();
        changes.extend(overrides(&own));
        changes.extend(self.set.iter().cloned());
        changes.push(path_override("output", &run));
        let wrong = |source| LadderError::Rung { rung: rung.clone(), source };
        let experiment = Experiment::load(&self.config.experiment, &changes).map_err(wrong)?;
        let settings = experiment.to_yaml().map_err(|error| {
            let origin = self.config.experiment.display().to_string();
            wrong(ConfigError::Invalid { origin, message: error.to_string() })
        })?;
        let mut arguments: Vec<OsString> = vec!["run".into(), self.config.experiment.clone().into()];
        for change in &changes {
            arguments.push("--set".into());
            arguments.push(change.into());
        }
        arguments.push("--resume".into());
        let step = self.add_step(Step {
            title: format!("train {rung}"),
            folder: folder.clone(),
            stage: "train".to_owned(),
            arguments,
            output: bundle_path(&run),
            inputs: inputs_of(&experiment),
            settings,
            ..Step::default()
        });
        let epochs = experiment.train.epochs;
        if self.points.is_empty() {
            self.experiment = experiment;
        }
        let change = format!("trained at {width}x{height}");
        let whole = self.add_points(&rung, change, None, &folder, &Standing { run, step, point: None });
        self.add_pruned(&rung, &whole, epochs);
        Ok(())
    }

    /// Adds what is cut out of an unpruned student, each cut from the one before.
    fn add_pruned(&mut self, rung: &str, whole: &Standing, epochs: usize) {
        let epochs = self.config.recovery_epochs.unwrap_or(default_epochs(epochs));
        let rounds = self.config.ladder.rounds.max(1);
        let shares: Vec<_> = self.config.ladder.prune.iter().filter_map(|entry| entry.given()).collect();
        let (mut above, mut before) = (whole.clone(), 1.0);
        for (measure, share) in shares {
            let name = format!("{rung}_{}_{}", measure.name(), percent(share));
            let folder = self.config.output.join(&name);
            let from = above.point;
            // Each round leaves the same part of what it finds.
            let kept = (share / before).powf(1.0 / rounds as f64);
            for round in 1..=rounds {
                above =
                    self.add_round(&Cut { name: &name, folder: &folder, round, measure, kept, epochs }, &above, whole);
            }
            let change = format!("pruned to {} % of the {}, distilled", percent(share), measure.words());
            above = self.add_points(&name, change, from, &folder, &above);
            before = share;
        }
    }

    /// Adds one round of pruning and distilling. Whatever was cut before, the student that nothing was cut from goes on teaching:
    /// `distill prune` sees to that.
    fn add_round(&mut self, cut: &Cut<'_>, above: &Standing, whole: &Standing) -> Standing {
        let Cut { name, folder, round, measure, kept, epochs } = *cut;
        let pruned = folder.join(format!("round_{round}"));
        let mut arguments: Vec<OsString> = vec!["prune".into(), above.run.clone().into(), "--out".into()];
        arguments.push(pruned.clone().into());
        arguments.extend([OsString::from("--keep"), format!("{kept:.4}").into()]);
        arguments.extend([OsString::from("--measure"), measure.name().into()]);
        arguments.extend([OsString::from("--epochs"), epochs.to_string().into()]);
        if let Some(by) = self.config.ladder.by {
            arguments.extend(["--by", by.name()].map(OsString::from));
        }
        let recovery = pruned.join("distil.yaml");
        let step = self.add_step(Step {
            title: format!("prune {name}, round {round}"),
            folder: folder.to_owned(),
            stage: format!("prune {round}"),
            arguments,
            output: recovery.clone(),
            after: Some(above.step),
            // Not the bundle, which is written anew where another gate looks at the same student.
            inputs: vec![weights_path(&above.run.join("train"))],
            fills: Some(pruned.clone()),
            ..Step::default()
        });
        let run = pruned.join("distilled");
        let budget = format!("gate.budget={}", self.config.gate.budget);
        let mut arguments: Vec<OsString> = vec!["run".into(), recovery.clone().into(), "--resume".into()];
        arguments.extend(["--set", budget.as_str()].map(OsString::from));
        let step = self.add_step(Step {
            title: format!("distil {name}, round {round}"),
            folder: folder.to_owned(),
            stage: format!("distil {round}"),
            arguments,
            output: bundle_path(&run),
            after: Some(step),
            inputs: vec![recovery, bundle_path(&pruned), bundle_path(&whole.run)],
            verdict: Some(run.join(VERDICT_FILE)),
            ..Step::default()
        });
        Standing { run, step, point: None }
    }

    /// Adds a float student and its other precisions; gives back how the float one stands.
    fn add_points(
        &mut self,
        name: &str,
        change: String,
        from: Option<usize>,
        folder: &Path,
        float: &Standing,
    ) -> Standing {
        let precisions = self.config.ladder.precisions.clone();
        let place = self.points.len();
        self.points.push(PlannedPoint {
            name: name.to_owned(),
            change,
            from,
            precision: PointPrecision::Fp32,
            offered: precisions.contains(&PointPrecision::Fp32),
            step: float.step,
            bundle: bundle_path(&float.run),
        });
        for precision in precisions {
            let change = match precision {
                PointPrecision::Fp32 => continue,
                PointPrecision::Fp16 => "float16".to_owned(),
                PointPrecision::Int8 => "int8 after training".to_owned(),
                PointPrecision::Int8Aware => format!("int8 in {} epochs of training", self.config.aware_epochs),
            };
            let bundle = folder.join(format!("{}.onnx", precision.name()));
            let step = self.add_quantization(name, folder, precision, float);
            let name = format!("{name}_{}", precision.name());
            self.points.push(PlannedPoint { name, change, from: Some(place), precision, offered: true, step, bundle });
        }
        Standing { point: Some(place), ..float.clone() }
    }

    fn add_quantization(&mut self, name: &str, folder: &Path, precision: PointPrecision, float: &Standing) -> usize {
        let [bundle, verdict] = ["onnx", "json"].map(|ending| folder.join(format!("{}.{ending}", precision.name())));
        let gate = self.config.gate;
        let mut arguments: Vec<OsString> = vec!["quantize".into(), float.run.clone().into(), "--out".into()];
        arguments.extend([OsString::from(&bundle), "--report".into(), verdict.clone().into()]);
        arguments.extend([OsString::from("--budget"), gate.budget.to_string().into()]);
        arguments.extend([OsString::from("--agreement"), gate.agreement.to_string().into()]);
        if precision == PointPrecision::Fp16 {
            arguments.push("--fp16".into());
        } else if let Some(weights) = self.config.weights {
            // Said only where it is wanted, so that bundles of ladders that do not name it are not made again.
            arguments.extend(["--weights", weights.name()].map(OsString::from));
        }
        if precision == PointPrecision::Int8Aware {
            arguments.extend([OsString::from("--train"), self.config.aware_epochs.to_string().into()]);
        }
        self.add_step(Step {
            title: format!("quantize {name} to {}", precision.name()),
            folder: folder.to_owned(),
            stage: precision.name().to_owned(),
            arguments,
            output: bundle,
            after: Some(float.step),
            inputs: vec![bundle_path(&float.run)],
            verdict: Some(verdict),
            ..Step::default()
        })
    }

    fn add_step(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }
}

impl Step {
    /// The file that takes what it says.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("log.txt")
    }
}

/// One round of pruning.
struct Cut<'a> {
    /// The rung.
    name: &'a str,
    /// Its folder.
    folder: &'a Path,
    /// Number of the round, from 1.
    round: usize,
    /// What is left is a share of this.
    measure: Measure,
    /// The share that is left of what the round finds.
    kept: f64,
    /// Epochs of the distillation after it.
    epochs: usize,
}

/// Whatever an experiment reads: recordings, truth, teachers, earlier students.
fn inputs_of(experiment: &Experiment) -> Vec<PathBuf> {
    let data = experiment.data.iter().flat_map(DataConfig::paths);
    let teachers = experiment.teachers.iter().flat_map(TeacherConfig::paths);
    let targets = [&experiment.evaluate.targets, &experiment.validation_targets];
    let mut inputs: Vec<PathBuf> = data.chain(teachers).chain(targets.into_iter().flatten()).cloned().collect();
    let retained = experiment.distillation.retain.as_ref().map(|retain| &retain.run);
    inputs.extend(experiment.student.inherit.iter().chain(retained).map(|run| run.join("train").join("best.bpk")));
    inputs
}

/// A share in per cent, with a decimal where it has one: `70`, `32.5`.
fn percent(share: f64) -> String {
    format!("{}", (share * 1000.0).round() / 10.0)
}
