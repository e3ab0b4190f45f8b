//! An audit as text for people: what stands out first, then the tables behind it.

use std::fmt::Write as _;

use super::{
    Audit, Dependence, Factor, JudgedBy, Trend, TruthFigures,
    verdict::{ENOUGH, percent},
};
use crate::distill::figure_table::{FigureTable, figure};

impl Audit {
    /// What was looked at and who judged, in one line.
    pub fn summary(&self) -> String {
        let truth = match self.truth_frames {
            0 => "no truth".to_owned(),
            frames => format!("truth for {frames} of them with {} objects", self.truths),
        };
        let judge = match self.judged_by {
            JudgedBy::Truth => "truth judges",
            JudgedBy::Agreement if self.teachers.len() < 2 => "nobody can judge",
            JudgedBy::Agreement => "the teachers judge each other; what all get wrong stays hidden",
        };
        format!(
            "{} {} on {} frames of {} ({truth}): {judge}",
            self.teachers.len(),
            if self.teachers.len() == 1 { "teacher" } else { "teachers" },
            self.frames,
            self.recordings.join(", ")
        )
    }

    /// The findings, one a line.
    pub fn verdicts(&self) -> Vec<String> {
        if self.findings.is_empty() {
            return vec!["nothing stands out".to_owned()];
        }
        self.findings.iter().map(|finding| finding.text.clone()).collect()
    }

    /// The whole audit for people.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n\nWhat stands out:\n", self.summary());
        for line in self.verdicts() {
            let _ = writeln!(text, "  - {line}");
        }
        let score = self.options.confident_score;
        let _ = writeln!(
            text,
            "\nTeachers. Stands by: boxes of a score of at least {score}. Confirmed: of these, the share of the other teachers who have \
             a box\nof the same class there. Found: of what most of the others agree on. ECE: how far scores are from the share of \
             right boxes."
        );
        push(&mut text, &self.teachers_table());
        text.push_str("\nClass by class. AP50, precision and recall need truth.\n");
        push(&mut text, &self.classes_table());
        text.push_str(
            "\nAre scores what they say? Share of right boxes among those of each score; in brackets how many.\n",
        );
        push(&mut text, &self.calibration_table());
        text.push_str("\nWhat does it depend on? Share of boxes that others confirm, in the picture or object from low to high.\n");
        push(&mut text, &self.dependence_table());
        text.push_str("\nDoes it change over a recording? From its beginning to its end, with the standard error.\n");
        push(&mut text, &self.drift_table());
        let table = self.class_conditions_table();
        if !table.rows.is_empty() {
            text.push_str(
                "\nThe same of single classes: the largest change over any recording, and where others confirm the fewest boxes.\n",
            );
            push(&mut text, &table);
        }
        for teacher in &self.teachers {
            if let Some(truth) = &teacher.truth {
                let _ = writeln!(text, "\nWhat {} calls what is really there.", teacher.name);
                push(&mut text, &self.confusion_table(truth));
            }
        }
        text
    }

    /// A row a teacher.
    pub fn teachers_table(&self) -> FigureTable {
        let mut table = FigureTable::new(
            1,
            &["teacher", "boxes", "stands by", "confirmed", "found", "ECE", "AP", "AP50", "trust", "proposed"],
        );
        for teacher in &self.teachers {
            let truth = teacher.truth.as_ref();
            table.add(
                &[&teacher.name],
                &[
                    teacher.detections.to_string(),
                    teacher.confident.to_string(),
                    share(teacher.agreement),
                    share(teacher.agreed_recall),
                    figure(teacher.calibration.ece),
                    figure(truth.and_then(|truth| truth.ap)),
                    figure(truth.and_then(|truth| truth.ap50)),
                    format!("{:.2}", teacher.trust),
                    teacher.proposed_trust.map_or("-".to_owned(), |trust| format!("{trust:.2}")),
                ],
            );
        }
        table
    }

    /// A row a teacher and class.
    pub fn classes_table(&self) -> FigureTable {
        let mut table = FigureTable::new(
            2,
            &[
                "teacher",
                "class",
                "boxes",
                "stands by",
                "confirmed",
                "mean IoU",
                "found",
                "ECE",
                "AP50",
                "precision",
                "recall",
            ],
        );
        for teacher in &self.teachers {
            for class in &teacher.classes {
                let of_class =
                    |truth: &TruthFigures| truth.per_class.iter().find(|figures| figures.class == class.class)?.ap50;
                table.add(
                    &[&teacher.name, &class.class],
                    &[
                        class.detections.to_string(),
                        class.confident.to_string(),
                        share(class.agreement),
                        figure(class.mean_iou),
                        share(class.agreed_recall),
                        figure(class.ece),
                        figure(teacher.truth.as_ref().and_then(of_class)),
                        share(class.precision),
                        share(class.recall),
                    ],
                );
            }
        }
        table
    }

    fn calibration_table(&self) -> FigureTable {
        let bins = self.teachers.first().map_or(0, |teacher| teacher.calibration.bins.len());
        let edge = |bin: usize| bin as f64 / bins as f64;
        let mut header = vec!["score".to_owned()];
        header.extend((0..bins).map(|bin| format!("{:.1}-{:.1}", edge(bin), edge(bin + 1))));
        let mut table = FigureTable::new(1, &header);
        for teacher in &self.teachers {
            let cells: Vec<String> = teacher
                .calibration
                .bins
                .iter()
                .map(|bin| match bin.count {
                    0 => "-".to_owned(),
                    count => format!("{:.2} ({count})", bin.precision),
                })
                .collect();
            table.add(&[&teacher.name], &cells);
        }
        table
    }

    fn dependence_table(&self) -> FigureTable {
        let mut table = FigureTable::new(3, &["teacher", "by", "range: confirmed (boxes)"]);
        for teacher in &self.teachers {
            for dependence in &teacher.dependence {
                table.add(&[&teacher.name, dependence.factor.name(), &words(dependence)], &[]);
            }
        }
        table
    }

    /// A row a teacher and recording: how its scores and counts change from beginning to end.
    pub fn drift_table(&self) -> FigureTable {
        let mut table = FigureTable::new(
            2,
            &["teacher", "recording", "mean score", "boxes in a frame", "boxes in a frame beside the others"],
        );
        for teacher in &self.teachers {
            for drift in &teacher.drift {
                let recording = self.recordings.get(drift.source).map_or("", String::as_str);
                let cells = [drift.score, drift.count, drift.excess].map(change);
                table.add(&[&teacher.name, recording], &cells);
            }
        }
        table
    }

    /// A row a class of each teacher that knows several: its largest changes, and the range of a condition in which the fewest of its
    /// boxes are confirmed. No rows in audits of earlier versions.
    pub fn class_conditions_table(&self) -> FigureTable {
        let header =
            ["teacher", "class", "mean score", "boxes in a frame beside the others", "fewest confirmed (boxes)"];
        let mut table = FigureTable::new(2, &header);
        for teacher in self.teachers.iter().filter(|teacher| teacher.classes.len() > 1) {
            for class in teacher.classes.iter().filter(|class| class.calibration.is_some()) {
                let cells = [
                    change(largest(class.drift.iter().filter_map(|drift| drift.score))),
                    change(largest(class.drift.iter().filter_map(|drift| drift.excess))),
                    fewest_confirmed(&class.dependence),
                ];
                table.add(&[&teacher.name, &class.class], &cells);
            }
        }
        table
    }

    /// A row a true class: what a teacher calls it.
    pub fn confusion_table(&self, truth: &TruthFigures) -> FigureTable {
        let names = || self.classes.iter().map(String::as_str);
        let header: Vec<&str> = std::iter::once("is / is called").chain(names()).chain(["missed"]).collect();
        let mut table = FigureTable::new(1, &header);
        for (row, name) in truth.confusion.iter().zip(names().chain(["nothing there"])) {
            let mut cells: Vec<String> = row.iter().map(u64::to_string).collect();
            if name == "nothing there" {
                // What is not there cannot be missed.
                cells.pop();
            }
            table.add(&[name], &cells);
        }
        table
    }
}

