//! What every training loop keeps and writes, whatever it trains: where the run stands, `metrics.jsonl`, curves, checkpoints, the best
//! weights.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::module::Module;

use super::{
    TrainError,
    checkpoint::{Best, Checkpoint, Position, pack, unpack},
    events::EventLog,
    journal::{EpochRecord, Journal, metrics_path},
    schedule::Schedule,
    step::Step,
    trainer::{Observer, StepReport},
};
use crate::distill::{config::TrainConfig, student::save};

/// Path of a training folder's checkpoint.
pub fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.bin")
}

/// Path of a training folder's best averaged weights.
pub fn weights_path(folder: &Path) -> PathBuf {
    folder.join("best.bpk")
}

/// The checkpoint of a folder to go on from; none where that is not wanted or there is none.
///
/// # Errors
/// When it cannot be read, or is one of other settings.
pub(in crate::distill) fn resumed(
    folder: &Path,
    resume: bool,
    settings: &serde_json::Value,
) -> Result<Option<Checkpoint>, TrainError> {
    let path = checkpoint_path(folder);
    if !resume || !path.exists() {
        return Ok(None);
    }
    let saved = Checkpoint::read(&path)?;
    check_settings(&path, &saved.settings, settings)?;
    Ok(Some(saved))
}

/// What a validation says of the student; nothing where there is nothing to judge by.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::distill) struct Figures {
    /// As [`EpochRecord::validation_ap`].
    pub(in crate::distill) ap: Option<f64>,
    /// As [`EpochRecord::validation_ap50`].
    pub(in crate::distill) ap50: Option<f64>,
    /// As [`EpochRecord::validation_point_iou`].
    pub(in crate::distill) point_iou: Option<f64>,
}

/// How things stood when this process began with an epoch, or with the rest of one.
#[derive(Debug, Clone, Copy)]
pub(in crate::distill) struct Lap {
    start: Instant,
    seen: usize,
    waited: Duration,
}

/// What training an epoch, or the rest of one, took.
#[derive(Debug, Clone, Copy)]
pub(in crate::distill) struct LapTime {
    elapsed: Duration,
    seen: usize,
    waited: Duration,
}

/// A training under way, without what is trained.
#[derive(Debug)]
pub(in crate::distill) struct Course<'a> {
    config: &'a TrainConfig,
    folder: &'a Path,
    settings: serde_json::Value,
    journal: Journal,
    events: EventLog,
    schedule: Schedule,
    batches: usize,
    steps: usize,
    best_weights: Option<Vec<u8>>,
    /// Where the run stands.
    pub(in crate::distill) position: Position,
    seen: usize,
    trained: Duration,
    waited: Duration,
}

impl<'a> Course<'a> {
    /// Goes on at a position with the best weights so far. `batches` make an epoch, and `settings` are what a checkpoint is refused
    /// by when they have changed.
    ///
    /// # Errors
    /// When `metrics.jsonl` cannot be written.
    pub(in crate::distill) fn open(
        config: &'a TrainConfig,
        folder: &'a Path,
        settings: serde_json::Value,
        batches: usize,
        position: Position,
        best_weights: Option<Vec<u8>>,
    ) -> Result<Self, TrainError> {
        let steps = config.epochs * batches;
        Ok(Self {
            journal: Journal::open(&metrics_path(folder), position.epoch)?,
            events: EventLog::open(&folder.join("events"), config.tensorboard, position.step),
            schedule: Schedule::new(config, steps),
            config,
            folder,
            settings,
            batches,
            steps,
            best_weights,
            position,
            seen: 0,
            trained: Duration::ZERO,
            waited: Duration::ZERO,
        })
    }

    /// Whether all epochs are made, or none was the best for too long.
    pub(in crate::distill) fn is_over(&self) -> bool {
        let (epoch, patience) = (self.position.epoch, self.config.patience);
        let is_out_of_patience =
            patience > 0 && self.position.best.is_some_and(|best| epoch > best.epoch.saturating_add(patience));
        epoch >= self.config.epochs || is_out_of_patience
    }

