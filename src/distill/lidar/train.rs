//! The training loop of a lidar student. What it keeps and writes is what the camera student's does: checkpoints, `metrics.jsonl`,
//! curves, the best weights.

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};

use super::{
    batch::{BatchMaker, Example, LidarBatch},
    config::{LidarExperiment, LidarLossConfig},
    labels::LabelledSweep,
    loss::lidar_loss,
    student::LidarStudent,
    validate::{LidarValidation, LidarValidator},
};
use crate::{
    distill::{
        student,
        train::{
            Best, Checkpoint, EpochRecord, EventLog, Journal, Observer, Position, Schedule, Step, StepReport, Stepper,
            TrainError, WeightAverage, awake, check_settings, checkpoint_path, descend, device, metrics_path, pack,
            shuffled, unpack, weights_path,
        },
    },
    model::lidar::LidarSpec,
};

/// What to train on and where to keep it.
#[derive(Debug)]
pub struct LidarTrainJob<'a> {
    /// The experiment.
    pub experiment: &'a LidarExperiment,
    /// How sweeps become the student's input.
    pub spec: &'a LidarSpec,
    /// Folder of checkpoints, metrics and weights.
    pub folder: &'a Path,
    /// Go on from the folder's checkpoint.
    pub resume: bool,
    /// Sweeps to fit to.
    pub train: &'a [Example<'a>],
    /// Sweeps to choose by; may be empty, then the last weights are taken.
    pub validation: &'a [&'a LabelledSweep],
}

/// How the training ended.
#[derive(Debug)]
pub struct LidarTrainReport {
    /// The student to export: averaged weights of the best validation, for inference.
    pub student: LidarStudent,
    /// The best validation; none without validation sweeps.
    pub best: Option<Best>,
    /// Where the run stands.
    pub position: Position,
    /// Stopped by the observer before the end.
    pub interrupted: bool,
    /// Sweeps trained on by this process.
    pub sweeps: usize,
    /// Seconds in which this process trained, validation not counted.
    pub seconds: f64,
}

/// Trains a lidar student. Same experiment, same data, same device: same student, whether or not it was interrupted and resumed in
/// between, and whatever the number of threads.
///
/// # Errors
/// [`TrainError`]; checkpoints made before stay.
pub fn train_lidar(job: &LidarTrainJob<'_>, observer: &mut dyn Observer) -> Result<LidarTrainReport, TrainError> {
    if job.train.is_empty() {
        return Err(TrainError::NothingToLearn("there is no sweep to train on".into()));
    }
    let config = &job.experiment.train;
    let validator = LidarValidator::new(job.validation, job.spec, &job.experiment.evaluate, config.batch);
    let mut run = Run::start(job, validator, device(&config.device)?)?;
    while run.position.epoch < config.epochs && !run.is_out_of_patience() {
        if run.epoch(observer)?.is_break() {
            run.save()?;
            return run.finish(true);
        }
    }
    run.finish(false)
}

/// A student under training with its optimiser and the average of its weights.
struct LidarStep {
    /// Always there between steps; a step takes it out and puts the next one in.
    student: Option<LidarStudent>,
    stepper: Stepper,
    average: WeightAverage,
    losses: LidarLossConfig,
    device: Device,
}

impl LidarStep {
    /// Trains on a batch, whose images are used up.
    fn run(&mut self, batch: &mut LidarBatch, rate: f64) -> Step {
        awake(|| {
            let student = self.student.take().expect("a step puts the student back");
            let images = TensorData::new(std::mem::take(&mut batch.images), batch.shape);
            let output = student.forward(Tensor::from_data(images, &self.device));
            let terms = lidar_loss(&output, &batch.targets, &self.losses);
            drop(output);
            let snapshot = |student: &LidarStudent| student.valid();
            let (student, step) = descend(student, terms, rate, &mut self.stepper, &mut self.average, snapshot);
            self.student = Some(student);
            step
        })
    }

    /// The student as it is now, for inference.
    fn snapshot(&self) -> LidarStudent {
        self.student.as_ref().expect("a step puts the student back").valid()
    }

    /// The student with averaged weights, for inference.
    fn averaged(&self) -> LidarStudent {
        self.average.student(self.snapshot())
    }
}

