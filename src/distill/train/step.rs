//! One training step: forward, loss, backward, optimiser, average.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};

use super::{
    TrainError,
    average::WeightAverage,
    detect::detect,
    loader::Batch,
    objective::{Objective, Part},
    optimizer::Stepper,
    retain::Rehearsal,
    shard::{Shards, shards_on},
};
use crate::{
    distill::{
        config::{SelfTrainingConfig, TrainConfig},
        loss::{LossConfig, LossValues, NamedTerm, TargetBox, TermPlan},
        student::{Adapters, CameraStudent, Rounding, StudentConfig},
    },
    model::{ModelSpec, SoftDetection},
};

/// What is fitted: the student, and what stands between it and the teachers' features.
#[derive(Module, Debug)]
pub(super) struct Learner {
    pub student: CameraStudent,
    pub adapters: Adapters,
}

/// A student under training with its optimiser and the average of its weights.
pub struct TrainStep {
    /// Always there between steps; a step takes it out and puts the next one in.
    learner: Option<Learner>,
    stepper: Stepper,
    average: WeightAverage,
    objective: Objective,
    /// Parts that batches are cut into at most.
    shards: usize,
    /// How the average labels what nobody labelled.
    self_training: SelfTrainingConfig,
    own_spec: ModelSpec,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The weights followed the gradient.
    Taken {
        /// The batch's losses, before the step.
        losses: LossValues,
        /// The gradient's norm before clipping.
        norm: f64,
    },
    /// Something is infinite, no number, or so large that it soon would be; the average was left as it was.
    NotFinite {
        /// What is wrong with the loss and its terms, with the gradient, or with the weights after the step.
        what: String,
    },
}

/// What a step looks into teachers for.
#[derive(Debug, Clone, Default)]
pub struct Tutoring {
    /// The terms.
    pub plan: TermPlan,
    /// Channels of the teachers' tensors, in the order of [`TermPlan::hints`].
    pub channels: Vec<usize>,
    /// How the student's average labels what nobody labelled.
    pub self_training: SelfTrainingConfig,
}

impl TrainStep {
    /// The first step of a student on a device with gradients. The adapters' weights depend on the seed alone.
    ///
    /// # Errors
    /// When a teacher's tensor does not fit the student.
    pub fn new(
        student: CameraStudent,
        student_config: &StudentConfig,
        config: &TrainConfig,
        losses: &LossConfig,
        tutoring: Tutoring,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let Tutoring { plan, channels, self_training } = tutoring;
        plan.check_channels(student_config, &channels)?;
        let adapters = Adapters::new(&plan.adapter_channels(student_config, &channels), seed, device);
        let average = WeightAverage::new(&student.valid(), config.ema);
        Ok(Self {
            learner: Some(Learner { student, adapters }),
            stepper: Stepper::new(config),
            average,
            shards: if plan.needs_whole_batch() { 1 } else { shards_on(device, config.shards) },
            objective: Objective {
                losses: losses.clone(),
                plan,
                rehearsal: None,
                rounding: None,
                device: device.clone(),
            },
            self_training,
            own_spec: ModelSpec { score_threshold: self_training.score, ..student_config.model_spec() },
        })
    }

    /// This step, with the student kept near an earlier one, where there is one.
    pub(super) fn rehearsing(mut self, rehearsal: Option<Rehearsal>) -> Self {
        self.objective.rehearsal = rehearsal;
        self
    }

    /// This step, with the student's numbers rounded as int8 hardware does, where it is said how.
    #[must_use]
    pub fn rounding(mut self, rounding: Option<Rounding>) -> Self {
        self.objective.rounding = rounding;
        self
    }

    /// Goes on with what a checkpoint kept: the optimiser's state, the adapters, and a snapshot of averaged weights with their
    /// updates.
    ///
    /// # Errors
    /// When the state is not that of this optimiser or of these adapters.
    pub(super) fn resume(
        mut self,
        optimizer: Vec<u8>,
        adapters: Vec<u8>,
        averaged: &CameraStudent,
        config: &TrainConfig,
        updates: u64,
    ) -> Result<Self, TrainError> {
        let Learner { student, adapters: fresh } = self.learner.take().expect("a step puts the learner back");
        self.learner = Some(Learner { student, adapters: super::checkpoint::unpack(fresh, adapters)? });
        let average = WeightAverage::resume(averaged, config.ema, updates);
        Ok(Self { stepper: self.stepper.load(optimizer)?, average, ..self })
    }

