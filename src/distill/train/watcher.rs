//! What the tests of every training loop watch a training by.

use std::{ops::ControlFlow, path::Path};

use super::{Best, EpochRecord, Observer, StepReport};

/// Stops after a number of steps, and keeps the epochs' records.
#[derive(Default)]
pub(in crate::distill) struct Watcher {
    pub(in crate::distill) stop_after: Option<usize>,
    pub(in crate::distill) records: Vec<EpochRecord>,
}

impl Observer for Watcher {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if self.stop_after == Some(report.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_epoch(&mut self, record: &EpochRecord) {
        let timeless = EpochRecord { seconds: 0.0, images_per_second: 0.0, wait_share: 0.0, ..record.clone() };
        self.records.push(timeless);
    }
}

/// How a training ended.
pub(in crate::distill) struct Ending {
    pub(in crate::distill) interrupted: bool,
    pub(in crate::distill) weights: Vec<Vec<f32>>,
    pub(in crate::distill) best: Option<Best>,
}

/// Training that was stopped after any of these steps and resumed must end where uninterrupted training does. `train` trains in a folder,
/// anew or resumed, and tells how that ended. Gives the end and the epochs of the uninterrupted training.
pub(in crate::distill) fn assert_resumable(
    stops: &[usize],
    train: impl Fn(&Path, bool, &mut Watcher) -> Ending,
) -> (Ending, Vec<EpochRecord>) {
    let folder = tempfile::tempdir().unwrap();
    let mut straight = Watcher::default();
    let whole = train(&folder.path().join("straight"), false, &mut straight);
    assert!(!whole.interrupted && !straight.records.is_empty());
    for stop in stops {
        let path = folder.path().join(stop.to_string());
        let mut first = Watcher { stop_after: Some(*stop), ..Watcher::default() };
        assert!(train(&path, false, &mut first).interrupted, "step {stop} ends it");
        assert!(first.records.len() < straight.records.len(), "there is nothing left to do after step {stop}");
        let mut second = Watcher::default();
        let resumed = train(&path, true, &mut second);
        assert!(resumed.weights == whole.weights, "stopped after step {stop}: other weights");
        assert_eq!(resumed.best, whole.best, "stopped after step {stop}");
        let records: Vec<EpochRecord> = first.records.into_iter().chain(second.records).collect();
        assert_eq!(records, straight.records, "stopped after step {stop}");
        let lines = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap().lines().count();
        assert_eq!(lines, straight.records.len(), "stopped after step {stop}");
    }
    (whole, straight.records)
}
