//! What the node sees of the others on the network.

use std::collections::HashMap;

use r2r::{
    Node, PublisherUntyped, QosProfile,
    qos::{DurabilityPolicy, ReliabilityPolicy},
};

/// Topics that are asked for their publishers at most, when others of a type are looked for.
const MOST_ASKED: usize = 20;
/// Topics that come last in the order of names: see [`names_and_types`]. Their underscores hide them from `ros2 topic list`.
const LAST: [&str; 3] = ["/zzzzzzzz/_last_1", "/zzzzzzzz/_last_2", "/zzzzzzzz/_last_3"];

/// Somebody who publishes on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Full name of the node.
    pub(super) node: String,
    /// Type of the messages.
    pub(super) type_name: String,
    /// Whether lost messages are sent again.
    pub(super) reliability: ReliabilityPolicy,
    /// Whether those who come later get the newest messages.
    pub(super) durability: DurabilityPolicy,
}

/// Who publishes on a topic, given by its full name; nothing where ROS does not answer.
pub(super) fn publishers(node: &Node, topic: &str) -> Option<Vec<Endpoint>> {
    let found = node.get_publishers_info_by_topic(topic, false).ok()?;
    let endpoints = found.into_iter().map(|info| Endpoint {
        node: format!("{}/{}", info.node_namespace.trim_end_matches('/'), info.node_name),
        type_name: info.topic_type,
        reliability: info.qos_profile.reliability,
        durability: info.qos_profile.durability,
    });
    Some(endpoints.collect())
}

/// What else there is in place of a topic that nobody publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Survey {
    /// Whether the topic, which the node listens to, is there by the name that was given: otherwise the name is not what ROS made of it.
    pub(super) is_known: bool,
    /// Other topics of these types that another node publishes, by name, with their type.
    pub(super) alike: Vec<(String, String)>,
}

/// Looks for topics of some types that others than the node itself (`own`) publish; nothing where ROS does not answer.
pub(super) fn survey(node: &mut Node, own: &str, topic: &str, types: &[&str]) -> Option<Survey> {
    let names = names_and_types(node)?;
    let is_known = names.contains_key(topic);
    let is_wanted = |type_name: &String| types.contains(&type_name.as_str());
    let mut candidates: Vec<String> = names
        .into_iter()
        .filter(|(name, of)| name != topic && of.iter().any(is_wanted))
        .map(|(name, _)| name)
        .collect();
    candidates.sort();
    let mut alike = Vec::new();
    for name in candidates.into_iter().take(MOST_ASKED) {
        let publishers = publishers(node, &name).unwrap_or_default();
        if let Some(other) = publishers.into_iter().find(|other| other.node != own && is_wanted(&other.type_name)) {
            alike.push((name, other.type_name));
        }
    }
    Some(Survey { is_known, alike })
}

/// All topics and their types.
///
/// r2r 0.9.7 takes the types of a topic that has `n` from the first of each of the `n` topics that follow it, and so reads behind the
/// list's end where one of the last has several. DDS middlewares give topics in the order of their names: while ours are the last,
/// each with one type, no list ends too early for topics of up to four types. The types of a topic that has several are not to be
/// believed.
fn names_and_types(node: &mut Node) -> Option<HashMap<String, Vec<String>>> {
    if std::env::var("RMW_IMPLEMENTATION").is_ok_and(|name| name.contains("zenoh")) {
        // Its topics have no order.
        return None;
    }
    let mut last: Vec<PublisherUntyped> = Vec::new();
    for topic in LAST {
        if let Ok(publisher) = node.create_publisher_untyped(topic, "std_msgs/msg/Empty", QosProfile::default()) {
            last.push(publisher);
        }
    }
    let are_there = LAST.iter().all(|topic| publishers(node, topic).is_some_and(|found| !found.is_empty()));
    let names = if last.len() == LAST.len() && are_there { node.get_topic_names_and_types().ok() } else { None };
    for publisher in last {
        node.destroy_publisher_untyped(publisher);
    }
    names
}
