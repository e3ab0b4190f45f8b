//! A model that is measured, with what it runs on.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use image::RgbImage;

use super::{BenchError, turns::Lap};
use crate::{
    digest::file_sha256,
    model::{
        Detector, ExecutionProvider, ModelError, OnnxFacts, SessionOptions,
        bundle::{Task, task_of},
        lidar::LidarDetector,
        onnx_facts,
    },
    sensing::range_image::{RangeGrid, Sweep},
};

/// A detector of either kind, ready to be run again and again.
#[derive(Debug)]
pub struct Subject {
    path: PathBuf,
    sha256: String,
    facts: OnnxFacts,
    eye: Eye,
}

/// What looks at what.
#[derive(Debug)]
enum Eye {
    Camera { detector: Box<Detector>, images: Arc<[RgbImage]> },
    Lidar { detector: Box<LidarDetector>, sweeps: Arc<[Sweep]> },
}

impl Subject {
    /// Loads a bundle of either task, or a foreign ONNX detector with its YAML or by a guess. It has no inputs yet.
    ///
    /// # Errors
    /// The file cannot be read or run, or does not tell enough about itself.
    pub fn load(path: &Path, options: &SessionOptions) -> Result<Self, BenchError> {
        let eye = match task_of(path)? {
            Some(Task::LidarDetection) => {
                Eye::Lidar { detector: Box::new(LidarDetector::load(path, options)?), sweeps: Arc::default() }
            }
            Some(Task::CameraDetection) | None => {
                Eye::Camera { detector: Box::new(Detector::load(path, options)?), images: Arc::default() }
            }
        };
        let sha256 = file_sha256(path).map_err(|source| BenchError::Read { path: path.to_path_buf(), source })?;
        Ok(Self { path: path.to_path_buf(), sha256, facts: onnx_facts(path)?, eye })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Parameters and size of the file.
    pub fn facts(&self) -> OnnxFacts {
        self.facts
    }

    /// What it does.
    pub fn task(&self) -> Task {
        match self.eye {
            Eye::Camera { .. } => Task::CameraDetection,
            Eye::Lidar { .. } => Task::LidarDetection,
        }
    }

    /// What really computes it.
    pub fn provider(&self) -> ExecutionProvider {
        match &self.eye {
            Eye::Camera { detector, .. } => detector.session().provider(),
            Eye::Lidar { detector, .. } => detector.session().provider(),
        }
    }

    /// Multiply-accumulates of one inference, where it is a bundle that knows them.
    pub fn macs(&self) -> Option<u64> {
        let macs = match &self.eye {
            Eye::Camera { detector, .. } => detector.bundle().map(|bundle| bundle.macs),
            Eye::Lidar { detector, .. } => Some(detector.bundle().macs),
        };
        macs.filter(|macs| *macs > 0)
    }

    /// Shape of the network's input: channels, height, width.
    pub fn input_shape(&self) -> [usize; 3] {
        match &self.eye {
            Eye::Camera { detector, .. } => {
                let input = &detector.spec().input;
                [3, input.height, input.width]
            }
            Eye::Lidar { detector, .. } => {
                let spec = detector.spec();
                [spec.channels.len(), spec.grid.rows, spec.grid.columns]
            }
        }
    }

    /// The range image that a lidar's sweeps are projected to; `None` of a camera's model.
    pub fn grid(&self) -> Option<&RangeGrid> {
        match &self.eye {
            Eye::Camera { .. } => None,
            Eye::Lidar { detector, .. } => Some(&detector.spec().grid),
        }
    }

    /// Gives it pictures to look at; a lidar's model has no use for them.
    pub fn show_images(&mut self, shown: &Arc<[RgbImage]>) {
        if let Eye::Camera { images, .. } = &mut self.eye {
            *images = Arc::clone(shown);
        }
    }

    /// Gives it sweeps to look at; a camera's model has no use for them.
    pub fn show_sweeps(&mut self, shown: &Arc<[Sweep]>) {
        if let Eye::Lidar { sweeps, .. } = &mut self.eye {
            *sweeps = Arc::clone(shown);
        }
    }

    /// How many inputs it has.
    pub fn inputs(&self) -> usize {
        match &self.eye {
            Eye::Camera { images, .. } => images.len(),
            Eye::Lidar { sweeps, .. } => sweeps.len(),
        }
    }

    /// Runs it on the input with this number, which begins anew behind the last one; without inputs it does nothing. Says how long it
    /// took and how many objects it found.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the outputs do not fit the head.
    pub fn run(&mut self, number: usize) -> Result<(Lap, usize), ModelError> {
        let start = Instant::now();
        let (stages, found) = match &mut self.eye {
            Eye::Camera { detector, images } => match images.get(number % images.len().max(1)) {
                Some(image) => {
                    let found = detector.detect(image)?;
                    (found.timing, found.detections.len())
                }
                None => return Ok((Lap::default(), 0)),
            },
            Eye::Lidar { detector, sweeps } => match sweeps.get(number % sweeps.len().max(1)) {
                Some(sweep) => {
                    let found = detector.detect(sweep)?;
                    (found.timing, found.objects.len())
                }
                None => return Ok((Lap::default(), 0)),
            },
        };
        Ok((Lap { stages, whole: start.elapsed() }, found))
    }
}
