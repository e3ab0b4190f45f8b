//! The weights that a training starts from: drawn by the seed, or those of an earlier run.

use burn::{module::Module, tensor::Device};

use super::{TrainError, checkpoint, earlier::EarlierRun, retain::Retained};
use crate::distill::{config::Experiment, student::CameraStudent};

/// Checks that a student can inherit what its experiment wants it to.
///
/// # Errors
/// When the run that it inherits from cannot be read, or is of another kind.
pub fn check_inheritance(experiment: &Experiment) -> Result<(), TrainError> {
    if experiment.student.inherit.is_some() {
        initial_student(experiment, None, &Device::flex().autodiff())?;
    }
    Ok(())
}

/// The student that an experiment starts from, on a device with gradients: what it inherits (`student.inherit`), or else the retained
/// one, where there is one. To be trained as int8 hardware computes it is folded.
///
/// # Errors
/// When the run that it inherits from cannot be read, or is of another kind.
pub(super) fn initial_student(
    experiment: &Experiment,
    retained: Option<&Retained>,
    device: &Device,
) -> Result<CameraStudent, TrainError> {
    let fresh = CameraStudent::new(&experiment.student_config(), experiment.seed, device)?;
    let is_aware = experiment.train.quantize_aware;
    let heir = match (&experiment.student.inherit, retained) {
        (Some(run), _) => {
            let run = EarlierRun::read("student.inherit", run)?;
            let (classes, own) = (&run.experiment.classes, &experiment.classes);
            if classes != own {
                return Err(run.wrong(format!("its classes are {classes:?}, this experiment's {own:?}")));
            }
            if !is_aware {
                run.check_unfolded()?;
            }
            fresh.valid().inherit(&run.student(&device.clone().inner())?)?
        }
        (None, Some(retained)) => retained.heir(fresh.valid())?,
        (None, None) => return Ok(fresh),
    };
    if is_aware {
        // What the weights will be multiplied with on the robot has to be in them when they are rounded.
        return Ok(heir.fold().train());
    }
    checkpoint::unpack(fresh, checkpoint::pack(&heir)?)
}
