//! The bond to a lifecycle manager: each side tells the other that it lives, by bond/msg/Status on topic `bond`, as bondcpp does.
//!
//! A bond is the two that use the same id on the topic, here the node's name. It begins with the activation and ends, with a word of
//! good-bye, with the deactivation. As Nav2's own nodes, the node goes on when its manager falls silent; it is the manager that resets
//! a node that does. Where no manager speaks within ten seconds of the activation, the node is silent as well until one does.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `bond` | bond/msg/Status every 0.1 s | reliable, depth 5 out, 100 in |

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{FutureExt, StreamExt, stream::LocalBoxStream};
use r2r::{Publisher, bond::msg::Status};

use super::{
    clock,
    host::{Host, reliable},
    parameters::NodeParameters,
};

/// From one sign of life to the next, as in Nav2.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// How long a manager is waited for; bond/msg/Constants DEFAULT_CONNECT_TIMEOUT.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the answer to a good-bye is waited for; DEFAULT_DISCONNECT_TIMEOUT.
const DISCONNECT: Duration = Duration::from_secs(2);
/// From one good-bye to the next; DEAD_PUBLISH_PERIOD.
const GOODBYE: Duration = Duration::from_millis(50);

/// The bond of a node on ROS 2.
pub(super) struct Bond {
    /// The node's name without its namespace, as managers know it.
    id: String,
    protocol: Protocol,
    link: Option<Link>,
}

struct Link {
    publisher: Publisher<Status>,
    statuses: LocalBoxStream<'static, Status>,
}

impl Bond {
    /// No bond yet.
    pub(super) fn new(id: String) -> Self {
        Self { id, protocol: Protocol::default(), link: None }
    }

    /// Begins a bond, unless the parameters want none. A topic that ROS 2 refuses costs the bond alone, which the manager will notice.
    pub(super) fn begin<P: NodeParameters>(&mut self, host: &mut Host<P>) {
        let Some(timeout) = host.parameters().bond_timeout() else { return };
        if self.link.is_none() {
            match Link::create(&mut host.node) {
                Ok(link) => self.link = Some(link),
                Err(error) => return tracing::error!("no bond: {error:#}"),
            }
        }
        self.protocol.begin(timeout, Instant::now());
        self.turn();
    }

    /// Ends the bond with a good-bye.
    pub(super) fn leave(&mut self) {
        self.protocol.leave(Instant::now());
        self.turn();
    }

    /// Hears the manager and says what is due.
    pub(super) fn turn(&mut self) {
        let Self { id, protocol, link: Some(link) } = self else { return };
        let now = Instant::now();
        while let Some(Some(status)) = link.statuses.next().now_or_never() {
            if status.id == *id
                && let Some(word) = protocol.hear(&status.instance_id, status.active, now)
            {
                link.say(id, word, protocol.timeout);
            }
        }
        if let Some(word) = protocol.due(now) {
            link.say(id, word, protocol.timeout);
        }
        if protocol.is_newly_silent(now) {
            tracing::warn!(
                "the lifecycle manager has been silent for {} s; the node goes on",
                protocol.timeout.as_secs_f64()
            );
        }
    }
}

impl Link {
    fn create(node: &mut r2r::Node) -> anyhow::Result<Self> {
        let publisher = node.create_publisher("bond", reliable(5)).context("ROS 2 refuses the topic bond")?;
        let statuses = node.subscribe::<Status>("bond", reliable(100)).context("ROS 2 refuses the topic bond")?;
        Ok(Self { publisher, statuses: statuses.boxed_local() })
    }

    fn say(&self, id: &str, word: Word, timeout: Duration) {
        let mut status = Status {
            id: id.to_owned(),
            instance_id: word.instance,
            active: word.is_active,
            heartbeat_timeout: timeout.as_secs_f32(),
            heartbeat_period: HEARTBEAT.as_secs_f32(),
            ..Default::default()
        };
        status.header.stamp = clock::ros_time(clock::now());
        if let Err(error) = self.publisher.publish(&status) {
            tracing::warn!("the bond's sign of life cannot be published: {error}");
        }
    }
}

