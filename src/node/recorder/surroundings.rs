//! What the spinning thread does for a recorder: it hears other topics, so that what they said around a recorded frame can be written
//! beside it, and requests for frames.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use r2r::{
    QosProfile,
    qos::{DurabilityPolicy, ReliabilityPolicy},
};

use super::{
    desk::{Around, Desk},
    options::RecordOptions,
};
use crate::{
    messages::Header,
    node::{
        clock,
        host::{Host, reliable},
        parameters::NodeParameters,
        subscriptions::Subscription,
        warnings::Warnings,
    },
    recording::OfferedQos,
};

/// What was said so long before a frame was given to be written, and so long after, is written beside it.
const AROUND: Duration = Duration::from_millis(500);
/// So long a message is kept: a turn of the spinning thread may be late.
const KEPT: Duration = Duration::from_millis(600);
/// Messages of one topic that are kept for that at most.
const MOST_MESSAGES: usize = 200;
/// Bytes of one topic that are kept at most.
const MOST_BYTES: usize = 8 << 20;
/// How often a topic that nobody publishes is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Messages of a topic that the middleware holds for the spinning thread.
const DEPTH: usize = 100;

/// All that is heard for a recorder.
pub(in crate::node) struct Surroundings {
    desk: Arc<Desk>,
    topics: Vec<Topic>,
    requests: Option<Subscription>,
    looked: Option<Instant>,
    /// Frames that were given to be written when that was looked at last.
    given: u64,
    /// Until when everything that is heard belongs to a frame.
    until: Option<Instant>,
    warnings: Warnings,
}

/// One topic that is recorded around frames.
struct Topic {
    asked: String,
    name: Arc<str>,
    heard: Option<Heard>,
    /// Whether ROS 2 refuses it for good.
    is_refused: bool,
}

/// A topic whose type and publisher are known.
struct Heard {
    messages: Subscription,
    type_name: Arc<str>,
    qos: OfferedQos,
    newest: Recent,
    /// Messages of a latched topic that found the queue full.
    waiting: VecDeque<Around>,
}

/// The newest messages of a topic that are not written yet.
#[derive(Default)]
struct Recent {
    messages: VecDeque<(Instant, Around)>,
    bytes: usize,
}

impl Recent {
    /// Keeps a message, and forgets what is too old or too much; the newest stays.
    fn keep(&mut self, now: Instant, message: Around) {
        self.bytes += message.message.len();
        self.messages.push_back((now, message));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.messages.len() > 1
            && (self.messages.len() > MOST_MESSAGES
                || self.bytes > MOST_BYTES
                || self.messages.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > KEPT))
        {
            let forgotten = self.messages.pop_front().map_or(0, |(_, message)| message.message.len());
            self.bytes = self.bytes.saturating_sub(forgotten);
        }
    }

    fn take(&mut self) -> Vec<Around> {
        self.bytes = 0;
        self.messages.drain(..).map(|(_, message)| message).collect()
    }
}

impl Surroundings {
    /// Hears what the options say; topics that nobody publishes yet are waited for.
    ///
    /// # Errors
    /// When ROS 2 refuses the topic of requests.
    pub(super) fn listen<P: NodeParameters>(
        options: &RecordOptions,
        desk: Arc<Desk>,
        host: &mut Host<P>,
    ) -> anyhow::Result<Self> {
        let topic = |asked: &String| Topic {
            name: host.full_name(asked).into(),
            asked: asked.clone(),
            heard: None,
            is_refused: false,
        };
        let topics = options.topics.iter().map(topic).collect();
        let requests = match options.requests.as_str() {
            "" => None,
            topic => Some(host.subscribe(topic, Header::TYPE_NAME, reliable(10))?),
        };
        let given = desk.given();
        Ok(Self { desk, topics, requests, looked: None, given, until: None, warnings: Warnings::default() })
    }

