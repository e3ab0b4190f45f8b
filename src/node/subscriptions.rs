//! Subscriptions that are let go of and taken up again.

use futures::{FutureExt, StreamExt, stream::LocalBoxStream};
use r2r::QosProfile;

/// One subscription, whose messages come as CDR bytes.
pub(super) struct Subscription {
    topic: String,
    type_name: String,
    qos: QosProfile,
    messages: LocalBoxStream<'static, Vec<u8>>,
}

impl Subscription {
    /// Takes all messages that wait.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Vec<u8>)) {
        while let Some(Some(message)) = self.messages.next().now_or_never() {
            each(message);
        }
    }
}

/// The subscriptions that nobody uses just now. r2r frees a subscription only when its next message comes, which for many topics is
/// never; a node that is configured again and again would have more and more of them.
#[derive(Default)]
pub(super) struct Subscriptions {
    idle: Vec<Subscription>,
}

impl Subscriptions {
    /// An idle subscription of that kind, or a new one.
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn take(
        &mut self,
        node: &mut r2r::Node,
        topic: &str,
        type_name: &str,
        qos: QosProfile,
    ) -> r2r::Result<Subscription> {
        let is_wanted = |idle: &Subscription| idle.topic == topic && idle.type_name == type_name && idle.qos == qos;
        if let Some(place) = self.idle.iter().position(is_wanted) {
            return Ok(self.idle.swap_remove(place));
        }
        let messages = node.subscribe_raw(topic, type_name, qos.clone())?.boxed_local();
        Ok(Subscription { topic: topic.to_owned(), type_name: type_name.to_owned(), qos, messages })
    }

    /// Keeps a subscription that nobody uses any more.
    pub(super) fn put(&mut self, subscription: Subscription) {
        self.idle.push(subscription);
    }

    /// Forgets what idle subscriptions hear.
    pub(super) fn drain(&mut self) {
        for idle in &mut self.idle {
            idle.drain(drop);
        }
    }

    /// Ends the idle subscriptions.
    pub(super) fn clear(&mut self) {
        self.idle.clear();
    }
}