    /// Learning rate of the next step.
    pub(in crate::distill) fn rate(&self) -> f64 {
        self.schedule.at(self.position.step)
    }

    /// Share of the run's steps that were made.
    pub(in crate::distill) fn progress(&self) -> f64 {
        self.position.step as f64 / self.steps.max(1) as f64
    }

    /// The next batch of the epoch; none at its end.
    pub(in crate::distill) fn next_batch(&self) -> Option<usize> {
        (self.position.batch < self.batches).then_some(self.position.batch)
    }

    /// Begins an epoch, or the rest of one.
    pub(in crate::distill) fn lap(&self) -> Lap {
        Lap { start: Instant::now(), seen: self.seen, waited: self.waited }
    }

    /// Ends what [`Self::lap`] began; what follows does not count as training.
    pub(in crate::distill) fn lap_time(&mut self, lap: Lap) -> LapTime {
        let elapsed = lap.start.elapsed();
        self.trained += elapsed;
        LapTime { elapsed, seen: self.seen - lap.seen, waited: self.waited - lap.waited }
    }

    /// The training waited for a batch.
    pub(in crate::distill) fn wait(&mut self, duration: Duration) {
        self.waited += duration;
    }

    /// Counts a step on `count` images or sweeps, after which the average has had so many updates. `frames` names the batch for
    /// messages.
    ///
    /// # Errors
    /// When something is infinite or no number, or soon would be.
    pub(in crate::distill) fn count(
        &mut self,
        step: Step,
        rate: f64,
        count: usize,
        average_updates: u64,
        frames: impl FnOnce() -> String,
    ) -> Result<StepReport, TrainError> {
        let position = &mut self.position;
        let (losses, norm) = match step {
            Step::Taken { losses, norm } => (losses, norm),
            Step::NotFinite { what } => {
                return Err(TrainError::NotFinite {
                    epoch: position.epoch + 1,
                    step: position.step + 1,
                    what,
                    frames: frames(),
                });
            }
        };
        self.seen += count;
        position.step += 1;
        position.batch += 1;
        position.average_updates = average_updates;
        position.sums.add(&losses, norm);
        Ok(StepReport { step: position.step, steps: self.steps, epoch: position.epoch + 1, losses, norm, rate })
    }

    /// Tells of a step, and gives what the observer says to it.
    pub(in crate::distill) fn tell(&mut self, report: &StepReport, observer: &mut dyn Observer) -> ControlFlow<()> {
        self.events.step(report);
        observer.on_step(report)
    }

    /// Whether a checkpoint is due within the epoch.
    pub(in crate::distill) fn is_checkpoint_due(&self) -> bool {
        let every = self.config.checkpoint_steps;
        every > 0 && self.position.step.is_multiple_of(every)
    }

    /// Whether the student is to be judged after this epoch.
    pub(in crate::distill) fn is_judged(&self) -> bool {
        self.is_last() || (self.position.epoch + 1).is_multiple_of(self.config.validate_every)
    }

    fn is_last(&self) -> bool {
        self.position.epoch + 1 == self.config.epochs
    }

    /// Keeps averaged weights when they are the best so far.
    ///
    /// # Errors
    /// When burn cannot pack them.
    pub(in crate::distill) fn keep_best(&mut self, best: Best, averaged: &impl Module) -> Result<(), TrainError> {
        if self.position.best.is_none_or(|before| best.figure() >= before.figure()) {
            self.position.best = Some(best);
            self.best_weights = Some(pack(averaged)?);
        }
        Ok(())
    }

