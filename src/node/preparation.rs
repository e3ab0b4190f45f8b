//! What is done to a model before its first frame.

use std::time::Duration;

use anyhow::Context as _;

use crate::model::{
    ModelError,
    samples::{Sampled, self_test},
};

/// Runs before the first frame, so that none of the first frames pays for the memory and the caches that ONNX Runtime fills.
const WARM_UPS: usize = 3;

/// Runs a model for the first time and tells how long that took, tests it on its bundle's recorded samples, and runs it some more.
///
/// # Errors
/// A model that cannot be run, or answers otherwise than when it was exported.
pub(super) fn prepare<D: Sampled>(
    detector: &mut D,
    path: &str,
    warm_up: impl Fn(&mut D) -> Result<Duration, ModelError>,
) -> anyhow::Result<Duration> {
    let first = warm_up(detector)?;
    match self_test(detector).with_context(|| path.to_owned())? {
        Some(samples) => tracing::info!("{path} passes its self-test on {samples} recorded samples"),
        None => {
            tracing::info!("{path} has no recorded samples, so it goes without a self-test; `distill run` adds some")
        }
    }
    for _ in 1..WARM_UPS {
        warm_up(detector)?;
    }
    Ok(first)
}
