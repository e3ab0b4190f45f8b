//! The nodes' parameters. Names, types, defaults and descriptions stand in the structs alone: the doc comment of a field, one line, is
//! the description that `ros2 param describe` shows, and its last sentence says when a new value holds ("Read on configure.", "Read on
//! activate.", "Read at the start."; else at once). Ranges and words stand in [`NodeParameters`]. The tables of docs/nodes.md are made
//! of the same.
//!
//! | file | holds |
//! |---|---|
//! | `camera_detector`, `lidar_detector`, `obstacle_fusion` | the parameters of each node, their defaults and what values make sense |
//! | `record` | the parameters of recording, which both detectors have |
//! | `shadow` | [`DetectorParameters`]: what both detectors are told of their models while they run |
//! | `descriptor` | what is known of each parameter: type, range, words, when it holds |
//! | `guarded` | what the services work on: values that make no sense are refused while the node runs, too |
//! | `list` | [`TextList`] and [`PerClass`]: kinds of parameters that r2r does not have |
//! | `qos` | `qos_overrides`: the quality of service of each topic |
//! | `services` | the services of `ros2 param` and `/parameter_events` |
//! | `value` | values as messages and as text |
//! | `documented_tests` | the test that docs/nodes.md and config/ say the same as the code |

mod camera_detector;
mod descriptor;
#[cfg(test)]
mod documented_tests;
mod guarded;
mod lidar_detector;
mod list;
mod obstacle_fusion;
mod qos;
mod record;
mod services;
mod shadow;
mod value;

use std::{path::PathBuf, time::Duration};

pub use camera_detector::CameraDetectorParameters;
pub(super) use camera_detector::ImageTransport;
use descriptor::{Descriptor, Holds, check_values, descriptors};
use guarded::Guarded;
pub(super) use guarded::{NodeParameters, check_type};
pub use lidar_detector::LidarDetectorParameters;
pub(super) use lidar_detector::SweepKind;
pub use list::{PerClass, TextList};
pub use obstacle_fusion::ObstacleFusionParameters;
pub(super) use qos::{QosOverrides, TopicEnd};
use record::Recorded;
pub(super) use services::ParameterServices;
pub(super) use shadow::{DetectorParameters, ShadowOptions};
pub(super) use value::written;

use crate::{
    model::{ExecutionProvider, MAX_BUNDLE_BYTES, ModelLimits, SessionOptions},
    node::watch::StampLimits,
};

/// Words of the parameters `..._reliability`, and whether they mean that lost messages are sent again.
const RELIABILITIES: [(&str, bool); 2] = [("best_effort", false), ("reliable", true)];

/// A parameter that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parameter {name}: {reason}")]
pub struct ParameterError {
    /// The parameter.
    pub name: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl ParameterError {
    fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}

/// A value in `[0, 1]`; nothing where the model's own shall be used.
pub(super) fn share(value: f64) -> Option<f32> {
    (0.0..=1.0).contains(&value).then_some(value as f32)
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
    either(name, value, RELIABILITIES)
}

/// What a value that is one of a few words means.
fn either<T, const N: usize>(
    name: &'static str,
    value: &str,
    meanings: [(&'static str, T); N],
) -> Result<T, ParameterError> {
    let reason = none_of(value, &words(&meanings));
    let found = meanings.into_iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| meaning).ok_or_else(|| ParameterError::new(name, reason))
}

/// The words of a table of words and their meanings.
fn words<T>(meanings: &[(&'static str, T)]) -> Vec<&'static str> {
    meanings.iter().map(|(word, _)| *word).collect()
}

/// The words of the parameter `provider`.
fn providers() -> Vec<&'static str> {
    ExecutionProvider::ALL.map(ExecutionProvider::name).to_vec()
}

/// That a text is none of the words that it may be.
fn none_of(text: &str, known: &[&str]) -> String {
    format!("`{text}` is none of {}", known.join(", "))
}

/// Seconds that are a timeout; 0 stands for none.
fn check_bond_timeout(seconds: f64) -> Result<(), ParameterError> {
    if seconds == 0.0 || seconds >= 0.5 {
        return Ok(());
    }
    Err(ParameterError::new("bond_timeout", format!("{seconds} is neither 0 (no bond) nor at least 0.5 s")))
}

/// The timeout that [`check_bond_timeout`] finds good.
fn bond_timeout(seconds: f64) -> Option<Duration> {
    limit(seconds)
}

/// Seconds of which 0 stands for none.
fn limit(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero())
}

/// What `stale_warn`, `future_warn` and `rate_warn` mean; 0 is no limit.
fn stamp_limits(stale_warn: f64, future_warn: f64, rate_warn: f64) -> StampLimits {
    let rate = (rate_warn > 0.0).then_some(rate_warn);
    StampLimits { stale: limit(stale_warn), future: limit(future_warn), rate }
}

/// What `provider`, `threads`, `onnxruntime_library` and `model_folders` mean.
fn session_options(
    provider: &str,
    threads: i64,
    library: &str,
    folders: &TextList,
) -> Result<SessionOptions, ParameterError> {
    let found = ExecutionProvider::ALL.into_iter().find(|known| known.name() == provider);
    let provider = found.ok_or_else(|| ParameterError::new("provider", none_of(provider, &providers())))?;
    let threads = match usize::try_from(threads) {
        Ok(threads) if threads > 0 => threads,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
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
