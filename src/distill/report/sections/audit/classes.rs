//! The same figures for the boxes of single classes.

use super::{dependence, drift, folded, part as heading, reliabilities};
use crate::{
    distill::{
        audit::{Audit, ClassAudit},
        report::markup::Markup,
    },
    metrics::Calibration,
};

/// A folded block a class, when a teacher knows several; nothing for audits of earlier versions.
pub(super) fn part(audit: &Audit) -> Markup {
    if audit.teachers.iter().all(|teacher| teacher.classes.len() < 2) {
        return Markup::new();
    }
    let blocks: Vec<(&String, Markup)> =
        audit.classes.iter().filter_map(|class| Some((class, block(audit, class)?))).collect();
    if blocks.is_empty() {
        return Markup::new();
    }
    Markup::of(|html| {
        heading(
            html,
            "Is it the same for every class?",
            "A teacher may be good at one class and drift, or fail in the dark, at another. Each block shows the charts from above for \
             the boxes of its class alone. The fewer boxes a class has, the more of what they show is chance.",
        );
        for (class, block) in &blocks {
            html.append(&folded(class, block));
        }
    })
}

/// Reliability, changes over time and conditions of a class; nothing where no teacher has a box of it.
fn block(audit: &Audit, class: &str) -> Option<Markup> {
    let audit = of_class(audit, class);
    let parts = [reliabilities(&audit), drift::figures(&audit), dependence::figures(&audit)];
    if parts.iter().all(Option::is_none) {
        return None;
    }
    Some(Markup::of(|html| {
        html.element("div", &[("class", "folded")], |html| {
            for part in parts.iter().flatten() {
                html.append(part);
            }
        });
    }))
}

/// The audit with the figures of one class in place of those of all. Teachers who do not know it keep their place, and with it their
/// colour, without figures.
fn of_class(audit: &Audit, class: &str) -> Audit {
    let mut audit = audit.clone();
    for teacher in &mut audit.teachers {
        let own = std::mem::take(&mut teacher.classes).into_iter().find(|known| known.class == class);
        let (calibration, drift, dependence) = match own {
            Some(ClassAudit { calibration, drift, dependence, .. }) => (calibration, drift, dependence),
            None => (None, Vec::new(), Vec::new()),
        };
        teacher.calibration = calibration.unwrap_or_else(|| Calibration::of(std::iter::empty()));
        teacher.drift = drift;
        teacher.dependence = dependence;
    }
    audit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::audit::example;

    #[test]
    fn each_class_with_boxes_has_a_block_of_its_own_figures() {
        let mut audit = example(true);
        let html = part(&audit);
        let html = html.as_str();
        // The pallets, which only one teacher knows, have no boxes.
        assert!(html.contains("<summary>person</summary>") && !html.contains("pallet"), "{html}");
        assert!(!html.contains("NaN"), "{html}");
        let person = of_class(&audit, "person");
        let own = &audit.teachers[2].classes[0];
        assert_eq!(Some(&person.teachers[2].calibration), own.calibration.as_ref());
        assert_eq!((&person.teachers[2].drift, &person.teachers[2].dependence), (&own.drift, &own.dependence));
        let pallet = of_class(&audit, "pallet");
        assert_eq!((pallet.teachers.len(), pallet.teachers[0].drift.len()), (3, 0));
        assert_eq!(pallet.teachers[0].calibration.counted, 0);
        // With one class there is nothing that the page has not shown.
        audit.teachers[2].classes.truncate(1);
        assert_eq!(part(&audit), Markup::new());
    }

    #[test]
    fn audits_of_earlier_versions_have_no_blocks() {
        let mut audit = example(true);
        for class in audit.teachers.iter_mut().flat_map(|teacher| &mut teacher.classes) {
            class.calibration = None;
            class.drift.clear();
            class.dependence.clear();
        }
        assert_eq!(part(&audit), Markup::new());
    }
}
