//! Lines over an axis: training over epochs, precision over recall.

use super::{Axis, BOTTOM, HEIGHT, LETTER, Plot, RIGHT, TOP, WIDTH, color, figure};
use crate::distill::report::markup::{Markup, pixels};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its points from left to right; what is not finite interrupts it.
    pub points: Vec<(f64, f64)>,
    /// Its colour, by number.
    pub color: usize,
}

/// A vertical line that marks a place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct Mark {
    /// Where.
    pub x: f64,
    /// What is there.
    pub label: String,
}

/// A chart of lines.
pub(in crate::distill::report) fn lines(
    title: &str,
    x: &Axis,
    y: &Axis,
    series: &[Series],
    mark: Option<&Mark>,
) -> Markup {
    let plot = Plot { x, y };
    let chart = plot.draw(title, |svg| {
        if let Some(mark) = mark {
            let at = plot.x(mark.x);
            let bottom = pixels(HEIGHT - BOTTOM);
            svg.void(
                "line",
                &[("class", "mark"), ("x1", &pixels(at)), ("x2", &pixels(at)), ("y1", &pixels(TOP)), ("y2", &bottom)],
            );
            let fits = at + 6.0 + LETTER * mark.label.chars().count() as f64 <= WIDTH - RIGHT;
            let (place, anchor) = if fits { (at + 5.0, "start") } else { (at - 5.0, "end") };
            let y = pixels(TOP + 11.0);
            svg.leaf(
                "text",
                &[("class", "label"), ("x", &pixels(place)), ("y", &y), ("text-anchor", anchor)],
                &mark.label,
            );
        }
        // The first one is what the chart is about, and is drawn over the others.
        for line in series.iter().rev() {
            draw(svg, &plot, line);
        }
    });
    let legend: Vec<(&str, String)> = series.iter().map(|line| (line.name.as_str(), color(line.color))).collect();
    figure(title, &chart, &legend)
}

fn draw(svg: &mut Markup, plot: &Plot<'_>, line: &Series) {
    let class = color(line.color);
    let mut path = String::new();
    let mut interrupted = true;
    for &(x, y) in &line.points {
        if !(x.is_finite() && y.is_finite()) {
            interrupted = true;
            continue;
        }
        path.push(if interrupted { 'M' } else { 'L' });
        path.push_str(&format!("{} {}", pixels(plot.x(x)), pixels(plot.y(y))));
        interrupted = false;
    }
    svg.void("path", &[("class", &format!("line {class}")), ("d", &path)]);
    // A line of one point is none.
    if let [(x, y)] = line.points[..]
        && x.is_finite()
        && y.is_finite()
    {
        let (x, y) = (pixels(plot.x(x)), pixels(plot.y(y)));
        svg.void("circle", &[("class", &format!("dot {class}")), ("cx", &x), ("cy", &y), ("r", "4")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_interrupts_the_line_and_names_are_escaped() {
        let points = vec![(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.0)];
        let series = [Series { name: "<giou>".into(), points, color: 9 }];
        let mark = Mark { x: 4.0, label: "best".into() };
        let (x, y) = (Axis::linear("epoch", 0.0, 4.0), Axis::linear("loss", 0.0, 1.0));
        let html = lines("Loss & more", &x, &y, &series, Some(&mark));
        let path = html.as_str().split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
        assert!(html.as_str().contains("&lt;giou&gt;") && html.as_str().contains("<title>Loss &amp; more</title>"));
        assert!(html.as_str().contains("line c1 dashed") && html.as_str().contains("text-anchor=\"end\">best"));
    }
}
