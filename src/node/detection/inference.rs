//! The thread that finds things in messages, one after the other, and takes another model between two of them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use super::{
    exchange::{Event, Exchange, Trial},
    shadow::Allowance,
    work::{Ready, Work},
};
use crate::node::{
    Latest, NodeStatistics, Stage, Taken,
    diagnostics::latency_topics::LatencyTopics,
    gate::Gate,
    host::lock,
    labels::LabelTopic,
    onlooker::{Frame, Onlooker},
    parameters::DetectorParameters,
    stopwatch::Stopwatch,
    turns::Turns,
    warnings::Warnings,
};

/// How long a message is waited for until the thread looks at other things.
const PATIENCE: Duration = Duration::from_millis(200);

/// Those who look at each frame's result.
pub(super) type Onlookers = Arc<Mutex<Vec<Box<dyn Onlooker>>>>;

/// What the thread works with.
pub(super) struct Inference<W: Work> {
    pub(super) work: W,
    pub(super) current: Ready<W::Model>,
    pub(super) parameters: Arc<Mutex<W::Parameters>>,
    pub(super) exchange: Arc<Exchange<W>>,
    pub(super) events: Sender<Event>,
    pub(super) labels: Arc<LabelTopic>,
    pub(super) onlookers: Onlookers,
    pub(super) statistics: Arc<Mutex<NodeStatistics>>,
    pub(super) latencies: LatencyTopics,
    /// Whether anybody listened when the newest message was there.
    pub(super) is_listened_to: Arc<AtomicBool>,
    pub(super) warnings: Warnings,
    pub(super) allowance: Allowance,
}

impl<W: Work> Inference<W> {
    /// Works until the slot is closed.
    pub(super) fn run(mut self, slot: &Latest<Vec<u8>>, gate: &Gate, turns: &Turns) {
        loop {
            let waited = slot.wait(PATIENCE);
            if let Taken::Closed = waited {
                return;
            }
            self.take_over();
            if let Taken::Nothing = waited {
                continue;
            }
            self.allowance.grow(lock(&self.parameters).shadow().share);
            if !self.is_wanted() {
                if let Taken::Value(_) = slot.take(Duration::ZERO) {
                    lock(&self.statistics).idled();
                }
                continue;
            }
            // What comes while others have their turns is the newer message.
            let _turn = turns.take();
            if let Taken::Value(message) = slot.take(Duration::ZERO)
                && !gate.pass(|| self.look_safely(&message, slot))
            {
                slot.discard(message);
            }
        }
    }

    /// Whether anybody would get what a message brings.
    fn is_wanted(&self) -> bool {
        let is_listened_to = self.work.is_listened_to() || self.latencies.is_heard();
        self.is_listened_to.store(is_listened_to, Ordering::Relaxed);
        is_listened_to
            || !lock(&self.parameters).idle_saving()
            || self.can_try()
            || lock(&self.onlookers).iter().any(|onlooker| onlooker.wants_frames())
    }

    /// Whether the candidate may have a frame, and waits for one.
    fn can_try(&self) -> bool {
        self.allowance.is_enough() && self.exchange.wants_trial()
    }

    /// Takes the model that waits, if one does.
    fn take_over(&mut self) {
        let Some(change) = self.exchange.take_over(&mut self.current) else { return };
        if let Err(error) = self.labels.change(&self.current.labels) {
            self.warnings.warn(&format!("the new model's classes cannot be published: {error}"));
        }
        for onlooker in lock(&self.onlookers).iter_mut() {
            onlooker.model_changed(&change.running);
        }
        // Nobody hears it once the node is cleaned up.
        let _ = self.events.send(Event::Changed(change));
    }

    fn look_safely(&mut self, message: &[u8], slot: &Latest<Vec<u8>>) {
        let _span = tracing::trace_span!("frame").entered();
        lock(&self.statistics).measured(Stage::Queue, slot.waited());
        // A fault in a decoder must cost one message, not the robot's sight.
        let result = catch_unwind(AssertUnwindSafe(|| self.look(message, slot)));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(format!("{error:#}")),
            Err(_) => self.fail("a fault in the program; please report it with a recording".to_owned()),
        }
    }

    fn fail(&mut self, failure: String) {
        self.warnings.warn(&format!("one {} is lost: {failure}", W::NOUN));
        lock(&self.statistics).failed(failure);
    }

    /// Finds what is in a message and publishes it; then come those who look on.
    fn look(&mut self, message: &[u8], slot: &Latest<Vec<u8>>) -> anyhow::Result<()> {
        let parameters = lock(&self.parameters).clone();
        let stopwatch = Stopwatch::start();
        let span = tracing::trace_span!("decode").entered();
        let (header, decoded) = self.work.decode(message)?;
        drop(span);
        let stamp = header.stamp.to_nanoseconds();
        let read = stopwatch.decoded(stamp);
        let detect = Instant::now();
        let found = W::detect(&mut self.current.model, &decoded, &parameters)?;
        let took = detect.elapsed();
        let identity = self.current.identity.clone();
        let publish = Instant::now();
        let span = tracing::trace_span!("publish").entered();
        self.work.publish(header, &decoded, &found, &identity.classes)?;
        drop(span);
        let latencies = read.published(W::timing(&found), publish.elapsed());
        lock(&self.statistics).record(&latencies);
        self.latencies.publish(&latencies);

        // Only while there is time to spare.
        let is_tried = self.can_try() && !slot.holds_one();
        let mut onlookers = lock(&self.onlookers);
        if is_tried || !onlookers.is_empty() {
            let sightings = W::sightings(&decoded, &found);
            let frame = Frame {
                message,
                stamp,
                frame_id: header.frame_id,
                sightings: &sightings,
                classes: &identity.classes,
                kind: W::KIND,
            };
            for onlooker in onlookers.iter_mut() {
                onlooker.look(&frame);
            }
            if is_tried {
                self.allowance.spend();
                let (decoded, active) = (decoded.clone(), identity.clone());
                self.exchange.offer(Trial { decoded, parameters, active, sightings, took });
            }
        }
        drop(onlookers);
        // The frame's result is out: a picture that nobody gets is no frame lost.
        if let Err(error) = self.work.illustrate(header, decoded, &found, &identity.classes) {
            self.warnings.warn(&format!("what is for people to look at cannot be published: {error:#}"));
        }
        Ok(())
    }
}
