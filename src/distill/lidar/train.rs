//! The training loop of a lidar student. What it keeps and writes is what the camera student's does: checkpoints, `metrics.jsonl`,
//! curves, the best weights.

use std::{ops::ControlFlow, path::Path};

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
    distill::train::{
        Best, Course, Figures, Observer, Position, Step, StepReport, Stepper, TrainError, Training, WeightAverage,
        Workers, awake, complete, descend, device, resumed, shards_on, shuffled, unpack,
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
    /// Share of those seconds in which the training waited for sweeps.
    pub wait_share: f64,
}

impl LidarTrainReport {
    /// Sweeps trained on per second.
    pub fn sweeps_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.sweeps as f64 / self.seconds } else { 0.0 }
    }
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
    complete(Run::start(job, validator, device(&config.device)?)?, observer)
}

/// A student under training with its optimiser and the average of its weights.
struct LidarStep {
    /// Always there between steps; a step takes it out and puts the next one in.
    student: Option<LidarStudent>,
    stepper: Stepper,
    average: WeightAverage,
    losses: LidarLossConfig,
    /// Parts that batches are cut into at most.
    shards: usize,
    device: Device,
}

impl LidarStep {
    /// Trains on a batch, whose images and targets are used up.
    fn run(&mut self, batch: &mut LidarBatch, rate: f64) -> Step {
        awake(|| {
            let student = self.student.take().expect("a step puts the student back");
            let parts = batch.cut(self.shards);
            let (losses, device) = (&self.losses, &self.device);
            let terms = |student: &LidarStudent, LidarBatch { images, shape, targets, .. }: LidarBatch| {
                let output = student.forward(Tensor::from_data(TensorData::new(images, shape), device));
                lidar_loss(&output, &targets, losses)
            };
            let snapshot = |student: &LidarStudent| student.valid();
            let (student, step) = descend(student, parts, terms, rate, &mut self.stepper, &mut self.average, snapshot);
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
    maker: BatchMaker<'a>,
    workers: Workers,
    validator: LidarValidator<'a>,
    inner: Device,
    step: LidarStep,
    course: Course<'a>,
}

impl<'a> Run<'a> {
    fn start(job: &'a LidarTrainJob<'a>, validator: LidarValidator<'a>, inner: Device) -> Result<Self, TrainError> {
        let experiment = job.experiment;
        let config = &experiment.train;
        let maker = BatchMaker::new(job.train, job.spec, experiment.augment, experiment.seed, config.batch)
            .balancing_objects(experiment.losses.object_balance);
        let autodiff = inner.clone().autodiff();
        let mut student = LidarStudent::new(&experiment.student_config(job.spec), experiment.seed, &autodiff)?;
        let mut stepper = Stepper::new(config);
        let mut average = WeightAverage::new(&student.valid(), config.ema);
        let (mut position, mut best_weights) = (Position::default(), None);
        let settings = settings(job);
        if let Some(saved) = resumed(job.folder, job.resume, &settings)? {
            student = unpack(student, saved.student)?;
            let averaged = unpack(student.valid(), saved.average)?;
            average = WeightAverage::resume(&averaged, config.ema, saved.position.average_updates);
            stepper = stepper.load(saved.optimizer)?;
            best_weights = saved.best;
            position = saved.position;
        }
        let (losses, shards) = (experiment.losses, shards_on(&autodiff, config.shards));
        Ok(Self {
            job,
            validator,
            inner,
            step: LidarStep { student: Some(student), stepper, average, losses, shards, device: autodiff },
            course: Course::open(config, job.folder, settings, maker.batches(), position, best_weights)?,
            maker,
            workers: Workers::new(config.workers),
        })
    }

    fn step(&mut self, mut batch: LidarBatch) -> Result<StepReport, TrainError> {
        let rate = self.course.rate();
        let step = self.step.run(&mut batch, rate);
        let sweeps = || {
            let stamps: Vec<String> = batch.stamps.iter().map(|stamp| format!("sweep at {stamp} ns")).collect();
            stamps.join(", ")
        };
        self.course.count(step, rate, batch.stamps.len(), self.step.average.updates(), sweeps)
    }
}

impl<'a> Training<'a> for Run<'a> {
    type Report = LidarTrainReport;

    fn course(&mut self) -> &mut Course<'a> {
        &mut self.course
    }

    fn batches(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let order = shuffled(self.job.train.len(), self.job.experiment.seed, epoch);
        // The maker is taken apart from `self` for the time of the epoch: its batches are given to `self`.
        let (maker, workers) = (self.maker.clone(), self.workers);
        let places = self.course.position.batch..maker.batches();
        let mut stopped = false;
        let make = |_: &mut (), index: usize| Ok(maker.make(index, epoch, &order));
        workers.prepare(
            places,
            || Ok(()),
            make,
            drop,
            |batch, wait| {
                self.course.wait(wait);
                let report = self.step(batch)?;
                stopped = self.after_step(&report, observer)?;
                Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            },
        )?;
        Ok(stopped)
    }

    fn validate(&mut self, epoch: usize) -> Result<Figures, TrainError> {
        if self.validator.is_empty() {
            return Ok(Figures::default());
        }
        let averaged = self.step.averaged();
        let LidarValidation { ap, ap_far: ap50, point_iou, .. } =
            self.validator.judge(&averaged.clone().fold(), &self.inner)?;
        // Without any object and any point of one there is nothing to choose by.
        if ap.is_some() || point_iou.is_some() {
            let best = Best { epoch, ap: ap.unwrap_or_default(), ap50: ap50.unwrap_or_default(), point_iou };
            self.course.keep_best(best, &averaged)?;
        }
        Ok(Figures { ap, ap50, point_iou })
    }

    fn save(&self) -> Result<(), TrainError> {
        let optimizer = self.step.stepper.to_bytes()?;
        self.course.save(&self.step.snapshot(), &self.step.averaged(), optimizer, Vec::new())
    }

    fn finish(self, interrupted: bool) -> Result<LidarTrainReport, TrainError> {
        let Self { course, step, .. } = self;
        Ok(LidarTrainReport {
            student: course.result(step.averaged(), interrupted)?,
            best: course.position.best,
            interrupted,
            sweeps: course.seen(),
            seconds: course.seconds(),
            wait_share: course.wait_share(),
            position: course.position,
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
pub(super) mod tests;
