//! The students of a ladder of compression: the front of those that no other beats, and what each step cost.

use super::{
    Section,
    table::{figure_table, folded},
};
use crate::distill::{
    compress::ladder::{Front, LadderPoint, PointFigures, PointState},
    report::{
        boards::pareto_front,
        chart::{Axis, Dot, Sign, scatter_with_front},
        folder::RunFolder,
        markup::Markup,
    },
    shell::quoted,
};

/// Colour of the students.
const STUDENT: usize = 0;
/// Colour of teachers, and of what else students are compared with.
const REFERENCE: usize = 1;

/// Students whose AP50 lies within this of each other are not told apart by it.
const CLOSE: f64 = 0.01;

/// The figure of accuracy that the charts show.
#[derive(Clone, Copy)]
struct Accuracy {
    /// What the axis calls it.
    label: &'static str,
    /// Why it is not AP50, where it is another.
    why: Option<&'static str>,
    /// The figure.
    of: fn(&PointFigures) -> Option<f64>,
}

/// The ladder that the run is a rung of; none when it is of none.
pub(super) fn section(folder: &RunFolder) -> Option<Section> {
    match folder.front.as_ref()? {
        Ok(front) => Some(of(front)),
        Err(reason) => {
            let text = format!("The ladder cannot be read: {reason}. The same distill compress writes it anew.");
            let body = Markup::of(|html| {
                html.leaf("p", &[("class", "note warning")], &text);
            });
            Some(Section { id: "compression", title: "Compression", how_to_read: String::new(), body })
        }
    }
}

/// Charts and tables of a ladder.
pub(in crate::distill::report) fn of(front: &Front) -> Section {
    let accuracy = accuracy(front);
    let body = Markup::of(|html| {
        let class = if front.chosen.is_some() { "note" } else { "note warning" };
        html.leaf("p", &[("class", class)], &format!("{}.", sentence(&front.verdict())));
        html.element("div", &[("class", "charts")], |charts| {
            let time = |figures: &PointFigures| figures.latency_ms;
            charts.append(&chart(
                front,
                "Accuracy over time",
                "milliseconds of the network (median, one thread)",
                time,
                accuracy,
            ));
            let size = |figures: &PointFigures| Some(figures.bytes as f64 / 1e3);
            charts.append(&chart(front, "Accuracy over size", "kilobytes of the file", size, accuracy));
        });
        if let Some(why) = accuracy.why {
            html.leaf("p", &[("class", "note")], why);
        }
        let marked = front.marked().and_then(|marked| front.points.iter().position(|point| point.name == marked.name));
        html.append(&figure_table(&front.table(), marked));
        html.leaf("p", &[("class", "note")], &front.notes());
        let steps = front.step_table();
        if !steps.rows.is_empty() {
            html.leaf("h3", &[], "What each step cost");
            let how = "Time and size as shares of those of the student that the step started from; average precision in points more (+) or \
                       less (-) than that one’s, on the validation block.";
            html.leaf("p", &[("class", "how")], how);
            html.append(&figure_table(&steps, None));
        }
        if !front.test.is_empty() {
            html.leaf("h3", &[], "On the test block");
            let name = front.marked().map(|marked| marked.name.as_str());
            let marked = front.test.iter().position(|model| Some(model.name.as_str()) == name);
            html.append(&figure_table(&front.test_table(), marked));
        }
        let left_out: Vec<&LadderPoint> = front.points.iter().filter(|point| point.reason.is_some()).collect();
        if !left_out.is_empty() {
            html.leaf("h3", &[], "Left out");
            html.element("ul", &[("class", "findings")], |list| {
                for point in left_out {
                    list.element("li", &[], |item| {
                        item.leaf("strong", &[], &point.name);
                        let state = if point.state == PointState::Refused { "refused" } else { "failed" };
                        item.text(&format!(" {state}: {}.", point.reason.as_deref().unwrap_or_default()));
                    });
                }
            });
        }
        html.append(&folded("How it was made", &origin(front)));
    });
    Section {
        id: "compression",
        title: "Compression",
        how_to_read: format!(
            "Students of several widths, inputs, cuts and precisions, all timed in turns on this machine ({}; {}). Higher is more accurate, \
             further left is faster or smaller; the dashed line joins the students that no other beats in both. The filled dot is the \
             {}.",
            front.machine.to_text(),
            front.machine.int8_text(),
            marked_words(front)
        ),
        body,
    }
}

