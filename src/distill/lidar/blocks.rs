//! Which sweeps are for training, for validation and for the test.

use std::path::PathBuf;

use super::{
    batch::Example,
    config::LidarExperiment,
    labels::{LabelledRecording, LabelledSweep, LidarData},
};
use crate::distill::{
    split::{Block, Split, SplitError},
    train::TrainError,
};

/// The sweeps of one recording by what they may be used for, each in the order of time.
#[derive(Debug, Clone, Default)]
pub struct RecordingBlocks<'a> {
    /// The recording.
    pub path: PathBuf,
    /// Weights are fitted to these.
    pub train: Vec<&'a LabelledSweep>,
    /// The best weights are chosen by these.
    pub validation: Vec<&'a LabelledSweep>,
    /// Measured once, at the end.
    pub test: Vec<&'a LabelledSweep>,
    /// Sweeps between the blocks, which are left out.
    pub gap: usize,
}

/// A sweep to measure on.
#[derive(Debug, Clone, Copy)]
pub struct TestSweep<'a> {
    /// The place of its recording in the experiment's `data`.
    pub recording: usize,
    /// The sweep.
    pub sweep: &'a LabelledSweep,
}

/// The sweeps of an experiment.
#[derive(Debug, Clone, Default)]
pub struct Blocks<'a> {
    /// Recording after recording, in the order of `data`.
    pub recordings: Vec<RecordingBlocks<'a>>,
}

impl<'a> Blocks<'a> {
    /// Cuts recordings, given in the order of the experiment's `data`, in time, or gives them to a block as a whole.
    ///
    /// # Errors
    /// When the split makes no sense.
    pub fn new(experiment: &LidarExperiment, recordings: &'a [LabelledRecording]) -> Result<Self, SplitError> {
        let cut = |(data, recording): (&LidarData, &'a LabelledRecording)| {
            let stamps = || recording.sweeps.iter().map(|sweep| sweep.stamp);
            let split = match (data.block, stamps().min(), stamps().max()) {
                (Some(block), ..) => Split::whole(block),
                (None, Some(first), Some(last)) => Split::by_time(&experiment.split, first, last)?,
                (None, ..) => Split::whole(Block::Train),
            };
            let mut blocks = RecordingBlocks { path: data.path.clone(), ..RecordingBlocks::default() };
            for sweep in &recording.sweeps {
                match split.block_of(sweep.stamp) {
                    Some(Block::Train) => blocks.train.push(sweep),
                    Some(Block::Validation) => blocks.validation.push(sweep),
                    Some(Block::Test) => blocks.test.push(sweep),
                    None => blocks.gap += 1,
                }
            }
            Ok(blocks)
        };
        let recordings = experiment.data.iter().zip(recordings).map(cut).collect::<Result<Vec<_>, SplitError>>()?;
        Ok(Self { recordings })
    }

    /// Sweeps to train on, of which something is known.
    ///
    /// # Errors
    /// When nothing is known of any, or no object stands in any.
    pub fn examples(&self) -> Result<Vec<Example<'a>>, TrainError> {
        let sweeps = self.recordings.iter().flat_map(|recording| recording.train.iter().copied());
        let examples: Vec<Example<'a>> = sweeps.map(Example::of).filter(Example::teaches).collect();
        let objects: usize = examples.iter().map(|example| example.labels.objects.len()).sum();
        if examples.is_empty() || objects == 0 {
            return Err(TrainError::NothingToLearn(format!(
                "the training block has {} labelled sweeps and {objects} objects, so there is nothing to learn; look at split, classes, \
                 data[].labels and their scores",
                examples.len()
            )));
        }
        Ok(examples)
    }

    /// Sweeps to validate on, of which something is known.
    pub fn validation(&self) -> Vec<&'a LabelledSweep> {
        let sweeps = self.recordings.iter().flat_map(|recording| recording.validation.iter().copied());
        sweeps.filter(|sweep| sweep.labels.is_known()).collect()
    }

    /// Sweeps to measure on.
    pub fn test(&self) -> Vec<TestSweep<'a>> {
        let mut sweeps = Vec::new();
        for (recording, blocks) in self.recordings.iter().enumerate() {
            sweeps.extend(blocks.test.iter().map(|&sweep| TestSweep { recording, sweep }));
        }
        sweeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::lidar::batch::tests::painted_sweep;

    #[test]
    fn recordings_are_cut_in_time_or_given_whole() {
        let text = "{task: lidar, name: a, classes: [post], output: o, split: {validation: 0.2, test: 0.2, gap_seconds: 0.15}, \
                    data: [{path: x, labels: [truth: {points: /t}]}, {path: y, labels: [truth: {points: /t}], block: test}]}";
        let experiment: LidarExperiment = serde_yaml::from_str(text).unwrap();
        let recording = || LabelledRecording {
            sweeps: (0..20).map(painted_sweep).collect(),
            loss: Default::default(),
            facts: Default::default(),
        };
        let recordings = [recording(), recording()];
        let blocks = Blocks::new(&experiment, &recordings).unwrap();
        let first = &blocks.recordings[0];
        let counts = [first.train.len(), first.validation.len(), first.test.len(), first.gap];
        assert_eq!(counts.iter().sum::<usize>(), 20);
        assert!(first.gap > 0 && first.train.len() > 8 && !first.validation.is_empty(), "{counts:?}");
        assert_eq!(blocks.test().len(), first.test.len() + 20);
        assert_eq!(blocks.examples().unwrap().len(), first.train.len());
        assert!(first.train.iter().all(|sweep| sweep.stamp < first.validation[0].stamp));
    }
}
