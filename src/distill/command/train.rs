//! `distill train`: a student from targets that are there already.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use burn::tensor::Device;
use clap::Args;
use serde::Serialize;

use super::{Outcome, WorkFailed, train_display::TrainDisplay};
use crate::distill::{
    audit::earned_trust,
    bag::{Frames, TruthSource},
    compress::prune::Gate,
    config::{ConfigError, Experiment, TargetSource, is_lidar},
    durable,
    evaluate::{bundle_path, targets_folder},
    stage,
    stage::StageBook,
    targets::TargetSet,
    teacher::TeacherConfig,
    train::{
        Gathered, Preparation, Retained, TrainError, TrainJob, TrainReport, Workers, check_inheritance,
        checkpoint_path, gather, train, truth_source, waiting_advice, weights_path,
    },
};

/// Train the student of an experiment on soft targets that are there already (or on the recordings' own truth).
///
/// Usually `distill run` does this between labelling and export; alone:
///
///   distill train config/distill/indoor_person.yaml
///
/// Try other settings without another file, or go on after Ctrl-C or a power cut:
///
///   distill train my.yaml --set train.epochs=80 --set output=runs/longer
///   distill train my.yaml --resume
///
/// In the output folder's `train/`: checkpoint.bin (all that --resume needs), best.bpk (the best weights by validation),
/// metrics.jsonl (one line an epoch), events/ (with train.tensorboard). Ctrl-C writes a checkpoint and ends with exit code 0.
///
/// Watch it from elsewhere while it trains: each epoch's figures in metrics.jsonl, or in TensorBoard (`pip install tensorboard`)
/// curves of each step's losses, gradient norm and learning rate, of validation and speed; of all runs below a folder, if you like:
///
///   tail -f runs/my/train/metrics.jsonl
///   distill train my.yaml --set train.tensorboard=true
///   tensorboard --logdir runs/my/train/events
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct TrainArgs {
    #[command(flatten)]
    pub(super) experiment: ExperimentArgs,
}

/// The experiment and how to go about it.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// The experiment.
    #[arg(value_name = "CONFIG.yaml")]
    pub(super) config: PathBuf,
    /// Change a value of the experiment, to any YAML, whole lists and maps too; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to train: cpu, or in builds with these features cuda or wgpu, several of which are told apart as cuda:0, cuda:1.
    /// The same as --set train.device=...
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Go on with a training that was interrupted.
    #[arg(long)]
    pub(super) resume: bool,
    /// Throw an interrupted training away and start anew.
    #[arg(long, conflicts_with = "resume")]
    pub(super) restart: bool,
    /// Print the experiment with all defaults and absolute paths, and do nothing else.
    #[arg(long)]
    pub(super) print_config: bool,
}

impl ExperimentArgs {
    /// An experiment's file as it stands.
    pub(super) fn of_file(config: PathBuf, resume: bool) -> Self {
        Self { config, set: Vec::new(), device: None, resume, restart: false, print_config: false }
    }

    /// Reads the experiment; prints it when that is all that is wanted, then there is none.
    pub(super) fn load(&self) -> anyhow::Result<Option<Experiment>> {
        let experiment = Experiment::load(&self.config, &self.overrides())?;
        if self.print_config {
            out!("{}", experiment.to_yaml().context("cannot write the experiment as YAML")?);
            return Ok(None);
        }
        check_inputs(&self.config, &experiment)?;
        use_threads(experiment.threads);
        Ok(Some(experiment))
    }

    /// The values of the experiment that are changed.
    pub(super) fn overrides(&self) -> Vec<String> {
        let device = self.device.iter().map(|device| format!("train.device={device}"));
        self.set.iter().cloned().chain(device).collect()
    }
}

/// Whether a file is an experiment of lidar. What cannot be read is told by whoever loads it.
pub(super) fn is_lidar_file(config: &Path) -> bool {
    std::fs::read_to_string(config).is_ok_and(|text| is_lidar(&text))
}

/// Refuses experiments of lidar among files that are recordings, models or teachers.
pub(super) fn refuse_lidar<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), ConfigError> {
    // Other files may be large, and are no text.
    let is_yaml = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let lidar = files.into_iter().filter(is_yaml).find(|path| is_lidar_file(path));
    lidar.map_or(Ok(()), |path| Err(ConfigError::Lidar { path: path.clone() }))
}

