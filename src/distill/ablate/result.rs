//! What an ablation found, read from the folders of its runs.

use serde::{Deserialize, Serialize};

use super::{Difference, Plan, PlannedRun, RecordingFigures, RunEnd, RunFigures, Settings, Spread, Verdict};
use crate::metrics::ClassAp;

/// Everything that an ablation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ablation {
    /// What it is called.
    pub name: String,
    /// The command that made it.
    pub command: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// The experiment that all variants start from.
    pub experiment: String,
    /// The seeds of each variant.
    pub seeds: Vec<u64>,
    /// Changes of the experiment for all variants.
    pub set: Settings,
    /// Further ones from the command line.
    pub command_line_set: Vec<String>,
    /// The variants in their order.
    pub variants: Vec<VariantResult>,
}

/// What a variant came to. Spreads are over the seeds that finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub about: String,
    /// Whether the others are compared with it.
    pub baseline: bool,
    /// Its changes of the experiment.
    pub set: Settings,
    /// One a seed.
    pub runs: Vec<RunResult>,
    /// AP at IoU 0.50:0.95 on the test block.
    pub ap: Option<Spread>,
    /// AP at IoU 0.50.
    pub ap50: Option<Spread>,
    /// AP at IoU 0.75.
    pub ap75: Option<Spread>,
    /// The same for each class.
    pub per_class: Vec<ClassSpread>,
    /// The same for each recording, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_recording: Vec<RecordingSpread>,
    /// Learnt parameters of the student.
    pub parameters: Option<u64>,
    /// Median of the network alone on one thread, milliseconds; the median over the seeds.
    pub latency_ms: Option<f64>,
    /// Seconds of training, validation not counted.
    pub seconds: Option<Spread>,
    /// AP50 as a share of the best teacher's.
    pub retention: Option<Spread>,
    /// How many times more parameters the best teacher has.
    #[serde(default)]
    pub smaller: Option<Spread>,
    /// How many times longer the best teacher takes for an image on one thread, by medians that were measured in turn.
    #[serde(default)]
    pub faster: Option<Spread>,
    /// AP in comparison with the baseline.
    pub difference: Option<Difference>,
    /// AP50 in comparison with the baseline.
    pub difference50: Option<Difference>,
    /// What the difference of AP says.
    pub verdict: Verdict,
}

/// A class over the seeds of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSpread {
    /// The class.
    pub class: String,
    /// AP at IoU 0.50:0.95.
    pub ap: Option<Spread>,
    /// AP at IoU 0.50.
    pub ap50: Option<Spread>,
}

/// A recording over the seeds of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingSpread {
    /// The recording.
    pub data: String,
    /// AP at IoU 0.50:0.95.
    pub ap: Option<Spread>,
    /// AP at IoU 0.50.
    pub ap50: Option<Spread>,
}

/// Whether a run has figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has.
    Finished,
    /// It ended without.
    Failed,
    /// It has not been made yet, or was stopped.
    NotRun,
}

/// One training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: String,
    /// Whether it has figures.
    pub state: RunState,
    /// Why it failed.
    pub failure: Option<String>,
    /// Its figures.
    pub figures: Option<RunFigures>,
}

impl Ablation {
    /// Reads what the runs of a plan left in their folders, those of earlier commands included. `ends` says of each run how it
    /// went this time.
    pub fn collect(plan: &Plan, ends: &[RunEnd], command: Vec<String>) -> Self {
        let config = &plan.config;
        let mut variants = Vec::with_capacity(config.variants.len());
        for (index, variant) in config.variants.iter().enumerate() {
            let own = plan.runs.iter().zip(ends).filter(|(run, _)| run.variant == index);
            let runs = own.map(|(run, end)| RunResult::read(run, end)).collect();
            variants.push(VariantResult::new(
                variant.name.clone(),
                variant.about.clone(),
                variant.baseline,
                variant.set.clone(),
                runs,
            ));
        }
        let mut ablation = Self {
            name: config.name.clone(),
            command,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            experiment: config.experiment.display().to_string(),
            seeds: plan.seeds.clone(),
            set: config.set.clone(),
            command_line_set: plan.set.clone(),
            variants,
        };
        ablation.compare();
        ablation
    }

    /// Compares all variants with the baseline, where there is one.
    fn compare(&mut self) {
        let Some(baseline) = self.variants.iter().find(|variant| variant.baseline) else { return };
        let base = baseline.runs.clone();
        for variant in &mut self.variants {
            if variant.baseline {
                variant.verdict = Verdict::Baseline;
                continue;
            }
            variant.difference = paired(&variant.runs, &base, |figures| figures.ap);
            variant.difference50 = paired(&variant.runs, &base, |figures| figures.ap50);
            variant.verdict = variant.difference.map_or(Verdict::Unknown, |difference| difference.verdict());
        }
    }

    /// Runs that failed, with their variants' names.
    pub fn failed(&self) -> Vec<(&str, &RunResult)> {
        let runs = self.variants.iter().flat_map(|variant| variant.runs.iter().map(move |run| (&*variant.name, run)));
        runs.filter(|(_, run)| run.state == RunState::Failed).collect()
    }
}

