//! Topics of a recording and the choice among them.

/// A topic of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name, such as `/camera/image_raw`.
    pub name: String,
    /// Its message type in the long form, such as `sensor_msgs/msg/Image`.
    pub type_name: String,
    /// How its messages are serialised; `cdr` is what can be read.
    pub serialization: String,
    /// How many messages the recording says it has; `None` where no count is known without reading all of it.
    pub message_count: Option<u64>,
    /// The publishers' quality of service as the YAML text that rosbag2 keeps; empty where none was kept.
    pub offered_qos: String,
}

/// The topics of a recording, each once.
#[derive(Debug, Default)]
pub(super) struct TopicTable {
    pub(super) topics: Vec<Topic>,
}

impl TopicTable {
    /// The topic's place, made when it is new.
    pub(super) fn enter(&mut self, name: &str, type_name: &str, serialization: &str, offered_qos: &str) -> usize {
        if let Some(index) = self.topics.iter().position(|topic| topic.name == name) {
            return index;
        }
        self.topics.push(Topic {
            name: name.into(),
            type_name: long_type_name(type_name),
            serialization: serialization.into(),
            message_count: None,
            offered_qos: offered_qos.into(),
        });
        self.topics.len() - 1
    }
}

/// `sensor_msgs/Image` as `sensor_msgs/msg/Image`; other names as they are.
fn long_type_name(name: &str) -> String {
    match name.split_once('/') {
        Some((package, short)) if !short.contains('/') && !short.is_empty() => format!("{package}/msg/{short}"),
        _ => name.into(),
    }
}

/// Which topics to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TopicFilter {
    /// Every topic that is serialised as CDR.
    #[default]
    All,
    /// These topics; one that is not in the recording is an error.
    Only(Vec<String>),
}

impl TopicFilter {
    /// Only the named topics.
    pub fn only<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_the_long_form() {
        assert_eq!(long_type_name("test_msgs/BasicTypes"), "test_msgs/msg/BasicTypes");
        assert_eq!(long_type_name("sensor_msgs/msg/Image"), "sensor_msgs/msg/Image");
        assert_eq!(long_type_name("strange"), "strange");
    }
}
