//! What came of pruning, for people and for the folder.

use std::{fmt::Write as _, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    cost::{LayerCost, Measure},
    importance::Criterion,
    recovery::REPORT_FILE,
    search::TOLERANCE,
};
use crate::{
    distill::{
        figure_table::{FigureTable, figure},
        student::Channels,
    },
    metrics::ApSummary,
};

/// What became of one group of channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub group: String,
    /// Its channels before.
    pub before: usize,
    /// Its channels after.
    pub after: usize,
    /// How much each of its channels mattered, in their order.
    pub importance: Vec<f64>,
    /// The channels that stay.
    pub kept: Vec<usize>,
}

/// What a cut comes to. Of pairs the first is the student before and the second the cut one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutFigures {
    /// The share of the cost that is left by the table.
    pub estimated_share: f64,
    /// The share of the time that is left, measured in turn: the median over the rounds.
    pub measured_share: f64,
    /// Median time of the network for a frame on one thread, in milliseconds.
    pub latency_ms: [f64; 2],
    /// Multiply-accumulates of the network.
    pub macs: [u64; 2],
    /// Its parameters, BatchNorm folded.
    pub parameters: [u64; 2],
    /// Size of its graph in bytes.
    pub bytes: [u64; 2],
    /// Each group.
    pub groups: Vec<GroupReport>,
    /// What each layer costs.
    pub costs: Vec<LayerCost>,
}

/// Everything that was found out. Of pairs the first is the student before and the second the cut one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneReport {
    /// The folder of the run that was cut.
    pub run: String,
    /// What told how much a channel matters.
    pub criterion: Criterion,
    /// Frames that this was measured on; none where weights alone tell it.
    pub frames: usize,
    /// What was cut down.
    pub measure: Measure,
    /// The share of it that was to be kept.
    pub keep: f64,
    /// What came of it; in the file its keys stand among the others.
    #[serde(flatten)]
    pub cut: CutFigures,
    /// The channels of all groups.
    pub channels: [Channels; 2],
    /// Average precision on the validation block, the cut student's before it has learnt again; none without frames.
    pub validation: Option<[ApSummary; 2]>,
}