impl RunResult {
    fn read(run: &PlannedRun, end: &RunEnd) -> Self {
        let failure = match end {
            RunEnd::Failed(reason) => Some(reason.clone()),
            _ => None,
        };
        let figures = if failure.is_some() { None } else { RunFigures::read(run) };
        let state = match (&failure, &figures) {
            (Some(_), _) => RunState::Failed,
            (None, Some(_)) => RunState::Finished,
            (None, None) => RunState::NotRun,
        };
        Self { seed: run.seed, folder: run.folder.display().to_string(), state, failure, figures }
    }
}

impl VariantResult {
    /// Takes the runs of a variant together; the comparison with the baseline comes later.
    fn new(name: String, about: String, baseline: bool, set: Settings, runs: Vec<RunResult>) -> Self {
        let figures: Vec<&RunFigures> = runs.iter().filter_map(|run| run.figures.as_ref()).collect();
        let spread = |figure: fn(&RunFigures) -> Option<f64>| {
            let values: Vec<f64> = figures.iter().filter_map(|run| figure(run)).collect();
            Spread::of(&values)
        };
        let recordings = figures.first().map(|run| run.per_recording.as_slice()).unwrap_or_default();
        let per_recording = recordings
            .iter()
            .map(|recording| {
                let of = |figure: fn(&RecordingFigures) -> Option<f64>| {
                    let same = |own: &&RecordingFigures| own.data == recording.data;
                    let own = figures.iter().filter_map(|run| run.per_recording.iter().find(same));
                    Spread::of(&own.filter_map(figure).collect::<Vec<f64>>())
                };
                RecordingSpread { data: recording.data.clone(), ap: of(|own| own.ap), ap50: of(|own| own.ap50) }
            })
            .collect();
        let classes = figures.first().map(|run| run.per_class.as_slice()).unwrap_or_default();
        let per_class = classes
            .iter()
            .enumerate()
            .map(|(index, class)| {
                let of = |figure: fn(&ClassAp) -> Option<f64>| {
                    let values: Vec<f64> =
                        figures.iter().filter_map(|run| run.per_class.get(index)).filter_map(figure).collect();
                    Spread::of(&values)
                };
                ClassSpread { class: class.class.clone(), ap: of(|class| class.ap), ap50: of(|class| class.ap50) }
            })
            .collect();
        let mut latencies: Vec<f64> = figures.iter().filter_map(|run| run.latency_ms).collect();
        Self {
            ap: spread(|run| run.ap),
            ap50: spread(|run| run.ap50),
            ap75: spread(|run| run.ap75),
            per_class,
            per_recording,
            parameters: figures.first().map(|run| run.parameters),
            latency_ms: median(&mut latencies),
            seconds: spread(|run| Some(run.seconds)),
            retention: spread(|run| run.retention),
            smaller: spread(|run| run.smaller),
            faster: spread(|run| run.faster),
            difference: None,
            difference50: None,
            verdict: Verdict::Unknown,
            name,
            about,
            baseline,
            set,
            runs,
        }
    }
}

/// A figure's differences to the baseline, by the seeds that both have.
fn paired(own: &[RunResult], base: &[RunResult], figure: fn(&RunFigures) -> Option<f64>) -> Option<Difference> {
    let of = |runs: &[RunResult], seed: u64| {
        runs.iter().find(|run| run.seed == seed).and_then(|run| run.figures.as_ref()).and_then(figure)
    };
    let differences: Vec<f64> = own.iter().filter_map(|run| Some(of(own, run.seed)? - of(base, run.seed)?)).collect();
    Difference::of(&differences)
}

