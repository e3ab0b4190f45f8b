//! Dots with names.

use super::{Axis, BOTTOM, HEIGHT, LEFT, LETTER, Plot, RIGHT, TOP, WIDTH, color, figure};
use crate::distill::report::markup::{Markup, pixels};

/// Height of a line of text.
const LINE: f64 = 15.0;

/// One dot.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::distill::report) struct Dot {
    /// What is written beside it; nothing where it is empty.
    pub name: String,
    /// Its place.
    pub x: f64,
    /// Its place.
    pub y: f64,
    /// Its colour, by number.
    pub color: usize,
    /// The one that the chart is about: a large disc, where the others are rings.
    pub emphasis: bool,
}

/// A sign that a legend explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::distill::report) enum Sign {
    /// The disc of a [`Dot`] with emphasis, in the colour of this number.
    Disc(usize),
    /// The ring of another one.
    Ring(usize),
    /// The line of steps.
    Front,
}

impl Sign {
    fn class(self) -> String {
        match self {
            Self::Disc(number) => format!("disc {}", color(number)),
            Self::Ring(number) => format!("hollow {}", color(number)),
            Self::Front => "steps".to_owned(),
        }
    }
}

/// A rectangle of the chart in pixels: left, top, right, bottom.
type Area = [f64; 4];

/// A chart of dots. Names stand where they cover neither each other nor a dot, as far as there is room.
pub(in crate::distill::report) fn scatter(title: &str, x: &Axis, y: &Axis, dots: &[Dot]) -> Markup {
    scatter_with_front(title, x, y, dots, &[], &[])
}

/// A chart of dots with a line of steps under the dots at these places, from left to right: what lies on it is beaten by none. The legend
/// has a name for each sign.
pub(in crate::distill::report) fn scatter_with_front(
    title: &str,
    x: &Axis,
    y: &Axis,
    dots: &[Dot],
    front: &[usize],
    legend: &[(&str, Sign)],
) -> Markup {
    let plot = Plot { x, y };
    let places: Vec<(f64, f64)> = dots.iter().map(|dot| (plot.x(dot.x), plot.y(dot.y))).collect();
    let mut taken: Vec<Area> = places.iter().map(|&(x, y)| [x - 7.0, y - 7.0, x + 7.0, y + 7.0]).collect();
    let chart = plot.draw(title, |svg| {
        let path = steps(&front.iter().filter_map(|&dot| places.get(dot).copied()).collect::<Vec<_>>());
        if !path.is_empty() {
            svg.void("path", &[("class", "front"), ("d", &path)]);
        }
        // The one that the chart is about lies over the others, and its name takes its place first.
        let with = |emphasis: bool| dots.iter().zip(&places).filter(move |(dot, _)| dot.emphasis == emphasis);
        for (dot, &(x, y)) in with(false).chain(with(true)) {
            let (kind, radius) = if dot.emphasis { ("dot", "7") } else { ("ring", "5.5") };
            let class = format!("{kind} {}", color(dot.color));
            svg.void("circle", &[("class", &class), ("cx", &pixels(x)), ("cy", &pixels(y)), ("r", radius)]);
        }
        for (dot, &(x, y)) in with(true).chain(with(false)).filter(|(dot, _)| !dot.name.is_empty()) {
            let area = place(x, y, LETTER * dot.name.chars().count() as f64, &taken);
            taken.push(area);
            let class = if dot.emphasis { "name strong" } else { "name" };
            svg.leaf("text", &[("class", class), ("x", &pixels(area[0])), ("y", &pixels(area[3] - 4.0))], &dot.name);
        }
    });
    let legend: Vec<(&str, String)> = legend.iter().map(|(name, sign)| (*name, sign.class())).collect();
    figure(title, &chart, &legend)
}

/// A path to the right and then up to each of the places, which lie from left to right; none for a single one.
fn steps(places: &[(f64, f64)]) -> String {
    let [(x, y), rest @ ..] = places else { return String::new() };
    if rest.is_empty() {
        return String::new();
    }
    let further: String = rest.iter().map(|(x, y)| format!("H{}V{}", pixels(*x), pixels(*y))).collect();
    format!("M{} {}{further}", pixels(*x), pixels(*y))
}