/// Lets so many threads compute, or all cores for 0.
pub(super) fn use_threads(threads: usize) {
    if threads > 0 {
        // Only the first pool of a process counts; a second one is asked for in tests alone.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}

/// Looks at everything that the experiment reads before anything is computed or written. `config` is its file, for messages.
pub(super) fn check_inputs(config: &Path, experiment: &Experiment) -> anyhow::Result<()> {
    for (index, data) in experiment.data.iter().enumerate() {
        if !data.path.exists() {
            bail!("{}: data.{index}.path: {} is not there", config.display(), data.path.display());
        }
    }
    let asked = experiment.targets == TargetSource::Teachers || experiment.distillation.needs_teachers();
    for teacher in experiment.teachers.iter().filter(|_| asked) {
        teacher.check_files()?;
    }
    if let Some(folder) = &experiment.evaluate.targets
        && !folder.exists()
    {
        bail!("{}: evaluate.targets: {} is not there", config.display(), folder.display());
    }
    if let Some(gate) = Gate::of(experiment)
        && !bundle_path(&gate.against).exists()
    {
        bail!(
            "{}: gate.against (or the run that `student.inherit` was cut from): {} is not there; name the output folder of a finished `distill run`",
            config.display(),
            bundle_path(&gate.against).display()
        );
    }
    check_inheritance(experiment).with_context(|| config.display().to_string())?;
    // The earlier student is small: reading it finds all that can be wrong with it.
    Retained::load(experiment, &Device::flex()).with_context(|| config.display().to_string())?;
    for (index, data) in experiment.data.iter().enumerate() {
        // Opening finds a wrong topic or truth; nothing is decoded.
        Frames::open(&data.path, data.topic.as_deref(), truth_source(data))
            .with_context(|| format!("{}: data.{index}", config.display()))?;
    }
    Ok(())
}

/// Trains, with progress on stderr and a summary on stdout.
pub fn run(args: TrainArgs) -> anyhow::Result<Outcome> {
    let Some(experiment) = args.experiment.load()? else { return Ok(Outcome::Done) };
    let stop = stop_on_interrupt()?;
    write_run_files(&experiment.output, &experiment.to_yaml()?)?;
    let mut book = StageBook::open(&experiment.output);
    match train_stage(&experiment, &args.experiment, &mut book, &stop)? {
        TrainEnd::Interrupted => Ok(Outcome::Done),
        TrainEnd::Finished { lost_data: true, .. } => Ok(Outcome::DataLost),
        TrainEnd::Finished { .. } => Ok(Outcome::Done),
    }
}

/// A flag that Ctrl-C sets.
pub(super) fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if handler.swap(true, Ordering::Relaxed) {
            // A second Ctrl-C does not wait.
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Writes what a run is made of beside its results: `config.yaml`, which is the whole experiment, and `versions.json`.
pub(super) fn write_run_files(output: &Path, experiment: &str) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Versions {
        distilled_perception: &'static str,
        burn: &'static str,
        os: &'static str,
        architecture: &'static str,
    }
    let versions = Versions {
        distilled_perception: env!("CARGO_PKG_VERSION"),
        burn: "0.22.1",
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = output.join(name);
        durable::write_bytes(&path, bytes).map_err(|error| WorkFailed(format!("{}: {error}", path.display())))
    };
    write("config.yaml", experiment.as_bytes())?;
    write("versions.json", &serde_json::to_vec_pretty(&versions)?)?;
    Ok(())
}

/// How the training stage ended.
pub(super) enum TrainEnd {
    /// The best weights are in the training folder.
    Finished {
        /// Hash over all that decided them.
        hash: String,
        /// Whether part of the recordings could not be read.
        lost_data: bool,
    },
    /// A checkpoint was written; `--resume` goes on.
    Interrupted,
}

/// Trains, or finds that this was done already.
pub(super) fn train_stage(
    experiment: &Experiment,
    args: &ExperimentArgs,
    book: &mut StageBook,
    stop: &AtomicBool,
) -> anyhow::Result<TrainEnd> {
    let Learnt { experiment, targets, validation } = &learnt(experiment)?;
    let (targets, validation) = (targets.as_ref(), validation.as_ref());
    let hash = train_hash(experiment, targets, validation)?;
    let folder = experiment.output.join("train");
    let later = ["generations", "export", "evaluate", "forgetting"];
    let Some(resume) = begin_training("train", &hash, &folder, &later, args, book)? else {
        return Ok(TrainEnd::Finished { hash, lost_data: book.lost_data("train") });
    };

    let start = Instant::now();
    let gathered = gather(experiment, targets, validation).map_err(failed)?;
    print_gathered(&gathered, start.elapsed());
    let job =
        TrainJob { experiment, folder: &folder, resume, train: &gathered.train, validation: &gathered.validation };
    let mut display = TrainDisplay::new(experiment.train.epochs, "images", stop);
    let result = train(&job, &mut display);
    display.finish();
    let report = result.map_err(failed)?;
    print_report(&report, experiment);
    if report.interrupted {
        outln!("stopped; a checkpoint is in {}; go on with --resume", folder.display());
        return Ok(TrainEnd::Interrupted);
    }
    book.finish("train", &hash, gathered.lost_data())
        .map_err(|error| WorkFailed(format!("{}: {error}", experiment.output.display())))?;
    Ok(TrainEnd::Finished { hash, lost_data: gathered.lost_data() })
}

/// Notes that a stage of training begins in a folder, and says whether it goes on from the folder's checkpoint; nothing when it was
/// done already. The stages `later` are then to be done again.
pub(super) fn begin_training(
    stage: &str,
    hash: &str,
    folder: &Path,
    later: &[&str],
    args: &ExperimentArgs,
    book: &mut StageBook,
) -> anyhow::Result<Option<bool>> {
    if book.is_done(stage, hash, &weights_path(folder)) && !args.restart {
        outln!("{stage}: done already, {}", weights_path(folder).display());
        return Ok(None);
    }
    let interrupted = checkpoint_path(folder).exists() && !book.is_of_other_inputs(stage, hash);
    if interrupted && !args.resume && !args.restart {
        bail!("an interrupted training is in {}; go on with --resume, or start anew with --restart", folder.display());
    }
    if book.is_of_other_inputs(stage, hash) {
        outln!("{stage}: settings or data changed since the last training in {}; starting anew", folder.display());
    }
    let resume = interrupted && args.resume;
    if args.resume && !interrupted {
        outln!("{stage}: nothing to resume for these settings, starting from the beginning");
    }
    if !resume {
        // Of other settings or data; left here, a later --resume would take it for this training's.
        let old = checkpoint_path(folder);
        durable::remove_file(&old).map_err(|error| WorkFailed(format!("{}: {error}", old.display())))?;
    }
    for later in later {
        book.forget(later);
    }
    book.begin(stage, hash).map_err(|error| WorkFailed(format!("{}: {error}", folder.display())))?;
    Ok(Some(resume))
}

/// The soft targets of an experiment.
pub(super) fn read_targets(experiment: &Experiment) -> anyhow::Result<TargetSet> {
    let folder = targets_folder(experiment);
    if !folder.exists() {
        bail!(
            "there are no soft targets in {} yet; make them with `distill label`, or run all stages with `distill run`",
            folder.display()
        );
    }
    Ok(TargetSet::read(&folder)?)
}

/// What an experiment learns from.
pub(super) struct Learnt {
    /// The experiment, its teachers trusted as far as their targets are.
    pub experiment: Experiment,
    /// The soft targets, unless it learns from the truth alone.
    pub targets: Option<TargetSet>,
    /// Those that it is validated by, where these are others.
    pub validation: Option<TargetSet>,
}

/// Reads the soft targets of an experiment, fused with the trust that it wants.
pub(super) fn learnt(experiment: &Experiment) -> anyhow::Result<Learnt> {
    let targets = match experiment.targets {
        TargetSource::Teachers => Some(trusted(experiment, read_targets(experiment)?)?),
        TargetSource::Truth => None,
    };
    let mut experiment = experiment.clone();
    if let Some(targets) = &targets {
        // Images that are labelled anew are labelled with the same trust.
        for (teacher, learnt) in experiment.teachers.iter_mut().zip(&targets.teachers) {
            teacher.trust = learnt.trust;
        }
    }
    let validation = experiment.validation_targets.as_ref();
    let validation = validation.map(|folder| trusted(&experiment, TargetSet::read(folder)?)).transpose()?;
    Ok(Learnt { experiment, targets, validation })
}

/// Soft targets, fused with the trust that the experiment wants.
fn trusted(experiment: &Experiment, targets: TargetSet) -> anyhow::Result<TargetSet> {
    let Some(trust) = earned_trust(experiment, &targets)? else { return Ok(targets) };
    let told: Vec<String> =
        targets.teachers.iter().zip(&trust).map(|(teacher, trust)| format!("{} {trust:.2}", teacher.name)).collect();
    outln!("train: trust earned by the teachers: {}", told.join(", "));
    Ok(targets.trusting(&trust, experiment.fusion))
}

/// What tells whether an experiment's recordings, or how they are used, have changed.
pub(super) fn data_identity(experiment: &Experiment) -> anyhow::Result<serde_json::Value> {
    let inputs = experiment
        .data
        .iter()
        .map(|data| {
            let hash = stage::input_hash(&data.path).with_context(|| data.path.display().to_string())?;
            let coco = match truth_source(data) {
                TruthSource::Coco(path) => Some(stage::input_hash(&path).with_context(|| path.display().to_string())?),
                _ => None,
            };
            Ok((hash, coco, &data.topic, &data.truth, data.block, data.unlabelled))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(serde_json::to_value(inputs)?)
}

/// A hash over all that decides the trained weights.
fn train_hash(
    experiment: &Experiment,
    targets: Option<&TargetSet>,
    validation: Option<&TargetSet>,
) -> anyhow::Result<String> {
    let inputs = data_identity(experiment)?;
    let Experiment { seed, classes, split, student, losses, distillation, train, augment, evaluate, .. } = experiment;
    let tutors: &[TeacherConfig] = if distillation.needs_teachers() { &experiment.teachers } else { &[] };
    let files = tutors.iter().flat_map(TeacherConfig::paths);
    let files = files.map(|path| stage::input_hash(path).with_context(|| path.display().to_string()));
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    // Some may be labelled later.
    let identity = |targets: &TargetSet| (targets.config_hash.clone(), targets.frames.len());
    let weights_of = |key: &str, run: &Path| {
        let weights = weights_path(&run.join("train"));
        stage::input_hash(&weights).with_context(|| format!("{key}: {}", weights.display()))
    };
    let inherited = student.inherit.as_ref().map(|run| weights_of("student.inherit", run));
    let retained = distillation.retain.as_ref().map(|retain| weights_of("distillation.retain.run", &retain.run));
    Ok(stage::hash_of(&serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "inherited": inherited.transpose()?,
        "retained": retained.transpose()?,
        "inputs": inputs,
        "targets": targets.map(identity),
        "validation": validation.map(identity),
        "seed": seed,
        "classes": classes,
        "split": split,
        "student": student,
        "losses": losses,
        "distillation": distillation,
        "teachers": (tutors, files, distillation.needs_teachers().then_some(experiment.fusion)),
        "train": train.deciding(),
        "augment": augment,
        "truth_score": evaluate.target_score,
    })))
}

/// A training's failure with the exit code that it deserves.
pub(super) fn failed(error: TrainError) -> anyhow::Error {
    if error.is_work_failure() { WorkFailed(error.to_string()).into() } else { error.into() }
}

/// Tells what the recordings gave, and how long that took.
pub(super) fn print_gathered(gathered: &Gathered, seconds: Duration) {
    for recording in &gathered.recordings {
        let mut line = format!(
            "{}: {} frames train, {} validation, {} test, {} in the gaps",
            recording.path.display(),
            recording.train,
            recording.validation,
            recording.test,
            recording.gap
        );
        for (count, what) in [(recording.unlabelled, "without targets"), (recording.undecodable, "not decodable")] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
            }
        }
        outln!("{line}");
    }
    for loss in &gathered.losses {
        outln!("lost: {loss}");
    }
    let (memory, file) = gathered.train.size();
    outln!(
        "{} boxes to learn, {} to validate; decoded in {:.1} s, {} MB in memory, {} MB in a temporary file",
        gathered.train.boxes(),
        gathered.validation.boxes(),
        seconds.as_secs_f64(),
        memory >> 20,
        file >> 20
    );
}

fn print_report(report: &TrainReport, experiment: &Experiment) {
    outln!(
        "trained {} images in {:.0} s: {:.1} images/s, {:.1} % of the time waiting for images",
        report.images,
        report.seconds,
        report.images_per_second(),
        100.0 * report.wait_share
    );
    let workers = Workers::new(experiment.train.workers).count();
    let preparation = if experiment.distillation.needs_teachers() {
        Preparation::Teachers(workers)
    } else {
        Preparation::Workers(workers)
    };
    if let Some(advice) = waiting_advice(report.wait_share, preparation) {
        outln!("{advice}");
    }
    match &report.best {
        Some(best) => outln!(
            "best validation in epoch {} of {}: AP {:.3}, AP50 {:.3}",
            best.epoch + 1,
            experiment.train.epochs,
            best.ap,
            best.ap50
        ),
        None => outln!("nothing to validate on: the last weights are taken"),
    }
}
