//! A run that was finished earlier, as a place to start from.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{TrainError, weights_path};
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
        let student = CameraStudent::new(&self.experiment.student_config(), self.experiment.seed, device)?;
        student.load(&self.weights()).map_err(|error| {
            self.wrong(format!("{error}; give the output folder of a run that was trained to its end"))
        })
    }

    /// That the run does not do, and why.
    pub(super) fn wrong(&self, message: String) -> TrainError {
        TrainError::EarlierRun { key: self.key, run: self.experiment.output.clone(), message }
    }
}
