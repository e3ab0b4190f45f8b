//! How a robot's own recording is laid out: parts side by side in one folder, each a whole recording, so that the oldest can be deleted
//! and the others stay readable; and beside the frames what the student saw in them and why they were kept.

/// What every part's name begins with.
const PREFIX: &str = "part_";
/// What the name of a topic of detections ends with.
const DETECTIONS: &str = "/detections";

/// The name of a part's folder; names in order of the alphabet are in order of the numbers up to 99,999,999.
///
/// ```
/// use distilled_perception::recording::{part_name, part_number};
///
/// assert_eq!(part_name(7), "part_00000007");
/// assert_eq!(part_number("part_00000007"), Some(7));
/// assert_eq!(part_number("monday_7"), None);
/// ```
pub fn part_name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// The number of the part whose folder has this name; `None` for other names.
pub fn part_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The topic, in a recording, of what a node's student saw in the frames.
pub fn detections_topic(node: &str) -> String {
    format!("{node}{DETECTIONS}")
}

/// The topic, in a recording, of why a node kept each frame (`std_msgs/msg/String`, JSON).
pub fn reasons_topic(node: &str) -> String {
    format!("{node}/recorded")
}

/// The node whose [`detections_topic`] this may be; it is, where the recording has the node's [`reasons_topic`], too.
pub fn node_of_detections(topic: &str) -> Option<&str> {
    topic.strip_suffix(DETECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for number in [0, 1, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(part_number(&part_name(number)), Some(number));
        }
        for name in ["part_", "part_-1", "part_+1", "part_1x", "part_99999999999999999999999", "../part_1", ".part_1"] {
            assert_eq!(part_number(name), None, "{name}");
        }
    }
}
