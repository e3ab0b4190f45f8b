//! `distill quantize --train`: a run's student is trained on as int8 hardware computes, before it is quantised.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{
    quantize::unwritten,
    run::make_student,
    train::{ExperimentArgs, TrainEnd, stop_on_interrupt, write_run_files},
};
use crate::{
    distill::{
        compress::quantize::WeightRange,
        config::{
            DistillationConfig, Experiment, GenerationsConfig, RetainConfig, StudentSection, TrainConfig, read_yaml,
        },
        durable,
        evaluate::targets_folder,
        stage::StageBook,
        train::checkpoint_path,
    },
    model::bundle::Provenance,
};

/// The learning rate as a share of that of the run: a finished student is mended and not taught anew.
const RATE_SHARE: f64 = 0.1;
/// How much what the student said in floats counts, beside the run's own losses, and how it is softened.
const RETAIN: (f32, f32) = (1.0, 2.0);

/// A run that was trained as int8 hardware computes.
pub(super) struct Aware {
    /// Its output folder.
    pub output: PathBuf,
    /// Whether part of the recordings could not be read.
    pub lost_data: bool,
}

/// A number of epochs, for the command line.
pub(super) fn epoch_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(epochs) if epochs > 0 => Ok(epochs),
        _ => Err("must be a number of epochs, at least 1".into()),
    }
}

/// Refuses what cannot be trained so: a bundle alone, which tells nothing of teachers and recordings.
pub(super) fn check_train(run: &Path) -> anyhow::Result<()> {
    if !run.is_dir() {
        bail!(
            "{}: --train trains on with the teachers and recordings of a `distill run`; give that run's output folder instead",
            run.display()
        );
    }
    Ok(())
}

/// Trains the student of a run on, in a folder beside the bundle that is to be written, up to its float bundle; what was done already is
/// not done again, and what was interrupted goes on. `origin` is what the run's bundle tells of itself; `weights` are rounded to, by
/// default those of the run. Nothing where it was interrupted.
pub(super) fn train_aware(
    run: &Path,
    origin: &Provenance,
    out: &Path,
    epochs: usize,
    weights: Option<WeightRange>,
) -> anyhow::Result<Option<Aware>> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let (run, output) = (absolute(run)?, absolute(&aware_folder(out))?);
    let before = Experiment { output: run.clone(), ..Experiment::load(&run.join("config.yaml"), &[])? };
    let config = output.join("experiment.yaml");
    let weights = weights.unwrap_or(before.train.quantize_weights);
    let aware = aware_experiment(before, &run, &output, epochs, weights);
    let text = aware.to_yaml().context("cannot write the experiment")?;
    durable::write_bytes(&config, text.as_bytes()).map_err(|error| unwritten(&config, &error))?;
    let args = ExperimentArgs::of_file(config, checkpoint_path(&output.join("train")).exists());
    let Some(mut experiment) = args.load()? else { return Ok(None) };
    experiment.written = written(origin, &experiment.train);
    let stop = stop_on_interrupt()?;
    write_run_files(&output, &experiment.to_yaml()?)?;
    let mut book = StageBook::open(&output);
    match make_student(&experiment, &args, &mut book, &stop)? {
        TrainEnd::Finished { lost_data, .. } => {
            outln!("== quantize");
            Ok(Some(Aware { output, lost_data }))
        }
        TrainEnd::Interrupted => {
            outln!("quantize: not done yet; the same command goes on with the training");
            Ok(None)
        }
    }
}

/// The folder of the training: `student_int8_aware` beside `student_int8.onnx`, and `int8_aware` beside `int8_aware.onnx`, which says it
/// already.
fn aware_folder(out: &Path) -> PathBuf {
    let stem = out.file_stem().unwrap_or(out.as_os_str()).to_string_lossy();
    let named = out.with_file_name(&*stem);
    // A bundle without an ending would lie where the folder is.
    if stem.ends_with("_aware") && named != out { named } else { out.with_file_name(format!("{stem}_aware")) }
}

