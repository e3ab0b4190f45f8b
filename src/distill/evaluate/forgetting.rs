//! What a student has forgotten that was taught something new (`distillation.retain`): the earlier student and the new one side by
//! side on the earlier run's own test block, judged on its classes alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{EvaluateJob, EvaluatedModel, EvaluationReport, ModelReport, Role, bundle_path, judging_folder};
use crate::{
    distill::{
        config::{DataConfig, Experiment, TargetSource},
        split::Block,
        teacher::TeacherConfig,
        train::TrainError,
    },
    metrics::ClassAp,
};

/// How well a student did on the earlier run's test block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetainedSkill {
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// The same for each of the earlier classes.
    pub per_class: Vec<ClassAp>,
}

/// The earlier student and the new one on the same frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgetting {
    /// The recordings that had frames to judge.
    pub data: Vec<String>,
    /// What counted as true.
    pub truth: String,
    /// Frames that were judged.
    pub frames: usize,
    /// Objects that were to be found.
    pub truths: usize,
    /// Recordings of whose test block the new student may have been trained on: there the figures flatter it.
    pub seen: Vec<PathBuf>,
    /// The earlier student.
    pub before: RetainedSkill,
    /// The new student.
    pub after: RetainedSkill,
    /// AP at IoU 0.50 before minus after; negative when the student became better.
    pub forgotten_ap50: Option<f64>,
}

impl Forgetting {
    /// Out of the report of [`EvaluateJob::of_forgetting`]; none when the report has no two models. `seen` are what [`seen_before`]
    /// says.
    pub fn new(report: &EvaluationReport, seen: Vec<PathBuf>) -> Option<Self> {
        let [before, after] = report.models.as_slice() else { return None };
        let skill =
            |model: &ModelReport| RetainedSkill { ap: model.ap, ap50: model.ap50, per_class: model.per_class.clone() };
        Some(Self {
            data: report.data.clone(),
            truth: report.truth.clone(),
            frames: report.frames,
            truths: report.truths,
            seen,
            before: skill(before),
            after: skill(after),
            forgotten_ap50: before.ap50.zip(after.ap50).map(|(before, after)| before - after),
        })
    }

    /// Reads what was written as JSON; none where there is nothing, or where it is damaged.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

impl EvaluateJob {
    /// The students of an earlier experiment and of a new one, whose bundle this is, on the earlier one's test blocks and classes.
    /// Nothing is timed.
    ///
    /// # Errors
    /// When soft targets or a recording of the earlier experiment cannot be read.
    pub fn of_forgetting(earlier: &Experiment, bundle: PathBuf) -> Result<Self, TrainError> {
        let mut job = Self::of_experiment(earlier)?;
        job.models.retain(|model| model.role == Role::Student);
        for model in &mut job.models {
            model.config.name = Some("before".into());
        }
        let after = TeacherConfig { name: Some("after".into()), ..TeacherConfig::new(bundle) };
        job.models.push(EvaluatedModel { config: after, role: Role::Student });
        job.latency_rounds = 0;
        Ok(job)
    }
}

/// What [`EvaluateJob::of_forgetting`] needs of an earlier experiment and is not there any more.
pub fn missing_inputs(earlier: &Experiment) -> Vec<PathBuf> {
    let mut needed = vec![bundle_path(&earlier.output)];
    if earlier.targets == TargetSource::Teachers {
        needed.push(judging_folder(earlier));
    }
    needed.extend(earlier.labelled_data().flat_map(DataConfig::paths).cloned());
    needed.into_iter().filter(|path| !path.exists()).collect()
}

/// Recordings of an earlier experiment that the new one uses as well, but cuts otherwise, so that their test block may have been
/// trained on.
pub fn seen_before(earlier: &Experiment, new: &Experiment) -> Vec<PathBuf> {
    let same_split = earlier.split == new.split;
    let is_kept_apart = |before: &DataConfig, now: &DataConfig| {
        now.block == Some(Block::Test) || (now.block == before.block && !now.unlabelled && same_split)
    };
    let tested = earlier.labelled_data().filter(|data| matches!(data.block, None | Some(Block::Test)));
    let seen = tested.filter(|&before| {
        new.data.iter().any(|now| is_same_file(&before.path, &now.path) && !is_kept_apart(before, now))
    });
    seen.map(|data| data.path.clone()).collect()
}

/// Whether two paths lead to one place.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(data: &str) -> Experiment {
        let text = format!(
            "{{name: tiny, classes: [b, a], output: /old, targets: truth, data: [{data}], \
             teachers: [{{model: /t.onnx}}]}}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn both_students_are_judged_on_the_earlier_classes_and_blocks() {
        let earlier = experiment("{path: /x, truth: {topic: /t}, block: test}");
        let job = EvaluateJob::of_forgetting(&earlier, PathBuf::from("/new/student.onnx")).unwrap();
        let models: Vec<(Option<&str>, &Path)> =
            job.models.iter().map(|model| (model.config.name.as_deref(), model.config.model.as_path())).collect();
        let expected =
            [(Some("before"), Path::new("/old/student.onnx")), (Some("after"), Path::new("/new/student.onnx"))];
        assert_eq!(models, expected);
        assert_eq!((job.classes, job.latency_rounds), (vec!["b".to_owned(), "a".to_owned()], 0));
        assert!(job.recordings.iter().all(|recording| matches!(recording.block, Some((_, Block::Test)))));
    }