/// Where a name of this width goes: right, left, above or below of its dot, the first that is free; else further down.
fn place(x: f64, y: f64, width: f64, taken: &[Area]) -> Area {
    let room = [LEFT, TOP - 8.0, WIDTH - RIGHT + 10.0, HEIGHT - BOTTOM];
    let at = |left: f64, middle: f64| [left, middle - LINE / 2.0, left + width, middle + LINE / 2.0];
    let centered = (x - width / 2.0).min(room[2] - width).max(room[0]);
    let mut choices = Vec::new();
    for step in 0..4 {
        let further = f64::from(step) * LINE;
        choices.extend([
            at(x + 11.0, y + further),
            at(x - 11.0 - width, y + further),
            at(centered, y - 16.0 - further),
            at(centered, y + 16.0 + further),
        ]);
    }
    let inside = |a: &Area| a[0] >= room[0] && a[1] >= room[1] && a[2] <= room[2] && a[3] <= room[3];
    let apart = |a: &Area, b: &Area| a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
    let free = |a: &&Area| inside(a) && taken.iter().all(|other| apart(a, other));
    choices.iter().find(free).copied().unwrap_or_else(|| at(centered, y - 16.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_cover_each_other() {
        let mut taken: Vec<Area> = Vec::new();
        for _ in 0..5 {
            let area = place(300.0, 100.0, 90.0, &taken);
            assert!(taken.iter().all(|o| area[2] <= o[0] || o[2] <= area[0] || area[3] <= o[1] || o[3] <= area[1]));
            assert!(area[0] >= LEFT && area[2] <= WIDTH && area[3] <= HEIGHT - BOTTOM, "{area:?}");
            taken.push(area);
        }
    }

    #[test]
    fn a_front_is_a_line_of_steps() {
        let dot = |x, y| Dot { name: "a".into(), x, y, color: 0, emphasis: false };
        let dots = [dot(1.0, 0.5), dot(2.0, 0.25), dot(2.0, 1.0)];
        let (x, y) = (Axis::linear("ms", 0.0, 2.0), Axis::linear("AP50", 0.0, 1.0));
        let legend = [("chosen <one>", Sign::Disc(0)), ("teachers", Sign::Ring(1)), ("beaten by none", Sign::Front)];
        let chart = |front: &[usize]| scatter_with_front("Front", &x, &y, &dots, front, &legend);
        let plot = Plot { x: &x, y: &y };
        let [left, right, low, high] = [plot.x(1.0), plot.x(2.0), plot.y(0.5), plot.y(1.0)].map(pixels);
        let path = format!("<path class=\"front\" d=\"M{left} {low}H{right}V{high}\"/>");
        assert!(chart(&[0, 2]).as_str().contains(&path), "{path}");
        let single = chart(&[2]);
        assert!(!single.as_str().contains("front"));
        for (class, name) in [("disc c0", "chosen &lt;one&gt;"), ("hollow c1", "teachers"), ("steps", "beaten by none")]
        {
            let item = format!("<span class=\"key {class}\"></span>{name}</li>");
            assert!(single.as_str().contains(&item), "{item}: {}", single.as_str());
        }
    }

    #[test]
    fn every_dot_has_its_name_and_none_covers_the_student() {
        let dot = |name: &str, x, emphasis| Dot { name: name.into(), x, y: 0.9, color: 0, emphasis };
        let dots = [dot("student", 0.3, true), dot("a <teacher>", 0.9, false), dot("", 0.3, false)];
        let x = Axis::logarithmic("M", dots.iter().map(|dot| dot.x));
        let html = scatter("Accuracy over size", &x, &Axis::linear("AP50", 0.0, 1.0), &dots);
        let html = html.as_str();
        assert_eq!((html.matches("class=\"dot c0\"").count(), html.matches("class=\"ring c0\"").count()), (1, 2));
        assert!(html.find("dot c0") > html.rfind("ring c0"), "the student is covered: {html}");
        assert!(!html.contains("></text>"), "{html}");
        assert!(html.contains(">student</text>") && html.contains(">a &lt;teacher&gt;</text>"), "{html}");
    }
}
