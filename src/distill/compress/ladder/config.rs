//! The YAML of a ladder.
//!
//! ```yaml
//! name: indoor_person_small
//! experiment: indoor_person.yaml       # relative paths start from this file's folder
//! output: ../../runs/compress_indoor_person
//! ladder:
//!   sizes: [small, micro]
//!   inputs: [[320, 192], [256, 160]]
//!   prune: [{time: 0.7}, {time: 0.5}]  # shares of the unpruned student's time, each reached from the one before
//!   rounds: 2                          # of pruning and distilling for each of them
//!   precisions: [fp32, int8, int8_aware]
//! constraints: {size_kb: 500, retention: 0.97, speedup_over: {model: yolox_nano_416.onnx, times: 9.4}}
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Constraints, LadderError};
use crate::distill::{
    ablate::{Settings, check_name, check_settings},
    compress::{
        prune::{Criterion, Measure},
        quantize::{Budget, WeightRange},
    },
    config::{ConfigError, read_resolved},
    student::Size,
};

/// Keys of the experiment that each rung is given by the ladder, and where to say them instead.
pub(super) const OWN_KEYS: [(&str, &str); 6] = [
    ("seed", "say `seed` of the ladder"),
    ("output", "each rung has its own folder in the ladder's `output`"),
    ("targets_folder", "all rungs share one in the ladder's `output`; an experiment may name another"),
    ("student.size", "list them under `ladder.sizes`"),
    ("student.width", "list widths and heights under `ladder.inputs`"),
    ("student.height", "list widths and heights under `ladder.inputs`"),
];

/// Keys of the ladder that `--set` changes; the experiment has none of these but `seed`, which the ladder gives it.
const SETTABLE: [&str; 9] =
    ["seed", "epochs", "recovery_epochs", "aware_epochs", "ladder", "gate", "weights", "constraints", "latency_rounds"];

/// A rung may have at most this share of the time of the one before it; less of a step is not worth a training.
const MOST_SHARE: f64 = 0.98;
/// More rounds for one rung are not worth their trainings.
const MOST_ROUNDS: usize = 20;
/// Rounds of timing at most.
const MOST_TIMINGS: usize = 100_000;

/// A whole ladder. Paths are absolute once [`LadderConfig::load`] has returned it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderConfig {
    /// What it is called; letters, digits, `_` and `-`.
    pub name: String,
    /// The experiment that all rungs start from.
    pub experiment: PathBuf,
    /// Folder that everything is written to.
    pub output: PathBuf,
    /// Seed of all trainings. Default: the experiment's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Epochs of each unpruned student. Default: the experiment's.
    #[serde(default)]
    pub epochs: Option<usize>,
    /// Epochs of the distillation after each cut. Default: a quarter of those of the unpruned student, at least 5.
    #[serde(default)]
    pub recovery_epochs: Option<usize>,
    /// Epochs of training with rounding in the loop, for `int8_aware`. Default 10.
    #[serde(default = "default_aware_epochs")]
    pub aware_epochs: usize,
    /// Changes of the experiment for all rungs.
    #[serde(default)]
    pub set: Settings,
    /// What is tried.
    #[serde(default)]
    pub ladder: LadderSection,
    /// What a cut student may lose against the uncut one, and a bundle in fewer bits against the float one that it was made of; what loses
    /// more is refused.
    #[serde(default)]
    pub gate: GateSection,
    /// The weights of int8 bundles: `clear`, `full` or `unsigned`, as of `distill quantize --weights`. Default `clear`.
    #[serde(default)]
    pub weights: Option<WeightRange>,
    /// What the chosen student must be like.
    #[serde(default)]
    pub constraints: Constraints,
    /// Rounds in which all students and teachers are timed, in turns. Default 60.
    #[serde(default = "default_latency_rounds")]
    pub latency_rounds: usize,
}

/// What is tried: every size with every input, each pruned step by step, each in every precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderSection {
    /// Sizes of students. Default: the experiment's.
    pub sizes: Vec<Size>,
    /// Widths and heights of inputs in pixels, multiples of 32. Default: the experiment's.
    pub inputs: Vec<[usize; 2]>,
    /// What is left after each cut, as a share of the unpruned student; each is cut from the one before. Default: none.
    pub prune: Vec<PruneShare>,
    /// Rounds of pruning and distilling in which each share is reached. Default 1.
    pub rounds: usize,
    /// What tells which channels go: `taylor`, `batch_norm` or `l1`, as of `distill prune --by`. Default `taylor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Criterion>,
    /// The numbers that students compute in. Default `[fp32, int8]`.
    pub precisions: Vec<PointPrecision>,
}

/// What is left of a student: one of `{time: 0.7}` and `{macs: 0.7}`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneShare {
    /// Share of its time, as measured in ONNX Runtime on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
    /// Share of its multiply-accumulates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<f64>,
}

