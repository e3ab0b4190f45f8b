//! `distill bench` with recordings; what it measures is in [`crate::bench`], which robots have, too.

use std::path::Path;

use anyhow::bail;

use super::Outcome;
use crate::{
    bench::command::{self, BenchArgs, RECORDED_INPUTS, Recorded},
    distill::{
        bag::{EncodedFrame, Frames, TruthSource},
        few::Few,
        lidar::labels::read_sweeps,
    },
    model::bundle::Task,
};

/// Measures and prints.
pub fn run(args: &BenchArgs) -> anyhow::Result<Outcome> {
    command::run(args, &read)
}

/// Frames or sweeps of a recording or folder, spread over it.
fn read(task: Task, data: &Path, topic: Option<&str>) -> anyhow::Result<Recorded> {
    match task {
        Task::CameraDetection => read_images(data, topic),
        Task::LidarDetection => {
            let (sweeps, loss) = read_sweeps(data, topic)?;
            let mut few = Few::new(RECORDED_INPUTS);
            // What a model does with nothing to look at is not worth measuring.
            sweeps.into_iter().filter(|sweep| sweep.valid() > 0).for_each(|sweep| few.offer(sweep));
            if few.kept.is_empty() {
                bail!("none of its sweeps has a point");
            }
            let loss = (!loss.is_empty()).then(|| loss.to_string());
            Ok(Recorded { sweeps: few.kept, loss, ..Recorded::default() })
        }
    }
}

/// Frames of a recording or folder, spread over it.
pub(super) fn read_images(data: &Path, topic: Option<&str>) -> anyhow::Result<Recorded> {
    let mut frames = Frames::open(data, topic, TruthSource::None)?;
    let mut few: Few<EncodedFrame> = Few::new(RECORDED_INPUTS);
    for frame in &mut frames {
        few.offer(frame?);
    }
    let mut found = Recorded::default();
    for frame in few.kept {
        match frame.decode() {
            Ok(image) => found.images.push(image),
            Err(error) => found.loss = Some(format!("{}: {error}", frame.name)),
        }
    }
    if !frames.loss().is_empty() {
        found.loss = Some(frames.loss().to_string());
    }
    Ok(found)
}
