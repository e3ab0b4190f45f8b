//! Recorded samples for a bundle's self-test on the robot, out of the validation block: the network was not fitted to them, and they
//! are no part of what it is judged by.

use std::path::Path;

use anyhow::Context;

use crate::{
    distill::{
        bag::{EncodedFrame, Frames, TruthSource},
        config::Experiment,
        durable,
        few::Few,
        lidar::labels::LabelledSweep,
        split::Block,
        train::split_of,
        worst::spread,
    },
    model::{
        Detector, SessionOptions,
        lidar::LidarDetector,
        samples::{SampleInput, Sampled, Samples, make_samples, write_samples},
    },
};

/// How many a bundle has.
const SAMPLES: usize = 2;
/// How many frames or sweeps are looked at for those that show most.
const CONSIDERED: usize = 16;

/// Puts samples into a camera bundle, and tells so. A bundle can be run without them, so what goes wrong is told and no error.
pub(super) fn add_image_samples(experiment: &Experiment, bundle: &Path) {
    let added = || -> anyhow::Result<Option<Samples>> {
        let mut detector = Detector::load(bundle, &SessionOptions::default())?;
        let frames = validation_frames(experiment)?;
        let images = frames.iter().filter_map(|frame| frame.decode().ok());
        let input = detector.spec().input.clone();
        let inputs = images.map(|image| SampleInput::of_image(&image, &input)).collect::<Result<Vec<_>, _>>()?;
        add(bundle, &mut detector, inputs)
    };
    tell(added());
}

/// The same for a lidar bundle, out of these sweeps.
pub(super) fn add_sweep_samples(sweeps: &[&LabelledSweep], bundle: &Path) {
    let added = || -> anyhow::Result<Option<Samples>> {
        let mut detector = LidarDetector::load(bundle, &SessionOptions::default())?;
        let grid = detector.spec().grid.clone();
        let considered = spread(sweeps, CONSIDERED);
        let inputs = considered.iter().map(|sweep| SampleInput::of_sweep(&sweep.sweep, &grid)).collect();
        add(bundle, &mut detector, inputs)
    };
    tell(added());
}

/// A few frames of the validation blocks.
fn validation_frames(experiment: &Experiment) -> anyhow::Result<Vec<EncodedFrame>> {
    let mut few = Few::new(CONSIDERED);
    for data in experiment.data.iter().filter(|data| !data.unlabelled && data.block.is_none_or(is_validation)) {
        let split = split_of(data, experiment)?;
        for frame in Frames::open(&data.path, data.topic.as_deref(), TruthSource::None)? {
            let frame = frame?;
            if split.block_of(frame.stamp) == Some(Block::Validation) {
                few.offer(frame);
            }
        }
    }
    Ok(spread(&few.kept, CONSIDERED))
}

fn is_validation(block: Block) -> bool {
    block == Block::Validation
}

fn add<D: Sampled>(bundle: &Path, detector: &mut D, inputs: Vec<SampleInput>) -> anyhow::Result<Option<Samples>> {
    let samples = make_samples(detector, inputs, SAMPLES)?;
    if samples.samples.is_empty() {
        return Ok(None);
    }
    let of_file = || bundle.display().to_string();
    let bytes = std::fs::read(bundle).with_context(of_file)?;
    durable::write_bytes(bundle, &write_samples(&bytes, &samples)?).with_context(of_file)?;
    Ok(Some(samples))
}

fn tell(added: anyhow::Result<Option<Samples>>) {
    match added {
        Ok(Some(samples)) => {
            let found: usize = samples.samples.iter().map(|sample| sample.expected.len()).sum();
            outln!(
                "export: {} recorded samples with {found} detections for the robot's self-test, {:.0} kB",
                samples.samples.len(),
                samples.to_json().len() as f64 / 1e3
            );
        }
        Ok(None) => {
            outln!("export: the validation block has no frame for the robot's self-test; the bundle goes without")
        }
        Err(error) => outln!("export: the bundle goes without recorded samples for the robot's self-test: {error:#}"),
    }
}
