//! What a cut student is in a folder of its own, and the experiment in which it learns again.

use std::path::Path;

use crate::distill::{
    config::{
        DistillationConfig, Experiment, GateConfig, GenerationsConfig, RetainConfig, StudentSection, TargetSource,
    },
    evaluate::targets_folder,
    student::Channels,
};

/// The file that tells that a folder holds a cut student.
pub const REPORT_FILE: &str = "prune.json";
/// What is left of a run's learning rate while a cut student learns again: it is near where it shall be.
const RATE: f64 = 0.3;
/// Epochs in which it learns at least, unless they are named.
const FEWEST_EPOCHS: usize = 5;
/// What its name ends with.
const SUFFIX: &str = "_pruned";

/// The epochs that recovery takes by default: a quarter of those of the run that was cut.
pub fn default_epochs(of_run: usize) -> usize {
    of_run.div_ceil(4).max(FEWEST_EPOCHS)
}

/// The experiment of a finished run with a cut student, as a folder of its own: it starts from nothing and uses the run's soft targets.
pub fn cut_experiment(experiment: &Experiment, channels: Channels, folder: &Path) -> Experiment {
    let targets = (experiment.targets == TargetSource::Teachers).then(|| targets_folder(experiment));
    let name = &experiment.name;
    Experiment {
        name: if name.ends_with(SUFFIX) { name.clone() } else { format!("{name}{SUFFIX}") },
        output: folder.to_owned(),
        targets_folder: targets,
        student: StudentSection { channels: Some(channels), inherit: None, ..experiment.student.clone() },
        distillation: DistillationConfig {
            retain: None,
            generations: GenerationsConfig::default(),
            ..experiment.distillation.clone()
        },
        gate: None,
        ..experiment.clone()
    }
}

/// The experiment in which the cut student of a folder learns again what the run's student knows: from its weights, from all that taught
/// the run's student, and from that student itself.
///
/// Where the run's student is one that was cut and has learnt again, the student that was not cut goes on teaching. Beside that one it
/// may lose `budget` points of AP50 on the validation block; by default as many as the run's student might.
pub fn recovery(experiment: &Experiment, cut: &Experiment, epochs: usize, budget: Option<f64>) -> Experiment {
    let uncut = unpruned(experiment);
    let gate = experiment.gate.clone().unwrap_or_default();
    let mut recovery = cut.clone();
    recovery.gate =
        Some(GateConfig { against: Some(uncut.run.clone()), budget: budget.unwrap_or(gate.budget), force: false });
    recovery.output = cut.output.join("distilled");
    recovery.student.inherit = Some(cut.output.clone());
    recovery.distillation.retain = Some(uncut);
    recovery.train.epochs = epochs;
    recovery.train.learning_rate = experiment.train.learning_rate * if is_cut(experiment) { 1.0 } else { RATE };
    recovery
}

/// The student that was never cut.
fn unpruned(experiment: &Experiment) -> RetainConfig {
    match &experiment.distillation.retain {
        Some(retain) if is_cut(experiment) => retain.clone(),
        _ => RetainConfig::new(experiment.output.clone()),
    }
}

/// Whether a run is the recovery of a cut student.
pub(in crate::distill) fn is_cut(experiment: &Experiment) -> bool {
    experiment.student.inherit.as_ref().is_some_and(|folder| folder.join(REPORT_FILE).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::student::Size;

    fn experiment(folder: &Path) -> Experiment {
        let text = "{name: aisle, output: out, classes: [a], data: [{path: x}], teachers: [{model: t.onnx}], \
                    student: {inherit: larger}, train: {epochs: 30, learning_rate: 0.01}, \
                    distillation: {generations: {count: 2}}}";
        Experiment { output: folder.join("run"), ..serde_yaml::from_str(text).unwrap() }
    }

    #[test]
    fn a_cut_student_learns_from_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let run = experiment(folder);
        assert_eq!(default_epochs(run.train.epochs), 8);
        let channels = Channels { stem: 8, ..Channels::of(Size::Micro) };
        let cut = cut_experiment(&run, channels, &folder.join("cut"));
        assert_eq!((cut.name.as_str(), &cut.student.inherit), ("aisle_pruned", &None));
        assert_eq!(cut.targets_folder.as_deref(), Some(&*folder.join("run/targets")));
        assert_eq!((cut.student.channels, cut.distillation.generations.count), (Some(channels), 0));
        assert_eq!(cut.gate, None);
        let first = recovery(&run, &cut, 8, Some(2.5));
        assert_eq!((first.output.clone(), first.train.epochs), (folder.join("cut/distilled"), 8));
        assert_eq!(first.student.inherit.as_deref(), Some(&*folder.join("cut")));
        assert_eq!(first.distillation.retain.as_ref().unwrap().run, folder.join("run"));
        assert!((first.train.learning_rate - 0.003).abs() < 1e-12);
        let gate = first.gate.clone().unwrap();
        assert_eq!((gate.against, gate.budget, gate.force), (Some(folder.join("run")), 2.5, false));

        // The next round: the first student teaches, and the learning rate sinks no further.
        std::fs::create_dir(folder.join("cut")).unwrap();
        std::fs::write(folder.join("cut").join(REPORT_FILE), "{}").unwrap();
        let cut = cut_experiment(&first, channels, &folder.join("second"));
        assert_eq!((cut.name.as_str(), cut.targets_folder.as_ref()), ("aisle_pruned", first.targets_folder.as_ref()));
        assert_eq!(cut.gate, None);
        let second = recovery(&first, &cut, 5, None);
        // Losses of several rounds add up, so that each is held against the student that nothing was cut from.
        assert_eq!(second.gate, first.gate);
        assert_eq!(second.distillation.retain.unwrap().run, folder.join("run"));
        assert_eq!(second.train.learning_rate, first.train.learning_rate);
    }
}