/// The numbers that a student computes in, and how it came to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointPrecision {
    /// Floats of 32 bits.
    Fp32,
    /// Floats of 16 bits (`distill quantize --fp16`), for processors that compute in them.
    Fp16,
    /// Eight bits, calibrated after training (`distill quantize`).
    Int8,
    /// Eight bits, trained with rounding in the loop (`distill quantize --train`).
    Int8Aware,
}

/// What a step of the ladder may lose, as of `distill prune` and `distill quantize`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateSection {
    /// Points of AP50 on the validation block: of a cut student that has learnt again beside the uncut one, and of one in fewer bits
    /// beside the float one. Default 1.
    pub budget: f64,
    /// The least F1 of agreement of a student in fewer bits with the float student's detections. Default 0.97.
    pub agreement: f64,
}

fn default_aware_epochs() -> usize {
    10
}

fn default_latency_rounds() -> usize {
    60
}

impl Default for LadderSection {
    fn default() -> Self {
        Self {
            sizes: Vec::new(),
            inputs: Vec::new(),
            prune: Vec::new(),
            rounds: 1,
            by: None,
            precisions: vec![PointPrecision::Fp32, PointPrecision::Int8],
        }
    }
}

impl Default for GateSection {
    fn default() -> Self {
        let Budget { ap50, agreement } = Budget::default();
        Self { budget: 100.0 * ap50, agreement }
    }
}

impl PruneShare {
    /// The measure and the share; `None` where not just one is given.
    pub fn given(self) -> Option<(Measure, f64)> {
        match (self.time, self.macs) {
            (Some(share), None) => Some((Measure::Time, share)),
            (None, Some(share)) => Some((Measure::Macs, share)),
            _ => None,
        }
    }
}

impl PointPrecision {
    /// Its name in the YAML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
            Self::Int8Aware => "int8_aware",
        }
    }
}

impl LadderConfig {
    /// Parts the changes of a command line (`key.path=value`) into those of the ladder, for [`Self::load`], and those of its experiment,
    /// for [`super::Ladder::plan`].
    pub fn part_changes(set: Vec<String>) -> (Vec<String>, Vec<String>) {
        set.into_iter().partition(|text| {
            let key = text.split(['=', '.']).next().unwrap_or_default();
            SETTABLE.contains(&key.trim())
        })
    }

    /// Reads a ladder, changes single values by `overrides` (`key.path=value`), resolves its paths and checks it; the rungs' experiments
    /// are read by [`super::Ladder::plan`].
    ///
    /// # Errors
    /// [`LadderError`] that names the file and the key, and the mend.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, LadderError> {
        let unread = |source| LadderError::Read { path: path.to_owned(), source };
        let config: Self = read_resolved(path, overrides, unread, |config: &mut Self, paths| {
            paths.resolve("experiment", &mut config.experiment)?;
            paths.resolve("output", &mut config.output)?;
            match &mut config.constraints.speedup_over {
                Some(speedup) => paths.resolve("constraints.speedup_over.model", &mut speedup.model),
                None => Ok(()),
            }
        })?;
        config.check().map_err(|(key, message)| ConfigError::Value { path: path.to_owned(), key, message })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        check_name(&self.name).map_err(|message| ("name".to_owned(), message))?;
        check_settings(&self.set, &OWN_KEYS).map_err(|(key, message)| (format!("set.{key}"), message))?;
        let epochs = [
            ("epochs", self.epochs),
            ("recovery_epochs", self.recovery_epochs),
            ("aware_epochs", Some(self.aware_epochs)),
        ];
        for (key, epochs) in epochs {
            if epochs == Some(0) {
                return wrong(key, "must be at least 1");
            }
        }
        if !(1..=MOST_TIMINGS).contains(&self.latency_rounds) {
            return wrong("latency_rounds", &format!("{} must be in 1..{MOST_TIMINGS}", self.latency_rounds));
        }
        if !(self.gate.budget.is_finite() && self.gate.budget >= 0.0) {
            return wrong("gate.budget", &format!("{} must be points of AP50, 0 or more", self.gate.budget));
        }
        if !(0.0..=1.0).contains(&self.gate.agreement) {
            return wrong("gate.agreement", &format!("{} must be an F1 in 0..1", self.gate.agreement));
        }
        self.constraints.check().map_err(|(key, message)| (format!("constraints.{key}"), message))?;
        self.ladder.check()
    }
}

