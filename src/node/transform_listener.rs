//! `/tf` and `/tf_static` into a buffer, as tf2's listener does it.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `/tf` | tf2_msgs/msg/TFMessage | reliable, volatile, depth 100 |
//! | `/tf_static` | tf2_msgs/msg/TFMessage | reliable, latched, depth 100 |
//!
//! Robots that share a network remap these as everywhere: `--ros-args -r /tf:=tf -r /tf_static:=tf_static`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt};
use r2r::QosProfile;

use super::{host::lock, warnings::Warnings};
use crate::{
    messages::{DecodeError, TFMessage},
    sensing::transforms::{TransformBuffer, TransformError},
};

/// How long transforms are kept, as in tf2.
const KEEP: Duration = Duration::from_secs(10);
/// Messages that the middleware may hold, as in tf2.
const DEPTH: usize = 100;

/// Messages as they come from ROS 2.
type RawMessages = Box<dyn Stream<Item = Vec<u8>> + Unpin + Send>;

/// Fills a [`TransformBuffer`] with what a node hears on `/tf` and `/tf_static`.
///
/// The thread that spins the node calls [`drain`](Self::drain) after every `spin_once`: a stream of r2r holds ten messages and
/// drops the newest when it is full. Other threads look transforms up in the [`buffer`](Self::buffer). Drop the listener before the
/// node.
pub struct TransformListener {
    moving: RawMessages,
    fixed: RawMessages,
    intake: Intake,
}

impl TransformListener {
    /// Subscribes to both topics.
    ///
    /// # Errors
    /// When ROS 2 refuses a topic.
    pub fn subscribe(node: &mut r2r::Node) -> r2r::Result<Self> {
        let qos = QosProfile::default().keep_last(DEPTH).reliable();
        let fixed = node.subscribe_raw("/tf_static", TFMessage::TYPE_NAME, qos.clone().transient_local())?;
        let moving = node.subscribe_raw("/tf", TFMessage::TYPE_NAME, qos.volatile())?;
        Ok(Self { moving: Box::new(moving), fixed: Box::new(fixed), intake: Intake::new() })
    }

    /// Puts all waiting messages into the buffer, and tells how many there were. What cannot be used is left out, counted, and
    /// logged every few seconds.
    pub fn drain(&mut self) -> usize {
        let mut taken = 0;
        for (messages, is_static) in [(&mut self.fixed, true), (&mut self.moving, false)] {
            while let Some(Some(message)) = messages.next().now_or_never() {
                // What cannot be used is counted and logged there.
                let _ = self.intake.take(&message, is_static);
                taken += 1;
            }
        }
        taken
    }

    /// The buffer, which others may look into. Hold the lock only for look-ups.
    pub fn buffer(&self) -> Arc<Mutex<TransformBuffer>> {
        self.intake.buffer.clone()
    }

    /// How many messages could not be read, and transforms not be used.
    pub fn refused(&self) -> u64 {
        self.intake.refused
    }

    /// How often time jumped back, and what moved was forgotten.
    pub fn jumps(&self) -> u64 {
        self.intake.jumps
    }
}

/// What of a message cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// All of it.
    Message(DecodeError),
    /// One of its transforms, the first of them.
    Transform(TransformError),
}

/// What is done with each message, whoever brings it.
pub(super) struct Intake {
    /// The buffer that is filled.
    pub(super) buffer: Arc<Mutex<TransformBuffer>>,
    refused: u64,
    jumps: u64,
    warnings: Warnings,
}

impl Intake {
    /// Nothing was taken in yet.
    pub(super) fn new() -> Self {
        Self {
            buffer: Arc::new(Mutex::new(TransformBuffer::new(KEEP))),
            refused: 0,
            jumps: 0,
            warnings: Warnings::default(),
        }
    }

    /// Takes in a message of `/tf_static` or `/tf`; tells what of it cannot be used, which is counted and logged as well.
    pub(super) fn take(&mut self, message: &[u8], is_static: bool) -> Result<(), Unusable> {
        let topic = if is_static { "/tf_static" } else { "/tf" };
        let message = match TFMessage::decode(message) {
            Ok(message) => message,
            Err(error) => {
                self.refuse(1, &format!("a message of {topic} is lost: {error}"));
                return Err(Unusable::Message(error));
            }
        };
        let mut buffer = lock(&self.buffer);
        let failures: Vec<TransformError> =
            message.transforms.iter().filter_map(|transform| buffer.insert(transform, is_static).err()).collect();
        let jumps = buffer.jumps();
        drop(buffer);
        if jumps > self.jumps {
            self.jumps = jumps;
            tracing::warn!(
                "time on {topic} jumped back by more than {} s (a recording that starts again, a simulation that is reset): what \
                 was known of moving frames is forgotten",
                KEEP.as_secs()
            );
        }
        let count = failures.len() as u64;
        match failures.into_iter().next() {
            Some(error) => {
                self.refuse(count, &format!("{topic}: {error}"));
                Err(Unusable::Transform(error))
            }
            None => Ok(()),
        }
    }

    fn refuse(&mut self, count: u64, text: &str) {
        self.refused = self.refused.saturating_add(count);
        self.warnings.warn(&format!("{text} ({} refused so far)", self.refused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Header, Time, Transform, TransformStamped};

    fn message(parent: &str, child: &str, sec: i32) -> Vec<u8> {
        let header = Header { stamp: Time { sec, nanosec: 0 }, frame_id: parent };
        let transform = TransformStamped { header, child_frame_id: child, transform: Transform::default() };
        TFMessage { transforms: vec![transform] }.encode()
    }

    #[test]
    fn messages_fill_the_buffer() {
        let mut intake = Intake::new();
        intake.take(&message("base_link", "lidar", 0), true).unwrap();
        for sec in [100, 101] {
            intake.take(&message("odom", "base_link", sec), false).unwrap();
        }
        let buffer = intake.buffer.clone();
        assert!(buffer.lock().unwrap().lookup("odom", "lidar", 100_500_000_000).is_ok());
        assert_eq!((intake.refused, intake.jumps), (0, 0));
    }

    #[test]
    fn what_cannot_be_used_is_counted_and_the_rest_kept() {
        let mut intake = Intake::new();
        assert!(matches!(intake.take(&[0, 1, 0, 0, 9, 9], false), Err(Unusable::Message(_))));
        assert!(matches!(intake.take(&message("odom", "odom", 1), false), Err(Unusable::Transform(_))));
        intake.take(&message("odom", "base_link", 1), false).unwrap();
        assert_eq!(intake.refused, 2);
        assert_eq!(intake.buffer.lock().unwrap().frames(), ["base_link", "odom"]);
    }

    #[test]
    fn jumps_of_time_are_counted() {
        let mut intake = Intake::new();
        for sec in [100, 5, 100, 50] {
            intake.take(&message("odom", "base_link", sec), false).unwrap();
        }
        assert_eq!(intake.jumps, 2);
    }
}