    /// Gives the images that nobody labelled boxes of the student's own average, or none that teach before its time has come.
    ///
    /// # Errors
    /// When the student's outputs are not as its specification says.
    pub fn label_own(&self, batch: &mut Batch, progress: f64) -> Result<(), TrainError> {
        let own: Vec<usize> = (0..batch.labelled.len()).filter(|&image| !batch.labelled[image]).collect();
        if own.is_empty() {
            return Ok(());
        }
        let [_, channels, height, width] = batch.shape;
        if progress < self.self_training.start {
            batch.forget_unlabelled(self.own_spec.classes.len());
            return Ok(());
        }
        let length = channels * height * width;
        let pixels = own.iter().flat_map(|image| &batch.images[image * length..(image + 1) * length]);
        let images = TensorData::new(pixels.copied().collect::<Vec<f32>>(), [own.len(), channels, height, width]);
        let student = self.averaged().fold();
        let found =
            detect(&student, None, Tensor::from_data(images, &self.objective.device.clone().inner()), &self.own_spec)?;
        for (image, found) in own.into_iter().zip(found) {
            let weight = self.self_training.trust;
            let found = found
                .into_iter()
                .map(|found| SoftDetection { bbox: found.bbox.clip(width as f32, height as f32), ..found })
                .filter(|found| found.bbox.is_valid());
            let target =
                |found: SoftDetection| TargetBox { bbox: found.bbox, probabilities: found.probabilities, weight };
            batch.targets[image] = found.map(target).collect();
        }
        Ok(())
    }

    /// Trains on a batch, whose images and hints are used up; `progress` is the share of the training's steps that were made.
    pub fn run(&mut self, batch: &mut Batch, rate: f64, progress: f64) -> Step {
        awake(|| self.run_here(batch, rate, progress))
    }

    fn run_here(&mut self, batch: &mut Batch, rate: f64, progress: f64) -> Step {
        let learner = self.learner.take().expect("a step puts the learner back");
        let parts = Part::of(batch, self.shards);
        let (objective, batch) = (&self.objective, &*batch);
        let terms = |learner: &Learner, part: Part| objective.terms(learner, part, batch, progress);
        let student = |learner: &Learner| learner.student.valid();
        let (learner, step) = descend(learner, parts, terms, rate, &mut self.stepper, &mut self.average, student);
        self.learner = Some(learner);
        step
    }

    fn learner(&self) -> &Learner {
        self.learner.as_ref().expect("a step puts the learner back")
    }

    /// The student as it is now, for inference.
    pub fn snapshot(&self) -> CameraStudent {
        self.learner().student.valid()
    }

    /// The student with averaged weights, for inference.
    pub fn averaged(&self) -> CameraStudent {
        self.average.student(self.snapshot())
    }

    /// Weights that went into the average.
    pub(super) fn average_updates(&self) -> u64 {
        self.average.updates()
    }

    /// The optimiser's state, for a checkpoint.
    ///
    /// # Errors
    /// When burn cannot pack it.
    pub(super) fn optimizer_bytes(&self) -> Result<Vec<u8>, TrainError> {
        self.stepper.to_bytes()
    }

    /// The adapters, for a checkpoint.
    ///
    /// # Errors
    /// When burn cannot pack them.
    pub(super) fn adapter_bytes(&self) -> Result<Vec<u8>, TrainError> {
        super::checkpoint::pack(&self.learner().adapters.valid())
    }
}

/// One step down the gradient of the loss of a batch, whose parts the learner is shown at the same time; `terms` says what is to be
/// minimised on a part. Where the loss or the gradient is no finite number, or there are no terms, the learner's weights are left as they
/// were; otherwise the average takes in what `student` says is its snapshot, unless that has become unsound: no step comes after the last
/// one in which that would be seen.
pub(in crate::distill) fn descend<M: Module, P: Send, S: Module>(
    learner: M,
    parts: Vec<P>,
    terms: impl Fn(&M, P) -> Vec<NamedTerm> + Sync,
    rate: f64,
    stepper: &mut Stepper,
    average: &mut WeightAverage,
    student: impl Fn(&M) -> S,
) -> (M, Step) {
    let shards = Shards::show(&learner, parts, terms);
    let losses = shards.losses();
    if !losses.is_finite() {
        return (learner, Step::NotFinite { what: format!("the loss {losses} is not a finite number") });
    }
    let learner = shards.keep_statistics(learner);
    let Some(gradients) = shards.gradients(&learner) else { return (learner, Step::Taken { losses, norm: 0.0 }) };
    let (learner, norm) = stepper.step(rate, learner, gradients);
    if !norm.is_finite() {
        return (learner, Step::NotFinite { what: "the gradient is not a finite number".into() });
    }
    if let Err(unsound) = average.update(&student(&learner)) {
        return (learner, Step::NotFinite { what: format!("a weight became {unsound:e}") });
    }
    (learner, Step::Taken { losses, norm })
}

