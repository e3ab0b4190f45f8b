//! The YAML of an ablation.
//!
//! ```yaml
//! name: kinds_warehouse
//! experiment: warehouse.yaml           # relative paths start from this file's folder
//! output: ../../runs/ablate_warehouse
//! seeds: [1, 2, 3]
//! set: {train.epochs: 12}              # for all variants; keys as in `distill run --set`, values any YAML
//! variants:
//!   - {name: hard, about: "hard pseudo-labels", baseline: true, set: {losses.labels: hard}}
//!   - {name: response}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use super::AblationError;
use crate::distill::config::{ConfigError, read_resolved};

/// Nobody has more cores to train on.
const MOST_JOBS: usize = 1024;

/// Keys of the experiment that each run is given by the ablation, and where to say them instead.
pub(super) const OWN_KEYS: [(&str, &str); 3] = [
    ("seed", "list the seeds under `seeds` of the ablation"),
    ("output", "each run has its own folder in the ablation's `output`"),
    ("targets_folder", "runs with the same labelling share a folder in the ablation's `output` by themselves"),
];

/// Changes of an experiment: key paths such as `train.epochs` and their values.
pub type Settings = BTreeMap<String, Value>;

/// A whole ablation. Paths are absolute once [`AblationConfig::load`] has returned it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationConfig {
    /// What it is called; letters, digits, `_` and `-`.
    pub name: String,
    /// The experiment that all variants start from.
    pub experiment: PathBuf,
    /// Folder that everything is written to.
    pub output: PathBuf,
    /// Each variant is trained once with each of these. Default `[1, 2, 3]`.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// Trainings at a time, each with one thread; 0, the default, makes it one per core, and one where a graphics card trains.
    #[serde(default)]
    pub jobs: usize,
    /// Changes of the experiment for all variants.
    #[serde(default)]
    pub set: Settings,
    /// What is compared.
    pub variants: Vec<VariantConfig>,
}

/// One of the things that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantConfig {
    /// Its name, also of its folder; letters, digits, `_` and `-`.
    pub name: String,
    /// What it is, in words.
    #[serde(default)]
    pub about: String,
    /// Whether the others are compared with it. At most one variant is.
    #[serde(default)]
    pub baseline: bool,
    /// Its changes of the experiment.
    #[serde(default)]
    pub set: Settings,
}

fn default_seeds() -> Vec<u64> {
    vec![1, 2, 3]
}

impl AblationConfig {
    /// Reads an ablation, resolves its paths and checks it; the variants' experiments are read by [`super::Plan::make`].
    ///
    /// # Errors
    /// [`AblationError`] that names the file and the key, and the mend.
    pub fn load(path: &Path) -> Result<Self, AblationError> {
        let unread = |source| AblationError::Read { path: path.to_owned(), source };
        let config: Self = read_resolved(path, &[], unread, |config: &mut Self, paths| {
            paths.resolve("experiment", &mut config.experiment)?;
            paths.resolve("output", &mut config.output)
        })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let wrong =
            |key: &str, message: String| ConfigError::Value { path: file.to_owned(), key: key.to_owned(), message };
        check_name(&self.name).map_err(|message| wrong("name", message))?;
        check_seeds(&self.seeds).map_err(|message| wrong("seeds", message))?;
        if self.jobs > MOST_JOBS {
            return Err(wrong("jobs", format!("{} is more than {MOST_JOBS}", self.jobs)));
        }
        if self.variants.is_empty() {
            return Err(wrong("variants", "needs at least one, for instance `- {name: plain}`".into()));
        }
        check_settings(&self.set, &OWN_KEYS).map_err(|(key, message)| wrong(&format!("set.{key}"), message))?;
        let (mut names, mut baseline) = (BTreeSet::new(), None);
        for (index, variant) in self.variants.iter().enumerate() {
            let key = format!("variants.{index}");
            check_name(&variant.name).map_err(|message| wrong(&format!("{key}.name"), message))?;
            if !names.insert(&variant.name) {
                return Err(wrong(&format!("{key}.name"), format!("there are two variants `{}`", variant.name)));
            }
            if variant.baseline
                && let Some(first) = baseline.replace(&variant.name)
            {
                let message = format!("`{first}` is the baseline already; compare with one of them");
                return Err(wrong(&format!("{key}.baseline"), message));
            }
            check_settings(&variant.set, &OWN_KEYS)
                .map_err(|(own, message)| wrong(&format!("{key}.set.{own}"), message))?;
        }
        Ok(())
    }
}

/// Refuses a name that is no plain word: it is a folder's, too.
pub(in crate::distill) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("{name:?} must be letters, digits, `_` and `-` only"));
    }
    Ok(())
}

