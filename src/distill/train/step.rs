//! One training step: forward, loss, backward, optimiser, average.

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};

use super::{TrainError, average::WeightAverage, optimizer::Stepper};
use crate::distill::{
    config::TrainConfig,
    loss::{LossConfig, LossValues, TargetBox, detection_loss},
    student::CameraStudent,
};

/// A student under training with its optimiser and the average of its weights.
pub struct TrainStep {
    /// Always there between steps; a step takes it out and puts the next one in.
    student: Option<CameraStudent>,
    stepper: Stepper,
    average: WeightAverage,
    losses: LossConfig,
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
    /// Something is infinite or no number; the weights were left as they were.
    NotFinite {
        /// The loss with its terms, or the gradient.
        what: String,
    },
}

impl TrainStep {
    /// The first step of a student on a device with gradients.
    pub fn new(student: CameraStudent, config: &TrainConfig, losses: &LossConfig) -> Self {
        let average = WeightAverage::new(&student.valid(), config.ema);
        Self { student: Some(student), stepper: Stepper::new(config), average, losses: losses.clone() }
    }

    /// Goes on with what a checkpoint kept: the optimiser's state, and a snapshot of averaged weights with their updates.
    ///
    /// # Errors
    /// When the state is not that of this optimiser.
    pub(super) fn resume(
        self,
        optimizer: Vec<u8>,
        averaged: &CameraStudent,
        config: &TrainConfig,
        updates: u64,
    ) -> Result<Self, TrainError> {
        let average = WeightAverage::resume(averaged, config.ema, updates);
        Ok(Self { stepper: self.stepper.load(optimizer)?, average, ..self })
    }

    /// Trains on a batch of normalised images `[B, 3, H, W]` with their boxes in input pixels.
    pub fn run(&mut self, images: Tensor<4>, targets: &[Vec<TargetBox>], rate: f64) -> Step {
        // As one of the threads that compute, not as one that waits for them anew in every operator.
        rayon::scope(|_| self.run_here(images, targets, rate))
    }

    fn run_here(&mut self, images: Tensor<4>, targets: &[Vec<TargetBox>], rate: f64) -> Step {
        let student = self.student.take().expect("a step puts the student back");
        let terms = detection_loss(&student.forward(images), targets, &self.losses);
        let losses = terms.values();
        if !losses.is_finite() {
            let LossValues { class, giou, distribution, .. } = losses;
            self.student = Some(student);
            return Step::NotFinite {
                what: format!("the loss (class {class}, giou {giou}, distribution {distribution})"),
            };
        }
        let gradients = GradientsParams::from_grads(terms.total.backward(), &student);
        let (student, norm) = self.stepper.step(rate, student, gradients);
        if !norm.is_finite() {
            self.student = Some(student);
            return Step::NotFinite { what: "the gradient".into() };
        }
        self.average.update(&student.valid());
        self.student = Some(student);
        Step::Taken { losses, norm }
    }

    /// The student as it is now, for inference.
    pub fn snapshot(&self) -> CameraStudent {
        self.student.as_ref().expect("a step puts the student back").valid()
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
}
