//! What a ladder found, as tables for people.

use std::fmt::Write as _;

use super::{Front, LadderPoint, Miss, PointFigures, PointState};
use crate::distill::figure_table::{FigureTable, figure};

impl Front {
    /// The result for people: all students, what each step cost, all on the test block, and how to read it.
    pub fn to_text(&self) -> String {
        let made = self.points.iter().filter(|point| point.state == PointState::Made).count();
        let mut text = format!("{}: {made} students of {}\n", self.name, self.experiment);
        let _ = writeln!(text, "{}\n{}", self.machine.to_text(), self.machine.int8_text());
        let _ = writeln!(text, "{}", self.table());
        let steps = self.step_table();
        if !steps.rows.is_empty() {
            let _ = writeln!(text, "{steps}");
        }
        if !self.test.is_empty() {
            let _ = writeln!(text, "{}", self.test_table());
        }
        for point in self.points.iter().filter(|point| point.reason.is_some()) {
            let state = if point.state == PointState::Refused { "refused" } else { "failed" };
            let _ = writeln!(text, "{state}: {}: {}", point.name, point.reason.as_deref().unwrap_or_default());
        }
        let _ = writeln!(text, "{}\n{}", self.notes(), self.verdict());
        text
    }

    /// A row a student, then one a reference.
    pub fn table(&self) -> FigureTable {
        let compared = self.compared_with.as_deref().unwrap_or("the first");
        let faster = format!("{compared} / time");
        let header =
            ["", "student", "ms", faster.as_str(), "kB", "k parameters", "MMAC", "AP", "AP50", "retention", "misses"];
        let mut table = FigureTable::new(2, &header);
        for point in &self.points {
            let misses: Vec<String> = point.misses.iter().map(Miss::to_text).collect();
            let misses = if point.figures.is_some() { misses.join(", ") } else { state(point).to_owned() };
            table.add(&[self.mark(point), &point.name], &figures(point.figures.as_ref(), misses));
        }
        for reference in &self.references {
            table.add(&["", &reference.name], &figures(Some(&reference.figures), String::new()));
        }
        table
    }

    /// What each step cost beside the student that it started from: time and size as shares of that one's, AP50 in points, that of each
    /// class, too, where there are several.
    pub fn step_table(&self) -> FigureTable {
        let steps = self.steps();
        let classes: Vec<&str> = match steps.first() {
            Some((_, own, _)) if own.per_class.len() > 1 => {
                own.per_class.iter().map(|class| class.class.as_str()).collect()
            }
            _ => Vec::new(),
        };
        let fixed = ["student", "what was done", "time", "size", "AP", "AP50"].map(str::to_owned);
        let header: Vec<String> =
            fixed.into_iter().chain(classes.iter().map(|class| format!("AP50 {class}"))).collect();
        let mut table = FigureTable::new(2, &header);
        for (point, own, source) in steps {
            let mut cells = vec![
                share(own.latency_ms, source.latency_ms),
                share(Some(own.bytes as f64), Some(source.bytes as f64)),
                points(own.ap, source.ap),
                points(own.ap50, source.ap50),
            ];
            for name in &classes {
                let of = |figures: &PointFigures| figures.per_class.iter().find(|class| class.class == *name)?.ap50;
                cells.push(points(of(own), of(source)));
            }
            let change = format!("{} (of {})", point.change, point.from.as_deref().unwrap_or_default());
            table.add(&[&point.name, &change], &cells);
        }
        table
    }

    /// The students and the teachers on the test block.
    pub fn test_table(&self) -> FigureTable {
        let names = self.test.first().map(|model| model.per_class.iter().map(|class| format!("AP50 {}", class.class)));
        let classes: Vec<String> = names.into_iter().flatten().collect();
        let classes = if classes.len() > 1 { classes } else { Vec::new() };
        let fixed = ["on the test block", "AP", "AP50"].map(str::to_owned);
        let header: Vec<String> = fixed.into_iter().chain(classes.iter().cloned()).collect();
        let mut table = FigureTable::new(1, &header);
        for model in &self.test {
            let mut cells = vec![figure(model.ap), figure(model.ap50)];
            if !classes.is_empty() {
                cells.extend(model.per_class.iter().map(|class| figure(class.ap50)));
            }
            table.add(&[&model.name], &cells);
        }
        table
    }

    /// How to read the tables.
    pub fn notes(&self) -> String {
        let compared = self.compared_with.as_deref().unwrap_or("the first");
        let yardstick = self.yardstick.as_ref().map_or_else(String::new, |yardstick| {
            format!(" retention: AP50 as a share of that of {} ({:.3}).", yardstick.name, yardstick.ap50)
        });
        let test = match self.test_frames {
            0 => String::new(),
            frames if self.test_truth.is_empty() => format!(" The test block ({frames} frames) has chosen nothing."),
            frames => format!(" The test block ({frames} frames; truth: {}) has chosen nothing.", self.test_truth),
        };
        format!(
            "AP on the validation block, {} frames; truth: {}.{yardstick} ms: the network alone on one thread, the median over {} rounds in \
             which all took turns; {compared} / time: how many times faster than {compared}, the median of the rounds' ratios. front: no \
             other is as fast, as small and as accurate.{test}",
            self.frames, self.truth, self.latency_rounds
        )
    }

