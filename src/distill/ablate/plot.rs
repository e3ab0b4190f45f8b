//! An ablation as a picture: one row a variant, every seed a dot, mean and standard deviation as a bar.

use std::fmt::Write as _;

use super::{Ablation, RunFigures, Spread, VariantResult};

const LEFT: f64 = 180.0;
const PANEL: f64 = 320.0;
const GAP: f64 = 40.0;
const TOP: f64 = 64.0;
const ROW: f64 = 36.0;
const BOTTOM: f64 = 44.0;
/// About so many marks stand on an axis.
const MARKS: f64 = 5.0;

const STYLE: &str = "
  svg.ablation { --ground: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --dot: #0969da; --mean: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    svg.ablation { --ground: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --dot: #4493f8; --mean: #f0883e; }
  }
  svg.ablation text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  svg.ablation text.soft { fill: var(--soft); font-size: 11px; }
  svg.ablation .ground { fill: var(--ground); }
  svg.ablation .line { stroke: var(--line); stroke-width: 1; }
  svg.ablation .base { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
  svg.ablation .dot { fill: var(--dot); fill-opacity: 0.7; }
  svg.ablation .bar { stroke: var(--mean); stroke-width: 2; }
";

/// One figure of all variants.
struct Panel<'a> {
    title: &'a str,
    left: f64,
    low: f64,
    high: f64,
    step: f64,
    spread: fn(&VariantResult) -> Option<Spread>,
    figure: fn(&RunFigures) -> Option<f64>,
}

/// The picture as SVG, with AP at IoU 0.50:0.95 and AP50 side by side. It follows the reader's choice of light or dark.
pub fn svg(ablation: &Ablation) -> String {
    let rows = ablation.variants.len() as f64;
    let (width, height) = (LEFT + 2.0 * PANEL + GAP + 24.0, TOP + rows * ROW + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ablation\" role=\"img\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n",
        escape(&ablation.name)
    );
    let _ = writeln!(svg, "<text x=\"12\" y=\"24\">{}</text>", escape(&ablation.name));
    for (index, variant) in ablation.variants.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"12\" y=\"{}\">{}<title>{}</title></text>",
            middle(index) + 4.0,
            escape(&variant.name),
            escape(&variant.about)
        );
    }
    let panels = [
        Panel::new(ablation, "AP (IoU 0.50:0.95)", LEFT, |variant| variant.ap, |figures| figures.ap),
        Panel::new(ablation, "AP50", LEFT + PANEL + GAP, |variant| variant.ap50, |figures| figures.ap50),
    ];
    for panel in panels {
        panel.draw(ablation, &mut svg);
    }
    let _ = writeln!(
        svg,
        "<text class=\"soft\" x=\"12\" y=\"{}\">dots: seeds; bar: mean ± one standard deviation; dashed: the baseline's mean</text>",
        height - 8.0
    );
    svg.push_str("</svg>\n");
    svg
}

impl<'a> Panel<'a> {
    /// A panel whose axis holds everything that is drawn in it.
    fn new(
        ablation: &Ablation,
        title: &'a str,
        left: f64,
        spread: fn(&VariantResult) -> Option<Spread>,
        figure: fn(&RunFigures) -> Option<f64>,
    ) -> Self {
        let mut values: Vec<f64> = Vec::new();
        for variant in &ablation.variants {
            values.extend(variant.runs.iter().filter_map(|run| run.figures.as_ref()).filter_map(figure));
            if let Some(Spread { mean, deviation, .. }) = spread(variant) {
                let deviation = deviation.unwrap_or(0.0);
                values.extend([mean - deviation, mean + deviation]);
            }
        }
        let low = values.iter().copied().reduce(f64::min).unwrap_or(0.0);
        // Values that are all the same still need an axis.
        let high = values.iter().copied().reduce(f64::max).unwrap_or(1.0).max(low + 0.01);
        let step = round_step((high - low) / MARKS);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { title, left, low, high, step, spread, figure }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + PANEL * (value - self.low) / (self.high - self.low)
    }

