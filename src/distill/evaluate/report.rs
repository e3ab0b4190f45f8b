//! The figures of an evaluation, as JSON and as a table.

use std::{cmp::Ordering, path::Path};

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};

use super::RecordingReport;
use crate::{
    distill::{figure_table::figure, split::Block},
    metrics::{Calibration, ClassAp, ClassCurve, LatencySummary, ScoredBox},
};

/// What a model is in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model that is to be proven.
    Student,
    /// One that it learnt from, or is compared with.
    Teacher,
}

/// Everything that an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The recordings that had frames to judge.
    pub data: Vec<String>,
    /// The block of them that was judged, all frames without.
    pub block: Option<Block>,
    /// What counted as true.
    pub truth: String,
    /// The classes that were judged.
    pub classes: Vec<String>,
    /// Frames that were judged.
    pub frames: usize,
    /// Objects that were to be found.
    pub truths: usize,
    /// Frames whose image could not be decoded.
    pub undecodable: usize,
    /// Whether part of a recording could not be read.
    pub lost_data: bool,
    /// What of the recordings could not be read, in words.
    #[serde(default)]
    pub losses: Vec<String>,
    /// How often each latency was measured.
    pub latency_rounds: usize,
    /// The same recording by recording, where there are several; reports of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_recording: Vec<RecordingReport>,
    /// The models in the order they were named.
    pub models: Vec<ModelReport>,
}

/// The figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// What it is called.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// Its file.
    pub path: String,
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// AP at IoU 0.75.
    pub ap75: Option<f64>,
    /// The same for each class.
    pub per_class: Vec<ClassAp>,
    /// Precision over recall of each class that occurs in the data; files of earlier versions lack them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<ClassCurve>,
    /// How far the scores can be believed, all classes together.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Learnt parameters in the file.
    pub parameters: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Multiply-accumulates of one inference, where the graph's shapes tell.
    pub macs: Option<u64>,
    /// Time of the network alone on one thread.
    pub latency_ms: Option<LatencySummary>,
    /// Whether it knows each of the classes; files of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<bool>,
    /// What it found at its own threshold, frame by frame, when that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<FrameDetections>,
}

/// What a model found in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameDetections {
    /// The place of its recording in [`EvaluateJob::recordings`](super::EvaluateJob::recordings).
    #[serde(default)]
    pub recording: usize,
    /// Its place in the recording, from 0.
    #[serde(default)]
    pub index: u64,
    /// Header stamp, nanoseconds.
    pub stamp: i64,
    /// The frame's name in its recording.
    pub name: String,
    /// Boxes in pixels of the original image, best first.
    pub boxes: Vec<ScoredBox>,
}

impl ModelReport {
    /// Its AP50 as a share of another model's.
    pub fn share_of(&self, other: &Self) -> Option<f64> {
        Some(self.ap50? / other.ap50.filter(|ap| *ap > 0.0)?)
    }
}

impl EvaluationReport {
    /// Reads a report that was written as JSON; none where there is none, or where it is damaged.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// The figures alone, without the boxes that the models found.
    #[must_use]
    pub fn without_detections(&self) -> Self {
        let mut figures = self.clone();
        for model in &mut figures.models {
            model.detections.clear();
        }
        figures
    }

    /// The first student.
    pub fn student(&self) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.role == Role::Student)
    }

    /// The teacher with the highest AP50, of several the fastest; none when no teacher was judged.
    pub fn best_teacher(&self) -> Option<&ModelReport> {
        let median = |model: &ModelReport| model.latency_ms.map_or(f64::INFINITY, |latency| latency.p50);
        self.models.iter().filter(|model| model.role == Role::Teacher).max_by(|a, b| {
            let by_ap = a.ap50.partial_cmp(&b.ap50).unwrap_or(Ordering::Equal);
            by_ap.then(median(b).total_cmp(&median(a)))
        })
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        let block = self.block.map(|block| format!(", {block:?} block").to_lowercase()).unwrap_or_default();
        let mut text = format!(
            "{} frames of {}{block}, {} objects; truth: {}\n",
            self.frames,
            self.data.join(", "),
            self.truths,
            self.truth
        );
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        table.set_header([
            "model",
            "role",
            "AP",
            "AP50",
            "AP75",
            "M parameters",
            "MB",
            "MMAC",
            "p50 ms",
            "p90 ms",
            "speed-up",
        ]);
        let student = self.student().and_then(|student| student.latency_ms).map(|latency| latency.p50);
        for model in &self.models {
            let latency = model.latency_ms;
            let ratio = match (latency, student) {
                (Some(latency), Some(student)) if student > 0.0 => format!("{:.1}x", latency.p50 / student),
                _ => "-".to_owned(),
            };
            let numbers = [
                figure(model.ap),
                figure(model.ap50),
                figure(model.ap75),
                format!("{:.2}", model.parameters as f64 / 1e6),
                format!("{:.2}", model.bytes as f64 / 1e6),
                model.macs.map_or("-".to_owned(), |macs| format!("{:.0}", macs as f64 / 1e6)),
                latency.map_or("-".to_owned(), |latency| format!("{:.2}", latency.p50)),
                latency.map_or("-".to_owned(), |latency| format!("{:.2}", latency.p90)),
                ratio,
            ];
            let mut row = vec![Cell::new(&model.name), Cell::new(format!("{:?}", model.role).to_lowercase())];
            row.extend(numbers.map(|number| Cell::new(number).set_alignment(CellAlignment::Right)));
            table.add_row(row);
        }
        text.push_str(&table.to_string());
        text.push('\n');
        if self.classes.len() > 1 {
            let mut table = Table::new();
            table.load_preset(UTF8_FULL_CONDENSED);
            let header = ["AP50 by class".to_owned()].into_iter().chain(self.classes.iter().cloned());
            table.set_header(header);
            for model in &self.models {
                let values = model.per_class.iter().map(|class| figure(class.ap50));
                table.add_row([model.name.clone()].into_iter().chain(values));
            }
            text.push_str(&table.to_string());
            text.push('\n');
        }
        if let Some(table) = self.recording_table() {
            text.push_str(&format!("{table}\n"));
        }
        text.push_str("Latency: the network alone, one thread, models in turn; speed-up: that model's median over the student's.\n");
        text
    }
}
