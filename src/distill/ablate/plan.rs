//! All runs of an ablation, each with its experiment, read and checked before anything is computed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    AblationConfig, AblationError,
    config::{OWN_KEYS, check_key, check_seeds, overrides},
};
use crate::distill::{
    config::{ConfigError, Experiment, TargetSource},
    stage::hash_of,
};

/// Separate trainings use cores better than the threads of one. They come first, so that an ablation may say otherwise.
const ONE_THREAD: [&str; 2] = ["threads=1", "train.workers=1"];

/// What of an ablation is wanted now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Names of the variants to run; all of them when empty.
    pub only: Vec<String>,
    /// Seeds instead of the ablation's; the ablation's when empty.
    pub seeds: Vec<u64>,
    /// Further changes of the experiment for all variants, `key.path=value`; they win over the ablation's.
    pub set: Vec<String>,
}

/// An ablation with all its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The ablation.
    pub config: AblationConfig,
    /// The seeds of each variant.
    pub seeds: Vec<u64>,
    /// Further changes for all variants.
    pub set: Vec<String>,
    /// Every variant with the first seed, then with the second and so on: an ablation that is stopped early has compared what it
    /// has.
    pub runs: Vec<PlannedRun>,
}

/// One training of one variant.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Index into [`AblationConfig::variants`].
    pub variant: usize,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// All changes of the base experiment, `key.path=value`.
    pub overrides: Vec<String>,
    /// The experiment that they make.
    pub experiment: Experiment,
    /// Whether it is to be run now.
    pub chosen: bool,
}

impl Plan {
    /// Makes the plan. Every variant's experiment is read and checked, chosen or not.
    ///
    /// # Errors
    /// [`AblationError`] that names the variant and the key.
    pub fn make(config: AblationConfig, choice: &Choice) -> Result<Self, AblationError> {
        let wrong = |option: &str, key: &str, message: String| {
            AblationError::Config(ConfigError::Value { path: option.into(), key: key.into(), message })
        };
        for name in &choice.only {
            if !config.variants.iter().any(|variant| variant.name == *name) {
                let known = config.variants.iter().map(|variant| variant.name.clone()).collect();
                return Err(AblationError::UnknownVariant { name: name.clone(), known });
            }
        }
        for text in &choice.set {
            let key = text.split('=').next().unwrap_or_default();
            check_key(key, &OWN_KEYS).map_err(|message| wrong("--set", key, message))?;
        }
        let seeds = if choice.seeds.is_empty() { config.seeds.clone() } else { choice.seeds.clone() };
        check_seeds(&seeds).map_err(|message| wrong("command line", "--seeds", message))?;

        let mut runs = Vec::with_capacity(config.variants.len() * seeds.len());
        for (index, variant) in config.variants.iter().enumerate() {
            let wrong = |source| AblationError::Variant { variant: variant.name.clone(), source };
            let mut shared: Vec<String> = Vec::from(ONE_THREAD.map(str::to_owned));
            shared.extend(overrides(&config.set));
            shared.extend(overrides(&variant.set));
            shared.extend(choice.set.iter().cloned());
            let experiment = Experiment::load(&config.experiment, &shared).map_err(wrong)?;
            if experiment.targets == TargetSource::Teachers {
                let folder = config.output.join(format!("targets_{}", labelling(&experiment)));
                shared.push(path_override("targets_folder", &folder));
            }
            for seed in &seeds {
                let folder = config.output.join(&variant.name).join(format!("seed_{seed}"));
                let mut overrides = shared.clone();
                overrides.push(format!("seed={seed}"));
                overrides.push(path_override("output", &folder));
                let experiment = Experiment::load(&config.experiment, &overrides).map_err(wrong)?;
                let chosen = choice.only.is_empty() || choice.only.contains(&variant.name);
                runs.push(PlannedRun { variant: index, seed: *seed, folder, overrides, experiment, chosen });
            }
        }
        // Stable: variants stay in their order.
        runs.sort_by_key(|run| seeds.iter().position(|seed| *seed == run.seed));
        Ok(Self { config, seeds, set: choice.set.clone(), runs })
    }

    /// The first chosen run of each kind of labelling; the others with the same teachers, fusion, classes and data find its
    /// targets.
    pub fn labellings(&self) -> Vec<&PlannedRun> {
        let mut seen = BTreeSet::new();
        let labels = |run: &&PlannedRun| run.chosen && run.experiment.targets == TargetSource::Teachers;
        self.runs.iter().filter(labels).filter(|run| seen.insert(run.experiment.targets_folder.clone())).collect()
    }

    /// What a run is called.
    pub fn title(&self, run: &PlannedRun) -> String {
        format!("{}, seed {}", self.config.variants[run.variant].name, run.seed)
    }

    /// The arguments of `distill` that make a run.
    pub fn arguments(&self, run: &PlannedRun) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into(), self.config.experiment.clone().into()];
        for text in &run.overrides {
            arguments.push("--set".into());
            arguments.push(text.into());
        }
        arguments.push("--resume".into());
        arguments
    }
}

impl PlannedRun {
    /// The file that takes what the run says.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("log.txt")
    }

    /// The file that the training tells its epochs in.
    pub fn metrics_path(&self) -> PathBuf {
        self.folder.join("train").join("metrics.jsonl")
    }

    /// Epochs that the training has made so far, by this process or an earlier one.
    pub fn epochs_made(&self) -> usize {
        std::fs::read(self.metrics_path()).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }
}

