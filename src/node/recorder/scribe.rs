//! Writing parts, on a thread of its own: a slow, full or missing disk costs records, never detections.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use super::{
    desk::{Around, Job},
    memory::SeenFrame,
    options::{Origin, RecordOptions},
    part_ring::{DiskError, PartRing, folder_name},
    reason::Reason,
    seen::{seen_message, seen_type},
};
use crate::{
    messages::{Text, definition},
    node::{host::lock, warnings::Warnings},
    recording::{BagWriter, OfferedQos, TopicId, detections_topic, reasons_topic},
};

/// After what the disk refused, so long nothing is written.
const RETRY: Duration = Duration::from_secs(10);
/// A part that is older than this is finished however small it is: a power cut costs no more than that.
const PART_AGE: Duration = Duration::from_secs(300);
/// How often the thread looks whether the folder is still there while nothing is to be written.
const REST: Duration = Duration::from_millis(500);
/// Messages of a latched topic that each part begins with at most.
const MOST_LATCHED: usize = 64;

/// What the disk has, and what it refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DiskReport {
    /// Frames that were written and are not lost, by [`Reason::place`].
    pub(super) written: [u64; 4],
    /// Frames that the disk refused.
    pub(super) lost: u64,
    /// Bytes of all parts, with the one that is being written.
    pub(super) bytes: u64,
    /// Finished parts.
    pub(super) parts: usize,
    /// When the oldest part was finished.
    pub(super) oldest: Option<SystemTime>,
    /// Why nothing is written just now.
    pub(super) trouble: Option<String>,
    /// What was refused last, though it may be mended by now.
    pub(super) last_error: Option<String>,
}

/// The part that is being written.
struct OpenPart {
    number: u64,
    writer: BagWriter,
    topics: BTreeMap<String, TopicId>,
    begun: Instant,
    bytes: u64,
    /// Its frames, by [`Reason::place`].
    frames: [u64; 4],
}

/// Writes the jobs that come out of a desk.
pub(super) struct Scribe {
    options: RecordOptions,
    origin: Origin,
    ring: Option<PartRing>,
    open: Option<OpenPart>,
    latched: BTreeMap<Arc<str>, VecDeque<Around>>,
    paused_until: Option<Instant>,
    /// Whether writing failed where the folder was good: only the next frame that is written shows that it is mended.
    is_doubtful: bool,
    report: Arc<Mutex<DiskReport>>,
    warnings: Warnings,
}

impl Scribe {
    /// Nothing is written yet, and nothing of the disk looked at.
    pub(super) fn new(options: RecordOptions, origin: Origin, report: Arc<Mutex<DiskReport>>) -> Self {
        Self {
            options,
            origin,
            ring: None,
            open: None,
            latched: BTreeMap::new(),
            paused_until: None,
            is_doubtful: false,
            report,
            warnings: Warnings::default(),
        }
    }

