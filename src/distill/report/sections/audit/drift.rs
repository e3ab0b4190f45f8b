//! Scores and counts over the recordings' time.

use super::{color, figure_table, folded, part as heading};
use crate::distill::{
    audit::{Audit, RecordingDrift, TeacherAudit, TimeSlice},
    report::{
        chart::{Axis, Series, lines},
        markup::Markup,
    },
};

/// Slices of a recording's time, as the audit counts them.
const SLICES: f64 = 20.0;

/// A line for each teacher over all recordings, one after the other.
pub(super) fn part(audit: &Audit) -> Markup {
    let Some(figures) = figures(audit) else { return Markup::new() };
    Markup::of(|html| {
        heading(
            html,
            "Do they change over a recording?",
            "Where all lines move together, the scene has changed. Where one leaves the others, that teacher drifts: dust on the lens, \
             dusk, another hall. Only boxes that a teacher stands by count.",
        );
        html.append(&figures);
    })
}

/// The lines, and the changes folded away; nothing where no teacher stands by any box.
pub(super) fn figures(audit: &Audit) -> Option<Markup> {
    let scores = chart("Mean score", audit, series(audit, |slice| slice.mean_score))?;
    let counts = chart("Boxes in a frame", audit, series(audit, |slice| Some(slice.boxes_per_frame)))?;
    Some(Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            charts.append(&scores);
            charts.append(&counts);
        });
        let table = figure_table(&audit.drift_table(), None);
        html.append(&folded("Changes from beginning to end, with their standard errors", &table));
    }))
}

/// A line a teacher, interrupted between recordings and where there is nothing.
fn series(audit: &Audit, value: fn(&TimeSlice) -> Option<f64>) -> Vec<Series> {
    let points = |drift: &RecordingDrift| {
        let source = drift.source as f64;
        let point = |slice: &TimeSlice| {
            let x = source + (slice.slice as f64 + 0.5) / SLICES;
            (x, value(slice).unwrap_or(f64::NAN))
        };
        let mut points: Vec<(f64, f64)> = drift.slices.iter().map(point).collect();
        points.push((source + 1.0, f64::NAN));
        points
    };
    let line = |(number, teacher): (usize, &TeacherAudit)| Series {
        name: teacher.name.clone(),
        points: teacher.drift.iter().flat_map(points).collect(),
        color: color(number),
    };
    audit.teachers.iter().enumerate().map(line).collect()
}

fn chart(title: &str, audit: &Audit, mut series: Vec<Series>) -> Option<Markup> {
    series.retain(|line| line.points.iter().any(|(_, y)| y.is_finite()));
    if series.is_empty() {
        return None;
    }
    let label = match audit.recordings.len() {
        0 | 1 => "time, as a share of the recording’s",
        _ => "time, recording after recording",
    };
    let x = Axis::linear(label, 0.0, audit.recordings.len().max(1) as f64);
    let y = Axis::from_zero(&title.to_lowercase(), series.iter().flat_map(|line| &line.points).map(|(_, y)| *y));
    Some(lines(title, &x, &y, &series, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::audit::example;

    #[test]
    fn recordings_follow_each_other_with_a_gap() {
        let mut audit = example(true);
        let mut second = audit.teachers[0].drift[0].clone();
        second.source = 1;
        second.slices[3].mean_score = None;
        audit.teachers[0].drift.push(second);
        audit.recordings.push("dock.mcap".into());
        let series = series(&audit, |slice| slice.mean_score);
        assert_eq!((series.len(), series[0].points.len(), series[0].color), (3, 42, 1));
        let gaps: Vec<usize> =
            series[0].points.iter().enumerate().filter(|(_, point)| point.1.is_nan()).map(|(place, _)| place).collect();
        assert_eq!(gaps, [20, 24, 41]);
        assert!((series[0].points[0].0 - 0.025).abs() < 1e-9 && (series[0].points[21].0 - 1.025).abs() < 1e-9);
        let html = part(&audit);
        assert!(html.as_str().contains("recording after recording") && !html.as_str().contains("NaN"));
    }
}
