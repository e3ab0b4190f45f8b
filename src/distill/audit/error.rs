//! Why an audit could not be made.

use std::path::PathBuf;

use crate::distill::{bag::BagError, train::TrainError};

/// Truth that cannot be held against the targets.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A recording cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A recording cannot be cut into its blocks.
    #[error(transparent)]
    Split(#[from] TrainError),
    /// The targets were made for other classes.
    #[error("the soft targets are of the classes {labelled}, the experiment's are {wanted}; label again")]
    Classes {
        /// Classes of the targets.
        labelled: String,
        /// Classes of the experiment.
        wanted: String,
    },
    /// Trust was to be measured on labels, and there are none.
    #[error(
        "distillation.trust: labels: no recording has truth outside its test block to measure the teachers on; name one with `truth: {{topic: ..}}` or `truth: {{coco: ..}}`, or say `trust: agreement`"
    )]
    NoTruth,
    /// The targets were made of something else.
    #[error(
        "{}: frame {index} has the stamp {stamp}, but was labelled with the stamp {labelled}: the targets are of other data; label again",
        path.display()
    )]
    OtherData {
        /// The recording.
        path: PathBuf,
        /// The frame's place in it.
        index: u64,
        /// Its stamp, nanoseconds.
        stamp: i64,
        /// The stamp that was labelled.
        labelled: i64,
    },
}