/// What is said on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    /// Which bond of this id it is of: each begun one has a name of its own.
    instance: String,
    /// Whether the bond stands; else it is a good-bye.
    is_active: bool,
}

/// Where a bond stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// There is none.
    #[default]
    Off,
    /// Nobody has answered so far.
    Waiting { until: Instant },
    /// Nobody answered in time, or the manager said good-bye.
    Quiet,
    /// Both sides live.
    Bound { heard: Instant, is_silent: bool },
    /// We said good-bye.
    Leaving { until: Instant },
}

/// When what is said; knows nothing of ROS's middleware.
#[derive(Debug, Default)]
struct Protocol {
    phase: Phase,
    timeout: Duration,
    instance: String,
    /// The manager's name for its side.
    sister: String,
    /// Bonds begun so far.
    begun: u64,
    /// When the next word is due.
    next: Option<Instant>,
}

impl Protocol {
    fn begin(&mut self, timeout: Duration, now: Instant) {
        self.timeout = timeout;
        self.renew();
        self.phase = Phase::Waiting { until: now + CONNECT };
        self.next = Some(now);
    }

    fn leave(&mut self, now: Instant) {
        self.phase = match self.phase {
            // Also where nobody has answered: the manager may be about to.
            Phase::Waiting { .. } | Phase::Bound { .. } => Phase::Leaving { until: now + DISCONNECT },
            Phase::Leaving { until } => Phase::Leaving { until },
            Phase::Off | Phase::Quiet => Phase::Off,
        };
        self.next = Some(now);
    }

    /// Takes what somebody with our id said, and says what to answer at once.
    fn hear(&mut self, instance: &str, is_active: bool, now: Instant) -> Option<Word> {
        if instance == self.instance {
            return None;
        }
        match (self.phase, is_active) {
            (Phase::Waiting { .. } | Phase::Bound { .. }, true) => self.bind(instance, now),
            (Phase::Quiet, true) => {
                self.bind(instance, now);
                self.next = Some(now);
            }
            (Phase::Bound { .. }, false) if instance == self.sister => {
                let answer = self.word(false);
                // Whoever comes next shall not take us for the one that has left.
                self.renew();
                self.phase = Phase::Quiet;
                return Some(answer);
            }
            (Phase::Leaving { .. }, false) => self.phase = Phase::Off,
            // A late good-bye to an earlier bond, or nothing to do with us.
            _ => {}
        }
        None
    }

