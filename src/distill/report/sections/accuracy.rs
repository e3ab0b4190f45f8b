//! Accuracy over size and over time, of all models.

use super::{
    Section,
    table::{Row, figure_table, table},
};
use crate::distill::{
    evaluate::{ModelReport, Role},
    report::{
        chart::{Axis, Dot, scatter},
        figures::{dash, millions, milliseconds, share},
        folder::RunFolder,
        markup::Markup,
    },
};

/// Two charts and the table of all figures.
pub(super) fn section(folder: &RunFolder) -> Section {
    let models = &folder.evaluation.models;
    let sizes = dots(models, &|model| Some(model.parameters as f64 / 1e6));
    let times = dots(models, &|model| model.latency_ms.map(|latency| latency.p50));
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            charts.append(&chart("Accuracy and size", "million parameters", &sizes));
            charts.append(&chart("Accuracy and time", "milliseconds an image (median, one thread)", &times));
        });
        html.append(&figures(models));
        if let Some(recordings) = folder.evaluation.recording_table() {
            html.leaf("h3", &[], "Each recording");
            html.append(&figure_table(&recordings, None));
        }
    });
    Section {
        id: "accuracy",
        title: "Accuracy, size and time",
        how_to_read: "Each dot is a model, the filled one the student. Higher finds more and errs less (AP50: average precision where \
                      boxes overlap by at least half; AP asks for closer boxes, too), further left costs less. One step to the right is a \
                      factor, not a difference. Time is that of the network alone."
            .into(),
        body,
    }
}

/// The models that have an AP50 and the other figure.
fn dots(models: &[ModelReport], cost: &dyn Fn(&ModelReport) -> Option<f64>) -> Vec<Dot> {
    let dot = |(color, model): (usize, &ModelReport)| {
        let (x, y) = (cost(model).filter(|cost| *cost > 0.0)?, model.ap50?);
        Some(Dot { name: model.name.clone(), x, y, color, emphasis: model.role == Role::Student })
    };
    models.iter().enumerate().filter_map(dot).collect()
}

fn chart(title: &str, cost: &str, dots: &[Dot]) -> Markup {
    if dots.is_empty() {
        return Markup::new();
    }
    let x = Axis::logarithmic(cost, dots.iter().map(|dot| dot.x));
    let y = Axis::shares("AP50", dots.iter().map(|dot| dot.y));
    scatter(title, &x, &y, dots)
}

fn figures(models: &[ModelReport]) -> Markup {
    let header = ["model", "AP", "AP50", "AP75", "M parameters", "MB", "MMAC", "ms p50", "ms p90"].map(str::to_owned);
    let rows: Vec<Row> = models
        .iter()
        .map(|model| {
            let cells = vec![
                model.name.clone(),
                share(model.ap),
                share(model.ap50),
                share(model.ap75),
                millions(model.parameters),
                millions(model.bytes),
                model.macs.map_or_else(dash, |macs| format!("{:.0}", macs as f64 / 1e6)),
                milliseconds(model.latency_ms.map(|latency| latency.p50)),
                milliseconds(model.latency_ms.map(|latency| latency.p90)),
            ];
            Row { cells, student: model.role == Role::Student }
        })
        .collect();
    table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::evaluation, *};

    #[test]
    fn models_without_a_figure_have_no_dot_but_a_row() {
        let mut report = evaluation();
        report.models[1].latency_ms = None;
        let times = dots(&report.models, &|model| model.latency_ms.map(|latency| latency.p50));
        let names: Vec<&str> = times.iter().map(|dot| dot.name.as_str()).collect();
        assert_eq!(names, ["student", "slow"]);
        assert_eq!((times[0].emphasis, times[1].emphasis, times[1].color), (true, false, 2));
        let html = figures(&report.models);
        assert_eq!((html.as_str().matches("<tr").count(), html.as_str().matches(">–<").count()), (4, 3 + 2));
    }
}