/// `key=path`, quoted, so that nothing in the path means something to YAML.
pub(in crate::distill) fn path_override(key: &str, path: &Path) -> String {
    format!("{key}={}", serde_json::Value::String(path.to_string_lossy().into_owned()))
}

/// Names the labelling of an experiment: eight digits of a hash over all in it that decides the soft targets. What lies in the
/// files is looked at by the labelling itself.
fn labelling(experiment: &Experiment) -> String {
    let Experiment { classes, fusion, teachers, .. } = experiment;
    let sources: Vec<_> = experiment.labelled_data().map(|data| (&data.path, &data.topic)).collect();
    let identity = serde_json::json!({"classes": classes, "fusion": fusion, "teachers": teachers, "sources": sources});
    hash_of(&identity).chars().take(8).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const BASE: &str = "
name: base
classes: [crate]
output: out
data: [{path: bag}]
teachers: [{model: teacher.onnx}]
";
    const THREE: &str = "
name: three
experiment: base.yaml
output: 'runs: all'
seeds: [5, 2]
set: {train.epochs: 2}
variants:
  - {name: plain, baseline: true}
  - {name: long, set: {train.epochs: 4}}
  - {name: doubting, set: {fusion: {score_threshold: 0.2}}}
";

    /// The plan of an ablation of three variants and two seeds.
    pub fn plan(change: (&str, &str), choice: &Choice) -> Result<Plan, AblationError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.yaml"), BASE).unwrap();
        let path = folder.path().join("three.yaml");
        std::fs::write(&path, THREE.replace(change.0, change.1)).unwrap();
        Plan::make(AblationConfig::load(&path)?, choice)
    }

    #[test]
    fn every_variant_runs_with_every_seed_in_its_own_folder() {
        let plan = plan(("", ""), &Choice::default()).unwrap();
        let runs: Vec<_> = plan.runs.iter().map(|run| (run.variant, run.seed)).collect();
        assert_eq!(runs, [(0, 5), (1, 5), (2, 5), (0, 2), (1, 2), (2, 2)]);
        for run in &plan.runs {
            assert!(run.chosen && run.folder.starts_with(&plan.config.output));
            assert_eq!((&run.experiment.output, run.experiment.seed), (&run.folder, run.seed));
            assert_eq!((run.experiment.threads, run.experiment.train.workers), (1, 1));
            assert_eq!(run.experiment.train.epochs, if run.variant == 1 { 4 } else { 2 });
        }
        assert!(plan.runs[0].folder.ends_with("runs: all/plain/seed_5"));
        let arguments = plan.arguments(&plan.runs[4]);
        assert!(arguments.contains(&"train.epochs=4".into()) && arguments.contains(&"--resume".into()));
    }

    #[test]
    fn targets_are_shared_where_the_labelling_is_the_same() {
        let plan = plan(("", ""), &Choice::default()).unwrap();
        let targets = |run: usize| plan.runs[run].experiment.targets_folder.clone().unwrap();
        assert_eq!(targets(0), targets(1));
        assert_eq!(targets(0), targets(4));
        assert_ne!(targets(0), targets(2));
        assert_eq!(targets(0).parent(), Some(plan.config.output.as_path()));
        let labellings: Vec<_> = plan.labellings().iter().map(|run| (run.variant, run.seed)).collect();
        assert_eq!(labellings, [(0, 5), (2, 5)]);
    }

    #[test]
    fn the_command_line_chooses_and_changes() {
        let choice = Choice {
            only: vec!["long".into()],
            seeds: vec![7],
            set: vec!["train.epochs=9".into(), "threads=3".into()],
        };
        let plan = plan(("", ""), &choice).unwrap();
        let runs: Vec<_> = plan.runs.iter().map(|run| (run.variant, run.seed, run.chosen)).collect();
        assert_eq!(runs, [(0, 7, false), (1, 7, true), (2, 7, false)]);
        assert!(plan.runs.iter().all(|run| run.experiment.train.epochs == 9 && run.experiment.threads == 3));
        assert_eq!(plan.labellings().len(), 1);
    }

    #[test]
    fn a_wrong_variant_is_named_before_anything_runs() {
        let error = plan(("score_threshold", "score_treshold"), &Choice::default()).unwrap_err().to_string();
        assert!(error.contains("variant `doubting`") && error.contains("score_threshold"), "{error}");
        let error = plan(("train.epochs: 4", "train.epochs: many"), &Choice::default()).unwrap_err().to_string();
        assert!(error.contains("variant `long`") && error.contains("train.epochs"), "{error}");
        for (choice, words) in [
            (Choice { only: vec!["nobody".into()], ..Choice::default() }, ["nobody", "plain, long, doubting"]),
            (Choice { seeds: vec![3, 3], ..Choice::default() }, ["--seeds", "twice"]),
            (Choice { set: vec!["seed=4".into()], ..Choice::default() }, ["--set", "seeds"]),
            (Choice { set: vec!["train.epochs".into()], ..Choice::default() }, ["--set", "key=value"]),
        ] {
            let error = plan(("", ""), &choice).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
