//! What every node of this package begins and ends with: the r2r node, its parameters, topics by name, diagnostics.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use r2r::{
    Parameter, ParameterValue, Publisher, PublisherUntyped, QosProfile, WrappedTypesupport,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus},
};

use super::{
    clock,
    context::context,
    parameters::{NodeParameters, ParameterServices, TopicEnd},
    subscriptions::{Subscription, Subscriptions},
    topic_names::TopicNames,
};

/// How long the spinning thread waits for messages before it looks at other things.
pub(super) const SPIN: Duration = Duration::from_millis(20);
/// How often diagnostics are published.
pub(super) const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// Messages of a sensor that the middleware may hold for the spinning thread, which takes them all at once: deep enough that what
/// is dropped is dropped, and counted, by us.
const DEPTH: usize = 4;

/// What a node is called, and the values that it starts with. The command line (`--ros-args`) has the last word on all of it.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeOptions {
    /// Name without namespace.
    pub(super) name: String,
    /// With a slash before it; empty: none.
    pub(super) namespace: String,
    /// Parameters by their names, each at most once.
    pub(super) parameters: Vec<(String, ParameterValue)>,
}

impl NodeOptions {
    /// A node that knows nothing but its name.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// Takes a publisher away from the node.
type Withdrawal = Box<dyn FnOnce(&mut r2r::Node)>;

/// A running ROS 2 node with parameters of type `P`.
pub(super) struct Host<P> {
    /// The node; only the thread that has it may use it.
    pub(super) node: r2r::Node,
    /// Fully qualified name.
    pub(super) name: String,
    names: TopicNames,
    parameters: ParameterServices<P>,
    diagnostics: Publisher<DiagnosticArray>,
    subscriptions: Subscriptions,
    offered: Vec<Withdrawal>,
}

impl<P: NodeParameters> Host<P> {
    /// Joins ROS 2 and reads the parameters.
    ///
    /// # Errors
    /// Parameters of a wrong type, or a ROS 2 that refuses the node.
    pub(super) fn create(options: &NodeOptions) -> anyhow::Result<Self> {
        // Tables of rcl that all nodes of a process share have no locks of their own.
        static CREATING: Mutex<()> = Mutex::new(());
        let _alone = lock(&CREATING);
        let mut node =
            r2r::Node::create(context()?, &options.name, &options.namespace).context("ROS 2 refuses the node")?;
        {
            let mut given = lock(&node.params);
            for (name, value) in &options.parameters {
                given.entry(name.clone()).or_insert_with(|| Parameter::new(value.clone()));
            }
        }
        let name = node.fully_qualified_name().context("the node has no name")?;
        let parameters = ParameterServices::create(&mut node, name.clone())?;
        let names = TopicNames::new(&node.namespace()?, &node.name()?, std::env::args());
        let diagnostics =
            node.create_publisher("/diagnostics", reliable(5)).with_context(|| refused("/diagnostics"))?;
        let subscriptions = Subscriptions::default();
        Ok(Self { node, name, names, parameters, diagnostics, subscriptions, offered: Vec::new() })
    }

    /// The parameters as they are now.
    pub(super) fn parameters(&self) -> P {
        lock(&self.parameters.shared()).clone()
    }

    /// The parameters for another thread, which sees them change.
    pub(super) fn shared_parameters(&self) -> Arc<Mutex<P>> {
        self.parameters.shared()
    }

    /// Whether ROS time comes from `/clock`, so that the system's clock says nothing of stamps.
    pub(super) fn has_simulated_time(&self) -> bool {
        self.parameters.use_sim_time()
    }

    /// The full name of a topic.
    pub(super) fn full_name(&self, topic: &str) -> String {
        self.names.full(topic)
    }

    /// The quality of service that a topic is listened to with when `qos` is asked for.
    pub(super) fn subscription_qos(&self, topic: &str, qos: QosProfile) -> QosProfile {
        self.parameters.qos().overridden(&self.full_name(topic), TopicEnd::Subscription, qos)
    }

    /// Waits for messages and requests, at most so long, takes the messages in and answers what was asked about parameters.
    pub(super) fn spin(&mut self, patience: Duration) {
        self.node.spin_once(patience);
        self.subscriptions.drain();
        self.parameters.answer(&mut self.node);
    }

    /// Listens to a topic and gets its messages as bytes. As for everything that is offered, `qos_overrides` have the last word.
    ///
    /// # Errors
    /// A name or type that ROS 2 refuses.
    pub(super) fn subscribe(&mut self, topic: &str, type_name: &str, qos: QosProfile) -> anyhow::Result<Subscription> {
        let name = self.full_name(topic);
        let qos = self.subscription_qos(topic, qos);
        let taken = self.subscriptions.take(&mut self.node, topic, type_name, qos.clone());
        let subscription = taken.with_context(|| refused(topic))?;
        self.parameters.qos_mut().show(&name, TopicEnd::Subscription, &qos);
        Ok(subscription)
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
        let name = self.full_name(topic);
        let qos = self.parameters.qos().overridden(&name, TopicEnd::Publisher, qos);
        let created = self.node.create_publisher_untyped(topic, type_name, qos.clone());
        let publisher = created.with_context(|| refused(topic))?;
        self.parameters.qos_mut().show(&name, TopicEnd::Publisher, &qos);
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
        let name = self.full_name(topic);
        let qos = self.parameters.qos().overridden(&name, TopicEnd::Publisher, qos);
        let publisher = self.node.create_publisher::<T>(topic, qos.clone()).with_context(|| refused(topic))?;
        self.parameters.qos_mut().show(&name, TopicEnd::Publisher, &qos);
        let offered = publisher.clone();
        self.offered.push(Box::new(move |node| node.destroy_publisher(offered)));
        Ok(publisher)
    }

    /// Warns of `qos_overrides` for topics that the node does not have.
    pub(super) fn warn_of_unused_overrides(&self) {
        let (unused, topics) = self.parameters.qos().unused();
        for name in unused {
            tracing::warn!("parameter {name} is of no use: {} has {} alone", self.name, topics.join(", "));
        }
    }

    /// Takes back all topics that were offered. Those that were listened to have been given back before.
    pub(super) fn withdraw(&mut self) {
        self.parameters.qos_mut().forget_topics();
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
        drop((self.parameters, self.diagnostics, self.subscriptions, self.offered));
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

/// Whether anybody listens to a topic, in this process or another. It costs a lock and a count; where it cannot be told, somebody may.
pub(super) fn is_heard(topic: &PublisherUntyped) -> bool {
    topic.get_inter_process_subscription_count().unwrap_or(1) > 0
}

/// A lock that a fault elsewhere cannot take away: everything behind these is plain values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(topic: &str) -> String {
    format!("ROS 2 refuses the topic {topic}")
}
