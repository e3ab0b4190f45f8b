//! A run that was finished earlier, as a place to start from.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{TrainError, trained_student, weights_path};
use crate::distill::{config::Experiment, student::CameraStudent};

/// A finished run, as its output folder tells.
#[derive(Debug, Clone)]
pub struct EarlierRun {
    /// Its experiment; the output is where the folder lies now.
    pub experiment: Experiment,
    /// The key of the experiment at hand that names the run, for messages.
    key: &'static str,
}

impl EarlierRun {
    /// Reads what the run was; `key` is the place in the experiment at hand that names its output folder.
    ///
    /// # Errors
    /// When there is no `config.yaml`, or none that this version understands.
    pub(super) fn read(key: &'static str, folder: &Path) -> Result<Self, TrainError> {
        let wrong = |message: String| TrainError::EarlierRun { key, run: folder.to_owned(), message };
        let mend = "give the output folder of a finished `distill run`";
        let text = std::fs::read_to_string(folder.join("config.yaml"))
            .map_err(|error| wrong(format!("cannot read config.yaml: {error}; {mend}")))?;
        // Not checked as an experiment that is to be run is: where it was trained, there may have been another device.
        let experiment: Experiment =
            serde_yaml::from_str(&text).map_err(|error| wrong(format!("config.yaml: {error}; {mend}")))?;
        Ok(Self { experiment: Experiment { output: folder.to_owned(), ..experiment }, key })
    }

    /// Its best averaged weights.
    pub(super) fn weights(&self) -> PathBuf {
        weights_path(&self.experiment.output.join("train"))
    }

    /// Its student with these weights, for inference.
    ///
    /// # Errors
    /// When the weights are not there, or are another student's.
    pub(super) fn student(&self, device: &Device) -> Result<CameraStudent, TrainError> {
        match trained_student(&self.experiment, device) {
            Err(TrainError::Weights(error)) => {
                Err(self.wrong(format!("{error}; give the output folder of a run that was trained to its end")))
            }
            student => student,
        }
    }

    /// Looks whether its student still has the BatchNorm that ordinary training goes on with.
    ///
    /// # Errors
    /// When it was trained as int8 hardware computes.
    pub(super) fn check_unfolded(&self) -> Result<(), TrainError> {
        if self.experiment.train.quantize_aware {
            let mend = "its student was trained with `train.quantize_aware` and has no BatchNorm any more; give the run that it was \
                        made of, or set `train.quantize_aware` here as well";
            return Err(self.wrong(mend.into()));
        }
        Ok(())
    }

    /// That the run does not do, and why.
    pub(super) fn wrong(&self, message: String) -> TrainError {
        TrainError::EarlierRun { key: self.key, run: self.experiment.output.clone(), message }
    }
}