/// A run under way.
struct Run<'a> {
    job: &'a LidarTrainJob<'a>,
    settings: serde_json::Value,
    maker: BatchMaker<'a>,
    validator: LidarValidator<'a>,
    journal: Journal,
    events: EventLog,
    schedule: Schedule,
    steps: usize,
    inner: Device,
    step: LidarStep,
    best_weights: Option<Vec<u8>>,
    position: Position,
    sweeps: usize,
    trained: Duration,
}

impl<'a> Run<'a> {
    fn start(job: &'a LidarTrainJob<'a>, validator: LidarValidator<'a>, inner: Device) -> Result<Self, TrainError> {
        let experiment = job.experiment;
        let config = &experiment.train;
        let maker = BatchMaker::new(job.train, job.spec, experiment.augment, experiment.seed, config.batch);
        let steps = config.epochs * maker.batches();
        let autodiff = inner.clone().autodiff();
        let mut student = LidarStudent::new(&experiment.student_config(job.spec), experiment.seed, &autodiff)?;
        let mut stepper = Stepper::new(config);
        let mut average = WeightAverage::new(&student.valid(), config.ema);
        let (mut position, mut best_weights) = (Position::default(), None);
        let settings = settings(job);
        let path = checkpoint_path(job.folder);
        if job.resume && path.exists() {
            let saved = Checkpoint::read(&path)?;
            check_settings(&path, &saved.settings, &settings)?;
            student = unpack(student, saved.student)?;
            let averaged = unpack(student.valid(), saved.average)?;
            average = WeightAverage::resume(&averaged, config.ema, saved.position.average_updates);
            stepper = stepper.load(saved.optimizer)?;
            best_weights = saved.best;
            position = saved.position;
        }
        Ok(Self {
            job,
            settings,
            maker,
            validator,
            journal: Journal::open(&metrics_path(job.folder), position.epoch)?,
            events: EventLog::open(&job.folder.join("events"), config.tensorboard, position.step),
            schedule: Schedule::new(config, steps),
            steps,
            inner,
            step: LidarStep { student: Some(student), stepper, average, losses: experiment.losses, device: autodiff },
            best_weights,
            position,
            sweeps: 0,
            trained: Duration::ZERO,
        })
    }

    /// Trains one epoch, or the rest of one, then validates and saves as the experiment wants it.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<()>, TrainError> {
        let config = &self.job.experiment.train;
        let number = self.position.epoch;
        let order = shuffled(self.job.train.len(), self.job.experiment.seed, number);
        let (start, sweeps_before) = (Instant::now(), self.sweeps);
        let mut waited = Duration::ZERO;
        let mut stopped = false;
        while self.position.batch < self.maker.batches() && !stopped {
            let waiting = Instant::now();
            let batch = self.maker.make(self.position.batch, number, &order);
            waited += waiting.elapsed();
            let report = self.step(batch)?;
            self.events.step(&report);
            stopped = observer.on_step(&report).is_break();
            if config.checkpoint_steps > 0 && self.position.step.is_multiple_of(config.checkpoint_steps) && !stopped {
                self.save()?;
            }
        }
        let elapsed = start.elapsed();
        self.trained += elapsed;
        if stopped && self.position.batch < self.maker.batches() {
            return Ok(ControlFlow::Break(()));
        }

