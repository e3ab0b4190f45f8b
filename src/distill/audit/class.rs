//! The figures of each class.

use serde::{Deserialize, Serialize};

use super::{
    AuditOptions, Conditions, Dependence, JudgedBy, RecordingDrift,
    evidence::{Claim, Evidence, mean, recall},
};
use crate::metrics::Calibration;

/// The figures of one teacher about one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAudit {
    /// The class.
    pub class: String,
    /// Other teachers who know it.
    pub others: usize,
    /// All boxes of which it is the best class.
    pub detections: usize,
    /// Those that the teacher stands by.
    pub confident: usize,
    /// Over the boxes that it stands by, the mean share of the other teachers who know the class and have a box of the same best
    /// class at the same place, whatever its score.
    pub agreement: Option<f64>,
    /// Mean IoU with the boxes that confirm.
    pub mean_iou: Option<f64>,
    /// Objects that more than half of the others agree on, with a mean score of at least the confident one.
    pub agreed: usize,
    /// Share of these that it stands by.
    pub agreed_recall: Option<f64>,
    /// Share of the boxes it stands by that are true.
    pub precision: Option<f64>,
    /// Objects of the truth.
    pub truths: usize,
    /// Share of these that it stands by.
    pub recall: Option<f64>,
    /// Expected calibration error of this class alone, see [`Calibration`].
    pub ece: Option<f64>,
    /// Whether its scores of this class are what they say; none in audits of earlier versions.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Each recording over its time, of the boxes of this class; none in audits of earlier versions.
    #[serde(default)]
    pub drift: Vec<RecordingDrift>,
    /// What its worth depends on, by the boxes and objects of this class; none in audits of earlier versions. Sizes are cut into
    /// ranges by the boxes of the class.
    #[serde(default)]
    pub dependence: Vec<Dependence>,
}

/// The figures of each class that a teacher knows; `conditions` are those of each class, of which its own are taken out.
pub(super) fn audits(
    classes: &[String],
    evidence: &[Evidence],
    teacher: usize,
    conditions: &mut [Conditions],
    judged_by: JudgedBy,
    options: AuditOptions,
) -> Vec<ClassAudit> {
    let own = &evidence[teacher];
    let mut audits = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        if !own.knows[class] {
            continue;
        }
        let claims = || own.claims.iter().filter(move |claim| claim.class == class);
        let confident = || own.stood_by(Some(class), options);
        let agreed = || own.agreed.iter().filter(move |object| object.class == class);
        let truths = || own.truths.iter().filter(move |object| object.class == class);
        let confirming: usize = confident().map(|claim| claim.confirmed).sum();
        let iou: f64 = confident().map(|claim| claim.iou_sum).sum();
        let right = |claim: &Claim| claim.correct.map(|correct| if correct { 1.0 } else { 0.0 });
        let knowing = evidence.iter().filter(|other| other.knows[class]).count();
        let calibration = Calibration::of(claims().filter_map(|claim| claim.point(judged_by)));
        let (drift, dependence) = conditions[class].take(teacher);
        audits.push(ClassAudit {
            class: name.clone(),
            others: knowing - 1,
            detections: claims().count(),
            confident: confident().count(),
            agreement: mean(confident().filter_map(|claim| claim.agreement())),
            mean_iou: (confirming > 0).then(|| iou / confirming as f64),
            agreed: agreed().count(),
            agreed_recall: recall(agreed()),
            precision: mean(confident().filter_map(right)),
            truths: truths().count(),
            recall: recall(truths()),
            ece: calibration.ece,
            calibration: Some(calibration),
            drift,
            dependence,
        });
    }
    audits
}