fn push(text: &mut String, table: &FigureTable) {
    text.push_str(&table.to_string());
    text.push('\n');
}

fn share(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), percent)
}

fn change(trend: Option<Trend>) -> String {
    trend.map_or("-".to_owned(), |trend| format!("{:+.2} +- {:.2}", trend.change, trend.standard_error))
}

fn largest(trends: impl Iterator<Item = Trend>) -> Option<Trend> {
    trends.max_by(|a, b| a.change.abs().total_cmp(&b.change.abs()))
}

/// The range with the lowest share of confirmed boxes among those that hold enough.
fn fewest_confirmed(dependences: &[Dependence]) -> String {
    let mut fewest: Option<(f64, String)> = None;
    for dependence in dependences {
        for bin in dependence.bins.iter().filter(|bin| bin.boxes >= ENOUGH) {
            if let Some(agreement) = bin.agreement
                && fewest.as_ref().is_none_or(|(lowest, _)| agreement < *lowest)
            {
                let (factor, range) = (dependence.factor.name(), &bin.range);
                fewest = Some((agreement, format!("{factor} {range}: {} ({})", percent(agreement), bin.boxes)));
            }
        }
    }
    fewest.map_or("-".to_owned(), |(_, words)| words)
}

/// The bins of a factor, a line each; of the position a line for each row of the picture.
fn words(dependence: &Dependence) -> String {
    let bins = &dependence.bins;
    let agreement = |index: usize| format!("{} ({})", share(bins[index].agreement), bins[index].boxes);
    if dependence.factor == Factor::Position {
        let cells: Vec<String> = (0..bins.len()).map(agreement).collect();
        let rows: Vec<String> = cells.chunks(3).map(|row| row.join(" | ")).collect();
        return rows.join("\n");
    }
    let line = |index: usize| format!("{}: {}", bins[index].range, agreement(index));
    (0..bins.len()).map(line).collect::<Vec<_>>().join("\n")
}
