//! The trust that teachers earned, where an experiment wants that in place of the given one.

use super::{AuditError, read_truth};
use crate::distill::{
    config::{Experiment, TrustSource},
    targets::TargetSet,
};

/// The trust in each teacher that an experiment wants its targets to be fused with; nothing where the given one holds.
///
/// # Errors
/// When a recording's truth cannot be read, or labels are wanted of recordings that have none outside their test blocks.
pub fn earned_trust(experiment: &Experiment, targets: &TargetSet) -> Result<Option<Vec<f32>>, AuditError> {
    match experiment.distillation.trust {
        TrustSource::Given => Ok(None),
        TrustSource::Agreement => Ok(Some(targets.agreement_trust(experiment.fusion.iou_threshold))),
        TrustSource::Labels => match read_truth(experiment, targets)? {
            Some(truth) => Ok(Some(targets.measured_trust(&truth))),
            None => Err(AuditError::NoTruth),
        },
    }
}
