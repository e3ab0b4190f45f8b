//! What every node of this package begins and ends with: the r2r node, its parameters, topics by name, diagnostics.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt as _;
use r2r::{
    Publisher, PublisherUntyped, QosProfile, WrappedTypesupport,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus},
};
use tokio::task::JoinHandle;

use super::{
    clock,
    context::context,
    parameters::{Guarded, NodeParameters},
    subscriptions::{Subscription, Subscriptions},
};

/// How long the spinning thread waits for messages before it looks at other things.
pub(super) const SPIN: Duration = Duration::from_millis(20);
/// How often diagnostics are published.
pub(super) const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// Messages of a sensor that the middleware may hold for the spinning thread, which takes them all at once: deep enough that what
/// is dropped is dropped, and counted, by us.
const DEPTH: usize = 4;

/// Takes a publisher away from the node.
type Withdrawal = Box<dyn FnOnce(&mut r2r::Node)>;

/// A running ROS 2 node with parameters of type `P`.
pub(super) struct Host<P> {
    /// The node; only the thread that has it may use it.
    pub(super) node: r2r::Node,
    /// Fully qualified name.
    pub(super) name: String,
    parameters: Arc<Mutex<P>>,
    handler: JoinHandle<()>,
    diagnostics: Publisher<DiagnosticArray>,
    subscriptions: Subscriptions,
    offered: Vec<Withdrawal>,
}

impl<P: NodeParameters> Host<P> {
    /// Joins ROS 2 and reads the parameters. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Parameters of a wrong type, or a ROS 2 that refuses the node.
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        let mut node = r2r::Node::create(context()?, name, "").context("ROS 2 refuses the node")?;
        let name = node.fully_qualified_name().context("the node has no name")?;
        let parameters = Arc::new(Mutex::new(P::default()));
        let guarded = Arc::new(Mutex::new(Guarded::new(parameters.clone())));
        let (handler, _events) =
            node.make_derived_parameter_handler(guarded).context("a parameter has the wrong type")?;
        // r2r panics when it cannot answer somebody.
        let handler = tokio::spawn(AssertUnwindSafe(handler).catch_unwind().map(|ended| {
            if ended.is_err() {
                tracing::error!(
                    "the parameter services ended by a fault; the node goes on with its parameters as they are"
                );
            }
        }));
        let diagnostics =
            node.create_publisher("/diagnostics", reliable(5)).with_context(|| refused("/diagnostics"))?;
        let subscriptions = Subscriptions::default();
        Ok(Self { node, name, parameters, handler, diagnostics, subscriptions, offered: Vec::new() })
    }

    /// The parameters as they are now.
    pub(super) fn parameters(&self) -> P {
        lock(&self.parameters).clone()
    }

    /// The parameters for another thread, which sees them change.
    pub(super) fn shared_parameters(&self) -> Arc<Mutex<P>> {
        self.parameters.clone()
    }
}

impl<P> Host<P> {
    /// Waits for messages, at most so long, and takes them in.
    pub(super) fn spin(&mut self, patience: Duration) {
        self.node.spin_once(patience);
        self.subscriptions.drain();
    }

    /// Listens to a topic and gets its messages as bytes.
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn subscribe(&mut self, topic: &str, type_name: &str, qos: QosProfile) -> anyhow::Result<Subscription> {
        self.subscriptions.take(&mut self.node, topic, type_name, qos).with_context(|| refused(topic))
    }

    /// Takes back a subscription that is not used any more.
    pub(super) fn unsubscribe(&mut self, subscription: Subscription) {
        self.subscriptions.put(subscription);
    }

    /// Ends the subscriptions that were taken back and not wanted again.
    pub(super) fn release_idle(&mut self) {
        self.subscriptions.clear();
    }

    /// Offers a topic whose messages are given as bytes, until [`Self::withdraw`].
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn advertise(
        &mut self,
        topic: &str,
        type_name: &str,
        qos: QosProfile,
    ) -> anyhow::Result<PublisherUntyped> {
        let publisher = self.node.create_publisher_untyped(topic, type_name, qos).with_context(|| refused(topic))?;
        let offered = publisher.clone();
        self.offered.push(Box::new(move |node| node.destroy_publisher_untyped(offered)));
        Ok(publisher)
    }

    /// Offers a topic of r2r's own messages, until [`Self::withdraw`].
    ///
    /// # Errors
    /// A name that ROS 2 refuses.
    pub(super) fn advertise_typed<T: WrappedTypesupport + 'static>(
        &mut self,
        topic: &str,
        qos: QosProfile,
    ) -> anyhow::Result<Publisher<T>> {
        let publisher = self.node.create_publisher::<T>(topic, qos).with_context(|| refused(topic))?;
        let offered = publisher.clone();
        self.offered.push(Box::new(move |node| node.destroy_publisher(offered)));
        Ok(publisher)
    }

    /// Takes back all topics that were offered.
    pub(super) fn withdraw(&mut self) {
        for withdrawal in self.offered.drain(..) {
            withdrawal(&mut self.node);
        }
    }

    /// Publishes diagnostics, stamped with the system's clock.
    pub(super) fn tell(&self, status: Vec<DiagnosticStatus>) {
        let mut message = DiagnosticArray { status, ..Default::default() };
        message.header.stamp = clock::ros_time(clock::now());
        if let Err(error) = self.diagnostics.publish(&message) {
            tracing::warn!("diagnostics cannot be published: {error}");
        }
    }

    /// Leaves ROS 2. All other users of the node's publishers must have ended.
    pub(super) fn end(self) {
        self.handler.abort();
        drop((self.diagnostics, self.subscriptions, self.offered));
        drop(self.node);
    }
}

/// The newest few messages of a sensor, resent if lost only where that is wanted.
pub(super) fn sensor(is_reliable: bool) -> QosProfile {
    let qos = QosProfile::default().keep_last(DEPTH);
    if is_reliable { qos.reliable() } else { qos.best_effort() }
}

/// So many messages, resent if lost.
pub(super) fn reliable(depth: usize) -> QosProfile {
    QosProfile::default().keep_last(depth).reliable()
}

/// The newest message, also for those who come later.
pub(super) fn latched() -> QosProfile {
    reliable(1).transient_local()
}

/// The newest message, for people who look on.
pub(super) fn casual() -> QosProfile {
    QosProfile::default().keep_last(1).best_effort()
}

/// A lock that a fault elsewhere cannot take away: everything behind these is plain values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(topic: &str) -> String {
    format!("ROS 2 refuses the topic {topic}")
}
