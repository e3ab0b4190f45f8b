//! The frames on which the student is most wrong, beside what is true and what the teachers say.

use super::Section;
use crate::{
    distill::{
        evaluate::Role,
        report::{
            comparison::{ComparedFrame, Comparison, Gallery, ShownBox},
            markup::{Markup, pixels},
        },
    },
    geometry::Box2,
    metrics::Verdict,
};

/// Letters are this share of the picture's width high: readable on a phone, not in the way on a wide screen.
const LETTERS: f64 = 1.0 / 26.0;
/// Width of an average letter as a share of its height.
const LETTER_WIDTH: f64 = 0.58;

/// The frames, or why there are none.
pub(super) fn section(gallery: &Gallery) -> Section {
    match gallery {
        Gallery::LeftOut(reason) => left_out(reason),
        Gallery::Shown(comparison) => shown(how_to_read(comparison), frames(comparison)),
    }
}

/// The section when there is nothing to show.
pub(super) fn left_out(reason: &str) -> Section {
    let text = format!("There is no gallery: {reason}");
    let note = Markup::of(|html| {
        html.leaf("p", &[("class", "note")], &text);
    });
    shown(String::new(), note)
}

/// The section with this in it.
pub(super) fn shown(how_to_read: String, body: Markup) -> Section {
    Section { id: "gallery", title: "Where it is wrong", how_to_read, body }
}

fn how_to_read(comparison: &Comparison) -> String {
    let judge = if comparison.by_labels { "the labels" } else { "what the teachers agreed on" };
    format!(
        "The frames of the test block on which the student differs most from {judge}, the worst first, out of {} that were compared. \
         Every model is shown with the boxes that it is sure enough of to report on a robot.",
        comparison.compared
    )
}

fn frames(comparison: &Comparison) -> Markup {
    Markup::of(|html| {
        html.element("ul", &[("class", "legend")], |list| {
            for (class, meaning) in [
                ("truth", "truth"),
                ("unsure", "doubtful truth, or a box on it: counts neither way"),
                ("hit", "found"),
                ("false", "false alarm"),
                ("missed", "missed"),
            ] {
                list.element("li", &[], |item| {
                    item.leaf("span", &[("class", &format!("key {class}"))], "");
                    item.text(meaning);
                });
            }
        });
        html.element("div", &[("class", "frames")], |list| {
            for (number, frame) in comparison.frames.iter().enumerate() {
                show(list, number, frame, comparison);
            }
        });
        if comparison.frames.is_empty() {
            html.leaf("p", &[("class", "note")], "No frame of the test block could be read.");
        }
    })
}

fn show(list: &mut Markup, number: usize, frame: &ComparedFrame, comparison: &Comparison) {
    let id = format!("frame-{number}");
    list.element("div", &[("class", "frame")], |html| {
        html.element("p", &[], |line| {
            line.leaf("strong", &[], &format!("{}. {}", number + 1, summary(frame)));
            line.text(&format!(" – frame {} of {} ({})", frame.index, frame.recording_name, frame.name));
        });
        // Once for all panels, which only refer to it.
        let (width, height) = (frame.size.0.to_string(), frame.size.1.to_string());
        html.element("svg", &[("class", "store"), ("aria-hidden", "true")], |svg| {
            svg.element("defs", &[], |defs| {
                defs.void(
                    "image",
                    &[
                        ("id", &id),
                        ("width", &width),
                        ("height", &height),
                        ("preserveAspectRatio", "none"),
                        ("href", &frame.picture),
                    ],
                );
            });
        });
        // Rows that are full: 2 and 4 panels stand in pairs, others in threes.
        let across = if matches!(comparison.models.len() + 1, 2 | 4) { "panels across2" } else { "panels across3" };
        html.element("div", &[("class", across)], |panels| {
            panel(panels, "truth", &id, frame, |svg| truth(svg, frame, comparison));
            for (model, (name, role)) in comparison.models.iter().enumerate() {
                let caption = if *role == Role::Student { name.clone() } else { format!("{name} (teacher)") };
                panel(panels, &caption, &id, frame, |svg| found(svg, frame, model, comparison));
            }
        });
    });
}

/// What the student did wrong, in words.
fn summary(frame: &ComparedFrame) -> String {
    if frame.found.is_empty() {
        return String::new();
    }
    mistakes(frame.missed(0).count(), frame.false_alarms(0).count())
}

/// Misses and false alarms in words.
pub(super) fn mistakes(missed: usize, false_alarms: usize) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let wrong = [count(missed, "missed", "missed"), count(false_alarms, "false alarm", "false alarms")];
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    if wrong.is_empty() { "all found".to_owned() } else { wrong.join(", ") }
}

fn panel(panels: &mut Markup, caption: &str, picture: &str, frame: &ComparedFrame, content: impl FnOnce(&mut Markup)) {
    panels.element("figure", &[], |figure| {
        figure.leaf("figcaption", &[], caption);
        let view = format!("0 0 {} {}", frame.size.0, frame.size.1);
        let title = format!("Frame {}, {caption}", frame.index);
        figure.element(
            "svg",
            &[("viewBox", &view), ("role", "img"), ("aria-label", &title), ("class", "picture")],
            |svg| {
                svg.leaf("title", &[], &title);
                svg.void("use", &[("href", &format!("#{picture}"))]);
                content(svg);
            },
        );
    });
}

