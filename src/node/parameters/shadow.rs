//! The parameters that both detectors have of their models while they run.

use super::NodeParameters;
use crate::node::{diagnostics::drift::DriftRule, recorder::RecordOptions};

/// Parameters of a node with a model.
pub(in crate::node) trait DetectorParameters: NodeParameters {
    /// Path of the model.
    fn model(&self) -> &str;

    /// Sets the path of the model.
    fn set_model(&mut self, path: &str);

    /// Whether another model may lack classes that the running one has.
    fn allow_other_classes(&self) -> bool;

    /// Whether frames that nobody waits for are left alone.
    fn idle_saving(&self) -> bool;

    /// What is said of a candidate.
    fn shadow(&self) -> ShadowOptions<'_>;

    /// Sets the path of the candidate.
    fn set_shadow_model(&mut self, path: &str);

    /// From where on drift is a warning, and whether it can be told.
    fn drift_rule(&self) -> DriftRule;

    /// Frames after which drift's slow window has forgotten most of what it knew.
    fn drift_window(&self) -> f64;

    /// What is recorded of the frames that the student is unsure of; nothing where recording is off.
    fn recording(&self) -> Option<RecordOptions>;
}

/// What is said of a candidate that runs beside the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::node) struct ShadowOptions<'a> {
    /// Its path; empty: there is none.
    pub(in crate::node) model: &'a str,
    /// Share of the frames that it gets at most.
    pub(in crate::node) share: f64,
    /// After so many frames it may take the model's place by itself; 0: never.
    pub(in crate::node) promote_after: i64,
    /// Mean agreement that it needs for that.
    pub(in crate::node) promote_agreement: f64,
}

impl ShadowOptions<'_> {
    /// Whether a candidate with so many compared frames and this mean agreement takes the model's place by itself.
    pub(in crate::node) fn promotes(&self, frames: u64, agreement: f64) -> bool {
        let wanted = u64::try_from(self.promote_after).unwrap_or(0);
        wanted > 0 && frames >= wanted && agreement >= self.promote_agreement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_promoted_after_enough_frames_that_agree() {
        let options = ShadowOptions { model: "m.onnx", share: 0.2, promote_after: 100, promote_agreement: 0.9 };
        assert!(options.promotes(100, 0.9));
        assert!(!options.promotes(99, 1.0));
        assert!(!options.promotes(1000, 0.89));
        assert!(!ShadowOptions { promote_after: 0, ..options }.promotes(1000, 1.0));
    }
}
