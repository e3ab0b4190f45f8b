//! `qos_overrides` as ROS 2 has them: the quality of service of each topic as read-only parameters, taken from what is given at the
//! start.
//!
//! | parameter | values |
//! |---|---|
//! | `qos_overrides.<full name of the topic>.<subscription or publisher>.reliability` | `reliable`, `best_effort` |
//! | `....durability` | `volatile`, `transient_local` |
//! | `....history` | `keep_last`, `keep_all` |
//! | `....depth` | 1 to 10000 messages |

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use r2r::{
    Parameter, ParameterValue, QosProfile,
    indexmap::IndexMap,
    qos::{DurabilityPolicy, HistoryPolicy, ReliabilityPolicy},
};

use super::{Descriptor, Holds, ParameterError, none_of, words};

/// What all their names begin with.
const PREFIX: &str = "qos_overrides.";
/// Fewest and most messages that a topic may hold.
const DEPTHS: (f64, f64) = (1.0, 10_000.0);
/// Words of `reliability`.
const RELIABILITIES: [(&str, ReliabilityPolicy); 2] =
    [("reliable", ReliabilityPolicy::Reliable), ("best_effort", ReliabilityPolicy::BestEffort)];
/// Words of `durability`.
const DURABILITIES: [(&str, DurabilityPolicy); 2] =
    [("volatile", DurabilityPolicy::Volatile), ("transient_local", DurabilityPolicy::TransientLocal)];
/// Words of `history`.
const HISTORIES: [(&str, HistoryPolicy); 2] =
    [("keep_last", HistoryPolicy::KeepLast), ("keep_all", HistoryPolicy::KeepAll)];

/// What a node does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::node) enum TopicEnd {
    /// It publishes.
    Publisher,
    /// It listens.
    Subscription,
}

impl TopicEnd {
    const ALL: [Self; 2] = [Self::Publisher, Self::Subscription];

    fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Subscription => "subscription",
        }
    }
}

/// What can be overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    Depth,
    Durability,
    History,
    Reliability,
}

impl Policy {
    const ALL: [Self; 4] = [Self::Depth, Self::Durability, Self::History, Self::Reliability];

    fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Durability => "durability",
            Self::History => "history",
            Self::Reliability => "reliability",
        }
    }

    fn choices(self) -> Vec<&'static str> {
        match self {
            Self::Depth => Vec::new(),
            Self::Durability => words(&DURABILITIES),
            Self::History => words(&HISTORIES),
            Self::Reliability => words(&RELIABILITIES),
        }
    }

    /// What a profile says.
    fn of(self, qos: &QosProfile) -> ParameterValue {
        match self {
            Self::Depth => ParameterValue::Integer(i64::try_from(qos.depth).unwrap_or(i64::MAX)),
            Self::Durability => word_of(&DURABILITIES, &qos.durability),
            Self::History => word_of(&HISTORIES, &qos.history),
            Self::Reliability => word_of(&RELIABILITIES, &qos.reliability),
        }
    }

    /// Makes a profile say something else.
    ///
    /// # Errors
    /// What the value should be.
    fn apply(self, value: &ParameterValue, qos: &mut QosProfile) -> Result<(), String> {
        match self {
            Self::Depth => {
                let (least, most) = DEPTHS;
                match value {
                    ParameterValue::Integer(depth) if (least..=most).contains(&(*depth as f64)) => {
                        qos.depth = usize::try_from(*depth).unwrap_or(1);
                    }
                    ParameterValue::Integer(depth) => return Err(format!("{depth} is not from {least} to {most}")),
                    other => return Err(format!("a depth is an integer, not a {}", other.type_name())),
                }
            }
            Self::Durability => qos.durability = meant(&DURABILITIES, value)?,
            Self::History => qos.history = meant(&HISTORIES, value)?,
            Self::Reliability => qos.reliability = meant(&RELIABILITIES, value)?,
        }
        Ok(())
    }
}

