//! Where the threads of a recorder meet: the inference thread shows every frame, the spinning thread brings requests and what other topics
//! say, and the recorder's own thread gets what is to be written, through a bounded queue that nobody waits for.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use super::{
    flicker::FlickerWatch,
    memory::{Memory, SeenFrame},
    options::RecordOptions,
    reason::Reason,
    uncertainty::most_uncertain,
};
use crate::{
    node::{host::lock, onlooker::Frame},
    recording::OfferedQos,
};

/// Jobs that wait for the recorder's thread at most.
pub(super) const QUEUE: usize = 16;

/// A message of another topic.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Around {
    /// The topic's full name.
    pub(super) topic: Arc<str>,
    /// Type of its messages.
    pub(super) type_name: Arc<str>,
    /// What its publisher offers.
    pub(super) qos: OfferedQos,
    /// When it came, in nanoseconds since 1970 by the system's clock.
    pub(super) time: i64,
    /// CDR.
    pub(super) message: Vec<u8>,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Job {
    /// A frame, and why; the text says more.
    Frame(Arc<SeenFrame>, Reason, String),
    /// What other topics said around a frame.
    Around(Vec<Around>),
    /// What every part begins with: a message of a latched topic.
    Latched(Around),
}

/// What became of the frames so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Frames that were looked at.
    pub(super) considered: u64,
    /// Frames that would have been recorded, but too soon after another one.
    pub(super) too_soon: u64,
    /// Frames that were not recorded because the queue was full.
    pub(super) dropped: u64,
    /// Batches of other topics' messages that were not recorded because the queue was full.
    pub(super) around_dropped: u64,
    /// Frames that somebody else asked for.
    pub(super) requested: u64,
    /// Of these, those that were not remembered any more, or were another sensor's.
    pub(super) requests_missed: u64,
}

struct State {
    memory: Memory,
    flicker: FlickerWatch,
    last: Option<Instant>,
    /// Counts the frames that were given to be written.
    given: u64,
    counts: Counts,
}

/// What all threads of a recorder share.
pub(super) struct Desk {
    state: Mutex<State>,
    queue: SyncSender<Job>,
    uncertainty: f64,
    interval: Duration,
}

impl Desk {
    /// A desk, and where its jobs come out.
    pub(super) fn new(options: &RecordOptions) -> (Self, Receiver<Job>) {
        let (queue, jobs) = sync_channel(QUEUE);
        let state = State {
            memory: Memory::default(),
            flicker: FlickerWatch::default(),
            last: None,
            given: 0,
            counts: Counts::default(),
        };
        let desk =
            Self { state: Mutex::new(state), queue, uncertainty: options.uncertainty, interval: options.interval };
        (desk, jobs)
    }

    /// Looks at a frame, which had been worked on at a time by the system's clock.
    pub(super) fn look(&self, frame: &Frame<'_>, time: i64, now: Instant) {
        let mut state = lock(&self.state);
        state.counts.considered += 1;
        let kept = state.memory.keep(frame, time);
        if let Some((object, bits)) = most_uncertain(&kept.objects).filter(|(_, bits)| *bits >= self.uncertainty) {
            let class = kept.class(object.class);
            let detail = format!("{class} of score {:.3}: {bits:.3} bit", object.score);
            self.give(&mut state, &kept, Reason::Uncertain, detail, now);
        }
        if let Some(flicker) = state.flicker.look(kept.stamp, kept.kind, &kept.objects)
            && let Some(middle) = state.memory.find(flicker.stamp, Some(&kept.frame_id))
        {
            let class = kept.class(flicker.object.class);
            let how = if flicker.is_missing { "is missing in this frame" } else { "is in this frame alone" };
            let detail = format!("{class} of score {:.3} {how}", flicker.object.score);
            self.give(&mut state, &middle, Reason::Flicker, detail, now);
        }
    }

    /// Records the frame that somebody asks for by its stamp, in nanoseconds, and sensor.
    pub(super) fn ask(&self, stamp: i64, frame_id: &str, now: Instant) {
        let mut state = lock(&self.state);
        state.counts.requested += 1;
        match state.memory.find(stamp, (!frame_id.is_empty()).then_some(frame_id)) {
            Some(frame) => self.give(&mut state, &frame, Reason::Disagreement, String::new(), now),
            None => state.counts.requests_missed += 1,
        }
    }

