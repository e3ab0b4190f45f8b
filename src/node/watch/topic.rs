//! Publishers that cannot be heard, or are not there.

use std::time::{Duration, Instant};

use r2r::{
    Node, QosProfile,
    qos::{DurabilityPolicy, ReliabilityPolicy},
};

use super::{
    finding::Finding,
    graph::{self, Endpoint, Survey},
};

/// A publisher that is not heard because of its QoS.
const MISMATCH: &str = "qos_mismatches";
/// Messages of another type.
const WRONG_TYPE: &str = "wrong_types";
/// No publisher at all.
pub(in crate::node) const NOBODY: &str = "without_publisher";
/// More publishers than one.
const SEVERAL: &str = "several_publishers";
/// All of these.
pub(super) const KEYS: [&str; 4] = [MISMATCH, WRONG_TYPE, NOBODY, SEVERAL];

/// How long publishers have to appear.
const GRACE: Duration = Duration::from_secs(3);
/// How long two publishers are no trouble: one that died without a word is known for another 20 s.
const CHANGE_OVER: Duration = Duration::from_secs(30);
/// How often others are looked for in place of a publisher that is not there.
const SURVEY_EVERY: Duration = Duration::from_secs(5);
/// The same of one that is missing for long.
const SURVEY_AT_LEAST: Duration = Duration::from_secs(60);
/// Other topics that are named at most.
const MOST_NAMED: usize = 4;

/// What the parameters that mend a topic are called; empty where there is none.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct Settings {
    /// Its name.
    pub(in crate::node) topic: &'static str,
    /// Whether lost messages are sent again.
    pub(in crate::node) reliability: &'static str,
    /// The kind of its messages.
    pub(in crate::node) kind: &'static str,
    /// The values of that, each with its type of messages.
    pub(in crate::node) kinds: &'static [(&'static str, &'static str)],
    /// Whether it is everybody's, such as that of transforms: it is usual that several publish there, and others are no replacement.
    pub(in crate::node) is_shared: bool,
}

/// Who publishes on a topic that the node listens to.
#[derive(Debug)]
pub(super) struct TopicWatch {
    node: String,
    /// As the parameter says.
    given: String,
    /// In full.
    topic: String,
    type_name: &'static str,
    qos: QosProfile,
    /// The profile that the node would have without `qos_overrides`.
    own_qos: QosProfile,
    settings: Settings,
    begun: Instant,
    /// Who publishes, as far as that is known.
    publishers: Option<Vec<Endpoint>>,
    /// Whether somebody could ever be heard.
    was_heard: bool,
    several_since: Option<Instant>,
    surveyed: Option<Instant>,
    survey: Option<Survey>,
}

impl TopicWatch {
    /// A topic as the node with that full name subscribes to it, at this time: as it is given, and in full.
    pub(super) fn new(
        node: &str,
        [given, topic]: [&str; 2],
        type_name: &'static str,
        qos: QosProfile,
        settings: Settings,
        now: Instant,
    ) -> Self {
        Self {
            node: node.to_owned(),
            given: given.to_owned(),
            topic: topic.to_owned(),
            type_name,
            own_qos: qos.clone(),
            qos,
            settings,
            begun: now,
            publishers: None,
            was_heard: false,
            several_since: None,
            surveyed: None,
            survey: None,
        }
    }

    /// The profile took the place of this one by `qos_overrides`, which then are what has to be changed.
    pub(super) fn instead_of(self, own_qos: &QosProfile) -> Self {
        Self { own_qos: own_qos.clone(), ..self }
    }

