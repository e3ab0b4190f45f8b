//! Lying bars, of several parts where there are, with their figures behind them.

use super::{Axis, LETTER, WIDTH, color, figure, rows::Rows, svg};
use crate::distill::report::markup::{Markup, pixels};

const HEIGHT: f64 = 12.0;
/// From one bar of a row to the next.
const STEP: f64 = 15.0;
/// Between a bar and its label.
const GAP: f64 = 5.0;

/// A row of bars.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct BarRow {
    /// What stands above it.
    pub name: String,
    /// Its bars, one below the other.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct Bar {
    /// Length and colour, by number, of its parts from left to right.
    pub parts: Vec<(f64, usize)>,
    /// What is written behind it.
    pub label: String,
}

/// A chart of bars from 0. The legend names colours by their numbers.
pub(in crate::distill::report) fn bars(title: &str, x: &Axis, rows: &[BarRow], legend: &[(&str, usize)]) -> Markup {
    let most = rows.iter().map(|row| row.bars.len()).max().unwrap_or(0).max(1);
    let letters = rows.iter().flat_map(|row| &row.bars).map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let frame = Rows {
        x,
        count: rows.len(),
        height: STEP * most as f64,
        room: (GAP + LETTER * letters as f64).min(WIDTH / 2.0),
    };
    let chart = svg(title, (WIDTH, frame.whole_height()), |svg| {
        frame.draw(svg, rows.iter().map(|row| (row.name.as_str(), false)));
        for (place, row) in rows.iter().enumerate() {
            for (number, bar) in row.bars.iter().enumerate() {
                draw(svg, &frame, frame.top(place) + STEP * number as f64, bar);
            }
        }
    });
    let legend: Vec<(&str, String)> = legend.iter().map(|(name, number)| (*name, color(*number))).collect();
    figure(title, &chart, &legend)
}

fn draw(svg: &mut Markup, frame: &Rows<'_>, top: f64, bar: &Bar) {
    let mut end = 0.0;
    for &(length, number) in &bar.parts {
        let (left, right) = (frame.x(end), frame.x(end + length));
        end += length;
        if right > left {
            let class = format!("bar {}", color(number));
            let (x, y, width, height) = (pixels(left), pixels(top), pixels(right - left), pixels(HEIGHT));
            svg.void("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
        }
    }
    let (x, y) = (pixels(frame.x(end) + GAP), pixels(top + 10.0));
    svg.leaf("text", &[("class", "count"), ("x", &x), ("y", &y)], &bar.label);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_labels_have_room() {
        let bar = |parts: &[(f64, usize)], label: &str| Bar { parts: parts.to_vec(), label: label.into() };
        let rows = [
            BarRow { name: "<dark>".into(), bars: vec![bar(&[(30.0, 0), (0.0, 2), (70.0, 1)], "100 of them")] },
            BarRow { name: "bright".into(), bars: vec![bar(&[(50.0, 0)], "50"), bar(&[], "none")] },
        ];
        let html = bars("Errors", &Axis::linear("errors", 0.0, 100.0), &rows, &[("shared", 0), ("own", 1)]);
        let html = html.as_str();
        assert_eq!((html.matches("class=\"bar c0\"").count(), html.matches("class=\"bar c1\"").count()), (2, 1));
        assert!(!html.contains("bar c2") && html.contains("&lt;dark&gt;") && html.contains("</span>own"), "{html}");
        let attributes = |class: &str| {
            let element = html.split(&format!("class=\"{class}\" ")).nth(1).unwrap();
            let number = |name: &str| -> f64 {
                element.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            };
            (number("x"), number("width"))
        };
        let ((first, width), (second, _)) = (attributes("bar c0"), attributes("bar c1"));
        assert!((first + width - second).abs() < 0.2, "{html}");
        let label = html.split(">100 of them<").next().unwrap().rsplit(" x=\"").next().unwrap();
        let label: f64 = label.split('"').next().unwrap().parse().unwrap();
        assert!(label + 11.0 * LETTER <= WIDTH + 0.1, "{label}");
    }
}