/// The experiment of a run once more, as int8 hardware computes: from its student and held to it, on its targets.
fn aware_experiment(before: Experiment, run: &Path, output: &Path, epochs: usize, weights: WeightRange) -> Experiment {
    let (weight, temperature) = RETAIN;
    Experiment {
        name: format!("{}_aware", before.name),
        output: output.to_owned(),
        targets_folder: Some(targets_folder(&before)),
        student: StudentSection { inherit: Some(run.to_owned()), ..before.student },
        distillation: DistillationConfig {
            generations: GenerationsConfig::default(),
            retain: Some(RetainConfig { weight, temperature, ..RetainConfig::new(run.to_owned()) }),
            ..before.distillation
        },
        // The int8 bundle has a gate of its own.
        gate: None,
        train: TrainConfig {
            epochs,
            quantize_aware: true,
            quantize_weights: weights,
            learning_rate: before.train.learning_rate * RATE_SHARE,
            patience: 0,
            ..before.train
        },
        ..before
    }
}

/// What the bundle tells of its experiment: that of the run as it was written, without this machine's paths, with what is changed.
fn written(origin: &Provenance, train: &TrainConfig) -> String {
    let changes = [
        "train.quantize_aware=true".to_owned(),
        format!("train.quantize_weights={}", train.quantize_weights),
        format!("train.epochs={}", train.epochs),
        format!("train.learning_rate={}", train.learning_rate),
    ];
    let changed = read_yaml::<serde_yaml::Value>(&origin.config, "the bundle's experiment", &changes);
    changed.map_or_else(|_| origin.config.clone(), |(_, written)| written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_beside_the_bundle() {
        assert_eq!(aware_folder(Path::new("runs/my/small.onnx")), Path::new("runs/my/small_aware"));
        assert_eq!(aware_folder(Path::new("small.onnx")), Path::new("small_aware"));
        assert_eq!(aware_folder(Path::new("rung/int8_aware.onnx")), Path::new("rung/int8_aware"));
        assert_eq!(aware_folder(Path::new("rung/int8_aware")), Path::new("rung/int8_aware_aware"));
        assert!(epoch_count("0").is_err() && epoch_count("x").is_err() && epoch_count("3") == Ok(3));
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_train(folder.path()).is_ok());
        let error = check_train(&folder.path().join("student.onnx")).unwrap_err().to_string();
        assert!(error.contains("student.onnx: --train") && error.contains("run's output folder"), "{error}");
    }

    #[test]
    fn the_student_goes_on_from_the_run_on_its_targets() {
        let text = "{name: my, output: /runs/my, classes: [a], teachers: [{model: t.onnx}], data: [{path: x}], \
                    student: {size: small}, distillation: {generations: {count: 2}}, train: {patience: 3, batch: 4}}";
        let before: Experiment = serde_yaml::from_str(text).unwrap();
        let (run, output) = (Path::new("/runs/my"), Path::new("/runs/my/int8_aware"));
        let aware = aware_experiment(before.clone(), run, output, 6, WeightRange::Unsigned);
        assert_eq!((aware.name.as_str(), aware.output.as_path()), ("my_aware", output));
        assert_eq!(aware.targets_folder.as_deref(), Some(Path::new("/runs/my/targets")));
        assert_eq!(aware.student, StudentSection { inherit: Some(run.to_owned()), ..before.student });
        assert_eq!(aware.distillation.generations.count, 0);
        assert!(aware.distillation.retain.is_some_and(|retain| retain.run == run && retain.weight == 1.0));
        assert!(aware.train.quantize_aware && aware.train.learning_rate < 0.2 * before.train.learning_rate);
        assert_eq!((aware.train.epochs, aware.train.patience, aware.train.batch), (6, 0, 4));
        assert_eq!(aware.train.quantize_weights, WeightRange::Unsigned);
    }

    #[test]
    fn the_bundle_tells_the_experiment_as_it_was_written() {
        let origin = Provenance { config: "name: my\ntrain: {epochs: 40}\n".to_owned(), ..Provenance::default() };
        let quantize_weights = WeightRange::Full;
        let train = TrainConfig { epochs: 6, learning_rate: 0.0002, quantize_weights, ..TrainConfig::default() };
        let told = written(&origin, &train);
        assert!(
            told.contains("epochs: 6") && told.contains("quantize_aware: true") && told.contains("name: my"),
            "{told}"
        );
        assert!(told.contains("quantize_weights: full"), "{told}");
        assert_eq!(written(&Provenance { config: "[".to_owned(), ..origin }, &train), "[");
    }
}
