//! Each class by itself.

use super::{
    Section,
    table::{Row, table},
};
use crate::distill::{
    evaluate::{EvaluationReport, ModelReport, Role},
    report::{figures::share, folder::RunFolder, markup::Markup},
};

/// The table of AP50 by class and model.
pub(super) fn section(folder: &RunFolder) -> Section {
    Section {
        id: "classes",
        title: "Classes",
        how_to_read: "AP50 of every model by class. A class with few objects has a figure that a handful of frames can change; a class \
                      with none has no figure."
            .into(),
        body: by_class(&folder.evaluation),
    }
}

fn by_class(report: &EvaluationReport) -> Markup {
    let mut header = vec!["class".to_owned(), "objects".to_owned()];
    header.extend(report.models.iter().map(|model| model.name.clone()));
    let students = report.models.iter().filter(|model| model.role == Role::Student);
    header.extend(students.clone().map(|model| format!("{} AP", model.name)));
    let row = |class: &String| {
        let of = |model: &ModelReport| model.per_class.iter().find(|figures| figures.class == *class).cloned();
        let truths = report.models.iter().find_map(of).map_or(0, |figures| figures.truths);
        let mut cells = vec![class.clone(), truths.to_string()];
        cells.extend(report.models.iter().map(|model| share(of(model).and_then(|figures| figures.ap50))));
        cells.extend(students.clone().map(|model| share(of(model).and_then(|figures| figures.ap))));
        Row { cells, student: false }
    };
    let rows: Vec<Row> = report.classes.iter().map(row).collect();
    table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::evaluation, *};
    use crate::metrics::ClassAp;

    #[test]
    fn a_class_that_nobody_judged_has_dashes() {
        let mut report = evaluation();
        report.classes.push("<pallet>".into());
        let figures = ClassAp { class: "person".into(), truths: 7, ap: Some(0.5), ap50: Some(0.625), ap75: None };
        report.models[0].per_class.push(figures);
        let html = by_class(&report);
        let html = html.as_str();
        assert!(html.contains("<td>person</td><td>7</td><td>0.625</td><td>–</td><td>–</td><td>0.500</td>"), "{html}");
        assert!(html.contains("<td>&lt;pallet&gt;</td><td>0</td><td>–</td>"), "{html}");
    }
}
