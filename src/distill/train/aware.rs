//! Before the first step of a training as int8 hardware computes: how numbers are rounded in it.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    TrainError,
    dataset::FrameSet,
    loader::{Epoch, Loader},
};
use crate::{
    distill::{
        compress::quantize::frames::FrameLimits,
        config::{AugmentConfig, Experiment},
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
    let loader = Loader::new(frames, None, &AugmentConfig::none(), spec, experiment.seed, batch, workers);
    let mut batches: Vec<Tensor<4>> = Vec::new();
    loader.for_each(Epoch { number: 0, mosaic: false, first_batch: 0 }, |batch, _| {
        batches.push(Tensor::from_data(TensorData::new(batch.images, batch.shape), device));
        let is_enough = batches.len() * loader.batch_size() >= FrameLimits::default().calibration;
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let rounding = Rounding::calibrate(student, &batches, experiment.train.quantize_weights);
    tracing::info!("train: ranges to round in by {}", rounding.method());
    Ok(rounding)
}
