//! The figures of one training of an ablation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PlannedRun;
use crate::{
    distill::{
        evaluate::{EvaluationReport, RecordingReport, Standing},
        stage::StageBook,
        train::training_seconds,
    },
    metrics::ClassAp,
};

/// The figures of one training, on the test block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// AP at IoU 0.75.
    pub ap75: Option<f64>,
    /// The same for each class.
    pub per_class: Vec<ClassAp>,
    /// The same for each recording, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_recording: Vec<RecordingFigures>,
    /// What counted as true: `labels`, or whose boxes; results of earlier versions do not say it.
    #[serde(default)]
    pub truth: String,
    /// Frames that were judged.
    #[serde(default)]
    pub frames: usize,
    /// Objects in them that were to be found.
    #[serde(default)]
    pub truths: usize,
    /// Learnt parameters.
    pub parameters: u64,
    /// Median of the network alone on one thread, milliseconds.
    pub latency_ms: Option<f64>,
    /// Seconds of training, validation not counted.
    pub seconds: f64,
    /// The teacher with the highest AP50 on the same frames, where teachers were judged.
    #[serde(default)]
    pub teacher: Option<String>,
    /// Its AP50.
    pub teacher_ap50: Option<f64>,
    /// AP50 as a share of that.
    pub retention: Option<f64>,
    /// How many times more parameters that teacher has.
    #[serde(default)]
    pub smaller: Option<f64>,
    /// How many times longer that teacher takes for an image on one thread, by medians that were measured in turn.
    #[serde(default)]
    pub faster: Option<f64>,
    /// Whether part of the recordings could not be read.
    pub lost_data: bool,
}

/// How well a training's student and its best teacher did on one recording of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingFigures {
    /// The recording.
    pub data: String,
    /// Frames of it that were judged.
    pub frames: usize,
    /// Objects in them that were to be found.
    pub truths: usize,
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// AP50 of the teacher that is best over all recordings.
    pub teacher_ap50: Option<f64>,
}

impl RunFigures {
    /// Reads the figures of a run that finished with just these settings; nothing of one that did not.
    pub fn read(run: &PlannedRun) -> Option<Self> {
        let same = std::fs::read_to_string(run.folder.join("config.yaml")).ok()? == run.experiment.to_yaml().ok()?;
        if !same || !StageBook::open(&run.folder).is_finished("evaluate") {
            return None;
        }
        let report = EvaluationReport::read(&run.folder.join("report.json"))?;
        // Each generation has figures of its own; those of the run are then a copy of the chosen one's.
        let generations =
            (0..).map(|number| run.folder.join(format!("generation_{number}"))).take_while(|at| at.is_dir());
        let folders: Vec<PathBuf> = generations.collect();
        let folders = if folders.is_empty() { vec![run.folder.clone()] } else { folders };
        let seconds = folders.iter().map(|folder| training_seconds(&folder.join("train"))).sum();
        Self::new(&report, seconds)
    }

    fn new(report: &EvaluationReport, seconds: f64) -> Option<Self> {
        let standing = Standing::of(report)?;
        let (student, teacher) = (standing.student, standing.teacher);
        let of_recording = |recording: &RecordingReport| {
            let of = |name: &str| recording.models.iter().find(|model| model.name == name);
            let own = of(&student.name);
            RecordingFigures {
                data: recording.data.clone(),
                frames: recording.frames,
                truths: recording.truths,
                ap: own.and_then(|model| model.ap),
                ap50: own.and_then(|model| model.ap50),
                teacher_ap50: teacher.and_then(|teacher| of(&teacher.name)?.ap50),
            }
        };
        Some(Self {
            ap: student.ap,
            ap50: student.ap50,
            ap75: student.ap75,
            per_class: student.per_class.clone(),
            per_recording: report.per_recording.iter().map(of_recording).collect(),
            truth: report.truth.clone(),
            frames: report.frames,
            truths: report.truths,
            parameters: student.parameters,
            latency_ms: student.latency_ms.map(|latency| latency.p50),
            seconds,
            teacher: teacher.map(|teacher| teacher.name.clone()),
            teacher_ap50: teacher.and_then(|teacher| teacher.ap50),
            retention: standing.share(),
            smaller: standing.smaller(),
            faster: standing.faster(),
            lost_data: report.lost_data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_student_beside_its_best_teacher() {
        let model = |name: &str, role: &str, ap50: f64, parameters: u64, p50: f64| {
            serde_json::json!({
                "name": name, "role": role, "path": "x", "ap": ap50, "ap50": ap50, "ap75": null, "per_class": [],
                "parameters": parameters, "bytes": 2, "macs": null,
                "latency_ms": {"p50": p50, "p90": p50, "p95": p50, "p99": p50, "max": p50}
            })
        };
        let recording = |data: &str, ap50s: [f64; 3]| {
            let names = ["student", "weak", "strong"];
            let models: Vec<_> = names
                .iter()
                .zip(ap50s)
                .map(|(name, ap50)| serde_json::json!({"name": name, "ap": ap50 / 2.0, "ap50": ap50}))
                .collect();
            serde_json::json!({"data": data, "frames": 3, "truths": 4, "models": models})
        };
        let report: EvaluationReport = serde_json::from_value(serde_json::json!({
            "data": ["hall", "yard"], "block": "test", "truth": "labels", "classes": ["a"], "frames": 6, "truths": 8,
            "undecodable": 0, "lost_data": false, "latency_rounds": 5,
            "per_recording": [recording("hall", [0.5, 0.25, 1.0]), recording("yard", [0.25, 0.75, 0.5])],
            "models": [
                model("student", "student", 0.5, 100, 2.0),
                model("weak", "teacher", 0.25, 50, 1.0),
                model("strong", "teacher", 0.75, 800, 20.0),
            ]
        }))
        .unwrap();
        let figures = RunFigures::new(&report, 1.0).unwrap();
        assert_eq!((figures.teacher.as_deref(), figures.teacher_ap50), (Some("strong"), Some(0.75)));
        assert_eq!((figures.smaller, figures.faster), (Some(8.0), Some(10.0)));
        assert!((figures.retention.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((figures.truth.as_str(), figures.frames, figures.truths), ("labels", 6, 8));
        let yard = &figures.per_recording[1];
        assert_eq!((yard.data.as_str(), yard.ap, yard.ap50), ("yard", Some(0.125), Some(0.25)));
        assert_eq!((yard.frames, yard.truths, yard.teacher_ap50), (3, 4, Some(0.5)));
    }
}
