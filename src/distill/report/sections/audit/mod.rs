//! What the teachers are worth.

mod classes;
mod dependence;
mod drift;

use super::{
    Section,
    table::{figure_table, folded},
};
use crate::{
    distill::{
        audit::{Audit, JudgedBy, TeacherAudit},
        report::{chart::reliability, figures::share, folder::RunFolder, markup::Markup},
    },
    metrics::Calibration,
};

/// What stands out, and the figures behind it; none without an audit.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    let body = match folder.audit.as_ref()? {
        Ok(audit) => show(audit),
        Err(reason) => {
            let text = format!("The audit cannot be read: {reason}. distill audit with the experiment writes it anew.");
            Markup::of(|html| {
                html.leaf("p", &[("class", "note warning")], &text);
            })
        }
    };
    Some(Section {
        id: "audit",
        title: "The teachers",
        how_to_read: "What the teachers are worth that the student learns from: who invents boxes, who misses objects, whose scores can \
                      be believed, and when. What stands out comes first; a proposed trust is tried by writing it into the experiment."
            .into(),
        body,
    })
}

fn show(audit: &Audit) -> Markup {
    Markup::of(|html| {
        html.element("ul", &[("class", "findings")], |list| {
            for line in audit.verdicts() {
                list.leaf("li", &[], &line);
            }
        });
        html.leaf("p", &[("class", "note")], &format!("{}.", audit.summary()));

        let stands_by = format!(
            "A teacher stands by its boxes with a score of at least {}. Confirmed: the share of the other teachers who have a box of the \
             same class there. Found: the share of what most of the others agree on that it has. ECE: how far its scores are from the \
             share of boxes that are right.",
            audit.options.confident_score
        );
        part(html, "Teacher by teacher", &stands_by);
        html.append(&figure_table(&audit.teachers_table(), None));
        html.append(&folded("Class by class", &figure_table(&audit.classes_table(), None)));

        html.append(&calibration(audit));
        html.append(&drift::part(audit));
        html.append(&dependence::part(audit));
        html.append(&classes::part(audit));
        html.append(&confusions(audit));
    })
}

/// A heading, and how to read what comes below.
fn part(html: &mut Markup, title: &str, how_to_read: &str) {
    html.leaf("h3", &[], title);
    html.leaf("p", &[("class", "how")], how_to_read);
}

/// Number of a teacher's colour: the student has the first one on the whole page.
fn color(teacher: usize) -> usize {
    teacher + 1
}

/// A reliability diagram for each teacher whose boxes anybody judged.
fn calibration(audit: &Audit) -> Markup {
    let Some(diagrams) = reliabilities(audit) else { return Markup::new() };
    let right = match audit.judged_by {
        JudgedBy::Truth => "Right is what the recordings’ truth says.",
        JudgedBy::Agreement => "Right is, as there is no truth, what the other teachers confirm.",
    };
    Markup::of(|html| {
        let how = format!(
            "Bars that end on the dashed line keep what the scores promise; below it a teacher is too sure of itself, above it too \
             modest. {right}"
        );
        part(html, "Can their scores be believed?", &how);
        html.append(&diagrams);
    })
}

/// The diagrams; nothing where nobody judged any box.
fn reliabilities(audit: &Audit) -> Option<Markup> {
    let is_judged = |calibration: &Calibration| calibration.bins.iter().any(|bin| bin.count > 0);
    let judged: Vec<(usize, &TeacherAudit)> =
        audit.teachers.iter().enumerate().filter(|(_, teacher)| is_judged(&teacher.calibration)).collect();
    if judged.is_empty() {
        return None;
    }
    Some(Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            for (number, teacher) in judged {
                let title = format!("{} (error {})", teacher.name, share(teacher.calibration.ece));
                charts.append(&reliability(&title, &teacher.calibration, color(number)));
            }
        });
    }))
}

/// A matrix for each teacher that truth has judged.
fn confusions(audit: &Audit) -> Markup {
    if audit.teachers.iter().all(|teacher| teacher.truth.is_none()) {
        return Markup::new();
    }
    Markup::of(|html| {
        part(
            html,
            "What do they take for what?",
            "A row is what is really there, a column what the teacher calls it. Figures on the diagonal are right; the last row counts \
             boxes where nothing is.",
        );
        for teacher in &audit.teachers {
            if let Some(truth) = &teacher.truth {
                html.append(&folded(&teacher.name, &figure_table(&audit.confusion_table(truth), None)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::audit::example;

    #[test]
    fn verdicts_come_first_and_every_part_is_there() {
        let audit = example(true);
        let html = show(&audit);
        let html = html.as_str();
        let place = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words}: {html}"));
        let order = [
            "odd: person: only",
            "truth judges",
            "Teacher by teacher",
            "Can their scores be believed?",
            "Do they change over a recording?",
            "What does their worth depend on?",
            "Is it the same for every class?",
            "What do they take for what?",
        ];
        assert!(order.map(place).is_sorted(), "{html}");
        // Three teachers; scores and counts; four factors. All of it again for persons alone.
        assert_eq!(html.matches("class=\"chart\"").count(), 2 * (3 + 2 + 4));
        assert_eq!(html.matches("is / is called").count(), 3);
    }

    #[test]
    fn without_truth_and_with_one_teacher_little_is_shown_and_nothing_breaks() {
        let mut audit = example(false);
        assert!(!show(&audit).as_str().contains("is / is called"));
        audit.teachers.truncate(1);
        for bin in &mut audit.teachers[0].calibration.bins {
            bin.count = 0;
        }
        let html = show(&audit);
        assert!(!html.as_str().contains("be believed?") && !html.as_str().contains("NaN"), "{}", html.as_str());
        audit.teachers.clear();
        assert!(!show(&audit).as_str().contains("class=\"chart\""));
    }
}