/// The word for a policy's kind.
fn word_of<T: PartialEq>(table: &[(&'static str, T)], kind: &T) -> ParameterValue {
    let found = table.iter().find(|(_, known)| known == kind);
    ParameterValue::String(found.map_or("system_default", |(word, _)| *word).to_owned())
}

/// The policy's kind that a word means.
fn meant<T: Clone>(table: &[(&'static str, T)], value: &ParameterValue) -> Result<T, String> {
    let ParameterValue::String(text) = value else {
        return Err(format!("it is one of {}, not a {}", words(table).join(", "), value.type_name()));
    };
    let found = table.iter().find(|(word, _)| word == text);
    found.map(|(_, kind)| kind.clone()).ok_or_else(|| none_of(text, &words(table)))
}

/// One of these parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    topic: String,
    end: TopicEnd,
    policy: Policy,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}.{}.{}", self.topic, self.end.name(), self.policy.name())
    }
}

impl Place {
    /// What a parameter's name says.
    fn read(name: &str) -> Result<Self, ParameterError> {
        let wrong = |reason: String| ParameterError::new(name, reason);
        let mut parts = name.strip_prefix(PREFIX).unwrap_or(name).rsplitn(3, '.');
        let (Some(policy), Some(end), Some(topic)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong(format!("its form is {PREFIX}/full/topic.subscription.reliability")));
        };
        if !topic.starts_with('/') {
            return Err(wrong(format!("`{topic}` is no full name of a topic, such as /camera/image_raw")));
        }
        let ends = TopicEnd::ALL.map(TopicEnd::name);
        let found = TopicEnd::ALL.into_iter().find(|known| known.name() == end);
        let end = found.ok_or_else(|| wrong(none_of(end, &ends)))?;
        let policies = Policy::ALL.map(Policy::name);
        let found = Policy::ALL.into_iter().find(|known| known.name() == policy);
        let policy = found.ok_or_else(|| wrong(none_of(policy, &policies)))?;
        Ok(Self { topic: topic.to_owned(), end, policy })
    }

    fn descriptor(&self, value: &ParameterValue) -> Descriptor {
        Descriptor {
            name: self.to_string(),
            value: value.clone(),
            description: format!(
                "The {} of the {} on {}. Read at the start.",
                self.policy.name(),
                self.end.name(),
                self.topic
            ),
            range: (self.policy == Policy::Depth).then_some(DEPTHS),
            choices: self.policy.choices(),
            holds: Holds::AtStart,
        }
    }
}

/// The quality of service that was asked for at the start, and that the topics have.
#[derive(Debug, Default)]
pub(in crate::node) struct QosOverrides {
    given: BTreeMap<Place, ParameterValue>,
    used: BTreeMap<Place, ParameterValue>,
    is_changed: bool,
}

