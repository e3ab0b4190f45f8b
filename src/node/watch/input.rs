//! All that is watched of one input.

use std::time::{Duration, Instant};

use r2r::{QosProfile, diagnostic_msgs::msg::DiagnosticStatus};

use super::{
    finding::{Chronicle, Finding},
    rate::{self, RateWatch},
    stamps::{self, StampLimits, StampWatch},
    topic::{self, NOBODY, Settings, TopicWatch},
};
use crate::{
    messages::Header,
    node::{clock, diagnostics::pair, host::Host, parameters::NodeParameters},
};

/// How often the graph is asked: with the next diagnostics a second later whatever is wrong is told within two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Whoever was heard so short a time ago is there, whatever the graph says.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Who publishes on an input's topic, and what the stamps of its messages say.
#[derive(Debug)]
pub(in crate::node) struct InputWatch {
    topic: TopicWatch,
    stamps: StampWatch,
    rate: RateWatch,
    limits: StampLimits,
    looked: Option<Instant>,
    last_arrival: Option<Instant>,
    chronicle: Chronicle,
}

impl InputWatch {
    /// A topic that the node subscribes to now, and asks for this quality of service.
    pub(in crate::node) fn new<P: NodeParameters>(
        host: &Host<P>,
        topic: &str,
        type_name: &'static str,
        qos: QosProfile,
        settings: Settings,
    ) -> Self {
        let (now, full) = (Instant::now(), host.full_name(topic));
        // What everybody shares is listened to as tf2 does it, whatever is overridden.
        let had = if settings.is_shared { qos.clone() } else { host.subscription_qos(topic, qos.clone()) };
        let topic = TopicWatch::new(&host.name, [topic, &full], type_name, had, settings, now);
        Self::of(topic.instead_of(&qos), now)
    }

    fn of(topic: TopicWatch, now: Instant) -> Self {
        Self {
            stamps: StampWatch::new(topic.topic()),
            topic,
            rate: RateWatch::begin(now),
            limits: StampLimits::default(),
            looked: None,
            last_arrival: None,
            chronicle: Chronicle::default(),
        }
    }

    /// The node is active from now on: nothing is compared with what was before. The counts stay.
    pub(in crate::node) fn begin(&mut self, now: Instant) {
        self.topic.begin(now);
        self.stamps.begin();
        self.rate = RateWatch::begin(now);
        self.looked = None;
        self.last_arrival = None;
    }

    /// Takes a message that comes now and begins with a header, and gives its stamp in nanoseconds, where it has one.
    pub(in crate::node) fn arrived(&mut self, message: &[u8], now: Instant) -> Option<i64> {
        self.last_arrival = Some(now);
        self.rate.arrived(now);
        let stamp = Header::stamp_of(message)?.to_nanoseconds();
        self.stamps.arrived(stamp, clock::now(), now);
        Some(stamp)
    }

    /// Looks around, but not more often than it is worth, and says whether it did; what is wrong is counted, and logged now and then.
    pub(in crate::node) fn look<P: NodeParameters>(&mut self, host: &mut Host<P>, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        self.limits = host.parameters().stamp_limits();
        if host.is_simulated() {
            // The system's clock says nothing of these stamps.
            (self.limits.stale, self.limits.future) = (None, None);
        }
        self.stamps.set_limits(self.limits);
        self.rate.advance(now);
        self.topic.look(&mut host.node, now);
        let found = self.findings(now);
        self.chronicle.note(&found);
        true
    }

    /// All that is wrong now.
    fn findings(&self, now: Instant) -> Vec<Finding> {
        let is_heard = self.last_arrival.is_some_and(|last| now.saturating_duration_since(last) < JUST_NOW);
        let topic = self.topic.finding(now).filter(|finding| !(is_heard && finding.key == NOBODY));
        let rate = self.rate.finding(self.topic.topic(), self.limits.rate);
        topic.into_iter().chain(self.stamps.findings(now)).chain(rate).collect()
    }

    /// The worst of what is wrong now.
    pub(in crate::node) fn finding(&self, now: Instant) -> Option<Finding> {
        Finding::worst(self.findings(now))
    }

    /// Adds the counts and the worst finding to the status of the input. Of an input that never spoke the finding says more than the
    /// status.
    pub(in crate::node) fn tell(&self, status: &mut DiagnosticStatus, now: Instant) {
        for key in topic::KEYS.into_iter().chain([rate::DROPPED]) {
            status.values.push(pair(key, &self.chronicle.count(key).to_string()));
        }
        for key in stamps::KEYS {
            status.values.push(pair(key, &self.stamps.counted(key).to_string()));
        }
        let Some(finding) = self.finding(now) else { return };
        if self.last_arrival.is_some() {
            finding.tell(status);
        } else {
            status.level = status.level.max(finding.level);
            status.message = finding.text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        messages::{Endianness, LaserScan, Message, Time},
        node::{
            diagnostics::{ERROR, OK, WARN},
            watch::rate::later,
        },
    };

    const SETTINGS: Settings =
        Settings { topic: "input_topic", reliability: "input_reliability", kind: "", kinds: &[], is_shared: false };

    fn watch(start: Instant) -> InputWatch {
        let qos = QosProfile::default().best_effort();
        InputWatch::of(
            TopicWatch::new("/lidar_detector", ["scan", "/scan"], LaserScan::TYPE_NAME, qos, SETTINGS, start),
            start,
        )
    }

    fn told(watch: &InputWatch, level: u8, now: Instant) -> DiagnosticStatus {
        let mut status = DiagnosticStatus { level, message: "as usual".into(), ..Default::default() };
        watch.tell(&mut status, now);
        status
    }

    #[test]
    fn the_finding_is_told_in_place_of_all_is_well_and_beside_what_is_not() {
        let start = Instant::now();
        let mut watch = watch(start);
        assert_eq!(told(&watch, WARN, start).message, "as usual");
        for endianness in [Endianness::Little, Endianness::Big] {
            for sec in [100, 50] {
                let header = Header { stamp: Time { sec, nanosec: 7 }, frame_id: "laser" };
                let mut bytes = Vec::new();
                LaserScan { header, ..Default::default() }.encode_into(endianness, &mut bytes);
                assert_eq!(watch.arrived(&bytes, start), Some(i64::from(sec) * 1_000_000_000 + 7));
            }
        }
        assert_eq!(watch.arrived(&[1, 2, 3], start), None);
        let status = told(&watch, OK, start);
        assert!(status.level == WARN && status.message.starts_with("stamps on /scan went back by 50.0 s"));
        let value = |key: &str| status.values.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str());
        assert_eq!(
            (value("stamps_set_back"), value("qos_mismatches"), value("rate_drops")),
            (Some("2"), Some("0"), Some("0"))
        );
        let status = told(&watch, ERROR, start);
        assert!(status.level == ERROR && status.message.starts_with("as usual; stamps on /scan"), "{}", status.message);
        watch.begin(start);
        assert_eq!(told(&watch, OK, start).message, "as usual");
    }

    #[test]
    fn a_rate_that_drops_is_told() {
        let start = Instant::now();
        let mut watch = watch(start);
        watch.limits.rate = Some(0.5);
        for step in 0..400 {
            watch.arrived(&[], later(start, 0.1 * f64::from(step)));
        }
        for step in 40..47 {
            watch.arrived(&[], later(start, f64::from(step)));
        }
        let status = told(&watch, OK, later(start, 47.0));
        assert!(status.message.contains("/scan comes 1.0 times a second"), "{}", status.message);
    }
}