impl PruneReport {
    /// The report in a folder that `distill prune` wrote; none where there is none, or where it is damaged.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(REPORT_FILE)).ok()?).ok()
    }

    /// Points of AP50 that the cut has cost on the validation block, until the student has learnt again; none where nothing tells.
    pub fn lost_points(&self) -> Option<f64> {
        let [before, after] = self.validation.as_ref()?;
        Some(100.0 * (before.ap50? - after.ap50?))
    }

    /// Whether the cut student finds nothing of what is to be found, until it has learnt again.
    pub fn finds_nothing(&self) -> bool {
        self.validation.as_ref().is_some_and(|[_, after]| after.ap50.is_some_and(|ap50| ap50 < 0.01))
    }

    /// The groups of which nothing tells one channel from another: what is left of them are the first ones.
    pub fn unranked(&self) -> Vec<&str> {
        let is_unranked = |group: &&GroupReport| group.importance.iter().all(|value| *value == 0.0);
        self.cut.groups.iter().filter(is_unranked).map(|group| group.group.as_str()).collect()
    }

    /// Whether no more of the time is left than was asked for, as far as two measurements can tell.
    pub fn meets_time(&self) -> bool {
        self.cut.measured_share <= self.keep * (1.0 + TOLERANCE)
    }

    /// The groups with their channels before and after.
    pub fn table(&self) -> FigureTable {
        let mut table = FigureTable::new(1, &["channels of", "before", "after", "importance kept"]);
        for GroupReport { group, before, after, importance, kept } in &self.cut.groups {
            let sum: f64 = importance.iter().sum();
            let left: f64 = kept.iter().filter_map(|&channel| importance.get(channel)).sum();
            let share = if sum > 0.0 { format!("{:.1} %", 100.0 * left / sum) } else { "-".to_owned() };
            table.add(&[group.as_str()], &[before.to_string(), after.to_string(), share]);
        }
        table
    }

    /// All of it in words, for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.table());
        let [slow, fast] = self.cut.latency_ms;
        let _ = writeln!(
            text,
            "time: {slow:.3} ms -> {fast:.3} ms on one thread, {:.1} % of it (asked {:.1} % of the {}, estimated {:.1} %)",
            100.0 * self.cut.measured_share,
            100.0 * self.keep,
            self.measure.words(),
            100.0 * self.cut.estimated_share
        );
        let ([parameters, fewer], [macs, less], [bytes, small]) = (self.cut.parameters, self.cut.macs, self.cut.bytes);
        let _ = writeln!(
            text,
            "parameters: {parameters} -> {fewer}, multiply-accumulates: {:.1} M -> {:.1} M, size: {:.1} kB -> {:.1} kB",
            macs as f64 / 1e6,
            less as f64 / 1e6,
            bytes as f64 / 1e3,
            small as f64 / 1e3
        );
        let _ = match &self.validation {
            Some([before, after]) => writeln!(
                text,
                "validation, before it has learnt again: AP50 {} -> {}, AP {} -> {}",
                figure(before.ap50),
                figure(after.ap50),
                figure(before.ap),
                figure(after.ap)
            ),
            None => writeln!(text, "validation: the validation block has no frames to judge by"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::student::Size;

    fn report(ap50: f64) -> PruneReport {
        let judged =
            |ap50| ApSummary { ap: Some(ap50 / 2.0), ap50: Some(ap50), ap75: None, per_class: Vec::new(), images: 5 };
        let before = Channels::of(Size::Micro);
        PruneReport {
            run: "runs/a".into(),
            criterion: Criterion::Taylor,
            frames: 100,
            measure: Measure::Time,
            keep: 0.5,
            cut: CutFigures {
                estimated_share: 0.49,
                measured_share: 0.51,
                latency_ms: [2.0, 1.02],
                macs: [100_000_000, 40_000_000],
                parameters: [200_000, 90_000],
                bytes: [820_000, 380_000],
                groups: vec![GroupReport {
                    group: "stem".into(),
                    before: 4,
                    after: 2,
                    importance: vec![1.0, 3.0, 0.0, 4.0],
                    kept: vec![1, 3],
                }],
                costs: Vec::new(),
            },
            channels: [before, Channels { stem: 2, ..before }],
            validation: Some([judged(0.8), judged(ap50)]),
        }
    }

    #[test]
    fn the_text_has_what_was_cut_and_what_it_cost() {
        let text = report(0.3).to_text();
        for words in [
            "stem",
            "87.5 %",
            "2.000 ms -> 1.020 ms",
            "50.0 % of the time",
            "51.0 %",
            "AP50 0.800 -> 0.300",
            "40.0 M",
            "380.0 kB",
        ] {
            assert!(text.contains(words), "{words} is not in: {text}");
        }
        assert!(PruneReport { validation: None, ..report(0.3) }.to_text().contains("no frames"));
    }

    #[test]
    fn a_student_that_finds_nothing_is_told() {
        let cut = CutFigures { measured_share: 0.505, ..report(0.5).cut };
        assert!(PruneReport { cut, ..report(0.5) }.meets_time());
        assert!(!PruneReport { keep: 0.4, ..report(0.5) }.meets_time());
        assert!(report(0.0).finds_nothing() && !report(0.3).finds_nothing());
        assert!(!PruneReport { validation: None, ..report(0.0) }.finds_nothing());
    }

    #[test]
    fn groups_that_nothing_ranks_are_told() {
        let mut report = report(0.3);
        assert!(report.unranked().is_empty());
        report.cut.groups[0].importance.fill(0.0);
        assert_eq!(report.unranked(), ["stem"]);
    }
}
