//! `distill run` of a lidar experiment: label -> train -> export -> evaluate -> report.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail};
use burn::{module::Module, tensor::Device};

use super::{
    Outcome, WorkFailed,
    label_lidar::label_stage,
    run::{finish_export, has_changed, header, provenance, report_stage},
    samples::add_sweep_samples,
    score_profile::add_sweep_profile,
    train::{ExperimentArgs, begin_training, failed, stop_on_interrupt, use_threads, write_run_files},
    train_display::TrainDisplay,
};
use crate::{
    distill::{
        digest::file_sha256,
        evaluate::bundle_path,
        figure_table::figure,
        lidar::{
            Example, LidarExperiment, LidarStudent,
            blocks::Blocks,
            export::export_lidar,
            labels::{LabelSource, LidarTeacher},
            rounds::OwnLabels,
            train::{LidarTrainJob, LidarTrainReport, train_lidar},
            validate::LidarValidator,
        },
        stage::{StageBook, hash_of},
        student,
        teacher::TeacherConfig,
        train::{Preparation, best_validation, device, waiting_advice, weights_path},
    },
    model::{
        bundle::{BundleMetadata, TeacherSource},
        lidar::LidarSpec,
    },
};

/// What a run's page shows, beside the experiment.
const SHOWN: [&str; 4] = ["report.json", "train/metrics.jsonl", "train_own/metrics.jsonl", "gallery/gallery.json"];

/// Runs the stages of a lidar experiment one after the other.
pub(super) fn run_lidar(args: &ExperimentArgs) -> anyhow::Result<Outcome> {
    let experiment = LidarExperiment::load(&args.config, &args.overrides())?;
    let yaml = experiment.to_yaml().context("cannot write the experiment as YAML")?;
    if args.print_config {
        out!("{yaml}");
        return Ok(Outcome::Done);
    }
    check_inputs(&args.config, &experiment)?;
    use_threads(experiment.threads);
    let stop = stop_on_interrupt()?;
    let mut book = StageBook::open(&experiment.output);
    let unwritten = |error: std::io::Error| WorkFailed(format!("{}: {error}", experiment.output.display()));
    if has_changed(&experiment.output, &yaml) {
        // The figures that are there are of other settings until they are made again.
        book.begin("evaluate", "").map_err(unwritten)?;
    }
    write_run_files(&experiment.output, &yaml)?;

    header("label");
    let Some(labelled) = label_stage(&experiment, &mut book, &stop)? else { return Ok(Outcome::Done) };
    let blocks = Blocks::new(&experiment, &labelled.recordings)?;
    let sweeps = blocks.recordings.iter().flat_map(|recording| &recording.train).map(|sweep| &sweep.sweep);
    let grid = experiment.sensor.grid(sweeps);
    let grid = grid.map_err(|message| anyhow::anyhow!("{}: sensor: {message}", args.config.display()))?;
    // Thresholds are none of the training's business: one that is changed costs no training.
    let spec = LidarSpec { class_thresholds: BTreeMap::new(), ..experiment.spec(grid) };
    let run = LidarRun { experiment: &experiment, args, blocks: &blocks, spec: &spec, stop: &stop };

    header("train");
    let Some(trained) = run.train_stage(&labelled.hash, &mut book)? else { return Ok(Outcome::Done) };
    header("export");
    run.export_stage(&trained, &mut book)?;
    if stop.load(Ordering::Relaxed) {
        outln!("stopped; the same command goes on");
        return Ok(Outcome::Done);
    }
    header("evaluate");
    if run.evaluate_stage(&trained, &labelled, &mut book)? && !stop.load(Ordering::Relaxed) {
        header("report");
        report_stage(&experiment.output, &yaml, &SHOWN, &mut book)?;
    }
    Ok(if labelled.has_lost_data() { Outcome::DataLost } else { Outcome::Done })
}

/// Looks at everything that the experiment reads before anything is computed or written.
fn check_inputs(config: &Path, experiment: &LidarExperiment) -> anyhow::Result<()> {
    for (index, data) in experiment.data.iter().enumerate() {
        if let Some(path) = data.paths().find(|path| !path.exists()) {
            bail!("{}: data.{index}: {} is not there", config.display(), path.display());
        }
    }
    for teacher in teachers(experiment) {
        teacher.check_files()?;
    }
    Ok(())
}

/// The camera teachers, as far as any recording is labelled by them.
fn teachers(experiment: &LidarExperiment) -> &[TeacherConfig] {
    if experiment.asks_teachers() { &experiment.teachers } else { &[] }
}