/// The middle value, of an even number the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len().is_multiple_of(2) { Some((values[values.len() / 2 - 1] + upper) / 2.0) } else { Some(upper) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn run(seed: u64, ap: Option<f64>) -> RunResult {
        let class = |class: &str, ap: f64| ClassAp {
            class: class.to_owned(),
            truths: 5,
            ap: Some(ap),
            ap50: Some(ap + 0.2),
            ap75: None,
        };
        let recording = |data: &str, ap: f64| RecordingFigures {
            data: data.to_owned(),
            frames: 15,
            truths: 5,
            ap: Some(ap),
            ap50: Some(ap + 0.2),
            teacher_ap50: Some(0.8),
        };
        let figures = ap.map(|ap| RunFigures {
            ap: Some(ap),
            ap50: Some(ap + 0.2),
            ap75: None,
            per_class: vec![class("person", ap - 0.1), class("pallet", ap + 0.1)],
            per_recording: vec![recording("bags/hall", ap + 0.05), recording("bags/yard", ap - 0.05)],
            truth: "boxes of a and b of score >= 0.4".into(),
            frames: 30,
            truths: 10,
            parameters: 1_250_000,
            latency_ms: Some(seed as f64),
            seconds: 12.0,
            teacher: Some("base".into()),
            teacher_ap50: Some(0.8),
            retention: Some((ap + 0.2) / 0.8),
            smaller: Some(8.0),
            faster: Some(9.0 + 0.5 * seed as f64),
            lost_data: false,
        });
        RunResult {
            seed,
            folder: format!("out/seed_{seed}"),
            state: if figures.is_some() { RunState::Finished } else { RunState::Failed },
            failure: figures.is_none().then(|| String::from("training <diverged> & ended")),
            figures,
        }
    }

    /// A baseline of three seeds, a better variant, one of which a seed failed, and one without any figures.
    pub fn ablation() -> Ablation {
        let variant = |name: &str, baseline: bool, aps: [Option<f64>; 3]| {
            let runs = aps.into_iter().zip(1..).map(|(ap, seed)| run(seed, ap)).collect();
            VariantResult::new(name.to_owned(), format!("<{name}> & co"), baseline, Settings::new(), runs)
        };
        let mut ablation = Ablation {
            name: "kinds".into(),
            command: vec!["distill".into(), "ablate".into()],
            version: "0".into(),
            experiment: "base.yaml".into(),
            seeds: vec![1, 2, 3],
            set: Settings::new(),
            command_line_set: Vec::new(),
            variants: vec![
                variant("hard", true, [Some(0.40), Some(0.42), Some(0.38)]),
                variant("better", false, [Some(0.45), Some(0.48), Some(0.42)]),
                variant("shaky", false, [None, Some(0.41), Some(0.39)]),
                variant("broken", false, [None; 3]),
            ],
        };
        ablation.compare();
        ablation
    }

    #[test]
    fn variants_are_compared_seed_by_seed() {
        let ablation = ablation();
        let [hard, better, shaky, broken] = ablation.variants.as_slice() else { panic!() };
        assert_eq!((hard.verdict, hard.difference), (Verdict::Baseline, None));
        let spread = hard.ap.unwrap();
        assert!((spread.mean - 0.40).abs() < 1e-12 && (spread.deviation.unwrap() - 0.02).abs() < 1e-12);
        // Differences 0.05, 0.06, 0.04.
        let difference = better.difference.unwrap();
        assert!((difference.mean - 0.05).abs() < 1e-12 && difference.pairs == 3);
        assert!((difference.standard_error.unwrap() - 0.01 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(better.verdict, Verdict::Helps);
        // Only the seeds that both have: -0.01 and 0.01.
        assert_eq!(shaky.difference.unwrap().pairs, 2);
        assert_eq!((shaky.verdict, shaky.ap.unwrap().count), (Verdict::NoDifference, 2));
        assert_eq!((shaky.latency_ms, shaky.parameters), (Some(2.5), Some(1_250_000)));
        assert_eq!((broken.verdict, broken.ap, broken.difference), (Verdict::Unknown, None, None));
        assert!((hard.retention.unwrap().mean - 0.75).abs() < 1e-12);
        assert!((hard.per_class[1].ap.unwrap().mean - 0.5).abs() < 1e-12);
        let [hall, yard] = hard.per_recording.as_slice() else { panic!() };
        assert!((hall.ap.unwrap().mean - 0.45).abs() < 1e-12 && (yard.ap50.unwrap().mean - 0.55).abs() < 1e-12);
        assert!((yard.ap.unwrap().deviation.unwrap() - 0.02).abs() < 1e-12);
        let faster = better.faster.unwrap();
        assert!((faster.mean - 10.0).abs() < 1e-12 && (faster.deviation.unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(better.smaller.unwrap().mean, 8.0);
        let failed: Vec<_> = ablation.failed().iter().map(|(name, run)| (*name, run.seed)).collect();
        assert_eq!(failed, [("shaky", 1), ("broken", 1), ("broken", 2), ("broken", 3)]);
    }

    #[test]
    fn without_a_baseline_nothing_is_compared() {
        let mut ablation = ablation();
        for variant in &mut ablation.variants {
            (variant.baseline, variant.difference, variant.verdict) = (false, None, Verdict::Unknown);
        }
        ablation.compare();
        assert!(ablation.variants.iter().all(|variant| variant.difference.is_none()));
    }

    #[test]
    fn json_reads_back_as_itself() {
        let ablation = ablation();
        let json = serde_json::to_string(&ablation).unwrap();
        assert_eq!(serde_json::from_str::<Ablation>(&json).unwrap(), ablation);
    }

    #[test]
    fn results_of_earlier_versions_are_still_read() {
        let mut json = serde_json::to_value(ablation()).unwrap();
        for variant in json["variants"].as_array_mut().unwrap() {
            for key in ["per_recording", "smaller", "faster"] {
                variant.as_object_mut().unwrap().remove(key);
            }
            for run in variant["runs"].as_array_mut().unwrap() {
                let Some(figures) = run["figures"].as_object_mut() else { continue };
                for key in ["per_recording", "truth", "frames", "truths", "teacher", "smaller", "faster"] {
                    figures.remove(key);
                }
            }
        }
        let earlier: Ablation = serde_json::from_value(json).unwrap();
        assert_eq!((earlier.variants[0].smaller, earlier.variants[0].per_recording.len()), (None, 0));
        assert_eq!(earlier.variants[0].ap50, ablation().variants[0].ap50);
        let text = earlier.to_text();
        assert!(!text.contains("Judged by") && !text.contains("AP by recording"), "{text}");
    }
}
