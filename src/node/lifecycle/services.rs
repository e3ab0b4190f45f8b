//! What a managed node says of itself and is asked for, by the names that `ros2 lifecycle` and lifecycle managers know.
//!
//! | name | type |
//! |---|---|
//! | `~/change_state` | lifecycle_msgs/srv/ChangeState, answered when the transition is over |
//! | `~/get_state` | lifecycle_msgs/srv/GetState, answered at once, also while a transition is under way |
//! | `~/get_available_states` | lifecycle_msgs/srv/GetAvailableStates |
//! | `~/get_available_transitions`, `~/get_transition_graph` | lifecycle_msgs/srv/GetAvailableTransitions |
//! | `~/transition_event` | lifecycle_msgs/msg/TransitionEvent, reliable, depth 10 |

use anyhow::Context as _;
use futures::{FutureExt, StreamExt, stream::LocalBoxStream};
use r2r::{
    Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport,
    lifecycle_msgs::{
        msg,
        srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState},
    },
};

use super::{
    machine::StateMachine,
    state::State,
    transition::{GRAPH, Transition},
};
use crate::node::clock;

/// Requests to one service.
pub(in crate::node) type Requests<S> = LocalBoxStream<'static, ServiceRequest<S>>;
/// A request to change the state, which waits for its answer.
pub(super) type ChangeRequest = ServiceRequest<ChangeState::Service>;

/// The services and the topic of a managed node.
pub(super) struct Services {
    change_state: Requests<ChangeState::Service>,
    state: Requests<GetState::Service>,
    states: Requests<GetAvailableStates::Service>,
    transitions: Requests<GetAvailableTransitions::Service>,
    graph: Requests<GetAvailableTransitions::Service>,
    events: Publisher<msg::TransitionEvent>,
}

impl Services {
    /// Offers all of them.
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    pub(super) fn create(node: &mut r2r::Node) -> anyhow::Result<Self> {
        let events = node.create_publisher("~/transition_event", QosProfile::default());
        Ok(Self {
            events: events.context("ROS 2 refuses the topic ~/transition_event")?,
            change_state: offer(node, "~/change_state")?,
            state: offer(node, "~/get_state")?,
            states: offer(node, "~/get_available_states")?,
            transitions: offer(node, "~/get_available_transitions")?,
            graph: offer(node, "~/get_transition_graph")?,
        })
    }

    /// Answers everything that only looks.
    pub(super) fn answer(&mut self, machine: &StateMachine) {
        while let Some(request) = waiting(&mut self.state) {
            respond(request, GetState::Response { current_state: state(machine.state()) });
        }
        while let Some(request) = waiting(&mut self.states) {
            let available_states = State::ALL.into_iter().map(state).collect();
            respond(request, GetAvailableStates::Response { available_states });
        }
        while let Some(request) = waiting(&mut self.transitions) {
            let available_transitions = machine.available().map(description).collect();
            respond(request, GetAvailableTransitions::Response { available_transitions });
        }
        while let Some(request) = waiting(&mut self.graph) {
            let available_transitions = GRAPH.iter().map(description).collect();
            respond(request, GetAvailableTransitions::Response { available_transitions });
        }
    }

    /// The next request to change the state, if one waits.
    pub(super) fn next_change(&mut self) -> Option<ChangeRequest> {
        waiting(&mut self.change_state)
    }

    /// Tells everybody of a transition.
    pub(super) fn announce(&self, way: &Transition) {
        let msg::TransitionDescription { transition, start_state, goal_state } = description(way);
        let timestamp = u64::try_from(clock::now()).unwrap_or(0);
        let event = msg::TransitionEvent { timestamp, transition, start_state, goal_state };
        if let Err(error) = self.events.publish(&event) {
            tracing::warn!("the transition to {} cannot be told: {error}", way.goal.label());
        }
    }
}

/// Answers a request to change the state.
pub(super) fn answer_change(request: ChangeRequest, success: bool) {
    respond(request, ChangeState::Response { success });
}

/// Offers a service.
///
/// # Errors
/// When ROS 2 refuses it.
pub(in crate::node) fn offer<S: WrappedServiceTypeSupport + 'static>(
    node: &mut r2r::Node,
    name: &str,
) -> anyhow::Result<Requests<S>> {
    let requests = node.create_service::<S>(name, QosProfile::services_default());
    Ok(requests.with_context(|| format!("ROS 2 refuses the service {name}"))?.boxed_local())
}

/// The next request, if one waits.
pub(in crate::node) fn waiting<S: WrappedServiceTypeSupport>(requests: &mut Requests<S>) -> Option<ServiceRequest<S>> {
    requests.next().now_or_never().flatten()
}

/// Answers a request.
pub(in crate::node) fn respond<S: WrappedServiceTypeSupport + 'static>(
    request: ServiceRequest<S>,
    response: S::Response,
) {
    // Whoever asked may be gone by now.
    if let Err(error) = request.respond(response) {
        tracing::debug!("an answer of a service is lost: {error}");
    }
}

fn state(state: State) -> msg::State {
    msg::State { id: state.id(), label: state.label().to_owned() }
}

fn description(way: &Transition) -> msg::TransitionDescription {
    msg::TransitionDescription {
        transition: msg::Transition { id: way.id, label: way.label.to_owned() },
        start_state: state(way.start),
        goal_state: state(way.goal),
    }
}
