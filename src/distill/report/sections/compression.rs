//! The students of a ladder of compression: the front of those that no other beats, and what each step cost.

use super::{
    Section,
    table::{figure_table, folded},
};
use crate::distill::{
    compress::ladder::{Front, LadderPoint, PointFigures, PointState},
    report::{
        boards::pareto_front,
        chart::{Axis, Dot, scatter_with_front},
        folder::RunFolder,
        markup::Markup,
    },
    shell::quoted,
};

/// Colour of the students.
const STUDENT: usize = 0;
/// Colour of teachers, and of what else students are compared with.
const REFERENCE: usize = 1;

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
            ));
            let size = |figures: &PointFigures| Some(figures.bytes as f64 / 1e3);
            charts.append(&chart(front, "Accuracy over size", "kilobytes of the file", size));
        });
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
            html.append(&figure_table(&front.test_table(), Some(0)));
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
             further left is faster or smaller; the dashed line joins the students that no other beats in both. The filled dot is {}.",
            front.machine.to_text(),
            front.machine.int8_text(),
            if front.chosen.is_some() { "the chosen one" } else { "the one that is least beyond the limits" }
        ),
        body,
    }
}

/// AP50 over a figure of the students and of what they are compared with.
fn chart(front: &Front, title: &str, label: &str, figure: fn(&PointFigures) -> Option<f64>) -> Markup {
    let marked = front.marked().map(|point| point.name.as_str());
    let dot = |name: &str, figures: Option<&PointFigures>, color: usize, emphasis: bool| -> Option<Dot> {
        let figures = figures?;
        let x = figure(figures).filter(|value| *value > 0.0)?;
        Some(Dot { name: name.to_owned(), x, y: figures.ap50?, color, emphasis })
    };
    let student = |point: &LadderPoint| {
        let is_marked = marked == Some(point.name.as_str());
        // Names of all would cover the chart; the table has them.
        let name = if is_marked || point.on_front { point.name.as_str() } else { "" };
        dot(name, point.figures.as_ref(), STUDENT, is_marked)
    };
    let mut dots: Vec<Dot> = front.points.iter().filter(|point| point.offered).filter_map(student).collect();
    let line = pareto_front(&dots.iter().map(|dot| (dot.x, dot.y)).collect::<Vec<_>>());
    let references = front.references.iter();
    dots.extend(references.filter_map(|other| dot(&other.name, Some(&other.figures), REFERENCE, false)));
    let x = Axis::logarithmic(label, dots.iter().map(|dot| dot.x));
    let y = Axis::shares("AP50 on the validation block", dots.iter().map(|dot| dot.y));
    scatter_with_front(title, &x, &y, &dots, &line)
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
            "What each step cost",
            "AP50 pallet",
            "<strong>micro_time_50_int8_aware</strong> refused: loses &lt;3&gt; points.",
            "On the test block",
            "&#39;small &lt;1&gt;.yaml&#39;",
        ] {
            assert!(html.contains(words), "{words}: {html}");
        }
        assert!(section.how_to_read.contains("the chosen one") && !html.contains("note warning"));
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