    /// Records the newest frame at once.
    ///
    /// # Errors
    /// In words, when there is none or the queue is full.
    pub(super) fn record_now(&self, now: Instant) -> Result<i64, &'static str> {
        let mut state = lock(&self.state);
        let Some(newest) = state.memory.newest() else {
            return Err("no frame has come since the node was configured; is it active, and does its sensor publish?");
        };
        if self.push(&mut state, &newest, Reason::Asked, String::new(), now) {
            Ok(newest.stamp)
        } else {
            Err("the disk is slower than the frames: the queue of the recorder is full; try again")
        }
    }

    /// Gives a frame to be written, unless it was already or another was a moment ago.
    fn give(&self, state: &mut State, frame: &Arc<SeenFrame>, reason: Reason, detail: String, now: Instant) {
        if state.memory.is_recorded(frame) {
            return;
        }
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            state.counts.too_soon += 1;
            return;
        }
        self.push(state, frame, reason, detail, now);
    }

    fn push(&self, state: &mut State, frame: &Arc<SeenFrame>, reason: Reason, detail: String, now: Instant) -> bool {
        let is_given = self.send(Job::Frame(frame.clone(), reason, detail)).is_ok();
        if is_given {
            state.last = Some(now);
            state.given += 1;
            state.memory.recorded(frame);
        } else {
            state.counts.dropped += 1;
        }
        is_given
    }

    /// Gives what other topics said around a frame.
    pub(super) fn surround(&self, messages: Vec<Around>) {
        if self.send(Job::Around(messages)).is_err() {
            lock(&self.state).counts.around_dropped += 1;
        }
    }

    /// Gives what every part shall begin with; comes back when the queue is full.
    pub(super) fn latch(&self, message: Around) -> Result<(), Around> {
        match self.send(Job::Latched(message)) {
            Err(Job::Latched(message)) => Err(message),
            _ => Ok(()),
        }
    }

    fn send(&self, job: Job) -> Result<(), Job> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// How many frames were given to be written: whoever sees it rise gives what else belongs to them.
    pub(super) fn given(&self) -> u64 {
        lock(&self.state).given
    }

    /// What became of the frames.
    pub(super) fn counts(&self) -> Counts {
        lock(&self.state).counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::onlooker::{SightKind, Sighting};

    const STEP: i64 = 100_000_000;

    struct Bench {
        desk: Desk,
        jobs: Receiver<Job>,
        begin: Instant,
    }

    impl Bench {
        fn new(interval: u64) -> Self {
            let options = RecordOptions {
                folder: "/nowhere".into(),
                limit: 1 << 20,
                part: 1 << 20,
                uncertainty: 0.9,
                interval: Duration::from_millis(interval),
                topics: Vec::new(),
                requests: String::new(),
            };
            let (desk, jobs) = Desk::new(&options);
            Self { desk, jobs, begin: Instant::now() }
        }

        fn at(&self, number: i64) -> Instant {
            self.begin + Duration::from_nanos((number * STEP) as u64)
        }

        /// The frame of that number, 0.1 s after the one before it, with a person of each of the scores.
        fn look(&self, number: i64, scores: &[f32]) {
            let sighting = |(place, &score): (usize, &f32)| {
                let x = 0.1 + 0.3 * place as f32;
                Sighting { class: 0, score, place: [x, 0.2, x + 0.1, 0.6] }
            };
            let sightings: Vec<Sighting> = scores.iter().enumerate().map(sighting).collect();
            let classes = ["person".to_owned()];
            let frame = Frame {
                message: &[0, 1, 0, 0],
                stamp: number * STEP,
                frame_id: "camera",
                sightings: &sightings,
                classes: &classes,
                kind: SightKind::Boxes,
            };
            self.desk.look(&frame, number * STEP, self.at(number));
        }

        fn given(&self) -> Vec<(i64, Reason)> {
            let frame = |job| match job {
                Job::Frame(frame, reason, _) => Some((frame.stamp / STEP, reason)),
                _ => None,
            };
            self.jobs.try_iter().filter_map(frame).collect()
        }
    }

    #[test]
    fn doubtful_frames_are_recorded_but_not_one_after_the_other() {
        let bench = Bench::new(250);
        for number in 0..6 {
            bench.look(number, &[0.95, 0.5]);
        }
        bench.look(6, &[0.95]);
        assert_eq!(bench.given(), [(0, Reason::Uncertain), (3, Reason::Uncertain)]);
        let counts = bench.desk.counts();
        assert_eq!((counts.considered, counts.too_soon, bench.desk.given()), (7, 4, 2));
    }

    #[test]
    fn the_frame_in_which_somebody_is_missing_is_recorded() {
        let bench = Bench::new(0);
        for (number, scores) in [&[0.95][..], &[0.95], &[], &[0.95], &[0.95]].into_iter().enumerate() {
            bench.look(number as i64, scores);
        }
        assert_eq!(bench.given(), [(2, Reason::Flicker)]);
    }

    #[test]
    fn frames_are_recorded_on_request_as_long_as_they_are_remembered() {
        let bench = Bench::new(0);
        assert!(bench.desk.record_now(bench.begin).is_err());
        for number in 0..40 {
            bench.look(number, &[0.99]);
        }
        bench.desk.ask(20 * STEP, "camera", bench.begin);
        bench.desk.ask(20 * STEP, "", bench.begin);
        bench.desk.ask(21 * STEP, "lidar", bench.begin);
        bench.desk.ask(3 * STEP, "camera", bench.begin);
        assert_eq!(bench.desk.record_now(bench.begin), Ok(39 * STEP));
        assert_eq!(bench.given(), [(20, Reason::Disagreement), (39, Reason::Asked)]);
        let counts = bench.desk.counts();
        assert_eq!((counts.requested, counts.requests_missed), (4, 2));
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_nobody_waits() {
        let bench = Bench::new(0);
        for number in 0..QUEUE as i64 + 5 {
            bench.look(number, &[0.5]);
        }
        assert_eq!(bench.desk.counts().dropped, 5);
        assert!(bench.desk.record_now(bench.begin).unwrap_err().contains("full"));
        assert_eq!(bench.given().len(), QUEUE);
        // Once there is room again, what was dropped may be asked for.
        bench.desk.ask((QUEUE as i64 + 2) * STEP, "camera", bench.begin);
        assert_eq!(bench.given(), [(QUEUE as i64 + 2, Reason::Disagreement)]);
        drop(bench.jobs);
        bench.desk.record_now(bench.begin).unwrap_err();
    }
}
