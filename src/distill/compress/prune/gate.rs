//! Whether a cut student that has learnt again may become a bundle.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{recovery::is_cut, report::PruneReport};
use crate::{
    distill::{compress::quantize::Budget, config::Experiment, figure_table::figure},
    metrics::ApSummary,
};

/// The file of a run that tells what its student lost beside another one, and whether that was too much.
pub const VERDICT_FILE: &str = "gate.json";

/// The gate of an experiment, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The finished run whose student the experiment's is held against.
    pub against: PathBuf,
    /// Points of AP50 that may be lost.
    pub budget: f64,
    /// Whether the bundle is written although more is lost.
    pub force: bool,
}

impl Gate {
    /// The gate of an experiment; none where its student is not held against any other. One that starts from a cut student is held
    /// against what taught it, or what it was cut from, even where the experiment does not say so. What is trained for int8 on its way
    /// to `distill quantize` is judged there.
    pub fn of(experiment: &Experiment) -> Option<Self> {
        let is_recovery = is_cut(experiment) && !experiment.train.quantize_aware;
        if experiment.gate.is_none() && !is_recovery {
            return None;
        }
        let gate = experiment.gate.clone().unwrap_or_default();
        let retained = || experiment.distillation.retain.as_ref().map(|retain| retain.run.clone());
        let cut = || {
            let report = PruneReport::read(experiment.student.inherit.as_ref()?)?;
            Some(PathBuf::from(report.run))
        };
        let against = gate.against.or_else(retained).or_else(cut)?;
        Some(Self { against, budget: gate.budget, force: gate.force })
    }
}

/// What a student lost beside another one, and what it might lose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateVerdict {
    /// The run whose student it was held against.
    pub against: String,
    /// What counted as true.
    pub truth: String,
    /// Points of AP50 that might be lost.
    pub budget: f64,
    /// Whether its bundle was to be written although more is lost.
    pub forced: bool,
    /// Average precision on the validation block, of that student and of this one; none where no frame has truth.
    pub judged: Option<[ApSummary; 2]>,
}

impl GateVerdict {
    /// Reads a verdict that was written as JSON; none where there is none, or where it is damaged.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// What is lost beyond the budget, in words; none where the budget holds. Where nothing judges it does not hold.
    pub fn excess(&self) -> Option<String> {
        let pair = self.judged.as_ref().and_then(|[before, after]| before.ap50.zip(after.ap50));
        match pair {
            Some((before, after)) => {
                Budget { ap50: self.budget / 100.0, ..Budget::default() }.lost_precision(before, after)
            }
            None => {
                Some("there is nothing to judge by: no frame of the validation block has an object to find".to_owned())
            }
        }
    }

    /// The figures in words.
    pub fn to_text(&self) -> String {
        let Self { against, truth, budget, judged, .. } = self;
        match judged {
            Some([before, after]) => format!(
                "AP50 {} -> {}, AP {} -> {} beside the student of {against} on {} validation frames (truth: {truth}); {budget:.2} points of \
                 AP50 may be lost\n",
                figure(before.ap50),
                figure(after.ap50),
                figure(before.ap),
                figure(after.ap),
                after.images
            ),
            None => format!("no validation frame has truth to hold it against the student of {against} by\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::REPORT_FILE, *};

    fn verdict(before: f64, after: f64) -> GateVerdict {
        let judged =
            |ap50| ApSummary { ap: Some(0.5), ap50: Some(ap50), ap75: None, per_class: Vec::new(), images: 70 };
        GateVerdict {
            against: "runs/a".into(),
            truth: "labels".into(),
            budget: 1.0,
            forced: false,
            judged: Some([judged(before), judged(after)]),
        }
    }

    #[test]
    fn what_loses_more_than_the_budget_is_told() {
        assert_eq!([verdict(0.8, 0.795).excess(), verdict(0.8, 0.9).excess()], [None, None]);
        let lost = verdict(0.8, 0.77).excess().unwrap();
        assert!(lost.contains("3.00 points where 1.00"), "{lost}");
        assert_eq!(GateVerdict { budget: 3.5, ..verdict(0.8, 0.77) }.excess(), None);
        let text = verdict(0.8, 0.77).to_text();
        for words in ["AP50 0.800 -> 0.770", "runs/a", "70 validation frames", "labels", "1.00 points"] {
            assert!(text.contains(words), "{words} is not in: {text}");
        }
    }

    #[test]
    fn what_nothing_judges_does_not_pass() {
        let mut unjudged = verdict(0.8, 0.8);
        unjudged.judged.as_mut().unwrap()[0].ap50 = None;
        for unjudged in [unjudged, GateVerdict { judged: None, budget: 100.0, ..verdict(0.8, 0.8) }] {
            assert!(unjudged.excess().is_some_and(|excess| excess.contains("nothing to judge by")));
        }
    }

    #[test]
    fn cut_students_are_held_against_what_taught_them() {
        let folder = tempfile::tempdir().unwrap();
        let cut = folder.path().display();
        let gate = |more: &str| {
            let text = format!("{{name: a, output: out, classes: [a], data: [{{path: x}}], {more}}}");
            Gate::of(&serde_yaml::from_str::<Experiment>(&text).unwrap())
        };
        let against = |more: &str| gate(more).map(|gate| gate.against.display().to_string());
        let inherits = format!("student: {{inherit: '{cut}'}}, distillation: {{retain: {{run: old}}}}");
        assert_eq!(against(&inherits), None, "nothing was cut there");
        std::fs::write(folder.path().join(REPORT_FILE), "{}").unwrap();
        assert_eq!(against(&inherits), Some("old".into()));
        assert_eq!(against(&format!("{inherits}, train: {{quantize_aware: true}}")), None);
        assert_eq!(against(&format!("{inherits}, gate: {{against: first}}")), Some("first".into()));
        let forced = gate(&format!("{inherits}, gate: {{force: true, budget: 2}}")).unwrap();
        assert_eq!((forced.against, forced.budget, forced.force), (PathBuf::from("old"), 2.0, true));
        assert_eq!(against("gate: {against: first}"), Some("first".into()));
    }
}
