//! Whether camera and lidar fit together, where a camera labelled.

use super::{
    super::{Section, table::figure_table},
    warn,
};
use crate::distill::{
    figure_table::{FigureTable, figure},
    lidar::labels::{CalibrationEstimate, CalibrationVerdict},
    report::{
        chart::{Axis, Bar, BarRow, bars},
        figures::share,
        lidar_folder::LidarFolder,
        markup::Markup,
    },
};

/// A verdict for each recording; none when no camera labelled.
pub(super) fn section(folder: &LidarFolder) -> Option<Section> {
    let estimates = folder.calibrations();
    if estimates.is_empty() {
        return None;
    }
    let body = Markup::of(|html| {
        for (name, estimate) in folder.suspects() {
            warn(html, &format!("{name}: suspect – {estimate}."));
        }
        html.element("ul", &[("class", "findings")], |list| {
            for (name, estimate) in estimates.iter().filter(|(_, estimate)| !estimate.is_suspect) {
                list.element("li", &[], |item| {
                    item.leaf("strong", &[], &format!("{name}: {}", estimate.verdict().words()));
                    item.text(&format!(" – {}.", explained(estimate)));
                });
            }
        });
        html.append(&agreement(&estimates));
        html.append(&figure_table(&table(&estimates), None));
    });
    Some(Section {
        id: "calibration",
        title: "Calibration",
        how_to_read: "A camera that is turned against the lidar labels the wrong points, evenly and without any other sign of it. So the \
                      edges of its boxes are compared with those of groups of points, as the calibration says and as if the camera were \
                      turned: where another turn fits clearly better, by more than a degree, the calibration is suspect. Agreement is far \
                      from 1 even when all is well, since points are sparse."
            .into(),
        body,
    })
}

fn explained(estimate: &CalibrationEstimate) -> String {
    match estimate.verdict() {
        CalibrationVerdict::Unknown => format!(
            "{} boxes that agree by {:.2} at best are too little to tell; look at the labels in the gallery",
            estimate.samples, estimate.agreement_best
        ),
        CalibrationVerdict::Fits | CalibrationVerdict::Suspect => estimate.to_string(),
    }
}

/// Bars of the agreement as it is and as it would be at best.
fn agreement(estimates: &[(&str, &CalibrationEstimate)]) -> Markup {
    let bar = |value: f64, color| Bar { parts: vec![(value, color)], label: share(Some(value)) };
    let row = |(name, estimate): &(&str, &CalibrationEstimate)| BarRow {
        name: (*name).to_owned(),
        bars: vec![bar(estimate.agreement_now, 0), bar(estimate.agreement_best, 1)],
    };
    let rows: Vec<BarRow> = estimates.iter().map(row).collect();
    let x = Axis::from_zero("agreement of boxes and points", estimates.iter().map(|(_, best)| best.agreement_best));
    bars("Agreement", &x, &rows, &[("now", 0), ("with the camera turned as fits best", 1)])
}

fn table(estimates: &[(&str, &CalibrationEstimate)]) -> FigureTable {
    let header =
        ["recording", "verdict", "yaw ° (left +)", "pitch ° (down +)", "agreement now", "agreement best", "boxes"];
    let mut table = FigureTable::new(2, &header);
    for (name, estimate) in estimates {
        let figures = [
            format!("{:+.1}", estimate.yaw_degrees),
            format!("{:+.1}", estimate.pitch_degrees),
            figure(Some(estimate.agreement_now)),
            figure(Some(estimate.agreement_best)),
            estimate.samples.to_string(),
        ];
        table.add(&[name, estimate.verdict().words()], &figures);
    }
    table
}
