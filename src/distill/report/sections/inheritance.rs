//! Which of the teachers' errors the student took over, and which it lost.

use super::{
    Section,
    table::{Row, table},
};
use crate::distill::{
    audit::ErrorInheritance,
    evaluate::Role,
    report::{
        chart::{Axis, Bar, BarRow, bars},
        comparison::{Comparison, Gallery},
        figures::dash,
        markup::Markup,
    },
};

/// Colours of the chart: errors that student and teacher share, and errors of one alone.
const SHARED: usize = 1;
const ALONE: usize = 7;

/// Sentences, bars and a table; none where no teacher was run beside the student.
pub(super) fn section(gallery: &Gallery) -> Option<Section> {
    let Gallery::Shown(comparison) = gallery else { return None };
    let errors = comparison.inheritance.as_ref()?;
    let teachers: Vec<&str> =
        comparison.models.iter().filter(|(_, role)| *role == Role::Teacher).map(|(name, _)| name.as_str()).collect();
    let body = Markup::of(|html| {
        html.leaf("p", &[("class", "lead")], &sentences(errors, comparison.compared));
        html.append(&chart(errors, &teachers));
        html.append(&figures(errors, &teachers));
        html.leaf("p", &[("class", "note")], judged_by(comparison));
    });
    Some(Section {
        id: "inheritance",
        title: "Inherited errors",
        how_to_read: "An error is a box where nothing of its class is, or an object that is missed. Student and teacher share it when \
                      both make it at the same place. What they share the student may have learnt from that teacher, or the frame may be \
                      hard for anyone; what a teacher alone gets wrong, distillation has not passed on."
            .into(),
        body,
    })
}

fn sentences(errors: &ErrorInheritance, frames: usize) -> String {
    let own = match errors.inherited_share() {
        None => format!("On {frames} frames the student makes no error."),
        Some(share) => format!(
            "On {frames} frames the student makes {}; {} ({:.0} %) at least one teacher makes, too.",
            counted(errors.student_errors),
            errors.shared_with_some_teacher,
            100.0 * share
        ),
    };
    let lost = match errors.lost_share() {
        None => "The teachers make none that it could have taken over.".to_owned(),
        Some(share) => format!(
            "Of {} of the teachers it does not make {} ({:.0} %).",
            counted(errors.teacher_errors),
            errors.lost,
            100.0 * share
        ),
    };
    format!("{own} {lost}")
}

fn counted(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

/// The errors of each model, those that are shared first.
fn chart(errors: &ErrorInheritance, teachers: &[&str]) -> Markup {
    let row = |name: &str, all: usize, shared: usize| {
        let parts = vec![(shared as f64, SHARED), (all.saturating_sub(shared) as f64, ALONE)];
        BarRow { name: name.to_owned(), bars: vec![Bar { parts, label: format!("{shared} of {all} shared") }] }
    };
    let mut rows = vec![row("student", errors.student_errors, errors.shared_with_some_teacher)];
    for (name, teacher) in teachers.iter().copied().zip(&errors.per_teacher) {
        rows.push(row(name, teacher.errors, teacher.errors.saturating_sub(teacher.lost)));
    }
    let longest = errors.per_teacher.iter().map(|teacher| teacher.errors).chain([errors.student_errors]);
    let x = Axis::from_zero("errors", longest.map(|count| count as f64));
    let legend = [("shared by student and teacher", SHARED), ("made by this model alone", ALONE)];
    bars("Errors, shared and not", &x, &rows, &legend)
}

fn figures(errors: &ErrorInheritance, teachers: &[&str]) -> Markup {
    let header = ["model", "errors", "shares of the student’s", "lost by the student"].map(str::to_owned);
    let share = |part: usize, all: usize| match all {
        0 => dash(),
        _ => format!("{part} ({:.0} %)", 100.0 * part as f64 / all as f64),
    };
    let mut rows =
        vec![Row { cells: vec!["student".into(), errors.student_errors.to_string(), dash(), dash()], student: true }];
    for (name, teacher) in teachers.iter().copied().zip(&errors.per_teacher) {
        let cells = vec![
            name.to_owned(),
            teacher.errors.to_string(),
            share(teacher.shared, errors.student_errors),
            share(teacher.lost, teacher.errors),
        ];
        rows.push(Row { cells, student: false });
    }
    table(&header, &rows)
}

/// What the errors are errors against.
fn judged_by(comparison: &Comparison) -> &'static str {
    if comparison.by_labels {
        "The labels say what is an error."
    } else {
        "What the teachers agreed on says what is an error: a teacher errs here where it differs from all of them together, and what all \
         get wrong counts as right. Whether the student inherited that, only labels could tell."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::audit::TeacherErrors;

    fn comparison(inheritance: Option<ErrorInheritance>) -> Gallery {
        let model = |name: &str, role| (name.to_owned(), role);
        Gallery::Shown(Comparison {
            models: vec![
                model("student", Role::Student),
                model("<big>", Role::Teacher),
                model("perfect", Role::Teacher),
            ],
            classes: vec!["person".into()],
            by_labels: false,
            compared: 150,
            frames: Vec::new(),
            inheritance,
        })
    }

    #[test]
    fn errors_are_told_drawn_and_tabled() {
        let errors = ErrorInheritance {
            student_errors: 40,
            shared_with_some_teacher: 10,
            teacher_errors: 30,
            lost: 18,
            per_teacher: vec![TeacherErrors { errors: 30, shared: 10, lost: 18 }, TeacherErrors::default()],
        };
        let section = section(&comparison(Some(errors))).unwrap();
        let html = section.body.as_str();
        for words in [
            "On 150 frames the student makes 40 errors; 10 (25 %) at least one teacher makes, too.",
            "Of 30 errors of the teachers it does not make 18 (60 %).",
            "10 of 40 shared",
            "12 of 30 shared",
            "<td>&lt;big&gt;</td><td>30</td><td>10 (25 %)</td><td>18 (60 %)</td>",
            "<td>perfect</td><td>0</td><td>0 (0 %)</td><td>–</td>",
            "only labels could tell",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
        assert_eq!((html.matches("class=\"bar c1\"").count(), html.matches("class=\"bar c7\"").count()), (2, 2));
    }

    #[test]
    fn nothing_is_told_without_teachers_and_no_error_is_told_as_such() {
        assert!(section(&comparison(None)).is_none() && section(&Gallery::unwanted()).is_none());
        let none = ErrorInheritance {
            student_errors: 0,
            shared_with_some_teacher: 0,
            teacher_errors: 0,
            lost: 0,
            per_teacher: vec![TeacherErrors::default(); 2],
        };
        let told = sentences(&none, 9);
        assert!(told.contains("no error") && told.contains("could have taken over"), "{told}");
        assert!(!chart(&none, &["a", "b"]).as_str().contains("class=\"bar"));
    }
}
