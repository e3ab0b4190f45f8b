//! The section of an experiment that says what its student may lose beside that of an earlier run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Complaint, Experiment};
use crate::distill::compress::{prune::is_cut, quantize::Budget};

/// What a student is held against before there is a bundle of it. `distill prune` writes it into the experiment in which a cut student
/// learns again: what lost more by the cut than is allowed is refused by `distill run`.
///
/// ```yaml
/// gate: {against: ../indoor_person, budget: 1.0}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Output folder of the finished run whose student this one is held against. Default: that of `distillation.retain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<PathBuf>,
    /// Points of AP50 on the validation block that may be lost beside that student. Default 1.
    pub budget: f64,
    /// Whether the bundle is written although more is lost. Default false.
    pub force: bool,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { against: None, budget: 100.0 * Budget::default().ap50, force: false }
    }
}

impl GateConfig {
    /// Says which value makes no sense in this experiment.
    pub(super) fn check(&self, experiment: &Experiment) -> Result<(), Complaint> {
        if !(self.budget.is_finite() && self.budget >= 0.0) {
            return Err(("gate.budget", format!("{} must be points of AP50, 0 or more", self.budget)));
        }
        let wrong = |message: &str| Err(("gate.against", message.to_owned()));
        match &self.against {
            None if experiment.distillation.retain.is_none() && !is_cut(experiment) => {
                wrong("name the output folder of the run whose student this one is held against")
            }
            Some(run) if *run == experiment.output => {
                wrong("is this experiment's own `output`; name the run whose student this one is held against")
            }
            _ => Ok(()),
        }
    }
}
