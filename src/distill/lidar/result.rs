//! What a lidar experiment came to, as its `report.json` keeps it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{config::LidarTask, evaluate::LidarReport, labels::LabelFacts};

/// The file `report.json` of a lidar experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LidarResult {
    /// `lidar`, which tells it from a camera experiment's.
    pub task: LidarTask,
    /// The experiment's name.
    pub name: String,
    /// The student's classes.
    pub classes: Vec<String>,
    /// The recordings, by the names of their files or folders.
    pub data: Vec<String>,
    /// What the labelling of each came to.
    pub labels: Vec<LabelFacts>,
    /// What of the recordings could not be read, in words; empty when all could.
    #[serde(default)]
    pub losses: Vec<String>,
    /// What the student is worth on the test block, by the recordings' truth or, where they have none, by their labels.
    pub student: LidarReport,
}

impl LidarResult {
    /// Reads a `report.json`; nothing when it is not there, damaged or of another task.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}
