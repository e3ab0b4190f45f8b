//! The figures of an evaluation recording by recording: what is seen in one place may not be seen in another.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EvaluationReport;
use crate::distill::figure_table::{FigureTable, figure};

/// What was found in one recording of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingReport {
    /// The recording.
    pub data: String,
    /// Frames of it that were judged.
    pub frames: usize,
    /// Objects in them that were to be found.
    pub truths: usize,
    /// The models in the report's order.
    pub models: Vec<RecordingAp>,
}

/// How well a model did on one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingAp {
    /// The model.
    pub name: String,
    /// AP at IoU 0.50:0.95, over the classes that occur in the recording.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
}

impl EvaluationReport {
    /// AP and AP50 of each model, a row a recording; none where there is one recording.
    pub fn recording_table(&self) -> Option<FigureTable> {
        if self.per_recording.is_empty() {
            return None;
        }
        let mut header = ["recording", "frames", "objects"].map(str::to_owned).to_vec();
        for model in &self.models {
            header.extend(["AP", "AP50"].map(|figure| format!("{} {figure}", model.name)));
        }
        let mut table = FigureTable::new(1, &header);
        let paths: Vec<&str> = self.per_recording.iter().map(|recording| recording.data.as_str()).collect();
        for (recording, name) in self.per_recording.iter().zip(short_names(&paths)) {
            let mut figures = vec![recording.frames.to_string(), recording.truths.to_string()];
            figures.extend(recording.models.iter().flat_map(|model| [figure(model.ap), figure(model.ap50)]));
            table.add(&[&name], &figures);
        }
        Some(table)
    }
}

/// Recordings without the folders that they lie in, where that tells them apart.
pub(in crate::distill) fn short_names(paths: &[&str]) -> Vec<String> {
    let last = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let short: Vec<Option<String>> = paths.iter().map(|path| last(path)).collect();
    let name = |(path, own): (&&str, &Option<String>)| match own {
        Some(own) if short.iter().flatten().filter(|other| *other == own).count() == 1 => own.clone(),
        _ => (*path).to_owned(),
    };
    paths.iter().zip(&short).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_where_they_are_different() {
        assert_eq!(short_names(&["/a/hall", "/b/yard.mcap", "/c/hall"]), ["/a/hall", "yard.mcap", "/c/hall"]);
        assert_eq!(short_names(&["/"]), ["/"]);
    }

    #[test]
    fn a_row_a_recording_and_two_figures_a_model() {
        let model = |name: &str, ap50| RecordingAp { name: name.into(), ap: Some(0.25), ap50 };
        let recording = |data: &str, ap50| RecordingReport {
            data: data.into(),
            frames: 4,
            truths: 7,
            models: vec![model("student", ap50), model("t", Some(1.0))],
        };
        let json = |name: &str| {
            serde_json::json!({
                "name": name, "role": "student", "path": "x", "ap": 0.25, "ap50": 0.5, "ap75": null, "per_class": [],
                "parameters": 1, "bytes": 2, "macs": null, "latency_ms": null
            })
        };
        // A report of an earlier version.
        let mut report: EvaluationReport = serde_json::from_value(serde_json::json!({
            "data": ["/a/hall", "/a/yard"], "block": "test", "truth": "labels", "classes": ["a"], "frames": 8,
            "truths": 14, "undecodable": 0, "lost_data": false, "latency_rounds": 0,
            "models": [json("student"), json("t")]
        }))
        .unwrap();
        assert_eq!(report.recording_table(), None);
        report.per_recording = vec![recording("/a/hall", Some(0.5)), recording("/a/yard", None)];
        let table = report.recording_table().unwrap();
        assert_eq!(table.header, ["recording", "frames", "objects", "student AP", "student AP50", "t AP", "t AP50"]);
        assert_eq!(table.rows[0], ["hall", "4", "7", "0.250", "0.500", "0.250", "1.000"]);
        assert_eq!((table.rows[1][0].as_str(), table.rows[1][4].as_str()), ("yard", "-"));
        assert!(report.to_text().contains("\u{2502} yard "), "{}", report.to_text());
        let read: EvaluationReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(read, report);
    }
}
