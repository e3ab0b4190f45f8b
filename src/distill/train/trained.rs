//! The student that an experiment's training left behind.

use burn::{module::Module, tensor::Device};

use super::{TrainError, weights_path};
use crate::distill::{config::Experiment, student::CameraStudent};

/// The trained student of an experiment: the best averaged weights in its output folder, on a device without gradients. One that was
/// trained as int8 hardware computes (`train.quantize_aware`) is folded already.
///
/// # Errors
/// When the weights are not there, or are another student's.
pub fn trained_student(experiment: &Experiment, device: &Device) -> Result<CameraStudent, TrainError> {
    let student = CameraStudent::new(&experiment.student_config(), experiment.seed, device)?;
    let student = if experiment.train.quantize_aware { student.valid().fold() } else { student };
    Ok(student.load(&weights_path(&experiment.output.join("train")))?)
}
