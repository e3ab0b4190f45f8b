//! Writing recordings as rosbag2 does: the one way of the robot, which records what its students are unsure of, and of the workshop.
//!
//! | file | holds |
//! |---|---|
//! | `writer` | `BagWriter`: a rosbag2 folder of one MCAP file, there as a whole or not at all |
//! | `metadata` | the layout of `metadata.yaml` |
//! | `parts` | how a robot's own recording is laid out: its parts, and the topics that are written beside the frames |
//! | [`durable`] | files that are whole or not there |

pub mod durable;
#[cfg(any(feature = "distill", feature = "ros"))]
pub(crate) mod metadata;
#[cfg(any(feature = "distill", feature = "ros"))]
mod parts;
#[cfg(any(feature = "distill", feature = "ros"))]
mod writer;

#[cfg(any(feature = "distill", feature = "ros"))]
pub use parts::{detections_topic, node_of_detections, part_name, part_number, reasons_topic};
#[cfg(any(feature = "distill", feature = "ros"))]
pub use writer::{BagWriter, OfferedQos, TopicId, WriteError};