    /// What is to be said now, if anything.
    fn due(&mut self, now: Instant) -> Option<Word> {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.phase = Phase::Quiet,
            Phase::Leaving { until } if now >= until => self.phase = Phase::Off,
            _ => {}
        }
        let (is_active, period) = match self.phase {
            Phase::Waiting { .. } | Phase::Bound { .. } => (true, HEARTBEAT),
            Phase::Leaving { .. } => (false, GOODBYE),
            Phase::Off | Phase::Quiet => return None,
        };
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        // By the plan rather than by the delay, so that turns of the loop do not make the period longer.
        let planned = self.next.map_or(now, |next| next + period);
        self.next = Some(if planned > now { planned } else { now + period });
        Some(self.word(is_active))
    }

    /// Whether the manager has just been found silent.
    fn is_newly_silent(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Bound { heard, is_silent } if !*is_silent && now.duration_since(*heard) > self.timeout => {
                *is_silent = true;
                true
            }
            _ => false,
        }
    }

    fn bind(&mut self, sister: &str, now: Instant) {
        self.sister = sister.to_owned();
        self.phase = Phase::Bound { heard: now, is_silent: false };
    }

    fn word(&self, is_active: bool) -> Word {
        Word { instance: self.instance.clone(), is_active }
    }

    /// A name that no other bond has.
    fn renew(&mut self) {
        self.begun += 1;
        self.instance = format!("{:x}-{:x}-{:x}", std::process::id(), clock::now(), self.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);

    struct Bench {
        protocol: Protocol,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { protocol: Protocol::default(), start: Instant::now() }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// What is said from one time to another, looked at every 20 ms as the spinning thread does.
        fn said(&mut self, from: u64, to: u64) -> Vec<(u64, bool)> {
            let times = (from..to).step_by(20);
            let said = times.filter_map(|time| {
                let now = self.start + Duration::from_millis(time);
                self.protocol.due(now).map(|word| (time, word.is_active))
            });
            said.collect()
        }
    }

    #[test]
    fn nothing_is_said_before_the_activation_and_ten_times_a_second_after_it() {
        let mut bench = Bench::new();
        assert!(bench.said(0, 1000).is_empty());
        let begin = bench.at(1000);
        bench.protocol.begin(TIMEOUT, begin);
        assert_eq!(bench.said(1000, 1300), [(1000, true), (1100, true), (1200, true)]);
        let now = bench.at(1300);
        assert_eq!(bench.protocol.hear("manager", true, now), None);
        assert_eq!(bench.said(1300, 11_300).len(), 100, "for as long as it is active");
    }

    #[test]
    fn without_a_manager_it_falls_silent_until_one_speaks() {
        let mut bench = Bench::new();
        let start = bench.start;
        bench.protocol.begin(TIMEOUT, start);
        assert_eq!(bench.said(0, 60_000).last(), Some(&(9900, true)));
        let instance = bench.protocol.instance.clone();
        let now = bench.at(60_000);
        assert_eq!(bench.protocol.hear(&instance, true, now), None, "its own words do not count");
        assert!(bench.said(60_000, 61_000).is_empty());
        bench.protocol.hear("manager", true, now);
        assert_eq!(bench.said(61_000, 62_000).len(), 10);
    }

    #[test]
    fn a_goodbye_is_said_until_it_is_answered() {
        let mut bench = Bench::new();
        let start = bench.start;
        bench.protocol.begin(TIMEOUT, start);
        bench.protocol.hear("manager", true, start);
        bench.protocol.leave(start);
        let said = bench.said(0, 200);
        assert!(said.len() >= 3 && said[0].0 == 0 && said.iter().all(|(_, is_active)| !is_active), "{said:?}");
        let now = bench.at(200);
        bench.protocol.hear("manager", false, now);
        assert!(bench.said(200, 1000).is_empty());
        // And not for ever.
        let now = bench.at(1000);
        bench.protocol.begin(TIMEOUT, now);
        bench.protocol.leave(now);
        assert!(bench.said(1000, 60_000).last().is_some_and(|(time, _)| (2900..3000).contains(time)));
    }

    #[test]
    fn a_managers_goodbye_is_answered_once_and_a_new_one_finds_a_new_bond() {
        let mut bench = Bench::new();
        let start = bench.start;
        bench.protocol.begin(TIMEOUT, start);
        assert_eq!(bench.protocol.hear("earlier", false, start), None, "a late word to an earlier bond");
        bench.protocol.hear("manager", true, start);
        assert_eq!(bench.protocol.hear("earlier", false, start), None, "and even later");
        let first = bench.protocol.instance.clone();
        let answer = bench.protocol.hear("manager", false, start);
        assert_eq!(answer, Some(Word { instance: first.clone(), is_active: false }));
        assert_eq!(bench.protocol.hear("manager", false, start), None);
        assert!(bench.said(0, 1000).is_empty());
        let now = bench.at(1000);
        bench.protocol.hear("next manager", true, now);
        assert_eq!(bench.protocol.due(now).map(|word| word.instance != first && word.is_active), Some(true));
    }

    #[test]
    fn a_silent_manager_is_told_once_and_the_bond_goes_on() {
        let mut bench = Bench::new();
        let start = bench.start;
        bench.protocol.begin(TIMEOUT, start);
        bench.protocol.hear("manager", true, start);
        let told: Vec<u64> = (0..10_000)
            .step_by(100)
            .filter(|&time| {
                let now = start + Duration::from_millis(time);
                bench.protocol.is_newly_silent(now)
            })
            .collect();
        assert_eq!(told, [4100]);
        assert!(!bench.said(10_000, 11_000).is_empty());
    }

    #[test]
    fn every_bond_has_a_name_of_its_own() {
        let mut bench = Bench::new();
        let start = bench.start;
        let mut names: Vec<String> = (0..100)
            .map(|_| {
                bench.protocol.begin(TIMEOUT, start);
                bench.protocol.instance.clone()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 100);
    }
}
