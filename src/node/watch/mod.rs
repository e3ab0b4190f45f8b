//! Whether the world around a node is as it should be: who publishes on its topics, and what the stamps say.
//!
//! | file | holds |
//! |---|---|
//! | `finding` | [`Finding`]: what is wrong and what mends it; [`Chronicle`]: how often, and the log |
//! | `graph` | what the node sees of the others on the network |
//! | `input` | [`InputWatch`]: all that is watched of one input, for diagnostics |
//! | `rate` | messages that come more seldom than they did |
//! | `stamps` | [`StampLimits`]; stamps that are old, of the future, set back, or the same again and again |
//! | `sync` | [`SyncWatch`]: sensors whose clocks are not the same |
//! | `topic` | [`Settings`]; publishers that cannot be heard, or are not there |

mod finding;
mod graph;
mod input;
mod rate;
mod stamps;
mod sync;
mod topic;

pub(in crate::node) use finding::Chronicle;
pub(in crate::node) use input::InputWatch;
pub(in crate::node) use stamps::StampLimits;
pub(in crate::node) use sync::SyncWatch;
pub(in crate::node) use topic::{NOBODY, Settings};
