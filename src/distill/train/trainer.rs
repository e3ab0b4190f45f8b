//! The training loop.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::{module::Module, tensor::Device};

use super::{
    TrainError,
    checkpoint::{self, Best, Checkpoint, Position},
    dataset::{FrameSet, ValidationSet},
    device::device,
    events::EventLog,
    journal::{EpochRecord, Journal, metrics_path},
    loader::{Batch, Epoch, Loader},
    retain::Retained,
    schedule::Schedule,
    start::initial_student,
    step::{Step, TrainStep, Tutoring},
    tutor::Tutors,
    validate::Validator,
};
use crate::{
    distill::{config::Experiment, loss::LossValues, student::CameraStudent},
    metrics::ApSummary,
};

/// What to train on and where to keep it.
#[derive(Debug)]
pub struct TrainJob<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Folder of checkpoints, metrics and weights.
    pub folder: &'a Path,
    /// Go on from the folder's checkpoint.
    pub resume: bool,
    /// Frames to fit to.
    pub train: &'a FrameSet,
    /// Frames to choose by; may be empty, then the last weights are taken.
    pub validation: &'a ValidationSet,
}

/// Watches the training and may stop it.
pub trait Observer {
    /// After each step. Breaking writes a checkpoint and ends the training.
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()>;
    /// After each epoch.
    fn on_epoch(&mut self, record: &EpochRecord);
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Steps of the whole run made so far.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The batch's losses.
    pub losses: LossValues,
    /// The gradient's norm before clipping.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
}

/// How the training ended.
#[derive(Debug)]
pub struct TrainReport {
    /// The student to export: averaged weights of the best validation, for inference.
    pub student: CameraStudent,
    /// The best validation; none without validation frames.
    pub best: Option<Best>,
    /// Where the run stands.
    pub position: Position,
    /// Stopped by the observer before the end.
    pub interrupted: bool,
    /// Images trained on by this process.
    pub images: usize,
    /// Seconds in which this process trained, validation not counted.
    pub seconds: f64,
    /// Share of those seconds in which the training waited for images.
    pub wait_share: f64,
}

impl TrainReport {
    /// Images trained on per second.
    pub fn images_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 }
    }
}

/// Path of a training folder's checkpoint.
pub fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.bin")
}

/// Path of a training folder's best averaged weights.
pub fn weights_path(folder: &Path) -> PathBuf {
    folder.join("best.bpk")
}

/// Trains a student. Same experiment, same data, same device: same student, whether or not it was interrupted and resumed in
/// between, and whatever the number of worker threads.
///
/// # Errors
/// [`TrainError`]; checkpoints made before stay.
pub fn train(job: &TrainJob<'_>, observer: &mut dyn Observer) -> Result<TrainReport, TrainError> {
    if job.train.is_empty() || job.train.boxes() == 0 {
        return Err(TrainError::NothingToLearn(format!(
            "the training block has {} frames and {} boxes, so there is nothing to learn; look at split, classes, class maps and score thresholds",
            job.train.len(),
            job.train.boxes()
        )));
    }
    let config = &job.experiment.train;
    let inner = device(&config.device)?;
    let (tutors, tutoring) = Tutors::load(job.experiment)?;
    let mut run = Run::start(job, inner, tutors.as_ref(), tutoring)?;
    while run.position.epoch < config.epochs && !run.is_out_of_patience() {
        if run.epoch(observer)?.is_break() {
            run.save()?;
            return run.finish(true);
        }
    }
    run.finish(false)
}

/// A run under way.
struct Run<'a> {
    job: &'a TrainJob<'a>,
    settings: serde_json::Value,
    loader: Loader<'a>,
    validator: Validator<'a>,
    journal: Journal,
    events: EventLog,
    schedule: Schedule,
    steps: usize,
    inner: Device,
    step: TrainStep,
    best_weights: Option<Vec<u8>>,
    position: Position,
    images: usize,
    trained: Duration,
    waited: Duration,
}

