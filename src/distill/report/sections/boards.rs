//! What the models cost on the boards that they shall run on.

use super::{
    Section,
    table::{Row, table},
};
use crate::{
    bench::{BenchReport, BenchedModel},
    distill::report::{
        boards::{Boards, Judged, pareto_front},
        chart::{Axis, Dot, scatter_with_front},
        figures::{dash, factor, milliseconds, share},
        markup::Markup,
    },
};

/// A chart and a table for each board; none without boards.
pub(super) fn section(boards: &Boards) -> Option<Section> {
    if boards.boards.is_empty() {
        return None;
    }
    let charts: Vec<Vec<Dot>> = boards.boards.iter().map(|board| dots(boards, board)).collect();
    // One pair of axes for all, so that boards can be compared with each other.
    let all = || charts.iter().flatten();
    let x = Axis::logarithmic("milliseconds from input to result (median)", all().map(|dot| dot.x));
    let y = Axis::shares(&boards.figure, all().map(|dot| dot.y));
    let body = Markup::of(|html| {
        html.element("div", &[("class", "charts")], |part| {
            for (board, dots) in boards.boards.iter().zip(&charts).filter(|(_, dots)| !dots.is_empty()) {
                part.append(&scatter_with_front(&board.board, &x, &y, dots, &front(dots), &[]));
            }
        });
        for (board, dots) in boards.boards.iter().zip(&charts) {
            html.leaf("h3", &[], &board.board);
            let machine =
                format!("{}. {}. {}.", board.machine.to_text(), board.machine.int8_text(), board.runtime_text());
            html.leaf("p", &[("class", "how")], &machine);
            if dots.is_empty() {
                let text = "None of the models that were measured here is one of this run’s, byte by byte; measure the run’s own \
                            files, such as its student.onnx.";
                html.leaf("p", &[("class", "note warning")], text);
            }
            html.append(&figures(boards, board));
        }
    });
    Some(Section {
        id: "boards",
        title: "On the boards",
        how_to_read: "Each dot is a model on that board, the filled one the student. Higher is more accurate, further left is faster. The \
                      dashed line joins those that no other model beats in both. Times hang on what else the board did meanwhile; the \
                      ratios to the first model were measured in turns and do not."
            .into(),
        body,
    })
}

/// The models of a board of which the run knows how accurate they are.
fn dots(boards: &Boards, board: &BenchReport) -> Vec<Dot> {
    let dot = |(color, model): (usize, &BenchedModel)| {
        let Judged { name, accuracy, student, .. } = boards.judged(model)?;
        let x = model.whole_ms.map(|times| times.p50).filter(|time| *time > 0.0)?;
        Some(Dot { name: name.clone(), x, y: (*accuracy)?, color, emphasis: *student })
    };
    board.models.iter().enumerate().filter_map(dot).collect()
}

fn front(dots: &[Dot]) -> Vec<usize> {
    pareto_front(&dots.iter().map(|dot| (dot.x, dot.y)).collect::<Vec<_>>())
}

/// All models of a board, known or not.
fn figures(boards: &Boards, board: &BenchReport) -> Markup {
    let header = [
        "model",
        boards.figure.as_str(),
        "time × the first",
        "quartiles",
        "ms p50",
        "ms p90",
        "ms p99",
        "network ms p50",
        "kB",
        "found per input",
    ]
    .map(str::to_owned);
    let row = |model: &BenchedModel| {
        let judged = boards.judged(model);
        let ratio = model.ratio.map(|ratio| ratio.whole);
        let cells = vec![
            judged.map_or_else(|| model.name.clone(), |judged| judged.name.clone()),
            share(judged.and_then(|judged| judged.accuracy)),
            ratio.map_or_else(dash, |ratio| factor(ratio.median)),
            ratio.map_or_else(dash, |ratio| format!("{:.3} to {:.3}", ratio.lower, ratio.upper)),
            milliseconds(model.whole_ms.map(|times| times.p50)),
            milliseconds(model.whole_ms.map(|times| times.p90)),
            milliseconds(model.whole_ms.map(|times| times.p99)),
            milliseconds(model.infer_ms.map(|times| times.p50)),
            format!("{:.1}", model.bytes as f64 / 1e3),
            format!("{:.1}", model.found_per_input),
        ];
        Row { cells, student: judged.is_some_and(|judged| judged.student) }
    };
    table(&header, &board.models.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bench::example_report, distill::report::boards::JudgedModels};

    fn boards() -> Boards {
        let judged = [("student", "aa", 0.9, true), ("teacher", "bb", 0.95, false), ("slow", "cc", 0.8, false)];
        let models = judged.map(|(name, sha256, accuracy, student)| Judged {
            sha256: vec![sha256.into()],
            name: name.into(),
            accuracy: Some(accuracy),
            student,
        });
        let measured = [("a", "bb", 8.0), ("b", "aa", 2.0), ("c", "cc", 30.0), ("foreign", "dd", 1.0)];
        let boards = vec![example_report("Pi <5>", &measured), example_report("Orin", &[("foreign", "dd", 1.0)])];
        Boards::of(boards, JudgedModels { figure: "AP50".into(), models: models.into() })
    }

    #[test]
    fn a_board_shows_what_the_run_knows_and_lists_the_rest() {
        let section = section(&boards()).unwrap();
        let html = section.body.as_str();
        // One chart: nothing is known of the other board's model.
        assert_eq!((html.matches("<svg").count(), html.matches("class=\"front\"").count()), (1, 1));
        assert_eq!((html.matches("dot c1").count(), html.matches("class=\"ring").count()), (1, 2));
        assert_eq!((html.matches("<tr class").count(), html.matches("class=\"student\"").count()), (5, 1));
        assert!(html.contains("<h3>Pi &lt;5&gt;</h3>") && html.contains("byte by byte"), "{html}");
        // The student takes a quarter of the first model's time, and is called as in the run.
        let row = "<td>student</td><td>0.900</td><td>0.25</td><td>0.219 to 0.281</td><td>2.00</td>";
        assert!(html.contains(row), "{html}");
        assert!(html.contains("<td>foreign</td><td>–</td>"), "{html}");
    }

    #[test]
    fn the_front_leaves_out_what_is_beaten() {
        let boards = boards();
        let dots = dots(&boards, &boards.boards[0]);
        let names: Vec<&str> = front(&dots).into_iter().map(|place| dots[place].name.as_str()).collect();
        assert_eq!(names, ["student", "teacher"]);
        assert!(section(&Boards::default()).is_none());
    }
}
