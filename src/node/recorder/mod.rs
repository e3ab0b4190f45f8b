//! Learning from the field: an optional recorder of the frames that the student was unsure of, in parts that `distill` reads.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what is recorded, and where |
//! | `uncertainty`, `flicker` | what makes a frame worth learning from; a third reason, that camera and lidar disagree, comes as a request |
//! | `memory` | the newest frames, for what is known of them only later |
//! | `desk` | where the threads meet: who decides, and the bounded queue |
//! | `surroundings`, `service` | the spinning thread's part: other topics, requests, `~/record_now` |
//! | `scribe`, `part_ring`, `seen` | the recorder's own thread: parts on the disk within their limit |
//!
//! Off unless `record_folder` is set: what is recorded shows people. Nothing here holds up detection: the inference thread copies a
//! frame and decides, everything else is done elsewhere, and what finds no room is dropped and counted.

mod desk;
mod flicker;
mod memory;
mod options;
mod part_ring;
mod reason;
mod scribe;
mod seen;
mod service;
mod surroundings;
mod uncertainty;

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};

use self::{
    desk::Desk,
    reason::Reason,
    scribe::{DiskReport, Scribe},
    surroundings::Surroundings,
};
pub(super) use self::{
    options::{Origin, RecordOptions},
    service::RecordNow,
};
use super::{
    clock,
    diagnostics::{WARN, pair, status},
    host::{Host, lock},
    onlooker::{Frame, Onlooker},
    parameters::NodeParameters,
};

/// What a node has while it records: the spinning thread's side of it.
pub(super) struct Recording {
    desk: Arc<Desk>,
    surroundings: Surroundings,
    writing: JoinHandle<()>,
}

/// The recorder's thread, which still finishes its last part.
pub(super) struct Finishing(JoinHandle<()>);

impl Finishing {
    /// Waits for it. Everybody who could give it more must have ended.
    pub(super) fn wait(self) {
        if self.0.join().is_err() {
            tracing::error!("the recorder ended by a fault in the program; please report it");
        }
    }
}

impl Recording {
    /// Begins to record what an onlooker is shown, which comes along for the inference thread. A disk that refuses shows in its
    /// diagnostics.
    ///
    /// # Errors
    /// When ROS 2 refuses the topic of requests, or the system a thread.
    pub(super) fn start<P: NodeParameters>(
        options: RecordOptions,
        origin: Origin,
        host: &mut Host<P>,
    ) -> anyhow::Result<(Self, Recorder)> {
        let (desk, jobs) = Desk::new(&options);
        let desk = Arc::new(desk);
        let surroundings = Surroundings::listen(&options, desk.clone(), host)?;
        let report = Arc::new(Mutex::new(DiskReport::default()));
        let place = Scribe::place(&options, &origin);
        tracing::info!("{} records frames of {} that it is unsure of into {place}", origin.node, origin.topic);
        let scribe = Scribe::new(options, origin, report.clone());
        let writing = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || scribe.run(&jobs))
            .context("no thread for the recorder")?;
        let recorder = Recorder { desk: desk.clone(), report, place };
        Ok((Self { desk, surroundings, writing }, recorder))
    }

    /// Hears what came on other topics, and answers `~/record_now`.
    pub(super) fn turn<P: NodeParameters>(&mut self, host: &mut Host<P>, record_now: Option<&mut RecordNow>) {
        self.surroundings.turn(host, Instant::now());
        if let Some(record_now) = record_now {
            record_now.answer(Some(&self.desk));
        }
    }

    /// The topics of `record_topics` that are not heard, as a line of diagnostics.
    pub(super) fn missing_topics(&self) -> Option<KeyValue> {
        let missing = self.surroundings.missing();
        (!missing.is_empty()).then(|| pair("topics_missing", &missing.join(", ")))
    }

    /// Lets go of all topics. The thread ends once the onlooker is gone, too.
    pub(super) fn leave<P: NodeParameters>(self, host: &mut Host<P>) -> Finishing {
        self.surroundings.leave(host);
        Finishing(self.writing)
    }
}

/// Answers `~/record_now` where nothing is recorded.
pub(super) fn refuse_to_record(record_now: &mut RecordNow) {
    record_now.answer(None);
}

/// The inference thread's side of recording.
pub(super) struct Recorder {
    desk: Arc<Desk>,
    report: Arc<Mutex<DiskReport>>,
    place: String,
}

impl Onlooker for Recorder {
    fn look(&mut self, frame: &Frame<'_>) {
        self.desk.look(frame, clock::now(), Instant::now());
    }

    /// What nobody listens to may be recorded all the same.
    fn wants_frames(&self) -> bool {
        true
    }

    fn status(&mut self, node: &str) -> Option<DiagnosticStatus> {
        let (counts, disk) = (self.desk.counts(), lock(&self.report).clone());
        let mut values = vec![pair("folder", &self.place), pair("frames_considered", &counts.considered.to_string())];
        for reason in Reason::ALL {
            let written = disk.written[reason.place()];
            values.push(pair(&format!("recorded_{}", reason.name()), &written.to_string()));
        }
        for (key, count) in [
            ("too_soon_after_another", counts.too_soon),
            ("dropped_queue_full", counts.dropped),
            ("dropped_topics_queue_full", counts.around_dropped),
            ("lost_on_disk", disk.lost),
            ("requests", counts.requested),
            ("requests_missed", counts.requests_missed),
            ("bytes_on_disk", disk.bytes),
            ("parts", disk.parts as u64),
        ] {
            values.push(pair(key, &count.to_string()));
        }
        if let Some(age) = disk.oldest.and_then(|oldest| SystemTime::now().duration_since(oldest).ok()) {
            values.push(pair("oldest_part_age_s", &whole_seconds(age)));
        }
        values.push(pair("last_error", disk.last_error.as_deref().unwrap_or("")));
        let written: u64 = disk.written.iter().sum();
        let trouble = disk.trouble.iter().map(|trouble| (WARN, format!("nothing is recorded: {trouble}"))).collect();
        let well = || format!("{written} of {} frames recorded", counts.considered);
        Some(status(format!("{node}: recorder"), trouble, well, values))
    }
}

fn whole_seconds(age: Duration) -> String {
    age.as_secs().to_string()
}
