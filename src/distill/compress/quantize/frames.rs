//! Calibration and validation frames out of recordings, as the network takes them in. The test block is never read.

use super::{QuantizeError, judge::JudgedFrame, network::NetworkInput};
use crate::{
    distill::{
        bag::{EncodedFrame, Frames},
        evaluate::{EvaluateJob, RecordingTruth},
        few::Few,
        lidar::{batch::input_of, labels::LabelledSweep},
        split::Block,
        worst::spread,
    },
    metrics::TruthBox,
    model::{InputSpec, lidar::LidarSpec},
    sensing::{
        letterbox::{InputFiller, Letterbox},
        range_image::RangeImage,
    },
};

/// How many frames are looked at, spread evenly over their blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Frames of the training block that ranges are found on.
    pub calibration: usize,
    /// Frames of the validation block that choices are made and the result is judged by.
    pub validation: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { calibration: 100, validation: 200 }
    }
}

/// A camera's frames.
#[derive(Debug, Clone, Default)]
pub struct CameraFrames {
    /// Inputs of the training block.
    pub calibration: Vec<NetworkInput>,
    /// Inputs of the validation block.
    pub validation: Vec<NetworkInput>,
    /// What is known of these.
    pub judged: Vec<JudgedFrame>,
    /// What of the recordings could not be read, in words.
    pub losses: Vec<String>,
}

impl CameraFrames {
    /// Reads the recordings of a job, whose splits tell the blocks and whose truth is looked up for the validation frames; nothing else
    /// of the job counts.
    ///
    /// # Errors
    /// A recording cannot be read, or one of the two blocks has no frame.
    pub fn read(job: &EvaluateJob, input: &InputSpec, limits: FrameLimits) -> Result<Self, QuantizeError> {
        let mut calibration: Few<EncodedFrame> = Few::new(limits.calibration);
        let mut validation: Few<(EncodedFrame, Option<Vec<TruthBox>>)> = Few::new(limits.validation);
        let mut losses = Vec::new();
        for recording in &job.recordings {
            let truth_of = RecordingTruth::new(job, recording);
            let mut frames = Frames::open(&recording.path, recording.topic.as_deref(), truth_of.source())?;
            for frame in &mut frames {
                let frame = frame?;
                let block = recording.block.as_ref().and_then(|(split, _)| split.block_of(frame.stamp));
                match block {
                    Some(Block::Train) => calibration.offer(frame),
                    Some(Block::Validation) => {
                        let truth = truth_of.of(&frame)?;
                        validation.offer((frame, truth));
                    }
                    Some(Block::Test) | None => {}
                }
            }
            if !frames.loss().is_empty() {
                losses.push(format!("{}: {}", recording.path.display(), frames.loss()));
            }
        }
        let mut found = Self { losses, ..Self::default() };
        let mut filler = InputFiller::new();
        let mut undecodable = 0;
        let mut decode = |frame: &EncodedFrame| -> Option<(NetworkInput, Letterbox)> {
            let Ok(image) = frame.decode() else {
                undecodable += 1;
                return None;
            };
            let mut values = vec![0.0; 3 * input.width * input.height];
            let letterbox = filler.fill(&image, input, &mut values);
            Some((values, letterbox))
        };
        for frame in spread(&calibration.kept, limits.calibration) {
            found.calibration.extend(decode(&frame).map(|(values, _)| values));
        }
        for (frame, truth) in spread(&validation.kept, limits.validation) {
            if let Some((values, letterbox)) = decode(&frame) {
                found.validation.push(values);
                found.judged.push(JudgedFrame { letterbox, truth });
            }
        }
        if undecodable > 0 {
            found.losses.push(format!("{undecodable} frames are not decodable"));
        }
        let recordings: Vec<String> =
            job.recordings.iter().map(|recording| recording.path.display().to_string()).collect();
        check_frames(found.calibration.len(), found.validation.len(), &recordings.join(", "))?;
        Ok(found)
    }
}

/// The inputs of some sweeps, spread evenly.
pub fn sweep_inputs(sweeps: &[&LabelledSweep], spec: &LidarSpec, most: usize) -> Vec<NetworkInput> {
    let input = |sweep: &&LabelledSweep| input_of(&RangeImage::project(&sweep.sweep, &spec.grid), spec);
    spread(sweeps, most).iter().map(input).collect()
}

/// Says which block has no frame.
///
/// # Errors
/// [`QuantizeError::NoFrames`].
pub fn check_frames(calibration: usize, validation: usize, recordings: &str) -> Result<(), QuantizeError> {
    let missing = match (calibration, validation) {
        (0, _) => ("calibrate on", "training"),
        (_, 0) => ("judge by", "validation"),
        _ => return Ok(()),
    };
    Err(QuantizeError::NoFrames { purpose: missing.0, block: missing.1, recordings: recordings.to_owned() })
}
