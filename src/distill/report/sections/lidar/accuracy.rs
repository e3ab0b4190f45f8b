//! How well objects and their points are found, class by class.

use super::super::{
    Section,
    curves::{self, line, most_frequent, precision_over_recall},
};
use crate::{
    distill::{
        lidar::evaluate::LidarReport,
        report::{
            chart::{Axis, Bar, BarRow, Series, bars},
            figures::share,
            markup::Markup,
        },
    },
    metrics::{CenterAp, ClassIou},
};

/// Bars for centres and points, and what the student costs.
pub(super) fn section(student: &LidarReport) -> Section {
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            charts.append(&centers(student));
            charts.append(&points(student));
        });
        html.leaf("p", &[("class", "note")], &format!("{}.", student.cost()));
    });
    Section {
        id: "accuracy",
        title: "Accuracy, size and time",
        how_to_read: "Objects: average precision where a detection is right when its centre lies within a distance of a true one that no \
                      better detection has found (Beyer et al. 2016). Points: how far the points that are called a class are those that \
                      are of it. 1 is perfect."
            .into(),
        body,
    }
}

/// The average precision of centres, a bar for each distance.
fn centers(student: &LidarReport) -> Markup {
    let names: Vec<String> = student.centers.iter().map(within).collect();
    let row = |name: &str, figure: &dyn Fn(&CenterAp) -> Option<f64>| {
        let bars = student.centers.iter().enumerate().filter_map(|(color, centers)| bar(figure(centers), color));
        BarRow { name: name.to_owned(), bars: bars.collect() }
    };
    let mut rows = Vec::new();
    if student.classes.len() > 1 {
        rows.push(row("all classes", &|centers: &CenterAp| centers.ap));
    }
    for (place, class) in student.classes.iter().enumerate() {
        rows.push(row(class, &|centers: &CenterAp| centers.per_class.get(place).and_then(|figures| figures.ap)));
    }
    let legend: Vec<(&str, usize)> = names.iter().enumerate().map(|(color, name)| (name.as_str(), color)).collect();
    chart("Objects", "average precision of centres", rows, &legend)
}

/// IoU, precision and recall of points.
fn points(student: &LidarReport) -> Markup {
    let row = |class: &ClassIou| {
        let figures = [class.iou, class.precision, class.recall];
        let bars = figures.into_iter().enumerate().filter_map(|(color, figure)| bar(figure, color));
        BarRow { name: class.class.clone(), bars: bars.collect() }
    };
    let rows = student.points.per_class.iter().map(row).collect();
    chart("Points", "share", rows, &[("IoU", 0), ("precision", 1), ("recall", 2)])
}

/// A bar of a share; none where there is no figure.
fn bar(figure: Option<f64>, color: usize) -> Option<Bar> {
    Some(Bar { parts: vec![(figure?, color)], label: share(figure) })
}

/// A chart of the rows that have a bar; nothing where none has.
fn chart(title: &str, label: &str, mut rows: Vec<BarRow>, legend: &[(&str, usize)]) -> Markup {
    rows.retain(|row| !row.bars.is_empty());
    if rows.is_empty() { Markup::new() } else { bars(title, &Axis::linear(label, 0.0, 1.0), &rows, legend) }
}

/// Precision over recall of each class that occurs, a line for each distance; none without any curve.
pub(super) fn curves(student: &LidarReport) -> Option<Section> {
    let widest = student.widest()?;
    let classes = most_frequent(widest.per_class.iter().map(|class| (class.class.as_str(), class.truths)));
    let chart = |class: &str| {
        let of = |(color, centers): (usize, &CenterAp)| {
            let figures = centers.per_class.iter().find(|figures| figures.class == class)?;
            (!figures.precision.is_empty()).then(|| line(&within(centers), &figures.precision, color))
        };
        let series: Vec<Series> = student.centers.iter().enumerate().filter_map(of).collect();
        precision_over_recall(class, &series)
    };
    let charts: Vec<Markup> = classes.into_iter().filter_map(chart).collect();
    curves::of_charts(&charts)
}

fn within(centers: &CenterAp) -> String {
    format!("within {} m", centers.distance)
}
