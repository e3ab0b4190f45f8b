//! The nodes' parameters. The doc comments of the fields are the descriptions that `ros2 param describe` shows.
//!
//! | file | holds |
//! |---|---|
//! | `camera_detector`, `lidar_detector`, `obstacle_fusion` | the parameters of each node, their defaults and what values make sense |
//! | `fixed` | [`Fixed`]: what cannot be set once the node runs |
//! | `guarded` | [`Guarded`]: values that make no sense are refused while the node runs, too |
//! | `list` | [`TextList`] and [`PerClass`]: kinds of parameters that r2r does not have |

mod camera_detector;
mod fixed;
mod guarded;
mod lidar_detector;
mod list;
mod obstacle_fusion;

use std::{path::PathBuf, time::Duration};

pub use camera_detector::CameraDetectorParameters;
pub(super) use camera_detector::ImageTransport;
pub use fixed::Fixed;
pub(super) use guarded::{Guarded, NodeParameters};
pub use lidar_detector::LidarDetectorParameters;
pub(super) use lidar_detector::SweepKind;
pub use list::{PerClass, TextList};
pub use obstacle_fusion::ObstacleFusionParameters;

use crate::model::{ExecutionProvider, MAX_BUNDLE_BYTES, ModelLimits, SessionOptions};

/// Threads of one inference at most; no machine has more cores.
const MOST_THREADS: usize = 1024;

/// A parameter that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parameter {name}: {reason}")]
pub struct ParameterError {
    /// The parameter.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl ParameterError {
    fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

/// A value in `[0, 1]`; nothing where the model's own shall be used.
pub(super) fn share(value: f64) -> Option<f32> {
    (0.0..=1.0).contains(&value).then_some(value as f32)
}

/// A share that may be negative, which stands for the model's own.
fn check_share(name: &'static str, value: f64) -> Result<(), ParameterError> {
    if value.is_nan() || value > 1.0 {
        let reason = format!("{value} is no share; it is from 0 to 1, or negative for the model's own");
        return Err(ParameterError::new(name, reason));
    }
    Ok(())
}

fn check_model(model: &str) -> Result<(), ParameterError> {
    if model.is_empty() {
        let reason = "no model is given; for example --ros-args -p model:=/path/to/student.onnx";
        return Err(ParameterError::new("model", reason));
    }
    Ok(())
}

fn check_topic(name: &'static str, topic: &str) -> Result<(), ParameterError> {
    if topic.is_empty() {
        return Err(ParameterError::new(name, "a topic has a name"));
    }
    Ok(())
}

fn is_reliable(name: &'static str, value: &str) -> Result<bool, ParameterError> {
    either(name, value, [("best_effort", false), ("reliable", true)])
}

/// What a value that is one of two words means.
fn either<T>(
    name: &'static str,
    value: &str,
    [(first, one), (second, other)]: [(&str, T); 2],
) -> Result<T, ParameterError> {
    if value == first {
        return Ok(one);
    }
    if value == second {
        return Ok(other);
    }
    Err(ParameterError::new(name, format!("`{value}` is neither {first} nor {second}")))
}

/// Seconds that are a timeout; 0 stands for none.
fn check_bond_timeout(seconds: f64) -> Result<(), ParameterError> {
    if seconds == 0.0 || (0.5..=3600.0).contains(&seconds) {
        return Ok(());
    }
    let reason = format!("{seconds} is neither 0 (no bond) nor from 0.5 to 3600 s");
    Err(ParameterError::new("bond_timeout", reason))
}

/// The timeout that [`check_bond_timeout`] finds good.
fn bond_timeout(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|timeout| !timeout.is_zero())
}

/// What `provider`, `threads`, `onnxruntime_library` and `model_folders` mean.
fn session_options(
    provider: &str,
    threads: i64,
    library: &str,
    folders: &TextList,
) -> Result<SessionOptions, ParameterError> {
    let found = ExecutionProvider::ALL.into_iter().find(|known| known.name() == provider);
    let provider = found.ok_or_else(|| {
        let known = ExecutionProvider::ALL.map(ExecutionProvider::name).join(", ");
        ParameterError::new("provider", format!("`{provider}` is none of {known}"))
    })?;
    let threads = match usize::try_from(threads) {
        Ok(0) => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        Ok(threads) if threads <= MOST_THREADS => threads,
        _ => {
            let reason = format!("{threads} is not from 1 to {MOST_THREADS}, or 0 for one per core");
            return Err(ParameterError::new("threads", reason));
        }
    };
    let library = (!library.is_empty()).then(|| PathBuf::from(library));
    let folders: Vec<PathBuf> = folders.0.iter().filter(|folder| !folder.is_empty()).map(PathBuf::from).collect();
    if let Some(relative) = folders.iter().find(|folder| folder.is_relative()) {
        let reason = format!("`{}` depends on where the node was started; name it from / on", relative.display());
        return Err(ParameterError::new("model_folders", reason));
    }
    let limits = ModelLimits { folders, max_bytes: MAX_BUNDLE_BYTES };
    Ok(SessionOptions { threads, provider, library, limits })
}

/// Asks that each of the parameters is refused, and by which name.
#[cfg(test)]
fn assert_refused<P: NodeParameters>(cases: impl IntoIterator<Item = (P, &'static str)>) {
    for (parameters, name) in cases {
        assert_eq!(parameters.check().unwrap_err().name, name);
    }
}
