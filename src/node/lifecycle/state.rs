//! The states of a managed node, numbered and named as in lifecycle_msgs/msg/State.

/// A state. Primary states last until somebody asks for a transition; a transition state lasts as long as the transition's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(in crate::node) enum State {
    /// Of no node that can be asked; it is in the list because rcl_lifecycle has it there.
    Unknown = 0,
    /// Nothing is loaded.
    Unconfigured = 1,
    /// All is loaded, and nothing is published.
    Inactive = 2,
    /// At work.
    Active = 3,
    /// Over; only the end of the process can follow.
    Finalized = 4,
    /// On the way from unconfigured to inactive.
    Configuring = 10,
    /// On the way from inactive to unconfigured.
    CleaningUp = 11,
    /// On the way to finalized.
    ShuttingDown = 12,
    /// On the way from inactive to active.
    Activating = 13,
    /// On the way from active to inactive.
    Deactivating = 14,
    /// Putting in order what a transition left behind that went wrong.
    ErrorProcessing = 15,
}

impl State {
    /// Every state, in the order of rcl_lifecycle.
    pub(in crate::node) const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Unconfigured,
        Self::Inactive,
        Self::Active,
        Self::Finalized,
        Self::Configuring,
        Self::CleaningUp,
        Self::ShuttingDown,
        Self::Activating,
        Self::Deactivating,
        Self::ErrorProcessing,
    ];

    /// Its number.
    pub(in crate::node) fn id(self) -> u8 {
        self as u8
    }

    /// Its name.
    pub(in crate::node) fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unconfigured => "unconfigured",
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Finalized => "finalized",
            Self::Configuring => "configuring",
            Self::CleaningUp => "cleaningup",
            Self::ShuttingDown => "shuttingdown",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::ErrorProcessing => "errorprocessing",
        }
    }

    /// What is done in a transition state; nothing in a primary one.
    pub(in crate::node) fn activity(self) -> Option<Activity> {
        match self {
            Self::Unknown | Self::Unconfigured | Self::Inactive | Self::Active | Self::Finalized => None,
            Self::Configuring => Some(Activity::Configure),
            Self::CleaningUp => Some(Activity::CleanUp),
            Self::ShuttingDown => Some(Activity::ShutDown),
            Self::Activating => Some(Activity::Activate),
            Self::Deactivating => Some(Activity::Deactivate),
            Self::ErrorProcessing => Some(Activity::ProcessError),
        }
    }
}

/// The work of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Activity {
    /// Load everything.
    Configure,
    /// Free everything.
    CleanUp,
    /// Begin to publish.
    Activate,
    /// End publishing.
    Deactivate,
    /// End publishing where that was begun, and free everything.
    ShutDown,
    /// As [`Self::ShutDown`], from wherever something went wrong; the node may be configured again.
    ProcessError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_ros() {
        // What `get_available_states` of rclpy's LifecycleNode (rcl_lifecycle of Jazzy) answers.
        let expected = [
            (0, "unknown"),
            (1, "unconfigured"),
            (2, "inactive"),
            (3, "active"),
            (4, "finalized"),
            (10, "configuring"),
            (11, "cleaningup"),
            (12, "shuttingdown"),
            (13, "activating"),
            (14, "deactivating"),
            (15, "errorprocessing"),
        ];
        assert_eq!(State::ALL.map(|state| (state.id(), state.label())), expected);
    }

    #[test]
    fn transition_states_and_they_alone_have_work() {
        for state in State::ALL {
            assert_eq!(state.activity().is_some(), state.id() >= 10, "{state:?}");
        }
    }
}
