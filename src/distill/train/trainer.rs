//! The training loop.

use std::{ops::ControlFlow, path::Path};

use burn::{module::Module, tensor::Device};

use super::{
    TrainError,
    aware::calibrated,
    checkpoint::{Best, Position, unpack},
    course::{Course, Figures, resumed},
    dataset::{FrameSet, ValidationSet},
    device::device,
    journal::EpochRecord,
    loader::{Batch, Epoch, Loader},
    retain::Retained,
    start::initial_student,
    step::{TrainStep, Tutoring},
    training::{Training, complete},
    tutor::Tutors,
    validate::Validator,
};
use crate::distill::{config::Experiment, loss::LossValues, student::CameraStudent};

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
    let inner = device(&job.experiment.train.device)?;
    let (tutors, tutoring) = Tutors::load(job.experiment)?;
    complete(Run::start(job, inner, tutors.as_ref(), tutoring)?, observer)
}

/// A run under way.
struct Run<'a> {
    job: &'a TrainJob<'a>,
    loader: Loader<'a>,
    validator: Validator<'a>,
    inner: Device,
    step: TrainStep,
    course: Course<'a>,
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
        let autodiff = inner.clone().autodiff();
        let retained = Retained::load(experiment, &inner)?;
        let mut student = initial_student(experiment, retained.as_ref(), &autodiff)?;
        let rounding = if config.quantize_aware {
            Some(calibrated(experiment, job.train, &spec, &student.valid(), &inner)?)
        } else {
            None
        };
        let mut saved_step = None;
        let mut position = Position::default();
        let mut best_weights = None;
        let settings = settings(job, retained.as_ref());
        if let Some(saved) = resumed(job.folder, job.resume, &settings)? {
            student = unpack(student, saved.student)?;
            let average = unpack(student.valid(), saved.average)?;
            saved_step = Some((saved.optimizer, saved.adapters, average));
            best_weights = saved.best;
            position = saved.position;
        }
        let losses = &experiment.losses;
        let mut step = TrainStep::new(student, &student_config, config, losses, tutoring, experiment.seed, &autodiff)?
            .rehearsing(retained.as_ref().and_then(Retained::rehearsal))
            .rounding(rounding.clone());
        if let Some((optimizer, adapters, averaged)) = saved_step {
            step = step.resume(optimizer, adapters, &averaged, config, position.average_updates)?;
        }
        let course = Course::open(config, job.folder, settings, loader.batches(), position, best_weights)?;
        Ok(Self {
            job,
            validator: Validator::new(job.validation, &student_config, experiment.evaluate.target_score, config.batch)
                .rounding(rounding),
            loader,
            inner,
            step,
            course,
        })
    }

    fn step(&mut self, mut batch: Batch) -> Result<StepReport, TrainError> {
        let count = batch.targets.len();
        let (rate, progress) = (self.course.rate(), self.course.progress());
        self.step.label_own(&mut batch, progress)?;
        let step = self.step.run(&mut batch, rate, progress);
        self.course.count(step, rate, count, self.step.average_updates(), || batch.names.join(", "))
    }
}

impl<'a> Training<'a> for Run<'a> {
    type Report = TrainReport;

    fn course(&mut self) -> &mut Course<'a> {
        &mut self.course
    }

    fn batches(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let Experiment { train: config, augment, .. } = self.job.experiment;
        let mosaic = epoch.saturating_add(augment.mosaic_off_epochs) < config.epochs;
        let epoch = Epoch { number: epoch, mosaic, first_batch: self.course.position.batch };
        // The loader is taken apart from `self` for the time of the epoch: its batches are given to `self`.
        let loader = self.loader.clone();
        let mut stopped = false;
        loader.for_each(epoch, |batch, wait| {
            self.course.wait(wait);
            let report = self.step(batch)?;
            stopped = self.after_step(&report, observer)?;
            Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(stopped)
    }

    fn validate(&mut self, epoch: usize) -> Result<Figures, TrainError> {
        if self.job.validation.is_empty() {
            return Ok(Figures::default());
        }
        let averaged = self.step.averaged();
        let summary = self.validator.judge(&averaged.clone().fold(), &self.inner)?;
        // Without any box to find there is nothing to choose by.
        if let (Some(ap), Some(ap50)) = (summary.ap, summary.ap50) {
            self.course.keep_best(Best { epoch, ap, ap50, point_iou: None }, &averaged)?;
        }
        Ok(Figures { ap: summary.ap, ap50: summary.ap50, point_iou: None })
    }

    fn save(&self) -> Result<(), TrainError> {
        let (optimizer, adapters) = (self.step.optimizer_bytes()?, self.step.adapter_bytes()?);
        self.course.save(&self.step.snapshot(), &self.step.averaged(), optimizer, adapters)
    }

    fn finish(self, interrupted: bool) -> Result<TrainReport, TrainError> {
        let Self { course, step, .. } = self;
        Ok(TrainReport {
            student: course.result(step.averaged(), interrupted)?,
            best: course.position.best,
            interrupted,
            images: course.seen(),
            seconds: course.seconds(),
            wait_share: course.wait_share(),
            position: course.position,
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

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "aware_tests.rs"]
mod aware_tests;

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod kinds_tests;

#[cfg(test)]
#[path = "tutor_tests.rs"]
mod tutor_tests;

#[cfg(test)]
#[path = "self_training_tests.rs"]
mod self_training_tests;
