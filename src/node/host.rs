//! What every node of this package begins and ends with: the r2r node, its parameters, topics by name, diagnostics.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt, StreamExt, stream::LocalBoxStream};
use r2r::{
    Publisher, PublisherUntyped, QosProfile, WrappedTypesupport,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus},
};
use tokio::task::JoinHandle;

use super::{
    clock,
    parameters::{Guarded, NodeParameters},
};

/// How long the spinning thread waits for messages before it looks at other things.
pub(super) const SPIN: Duration = Duration::from_millis(20);
/// How often diagnostics are published.
pub(super) const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// Messages of a sensor that the middleware may hold for the spinning thread, which takes them all at once: deep enough that what
/// is dropped is dropped, and counted, by us.
const DEPTH: usize = 4;

/// CDR bytes of the messages of one subscription.
pub(super) type MessageStream = LocalBoxStream<'static, Vec<u8>>;

/// A running ROS 2 node with parameters of type `P`.
pub(super) struct Host<P> {
    /// The node; only the thread that has it may use it.
    pub(super) node: r2r::Node,
    /// Fully qualified name.
    pub(super) name: String,
    parameters: Arc<Mutex<P>>,
    handler: JoinHandle<()>,
    diagnostics: Publisher<DiagnosticArray>,
}

impl<P: NodeParameters> Host<P> {
    /// Joins ROS 2 and reads the parameters. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Parameters of a wrong type, or a ROS 2 that refuses the node.
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        let context =
            r2r::Context::create().context("ROS 2 refuses a context; look at the arguments after --ros-args")?;
        let mut node = r2r::Node::create(context, name, "").context("ROS 2 refuses the node")?;
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
        Ok(Self { node, name, parameters, handler, diagnostics })
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
    /// Listens to a topic and gets its messages as bytes.
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn subscribe(&mut self, topic: &str, type_name: &str, qos: QosProfile) -> anyhow::Result<MessageStream> {
        let stream = self.node.subscribe_raw(topic, type_name, qos).with_context(|| refused(topic))?;
        Ok(stream.boxed_local())
    }

    /// Offers a topic whose messages are given as bytes.
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn advertise(
        &mut self,
        topic: &str,
        type_name: &str,
        qos: QosProfile,
    ) -> anyhow::Result<PublisherUntyped> {
        self.node.create_publisher_untyped(topic, type_name, qos).with_context(|| refused(topic))
    }

    /// Offers a topic of r2r's own messages.
    ///
    /// # Errors
    /// A name that ROS 2 refuses.
    pub(super) fn advertise_typed<T: WrappedTypesupport>(
        &mut self,
        topic: &str,
        qos: QosProfile,
    ) -> anyhow::Result<Publisher<T>> {
        self.node.create_publisher(topic, qos).with_context(|| refused(topic))
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
        drop(self.diagnostics);
        drop(self.node);
    }
}

/// Takes all messages that wait in a stream.
pub(super) fn drain(stream: &mut MessageStream, mut each: impl FnMut(Vec<u8>)) {
    while let Some(Some(message)) = stream.next().now_or_never() {
        each(message);
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