    /// The topic's full name.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// After a pause publishers have time to appear again.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun = now;
        self.publishers = None;
        self.was_heard = false;
        self.several_since = None;
        self.surveyed = None;
        self.survey = None;
    }

    /// Asks the graph who is there.
    pub(super) fn look(&mut self, node: &mut Node, now: Instant) {
        let Some(publishers) = graph::publishers(node, &self.topic) else { return };
        let is_late = now.saturating_duration_since(self.begun) >= GRACE;
        let is_missed = publishers.is_empty() && is_late && !self.was_heard;
        if is_missed && !self.settings.is_shared && self.shall_survey(now) {
            self.surveyed = Some(now);
            let others = self.settings.kinds.iter().map(|&(_, type_name)| type_name);
            let types: Vec<&str> = std::iter::once(self.type_name).chain(others).collect();
            self.survey = graph::survey(node, &self.node, &self.topic, &types);
        }
        self.take(publishers, now);
    }

    /// Who does not answer once is not asked again.
    fn shall_survey(&self, now: Instant) -> bool {
        match (self.surveyed, &self.survey) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(surveyed), Some(_)) => {
                let missing = now.saturating_duration_since(self.begun);
                now.saturating_duration_since(surveyed) >= (missing / 4).clamp(SURVEY_EVERY, SURVEY_AT_LEAST)
            }
        }
    }

    fn take(&mut self, publishers: Vec<Endpoint>, now: Instant) {
        let heard = publishers.iter().filter(|publisher| self.hears(publisher)).count();
        self.was_heard |= heard > 0;
        self.several_since = if heard > 1 { self.several_since.or(Some(now)) } else { None };
        self.publishers = Some(publishers);
    }

    fn hears(&self, publisher: &Endpoint) -> bool {
        publisher.type_name == self.type_name && self.mismatch(publisher).is_none()
    }

    /// What keeps a publisher of the right type from being heard: what it offers, what is asked for, and the parameter.
    fn mismatch(&self, publisher: &Endpoint) -> Option<(&'static str, &'static str, String)> {
        let overriding = |policy: &str| format!("qos_overrides.{}.subscription.{policy}", self.topic);
        if self.qos.reliability == ReliabilityPolicy::Reliable && publisher.reliability == ReliabilityPolicy::BestEffort
        {
            let is_own = self.own_qos.reliability == self.qos.reliability;
            let parameter = if is_own { self.settings.reliability.to_owned() } else { overriding("reliability") };
            return Some(("best_effort", "reliable", parameter));
        }
        let is_latched = self.qos.durability == DurabilityPolicy::TransientLocal;
        if is_latched && publisher.durability == DurabilityPolicy::Volatile {
            let is_own = self.own_qos.durability == self.qos.durability;
            let parameter = if is_own { String::new() } else { overriding("durability") };
            return Some(("volatile", "transient_local", parameter));
        }
        None
    }

    /// What is wrong with the publishers.
    pub(super) fn finding(&self, now: Instant) -> Option<Finding> {
        let publishers = self.publishers.as_ref()?;
        if publishers.is_empty() {
            return self.nobody(now);
        }
        let level =
            if publishers.iter().any(|publisher| self.hears(publisher)) { Finding::warning } else { Finding::error };
        let mismatches = publishers.iter().filter(|publisher| publisher.type_name == self.type_name);
        let mut mismatches = mismatches.filter_map(|publisher| Some((publisher, self.mismatch(publisher)?)));
        if let Some((publisher, mismatch)) = mismatches.next() {
            return Some(level(MISMATCH, self.about_mismatch(publisher, mismatch)));
        }
        if let Some(publisher) = publishers.iter().find(|publisher| publisher.type_name != self.type_name) {
            return Some(level(WRONG_TYPE, self.about_type(publisher)));
        }
        let is_lasting = self.several_since.is_some_and(|since| now.saturating_duration_since(since) > CHANGE_OVER);
        (is_lasting && !self.settings.is_shared).then(|| Finding::warning(SEVERAL, self.about_several(publishers)))
    }

    fn about_mismatch(&self, publisher: &Endpoint, (offered, wanted, parameter): (&str, &str, String)) -> String {
        let Self { node, topic, .. } = self;
        let mend = if parameter.is_empty() {
            format!("let {} publish it {wanted}", name_of(publisher))
        } else {
            format!("set parameter {parameter} to {offered}, or let {} publish it {wanted}", name_of(publisher))
        };
        format!(
            "{} publishes {topic} {offered}, but {node} asks for {wanted}, so that nothing of it arrives: {mend}",
            name_of(publisher)
        )
    }

    fn about_type(&self, publisher: &Endpoint) -> String {
        let Self { node, topic, type_name, settings, .. } = self;
        let kind = settings.kinds.iter().find(|(_, of)| *of == publisher.type_name);
        let mend = match kind {
            Some((value, _)) => {
                format!("set parameter {} to {value}, or name another topic in {}", settings.kind, settings.topic)
            }
            None if settings.topic.is_empty() => "remap one of the two".to_owned(),
            None => format!("name a topic of {type_name} in parameter {}", settings.topic),
        };
        format!(
            "{} publishes {topic} as {}, but {node} listens for {type_name}: {mend}",
            name_of(publisher),
            publisher.type_name
        )
    }

    fn about_several(&self, publishers: &[Endpoint]) -> String {
        let topic = &self.topic;
        let names: Vec<&str> = publishers.iter().map(name_of).collect();
        format!(
            "{} publish {topic} at the same time: {}, and their messages are mixed; stop all but one, or give each a topic of its own \
             (`ros2 topic info -v {topic}`)",
            names.len(),
            names.join(", ")
        )
    }

    /// A few other topics of a type that somebody publishes.
    fn others(&self, type_name: &str) -> Vec<&str> {
        let alike = self.survey.iter().flat_map(|survey| &survey.alike);
        alike.filter(|(_, of)| of == type_name).map(|(name, _)| name.as_str()).take(MOST_NAMED).collect()
    }

    fn nobody(&self, now: Instant) -> Option<Finding> {
        let Self { topic, type_name, .. } = self;
        if self.was_heard {
            let text =
                format!("nobody publishes {topic} any more: its driver has ended (`ros2 topic info -v {topic}`)");
            return Some(Finding::warning(NOBODY, text));
        }
        let is_known = self.survey.as_ref().is_none_or(|survey| survey.is_known);
        if now.saturating_duration_since(self.begun) < GRACE || !is_known {
            return None;
        }
        Some(Finding::warning(NOBODY, format!("nobody publishes {topic} ({type_name}); {}", self.about_others())))
    }

    /// What to do where nobody publishes.
    fn about_others(&self) -> String {
        let Self { type_name, given, settings, .. } = self;
        let name_another =
            if settings.topic.is_empty() { String::new() } else { format!("set parameter {}, or ", settings.topic) };
        let same = self.others(type_name);
        if let Some(first) = same.first() {
            let names = same.join(", ");
            return format!("of that type there is {names}: {name_another}remap it (--ros-args -r {given}:={first})");
        }
        for (value, of) in settings.kinds {
            if let Some(other) = self.others(of).first() {
                return format!(
                    "there is {other} ({of}): set parameter {} to {other} and {} to {value}",
                    settings.topic, settings.kind
                );
            }
        }
        let neither = if self.survey.is_some() { "no other topic of that type is there either: " } else { "" };
        let domain = std::env::var("ROS_DOMAIN_ID").unwrap_or_else(|_| "0".into());
        format!(
            "{neither}start its driver, in the same ROS_DOMAIN_ID ({domain} here), or name its topic ({name_another}remap {given})"
        )
    }
}