impl<'a> Run<'a> {
    fn start(
        job: &'a TrainJob<'a>,
        inner: Device,
        tutors: Option<&'a Tutors>,
        tutoring: Tutoring,
    ) -> Result<Self, TrainError> {
        let experiment = job.experiment;
        let config = &experiment.train;
        let student_config = experiment.student_config();
        let spec = student_config.input_spec();
        let loader =
            Loader::new(job.train, tutors, &experiment.augment, &spec, experiment.seed, config.batch, config.workers);
        let steps = config.epochs * loader.batches();
        let autodiff = inner.clone().autodiff();
        let retained = Retained::load(experiment, &inner)?;
        let mut student = initial_student(experiment, retained.as_ref(), &autodiff)?;
        let mut saved_step = None;
        let mut position = Position::default();
        let mut best_weights = None;
        let settings = settings(job, retained.as_ref());
        let path = checkpoint_path(job.folder);
        if job.resume && path.exists() {
            let saved = Checkpoint::read(&path)?;
            check_settings(&path, &saved.settings, &settings)?;
            student = checkpoint::unpack(student, saved.student)?;
            let average = checkpoint::unpack(student.valid(), saved.average)?;
            saved_step = Some((saved.optimizer, saved.adapters, average));
            best_weights = saved.best;
            position = saved.position;
        }
        let losses = &experiment.losses;
        let mut step = TrainStep::new(student, &student_config, config, losses, tutoring, experiment.seed, &autodiff)?
            .rehearsing(retained.as_ref().and_then(Retained::rehearsal));
        if let Some((optimizer, adapters, averaged)) = saved_step {
            step = step.resume(optimizer, adapters, &averaged, config, position.average_updates)?;
        }
        let journal = Journal::open(&metrics_path(job.folder), position.epoch)?;
        let events = EventLog::open(&job.folder.join("events"), config.tensorboard, position.step);
        Ok(Self {
            job,
            validator: Validator::new(job.validation, &student_config, experiment.evaluate.target_score, config.batch),
            settings,
            journal,
            events,
            schedule: Schedule::new(config, steps),
            steps,
            loader,
            inner,
            step,
            best_weights,
            position,
            images: 0,
            trained: Duration::ZERO,
            waited: Duration::ZERO,
        })
    }

    /// Trains one epoch, or the rest of one, then validates and saves as the experiment wants it.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<()>, TrainError> {
        let config = &self.job.experiment.train;
        let number = self.position.epoch;
        let mosaic = number.saturating_add(self.job.experiment.augment.mosaic_off_epochs) < config.epochs;
        let epoch = Epoch { number, mosaic, first_batch: self.position.batch };
        let (start, waited_before, images_before) = (Instant::now(), self.waited, self.images);
        // The loader is taken apart from `self` for the time of the epoch: its batches are given to `self`.
        let loader = self.loader.clone();
        let mut stopped = false;
        loader.for_each(epoch, |batch, wait| {
            self.waited += wait;
            let report = self.step(batch)?;
            self.events.step(&report);
            let flow = observer.on_step(&report);
            stopped = flow.is_break();
            if config.checkpoint_steps > 0 && self.position.step.is_multiple_of(config.checkpoint_steps) && !stopped {
                self.save()?;
            }
            Ok(flow)
        })?;
        let elapsed = start.elapsed();
        self.trained += elapsed;
        if stopped && self.position.batch < loader.batches() {
            return Ok(ControlFlow::Break(()));
        }

        let last = number + 1 == config.epochs;
        let judged = last || (number + 1).is_multiple_of(config.validate_every);
        let summary = if judged { self.validate(number)? } else { None };
        let sums = std::mem::take(&mut self.position.sums);
        (self.position.epoch, self.position.batch) = (number + 1, 0);
        let waited = (self.waited - waited_before).as_secs_f64();
        let seconds = elapsed.as_secs_f64();
        let record = EpochRecord {
            epoch: number + 1,
            step: self.position.step,
            loss: sums.mean(sums.total),
            terms: sums.term_means(),
            gradient_norm: sums.mean(sums.norm),
            learning_rate: self.schedule.at(self.position.step.saturating_sub(1)),
            validation_ap: summary.as_ref().and_then(|summary| summary.ap),
            validation_ap50: summary.as_ref().and_then(|summary| summary.ap50),
            validation_point_iou: None,
            best: self.position.best.is_some_and(|best| best.epoch == number),
            seconds,
            images_per_second: (self.images - images_before) as f64 / seconds.max(1e-9),
            wait_share: waited / seconds.max(1e-9),
        };
        self.journal.append(&record)?;
        self.events.epoch(&record);
        observer.on_epoch(&record);
        if last || (number + 1).is_multiple_of(config.checkpoint_every) {
            self.save()?;
        }
        Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn step(&mut self, mut batch: Batch) -> Result<StepReport, TrainError> {
        let count = batch.targets.len();
        let rate = self.schedule.at(self.position.step);
        let progress = self.position.step as f64 / self.steps.max(1) as f64;
        self.step.label_own(&mut batch, progress)?;
        let (losses, norm) = match self.step.run(&mut batch, rate, progress) {
            Step::Taken { losses, norm } => (losses, norm),
            Step::NotFinite { what } => {
                return Err(TrainError::NotFinite {
                    epoch: self.position.epoch + 1,
                    step: self.position.step + 1,
                    what,
                    frames: batch.names.join(", "),
                });
            }
        };
        self.images += count;
        let position = &mut self.position;
        position.step += 1;
        position.batch += 1;
        position.average_updates = self.step.average_updates();
        position.sums.add(&losses, norm);
        Ok(StepReport { step: position.step, steps: self.steps, epoch: position.epoch + 1, losses, norm, rate })
    }

