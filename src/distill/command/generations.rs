//! Generations of self-distillation: students that are each taught by the ones before (Furlanello et al. 2018), with a gate.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use anyhow::Context;

use super::{
    WorkFailed,
    run::{export_stage, header, label_stage},
    train::{ExperimentArgs, TrainEnd, train_stage, write_run_files},
};
use crate::distill::{
    config::{Experiment, GenerationsConfig, TargetSource},
    durable,
    evaluate::{bundle_path, targets_folder},
    stage::StageBook,
    teacher::TeacherConfig,
    train::{Generation, Lineage, best_validation, mixed},
};

/// Trains generation after generation until one does not pass the gate; the best one's files become the run's.
pub(super) fn train_generations(
    experiment: &Experiment,
    args: &ExperimentArgs,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<TrainEnd> {
    let GenerationsConfig { count, gate, .. } = experiment.distillation.generations;
    let mut generations = Vec::new();
    let mut kept: Vec<PathBuf> = Vec::new();
    let mut best: Option<(usize, Option<f64>, String)> = None;
    let mut lost_data = false;
    for number in 0..=count {
        header(&format!("generation {number}"));
        let generation = generation(experiment, number, &kept);
        write_run_files(&generation.output, &generation.to_yaml()?)?;
        let mut own_book = StageBook::open(&generation.output);
        if number > 0 {
            match label_stage(&generation, stop)? {
                Some(lost) => lost_data |= lost,
                None => return Ok(TrainEnd::Interrupted),
            }
        }
        let hash = match train_stage(&generation, args, &mut own_book, stop)? {
            TrainEnd::Finished { hash, lost_data: lost } => {
                lost_data |= lost;
                hash
            }
            TrainEnd::Interrupted => return Ok(TrainEnd::Interrupted),
        };
        export_stage(&generation, &hash, &mut own_book)?;
        let ap = best_validation(&generation.output.join("train"))?.map(|best| best.ap);
        // Without validation there is nothing to choose by: the last generation is taken, as the last weights are.
        let passes = match (&best, ap) {
            (Some((_, Some(best), _)), Some(ap)) => ap > best + gate,
            _ => true,
        };
        generations.push(Generation { folder: folder_name(number), validation_ap: ap, kept: passes });
        let figure = ap.map_or("unknown".to_owned(), |ap| format!("{ap:.3}"));
        if !passes {
            outln!(
                "generation {number}: validation AP {figure}, not better than the one before: not kept, and the last"
            );
            break;
        }
        outln!("generation {number}: validation AP {figure}, kept");
        kept.push(bundle_path(&generation.output));
        best = Some((number, ap, hash));
    }
    // The first generation passes in any case.
    let Some((chosen, _, hash)) = best else { return Ok(TrainEnd::Interrupted) };
    let failed = |error: std::io::Error| WorkFailed(format!("{}: {error}", experiment.output.display()));
    if !book.is_done("generations", &hash, &bundle_path(&experiment.output)) {
        for stage in ["export", "evaluate", "forgetting"] {
            book.forget(stage);
        }
        // What was trained there without generations is no longer there.
        book.begin("train", &hash).map_err(failed)?;
        let from = experiment.output.join(folder_name(chosen));
        for file in ["student.onnx", "train/best.bpk", "train/metrics.jsonl"] {
            copy(&from.join(file), &experiment.output.join(file))?;
        }
        book.finish("generations", &hash, lost_data).map_err(failed)?;
    }
    let path = experiment.output.join("generations.json");
    durable::write_bytes(&path, &serde_json::to_vec_pretty(&Lineage { generations, chosen })?)
        .map_err(|error| WorkFailed(format!("{}: {error}", path.display())))?;
    outln!("generations: generation {chosen} is taken; {}", path.display());
    Ok(TrainEnd::Finished { hash, lost_data })
}

fn folder_name(number: usize) -> String {
    format!("generation_{number}")
}

/// The experiment of one generation: taught by those that were kept, judged by what the first one was.
fn generation(experiment: &Experiment, number: usize, kept: &[PathBuf]) -> Experiment {
    let GenerationsConfig { keep_teachers, ensemble, trust, .. } = experiment.distillation.generations;
    let mut generation = experiment.clone();
    generation.output = experiment.output.join(folder_name(number));
    generation.distillation.generations = GenerationsConfig::default();
    if number == 0 {
        generation.targets_folder = Some(targets_folder(experiment));
        return generation;
    }
    generation.seed = seed_of(experiment.seed, number);
    let students = if ensemble { kept } else { kept.last().map(std::slice::from_ref).unwrap_or_default() };
    let students = students.iter().enumerate().map(|(place, model)| TeacherConfig {
        name: Some(format!("generation_{}", if ensemble { place } else { number - 1 })),
        trust,
        ..TeacherConfig::new(model.clone())
    });
    if !keep_teachers {
        generation.teachers.clear();
    }
    generation.teachers.extend(students);
    generation.targets_folder = Some(generation.output.join("targets"));
    if experiment.targets == TargetSource::Teachers && experiment.validation_targets.is_none() {
        generation.validation_targets = Some(targets_folder(experiment));
    }
    // Where truth taught the first student, students teach the next ones; what truth there is goes on judging.
    generation.targets = TargetSource::Teachers;
    generation
}

/// The seed of a generation after the first. Each is born anew, with other initial weights and another order of the frames, and shares
/// them with no run of another seed: seeds of one experiment are mostly neighbours. 53 bits, which every reader of JSON keeps.
fn seed_of(seed: u64, number: usize) -> u64 {
    mixed(&[seed, number as u64]) >> 11
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
    durable::write_bytes(to, &bytes).map_err(|error| WorkFailed(format!("{}: {error}", to.display())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn experiment() -> Experiment {
        let text = "{name: tiny, classes: [a], output: /out, data: [{path: x}], teachers: [{name: t, model: t.onnx}], \
                    distillation: {generations: {count: 2, trust: 0.5}}}";
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn generations_are_taught_by_the_kept_ones_and_judged_alike() {
        let mut experiment = experiment();
        let kept = [PathBuf::from("/out/generation_0/student.onnx"), PathBuf::from("/out/generation_1/student.onnx")];
        let first = generation(&experiment, 0, &[]);
        assert_eq!((first.targets_folder.as_deref(), first.teachers.len()), (Some(Path::new("/out/targets")), 1));
        assert_eq!((first.seed, first.validation_targets), (experiment.seed, None));

        let third = generation(&experiment, 2, &kept);
        assert_eq!(third.output, Path::new("/out/generation_2"));
        let names: Vec<String> = third.teachers.iter().map(TeacherConfig::display_name).collect();
        assert_eq!(names, ["t", "generation_1"]);
        assert_eq!((third.teachers[1].trust, &third.teachers[1].model), (0.5, &kept[1]));
        assert_eq!(third.targets_folder.as_deref(), Some(Path::new("/out/generation_2/targets")));
        assert_eq!(third.validation_targets.as_deref(), Some(Path::new("/out/targets")));
        assert_ne!(third.seed, experiment.seed);

        experiment.distillation.generations.ensemble = true;
        experiment.distillation.generations.keep_teachers = false;
        let names: Vec<String> =
            generation(&experiment, 2, &kept).teachers.iter().map(TeacherConfig::display_name).collect();
        assert_eq!(names, ["generation_0", "generation_1"]);
    }

    #[test]
    fn no_generation_of_any_seed_begins_like_another() {
        let mut seeds = BTreeSet::new();
        for seed in 0..20 {
            let experiment = Experiment { seed, ..experiment() };
            for number in 0..4 {
                seeds.insert(generation(&experiment, number, &[]).seed);
            }
            assert_eq!(
                generation(&experiment, 0, &[]).seed,
                seed,
                "the first student is the one of a run without generations"
            );
        }
        assert_eq!(seeds.len(), 20 * 4);
        assert!(seeds.iter().all(|seed| *seed < 1 << 53));
    }
}
