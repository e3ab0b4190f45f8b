//! The state machine of a managed node (design.ros2.org/articles/node_lifecycle.html), as rcl_lifecycle has it. It knows nothing of
//! ROS's middleware and does no work: it says which transitions there are, and where they lead.

use super::{
    state::State,
    transition::{ERROR, FAILURE, GRAPH, SUCCESS, Transition},
};

/// How the work of a transition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Outcome {
    /// It is done.
    Success,
    /// It could not be done, and all is as before.
    Failure,
    /// It went wrong half way.
    Error,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Success => SUCCESS,
            Self::Failure => FAILURE,
            Self::Error => ERROR,
        }
    }
}

/// Why a transition was not begun.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::node) enum Refusal {
    /// Another one is not over.
    #[error("the node is {} just now; ask again when that is over", .0.label())]
    Busy(State),
    /// There is none from here.
    #[error("there is no transition `{wanted}` in state {}; there are: {known}", state.label())]
    Unknown {
        /// The state that the node is in.
        state: State,
        /// The name or number that was asked for.
        wanted: String,
        /// The names and numbers that could be.
        known: String,
    },
}

/// The state of a node, and what may become of it.
#[derive(Debug)]
pub(in crate::node) struct StateMachine {
    state: State,
}

impl StateMachine {
    /// A node that has just been made.
    pub(in crate::node) fn new() -> Self {
        Self { state: State::Unconfigured }
    }

    /// The state now.
    pub(in crate::node) fn state(&self) -> State {
        self.state
    }