    /// Hears what came.
    pub(super) fn turn<P: NodeParameters>(&mut self, host: &mut Host<P>, now: Instant) {
        let Self { desk, requests, warnings, .. } = self;
        if let Some(requests) = requests {
            requests.drain(|message| match Header::decode(&message) {
                Ok(asked) => desk.ask(asked.stamp.to_nanoseconds(), asked.frame_id, now),
                Err(error) => warnings.warn(&format!("a request for a frame cannot be read: {error}")),
            });
        }
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK) {
            self.looked = Some(now);
            self.look_for_topics(host);
        }
        for topic in &mut self.topics {
            topic.drain(&self.desk, now);
        }
        // What came before a frame is given at once, what comes after it all together.
        let given = self.desk.given();
        let is_new = given != self.given;
        let is_over = self.until.take_if(|until| now >= *until).is_some();
        if is_new {
            self.given = given;
            self.until = Some(now + AROUND);
        }
        if is_new || is_over {
            let heard = self.topics.iter_mut().filter_map(|topic| topic.heard.as_mut());
            let around: Vec<Around> = heard.flat_map(|heard| heard.newest.take()).collect();
            if !around.is_empty() {
                self.desk.surround(around);
            }
        }
    }

    /// The topics that nobody publishes, or that ROS 2 refuses.
    pub(in crate::node) fn missing(&self) -> Vec<&str> {
        self.topics.iter().filter(|topic| topic.heard.is_none()).map(|topic| &*topic.name).collect()
    }

    /// Listens to topics that somebody publishes by now, in the way that they are offered.
    fn look_for_topics<P: NodeParameters>(&mut self, host: &mut Host<P>) {
        for topic in self.topics.iter_mut().filter(|topic| topic.heard.is_none() && !topic.is_refused) {
            let publishers = match host.node.get_publishers_info_by_topic(&topic.name, false) {
                Ok(publishers) => publishers,
                Err(error) => {
                    self.warnings.warn(&format!("{} cannot be looked for: {error}", topic.name));
                    continue;
                }
            };
            let Some(first) = publishers.first() else { continue };
            let is_reliable =
                publishers.iter().all(|offer| offer.qos_profile.reliability == ReliabilityPolicy::Reliable);
            let is_latched =
                publishers.iter().all(|offer| offer.qos_profile.durability == DurabilityPolicy::TransientLocal);
            let mut qos = QosProfile::default().keep_last(DEPTH);
            qos = if is_reliable { qos.reliable() } else { qos.best_effort() };
            qos = if is_latched { qos.transient_local() } else { qos.volatile() };
            match host.subscribe(&topic.asked, &first.topic_type, qos) {
                Ok(messages) => {
                    let depth = u32::try_from(first.qos_profile.depth).unwrap_or(u32::MAX).max(1);
                    topic.heard = Some(Heard {
                        messages,
                        type_name: first.topic_type.as_str().into(),
                        qos: OfferedQos { depth, reliable: is_reliable, transient_local: is_latched },
                        newest: Recent::default(),
                        waiting: VecDeque::new(),
                    });
                }
                Err(error) => {
                    topic.is_refused = true;
                    tracing::warn!(
                        "{} is not recorded: {error:#}; the package must be built with the messages of {}",
                        topic.name,
                        first.topic_type
                    );
                }
            }
        }
    }

    /// Lets go of all topics.
    pub(super) fn leave<P: NodeParameters>(self, host: &mut Host<P>) {
        for heard in self.topics.into_iter().filter_map(|topic| topic.heard) {
            host.unsubscribe(heard.messages);
        }
        if let Some(requests) = self.requests {
            host.unsubscribe(requests);
        }
    }
}

impl Topic {
    fn drain(&mut self, desk: &Desk, now: Instant) {
        let name = &self.name;
        let Some(Heard { messages, type_name, qos, newest, waiting }) = &mut self.heard else { return };
        messages.drain(|message| {
            let (topic, type_name, time) = (name.clone(), type_name.clone(), clock::now());
            let around = Around { topic, type_name, qos: *qos, time, message };
            if qos.transient_local {
                waiting.push_back(around);
            } else {
                newest.keep(now, around);
            }
        });
        newest.forget(now);
        while waiting.len() > MOST_MESSAGES {
            waiting.pop_front();
        }
        while let Some(latched) = waiting.pop_front() {
            if let Err(latched) = desk.latch(latched) {
                // The queue is full; the next turn tries again.
                waiting.push_front(latched);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Around {
        Around {
            topic: "/tf".into(),
            type_name: "tf2_msgs/msg/TFMessage".into(),
            qos: OfferedQos::RELIABLE,
            time: 0,
            message: vec![0; bytes],
        }
    }

    #[test]
    fn only_what_was_said_just_now_is_kept_and_the_newest_always() {
        let (mut recent, begin) = (Recent::default(), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        for number in 0..100 {
            recent.keep(at(20 * number), message(10));
        }
        assert_eq!((recent.messages.len(), recent.bytes), (31, 310));
        recent.forget(at(60_000));
        assert_eq!(recent.take().len(), 1);
        assert_eq!(recent.take().len(), 0);
        for _ in 0..1000 {
            recent.keep(at(0), message(10));
        }
        assert_eq!(recent.messages.len(), MOST_MESSAGES);
        for _ in 0..3 {
            recent.keep(at(0), message(MOST_BYTES));
        }
        assert_eq!(recent.messages.len(), 1);
    }
}
