//! Whether the scores come true.

use super::{
    Section,
    table::{Row, table},
};
use crate::distill::{
    evaluate::{EvaluationReport, ModelReport, Role},
    report::{chart::reliability, figures::share, folder::RunFolder, markup::Markup},
};

/// A diagram for each model and the errors by class; none when the evaluation kept none.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    let report = &folder.evaluation;
    if report.models.iter().all(|model| model.calibration.is_none()) {
        return None;
    }
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            for (number, model) in report.models.iter().enumerate() {
                if let Some(calibration) = &model.calibration {
                    let title = format!("{} (error {})", model.name, share(calibration.ece));
                    charts.append(&reliability(&title, calibration, number));
                }
            }
        });
        html.append(&errors(report));
    });
    Some(Section {
        id: "calibration",
        title: "Calibration",
        how_to_read: "Can the scores be believed? Of all boxes with a score of about 0.8, eight in ten should be right. Bars that end on the \
                      dashed line say so; below it the model is too sure, above it too modest. The numbers count the boxes of each bar, and \
                      the error (ECE, 0 is perfect) is the mean distance from the line over the boxes with a score of at least 0.1."
            .into(),
        body,
    })
}

/// The calibration error by model and class; nothing for a single class, whose error the diagrams tell.
fn errors(report: &EvaluationReport) -> Markup {
    if report.classes.len() < 2 {
        return Markup::new();
    }
    let mut header = vec!["error (ECE)".to_owned()];
    header.extend(report.classes.iter().cloned());
    let row = |model: &ModelReport| {
        let error = |class: &String| {
            let curve = model.curves.iter().find(|curve| curve.class == *class);
            share(curve.and_then(|curve| curve.calibration.ece))
        };
        let mut cells = vec![model.name.clone()];
        cells.extend(report.classes.iter().map(error));
        Row { cells, student: model.role == Role::Student }
    };
    let rows: Vec<Row> = report.models.iter().map(row).collect();
    table(&header, &rows)
}
