//! What a run has left in its folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ReportError;
use crate::{
    distill::{
        ablate::Ablation,
        audit::Audit,
        compress::{
            ladder::Front,
            prune::{GateVerdict, VERDICT_FILE},
        },
        config::Experiment,
        evaluate::{EvaluationReport, Forgetting, bundle_path, detections_path},
        train::Lineage,
    },
    model::bundle::{BundleMetadata, read_metadata},
};

/// What a run of any task has left.
pub(super) struct RunFiles {
    /// The folder.
    pub path: PathBuf,
    /// What the experiment is called.
    pub name: String,
    /// `config.yaml` as it is.
    pub config: String,
    /// The experiment's `task`, where it names one.
    pub task: Option<String>,
    /// `versions.json`: what the run was made with.
    pub versions: BTreeMap<String, String>,
    /// `train/metrics.jsonl`, in the order of the epochs; empty without one.
    pub epochs: Vec<EpochFigures>,
}

/// The files of a run of a camera student, read.
pub(super) struct RunFolder {
    /// What it has in common with runs of other tasks.
    pub files: RunFiles,
    /// The experiment, its output moved to where the folder is now; or why this version cannot read it.
    pub experiment: Result<Experiment, String>,
    /// `report.json`.
    pub evaluation: EvaluationReport,
    /// What the student's bundle says of its origin; `None` without a bundle.
    pub bundle: Option<BundleMetadata>,
    /// `audit.json`, or why it cannot be read; `None` without one.
    pub audit: Option<Result<Audit, String>>,
    /// `generations.json`, or why it cannot be read; `None` without one.
    pub lineage: Option<Result<Lineage, String>>,
    /// `gate.json`, or why it cannot be read; `None` without one.
    pub gate: Option<Result<GateVerdict, String>>,
    /// `forgetting.json`, or why it cannot be read; `None` without one.
    pub forgetting: Option<Result<Forgetting, String>>,
    /// `ablation.json` of the ablation that the run is a part of, or why it cannot be read; `None` without one.
    pub ablation: Option<Result<Ablation, String>>,
    /// `front.json` of the ladder that the run is a rung of, or why it cannot be read; `None` without one.
    pub front: Option<Result<Front, String>>,
    /// The ablation's variant that the run is, by its place: `VARIANT/seed_N`.
    pub variant: Option<String>,
}

/// What the report shows of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EpochFigures {
    /// From 1.
    pub epoch: f64,
    /// Mean of each loss term by its name.
    pub terms: BTreeMap<String, f64>,
    /// Mean of their weighted sum.
    pub loss: Option<f64>,
    /// Learning rate at its end.
    pub learning_rate: Option<f64>,
    /// AP on the validation block.
    pub validation_ap: Option<f64>,
    /// AP at IoU 0.50 there.
    pub validation_ap50: Option<f64>,
    /// Mean IoU of points there, of a lidar student.
    pub validation_point_iou: Option<f64>,
    /// Whether it was the best so far.
    pub best: bool,
    /// Seconds of its training.
    pub seconds: Option<f64>,
}

impl RunFiles {
    /// Reads what every run has.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let config = text(path, "config.yaml")?;
        let document: serde_yaml::Value = serde_yaml::from_str(&config)
            .map_err(|error| ReportError::Damaged { path: path.join("config.yaml"), message: error.to_string() })?;
        let named = |key: &str| document.get(key).and_then(serde_yaml::Value::as_str).map(str::to_owned);
        let folder_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            name: named("name").unwrap_or(folder_name),
            task: named("task"),
            config,
            versions: text(path, "versions.json").map(|text| versions(&text)).unwrap_or_default(),
            epochs: training(path, "train"),
        })
    }

    /// Where the experiment stands with every default.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.yaml")
    }

    /// What `report.json` says.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, ReportError> {
        let json = text(&self.path, "report.json")?;
        serde_json::from_str(&json)
            .map_err(|error| ReportError::Damaged { path: self.path.join("report.json"), message: error.to_string() })
    }
}

