//! What became of the generations of a run, as its `generations.json` keeps it.

use serde::{Deserialize, Serialize};

/// The generations of a run, and which of them it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Each generation that was trained, the first student first.
    pub generations: Vec<Generation>,
    /// The one whose files are the run's, by its place.
    pub chosen: usize,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its folder in the run's folder.
    pub folder: String,
    /// Its AP on the validation block, judged as the first generation's is.
    pub validation_ap: Option<f64>,
    /// Whether it passed the gate.
    pub kept: bool,
}