/// A thread that is kept awake and finds nothing to do for so long goes back to what it came from.
const AWAKE: Duration = Duration::from_millis(20);

/// Runs `work` as one of the threads that compute, not as one that waits for them anew in every operator, and keeps the others from
/// falling asleep between two operators: to wake one takes longer than many an operator. A thread that has taken up a part of the work
/// before it is told to stay awake may be told so while it waits for another part; it must not stay for ever, for the work waits for it.
pub(in crate::distill) fn awake<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = AtomicBool::new(false);
    let done = &done;
    rayon::scope(|scope| {
        let own = rayon::current_thread_index();
        scope.spawn_broadcast(move |_, thread| {
            // The thread that works comes by here while it waits for the others, who wait for it.
            if Some(thread.index()) == own {
                return;
            }
            let mut worked = Instant::now();
            while !done.load(Ordering::Relaxed) && worked.elapsed() < AWAKE {
                if rayon::yield_now() == Some(rayon::Yield::Executed) {
                    worked = Instant::now();
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let end = Finally(done);
        let result = work();
        drop(end);
        result
    })
}

/// Says that the work is done, also when it panics: the others would look for more of it for ever.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use rayon::{ThreadPoolBuilder, Yield, prelude::*};

    use super::*;
    use crate::distill::{loss::TermConfig, student::Size};

    #[test]
    fn relations_in_a_batch_keep_it_in_one_piece() {
        let device = Device::flex().autodiff();
        let config = StudentConfig::new(Size::Micro, vec!["a".into()], 96, 64);
        let shards = |kind: &str| {
            let term = format!("{{kind: {kind}, pairs: [{{tensor: x, student: neck_16}}]}}");
            let term: TermConfig = serde_yaml::from_str(&term).unwrap();
            let plan = TermPlan::new(&[term], &["teacher".into()], &config);
            let tutoring = Tutoring { plan, channels: vec![8], ..Tutoring::default() };
            let student = CameraStudent::new(&config, 1, &device).unwrap();
            let (train, losses) = (TrainConfig { shards: 3, ..TrainConfig::default() }, LossConfig::default());
            TrainStep::new(student, &config, &train, &losses, tutoring, 1, &device).unwrap().shards
        };
        assert_eq!((shards("hint"), shards("attention")), (3, 3));
        assert_eq!((shards("similarity"), shards("relation_distance"), shards("relation_angle")), (1, 1, 1));
    }

    #[test]
    fn work_is_done_by_all_and_ends() {
        for _ in 0..50 {
            let sum: u64 = awake(|| (0..1000u64).into_par_iter().map(|value| value * 2).sum());
            assert_eq!(sum, 999_000);
        }
        let panicked = std::panic::catch_unwind(|| awake(|| -> u64 { panic!("boom") }));
        assert!(panicked.is_err());
        assert_eq!(awake(|| 7), 7, "the pool goes on after a panic");
    }

    #[test]
    fn a_thread_that_is_told_to_stay_awake_amid_its_part_of_the_work_ends_that() {
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            let [has_begun, is_told, has_ended] = [const { AtomicBool::new(false) }; 3];
            let wait = |what: &AtomicBool| {
                while !what.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            };
            pool.scope(|scope| {
                scope.spawn(|_| {
                    has_begun.store(true, Ordering::SeqCst);
                    wait(&is_told);
                    // As one waits for somebody else's part: by doing what there is.
                    while rayon::yield_now() != Some(Yield::Executed) {}
                    has_ended.store(true, Ordering::SeqCst);
                });
                wait(&has_begun);
                awake(|| {
                    is_told.store(true, Ordering::SeqCst);
                    wait(&has_ended);
                });
            });
            end.send(()).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(()), "all threads wait for each other");
    }
}
