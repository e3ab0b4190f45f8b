//! Under which conditions teachers are worth less.

use super::{color, figure_table, folded, part as heading};
use crate::distill::{
    audit::{Audit, Dependence, DependenceBin, Factor, JudgedBy},
    figure_table::FigureTable,
    report::{
        chart::{Axis, Bar, BarRow, bars},
        figures::dash,
        markup::Markup,
    },
};

/// What the bars show.
#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    share: fn(&DependenceBin) -> Option<f64>,
    /// How many the share is taken of.
    count: fn(&DependenceBin) -> usize,
    explained: &'static str,
}

const RECALL: Measure = Measure {
    name: "share of objects found",
    share: |bin| bin.recall,
    count: |bin| bin.truths,
    explained: "Bars show the share of objects that a teacher finds.",
};
const AGREEMENT: Measure = Measure {
    name: "share confirmed by others",
    share: |bin| bin.agreement,
    count: |bin| bin.boxes,
    explained: "Bars show the share of a teacher’s boxes that the others confirm.",
};
const SCORE: Measure = Measure {
    name: "mean score",
    share: |bin| bin.mean_score,
    count: |bin| bin.boxes,
    explained: "Nobody can judge, so bars show only how sure a teacher is of its boxes.",
};

/// Bars for each factor, and all figures folded away.
pub(super) fn part(audit: &Audit) -> Markup {
    let (Some(measure), Some(figures)) = (measure(audit), figures(audit)) else { return Markup::new() };
    Markup::of(|html| {
        let how = format!(
            "{} A bar much shorter than its neighbours is a condition to watch; what it is taken of stands behind it, and a share of few \
             means little.",
            measure.explained
        );
        heading(html, "What does their worth depend on?", &how);
        html.append(&figures);
    })
}

/// The bars and the folded figures; nothing where there is nothing to take a share of.
pub(super) fn figures(audit: &Audit) -> Option<Markup> {
    let measure = measure(audit)?;
    let teachers: Vec<(&str, usize)> =
        audit.teachers.iter().enumerate().map(|(number, teacher)| (teacher.name.as_str(), color(number))).collect();
    Some(Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            for factor in [Factor::Brightness, Factor::Blur, Factor::Size, Factor::Position] {
                let rows = rows(audit, factor, measure);
                if !rows.is_empty() {
                    let x = Axis::linear(measure.name, 0.0, 1.0);
                    charts.append(&bars(title(factor), &x, &rows, &teachers));
                }
            }
        });
        html.append(&folded("All figures by condition", &figure_table(&all_figures(audit), None)));
    }))
}

/// The best of the measures that the audit has figures of.
fn measure(audit: &Audit) -> Option<Measure> {
    let judged = match audit.judged_by {
        JudgedBy::Truth => RECALL,
        JudgedBy::Agreement => AGREEMENT,
    };
    let has_figures = |measure: &Measure| {
        let mut dependence = audit.teachers.iter().flat_map(|teacher| &teacher.dependence);
        dependence.any(|dependence| dependence.bins.iter().any(|bin| (measure.share)(bin).is_some()))
    };
    [judged, SCORE].into_iter().find(has_figures)
}

fn title(factor: Factor) -> &'static str {
    match factor {
        Factor::Brightness => "Brightness of the picture (0 to 255)",
        Factor::Blur => "Sharpness of the picture (low is blurred)",
        Factor::Size => "Size of the box (share of the picture’s diagonal)",
        Factor::Position => "Place in the picture",
    }
}

/// A row for each range of which any teacher has a figure, in it a bar for each teacher.
fn rows(audit: &Audit, factor: Factor, measure: Measure) -> Vec<BarRow> {
    let of_teachers: Vec<Option<&Dependence>> = audit
        .teachers
        .iter()
        .map(|teacher| teacher.dependence.iter().find(|dependence| dependence.factor == factor))
        .collect();
    let Some(first) = of_teachers.iter().copied().flatten().next() else { return Vec::new() };
    let row = |(place, range): (usize, &DependenceBin)| {
        let bar = |(number, dependence): (usize, &Option<&Dependence>)| {
            let bin = dependence.and_then(|dependence| dependence.bins.get(place));
            let share = bin.and_then(measure.share);
            let label = match (share, bin) {
                (Some(share), Some(bin)) => format!("{:.0} % of {}", 100.0 * share, (measure.count)(bin)),
                _ => dash(),
            };
            Bar { parts: share.map(|share| (share, color(number))).into_iter().collect(), label }
        };
        BarRow { name: range.range.clone(), bars: of_teachers.iter().enumerate().map(bar).collect() }
    };
    let has_bars = |row: &BarRow| row.bars.iter().any(|bar| !bar.parts.is_empty());
    first.bins.iter().enumerate().map(row).filter(has_bars).collect()
}

fn all_figures(audit: &Audit) -> FigureTable {
    let header = ["teacher", "by", "range", "boxes", "mean score", "confirmed", "right", "objects", "of these found"];
    let mut table = FigureTable::new(3, &header);
    let percent = |share: Option<f64>| share.map_or_else(dash, |share| format!("{:.0} %", 100.0 * share));
    for teacher in &audit.teachers {
        for dependence in &teacher.dependence {
            for bin in &dependence.bins {
                let figures = [
                    bin.boxes.to_string(),
                    bin.mean_score.map_or_else(dash, |score| format!("{score:.2}")),
                    percent(bin.agreement),
                    percent(bin.precision),
                    bin.truths.to_string(),
                    percent(bin.recall),
                ];
                table.add(&[&teacher.name, dependence.factor.name(), &bin.range], &figures);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::audit::example;

    #[test]
    fn the_judge_decides_what_the_bars_show() {
        let mut audit = example(true);
        let name = |audit: &Audit| measure(audit).map(|measure| measure.name);
        assert_eq!(name(&audit), Some("share of objects found"));
        audit.judged_by = JudgedBy::Agreement;
        assert_eq!(name(&audit), Some("share confirmed by others"));
        for dependence in audit.teachers.iter_mut().flat_map(|teacher| &mut teacher.dependence) {
            dependence.bins.iter_mut().for_each(|bin| bin.agreement = None);
        }
        assert_eq!(name(&audit), Some("mean score"));
        audit.teachers.clear();
        assert_eq!((name(&audit), part(&audit)), (None, Markup::new()));
    }

    #[test]
    fn every_range_has_a_bar_for_each_teacher() {
        let mut audit = example(true);
        audit.teachers[1].dependence[0].bins[4].recall = None;
        let brightness = rows(&audit, Factor::Brightness, RECALL);
        assert_eq!((brightness.len(), brightness[0].bars.len()), (5, 3));
        assert_eq!(brightness[0].bars[2], Bar { parts: vec![(1.0, 3)], label: "100 % of 20".into() });
        assert_eq!(brightness[4].bars[1], Bar { parts: vec![], label: "–".into() });
        // All persons stand in one place.
        let places = rows(&audit, Factor::Position, RECALL);
        assert_eq!((places.len(), places[0].name.as_str()), (1, "middle left"));
        // Of three teachers at least so many: brightness in fifths, the same sharpness and size, nine places.
        assert!(all_figures(&audit).rows.len() >= 3 * (5 + 1 + 1 + 9));
    }
}
