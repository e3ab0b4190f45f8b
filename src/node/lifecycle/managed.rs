//! What a node does in its transitions.

use std::time::Duration;

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use super::state::Activity;
use crate::node::{
    host::{Host, SPIN},
    parameters::NodeParameters,
};

/// Work of a transition that the spinning thread does not wait for.
pub(in crate::node) type Job<T> = Box<dyn FnOnce() -> anyhow::Result<T> + Send>;

/// A closure as work.
pub(in crate::node) fn job<T>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> Job<T> {
    Box::new(work)
}

/// A node that does what a lifecycle manager says. All functions are called by the spinning thread and must be quick; what takes
/// longer is given back as a [`Job`]. Publishing is for active nodes alone.
pub(in crate::node) trait Managed {
    /// Its parameters.
    type Parameters: NodeParameters;
    /// What a job brings.
    type Product: Send + 'static;
    /// What it does, for the name of its diagnostics.
    const ABOUT: &'static str;

    /// Begins a transition's work. Shutting down and processing an error can come in any state, also twice.
    ///
    /// # Errors
    /// Whatever makes the transition fail.
    fn begin(&mut self, activity: Activity, host: &mut Host<Self::Parameters>) -> anyhow::Result<Job<Self::Product>>;

    /// Ends a transition with what the job brought.
    ///
    /// # Errors
    /// Whatever makes the transition fail.
    fn end(
        &mut self,
        activity: Activity,
        product: Self::Product,
        host: &mut Host<Self::Parameters>,
    ) -> anyhow::Result<()>;

    /// Takes what came in; uses and publishes it only while the node is active.
    ///
    /// # Errors
    /// What the node cannot go on after.
    fn turn(&mut self, is_active: bool, host: &mut Host<Self::Parameters>) -> anyhow::Result<()>;

    /// How long an active node may wait for messages until the next [`Self::turn`].
    fn patience(&self) -> Duration {
        SPIN
    }

    /// What diagnostics say while the node is active; `name` is its full name.
    fn diagnostics(&mut self, name: &str) -> Vec<DiagnosticStatus>;
}
