//! The classes as a latched message.

use std::sync::Mutex;

use super::{clock, host::lock};
use crate::messages::{Header, LabelInfo, Time, VisionClass};

/// `vision_msgs/msg/LabelInfo` of the classes, whose numbers begin with `first`.
pub(super) fn label_info(classes: &[String], first: u16, threshold: f32) -> Vec<u8> {
    let header = Header { stamp: Time::from_nanoseconds(clock::now()), frame_id: "" };
    let numbered = classes.iter().zip(first..=u16::MAX);
    let class_map = numbered.map(|(name, number)| VisionClass { class_id: number, class_name: name }).collect();
    LabelInfo { header, class_map, threshold }.encode()
}

/// Publishes a message.
type Publish = Box<dyn Fn(&[u8]) -> r2r::Result<()> + Send>;

/// The topic with the classes of the model that is at work: told when the node becomes active, and whenever another model takes its place
/// then.
pub(super) struct LabelTopic(Mutex<Told>);

struct Told {
    publish: Publish,
    message: Vec<u8>,
    is_active: bool,
}

impl LabelTopic {
    /// A topic of which nothing is told yet.
    pub(super) fn new(message: Vec<u8>, publish: impl Fn(&[u8]) -> r2r::Result<()> + Send + 'static) -> Self {
        Self(Mutex::new(Told { publish: Box::new(publish), message, is_active: false }))
    }

    /// Tells the classes, and from now on those of each other model at once.
    ///
    /// # Errors
    /// When ROS 2 refuses the message.
    pub(super) fn activate(&self) -> r2r::Result<()> {
        let mut told = lock(&self.0);
        told.is_active = true;
        (told.publish)(&told.message)
    }

    /// Tells nothing from now on.
    pub(super) fn deactivate(&self) {
        lock(&self.0).is_active = false;
    }

    /// Another model is at work.
    ///
    /// # Errors
    /// When ROS 2 refuses the message.
    pub(super) fn change(&self, message: &[u8]) -> r2r::Result<()> {
        let mut told = lock(&self.0);
        told.message = message.to_vec();
        if told.is_active { (told.publish)(message) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_classes_are_told_while_the_node_is_active() {
        let (tell, told) = mpsc::channel();
        let topic = LabelTopic::new(vec![1], move |message: &[u8]| {
            tell.send(message.to_vec()).unwrap();
            Ok(())
        });
        topic.change(&[2]).unwrap();
        topic.activate().unwrap();
        topic.change(&[3]).unwrap();
        topic.deactivate();
        topic.change(&[4]).unwrap();
        topic.activate().unwrap();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn classes_are_numbered_from_the_first() {
        let bytes = label_info(&["person".into(), "pallet".into()], 1, 0.5);
        let labels = LabelInfo::decode(&bytes).unwrap();
        let map: Vec<(u16, &str)> = labels.class_map.iter().map(|class| (class.class_id, class.class_name)).collect();
        assert_eq!(map, [(1, "person"), (2, "pallet")]);
    }
}
