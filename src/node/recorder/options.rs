//! What a recorder is told to do.

use std::{path::PathBuf, time::Duration};

/// What is recorded, and where.
#[derive(Debug, Clone)]
pub(in crate::node) struct RecordOptions {
    /// The folder that everything lies in; it must be there.
    pub(in crate::node) folder: PathBuf,
    /// Bytes of all parts together.
    pub(in crate::node) limit: u64,
    /// Bytes of a part.
    pub(in crate::node) part: u64,
    /// Bits of entropy from which a frame is recorded.
    pub(in crate::node) uncertainty: f64,
    /// Between two recorded frames.
    pub(in crate::node) interval: Duration,
    /// Topics that are recorded around a frame.
    pub(in crate::node) topics: Vec<String>,
    /// The topic of requests; empty: none.
    pub(in crate::node) requests: String,
}

/// The sensor's topic, and whose student looks at it.
#[derive(Debug, Clone)]
pub(in crate::node) struct Origin {
    /// The node's full name.
    pub(in crate::node) node: String,
    /// The topic's full name.
    pub(in crate::node) topic: String,
    /// Type of its messages.
    pub(in crate::node) type_name: String,
    /// Whether the node listens reliably.
    pub(in crate::node) is_reliable: bool,
}
