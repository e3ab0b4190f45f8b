//! The run's figures, one JSON object a line and epoch.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Best, TrainError};
use crate::distill::durable;

/// The figures of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Steps of the whole run at its end.
    pub step: usize,
    /// Mean of the weighted sum of the losses.
    pub loss: f64,
    /// Mean of each term by its name, before it is weighted, over the steps in which it counted.
    pub terms: BTreeMap<String, f64>,
    /// Mean norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// COCO AP on the validation block; none when it was not validated or holds no boxes. Of a lidar student the mean AP over the
    /// distances that it is judged at.
    pub validation_ap: Option<f64>,
    /// AP at IoU 0.50 on the validation block; of a lidar student at the largest of those distances.
    pub validation_ap50: Option<f64>,
    /// Mean IoU of the points on the validation block, of a lidar student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_point_iou: Option<f64>,
    /// Whether this is the best epoch so far.
    pub best: bool,
    /// Seconds of training, validation not counted.
    pub seconds: f64,
    /// Images, or a lidar's sweeps, trained on per second.
    pub images_per_second: f64,
    /// Share of the seconds in which the training waited for images.
    pub wait_share: f64,
}

/// The best validation of a training folder by its `metrics.jsonl`; none without validation.
///
/// # Errors
/// When the file cannot be read.
pub fn best_validation(folder: &Path) -> Result<Option<Best>, TrainError> {
    let path = metrics_path(folder);
    let text = std::fs::read_to_string(&path).map_err(|source| TrainError::File { path, source })?;
    let best = records(&text).filter(|(_, record)| record.best).last();
    Ok(best.and_then(|(_, record)| {
        let point_iou = record.validation_point_iou;
        // Points may be judged where there is no object to be found.
        let known = |ap: Option<f64>| ap.or(point_iou.map(|_| 0.0));
        let (ap, ap50) = (known(record.validation_ap)?, known(record.validation_ap50)?);
        Some(Best { epoch: record.epoch - 1, ap, ap50, point_iou })
    }))
}

/// Seconds of training by a folder's `metrics.jsonl`, validation not counted; none where there is no such file.
pub fn training_seconds(folder: &Path) -> f64 {
    let text = std::fs::read_to_string(metrics_path(folder)).unwrap_or_default();
    records(&text).map(|(_, record)| record.seconds).sum()
}

/// The lines of a `metrics.jsonl` that are records, each with what it says; a process that was killed may have left half a line.
fn records(text: &str) -> impl Iterator<Item = (&str, EpochRecord)> {
    text.lines().filter_map(|line| Some((line, serde_json::from_str::<EpochRecord>(line).ok()?)))
}

/// Path of a training folder's figures.
pub(in crate::distill) fn metrics_path(folder: &Path) -> PathBuf {
    folder.join("metrics.jsonl")
}

/// The file that records are appended to.
#[derive(Debug)]
pub(in crate::distill) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the file and keeps only its first `epochs` epochs, those that the checkpoint knows of.
    pub fn open(path: &Path, epochs: usize) -> Result<Self, TrainError> {
        let fail = |source| TrainError::File { path: path.to_owned(), source };
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail(error)),
        };
        let known = records(&old).filter(|(_, record)| record.epoch <= epochs);
        let kept: String = known.flat_map(|(line, _)| [line, "\n"]).collect();
        durable::write_bytes(path, kept.as_bytes()).map_err(fail)?;
        let file = OpenOptions::new().append(true).open(path).map_err(fail)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends an epoch.
    pub fn append(&mut self, record: &EpochRecord) -> Result<(), TrainError> {
        let fail = |source| TrainError::File { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(|error| fail(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(fail)
    }
}