/// The lidar detectors that label.
fn lidar_teachers(experiment: &LidarExperiment) -> Vec<&LidarTeacher> {
    let sources = experiment.data.iter().flat_map(|data| &data.labels);
    let mut teachers: Vec<&LidarTeacher> = Vec::new();
    for source in sources {
        if let LabelSource::Teacher(teacher) = source
            && !teachers.iter().any(|known| known.model == teacher.model)
        {
            teachers.push(teacher);
        }
    }
    teachers
}

/// A trained student.
pub(super) struct Trained {
    /// Over all that decided its weights.
    hash: String,
    /// Where they are.
    pub weights: PathBuf,
}

/// What the stages after the labelling have in common.
pub(super) struct LidarRun<'a> {
    pub experiment: &'a LidarExperiment,
    args: &'a ExperimentArgs,
    pub blocks: &'a Blocks<'a>,
    spec: &'a LidarSpec,
    stop: &'a AtomicBool,
}

impl LidarRun<'_> {
    /// Whether Ctrl-C was pressed.
    pub fn watched(&self) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Trains, once more on the student's own labels where the experiment wants it; nothing when it was stopped.
    fn train_stage(&self, labels: &str, book: &mut StageBook) -> anyhow::Result<Option<Trained>> {
        let experiment = self.experiment;
        let hash = self.train_hash(labels);
        let folder = experiment.output.join("train");
        if let Some(resume) =
            begin_training("train", &hash, &folder, &["train_own", "export", "evaluate"], self.args, book)?
        {
            let examples = self.blocks.examples().map_err(failed)?;
            self.tell_blocks(&examples);
            if !self.train("train", &hash, &folder, resume, &examples, book)? {
                return Ok(None);
            }
        }
        let first = Trained { hash, weights: weights_path(&folder) };
        let Some(own) = &experiment.self_training else { return Ok(Some(first)) };
        let second_folder = experiment.output.join("train_own");
        let hash = hash_of(&(&first.hash, own));
        if let Some(resume) =
            begin_training("train_own", &hash, &second_folder, &["export", "evaluate"], self.args, book)?
        {
            let device = device(&experiment.train.device).map_err(failed)?;
            let student = self.load(&first.weights, &device)?;
            let batch = experiment.train.batch;
            let mut watch = || self.watched();
            let labels = OwnLabels::new(&student, self.blocks, self.spec, &own.consistency, batch, &device, &mut watch);
            let Some(labels) = labels.map_err(failed)? else {
                outln!("stopped; the same command goes on");
                return Ok(None);
            };
            outln!(
                "the student labels {} points more, with {} objects, and learns anew",
                labels.points,
                labels.objects
            );
            if !self.train("train_own", &hash, &second_folder, resume, &labels.examples(self.blocks), book)? {
                return Ok(None);
            }
        }
        let worth = |folder: &Path| best_validation(folder).map(|best| best.map(|best| best.figure())).map_err(failed);
        let (before, after) = (worth(&folder)?, worth(&second_folder)?);
        if after < before {
            outln!("train: the second student is not better on the validation block; the first is taken");
            return Ok(Some(Trained { hash, ..first }));
        }
        Ok(Some(Trained { hash, weights: weights_path(&second_folder) }))
    }

    /// One training; says whether it came to its end.
    fn train(
        &self,
        stage: &str,
        hash: &str,
        folder: &Path,
        resume: bool,
        examples: &[Example<'_>],
        book: &mut StageBook,
    ) -> anyhow::Result<bool> {
        let (experiment, validation) = (self.experiment, self.blocks.validation());
        let job =
            LidarTrainJob { experiment, spec: self.spec, folder, resume, train: examples, validation: &validation };
        let mut display = TrainDisplay::new(experiment.train.epochs, "sweeps", self.stop);
        let result = train_lidar(&job, &mut display);
        display.finish();
        let report = result.map_err(failed)?;
        self.tell_training(&report);
        if report.interrupted {
            outln!("stopped; a checkpoint is in {}; go on with --resume", folder.display());
            return Ok(false);
        }
        book.finish(stage, hash, false).map_err(|error| WorkFailed(format!("{}: {error}", folder.display())))?;
        Ok(true)
    }

    /// A hash over all that decides the weights of the first training.
    fn train_hash(&self, labels: &str) -> String {
        let LidarExperiment { seed, split, data, student, losses, train, augment, evaluate, .. } = self.experiment;
        let blocks: Vec<_> = data.iter().map(|data| data.block).collect();
        hash_of(&serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "labels": labels,
            "seed": seed,
            "split": split,
            "blocks": blocks,
            "spec": self.spec,
            "student": student,
            "losses": losses,
            "train": train.deciding(),
            "augment": augment,
            "evaluate": evaluate,
        }))
    }

    fn tell_blocks(&self, examples: &[Example<'_>]) {
        for recording in &self.blocks.recordings {
            outln!(
                "{}: {} sweeps train, {} validation, {} test, {} in the gaps",
                recording.path.display(),
                recording.train.len(),
                recording.validation.len(),
                recording.test.len(),
                recording.gap
            );
        }
        let grid = &self.spec.grid;
        outln!("{} labelled sweeps to learn, laid on {} x {} cells", examples.len(), grid.rows, grid.columns);
    }

    fn tell_training(&self, report: &LidarTrainReport) {
        outln!(
            "trained {} sweeps in {:.0} s: {:.1} sweeps/s, {:.1} % of the time waiting for sweeps",
            report.sweeps,
            report.seconds,
            report.sweeps_per_second(),
            100.0 * report.wait_share
        );
        if let Some(advice) = waiting_advice(report.wait_share, Preparation::Fixed) {
            outln!("{advice}");
        }
        match &report.best {
            Some(best) => outln!(
                "best validation in epoch {} of {}: AP {:.3}, point IoU {}",
                best.epoch + 1,
                self.experiment.train.epochs,
                best.ap,
                figure(best.point_iou)
            ),
            None => outln!("nothing to validate on: the last weights are taken"),
        }
    }

    fn load(&self, weights: &Path, device: &Device) -> anyhow::Result<LidarStudent> {
        let config = self.experiment.student_config(self.spec);
        Ok(student::load(LidarStudent::new(&config, self.experiment.seed, device)?, weights)?)
    }

    /// Writes the trained student as a bundle, unless that was done already.
    fn export_stage(&self, trained: &Trained, book: &mut StageBook) -> anyhow::Result<()> {
        let experiment = self.experiment;
        let bundle = bundle_path(&experiment.output);
        let hash = self.export_hash(trained);
        if book.is_done("export", &hash, &bundle) {
            outln!("export: done already, {}", bundle.display());
            return Ok(());
        }
        let paths: Vec<&Path> = experiment.data.iter().map(|data| data.path.as_path()).collect();
        let mut origin = provenance(teachers(experiment), &paths, &experiment.written, experiment.seed)?;
        for teacher in lidar_teachers(experiment) {
            let sha256 = file_sha256(&teacher.model).with_context(|| teacher.model.display().to_string())?;
            origin.teachers.push(TeacherSource { name: teacher.display_name(), sha256 });
        }
        let student = self.load(&trained.weights, &Device::flex())?;
        let spec = self.with_thresholds(&student)?;
        let metadata = BundleMetadata { provenance: origin, ..BundleMetadata::new(spec) };
        let written = export_lidar(&student, &metadata, &bundle).map_err(|error| WorkFailed(error.to_string()))?;
        add_sweep_samples(&self.blocks.validation(), &bundle);
        add_sweep_profile(self.blocks, &bundle);
        finish_export(&bundle, written.parameters, written.macs, &hash, book)
    }

    /// A hash over all that decides the bundle.
    pub fn export_hash(&self, trained: &Trained) -> String {
        hash_of(&(&trained.hash, &self.experiment.class_thresholds))
    }

    /// The specification with the experiment's thresholds, and for other classes those at which the student's points agree best with the
    /// labels of the validation block.
    fn with_thresholds(&self, student: &LidarStudent) -> anyhow::Result<LidarSpec> {
        let (experiment, validation) = (self.experiment, self.blocks.validation());
        let mut spec = self.spec.clone();
        let validator = LidarValidator::new(&validation, self.spec, &experiment.evaluate, experiment.train.batch);
        if !validator.is_empty() {
            let found = validator.judge(&student.valid().fold(), &Device::flex()).map_err(failed)?;
            for chosen in found.thresholds {
                spec.class_thresholds.insert(chosen.class, chosen.score);
            }
        }
        spec.class_thresholds.extend(experiment.class_thresholds.clone());
        for (class, name) in spec.classes.iter().enumerate() {
            let reason = if experiment.class_thresholds.contains_key(name) {
                "as the experiment says"
            } else if spec.class_thresholds.contains_key(name) {
                "where the points' IoU on the validation block is best"
            } else {
                "as usual, for the validation block has no point of it"
            };
            outln!("export: {name}: points count from a score of {:.2}, {reason}", spec.threshold(class));
        }
        Ok(spec)
    }
}