    /// Which student is chosen, or by how much the nearest misses its limits.
    pub fn verdict(&self) -> String {
        if let Some(chosen) = &self.chosen {
            return format!("chosen: {chosen}");
        }
        match self.marked() {
            Some(point) => {
                let misses: Vec<String> = point.misses.iter().map(Miss::to_text).collect();
                format!("no student keeps all limits; the nearest is {}: {}", point.name, misses.join(", "))
            }
            None => "no student could be measured".to_owned(),
        }
    }

    fn mark(&self, point: &LadderPoint) -> &'static str {
        match Some(&point.name) {
            name if name == self.chosen.as_ref() => "chosen",
            name if name == self.nearest.as_ref() => "nearest",
            _ if point.on_front => "front",
            _ if !point.offered => "on the way",
            _ => "",
        }
    }
}

/// Why a student has no figures, in a word.
fn state(point: &LadderPoint) -> &'static str {
    match point.state {
        PointState::Refused => "refused",
        PointState::Failed => "failed",
        PointState::Made | PointState::NotMade => "not made",
    }
}

/// A row's figures, `misses` being the last.
fn figures(figures: Option<&PointFigures>, misses: String) -> Vec<String> {
    let dash = || "-".to_owned();
    let Some(own) = figures else {
        let mut cells = vec![dash(); 8];
        cells.push(misses);
        return cells;
    };
    vec![
        own.latency_ms.map_or_else(dash, |latency| format!("{latency:.2}")),
        own.speedup().map_or_else(dash, |times| format!("{times:.2}")),
        format!("{:.0}", own.bytes as f64 / 1e3),
        format!("{:.0}", own.parameters as f64 / 1e3),
        own.macs.map_or_else(dash, |macs| format!("{:.0}", macs as f64 / 1e6)),
        figure(own.ap),
        figure(own.ap50),
        own.retention.map_or_else(dash, |share| format!("{:.1} %", 100.0 * share)),
        misses,
    ]
}

/// A figure as a multiple of another one.
fn share(own: Option<f64>, source: Option<f64>) -> String {
    let pair = own.zip(source).filter(|(_, source)| *source > 0.0);
    pair.map_or_else(|| "-".to_owned(), |(own, source)| format!("x {:.2}", own / source))
}

/// A difference of average precision in points.
fn points(own: Option<f64>, source: Option<f64>) -> String {
    own.zip(source).map_or_else(|| "-".to_owned(), |(own, source)| format!("{:+.1}", 100.0 * (own - source)))
}

#[cfg(test)]
mod tests {
    use super::super::example::example;

    fn row(text: &str, start: &[&str]) -> Vec<String> {
        let cells =
            |line: &str| line.trim_matches('│').split('┆').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        text.lines().map(cells).find(|row| row.len() > start.len() && row[..start.len()] == *start).unwrap_or_default()
    }

    #[test]
    fn the_tables_tell_who_is_chosen_and_what_each_step_cost() {
        let text = example().to_text();
        assert_eq!(
            row(&text, &["chosen", "micro_int8"])[2..],
            ["1.80", "4.44", "400", "100", "93", "0.656", "0.875", "87.5 %", ""]
        );
        assert_eq!(row(&text, &["front", "micro"])[10], "size_kb 1200 > 500");
        assert_eq!(row(&text, &["", "micro_time_50_int8_aware"])[2..4], ["-", "-"]);
        assert_eq!(row(&text, &["", "yolox"])[2..4], ["8.00", "1.00"]);
        let pruned = row(&text, &["micro_time_50", "pruned to 50 % of the time, distilled (of micro)"]);
        assert_eq!(pruned[2..], ["x 0.95", "x 0.50", "-3.0", "-4.0", "-4.0", "-4.0"]);
        assert_eq!(row(&text, &["micro_int8", "0.630"])[2..], ["0.840", "0.890", "0.790"]);
        for words in [
            "AP50 pallet",
            "refused: micro_time_50_int8_aware: loses <3> points",
            "share of that of fused teachers (1.000)",
            "The test block (174 frames; truth: labels) has chosen nothing",
            "chosen: micro_int8",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn limits_that_nobody_keeps_are_told_with_the_nearest() {
        let mut front = example();
        front.constraints.size_kb = Some(100.0);
        for point in &mut front.points {
            point.misses = point.figures.iter().flat_map(|figures| front.constraints.misses(figures)).collect();
        }
        front.choose();
        let text = front.to_text();
        assert!(text.contains("the nearest is micro_time_50_int8: size_kb 200 > 100"), "{text}");
        assert!(!row(&text, &["nearest", "micro_time_50_int8"]).is_empty());
        front.points.clear();
        front.choose();
        assert_eq!(front.verdict(), "no student could be measured");
    }
}