    /// Judges the averaged weights; keeps them when they are the best so far.
    fn validate(&mut self, epoch: usize) -> Result<Option<ApSummary>, TrainError> {
        if self.job.validation.is_empty() {
            return Ok(None);
        }
        let averaged = self.step.averaged();
        let summary = self.validator.judge(&averaged.clone().fold(), &self.inner)?;
        // Without any box to find there is nothing to choose by.
        if let (Some(ap), Some(ap50)) = (summary.ap, summary.ap50)
            && self.position.best.is_none_or(|best| ap >= best.ap)
        {
            self.position.best = Some(Best { epoch, ap, ap50, point_iou: None });
            self.best_weights = Some(checkpoint::pack(&averaged)?);
        }
        Ok(Some(summary))
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.job.experiment.train.patience;
        patience > 0 && self.position.best.is_some_and(|best| self.position.epoch > best.epoch.saturating_add(patience))
    }

    fn save(&self) -> Result<(), TrainError> {
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            settings: self.settings.clone(),
            student: checkpoint::pack(&self.step.snapshot())?,
            average: checkpoint::pack(&self.step.averaged())?,
            best: self.best_weights.clone(),
            optimizer: self.step.optimizer_bytes()?,
            adapters: self.step.adapter_bytes()?,
        };
        checkpoint.write(&checkpoint_path(self.job.folder))
    }

    fn finish(self, interrupted: bool) -> Result<TrainReport, TrainError> {
        let averaged = self.step.averaged();
        let student = match &self.best_weights {
            Some(bytes) => checkpoint::unpack(averaged, bytes.clone())?,
            None => averaged,
        };
        if !interrupted {
            let path = weights_path(self.job.folder);
            student.save(&path).map_err(|error| TrainError::Record(error.to_string()))?;
        }
        let seconds = self.trained.as_secs_f64();
        Ok(TrainReport {
            student,
            best: self.position.best,
            position: self.position,
            interrupted,
            images: self.images,
            seconds,
            wait_share: self.waited.as_secs_f64() / seconds.max(1e-9),
        })
    }
}

/// What decides the result, and what the data looks like: a checkpoint is refused when any of it has changed.
fn settings(job: &TrainJob<'_>, retained: Option<&Retained>) -> serde_json::Value {
    let Experiment { seed, classes, student, losses, distillation, train, augment, .. } = job.experiment;
    let tutors = distillation.needs_teachers().then_some((&job.experiment.teachers, job.experiment.fusion));
    let frames = |count: usize, boxes: usize| serde_json::json!({"frames": count, "boxes": boxes});
    serde_json::json!({
        "seed": seed,
        "classes": classes,
        "student": student,
        "losses": losses,
        "distillation": distillation,
        "tutors": tutors,
        "retained": retained.map(Retained::sha256),
        "augment": augment,
        "train": train.deciding(),
        "data": {
            "train": frames(job.train.len(), job.train.boxes()),
            "validation": frames(job.validation.len(), job.validation.boxes()),
        },
    })
}

/// Refuses the checkpoint of another run by what has changed since.
pub(in crate::distill) fn check_settings(
    path: &Path,
    saved: &serde_json::Value,
    now: &serde_json::Value,
) -> Result<(), TrainError> {
    let mut changed = Vec::new();
    differences("", saved, now, &mut changed);
    if changed.is_empty() {
        return Ok(());
    }
    Err(TrainError::Checkpoint {
        path: path.to_owned(),
        message: format!(
            "this checkpoint is of another run: {} changed since; change it back, or start anew without --resume",
            changed.join(", ")
        ),
    })
}

fn differences(key: &str, saved: &serde_json::Value, now: &serde_json::Value, changed: &mut Vec<String>) {
    match (saved, now) {
        (serde_json::Value::Object(saved), serde_json::Value::Object(now)) => {
            let names: std::collections::BTreeSet<&String> = saved.keys().chain(now.keys()).collect();
            for name in names {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let (null, null_too) = (serde_json::Value::Null, serde_json::Value::Null);
                differences(&key, saved.get(name).unwrap_or(&null), now.get(name).unwrap_or(&null_too), changed);
            }
        }
        _ if saved != now => changed.push(format!("{key} ({saved} -> {now})")),
        _ => {}
    }
}

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod kinds_tests;