    /// Writes until nobody gives anything any more, and finishes the last part.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        self.rest(Instant::now());
        loop {
            match jobs.recv_timeout(REST) {
                Ok(job) => self.take(job, Instant::now()),
                Err(RecvTimeoutError::Timeout) => self.rest(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end(Instant::now());
    }

    /// Writes a job.
    pub(super) fn take(&mut self, job: Job, now: Instant) {
        match job {
            Job::Frame(frame, reason, detail) => {
                if self.is_paused(now) {
                    lock(&self.report).lost += 1;
                    return;
                }
                if let Err(error) = self.write_frame(&frame, reason, &detail, now) {
                    self.fail(&error, 1, now);
                }
            }
            Job::Around(messages) => {
                // They belong to a frame: without a part that it is in they are of no use.
                if let Err(error) = messages.iter().try_for_each(|message| self.write_around(message)) {
                    self.fail(&error, 0, now);
                }
            }
            Job::Latched(message) => {
                let known = self.latched.entry(message.topic.clone()).or_default();
                if known.iter().any(|known| known.message == message.message) {
                    return;
                }
                if known.len() >= MOST_LATCHED {
                    known.pop_front();
                }
                known.push_back(message.clone());
                if let Err(error) = self.write_around(&message) {
                    self.fail(&error, 0, now);
                }
            }
        }
        self.tell();
    }

    /// Looks after the part that is being written, and whether what was wrong is mended.
    pub(super) fn rest(&mut self, now: Instant) {
        if self.is_paused(now) {
            return;
        }
        if let Err(error) = self.look_after(now) {
            self.fail(&error, 0, now);
        }
        self.tell();
    }

    /// Finishes the part that is being written.
    pub(super) fn end(&mut self, now: Instant) {
        if let Err(error) = self.close() {
            self.fail(&error, 0, now);
        }
        self.tell();
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn look_after(&mut self, now: Instant) -> Result<(), DiskError> {
        if self.ring.as_ref().is_some_and(|ring| !ring.folder().is_dir()) {
            // Says why, or makes the folder again where only that is missing.
            self.ring = None;
            self.lose_open();
        }
        self.ring()?;
        if self.open.as_ref().is_some_and(|open| now.saturating_duration_since(open.begun) >= PART_AGE) {
            self.close()?;
        }
        Ok(())
    }

    fn ring(&mut self) -> Result<&mut PartRing, DiskError> {
        let ring = match self.ring.take() {
            Some(ring) => ring,
            None => PartRing::open(&self.options.folder, &self.origin.node, self.options.limit)?,
        };
        self.paused_until = None;
        if !self.is_doubtful {
            lock(&self.report).trouble = None;
        }
        Ok(self.ring.insert(ring))
    }

    fn write_frame(&mut self, frame: &SeenFrame, reason: Reason, text: &str, now: Instant) -> Result<(), DiskError> {
        let is_full =
            |open: &OpenPart, most: u64| open.bytes >= most || now.saturating_duration_since(open.begun) >= PART_AGE;
        if self.open.as_ref().is_some_and(|open| is_full(open, self.options.part)) {
            self.close()?;
        }
        if self.open.is_none() {
            self.begin(now)?;
        }
        let (node, sensor) = (self.origin.node.clone(), self.origin.clone());
        let qos = if sensor.is_reliable { OfferedQos::RELIABLE } else { OfferedQos::SENSOR };
        self.write(&sensor.topic, &sensor.type_name, qos, frame.time, &frame.message)?;
        if let Some(seen) = seen_message(frame, &sensor.type_name) {
            let topic = detections_topic(&node);
            self.write(&topic, seen_type(frame.kind), OfferedQos::RELIABLE, frame.time, &seen)?;
        }
        let why = json!({"stamp": frame.stamp, "reason": reason.name(), "detail": text}).to_string();
        let why = Text { data: &why }.encode();
        self.write(&reasons_topic(&node), Text::TYPE_NAME, OfferedQos::RELIABLE, frame.time, &why)?;
        if let (Some(open), Some(ring)) = (&mut self.open, &mut self.ring) {
            open.bytes = open.writer.flush()?;
            ring.make_room(open.bytes)?;
            open.frames[reason.place()] += 1;
        }
        self.is_doubtful = false;
        let mut report = lock(&self.report);
        report.written[reason.place()] += 1;
        report.trouble = None;
        Ok(())
    }

    /// Writes what another topic said into the part that is being written, if there is one.
    fn write_around(&mut self, around: &Around) -> Result<(), DiskError> {
        if self.open.is_none() {
            return Ok(());
        }
        self.write(&around.topic, &around.type_name, around.qos, around.time, &around.message)
    }

    fn write(
        &mut self,
        topic: &str,
        type_name: &str,
        qos: OfferedQos,
        time: i64,
        message: &[u8],
    ) -> Result<(), DiskError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let id = match open.topics.get(topic) {
            Some(id) => *id,
            None => {
                let text = definition(type_name).unwrap_or_default();
                let id = open.writer.add_topic(topic, type_name, &text, qos)?;
                open.topics.insert(topic.to_owned(), id);
                id
            }
        };
        Ok(open.writer.write(id, time.max(0), message)?)
    }

    /// Begins a part with what is latched.
    fn begin(&mut self, now: Instant) -> Result<(), DiskError> {
        let (number, path) = self.ring()?.next();
        let writer = BagWriter::create(path)?;
        self.open = Some(OpenPart { number, writer, topics: BTreeMap::new(), begun: now, bytes: 0, frames: [0; 4] });
        let latched: Vec<Around> = self.latched.values().flatten().cloned().collect();
        latched.iter().try_for_each(|message| self.write_around(message))
    }

    /// Finishes the part that is being written. What it holds is lost where that fails.
    fn close(&mut self) -> Result<(), DiskError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if let Err(error) = open.writer.finish() {
            self.lose(open.frames);
            return Err(error.into());
        }
        match &mut self.ring {
            Some(ring) => ring.add(open.number),
            None => Ok(()),
        }
    }

    /// Lets go of a part that cannot be finished.
    fn lose_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.lose(open.frames);
        }
    }

    fn lose(&self, frames: [u64; 4]) {
        let mut report = lock(&self.report);
        for (written, lost) in report.written.iter_mut().zip(frames) {
            *written = written.saturating_sub(lost);
        }
        report.lost += frames.iter().sum::<u64>();
    }

    /// Something could not be written: recording pauses, and begins anew with what is there by then.
    fn fail(&mut self, error: &DiskError, frames: u64, now: Instant) {
        self.is_doubtful = self.ring.is_some();
        self.lose_open();
        self.ring = None;
        self.paused_until = Some(now + RETRY);
        let text = error.to_string();
        self.warnings.warn(&format!("nothing is recorded for {} s: {text}", RETRY.as_secs()));
        let mut report = lock(&self.report);
        report.lost += frames;
        report.trouble = Some(text.clone());
        report.last_error = Some(text);
    }

    fn tell(&self) {
        let mut report = lock(&self.report);
        if let Some(ring) = &self.ring {
            report.bytes = ring.bytes() + self.open.as_ref().map_or(0, |open| open.bytes);
            report.parts = ring.parts().len();
            report.oldest = ring.parts().front().and_then(|oldest| oldest.finished);
        }
    }

    /// Where the parts lie.
    pub(super) fn place(options: &RecordOptions, origin: &Origin) -> String {
        options.folder.join(folder_name(&origin.node)).display().to_string()
    }
}

#[cfg(test)]
#[path = "scribe_tests.rs"]
mod tests;