impl QosOverrides {
    /// Whether a parameter is one of these.
    pub(in crate::node) fn has(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Takes those that were given at the start.
    ///
    /// # Errors
    /// One that makes no sense.
    pub(super) fn from_start(given: &IndexMap<String, Parameter>) -> Result<Self, ParameterError> {
        let mut overrides = Self::default();
        for (name, parameter) in given.iter().filter(|(name, _)| Self::has(name)) {
            let place = Place::read(name)?;
            let mut scratch = QosProfile::default();
            place
                .policy
                .apply(&parameter.value, &mut scratch)
                .map_err(|reason| ParameterError::new(name.as_str(), reason))?;
            overrides.given.insert(place, parameter.value.clone());
        }
        Ok(overrides)
    }

    /// The profile that a topic gets, by its full name.
    pub(in crate::node) fn overridden(&self, topic: &str, end: TopicEnd, mut qos: QosProfile) -> QosProfile {
        for (place, value) in self.given.iter().filter(|(place, _)| place.topic == topic && place.end == end) {
            if let Err(reason) = place.policy.apply(value, &mut qos) {
                tracing::warn!("parameter {place}: {reason}");
            }
        }
        qos
    }

    /// Shows the profile that a topic has.
    pub(in crate::node) fn show(&mut self, topic: &str, end: TopicEnd, qos: &QosProfile) {
        for policy in Policy::ALL {
            let value = policy.of(qos);
            self.used.insert(Place { topic: topic.to_owned(), end, policy }, value);
        }
        self.is_changed = true;
    }

    /// Forgets the topics, which are there no more.
    pub(in crate::node) fn forget_topics(&mut self) {
        self.is_changed |= !self.used.is_empty();
        self.used.clear();
    }

    /// Whether topics came or went since this was asked last.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// What was asked for topics that are not there, and the topics that are.
    pub(in crate::node) fn unused(&self) -> (Vec<String>, Vec<String>) {
        let topics: BTreeSet<(&str, TopicEnd)> =
            self.used.keys().map(|place| (place.topic.as_str(), place.end)).collect();
        let unused = self.given.keys().filter(|place| !topics.contains(&(place.topic.as_str(), place.end)));
        let unused = unused.map(ToString::to_string).collect();
        (unused, topics.into_iter().map(|(topic, end)| format!("{topic}.{}", end.name())).collect())
    }

    /// All of them: of the topics that are there, and what was asked for others.
    pub(super) fn descriptors(&self) -> Vec<Descriptor> {
        let unused = self.given.iter().filter(|(place, _)| !self.used.contains_key(*place));
        self.used.iter().chain(unused).map(|(place, value)| place.descriptor(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[(&str, ParameterValue)]) -> IndexMap<String, Parameter> {
        values.iter().map(|(name, value)| ((*name).to_owned(), Parameter::new(value.clone()))).collect()
    }

    fn text(text: &str) -> ParameterValue {
        ParameterValue::String(text.to_owned())
    }

    fn shown(overrides: &QosOverrides, name: &str) -> Option<ParameterValue> {
        overrides.descriptors().into_iter().find(|known| known.name == name).map(|known| known.value)
    }

    #[test]
    fn a_topic_gets_what_was_asked_for_it_and_keeps_the_rest() {
        let mut overrides = QosOverrides::from_start(&given(&[
            ("rate", ParameterValue::Double(5.0)),
            ("qos_overrides./robot/image.subscription.reliability", text("reliable")),
            ("qos_overrides./robot/image.subscription.depth", ParameterValue::Integer(1)),
            ("qos_overrides./robot/image.publisher.durability", text("transient_local")),
            ("qos_overrides./robot/points.publisher.history", text("keep_all")),
        ]))
        .unwrap();
        let own = QosProfile::default().keep_last(4).best_effort();
        let qos = overrides.overridden("/robot/image", TopicEnd::Subscription, own.clone());
        assert_eq!(qos, own.clone().keep_last(1).reliable());
        assert_eq!(overrides.overridden("/image", TopicEnd::Subscription, own.clone()), own);
        overrides.show("/robot/image", TopicEnd::Subscription, &qos);
        assert!(overrides.take_change() && !overrides.take_change());
        let name = |policy: &str| format!("qos_overrides./robot/image.subscription.{policy}");
        assert_eq!(shown(&overrides, &name("reliability")), Some(text("reliable")));
        assert_eq!(shown(&overrides, &name("depth")), Some(ParameterValue::Integer(1)));
        assert_eq!(shown(&overrides, &name("durability")), Some(text("volatile")));
        assert_eq!(shown(&overrides, &name("history")), Some(text("keep_last")));
        assert!(overrides.descriptors().iter().all(Descriptor::is_read_only));
        let (unused, topics) = overrides.unused();
        let expected =
            ["qos_overrides./robot/image.publisher.durability", "qos_overrides./robot/points.publisher.history"];
        assert_eq!(unused, expected);
        assert_eq!(topics, ["/robot/image.subscription"]);
        assert_eq!(overrides.descriptors().len(), 6);
        overrides.forget_topics();
        assert_eq!(overrides.descriptors().len(), 4, "what was given is shown all the same");
        assert!(overrides.take_change());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (name, value, word) in [
            ("qos_overrides./image.subscription.reliability", text("best effort"), "best_effort"),
            ("qos_overrides./image.subscription.reliability", ParameterValue::Bool(true), "reliable"),
            ("qos_overrides./image.subscription.depth", ParameterValue::Integer(0), "from 1"),
            ("qos_overrides./image.subscription.depth", text("1"), "integer"),
            ("qos_overrides./image.publisher.durability", text("latched"), "transient_local"),
            ("qos_overrides./image.publisher.reliabilty", text("reliable"), "reliability"),
            ("qos_overrides./image.listener.reliability", text("reliable"), "subscription"),
            ("qos_overrides.image.subscription.reliability", text("reliable"), "full name"),
            ("qos_overrides./image", text("reliable"), "form"),
        ] {
            let error = QosOverrides::from_start(&given(&[(name, value)])).unwrap_err();
            assert_eq!(error.name, name);
            assert!(error.reason.contains(word), "{error}");
        }
    }
}
