//! How the training went.

use std::collections::BTreeSet;

use super::Section;
use crate::distill::report::{
    chart::{Axis, Mark, Series, lines},
    folder::EpochFigures,
    markup::Markup,
};

/// How a training went; none without a journal. The names are those of its two validation figures: the one that finds objects at all,
/// and the one that asks for more.
pub(super) fn section(epochs: &[EpochFigures], names: [&str; 2]) -> Option<Section> {
    if epochs.is_empty() {
        return None;
    }
    Some(Section {
        id: "training",
        title: "Training",
        how_to_read: "Losses should fall and level out while the validation, on what is not trained on, rises. A validation that falls while \
                      the losses still do has learnt its examples by heart; losses that fall to the very end would have gained by more \
                      epochs."
            .into(),
        body: course(epochs, names),
    })
}

/// Charts of the loss terms, of the validation and of the learning rate, and how it ended.
pub(super) fn course(epochs: &[EpochFigures], names: [&str; 2]) -> Markup {
    let best = epochs.iter().rev().find(|epoch| epoch.best);
    let mark = best.map(|epoch| Mark { x: epoch.epoch, label: format!("best: {}", epoch.epoch) });
    Markup::of(|html| {
        html.element("div", &[("class", "charts")], |charts| {
            charts.append(&chart("Loss terms", "mean of the epoch", epochs, &terms(epochs), mark.as_ref()));
            let sum = one("weighted sum", epochs, |epoch| epoch.loss, 0);
            charts.append(&chart("Loss", "mean of the epoch", epochs, &[sum], mark.as_ref()));
            let validation = [
                one(names[0], epochs, |epoch| epoch.validation_ap50, 0),
                one(names[1], epochs, |epoch| epoch.validation_ap, 1),
                one("point IoU", epochs, |epoch| epoch.validation_point_iou, 2),
            ];
            charts.append(&chart("Validation", "on the validation block", epochs, &validation, mark.as_ref()));
            let rate = one("learning rate", epochs, |epoch| epoch.learning_rate, 0);
            charts.append(&chart("Learning rate", "at the end of the epoch", epochs, &[rate], None));
        });
        html.leaf("p", &[("class", "note")], &ending(epochs, best));
    })
}

/// A line for each term that any epoch has.
fn terms(epochs: &[EpochFigures]) -> Vec<Series> {
    let names: BTreeSet<&String> = epochs.iter().flat_map(|epoch| epoch.terms.keys()).collect();
    let line = |(color, name): (usize, &String)| one(name, epochs, |epoch| epoch.terms.get(name).copied(), color);
    names.into_iter().enumerate().map(line).collect()
}

/// The line of one figure over the epochs that have it.
fn one(name: &str, epochs: &[EpochFigures], figure: impl Fn(&EpochFigures) -> Option<f64>, color: usize) -> Series {
    let points = epochs.iter().filter_map(|epoch| Some((epoch.epoch, figure(epoch)?))).collect();
    Series { name: name.to_owned(), points, color }
}

/// A chart over the epochs; nothing where there is no point to draw.
fn chart(title: &str, label: &str, epochs: &[EpochFigures], series: &[Series], mark: Option<&Mark>) -> Markup {
    let series: Vec<Series> = series.iter().filter(|line| !line.points.is_empty()).cloned().collect();
    let (Some(first), Some(last), false) = (epochs.first(), epochs.last(), series.is_empty()) else {
        return Markup::new();
    };
    let x = Axis::linear("epoch", first.epoch.min(1.0), last.epoch);
    let y = Axis::from_zero(label, series.iter().flat_map(|line| &line.points).map(|(_, y)| *y));
    lines(title, &x, &y, &series, mark)
}

fn ending(epochs: &[EpochFigures], best: Option<&EpochFigures>) -> String {
    let kept = match best {
        Some(best) => format!("the weights of epoch {} are kept, the best by validation", best.epoch),
        None => "nothing was validated, so the last weights are kept".to_owned(),
    };
    let seconds: f64 = epochs.iter().filter_map(|epoch| epoch.seconds).sum();
    format!("{} epochs were trained in {seconds:.0} s; {kept}.", epochs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: usize, terms: &[(&str, f64)], ap: Option<f64>) -> EpochFigures {
        EpochFigures {
            epoch: number as f64,
            terms: terms.iter().map(|(name, mean)| ((*name).to_owned(), *mean)).collect(),
            loss: Some(1.0),
            learning_rate: None,
            validation_ap: ap,
            validation_ap50: None,
            validation_point_iou: None,
            best: ap.is_some(),
            seconds: Some(1.5),
        }
    }

    #[test]
    fn every_term_has_a_line_even_if_it_comes_late() {
        let epochs = [epoch(1, &[("giou", 0.5)], None), epoch(2, &[("class", 1.0), ("giou", 0.25)], Some(0.5))];
        let series = terms(&epochs);
        assert_eq!((series[0].name.as_str(), series[0].points.len(), series[0].color), ("class", 1, 0));
        assert_eq!((series[1].name.as_str(), series[1].points.len(), series[1].color), ("giou", 2, 1));
        let told = ending(&epochs, Some(&epochs[1]));
        assert!(told.contains("2 epochs were trained in 3 s") && told.contains("epoch 2 are kept"), "{told}");
    }

    #[test]
    fn a_figure_that_nobody_measured_has_no_chart() {
        let epochs = [epoch(1, &[], None), epoch(2, &[], None)];
        let nothing = one("AP", &epochs, |epoch| epoch.validation_ap, 0);
        assert_eq!(chart("Validation", "AP", &epochs, &[nothing], None), Markup::new());
    }
}
