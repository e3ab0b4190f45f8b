//! Precision over recall.

use super::Section;
use crate::distill::{
    evaluate::ModelReport,
    report::{
        chart::{Axis, Series, lines},
        folder::RunFolder,
        markup::Markup,
    },
};

/// Classes that get a chart; the others are in the table of classes.
const MOST_CLASSES: usize = 6;

/// A chart for each class that occurs; none when the evaluation kept no curves.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    let models = &folder.evaluation.models;
    let mut classes: Vec<(&str, usize)> = models
        .first()?
        .per_class
        .iter()
        .filter(|class| class.truths > 0)
        .map(|class| (class.class.as_str(), class.truths))
        .collect();
    // The most frequent first; equal ones stay in their order.
    classes.sort_by_key(|(_, truths)| std::cmp::Reverse(*truths));
    classes.truncate(MOST_CLASSES);
    let charts: Vec<Markup> = classes.iter().filter_map(|(class, _)| chart(class, models)).collect();
    if charts.is_empty() {
        return None;
    }
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |grid| {
            for chart in &charts {
                grid.append(chart);
            }
        });
    });
    Some(Section {
        id: "curves",
        title: "Precision and recall",
        how_to_read: "Lowering the score that a box needs finds more objects (recall, to the right) and lets more false alarms in \
                      (precision, downwards). A line that stays at the top until far to the right is a good detector; where it drops to the \
                      bottom, the model does not find the rest at any score."
            .into(),
        body,
    })
}

fn chart(class: &str, models: &[ModelReport]) -> Option<Markup> {
    let line = |(color, model): (usize, &ModelReport)| {
        let curve = model.curves.iter().find(|curve| curve.class == class)?;
        let last = curve.precision.len().saturating_sub(1).max(1) as f64;
        let points = curve.precision.iter().enumerate().map(|(place, value)| (place as f64 / last, *value));
        Some(Series { name: model.name.clone(), points: points.collect(), color })
    };
    let series: Vec<Series> = models.iter().enumerate().filter_map(line).collect();
    if series.is_empty() {
        return None;
    }
    let (x, y) = (Axis::linear("recall", 0.0, 1.0), Axis::linear("precision", 0.0, 1.0));
    Some(lines(class, &x, &y, &series, None))
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::evaluation, *};
    use crate::metrics::{Calibration, ClassCurve};

    #[test]
    fn models_without_a_curve_are_left_out() {
        let mut models = evaluation().models;
        assert_eq!(chart("person", &models), None);
        let calibration = Calibration::of(std::iter::empty());
        models[2].curves.push(ClassCurve { class: "person".into(), precision: vec![1.0; 101], calibration });
        let html = chart("person", &models).unwrap();
        assert!(html.as_str().contains("line c2") && !html.as_str().contains("line c0"), "{}", html.as_str());
        assert_eq!(chart("pallet", &models), None);
    }
}
