//! The weights that a training starts from: drawn by the seed, or inherited from an earlier run.

use std::path::Path;

use burn::{module::Module, tensor::Device};

use super::{TrainError, checkpoint, weights_path};
use crate::distill::{config::Experiment, student::CameraStudent};

/// The student that an experiment starts from, on a device with gradients.
///
/// # Errors
/// When the run that it inherits from cannot be read, or is of another kind.
pub(super) fn initial_student(experiment: &Experiment, device: &Device) -> Result<CameraStudent, TrainError> {
    let config = experiment.student_config();
    let fresh = CameraStudent::new(&config, experiment.seed, device)?;
    let Some(run) = &experiment.student.inherit else { return Ok(fresh) };
    let heir = fresh.valid().inherit(&trained_student(run, &experiment.classes)?)?;
    checkpoint::unpack(fresh, checkpoint::pack(&heir)?)
}

/// The best weights of a finished run, for inference on the CPU.
fn trained_student(run: &Path, classes: &[String]) -> Result<CameraStudent, TrainError> {
    let wrong = |message: String| TrainError::Inheritance { run: run.to_owned(), message };
    let path = run.join("config.yaml");
    let text = std::fs::read_to_string(&path).map_err(|source| TrainError::File { path, source })?;
    let earlier: Experiment = serde_yaml::from_str(&text).map_err(|error| wrong(format!("config.yaml: {error}")))?;
    if earlier.classes != classes {
        return Err(wrong(format!("its classes are {:?}, this experiment's {classes:?}", earlier.classes)));
    }
    let student = CameraStudent::new(&earlier.student_config(), earlier.seed, &Device::flex())?;
    student.load(&weights_path(&run.join("train"))).map_err(|error| wrong(error.to_string()))
}
