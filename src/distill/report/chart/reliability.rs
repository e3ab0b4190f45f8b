//! Whether scores come true: the reliability diagram (Guo et al. 2017).

use super::{Axis, Plot, color, figure};
use crate::{
    distill::report::markup::{Markup, pixels},
    metrics::Calibration,
};

/// Bars of the share that is right by score, the line on which they should end, and how many detections each bar stands for.
pub(in crate::distill::report) fn reliability(title: &str, calibration: &Calibration, number: usize) -> Markup {
    let (x, y) = (Axis::linear("score", 0.0, 1.0), Axis::linear("share that is right", 0.0, 1.0));
    let plot = Plot { x: &x, y: &y };
    let bins = calibration.bins.len() as f64;
    let chart = plot.draw(title, |svg| {
        let mut counts = Markup::new();
        for (index, bin) in calibration.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            let (left, right) = (plot.x(index as f64 / bins) + 1.5, plot.x((index + 1) as f64 / bins) - 1.5);
            let (top, bottom) = (plot.y(bin.precision), plot.y(0.0));
            let class = format!("bar {}", color(number));
            let (width, height) = (pixels(right - left), pixels((bottom - top).max(1.0)));
            let y = pixels(top.min(bottom - 1.0));
            svg.void(
                "rect",
                &[("class", &class), ("x", &pixels(left)), ("y", &y), ("width", &width), ("height", &height)],
            );
            let (x, y) = (pixels((left + right) / 2.0), pixels(top - 4.0));
            counts.leaf(
                "text",
                &[("class", "count"), ("x", &x), ("y", &y), ("text-anchor", "middle")],
                &short(bin.count),
            );
        }
        let ends = [plot.x(0.0), plot.y(0.0), plot.x(1.0), plot.y(1.0)].map(pixels);
        let [x1, y1, x2, y2] = &ends;
        svg.void("line", &[("class", "mark"), ("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)]);
        // Over the line, so that they can be read where it passes.
        svg.append(&counts);
    });
    figure(title, &chart, &[])
}

/// A count that fits over a bar.
fn short(count: usize) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_there_are_detections() {
        let claims = [(0.95, 1.0), (0.92, 1.0), (0.15, 0.0)];
        let html = reliability("Student", &Calibration::of(claims.into_iter()), 0);
        let html = html.as_str();
        assert_eq!(html.matches("class=\"bar c0\"").count(), 2, "{html}");
        assert!(html.contains(">2</text>") && html.contains(">1</text>"), "{html}");
        assert_eq!([short(9), short(12_345), short(2_500_000)], ["9", "12k", "2M"]);
    }
}
