//! Dots along rows: every single value of several things, with its mean and spread (Cleveland's dot plot).

use super::{Axis, WIDTH, figure, rows::Rows, svg};
use crate::distill::report::markup::{Markup, pixels};

/// Height of a row below its name.
const HEIGHT: f64 = 20.0;
/// Half the height of the stroke at the mean.
const STROKE: f64 = 8.0;

/// A row of dots.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct DotRow {
    /// What stands above it.
    pub name: String,
    /// Whether it is what the others are compared with.
    pub strong: bool,
    /// Values, and what is said of each.
    pub dots: Vec<(f64, String)>,
    /// Mean and standard deviation.
    pub spread: Option<(f64, f64)>,
}

/// A chart of rows of dots.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct DotPlot {
    /// Its heading.
    pub title: String,
    /// The axis of all rows.
    pub x: Axis,
    /// The rows.
    pub rows: Vec<DotRow>,
    /// A value that all rows are compared with.
    pub mark: Option<f64>,
}

impl DotPlot {
    /// The chart with its heading.
    pub fn figure(&self) -> Markup {
        let chart = svg(&self.title, self.size(), |svg| self.draw(svg));
        figure(&self.title, &chart, &[])
    }

    /// Width and height of what [`Self::draw`] draws.
    pub fn size(&self) -> (f64, f64) {
        (WIDTH, self.frame().whole_height())
    }

    /// What is in the SVG: the first row at the top, the axis at the bottom.
    pub fn draw(&self, svg: &mut Markup) {
        let frame = self.frame();
        frame.draw(svg, self.rows.iter().map(|row| (row.name.as_str(), row.strong)));
        if let Some(value) = self.mark {
            frame.mark(svg, value);
        }
        for (place, row) in self.rows.iter().enumerate() {
            let middle = frame.top(place) + HEIGHT / 2.0;
            let y = pixels(middle);
            for (value, told) in &row.dots {
                let x = pixels(frame.x(*value));
                svg.element("circle", &[("class", "dot c0"), ("cx", &x), ("cy", &y), ("r", "5")], |dot| {
                    dot.leaf("title", &[], told);
                });
            }
            // Over the dots, or one that lies at the mean would hide it.
            if let Some((mean, deviation)) = row.spread {
                let (low, high) = (pixels(frame.x(mean - deviation)), pixels(frame.x(mean + deviation)));
                let (x, upper, lower) = (pixels(frame.x(mean)), pixels(middle - STROKE), pixels(middle + STROKE));
                for [x1, x2, y1, y2] in [[&low, &high, &y, &y], [&x, &x, &upper, &lower]] {
                    svg.void("line", &[("class", "spread c1"), ("x1", x1), ("x2", x2), ("y1", y1), ("y2", y2)]);
                }
            }
        }
    }

    fn frame(&self) -> Rows<'_> {
        Rows { x: &self.x, count: self.rows.len(), height: HEIGHT, room: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_a_dot_and_every_spread_two_strokes() {
        let row = |name: &str, values: &[f64], spread| DotRow {
            name: name.into(),
            strong: false,
            dots: values.iter().map(|value| (*value, format!("<{value}>"))).collect(),
            spread,
        };
        let rows = vec![row("a & b", &[0.25, 0.5], Some((0.375, 0.125))), row("nothing", &[], None)];
        let plot = DotPlot { title: "AP".into(), x: Axis::linear("AP", 0.0, 1.0), rows, mark: Some(0.375) };
        let html = plot.figure();
        let html = html.as_str();
        let count = |part: &str| html.matches(part).count();
        assert_eq!((count("<circle"), count("class=\"spread c1\""), count("class=\"mark\"")), (2, 2, 1));
        // The axis is 408 wide and begins at 16.
        assert!(html.contains("cx=\"118\"") && html.contains("cx=\"220\"") && html.contains("&lt;0.25&gt;"), "{html}");
        assert!(html.contains(">a &amp; b</text>") && html.contains("viewBox=\"0 0 440 131\""), "{html}");
    }
}