/// The student that the filled dot stands for.
fn marked_words(front: &Front) -> &'static str {
    if front.chosen.is_some() { "chosen student" } else { "student that is least beyond the limits" }
}

/// AP50, by which students are chosen first; AP over all thresholds where AP50 is all but the same for all students.
fn accuracy(front: &Front) -> Accuracy {
    let students = front.points.iter().filter(|point| point.offered).filter_map(|point| point.figures.as_ref());
    let pairs: Option<Vec<(f64, f64)>> = students.map(|figures| figures.ap50.zip(figures.ap)).collect();
    let pairs = pairs.unwrap_or_default();
    let high = pairs.iter().map(|(ap50, _)| *ap50).fold(f64::NEG_INFINITY, f64::max);
    let low = pairs.iter().map(|(ap50, _)| *ap50).fold(f64::INFINITY, f64::min);
    // 1 - 0.99 is a little more than 0.01.
    if pairs.len() > 1 && high - low <= CLOSE + 1e-9 {
        let why = "The charts show AP at IoU 0.50:0.95, which asks for close boxes: AP50 of all students lies within 0.01 and does not tell \
                   them apart.";
        return Accuracy { label: "AP (IoU 0.50:0.95), validation block", why: Some(why), of: |figures| figures.ap };
    }
    Accuracy { label: "AP50, validation block", why: None, of: |figures| figures.ap50 }
}

/// Accuracy over a cost of the students and of what they are compared with.
fn chart(
    front: &Front,
    title: &str,
    label: &str,
    cost: fn(&PointFigures) -> Option<f64>,
    accuracy: Accuracy,
) -> Markup {
    let marked = front.marked().map(|point| point.name.as_str());
    let dot = |name: &str, figures: Option<&PointFigures>, color: usize, emphasis: bool| -> Option<Dot> {
        let figures = figures?;
        let x = cost(figures).filter(|value| *value > 0.0)?;
        Some(Dot { name: name.to_owned(), x, y: (accuracy.of)(figures)?, color, emphasis })
    };
    let student =
        |point: &LadderPoint| dot(&point.name, point.figures.as_ref(), STUDENT, marked == Some(point.name.as_str()));
    let mut dots: Vec<Dot> = front.points.iter().filter(|point| point.offered).filter_map(student).collect();
    let line = pareto_front(&dots.iter().map(|dot| (dot.x, dot.y)).collect::<Vec<_>>());
    // Names of all would cover the chart; the table has them.
    for (place, dot) in dots.iter_mut().enumerate() {
        if !dot.emphasis && !line.contains(&place) {
            dot.name.clear();
        }
    }
    let students = dots.len();
    let references = front.references.iter();
    dots.extend(references.filter_map(|other| dot(&other.name, Some(&other.figures), REFERENCE, false)));
    let x = Axis::logarithmic(label, dots.iter().map(|dot| dot.x));
    let y = Axis::shares(accuracy.label, dots.iter().map(|dot| dot.y));
    let legend = [
        (marked_words(front), Sign::Disc(STUDENT), dots.iter().any(|dot| dot.emphasis)),
        ("other students", Sign::Ring(STUDENT), dots[..students].iter().any(|dot| !dot.emphasis)),
        ("teachers and models to compare with", Sign::Ring(REFERENCE), dots.len() > students),
        ("beaten by no student in both", Sign::Front, line.len() > 1),
    ];
    let legend: Vec<(&str, Sign)> =
        legend.into_iter().filter(|entry| entry.2).map(|entry| (entry.0, entry.1)).collect();
    scatter_with_front(title, &x, &y, &dots, &line, &legend)
}