fn truth(svg: &mut Markup, frame: &ComparedFrame, comparison: &Comparison) {
    for truth in &frame.truth {
        let kind = if truth.required { "truth" } else { "unsure" };
        let name = class_name(comparison, truth.class);
        let label = truth.score.map_or_else(|| name.to_owned(), |score| format!("{name} {score:.2}"));
        draw(svg, frame, &truth.bbox, kind, &label);
    }
}

fn found(svg: &mut Markup, frame: &ComparedFrame, model: usize, comparison: &Comparison) {
    for missed in frame.missed(model) {
        let label = format!("missed: {}", class_name(comparison, missed.class));
        draw(svg, frame, &missed.bbox, "missed", &label);
    }
    for ShownBox { bbox, class, score, verdict } in &frame.found[model] {
        let name = class_name(comparison, *class);
        let (kind, label) = match verdict {
            Verdict::Hit(_) => ("hit", format!("{name} {score:.2}")),
            Verdict::Ignored => ("unsure", format!("{name} {score:.2}")),
            Verdict::FalseAlarm => ("false", format!("false: {name} {score:.2}")),
        };
        draw(svg, frame, bbox, kind, &label);
    }
}

fn class_name(comparison: &Comparison, class: usize) -> &str {
    comparison.classes.get(class).map_or("?", String::as_str)
}

/// The height of a label's letters as a share of the picture's width: smaller where many boxes crowd.
fn letters(frame: &ComparedFrame) -> f64 {
    let most = frame.found.iter().map(Vec::len).chain([frame.truth.len()]).max().unwrap_or(0);
    LETTERS * (6.0 / most as f64).clamp(0.6, 1.0)
}

/// A box with its label above it, or inside where there is no room; lines stay thin at any size.
fn draw(svg: &mut Markup, frame: &ComparedFrame, bbox: &Box2, kind: &str, label: &str) {
    let (width, height) = (f64::from(frame.size.0), f64::from(frame.size.1));
    let inside = bbox.clip(frame.size.0 as f32, frame.size.1 as f32);
    let [left, top] = [inside.x_min, inside.y_min].map(f64::from);
    let (x, y) = (pixels(left), pixels(top));
    let (box_width, box_height) = (pixels(f64::from(inside.width())), pixels(f64::from(inside.height())));
    for class in ["halo".to_owned(), format!("box {kind}")] {
        svg.void(
            "rect",
            &[
                ("class", &class),
                ("x", &x),
                ("y", &y),
                ("width", &box_width),
                ("height", &box_height),
                ("vector-effect", "non-scaling-stroke"),
            ],
        );
    }
    let size = letters(frame) * width;
    let (plate_width, plate_height) = (size * (LETTER_WIDTH * label.chars().count() as f64 + 0.5), 1.3 * size);
    let plate_left = left.min(width - plate_width).max(0.0);
    let plate_top = if top >= plate_height { top - plate_height } else { top.min(height - plate_height).max(0.0) };
    let (x, y) = (pixels(plate_left), pixels(plate_top));
    let (plate_width, plate_height) = (pixels(plate_width), pixels(plate_height));
    let class = format!("plate {kind}");
    svg.void("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &plate_width), ("height", &plate_height)]);
    let (x, y) = (pixels(plate_left + 0.25 * size), pixels(plate_top + 0.98 * size));
    svg.leaf("text", &[("x", &x), ("y", &y), ("font-size", &pixels(size))], label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::report::comparison::tests::frame;

    fn comparison() -> Comparison {
        Comparison {
            models: vec![("student".into(), Role::Student), ("big".into(), Role::Teacher)],
            classes: vec!["<person>".into()],
            by_labels: false,
            compared: 87,
            frames: vec![frame(7, 1.25), frame(90, 1.25)],
            inheritance: None,
        }
    }

    #[test]
    fn every_model_is_shown_on_one_copy_of_the_picture() {
        let section = section(&Gallery::Shown(comparison()));
        let html = section.body.as_str();
        assert_eq!((html.matches("data:image/jpeg").count(), html.matches("<use href=\"#frame-0\"/>").count()), (2, 3));
        assert_eq!(html.matches("missed: &lt;person&gt;").count(), 2, "the student, once a frame");
        assert!(html.contains("false: &lt;person&gt; 0.50") && html.contains(">&lt;person&gt; 0.75<"), "{html}");
        assert!(html.contains("1. 1 missed, 1 false alarm") && html.contains("big (teacher)"), "{html}");
        assert!(section.how_to_read.contains("87"));
    }

    #[test]
    fn labels_stay_in_the_picture() {
        let frame = frame(0, 0.0);
        let svg = Markup::of(|svg| draw(svg, &frame, &Box2::new(80.0, -5.0, 130.0, 20.0), "hit", "a long name 0.50"));
        let svg = svg.as_str();
        assert!(svg.contains("x=\"80\" y=\"0\" width=\"20\" height=\"20\""), "{svg}");
        let plate = svg.split("plate hit\" x=\"").nth(1).unwrap();
        let x: f64 = plate.split('"').next().unwrap().parse().unwrap();
        assert!((0.0..63.0).contains(&x), "its end would stand out: {svg}");
    }

    #[test]
    fn a_missing_gallery_says_why() {
        let section = section(&Gallery::LeftOut("bag <x> is gone".into()));
        assert!(section.body.as_str().contains("no gallery: bag &lt;x&gt; is gone"));
    }
}