    fn draw(&self, ablation: &Ablation, svg: &mut String) {
        let bottom = TOP + ablation.variants.len() as f64 * ROW;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", self.left, TOP - 16.0, self.title);
        let decimals = digits(self.step);
        let marks = ((self.high - self.low) / self.step).round() as usize;
        for mark in 0..=marks {
            let value = self.low + mark as f64 * self.step;
            let x = self.x(value);
            let _ = writeln!(
                svg,
                "<line class=\"line\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                 <text class=\"soft\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{value:.decimals$}</text>",
                bottom + 15.0
            );
        }
        let baseline = ablation.variants.iter().find(|variant| variant.baseline).and_then(self.spread);
        if let Some(baseline) = baseline {
            let x = self.x(baseline.mean);
            let _ = writeln!(svg, "<line class=\"base\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>");
        }
        for (index, variant) in ablation.variants.iter().enumerate() {
            self.draw_variant(variant, middle(index), svg);
        }
    }

    fn draw_variant(&self, variant: &VariantResult, y: f64, svg: &mut String) {
        if let Some(Spread { mean, deviation, .. }) = (self.spread)(variant) {
            let deviation = deviation.unwrap_or(0.0);
            let (left, right, x) = (self.x(mean - deviation), self.x(mean + deviation), self.x(mean));
            let _ = writeln!(
                svg,
                "<line class=\"bar\" x1=\"{left:.1}\" y1=\"{y}\" x2=\"{right:.1}\" y2=\"{y}\"/>\
                 <line class=\"bar\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\"/>",
                y - 8.0,
                y + 8.0
            );
        }
        for run in &variant.runs {
            if let Some(value) = run.figures.as_ref().and_then(self.figure) {
                let _ = writeln!(
                    svg,
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{y}\" r=\"4.5\"><title>{}, seed {}: {value:.3}</title></circle>",
                    self.x(value),
                    escape(&variant.name),
                    run.seed
                );
            }
        }
    }
}

/// Height of a variant's row, in its middle.
fn middle(row: usize) -> f64 {
    TOP + (row as f64 + 0.5) * ROW
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999).unwrap_or(10.0);
    factor * power
}

/// Decimals that tell marks of this distance apart.
fn digits(step: f64) -> usize {
    (-step.log10().floor()).max(0.0) as usize
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{super::result::tests::ablation, *};

    #[test]
    fn every_seed_is_a_dot_within_its_panel() {
        let ablation = ablation();
        let svg = svg(&ablation);
        // Eight runs have figures, in two panels; three variants have a bar of two lines in each.
        assert_eq!(svg.matches("class=\"dot\"").count(), 16);
        assert_eq!(svg.matches("class=\"bar\"").count(), 12);
        assert_eq!(svg.matches("class=\"base\"").count(), 2);
        for circle in svg.split("cx=\"").skip(1) {
            let x: f64 = circle.split('"').next().unwrap().parse().unwrap();
            let panel = if x < LEFT + PANEL + GAP / 2.0 { LEFT } else { LEFT + PANEL + GAP };
            assert!((panel..=panel + PANEL).contains(&x), "{x}");
        }
        assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("shaky, seed 2: 0.410"));
        assert!(svg.contains("&lt;hard&gt; &amp; co") && !svg.contains("NaN"));
        let opened = ["<svg", "<text", "<title", "<circle", "<style"].map(|tag| svg.matches(tag).count());
        let closed = ["</svg>", "</text>", "</title>", "</circle>", "</style>"].map(|tag| svg.matches(tag).count());
        assert_eq!(opened, closed);
    }

    #[test]
    fn axes_hold_anything() {
        let mut ablation = ablation();
        ablation.variants.retain(|variant| variant.name == "broken");
        assert!(!svg(&ablation).contains("NaN"));
        assert!((round_step(0.013) - 0.02).abs() < 1e-12);
        assert!((round_step(0.05) - 0.05).abs() < 1e-12);
        assert_eq!((digits(0.02), digits(0.5), digits(5.0)), (2, 1, 0));
    }
}