impl LadderSection {
    fn check(&self) -> Result<(), (String, String)> {
        let twice = |key: &str| Err((key.to_owned(), "has an entry twice; leave one of them out".to_owned()));
        if has_twice(&self.sizes) {
            return twice("ladder.sizes");
        }
        if has_twice(&self.inputs) {
            return twice("ladder.inputs");
        }
        if has_twice(&self.precisions) {
            return twice("ladder.precisions");
        }
        if self.precisions.is_empty() {
            let mend = "needs at least one of fp32, fp16, int8 and int8_aware".to_owned();
            return Err(("ladder.precisions".to_owned(), mend));
        }
        if !(1..=MOST_ROUNDS).contains(&self.rounds) {
            return Err(("ladder.rounds".to_owned(), format!("{} must be in 1..{MOST_ROUNDS}", self.rounds)));
        }
        let (mut before, mut first) = (1.0, None);
        for (index, entry) in self.prune.iter().enumerate() {
            let wrong = |message: String| Err((format!("ladder.prune.{index}"), message));
            let Some((measure, share)) = entry.given() else {
                return wrong("give one of `time: 0.7` and `macs: 0.7`".to_owned());
            };
            if *first.get_or_insert(measure) != measure {
                return wrong(
                    "shares of time and of multiply-accumulates cannot follow each other; use one".to_owned(),
                );
            }
            if !(share > 0.0 && share <= MOST_SHARE * before) {
                return wrong(format!(
                    "{share} must be above 0 and below {before}: shares are of the unpruned student, each less than the one before"
                ));
            }
            before = share;
        }
        Ok(())
    }
}

fn has_twice<T: PartialEq>(entries: &[T]) -> bool {
    entries.iter().enumerate().any(|(index, entry)| entries[..index].contains(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
name: two
experiment: base.yaml
output: out
set: {train.batch: 4}
ladder:
  sizes: [small, micro]
  inputs: [[320, 192]]
  prune: [{time: 0.7}, {time: 0.5}]
  precisions: [fp32, int8, int8_aware]
constraints: {size_kb: 500, speedup_over: {model: yolox.onnx, times: 9.4}}
";

    fn load(text: &str) -> Result<LadderConfig, LadderError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ladder.yaml");
        std::fs::write(&path, text).unwrap();
        LadderConfig::load(&path, &[])
    }

    #[test]
    fn defaults_and_paths() {
        let config = load(TWO).unwrap();
        assert_eq!((config.ladder.rounds, config.aware_epochs, config.latency_rounds), (1, 10, 60));
        assert_eq!((config.seed, config.epochs, config.recovery_epochs), (None, None, None));
        assert_eq!(config.ladder.precisions.len(), 3);
        assert!((config.gate.budget - 1.0).abs() < 1e-9 && (config.gate.agreement - 0.97).abs() < 1e-9);
        assert!(config.experiment.is_absolute() && config.experiment.ends_with("base.yaml"));
        let rival = config.constraints.speedup_over.unwrap().model;
        assert!(rival.is_absolute() && rival.ends_with("yolox.onnx"));
        assert_eq!((config.weights, config.ladder.by), (None, None));
        let unsigned = load(&format!("{TWO}weights: unsigned\n")).unwrap();
        assert_eq!(unsigned.weights, Some(WeightRange::Unsigned));
        let plain = load("name: a\nexperiment: b.yaml\noutput: c").unwrap();
        assert_eq!(plain.ladder.precisions, [PointPrecision::Fp32, PointPrecision::Int8]);
    }

    #[test]
    fn senseless_ladders_are_refused_by_name() {
        for (old, new, words) in [
            ("name: two", "name: a/b", &["name", "a/b"][..]),
            ("name: two", "name: two\nepochs: 0", &["epochs", "at least 1"]),
            ("name: two", "name: two\nlatency_rounds: 0", &["latency_rounds"]),
            ("name: two", "name: two\ngate: {agreement: 2}", &["gate.agreement", "F1"]),
            ("name: two", "name: two\nweights: large", &["weights", "large", "unsigned"]),
            ("sizes:", "size:", &["ladder.size", "did you mean `ladder.sizes`"]),
            ("[small, micro]", "[micro, micro]", &["ladder.sizes", "twice"]),
            ("{time: 0.5}", "{time: 0.7}", &["ladder.prune.1", "less than the one before"]),
            ("{time: 0.5}", "{macs: 0.5}", &["ladder.prune.1", "cannot follow"]),
            ("{time: 0.7}", "{}", &["ladder.prune.0", "give one of"]),
            ("[fp32, int8, int8_aware]", "[]", &["ladder.precisions", "at least one"]),
            ("sizes:", "by: magnitude\n  sizes:", &["ladder.by", "magnitude", "taylor"]),
            ("size_kb: 500", "size_kb: -1", &["constraints.size_kb", "above 0"]),
            ("train.batch", "student.width", &["set.student.width", "ladder.inputs"]),
            ("train.batch", "seed", &["set.seed", "`seed` of the ladder"]),
        ] {
            assert!(TWO.contains(old));
            let error = load(&TWO.replacen(old, new, 1)).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "`{word}` is not in: {error}");
            }
        }
        assert!(matches!(LadderConfig::load(Path::new("/no/such.yaml"), &[]), Err(LadderError::Read { .. })));
    }
}
