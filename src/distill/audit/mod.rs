//! The audit of teachers before a student learns from them: who invents boxes, who misses objects, whose scores can be believed, and
//! under which conditions. It is computed from the soft targets alone, in which each teacher's own boxes lie beside the fused ones;
//! no teacher is run again. Where recordings bring their own truth, that judges; elsewhere the teachers judge each other.
//!
//! | file | holds |
//! |---|---|
//! | `evidence` | each box of a teacher: who confirms it, whether it is true; each object: whether it was found |
//! | `drift` | scores and counts over a recording's time |
//! | `dependence` | the same by brightness, blur, size and place |
//! | `class` | the figures of each class |
//! | `truth` | the recordings' truth, average precision and confusions |
//! | `verdict` | what stands out, in words, and the trust that is proposed |
//! | `inheritance` | which errors a student took over from its teachers |
//! | `report` | the audit as text |

mod class;
mod dependence;
mod drift;
mod error;
mod evidence;
mod inheritance;
mod report;
#[cfg(test)]
mod tests;
mod trust;
mod truth;
mod verdict;

use serde::{Deserialize, Serialize};

pub use class::ClassAudit;
pub use dependence::{Dependence, DependenceBin, Factor};
pub use drift::{RecordingDrift, TimeSlice, Trend};
pub use error::AuditError;
pub use inheritance::{ErrorInheritance, JudgedFrame, TeacherErrors, inherited_errors};
#[cfg(test)]
pub(in crate::distill) use tests::example;
pub use trust::earned_trust;
pub use truth::{TruthFigures, TruthFrames, read_truth};
pub use verdict::{Finding, FindingKind};

use super::targets::{CONFIDENT, TargetSet};
use crate::metrics::Calibration;
use evidence::{Evidence, mean};

/// What counts as found and as the same object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditOptions {
    /// Boxes of at least this score are what a teacher stands by. Default 0.3.
    pub confident_score: f32,
    /// Boxes that overlap by at least this IoU are at the same place. Default 0.5.
    pub iou: f64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { confident_score: CONFIDENT, iou: 0.5 }
    }
}

/// Who judged the teachers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgedBy {
    /// The recordings' own truth, on the frames that have it.
    Truth,
    /// The teachers each other: what most of the others see counts as right. Errors that all share stay hidden.
    Agreement,
}

/// Everything that an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The student's classes.
    pub classes: Vec<String>,
    /// The recordings that were labelled.
    pub recordings: Vec<String>,
    /// Frames that were labelled.
    pub frames: usize,
    /// Those among them with truth that may be looked at.
    pub truth_frames: usize,
    /// Objects on these frames that were to be found.
    pub truths: usize,
    /// Who judged calibration and trust.
    pub judged_by: JudgedBy,
    /// What counted as found.
    pub options: AuditOptions,
    /// What stands out, in words; often nothing.
    pub findings: Vec<Finding>,
    /// The teachers, in the order of the labelling.
    pub teachers: Vec<TeacherAudit>,
}

/// The figures of one teacher. Shares are in `[0, 1]`, and `None` where there is nothing to take a share of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherAudit {
    /// What it is called.
    pub name: String,
    /// How far the labelling trusted it.
    pub trust: f32,
    /// How far it deserves to be trusted beside the best of them: by truth [`measured_trust`](crate::distill::teacher::measured_trust),
    /// else [`agreement_trust`](crate::distill::teacher::agreement_trust); `None` when nobody can tell.
    pub proposed_trust: Option<f32>,
    /// All its boxes.
    pub detections: usize,
    /// Those that it stands by.
    pub confident: usize,
    /// Mean share of the other teachers who confirm a box that it stands by, see [`ClassAudit::agreement`].
    pub agreement: Option<f64>,
    /// Share of what most of the others agree on that it found, see [`ClassAudit::agreed_recall`].
    pub agreed_recall: Option<f64>,
    /// Each class that it knows.
    pub classes: Vec<ClassAudit>,
    /// Whether its scores are what they say.
    pub calibration: Calibration,
    /// Each recording over its time.
    pub drift: Vec<RecordingDrift>,
    /// What its worth depends on.
    pub dependence: Vec<Dependence>,
    /// What it is worth against truth, where there is some.
    pub truth: Option<TruthFigures>,
}