impl RunFolder {
    /// Reads the rest of a camera student's run.
    pub fn read(files: RunFiles) -> Result<Self, ReportError> {
        let evaluation: EvaluationReport = files.result()?;
        let path = files.path.as_path();
        let experiment = Experiment::load(&files.config_path(), &[]);
        let experiment = experiment.map(|experiment| Experiment { output: path.to_owned(), ..experiment });
        Ok(Self {
            experiment: experiment.map_err(|error| error.to_string()),
            evaluation,
            bundle: read_metadata(bundle_path(path)).ok().flatten(),
            audit: kept(&path.join("audit.json")),
            lineage: kept(&path.join("generations.json")),
            gate: kept(&path.join(VERDICT_FILE)),
            forgetting: kept(&path.join("forgetting.json")),
            ablation: ablation(path),
            front: front(path),
            variant: variant(path),
            files,
        })
    }

    /// The evaluation with the boxes that every model found, of this evaluation and no other; `None` without them, as earlier versions
    /// left it.
    pub fn detections(&self) -> Option<EvaluationReport> {
        let found = EvaluationReport::read(&detections_path(&self.files.path))?;
        (found.without_detections() == self.evaluation).then_some(found)
    }
}

/// A file that every run has.
fn text(run: &Path, name: &str) -> Result<String, ReportError> {
    let path = run.join(name);
    std::fs::read_to_string(&path).map_err(|source| ReportError::Read { path, source })
}

/// The epochs of the training in this folder of a run; none without one.
pub(super) fn training(run: &Path, folder: &str) -> Vec<EpochFigures> {
    text(&run.join(folder), "metrics.jsonl").map(|text| epochs(&text)).unwrap_or_default()
}

/// A file that not every run has.
pub(super) fn kept<T: DeserializeOwned>(path: &Path) -> Option<Result<T, String>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display())))
}

/// The ablation whose file lies in the run's folder, in that around it, or where `distill ablate` puts it: two above its runs.
fn ablation(run: &Path) -> Option<Result<Ablation, String>> {
    let [own, around, above] = ["ablation.json", "../ablation.json", "../../ablation.json"].map(|name| run.join(name));
    // A run that no ablation made has nothing to look for so far away.
    kept(&own).or_else(|| kept(&around)).or_else(|| variant(run).and_then(|_| kept(&above)))
}

/// The ladder whose file lies where `distill compress` puts it: above the folders of an unpruned student (`RUNG/run`) and of a pruned one
/// (`RUNG/round_N/distilled`).
fn front(run: &Path) -> Option<Result<Front, String>> {
    let run = run.canonicalize().ok()?;
    let above = match run.file_name()?.to_str()? {
        "run" => 2,
        "distilled" => 3,
        _ => return None,
    };
    kept(&run.ancestors().nth(above)?.join("front.json"))
}

/// The name of the folder around a run that is called as those of ablations are.
fn variant(run: &Path) -> Option<String> {
    let run = run.canonicalize().ok()?;
    let is_seed = run.file_name()?.to_string_lossy().starts_with("seed_");
    let name = run.parent()?.file_name()?.to_string_lossy().into_owned();
    is_seed.then_some(name)
}

fn versions(text: &str) -> BTreeMap<String, String> {
    let values: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

/// The epochs of a journal. A line that is cut off, as a power cut leaves it, is passed over.
fn epochs(text: &str) -> Vec<EpochFigures> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| epoch(&line)).collect()
}

