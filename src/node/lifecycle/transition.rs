//! The transitions between the states, numbered and named as in lifecycle_msgs/msg/Transition.

use super::state::State;

/// A way from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) struct Transition {
    /// Its number.
    pub(in crate::node) id: u8,
    /// Its name; several transitions share one where they begin in different states.
    pub(in crate::node) label: &'static str,
    /// Where it begins.
    pub(in crate::node) start: State,
    /// Where it leads.
    pub(in crate::node) goal: State,
}

/// Number of the transition that loads everything.
pub(in crate::node) const CONFIGURE: u8 = 1;
/// Number of the transition that begins to publish.
pub(in crate::node) const ACTIVATE: u8 = 3;
/// Name of the transitions to the end, from wherever the node is.
pub(in crate::node) const SHUTDOWN: &str = "shutdown";
/// Name of the transitions out of a transition state when the work succeeded.
pub(super) const SUCCESS: &str = "transition_success";
/// The same when it could not be done.
pub(super) const FAILURE: &str = "transition_failure";
/// The same when something went wrong.
pub(super) const ERROR: &str = "transition_error";

/// Every transition, in the order of rcl_lifecycle's default state machine.
pub(in crate::node) static GRAPH: [Transition; 25] = {
    use State::{
        Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized, Inactive, ShuttingDown,
        Unconfigured,
    };
    [
        way(CONFIGURE, "configure", Unconfigured, Configuring),
        way(10, SUCCESS, Configuring, Inactive),
        way(11, FAILURE, Configuring, Unconfigured),
        way(12, ERROR, Configuring, ErrorProcessing),
        way(2, "cleanup", Inactive, CleaningUp),
        way(20, SUCCESS, CleaningUp, Unconfigured),
        way(21, FAILURE, CleaningUp, Inactive),
        way(22, ERROR, CleaningUp, ErrorProcessing),
        way(ACTIVATE, "activate", Inactive, Activating),
        way(30, SUCCESS, Activating, Active),
        way(31, FAILURE, Activating, Inactive),
        way(32, ERROR, Activating, ErrorProcessing),
        way(4, "deactivate", Active, Deactivating),
        way(40, SUCCESS, Deactivating, Inactive),
        way(41, FAILURE, Deactivating, Active),
        way(42, ERROR, Deactivating, ErrorProcessing),
        way(5, SHUTDOWN, Unconfigured, ShuttingDown),
        way(6, SHUTDOWN, Inactive, ShuttingDown),
        way(7, SHUTDOWN, Active, ShuttingDown),
        way(50, SUCCESS, ShuttingDown, Finalized),
        way(51, FAILURE, ShuttingDown, Finalized),
        way(52, ERROR, ShuttingDown, ErrorProcessing),
        way(60, SUCCESS, ErrorProcessing, Unconfigured),
        way(61, FAILURE, ErrorProcessing, Finalized),
        way(62, ERROR, ErrorProcessing, Finalized),
    ]
};

const fn way(id: u8, label: &'static str, start: State, goal: State) -> Transition {
    Transition { id, label, start, goal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_is_that_of_ros() {
        // What `get_transition_graph` of rclpy's LifecycleNode (rcl_lifecycle of Jazzy) answers: id, label, start, goal.
        let expected = "\
            1 configure unconfigured configuring\n10 transition_success configuring inactive\n\
            11 transition_failure configuring unconfigured\n12 transition_error configuring errorprocessing\n\
            2 cleanup inactive cleaningup\n20 transition_success cleaningup unconfigured\n\
            21 transition_failure cleaningup inactive\n22 transition_error cleaningup errorprocessing\n\
            3 activate inactive activating\n30 transition_success activating active\n\
            31 transition_failure activating inactive\n32 transition_error activating errorprocessing\n\
            4 deactivate active deactivating\n40 transition_success deactivating inactive\n\
            41 transition_failure deactivating active\n42 transition_error deactivating errorprocessing\n\
            5 shutdown unconfigured shuttingdown\n6 shutdown inactive shuttingdown\n7 shutdown active shuttingdown\n\
            50 transition_success shuttingdown finalized\n51 transition_failure shuttingdown finalized\n\
            52 transition_error shuttingdown errorprocessing\n60 transition_success errorprocessing unconfigured\n\
            61 transition_failure errorprocessing finalized\n62 transition_error errorprocessing finalized";
        let line = |way: &Transition| format!("{} {} {} {}", way.id, way.label, way.start.label(), way.goal.label());
        assert_eq!(GRAPH.iter().map(line).collect::<Vec<_>>().join("\n"), expected);
    }

    #[test]
    fn every_transition_state_has_the_three_ways_out_and_primary_states_only_lead_into_work() {
        for state in State::ALL {
            let ways: Vec<&Transition> = GRAPH.iter().filter(|way| way.start == state).collect();
            let labels: Vec<&str> = ways.iter().map(|way| way.label).collect();
            if state.activity().is_some() {
                assert_eq!(labels, [SUCCESS, FAILURE, ERROR], "{state:?}");
            } else {
                assert!(ways.iter().all(|way| way.goal.activity().is_some()), "{state:?}");
            }
            let mut unique = labels.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), labels.len(), "a name says one way out of {state:?}");
        }
    }
}