/// Who that is, as far as it is known.
fn name_of(publisher: &Endpoint) -> &str {
    if publisher.node.contains("_UNKNOWN_") { "somebody" } else { &publisher.node }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        diagnostics::{ERROR, WARN},
        watch::rate::later,
    };

    const IMAGE: &str = "sensor_msgs/msg/Image";
    const COMPRESSED: &str = "sensor_msgs/msg/CompressedImage";
    const SETTINGS: Settings = Settings {
        topic: "image_topic",
        reliability: "image_reliability",
        kind: "image_transport",
        kinds: &[("raw", IMAGE), ("compressed", COMPRESSED)],
        is_shared: false,
    };

    /// A publisher as the graph tells of it.
    fn endpoint(node: &str, type_name: &str, reliability: ReliabilityPolicy) -> Endpoint {
        Endpoint { node: node.into(), type_name: type_name.into(), reliability, durability: DurabilityPolicy::Volatile }
    }

    fn watch(is_reliable: bool, start: Instant) -> TopicWatch {
        let qos = if is_reliable { QosProfile::default().reliable() } else { QosProfile::default().best_effort() };
        TopicWatch::new("/eye/camera_detector", ["image", "/eye/image"], IMAGE, qos, SETTINGS, start)
    }

    /// Asserts level, key and words of what is wrong.
    fn found(watch: &TopicWatch, now: Instant, level: u8, key: &str, words: &[&str]) {
        let finding = watch.finding(now).expect("something is wrong");
        assert_eq!((finding.level, finding.key), (level, key), "{}", finding.text);
        for word in words {
            assert!(finding.text.contains(word), "`{word}` is not in: {}", finding.text);
        }
    }

    #[test]
    fn a_best_effort_publisher_is_named_to_who_asks_for_reliable() {
        let start = Instant::now();
        let mut watch = watch(true, start);
        assert_eq!(watch.finding(start), None, "nothing is known yet");
        let deaf = endpoint("/driver", IMAGE, ReliabilityPolicy::BestEffort);
        watch.take(vec![deaf.clone()], start);
        let words = ["/driver", "/eye/image", "/eye/camera_detector", "best_effort", "reliable", "image_reliability"];
        found(&watch, start, ERROR, MISMATCH, &words);
        watch.take(vec![deaf, endpoint("/other", IMAGE, ReliabilityPolicy::Reliable)], start);
        found(&watch, start, WARN, MISMATCH, &["/driver"]);
        watch.take(vec![endpoint("/other", IMAGE, ReliabilityPolicy::Reliable)], start);
        assert_eq!(watch.finding(start), None);
    }

    #[test]
    fn whoever_takes_best_effort_hears_everybody() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        for reliability in [ReliabilityPolicy::BestEffort, ReliabilityPolicy::Reliable, ReliabilityPolicy::Unknown] {
            watch.take(vec![endpoint("/driver", IMAGE, reliability)], start);
            assert_eq!(watch.finding(later(start, 9.0)), None);
        }
    }

    #[test]
    fn a_volatile_publisher_is_named_to_who_asks_for_transient_local() {
        let start = Instant::now();
        let settings = Settings { topic: "", reliability: "", kind: "", kinds: &[], is_shared: true };
        let qos = QosProfile::default().reliable().transient_local();
        let mut watch = TopicWatch::new("/fusion", ["/tf_static"; 2], "tf2_msgs/msg/TFMessage", qos, settings, start);
        watch.take(vec![endpoint("/robot", "tf2_msgs/msg/TFMessage", ReliabilityPolicy::Reliable)], start);
        found(&watch, start, ERROR, MISMATCH, &["/robot", "volatile", "transient_local"]);
    }

    #[test]
    fn what_was_overridden_is_what_has_to_be_changed() {
        let start = Instant::now();
        let latched = QosProfile::default().reliable().transient_local();
        let watch = TopicWatch::new("/detector", ["image", "/eye/image"], IMAGE, latched, SETTINGS, start);
        let mut watch = watch.instead_of(&QosProfile::default().best_effort());
        watch.take(vec![endpoint("/driver", IMAGE, ReliabilityPolicy::BestEffort)], start);
        found(&watch, start, ERROR, MISMATCH, &["parameter qos_overrides./eye/image.subscription.reliability to best"]);
        watch.take(vec![endpoint("/driver", IMAGE, ReliabilityPolicy::Reliable)], start);
        found(
            &watch,
            start,
            ERROR,
            MISMATCH,
            &["parameter qos_overrides./eye/image.subscription.durability to volatile"],
        );
    }

    #[test]
    fn another_type_is_told_with_the_parameter_that_takes_it() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        watch.take(vec![endpoint("/driver", COMPRESSED, ReliabilityPolicy::Reliable)], start);
        found(&watch, start, ERROR, WRONG_TYPE, &[IMAGE, COMPRESSED, "image_transport to compressed", "/driver"]);
        watch.take(vec![endpoint("/driver", "std_msgs/msg/String", ReliabilityPolicy::Reliable)], start);
        found(&watch, start, ERROR, WRONG_TYPE, &["std_msgs/msg/String", "parameter image_topic"]);
    }

    #[test]
    fn where_nobody_publishes_other_topics_are_named() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        watch.take(Vec::new(), start);
        assert_eq!(watch.finding(start), None, "it may still come");
        let now = later(start, 4.0);
        found(&watch, now, WARN, NOBODY, &["/eye/image", IMAGE, "ROS_DOMAIN_ID", "image_topic"]);
        let alike = |topic: &str, of: &str| Survey { is_known: true, alike: vec![(topic.to_owned(), of.to_owned())] };
        watch.survey = Some(alike("/camera/image_raw", IMAGE));
        found(&watch, now, WARN, NOBODY, &["image_topic", "-r image:=/camera/image_raw"]);
        watch.survey = Some(alike("/camera/compressed", COMPRESSED));
        let words = ["image_topic to /camera/compressed", "image_transport to compressed", COMPRESSED];
        found(&watch, now, WARN, NOBODY, &words);
        watch.survey = Some(Survey { is_known: false, alike: Vec::new() });
        assert_eq!(watch.finding(now), None, "of a name that ROS does not know nothing is said");
    }

    #[test]
    fn a_publisher_that_goes_is_missed_and_a_pause_forgets_it() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        watch.take(vec![endpoint("/driver", IMAGE, ReliabilityPolicy::Reliable)], start);
        watch.take(Vec::new(), later(start, 1.0));
        found(&watch, later(start, 1.0), WARN, NOBODY, &["any more", "/eye/image"]);
        watch.begin(later(start, 2.0));
        watch.take(Vec::new(), later(start, 2.0));
        assert_eq!(watch.finding(later(start, 2.0)), None);
    }

    #[test]
    fn two_publishers_are_told_when_they_stay() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        let both = ["/driver", "/player"].map(|node| endpoint(node, IMAGE, ReliabilityPolicy::Reliable)).to_vec();
        watch.take(both.clone(), start);
        assert_eq!(watch.finding(later(start, 20.0)), None, "one of them may be dead");
        watch.take(both, later(start, 20.0));
        found(&watch, later(start, 31.0), WARN, SEVERAL, &["/driver, /player", "/eye/image"]);
        watch.settings.is_shared = true;
        assert_eq!(watch.finding(later(start, 31.0)), None);
    }

    #[test]
    fn who_does_not_answer_is_not_asked_again() {
        let start = Instant::now();
        let mut watch = watch(false, start);
        assert!(watch.shall_survey(start));
        watch.surveyed = Some(start);
        assert!(!watch.shall_survey(later(start, 60.0)));
        watch.survey = Some(Survey { is_known: true, alike: Vec::new() });
        assert!(!watch.shall_survey(later(start, 1.0)) && watch.shall_survey(later(start, 6.0)));
        watch.surveyed = Some(later(start, 3600.0));
        assert!(!watch.shall_survey(later(start, 3630.0)) && watch.shall_survey(later(start, 3661.0)));
    }
}
