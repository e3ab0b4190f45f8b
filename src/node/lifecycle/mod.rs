//! Managed (lifecycle) nodes, which r2r does not have: somebody else, such as Nav2's lifecycle manager, says when a node loads its
//! model, begins to publish, stops and lets go of everything.
//!
//! | file | holds |
//! |---|---|
//! | `state`, `transition`, `machine` | the state machine of design.ros2.org/articles/node_lifecycle.html, pure |
//! | `services` | its services and its topic on ROS 2 |
//! | `managed` | [`Managed`]: what a node of ours does in each transition |
//! | `driver` | [`serve`]: the thread that spins, answers and publishes, while the transitions' work is done on another one |

mod driver;
mod machine;
mod managed;
mod services;
mod state;
mod transition;

pub(super) use driver::serve;
pub(super) use managed::{Job, Managed, job};
pub(super) use state::Activity;