/// Refuses no seeds at all and a seed that is there twice: the same training would count as two.
pub(super) fn check_seeds(seeds: &[u64]) -> Result<(), String> {
    if seeds.is_empty() {
        return Err("needs at least one seed, for instance [1, 2, 3]".into());
    }
    let mut seen = BTreeSet::new();
    match seeds.iter().find(|seed| !seen.insert(**seed)) {
        Some(twice) => Err(format!("{twice} is there twice")),
        None => Ok(()),
    }
}

/// Refuses settings with keys that cannot be set, or that are set elsewhere (`own`: the key and the mend), and values that are no plain
/// ones. The error is the key and what is wrong with it.
pub(in crate::distill) fn check_settings(settings: &Settings, own: &[(&str, &str)]) -> Result<(), (String, String)> {
    for (key, value) in settings {
        check_key(key, own).map_err(|message| (key.clone(), message))?;
        serde_json::to_string(value).map_err(|error| (key.clone(), format!("is no plain value: {error}")))?;
    }
    Ok(())
}

/// Refuses keys that cannot be set, and those that are set elsewhere: themselves, and what lies in them.
pub(in crate::distill) fn check_key(key: &str, own: &[(&str, &str)]) -> Result<(), String> {
    let key = key.trim();
    if key.is_empty() || key.contains('=') {
        return Err("is no key path; give it like train.epochs".into());
    }
    let lies_in = |own: &str| key.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match own.iter().find(|(own, _)| lies_in(own)) {
        Some((_, mend)) => Err(format!("cannot be set here: {mend}")),
        None => Ok(()),
    }
}

/// Settings as `--set` takes them. JSON is YAML on one line, whatever the value holds.
pub(in crate::distill) fn overrides(settings: &Settings) -> Vec<String> {
    // `check_settings` has seen that all of them can be written.
    settings.iter().map(|(key, value)| format!("{key}={}", serde_json::to_string(value).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
name: two
experiment: base.yaml
output: out
set: {train.epochs: 2}
variants:
  - {name: a, baseline: true}
  - name: b
    set:
      losses.giou: 1.5
      terms: [{kind: hint, layers: [1, 2]}]
";

    fn load(text: &str) -> Result<AblationConfig, AblationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ablation.yaml");
        std::fs::write(&path, text).unwrap();
        AblationConfig::load(&path)
    }

    #[test]
    fn defaults_paths_and_settings() {
        let config = load(TWO).unwrap();
        assert_eq!((config.seeds.as_slice(), config.jobs), (&[1, 2, 3][..], 0));
        assert!(config.experiment.is_absolute() && config.experiment.ends_with("base.yaml"));
        assert!(config.output.is_absolute() && config.output.ends_with("out"));
        assert_eq!(overrides(&config.set), ["train.epochs=2"]);
        assert_eq!(
            overrides(&config.variants[1].set),
            ["losses.giou=1.5", r#"terms=[{"kind":"hint","layers":[1,2]}]"#]
        );
    }

    #[test]
    fn senseless_ablations_are_refused_by_name() {
        for (old, new, words) in [
            ("name: two", "name: a/b", &["name", "a/b"][..]),
            ("output: out", "output: out\nseeds: []", &["seeds", "at least one"]),
            ("output: out", "output: out\nseeds: [4, 5, 4]", &["seeds", "4 is there twice"]),
            ("output: out", "output: out\nseed: [4]", &["seed", "did you mean `seeds`"]),
            ("output: out", "output: out\njobs: 100000", &["jobs"]),
            ("name: b", "name: a", &["variants.1.name", "two variants `a`"]),
            ("name: b", "name: b c", &["variants.1.name", "b c"]),
            ("name: b", "name: b\n    baseline: true", &["variants.1.baseline", "`a` is the baseline"]),
            ("name: b", "name: b\n    sets: {}", &["sets", "did you mean"]),
            ("train.epochs", "seed", &["set.seed", "`seeds`"]),
            ("losses.giou", "output", &["variants.1.set.output", "own folder"]),
            ("losses.giou", "a=b", &["variants.1.set.a=b", "key path"]),
        ] {
            assert!(TWO.contains(old));
            let error = load(&TWO.replace(old, new)).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "`{word}` is not in: {error}");
            }
        }
        let none = TWO.split("variants:").next().unwrap().to_owned() + "variants: []";
        assert!(load(&none).unwrap_err().to_string().contains("at least one"));
        assert!(matches!(AblationConfig::load(Path::new("/no/such.yaml")), Err(AblationError::Read { .. })));
    }
}