        let last = number + 1 == config.epochs;
        let is_judged = last || (number + 1).is_multiple_of(config.validate_every);
        let validation = if is_judged { self.validate(number)? } else { LidarValidation::default() };
        let sums = std::mem::take(&mut self.position.sums);
        (self.position.epoch, self.position.batch) = (number + 1, 0);
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let record = EpochRecord {
            epoch: number + 1,
            step: self.position.step,
            loss: sums.mean(sums.total),
            terms: sums.term_means(),
            gradient_norm: sums.mean(sums.norm),
            learning_rate: self.schedule.at(self.position.step.saturating_sub(1)),
            validation_ap: validation.ap,
            validation_ap50: validation.ap_far,
            validation_point_iou: validation.point_iou,
            best: self.position.best.is_some_and(|best| best.epoch == number),
            seconds: elapsed.as_secs_f64(),
            images_per_second: (self.sweeps - sweeps_before) as f64 / seconds,
            wait_share: waited.as_secs_f64() / seconds,
        };
        self.journal.append(&record)?;
        self.events.epoch(&record);
        observer.on_epoch(&record);
        if last || (number + 1).is_multiple_of(config.checkpoint_every) {
            self.save()?;
        }
        Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn step(&mut self, mut batch: LidarBatch) -> Result<StepReport, TrainError> {
        let rate = self.schedule.at(self.position.step);
        let position = &mut self.position;
        let (losses, norm) = match self.step.run(&mut batch, rate) {
            Step::Taken { losses, norm } => (losses, norm),
            Step::NotFinite { what } => {
                let stamps: Vec<String> = batch.stamps.iter().map(|stamp| format!("sweep at {stamp} ns")).collect();
                return Err(TrainError::NotFinite {
                    epoch: position.epoch + 1,
                    step: position.step + 1,
                    what,
                    frames: stamps.join(", "),
                });
            }
        };
        self.sweeps += batch.stamps.len();
        position.step += 1;
        position.batch += 1;
        position.average_updates = self.step.average.updates();
        position.sums.add(&losses, norm);
        Ok(StepReport { step: position.step, steps: self.steps, epoch: position.epoch + 1, losses, norm, rate })
    }

    /// Judges the averaged weights; keeps them when they are the best so far.
    fn validate(&mut self, epoch: usize) -> Result<LidarValidation, TrainError> {
        if self.validator.is_empty() {
            return Ok(LidarValidation::default());
        }
        let averaged = self.step.averaged();
        let validation = self.validator.judge(&averaged.clone().fold(), &self.inner)?;
        // Without any object and any point of one there is nothing to choose by.
        if validation.ap.is_some() || validation.point_iou.is_some() {
            let (ap, ap50) = (validation.ap.unwrap_or_default(), validation.ap_far.unwrap_or_default());
            let best = Best { epoch, ap, ap50, point_iou: validation.point_iou };
            if self.position.best.is_none_or(|before| best.figure() >= before.figure()) {
                self.position.best = Some(best);
                self.best_weights = Some(pack(&averaged)?);
            }
        }
        Ok(validation)
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.job.experiment.train.patience;
        patience > 0 && self.position.best.is_some_and(|best| self.position.epoch > best.epoch.saturating_add(patience))
    }

    fn save(&self) -> Result<(), TrainError> {
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            settings: self.settings.clone(),
            student: pack(&self.step.snapshot())?,
            average: pack(&self.step.averaged())?,
            best: self.best_weights.clone(),
            optimizer: self.step.stepper.to_bytes()?,
            adapters: Vec::new(),
        };
        checkpoint.write(&checkpoint_path(self.job.folder))
    }

    fn finish(self, interrupted: bool) -> Result<LidarTrainReport, TrainError> {
        let averaged = self.step.averaged();
        let trained = match &self.best_weights {
            Some(bytes) => unpack(averaged, bytes.clone())?,
            None => averaged,
        };
        if !interrupted {
            let path = weights_path(self.job.folder);
            student::save(&trained, &path).map_err(|error| TrainError::Record(error.to_string()))?;
        }
        Ok(LidarTrainReport {
            student: trained,
            best: self.position.best,
            position: self.position,
            interrupted,
            sweeps: self.sweeps,
            seconds: self.trained.as_secs_f64(),
        })
    }
}

/// What decides the result, and what the data looks like: a checkpoint is refused when any of it has changed.
fn settings(job: &LidarTrainJob<'_>) -> serde_json::Value {
    let LidarExperiment { seed, student, losses, train, augment, evaluate, .. } = job.experiment;
    let known = |example: &Example<'_>| example.labels.points.iter().filter(|target| target.is_known()).count();
    serde_json::json!({
        "seed": seed,
        "spec": job.spec,
        "student": student,
        "losses": losses,
        "augment": augment,
        "train": train.deciding(),
        "evaluate": evaluate,
        "data": {
            "train": {"sweeps": job.train.len(), "points": job.train.iter().map(known).sum::<usize>()},
            "validation": {"sweeps": job.validation.len()},
        },
    })
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
