//! The classes as a latched message.

use super::clock;
use crate::messages::{Header, LabelInfo, Time, VisionClass};

/// `vision_msgs/msg/LabelInfo` of the classes, whose numbers begin with `first`.
pub(super) fn label_info(classes: &[String], first: u16, threshold: f32) -> Vec<u8> {
    let header = Header { stamp: Time::from_nanoseconds(clock::now()), frame_id: "" };
    let numbered = classes.iter().zip(first..=u16::MAX);
    let class_map = numbered.map(|(name, number)| VisionClass { class_id: number, class_name: name }).collect();
    LabelInfo { header, class_map, threshold }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_from_the_first() {
        let bytes = label_info(&["person".into(), "pallet".into()], 1, 0.5);
        let labels = LabelInfo::decode(&bytes).unwrap();
        let map: Vec<(u16, &str)> = labels.class_map.iter().map(|class| (class.class_id, class.class_name)).collect();
        assert_eq!(map, [(1, "person"), (2, "pallet")]);
    }
}
