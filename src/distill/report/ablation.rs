//! An ablation as dot plots, in a page's section or as a picture of its own.

use super::{
    chart::{Axis, DotPlot, DotRow},
    markup::{Markup, pixels},
    page::SHEET,
};
use crate::distill::ablate::{Ablation, RunFigures, Spread, VariantResult};

/// Axes are at least this wide: values that are all the same still need one.
const LEAST_WIDTH: f64 = 0.01;
/// Where the picture's plots begin, below its headings.
const TOP: f64 = 58.0;
/// Height of the picture's last line.
const BOTTOM: f64 = 24.0;

/// AP at IoU 0.50:0.95 and AP50 of every seed of every variant.
pub(super) fn dot_plots(ablation: &Ablation) -> [DotPlot; 2] {
    [
        dot_plot(ablation, "AP (IoU 0.50:0.95)", |variant| variant.ap, |figures| figures.ap),
        dot_plot(ablation, "AP50", |variant| variant.ap50, |figures| figures.ap50),
    ]
}

fn dot_plot(
    ablation: &Ablation,
    title: &str,
    spread: fn(&VariantResult) -> Option<Spread>,
    figure: fn(&RunFigures) -> Option<f64>,
) -> DotPlot {
    let mut rows = Vec::with_capacity(ablation.variants.len());
    let mut values: Vec<f64> = Vec::new();
    for variant in &ablation.variants {
        let seeds = variant.runs.iter().filter_map(|run| Some((run.seed, figure(run.figures.as_ref()?)?)));
        let dots: Vec<(f64, String)> =
            seeds.map(|(seed, value)| (value, format!("{}, seed {seed}: {value:.3}", variant.name))).collect();
        let spread = spread(variant).map(|spread| (spread.mean, spread.deviation.unwrap_or(0.0)));
        values.extend(dots.iter().map(|(value, _)| *value));
        values.extend(spread.iter().flat_map(|(mean, deviation)| [mean - deviation, mean + deviation]));
        rows.push(DotRow { name: variant.name.clone(), strong: variant.baseline, dots, spread });
    }
    let low = values.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let high = values.iter().copied().reduce(f64::max).unwrap_or(1.0).max(low + LEAST_WIDTH);
    let mark = ablation.variants.iter().find(|variant| variant.baseline).and_then(spread).map(|spread| spread.mean);
    DotPlot { title: title.to_owned(), x: Axis::linear(title, low, high), rows, mark }
}

/// The dot plots side by side as an SVG file that needs nothing else. It follows the reader's choice of light or dark.
pub fn ablation_svg(ablation: &Ablation) -> String {
    let plots = dot_plots(ablation);
    let width: f64 = plots.iter().map(|plot| plot.size().0).sum();
    let height = TOP + plots[0].size().1 + BOTTOM;
    let (view, across, down) = (format!("0 0 {} {}", pixels(width), pixels(height)), pixels(width), pixels(height));
    let picture = Markup::of(|picture| {
        let attributes = [
            ("xmlns", "http://www.w3.org/2000/svg"),
            ("viewBox", view.as_str()),
            ("width", across.as_str()),
            ("height", down.as_str()),
            ("role", "img"),
            ("font-family", "system-ui, sans-serif"),
        ];
        picture.element("svg", &attributes, |svg| {
            svg.leaf("title", &[], &ablation.name);
            svg.style(SHEET);
            svg.void("rect", &[("class", "ground"), ("width", &across), ("height", &down)]);
            svg.element("g", &[("class", "chart"), ("font-size", "12")], |chart| {
                chart.leaf("text", &[("class", "name strong"), ("x", "16"), ("y", "24")], &ablation.name);
                let mut left = 0.0;
                for plot in &plots {
                    let (x, y) = (pixels(left + 16.0), pixels(TOP - 10.0));
                    chart.leaf("text", &[("class", "name"), ("x", &x), ("y", &y)], &plot.title);
                    let place = format!("translate({} {})", pixels(left), pixels(TOP));
                    chart.element("g", &[("transform", &place)], |inner| plot.draw(inner));
                    left += plot.size().0;
                }
                let note = "dots: seeds; stroke: mean ± one standard deviation; dashed: the baseline’s mean";
                chart.leaf("text", &[("x", "16"), ("y", &pixels(height - 10.0))], note);
            });
        });
    });
    format!("{}\n", picture.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::ablate::example;

    #[test]
    fn every_seed_is_a_dot_within_its_plot() {
        let ablation = example();
        let svg = ablation_svg(&ablation);
        // Eight runs have figures, in two plots; three variants have a spread of two strokes in each.
        assert_eq!(svg.matches("class=\"dot c0\"").count(), 16);
        assert_eq!(svg.matches("class=\"spread c1\"").count(), 12);
        assert_eq!(svg.matches("class=\"mark\"").count(), 2);
        let width = dot_plots(&ablation)[0].size().0;
        for circle in svg.split("cx=\"").skip(1) {
            let x: f64 = circle.split('"').next().unwrap().parse().unwrap();
            assert!((16.0..=width - 16.0).contains(&x), "{x}");
        }
        assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("shaky, seed 2: 0.410"));
        assert!(svg.contains("class=\"name strong\" x=\"16\" y=\"24\">kinds<") && !svg.contains("NaN"));
        let opened = ["<svg", "<text", "<title", "<circle", "<style", "<g "].map(|tag| svg.matches(tag).count());
        let closed = ["</svg>", "</text>", "</title>", "</circle>", "</style>", "</g>"];
        assert_eq!(opened, closed.map(|tag| svg.matches(tag).count()));
    }

    #[test]
    fn axes_hold_anything() {
        let mut ablation = example();
        ablation.variants.retain(|variant| variant.name == "broken");
        assert!(!ablation_svg(&ablation).contains("NaN"));
        ablation.variants.clear();
        assert!(!ablation_svg(&ablation).contains("NaN"));
    }
}
