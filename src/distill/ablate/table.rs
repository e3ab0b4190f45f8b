//! An ablation as a table for people.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    Ablation, RecordingSpread, RunFigures, RunState, Spread, VariantResult, chance_beyond, statistics::ERRORS_TO_TELL,
};
use crate::distill::{evaluate::short_names, figure_table::FigureTable};

impl Ablation {
    /// The result for people: tables of the variants, their classes and recordings, what failed, and how to read it.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}: {} variants of {}\n", self.name, self.variants.len(), self.experiment);
        for variant in self.variants.iter().filter(|variant| !variant.about.is_empty()) {
            let _ = writeln!(text, "  {}: {}", variant.name, variant.about);
        }
        let _ = writeln!(text, "{}", self.table());
        if let Some(table) = self.class_table() {
            let _ = writeln!(text, "{table}");
        }
        for table in self.recording_tables() {
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
                "x smaller",
                "x faster",
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
                spread(variant.smaller, 1),
                spread(variant.faster, 1),
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

    /// AP and AP50 of each recording, where there are several.
    pub fn recording_tables(&self) -> Vec<FigureTable> {
        let of =
            |variant: &VariantResult| variant.per_recording.iter().map(|own| own.data.clone()).collect::<Vec<String>>();
        let Some(paths) = self.variants.iter().map(of).find(|paths| !paths.is_empty()) else {
            return Vec::new();
        };
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let names = short_names(&paths);
        let table = |title: &str, figure: fn(&RecordingSpread) -> Option<Spread>| {
            let header: Vec<&str> = [title].into_iter().chain(names.iter().map(String::as_str)).collect();
            let mut table = FigureTable::new(1, &header);
            for variant in self.variants.iter().filter(|variant| !variant.per_recording.is_empty()) {
                // Variants may have other recordings, or in another order.
                let of = |path: &&str| variant.per_recording.iter().find(|own| own.data == **path).and_then(figure);
                let values: Vec<String> = paths.iter().map(|path| spread(of(path), 3)).collect();
                table.add(&[&variant.name], &values);
            }
            table
        };
        vec![table("AP by recording", |own| own.ap), table("AP50 by recording", |own| own.ap50)]
    }

    /// What the runs were judged by, each with its frames and objects, and the variants' names where they differ.
    fn judges(&self) -> Vec<String> {
        self.named(|figures| {
            let RunFigures { truth, frames, truths, .. } = figures;
            (!truth.is_empty()).then(|| format!("{truth} ({frames} frames, {truths} objects)"))
        })
    }

    /// What the runs say of themselves, each once; where it is not one thing, with the names of its variants.
    fn named(&self, of: impl Fn(&RunFigures) -> Option<String>) -> Vec<String> {
        let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for variant in &self.variants {
            for words in variant.runs.iter().filter_map(|run| of(run.figures.as_ref()?)) {
                let names = said.entry(words).or_default();
                if !names.contains(&variant.name.as_str()) {
                    names.push(&variant.name);
                }
            }
        }
        let is_one = said.len() == 1;
        let told = |(words, names): (String, Vec<&str>)| match is_one {
            true => words,
            false => format!("{words} [{}]", names.join(", ")),
        };
        said.into_iter().map(told).collect()
    }

    /// How to read the table.
    pub fn notes(&self) -> String {
        let mut text = String::from("Mean ± sample standard deviation over the seeds, on the test block. ");
        let judges = self.judges();
        if !judges.is_empty() {
            let _ = write!(text, "Judged by {}. ", judges.join("; "));
        }
        let pairs = self.variants.iter().filter_map(|variant| variant.difference).map(|difference| difference.pairs);
        if let Some(pairs) = pairs.filter(|pairs| *pairs > 1).min() {
            let chance = 100.0 * chance_beyond(ERRORS_TO_TELL, pairs - 1);
            let _ = write!(
                text,
                "AP - baseline: mean over the seeds ± its standard error; helps or hurts: by more than {ERRORS_TO_TELL:.0} \
                 standard errors, which {pairs} seeds show by chance in {chance:.0} % of comparisons without any difference. "
            );
        }
        let teachers = self.named(|figures| figures.teacher.clone());
        if !teachers.is_empty() {
            let _ = write!(text, "Best teacher, by AP50 on the same frames: {}. ", teachers.join("; "));
        }
        text.push_str(
            "of teacher: AP50 as a share of the best teacher's; x smaller: how many times more parameters it has; x faster: how \
             many times longer it takes for an image on one thread, by the medians of one run, in which the models took turns. \
             p50: the network alone on one thread, measured while other runs were at work, so not to be compared between rows.",
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
        let rows = |name: &str| {
            let start = format!("│ {name} ");
            text.lines().filter(|line| line.contains(&start)).map(str::to_owned).collect::<Vec<_>>()
        };
        let row = |name: &str| {
            let row = rows(name).into_iter().next().unwrap_or_default();
            row.split('┆').map(str::trim).map(str::to_owned).collect::<Vec<_>>()
        };
        let hard = row("hard");
        assert_eq!(hard[1..8], ["3", "0.400 ± 0.020", "0.600 ± 0.020", "-", "-", "baseline", "75.0 %"]);
        assert_eq!(hard[8..11], ["8.0 ± 0.0", "10.0 ± 0.5", "1.25"]);
        let better = row("better");
        assert_eq!(better[5..7], ["+0.050 ± 0.006", "helps"]);
        let shaky = row("shaky");
        assert_eq!((shaky[1].as_str(), shaky[6].as_str()), ("2 of 3", "no difference seen"));
        assert_eq!(row("broken")[1..4], ["0 of 3", "-", "-"]);
        assert!(text.contains("AP50 by class") && text.contains("pallet"), "{text}");
        // Figures of all, by class, AP and AP50 by recording.
        let ours = rows("hard");
        assert_eq!(ours.len(), 4, "{text}");
        assert!(ours[2].contains("0.450 ± 0.020 ┆ 0.350 ± 0.020"), "{text}");
        assert!(ours[3].contains("0.650 ± 0.020 ┆ 0.550 ± 0.020"), "{text}");
        assert!(text.contains("AP by recording") && text.contains("┆ hall") && !text.contains("bags/hall"), "{text}");
        for words in [
            "Judged by boxes of a and b of score >= 0.4 (30 frames, 10 objects).",
            "Best teacher, by AP50 on the same frames: base.",
            "x smaller: how many times more parameters",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("failed: shaky, seed 1: training <diverged> & ended"), "{text}");
        // The smallest number of pairs, 2: Student's t with one degree of freedom.
        assert!(text.contains("2 seeds show by chance in 30 %"), "{text}");
    }

    #[test]
    fn what_differs_between_variants_is_told_with_their_names() {
        let mut ablation = ablation();
        for run in &mut ablation.variants[1].runs {
            if let Some(figures) = &mut run.figures {
                (figures.teacher, figures.truth) = (Some("small".into()), "labels".into());
            }
        }
        let text = ablation.notes();
        assert!(text.contains("same frames: base [hard, shaky]; small [better]."), "{text}");
        assert!(text.contains("labels (30 frames, 10 objects) [better]"), "{text}");
    }
}
