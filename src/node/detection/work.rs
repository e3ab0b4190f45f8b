//! What differs between the detectors.

use std::sync::Arc;

use crate::{
    messages::Header,
    model::StageTiming,
    node::{
        host::Host,
        onlooker::{ModelIdentity, SightKind, Sighting},
        parameters::DetectorParameters,
        watch::Settings,
    },
};

/// What a detector does with the messages of its sensor, and what its models are. The topics are in the value; models come and go.
pub(in crate::node) trait Work: Send + Sized + 'static {
    /// What one message is called in logs and diagnostics.
    const NOUN: &'static str;
    /// What the places of its sightings are.
    const KIND: SightKind;
    /// What the parameters are called that mend what is wrong with the sensor's topic.
    const SETTINGS: Settings;
    /// The node's parameters.
    type Parameters: DetectorParameters;
    /// A model that is ready to run.
    type Model: Send + 'static;
    /// A message ready for the model.
    type Decoded: Clone + Send + 'static;
    /// What a model finds in it.
    type Found;

    /// Checks the parameters, loads the model, tests it on its own samples and runs it a few times. It may take long.
    ///
    /// # Errors
    /// Parameters that make no sense, or a model that cannot be run or does not pass.
    fn load(parameters: &Self::Parameters) -> anyhow::Result<Self::Model>;

    /// What the node listens to.
    ///
    /// # Errors
    /// Parameters that make no sense.
    fn source(parameters: &Self::Parameters) -> anyhow::Result<Source>;

    /// The message of `~/label_info`.
    fn labels(model: &Self::Model) -> Vec<u8>;

    /// What is known of a model.
    fn identity(model: &Self::Model) -> ModelIdentity;

    /// Offers the topics.
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    fn create(parameters: &Self::Parameters, host: &mut Host<Self::Parameters>) -> anyhow::Result<Self>;

    /// Reads a message.
    ///
    /// # Errors
    /// A message that makes no sense; it costs the message.
    fn decode<'m>(&self, message: &'m [u8]) -> anyhow::Result<(Header<'m>, Self::Decoded)>;

    /// Finds what is in it, by the thresholds of the parameters.
    ///
    /// # Errors
    /// A model that fails; it costs the message.
    fn detect(
        model: &mut Self::Model,
        decoded: &Self::Decoded,
        parameters: &Self::Parameters,
    ) -> anyhow::Result<Self::Found>;

    /// What the model needed for it.
    fn timing(found: &Self::Found) -> StageTiming;

    /// Publishes what was found; `classes` are the model's.
    ///
    /// # Errors
    /// When ROS 2 refuses the message; it costs the message.
    fn publish(
        &mut self,
        header: Header<'_>,
        decoded: &Self::Decoded,
        found: &Self::Found,
        classes: &[String],
    ) -> anyhow::Result<()>;

    /// Publishes what is for people, where somebody looks. Everybody else is done with the message.
    ///
    /// # Errors
    /// When ROS 2 refuses the message; it costs nothing else.
    fn illustrate(
        &mut self,
        header: Header<'_>,
        decoded: Self::Decoded,
        found: &Self::Found,
        classes: &[String],
    ) -> anyhow::Result<()>;

    /// What was found, as onlookers want it.
    fn sightings(decoded: &Self::Decoded, found: &Self::Found) -> Vec<Sighting>;

    /// Whether anybody listens to what is found.
    fn is_listened_to(&self) -> bool;
}

/// What a detector listens to.
pub(in crate::node) struct Source {
    /// The topic.
    pub(in crate::node) topic: String,
    /// Type of its messages.
    pub(in crate::node) type_name: &'static str,
    /// Whether lost messages are sent again.
    pub(in crate::node) is_reliable: bool,
}

/// A model that can take its place at once, with what is known of it.
pub(super) struct Ready<M> {
    /// The model.
    pub(super) model: M,
    /// What is known of it.
    pub(super) identity: Arc<ModelIdentity>,
    /// The message of `~/label_info`.
    pub(super) labels: Vec<u8>,
}

impl<M> Ready<M> {
    /// A loaded model.
    pub(super) fn of<W: Work<Model = M>>(model: M) -> Self {
        Self { identity: Arc::new(W::identity(&model)), labels: W::labels(&model), model }
    }
}
