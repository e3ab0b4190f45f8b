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
    let classes = models.first()?.per_class.iter().map(|class| (class.class.as_str(), class.truths));
    let charts: Vec<Markup> = most_frequent(classes).into_iter().filter_map(|class| chart(class, models)).collect();
    of_charts(&charts)
}

/// The classes that get a chart, out of names and numbers of objects: the most frequent ones first.
pub(super) fn most_frequent<'c>(classes: impl Iterator<Item = (&'c str, usize)>) -> Vec<&'c str> {
    let mut classes: Vec<(&str, usize)> = classes.filter(|(_, truths)| *truths > 0).collect();
    // Equal ones stay in their order.
    classes.sort_by_key(|(_, truths)| std::cmp::Reverse(*truths));
    classes.truncate(MOST_CLASSES);
    classes.into_iter().map(|(class, _)| class).collect()
}

/// The section of some charts; none without any.
pub(super) fn of_charts(charts: &[Markup]) -> Option<Section> {
    if charts.is_empty() {
        return None;
    }
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |grid| {
            for chart in charts {
                grid.append(chart);
            }
        });
    });
    Some(Section {
        id: "curves",
        title: "Precision and recall",
        how_to_read: "Lowering the score that a detection needs finds more objects (recall, to the right) and lets more false alarms in \
                      (precision, downwards). A line that stays at the top until far to the right is a good detector; where it drops to the \
                      bottom, the model does not find the rest at any score."
            .into(),
        body,
    })
}

/// A line of precision at evenly spaced recalls from 0 to 1.
pub(super) fn line(name: &str, precision: &[f64], color: usize) -> Series {
    let last = precision.len().saturating_sub(1).max(1) as f64;
    let points = precision.iter().enumerate().map(|(place, value)| (place as f64 / last, *value));
    Series { name: name.to_owned(), points: points.collect(), color }
}

/// A chart of such lines; none without any.
pub(super) fn precision_over_recall(title: &str, series: &[Series]) -> Option<Markup> {
    let (x, y) = (Axis::linear("recall", 0.0, 1.0), Axis::linear("precision", 0.0, 1.0));
    (!series.is_empty()).then(|| lines(title, &x, &y, series, None))
}

fn chart(class: &str, models: &[ModelReport]) -> Option<Markup> {
    let of = |(color, model): (usize, &ModelReport)| {
        let curve = model.curves.iter().find(|curve| curve.class == class)?;
        Some(line(&model.name, &curve.precision, color))
    };
    let series: Vec<Series> = models.iter().enumerate().filter_map(of).collect();
    precision_over_recall(class, &series)
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
