//! The way through the epochs, the same for whatever is trained.

use super::{
    TrainError,
    course::{Course, Figures},
    trainer::{Observer, StepReport},
};

/// Something that is trained, epoch by epoch; [`complete`] leads it through them.
pub(in crate::distill) trait Training<'a> {
    /// What is told of it in the end.
    type Report;

    /// Where it stands.
    fn course(&mut self) -> &mut Course<'a>;

    /// Trains on the batches of an epoch, or of the rest of one, and calls [`Self::after_step`] after each, until the observer breaks.
    /// Says whether it did.
    ///
    /// # Errors
    /// When a batch cannot be made, or something is no number.
    fn batches(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<bool, TrainError>;

    /// Judges the averaged weights; keeps them when they are the best so far.
    ///
    /// # Errors
    /// When a frame or sweep cannot be read, or weights cannot be packed.
    fn validate(&mut self, epoch: usize) -> Result<Figures, TrainError>;

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// When it cannot be packed or written.
    fn save(&self) -> Result<(), TrainError>;

    /// Ends the training; `interrupted` tells that the observer broke before its end.
    ///
    /// # Errors
    /// When the weights cannot be unpacked or written.
    fn finish(self, interrupted: bool) -> Result<Self::Report, TrainError>;

    /// Tells of a step and writes a checkpoint where one is due. Says whether the observer breaks.
    ///
    /// # Errors
    /// As [`Self::save`].
    fn after_step(&mut self, report: &StepReport, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let stopped = self.course().tell(report, observer).is_break();
        if self.course().is_checkpoint_due() && !stopped {
            self.save()?;
        }
        Ok(stopped)
    }
}

/// Trains to the end: each epoch, or the rest of one, is validated and saved as the experiment wants it. Where the observer breaks, a
/// checkpoint is written and the training ends.
///
/// # Errors
/// [`TrainError`]; checkpoints made before stay.
pub(in crate::distill) fn complete<'a, T: Training<'a>>(
    mut training: T,
    observer: &mut dyn Observer,
) -> Result<T::Report, TrainError> {
    while !training.course().is_over() {
        let epoch = training.course().position.epoch;
        let lap = training.course().lap();
        let stopped = training.batches(epoch, observer)?;
        let time = training.course().lap_time(lap);
        // An epoch that was stopped within is not judged before its rest was trained.
        if !stopped || training.course().next_batch().is_none() {
            let figures = if training.course().is_judged() { training.validate(epoch)? } else { Figures::default() };
            if training.course().end_epoch(time, figures, observer)? {
                training.save()?;
            }
        }
        if stopped {
            training.save()?;
            return training.finish(true);
        }
    }
    training.finish(false)
}