    /// Ends the epoch and writes and tells its record; gives whether a checkpoint is due.
    ///
    /// # Errors
    /// When `metrics.jsonl` cannot be written.
    pub(in crate::distill) fn end_epoch(
        &mut self,
        time: LapTime,
        validation: Figures,
        observer: &mut dyn Observer,
    ) -> Result<bool, TrainError> {
        let number = self.position.epoch;
        let is_saved = self.is_last() || (number + 1).is_multiple_of(self.config.checkpoint_every);
        let sums = std::mem::take(&mut self.position.sums);
        (self.position.epoch, self.position.batch) = (number + 1, 0);
        let seconds = time.elapsed.as_secs_f64();
        let record = EpochRecord {
            epoch: number + 1,
            step: self.position.step,
            loss: sums.mean(sums.total),
            terms: sums.term_means(),
            gradient_norm: sums.mean(sums.norm),
            learning_rate: self.schedule.at(self.position.step.saturating_sub(1)),
            validation_ap: validation.ap,
            validation_ap50: validation.ap50,
            validation_point_iou: validation.point_iou,
            best: self.position.best.is_some_and(|best| best.epoch == number),
            seconds,
            images_per_second: time.seen as f64 / seconds.max(1e-9),
            wait_share: time.waited.as_secs_f64() / seconds.max(1e-9),
        };
        self.journal.append(&record)?;
        self.events.epoch(&record);
        observer.on_epoch(&record);
        Ok(is_saved)
    }

    /// Writes a checkpoint with the student as it is and with averaged weights, the optimiser's state and the adapters.
    ///
    /// # Errors
    /// When it cannot be packed or written.
    pub(in crate::distill) fn save(
        &self,
        student: &impl Module,
        averaged: &impl Module,
        optimizer: Vec<u8>,
        adapters: Vec<u8>,
    ) -> Result<(), TrainError> {
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            settings: self.settings.clone(),
            student: pack(student)?,
            average: pack(averaged)?,
            best: self.best_weights.clone(),
            optimizer,
            adapters,
        };
        checkpoint.write(&checkpoint_path(self.folder))
    }

    /// The student to export: the best one, or the averaged one where none was judged. It is written unless the run was interrupted.
    ///
    /// # Errors
    /// When the weights cannot be unpacked or written.
    pub(in crate::distill) fn result<M: Module>(&self, averaged: M, interrupted: bool) -> Result<M, TrainError> {
        let student = match &self.best_weights {
            Some(bytes) => unpack(averaged, bytes.clone())?,
            None => averaged,
        };
        if !interrupted {
            let path = weights_path(self.folder);
            save(&student, &path).map_err(|error| TrainError::Record(error.to_string()))?;
        }
        Ok(student)
    }

    /// Images or sweeps that this process trained on.
    pub(in crate::distill) fn seen(&self) -> usize {
        self.seen
    }

    /// Seconds in which this process trained, validation not counted.
    pub(in crate::distill) fn seconds(&self) -> f64 {
        self.trained.as_secs_f64()
    }

    /// Share of those seconds in which the training waited for batches.
    pub(in crate::distill) fn wait_share(&self) -> f64 {
        self.waited.as_secs_f64() / self.seconds().max(1e-9)
    }
}

/// Refuses the checkpoint of another run by what has changed since.
fn check_settings(path: &Path, saved: &serde_json::Value, now: &serde_json::Value) -> Result<(), TrainError> {
    let mut changed = Vec::new();
    differences("", saved, now, &mut changed);
    if changed.is_empty() {
        return Ok(());
    }
    Err(TrainError::Checkpoint {
        path: path.to_owned(),
        message: format!(
            "this checkpoint is of another run: {} changed since; change it back, or start anew without --resume",
            changed.join(", ")
        ),
    })
}

fn differences(key: &str, saved: &serde_json::Value, now: &serde_json::Value, changed: &mut Vec<String>) {
    match (saved, now) {
        (serde_json::Value::Object(saved), serde_json::Value::Object(now)) => {
            let names: std::collections::BTreeSet<&String> = saved.keys().chain(now.keys()).collect();
            for name in names {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let (null, null_too) = (serde_json::Value::Null, serde_json::Value::Null);
                differences(&key, saved.get(name).unwrap_or(&null), now.get(name).unwrap_or(&null_too), changed);
            }
        }
        _ if saved != now => changed.push(format!("{key} ({saved} -> {now})")),
        _ => {}
    }
}