/// Words as a sentence begins.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// The command and what it changed.
fn origin(front: &Front) -> Markup {
    let words: Vec<String> = front.command.iter().map(|word| quoted(word)).collect();
    let mut lines = vec![words.join(" "), String::new(), format!("experiment: {}", front.experiment)];
    lines.push(format!("seed: {}", front.seed));
    lines.push(format!("distilled_perception {}", front.version));
    for (key, value) in &front.set {
        lines.push(format!("all: {key}={}", serde_json::to_string(value).unwrap_or_default()));
    }
    lines.extend(front.command_line_set.iter().map(|set| format!("all: {set}")));
    lines.extend(front.points.iter().map(|point| format!("{}: {}", point.name, point.bundle)));
    Markup::of(|html| {
        html.element("pre", &[], |pre| {
            pre.leaf("code", &[], &lines.join("\n"));
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::compress::ladder::example;

    #[test]
    fn the_front_and_the_cost_of_each_step_are_shown() {
        let section = of(&example());
        let html = section.body.as_str();
        // Four students have figures, one of them chosen, and one teacher; in two charts.
        assert_eq!((html.matches("dot c0").count(), html.matches("ring c0").count()), (2, 6));
        assert_eq!((html.matches("ring c1").count(), html.matches("class=\"front\"").count()), (2, 2));
        for words in [
            "Chosen: micro_int8.",
            "<tr class=\"student\"><td>chosen</td>",
            "<tr class=\"student\"><td>micro_int8</td><td>0.630</td>",
            "What each step cost",
            "AP50 pallet",
            "<strong>micro_time_50_int8_aware</strong> refused: loses &lt;3&gt; points.",
            "On the test block",
            "&#39;small &lt;1&gt;.yaml&#39;",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
        assert!(section.how_to_read.contains("the chosen student") && !html.contains("note warning"));
        let legend = ["disc c0\"></span>chosen student</li>", "hollow c0\"></span>other students</li>"];
        assert!(legend.iter().all(|item| html.matches(item).count() == 2), "{html}");
        assert!(html.contains(">AP50, validation block</text>") && !html.contains("IoU 0.50:0.95"), "{html}");
    }

    #[test]
    fn students_that_ap50_does_not_tell_apart_are_shown_by_ap() {
        let mut front = example();
        let charts = |front: &Front| {
            let html = of(front).body.as_str().to_owned();
            (html.matches(">AP (IoU 0.50:0.95), validation block</text>").count(), html.contains("within 0.01"))
        };
        for (place, point) in front.points.iter_mut().enumerate() {
            if let Some(figures) = &mut point.figures {
                figures.ap50 = Some(if place == 0 { 1.0 } else { 0.99 });
            }
        }
        assert_eq!(charts(&front), (2, true));
        // One that may not be chosen is not shown, and one whose AP is not known cannot be.
        front.points[0].figures.as_mut().unwrap().ap50 = Some(0.5);
        assert_eq!(charts(&front), (0, false));
        front.points[0].offered = false;
        assert_eq!(charts(&front), (2, true));
        front.points[1].figures.as_mut().unwrap().ap = None;
        assert_eq!(charts(&front), (0, false));
    }

    #[test]
    fn a_ladder_of_nothing_is_told() {
        let mut front = example();
        front.points.clear();
        front.references.clear();
        front.test.clear();
        front.choose();
        let section = of(&front);
        let html = section.body.as_str();
        assert!(html.contains("No student could be measured.") && html.contains("note warning"), "{html}");
        assert!(!html.contains("What each step cost") && !html.contains("NaN"));
    }
}
