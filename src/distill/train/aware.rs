//! Before the first step of a training as int8 hardware computes: how numbers are rounded in it.

use burn::tensor::{Device, Tensor, TensorData};

use super::{TrainError, dataset::FrameSet, loader::Loader};
use crate::{
    distill::{
        compress::quantize::frames::FrameLimits,
        config::Experiment,
        student::{CameraStudent, Rounding},
    },
    model::InputSpec,
};

/// Finds how to round what a folded student stores, on frames of the training block as the robot would show them. Ranges stay the same
/// for the whole training, so that it can be interrupted and resumed; the student learns to live with them.
///
/// # Errors
/// When a frame cannot be read back from the cache.
pub(super) fn calibrated(
    experiment: &Experiment,
    frames: &FrameSet,
    spec: &InputSpec,
    student: &CameraStudent,
    device: &Device,
) -> Result<Rounding, TrainError> {
    let (batch, workers) = (experiment.train.batch, experiment.train.workers);
    let loader = Loader::still(frames, spec, experiment.seed, batch, workers);
    let mut batches: Vec<Tensor<4>> = Vec::new();
    loader.for_images(FrameLimits::default().calibration, |batch| {
        batches.push(Tensor::from_data(TensorData::new(batch.images, batch.shape), device));
    })?;
    let rounding = Rounding::calibrate(student, &batches, experiment.train.quantize_weights);
    tracing::info!("train: ranges to round in by {}", rounding.method());
    Ok(rounding)
}
