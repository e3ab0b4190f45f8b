//! An ablation as a table for people.

use std::fmt::Write as _;

use super::{Ablation, RunState, Spread, VariantResult, chance_beyond, statistics::ERRORS_TO_TELL};
use crate::distill::figure_table::FigureTable;

impl Ablation {
    /// The result for people: a table of the variants, one of their classes, what failed, and how to read it.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {} variants of {}\n", self.name, self.variants.len(), self.experiment);
        for variant in self.variants.iter().filter(|variant| !variant.about.is_empty()) {
            let _ = writeln!(text, "  {}: {}", variant.name, variant.about);
        }
        let _ = writeln!(text, "{}", self.table());
        if let Some(table) = self.class_table() {
            let _ = writeln!(text, "{table}");
        }
        for (name, run) in self.failed() {
            let _ = writeln!(text, "failed: {name}, seed {}: {}", run.seed, run.failure.as_deref().unwrap_or("-"));
        }
        text.push_str(&self.notes());
        text.push('\n');
        text
    }

    /// A row a variant, in their order.
    pub fn table(&self) -> FigureTable {
        let mut table = FigureTable::new(
            1,
            &[
                "variant",
                "seeds",
                "AP",
                "AP50",
                "AP75",
                "AP - baseline",
                "verdict",
                "of teacher",
                "M parameters",
                "p50 ms",
                "train s",
            ],
        );
        for variant in &self.variants {
            let figures = [
                seeds(variant),
                spread(variant.ap, 3),
                spread(variant.ap50, 3),
                spread(variant.ap75, 3),
                variant.difference.map_or("-".to_owned(), |difference| difference.to_string()),
                variant.verdict.words().to_owned(),
                variant.retention.map_or("-".to_owned(), |retention| format!("{:.1} %", 100.0 * retention.mean)),
                variant.parameters.map_or("-".to_owned(), |count| format!("{:.2}", count as f64 / 1e6)),
                variant.latency_ms.map_or("-".to_owned(), |latency| format!("{latency:.2}")),
                variant.seconds.map_or("-".to_owned(), |seconds| format!("{:.0}", seconds.mean)),
            ];
            table.add(&[&variant.name], &figures);
        }
        table
    }

    /// AP50 of each class, where there are several.
    pub fn class_table(&self) -> Option<FigureTable> {
        let classes = &self.variants.iter().find(|variant| !variant.per_class.is_empty())?.per_class;
        if classes.len() < 2 {
            return None;
        }
        let names = classes.iter().map(|class| class.class.as_str());
        let header: Vec<&str> = ["AP50 by class"].into_iter().chain(names).collect();
        let mut table = FigureTable::new(1, &header);
        for variant in self.variants.iter().filter(|variant| !variant.per_class.is_empty()) {
            let values: Vec<String> = variant.per_class.iter().map(|class| spread(class.ap50, 3)).collect();
            table.add(&[&variant.name], &values);
        }
        Some(table)
    }

    /// How to read the table.
    pub fn notes(&self) -> String {
        let mut text = String::from("Mean ± sample standard deviation over the seeds, on the test block. ");
        let pairs = self.variants.iter().filter_map(|variant| variant.difference).map(|difference| difference.pairs);
        if let Some(pairs) = pairs.filter(|pairs| *pairs > 1).min() {
            let chance = 100.0 * chance_beyond(ERRORS_TO_TELL, pairs - 1);
            let _ = write!(
                text,
                "AP - baseline: mean over the seeds ± its standard error; helps or hurts: by more than {ERRORS_TO_TELL:.0} \
                 standard errors, which {pairs} seeds show by chance in {chance:.0} % of comparisons without any difference. "
            );
        }
        text.push_str(
            "of teacher: AP50 as a share of the best teacher's. p50: the network alone on one thread, measured while other \
             runs were at work.",
        );
        text
    }
}

/// Seeds with figures, of how many.
fn seeds(variant: &VariantResult) -> String {
    let finished = variant.runs.iter().filter(|run| run.state == RunState::Finished).count();
    if finished == variant.runs.len() { finished.to_string() } else { format!("{finished} of {}", variant.runs.len()) }
}

fn spread(spread: Option<Spread>, digits: usize) -> String {
    match spread {
        None => "-".to_owned(),
        Some(Spread { mean, deviation: None, .. }) => format!("{mean:.digits$}"),
        Some(Spread { mean, deviation: Some(deviation), .. }) => format!("{mean:.digits$} ± {deviation:.digits$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::tests::ablation;

    #[test]
    fn the_table_tells_figures_verdicts_and_failures() {
        let text = ablation().to_text();
        let row = |name: &str| {
            let row = text.lines().find(|line| line.contains(&format!("│ {name} "))).unwrap_or_default();
            row.split('┆').map(str::trim).map(str::to_owned).collect::<Vec<_>>()
        };
        let hard = row("hard");
        assert_eq!(hard[1..8], ["3", "0.400 ± 0.020", "0.600 ± 0.020", "-", "-", "baseline", "75.0 %"]);
        let better = row("better");
        assert_eq!(better[5..7], ["+0.050 ± 0.006", "helps"]);
        let shaky = row("shaky");
        assert_eq!((shaky[1].as_str(), shaky[6].as_str()), ("2 of 3", "no difference seen"));
        assert_eq!(row("broken")[1..4], ["0 of 3", "-", "-"]);
        assert!(text.contains("AP50 by class") && text.contains("pallet"), "{text}");
        assert!(text.contains("failed: shaky, seed 1: training <diverged> & ended"), "{text}");
        // The smallest number of pairs, 2: Student's t with one degree of freedom.
        assert!(text.contains("2 seeds show by chance in 30 %"), "{text}");
    }
}