/// Judges the teachers of a labelling. `truth` is what [`read_truth`] gives; without it, or when it is empty, the teachers judge each
/// other.
pub fn audit(targets: &TargetSet, truth: Option<&TruthFrames>, options: AuditOptions) -> Audit {
    let none = TruthFrames::new();
    let truth = truth.unwrap_or(&none);
    let evidence = evidence::collect(targets, truth, options);
    let judged_by = if truth.is_empty() { JudgedBy::Agreement } else { JudgedBy::Truth };
    let mut conditions = Conditions::of(targets, &evidence, None, options);
    let mut of_classes: Vec<Conditions> =
        (0..targets.classes.len()).map(|class| Conditions::of(targets, &evidence, Some(class), options)).collect();
    let mut teachers = Vec::with_capacity(evidence.len());
    for (index, (teacher, own)) in targets.teachers.iter().zip(&evidence).enumerate() {
        let confident = || own.stood_by(None, options);
        let (drift, dependence) = conditions.take(index);
        teachers.push(TeacherAudit {
            name: teacher.name.clone(),
            trust: teacher.trust,
            proposed_trust: None,
            detections: own.claims.len(),
            confident: confident().count(),
            agreement: mean(confident().filter_map(|claim| claim.agreement())),
            agreed_recall: evidence::recall(own.agreed.iter()),
            classes: class::audits(&targets.classes, &evidence, index, &mut of_classes, judged_by, options),
            calibration: Calibration::of(own.claims.iter().filter_map(|claim| claim.point(judged_by))),
            drift,
            dependence,
            truth: truth::figures(targets, truth, index, &own.knows, options),
        });
    }
    let trust = match judged_by {
        JudgedBy::Truth => targets.measured_trust(truth),
        JudgedBy::Agreement => targets.agreement_trust(options.iou as f32),
    };
    for (teacher, trust) in teachers.iter_mut().zip(trust) {
        let is_judged = match judged_by {
            JudgedBy::Truth => teacher.truth.as_ref().is_some_and(|truth| truth.ap50.is_some()),
            JudgedBy::Agreement => teacher.agreement.is_some() || teacher.agreed_recall.is_some(),
        };
        // Two decimals: more would claim to know more.
        teacher.proposed_trust = is_judged.then_some((trust * 100.0).round() / 100.0);
    }
    Audit {
        classes: targets.classes.clone(),
        recordings: targets.sources.iter().map(|source| source.path.clone()).collect(),
        frames: targets.frames.len(),
        truth_frames: truth.len(),
        truths: truth.values().flatten().filter(|object| object.demand == crate::metrics::Demand::Required).count(),
        judged_by,
        options,
        findings: verdict::findings(&teachers, &targets.classes, judged_by),
        teachers,
    }
}

/// How each teacher changes over time and what its worth depends on, of one class or of all.
struct Conditions {
    drift: Vec<Vec<RecordingDrift>>,
    dependence: Vec<Vec<Dependence>>,
}

impl Conditions {
    fn of(targets: &TargetSet, evidence: &[Evidence], class: Option<usize>, options: AuditOptions) -> Self {
        Self {
            drift: drift::drift(targets, evidence, class, options),
            dependence: dependence::dependence(targets, evidence, class, options),
        }
    }

    /// Takes a teacher's out.
    fn take(&mut self, teacher: usize) -> (Vec<RecordingDrift>, Vec<Dependence>) {
        (std::mem::take(&mut self.drift[teacher]), std::mem::take(&mut self.dependence[teacher]))
    }
}
