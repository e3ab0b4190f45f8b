//! Charts as inline SVG.
//!
//! Our own small writer and no charting crate: `plotters`, the usual one, puts fixed RGB values into every stroke, but here colours
//! must be CSS variables, or a page could not follow its reader's choice of light or dark. Axes, lines, dots and bars are all that is
//! asked for.
//!
//! A chart scales with its place (`viewBox`); it is drawn for the width of a phone so that its letters can be read there. Each has a
//! `<title>` that screen readers say. Legends are HTML below it, because only HTML breaks lines.

mod axis;
mod bars;
mod dots;
mod lines;
mod reliability;
mod rows;
mod scatter;

pub(super) use axis::Axis;
pub(super) use bars::{Bar, BarRow, bars};
pub(super) use dots::{DotPlot, DotRow};
pub(super) use lines::{Mark, Series, lines};
pub(super) use reliability::reliability;
pub(super) use scatter::{Dot, Sign, scatter, scatter_with_front};

use super::markup::{Markup, pixels};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;
/// Width of an average letter of the charts' 12-pixel text.
const LETTER: f64 = 6.6;
/// Colours of the style sheet, `c0` to `c7`.
const COLORS: usize = 8;

/// The class that gives a series its colour; a second round of the colours is dashed.
fn color(number: usize) -> String {
    let dashed = if number % (2 * COLORS) >= COLORS { " dashed" } else { "" };
    format!("c{}{dashed}", number % COLORS)
}

/// Two axes and the rectangle between them.
struct Plot<'a> {
    x: &'a Axis,
    y: &'a Axis,
}

impl Plot<'_> {
    /// Where a value stands, in pixels of the chart.
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.position(value) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a value stands; pixels grow downwards, values upwards.
    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.position(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// The chart with its grid, ticks and labels, and what `content` draws on it.
    fn draw(&self, title: &str, content: impl FnOnce(&mut Markup)) -> Markup {
        svg(title, (WIDTH, HEIGHT), |svg| {
            self.grid(svg);
            content(svg);
        })
    }

    fn grid(&self, svg: &mut Markup) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        bottom_axis(svg, self.x, Area { left: LEFT, top: TOP, right, bottom });
        for (value, label) in self.y.ticks() {
            let y = self.y(value);
            let at = pixels(y);
            svg.void(
                "line",
                &[("class", "grid"), ("x1", &pixels(LEFT)), ("x2", &pixels(right)), ("y1", &at), ("y2", &at)],
            );
            let (x, y) = (pixels(LEFT - 7.0), pixels(y + 4.0));
            svg.leaf("text", &[("class", "tick"), ("x", &x), ("y", &y), ("text-anchor", "end")], &label);
        }
        let middle = (TOP + bottom) / 2.0;
        let turn = format!("rotate(-90 13 {})", pixels(middle));
        let y = pixels(middle);
        svg.leaf(
            "text",
            &[("class", "axis"), ("x", "13"), ("y", &y), ("text-anchor", "middle"), ("transform", &turn)],
            self.y.label(),
        );
    }
}

/// The rectangle that is drawn in, in pixels of the chart.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

/// A chart's SVG element; `size` is its width and height.
fn svg(title: &str, size: (f64, f64), content: impl FnOnce(&mut Markup)) -> Markup {
    let view = format!("0 0 {} {}", pixels(size.0), pixels(size.1));
    Markup::of(|html| {
        html.element("svg", &[("viewBox", &view), ("role", "img"), ("aria-label", title), ("class", "chart")], |svg| {
            svg.leaf("title", &[], title);
            content(svg);
        });
    })
}

/// An axis along the bottom of an area: upright lines with their numbers below, and its label below these.
fn bottom_axis(svg: &mut Markup, axis: &Axis, area: Area) {
    let (upper, lower) = (pixels(area.top), pixels(area.bottom));
    let numbers = pixels(area.bottom + 17.0);
    for (value, label) in axis.ticks() {
        let x = pixels(area.left + axis.position(value) * (area.right - area.left));
        svg.void("line", &[("class", "grid"), ("x1", &x), ("x2", &x), ("y1", &upper), ("y2", &lower)]);
        svg.leaf("text", &[("class", "tick"), ("x", &x), ("y", &numbers), ("text-anchor", "middle")], &label);
    }
    let (x, y) = (pixels((area.left + area.right) / 2.0), pixels(area.bottom + BOTTOM - 8.0));
    svg.leaf("text", &[("class", "axis"), ("x", &x), ("y", &y), ("text-anchor", "middle")], axis.label());
}

/// A chart with its heading and, where there is one, its legend: names and the classes of their colours.
fn figure(title: &str, chart: &Markup, legend: &[(&str, String)]) -> Markup {
    Markup::of(|html| {
        html.element("figure", &[], |figure| {
            figure.leaf("figcaption", &[], title);
            figure.append(chart);
            if !legend.is_empty() {
                figure.element("ul", &[("class", "legend")], |list| {
                    for (name, class) in legend {
                        list.element("li", &[], |item| {
                            item.leaf("span", &[("class", &format!("key {class}"))], "");
                            item.text(name);
                        });
                    }
                });
            }
        });
    })
}
