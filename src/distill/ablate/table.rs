//! An ablation as a table for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use super::{Ablation, RunState, Spread, VariantResult, chance_beyond, statistics::ERRORS_TO_TELL};

impl Ablation {
    /// The result for people: a table of the variants, one of their classes, what failed, and how to read it.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {} variants of {}\n", self.name, self.variants.len(), self.experiment);
        for variant in self.variants.iter().filter(|variant| !variant.about.is_empty()) {
            let _ = writeln!(text, "  {}: {}", variant.name, variant.about);
        }
        let _ = writeln!(text, "{}", self.main_table());
        if let Some(table) = self.class_table() {
            let _ = writeln!(text, "{table}");
        }
        for (name, run) in self.failed() {
            let _ = writeln!(text, "failed: {name}, seed {}: {}", run.seed, run.failure.as_deref().unwrap_or("-"));
        }
        self.write_notes(&mut text);
        text
    }

    fn main_table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        table.set_header([
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
        ]);
        for variant in &self.variants {
            let figures = [
                seeds(variant),
                spread(variant.ap, 3),
                spread(variant.ap50, 3),
                spread(variant.ap75, 3),
                difference(variant),
                variant.verdict.words().to_owned(),
                variant.retention.map_or("-".to_owned(), |retention| format!("{:.1} %", 100.0 * retention.mean)),
                variant.parameters.map_or("-".to_owned(), |count| format!("{:.2}", count as f64 / 1e6)),
                variant.latency_ms.map_or("-".to_owned(), |latency| format!("{latency:.2}")),
                variant.seconds.map_or("-".to_owned(), |seconds| format!("{:.0}", seconds.mean)),
            ];
            let mut row = vec![Cell::new(&variant.name)];
            row.extend(figures.map(|figure| Cell::new(figure).set_alignment(CellAlignment::Right)));
            table.add_row(row);
        }
        table
    }

    /// AP50 of each class, where there are several.
    fn class_table(&self) -> Option<Table> {
        let classes = &self.variants.iter().find(|variant| !variant.per_class.is_empty())?.per_class;
        if classes.len() < 2 {
            return None;
        }
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        let names = classes.iter().map(|class| class.class.clone());
        table.set_header(["AP50 by class".to_owned()].into_iter().chain(names));
        for variant in self.variants.iter().filter(|variant| !variant.per_class.is_empty()) {
            let values = variant.per_class.iter().map(|class| spread(class.ap50, 3));
            table.add_row([variant.name.clone()].into_iter().chain(values));
        }
        Some(table)
    }

    fn write_notes(&self, text: &mut String) {
        text.push_str("Mean ± sample standard deviation over the seeds, on the test block. ");
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
             runs were at work.\n",
        );
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

fn difference(variant: &VariantResult) -> String {
    match variant.difference {
        None => "-".to_owned(),
        Some(difference) => match difference.standard_error {
            None => format!("{:+.3}", difference.mean),
            Some(error) => format!("{:+.3} ± {error:.3}", difference.mean),
        },
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