    /// The transitions out of the state now.
    pub(in crate::node) fn available(&self) -> impl Iterator<Item = &'static Transition> + use<> {
        let state = self.state;
        GRAPH.iter().filter(move |way| way.start == state)
    }

    /// Begins a transition and says which. As in rclcpp the label decides where one is given, else the number.
    ///
    /// # Errors
    /// A transition that there is none of in this state, or any while another is under way; the state stays.
    pub(in crate::node) fn begin(&mut self, id: u8, label: &str) -> Result<&'static Transition, Refusal> {
        if self.state.activity().is_some() {
            return Err(Refusal::Busy(self.state));
        }
        let is_wanted = |way: &&Transition| if label.is_empty() { way.id == id } else { way.label == label };
        let Some(way) = self.available().find(is_wanted) else {
            let known: Vec<String> = self.available().map(|way| format!("{} ({})", way.label, way.id)).collect();
            let wanted = if label.is_empty() { id.to_string() } else { label.to_owned() };
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refusal::Unknown { state: self.state, wanted, known });
        };
        self.state = way.goal;
        Ok(way)
    }

    /// Ends the work of the transition state and says by which transition; nothing in a primary state.
    pub(in crate::node) fn end(&mut self, outcome: Outcome) -> Option<&'static Transition> {
        self.state.activity()?;
        let way = self.available().find(|way| way.label == outcome.label())?;
        self.state = way.goal;
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::Error];

    fn at(state: State) -> StateMachine {
        StateMachine { state }
    }

    #[test]
    fn a_whole_life() {
        let mut machine = StateMachine::new();
        for (label, goal) in [
            ("configure", State::Inactive),
            ("activate", State::Active),
            ("deactivate", State::Inactive),
            ("cleanup", State::Unconfigured),
            ("configure", State::Inactive),
            ("shutdown", State::Finalized),
        ] {
            machine.begin(0, label).unwrap();
            assert_eq!(machine.end(Outcome::Success).map(|way| way.goal), Some(goal), "{label}");
        }
        assert_eq!(machine.available().count(), 0, "nothing follows the end");
    }

    /// Every state with every number and every label: begun exactly where the graph has a way out of a primary state.
    #[test]
    fn what_the_graph_does_not_have_is_refused_and_changes_nothing() {
        for state in State::ALL {
            for id in 0..=u8::MAX {
                let mut machine = at(state);
                let way = GRAPH.iter().find(|way| way.start == state && way.id == id);
                let expected = way.filter(|_| state.activity().is_none());
                let begun = machine.begin(id, "");
                assert_eq!(begun.as_ref().ok().copied(), expected, "{state:?} {id}");
                assert_eq!(machine.state(), expected.map_or(state, |way| way.goal), "{state:?} {id}");
                if state.activity().is_some() {
                    assert_eq!(begun, Err(Refusal::Busy(state)));
                }
            }
            for label in GRAPH.iter().map(|way| way.label).chain(["create", "destroy", "Configure", " configure"]) {
                let mut machine = at(state);
                let way = GRAPH.iter().find(|way| way.start == state && way.label == label);
                let expected = way.filter(|_| state.activity().is_none());
                assert_eq!(machine.begin(1, label).ok(), expected, "{state:?} {label}: the label decides");
                assert_eq!(machine.state(), expected.map_or(state, |way| way.goal));
            }
        }
    }

    /// Every state with every outcome.
    #[test]
    fn outcomes_end_transition_states_and_nothing_else() {
        for state in State::ALL {
            for outcome in OUTCOMES {
                let mut machine = at(state);
                let way = GRAPH.iter().find(|way| way.start == state && way.label == outcome.label());
                assert_eq!(machine.end(outcome), way, "{state:?} {outcome:?}");
                assert_eq!(way.is_some(), state.activity().is_some());
                assert_eq!(machine.state(), way.map_or(state, |way| way.goal));
            }
        }
        // The outcomes by hand, so that the graph is not held against itself alone.
        let ended = |state: State, outcome| at(state).end(outcome).map(|way| way.goal);
        assert_eq!(ended(State::Configuring, Outcome::Failure), Some(State::Unconfigured));
        assert_eq!(ended(State::Activating, Outcome::Failure), Some(State::Inactive));
        assert_eq!(ended(State::Deactivating, Outcome::Failure), Some(State::Active));
        assert_eq!(ended(State::ShuttingDown, Outcome::Failure), Some(State::Finalized));
        assert_eq!(ended(State::ErrorProcessing, Outcome::Success), Some(State::Unconfigured));
        assert_eq!(ended(State::ErrorProcessing, Outcome::Failure), Some(State::Finalized));
    }

    #[test]
    fn a_refusal_names_what_could_be() {
        let mut machine = StateMachine::new();
        let told = machine.begin(3, "").unwrap_err().to_string();
        assert!(told.contains("`3`") && told.contains("configure (1), shutdown (5)"), "{told}");
        machine.begin(0, "configure").unwrap();
        let told = machine.begin(1, "").unwrap_err().to_string();
        assert!(told.contains("configuring"), "{told}");
        let told = at(State::Finalized).begin(1, "").unwrap_err().to_string();
        assert!(told.contains("none"), "{told}");
    }

    proptest! {
        /// Whatever is asked for and however the work ends: each step is one of the graph's, transition states are left by outcomes
        /// alone, at most two works follow each other, and the end is final.
        #[test]
        fn any_walk_stays_in_the_graph(steps in prop::collection::vec((0_u8..=8, 0_usize..3), 0..200)) {
            let mut machine = StateMachine::new();
            for (id, outcome) in steps {
                let before = machine.state();
                prop_assert!(before.activity().is_none());
                let Ok(way) = machine.begin(id, "") else {
                    prop_assert_eq!(machine.state(), before);
                    continue;
                };
                prop_assert!(before != State::Finalized && way.start == before && way.goal == machine.state());
                let mut works = 0;
                while machine.state().activity().is_some() {
                    works += 1;
                    prop_assert!(works <= 2, "error processing ends");
                    let from = machine.state();
                    let way = machine.end(OUTCOMES[outcome]);
                    prop_assert!(way.is_some_and(|way| way.start == from && way.goal == machine.state()));
                }
            }
        }
    }
}
