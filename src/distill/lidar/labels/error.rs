//! Why a recording's sweeps could not be labelled, or their labels not be kept.

use std::path::PathBuf;

use parquet::errors::ParquetError;

use crate::{
    distill::{bag::BagError, teacher::TeacherError},
    model::ModelError,
};

/// Why sweeps could not be labelled. Every message names the file and the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LidarLabelError {
    /// The recording cannot be read, or lacks a topic.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A teacher cannot be used.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A teacher's network cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An entry that makes no sense.
    #[error("{}: {key}: {message}", path.display())]
    Config {
        /// The recording of the entry.
        path: PathBuf,
        /// The key in the entry.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// No topic of sweeps at all.
    #[error(
        "{}: no lidar topic (sensor_msgs/msg/LaserScan or sensor_msgs/msg/PointCloud2); it has: {}",
        path.display(), candidates.join(", ")
    )]
    NoLidar {
        /// The recording.
        path: PathBuf,
        /// What there is, with types.
        candidates: Vec<String>,
    },
    /// Several topics of sweeps and none named.
    #[error("{}: several lidar topics, name one of them as `topic`: {}", path.display(), candidates.join(", "))]
    SeveralLidars {
        /// The recording.
        path: PathBuf,
        /// The topics.
        candidates: Vec<String>,
    },
    /// The topic has no sweep that can be read.
    #[error("{}: topic `{topic}` has no sweep that can be read: {detail}", path.display())]
    NoSweeps {
        /// The recording.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// What was lost.
        detail: String,
    },
    /// Several topics that name classes, and none chosen.
    #[error("{}: several LabelInfo topics, name one of them as `label_info`: {}", path.display(), candidates.join(", "))]
    SeveralLabelInfos {
        /// The recording.
        path: PathBuf,
        /// The topics.
        candidates: Vec<String>,
    },
    /// Truth is paired by count and the counts differ.
    #[error(
        "{}: topic `{topic}` has {messages} messages for {sweeps} sweeps; with `pairing: index` message k belongs to sweep k, so \
         there must be as many. Where messages carry the sweeps' stamps, leave `pairing` out",
        path.display()
    )]
    Counts {
        /// The recording.
        path: PathBuf,
        /// The topic of truth.
        topic: String,
        /// Its messages.
        messages: usize,
        /// The sweeps.
        sweeps: usize,
    },
    /// The truth cannot be used at all.
    #[error("{}: truth of topic `{topic}`: {reason}", path.display())]
    Truth {
        /// The recording.
        path: PathBuf,
        /// The topic of truth.
        topic: String,
        /// Why not, and the mend.
        reason: String,
    },
    /// The labels could not be written.
    #[error("cannot write the labels {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The labels could not be read.
    #[error("cannot read the labels {}: {source}; delete the file and label again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// A Parquet file that holds no sweeps of this program, or those of another version.
    #[error("{} holds no labelled sweeps of this program: {reason}; delete the file and label again", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or other.
        reason: String,
    },
    /// Whoever watched the progress asked to stop.
    #[error("stopped before the end; nothing was labelled")]
    Stopped,
}