    #[test]
    fn what_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        let mut earlier = experiment(&format!(
            "{{path: {here}, truth: {{topic: /t}}}}, {{path: /gone/bag, truth: {{coco: /gone/truth.json}}}}, \
             {{path: /gone/unlabelled, unlabelled: true}}"
        ));
        earlier.output = folder.path().to_owned();
        let bundle = folder.path().join("student.onnx");
        let gone = [bundle.clone(), PathBuf::from("/gone/bag"), PathBuf::from("/gone/truth.json")];
        assert_eq!(missing_inputs(&earlier), gone);
        std::fs::write(bundle, "").unwrap();
        earlier.data.truncate(1);
        assert!(missing_inputs(&earlier).is_empty());
        earlier.targets = TargetSource::Teachers;
        assert_eq!(missing_inputs(&earlier), [folder.path().join("targets")]);
    }

    #[test]
    fn a_test_block_that_may_have_been_trained_on_is_told() {
        let earlier = experiment("{path: /x, truth: {topic: /t}}");
        let seen = |data: &str| seen_before(&earlier, &experiment(data));
        assert!(seen("{path: /y, truth: {topic: /t}}").is_empty());
        assert!(seen("{path: /x, truth: {topic: /t}}").is_empty());
        assert!(seen("{path: /x, truth: {topic: /t}, block: test}").is_empty());
        assert_eq!(seen("{path: /x, truth: {topic: /t}, block: train}"), [PathBuf::from("/x")]);
        assert_eq!(seen("{path: /y, truth: {topic: /t}}, {path: /x, unlabelled: true}"), [PathBuf::from("/x")]);
        let mut cut_otherwise = earlier.clone();
        cut_otherwise.split.test = 0.1;
        assert_eq!(seen_before(&earlier, &cut_otherwise), [PathBuf::from("/x")]);
        // A recording that was not tested on has nothing to be seen.
        let trained = experiment("{path: /x, truth: {topic: /t}, block: train}");
        assert!(seen_before(&trained, &earlier).is_empty());
    }

    #[test]
    fn what_was_forgotten_is_the_difference() {
        let model = |name: &str, ap50: Option<f64>| {
            let class = serde_json::json!({"class": "a", "truths": 3, "ap": ap50, "ap50": ap50, "ap75": null});
            serde_json::json!({
                "name": name, "role": "student", "path": "x", "ap": 0.25, "ap50": ap50, "ap75": null,
                "per_class": [class], "parameters": 1, "bytes": 2, "macs": null, "latency_ms": null
            })
        };
        let report = |models: &[serde_json::Value]| -> EvaluationReport {
            serde_json::from_value(serde_json::json!({
                "data": ["x"], "block": "test", "truth": "labels", "classes": ["a"], "frames": 5, "truths": 3,
                "undecodable": 0, "lost_data": false, "latency_rounds": 0, "models": models
            }))
            .unwrap()
        };
        let found =
            Forgetting::new(&report(&[model("before", Some(0.75)), model("after", Some(0.5))]), vec![]).unwrap();
        assert_eq!((found.forgotten_ap50, found.before.ap50, found.after.ap50), (Some(0.25), Some(0.75), Some(0.5)));
        assert_eq!((found.frames, found.after.per_class[0].ap50), (5, Some(0.5)));
        let unjudged = Forgetting::new(&report(&[model("before", None), model("after", None)]), vec![]).unwrap();
        assert_eq!(unjudged.forgotten_ap50, None);
        assert!(Forgetting::new(&report(&[model("before", None)]), vec![]).is_none());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forgetting.json");
        std::fs::write(&path, serde_json::to_vec(&found).unwrap()).unwrap();
        assert_eq!(Forgetting::read(&path), Some(found));
    }
}