fn epoch(line: &Value) -> Option<EpochFigures> {
    let number = |name: &str| line.get(name).and_then(Value::as_f64);
    let terms = match line.get("terms").and_then(Value::as_object) {
        Some(terms) => terms.iter().filter_map(|(name, mean)| Some((name.clone(), mean.as_f64()?))).collect(),
        // Journals of earlier versions have a field for each of the terms that there were.
        None => {
            let known = ["class", "giou", "distribution"];
            known.iter().filter_map(|name| Some(((*name).to_owned(), number(name)?))).collect()
        }
    };
    Some(EpochFigures {
        epoch: number("epoch")?,
        terms,
        loss: number("loss"),
        learning_rate: number("learning_rate"),
        validation_ap: number("validation_ap"),
        validation_ap50: number("validation_ap50"),
        validation_point_iou: number("validation_point_iou"),
        best: line.get("best").and_then(Value::as_bool).unwrap_or(false),
        seconds: number("seconds"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_name_their_terms_or_have_the_first_three() {
        let old = r#"{"epoch": 1, "loss": 2.5, "class": 1.0, "giou": 0.5, "distribution": 0.25, "best": true}"#;
        let new = r#"{"epoch": 2, "loss": 2.0, "terms": {"feature": 0.125}, "class": 9.0, "validation_ap": null}"#;
        let read = epochs(&format!("{old}\n{new}\n{{\"epoch\": 3, \"lo"));
        assert_eq!(read.len(), 2);
        let names: Vec<&str> = read[0].terms.keys().map(String::as_str).collect();
        assert_eq!((names, read[0].best), (vec!["class", "distribution", "giou"], true));
        assert_eq!(read[1].terms, BTreeMap::from([("feature".to_owned(), 0.125)]));
        assert_eq!((read[1].epoch, read[1].validation_ap, read[1].best), (2.0, None, false));
    }

    #[test]
    fn versions_are_texts_whatever_they_are() {
        let read = versions(r#"{"burn": "0.22.1", "cores": 2}"#);
        assert_eq!((read["burn"].as_str(), read["cores"].as_str()), ("0.22.1", "2"));
        assert!(versions("none").is_empty());
    }

    #[test]
    fn an_ablation_is_found_from_its_runs() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("better/seed_2");
        let other = folder.path().join("better/other");
        for folder in [&run, &other] {
            std::fs::create_dir_all(folder).unwrap();
        }
        assert!(ablation(&run).is_none());
        let example = crate::distill::ablate::example();
        std::fs::write(folder.path().join("ablation.json"), serde_json::to_string(&example).unwrap()).unwrap();
        assert_eq!((ablation(&run), variant(&run)), (Some(Ok(example)), Some("better".into())));
        assert_eq!((ablation(&other), variant(&other)), (None, None));
        std::fs::write(run.join("ablation.json"), "{").unwrap();
        assert!(ablation(&run).unwrap().is_err_and(|reason| reason.contains("seed_2/ablation.json")));
    }

    #[test]
    fn a_ladder_is_found_from_its_rungs() {
        let folder = tempfile::tempdir().unwrap();
        let runs = ["micro/run", "micro_time_70/round_2/distilled", "micro/other"].map(|name| folder.path().join(name));
        for run in &runs {
            std::fs::create_dir_all(run).unwrap();
        }
        assert!(front(&runs[0]).is_none());
        let example = crate::distill::compress::ladder::example();
        std::fs::write(folder.path().join("front.json"), serde_json::to_string(&example).unwrap()).unwrap();
        let found = runs.map(|run| front(&run).map(|front| front.map(|front| front.chosen)));
        assert_eq!(found, [Some(Ok(example.chosen.clone())), Some(Ok(example.chosen)), None]);
        std::fs::write(folder.path().join("front.json"), "{").unwrap();
        assert!(front(&folder.path().join("micro/run")).unwrap().is_err_and(|reason| reason.contains("front.json")));
    }

    #[test]
    fn a_folder_without_a_run_is_told() {
        let read = |path: &Path| RunFiles::read(path).and_then(RunFolder::read).err().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path());
        assert!(error.contains("config.yaml") && error.contains("distill run"), "{error}");
        std::fs::write(folder.path().join("config.yaml"), "name: x").unwrap();
        std::fs::write(folder.path().join("report.json"), "{}").unwrap();
        let error = read(folder.path());
        assert!(error.contains("report.json") && error.contains("anew"), "{error}");
    }
}
