//! What can be wrong with a recording, and what to do about it.

use std::path::{Path, PathBuf};

use crate::recording::WriteError;

/// Why a recording could not be opened, read or written. Every message names the file, the reason and the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BagError {
    /// Nothing lies at the path.
    #[error("{}: no such file or folder; name a rosbag2 folder, an .mcap or .db3 file, or a folder of images", path.display())]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// There is something at the path, but no recording.
    #[error("{}: not a recording: {reason}", path.display())]
    NotABag {
        /// The file or folder.
        path: PathBuf,
        /// What was found instead, and the mend.
        reason: String,
    },
    /// A ROS 1 recording.
    #[error(
        "{}: this is a ROS 1 bag; convert it first: `pip install rosbags && rosbags-convert --src {} --dst converted_bag`",
        path.display(), path.display()
    )]
    Ros1 {
        /// The file.
        path: PathBuf,
    },
    /// A recording without one readable message.
    #[error("{}: the recording holds no messages{detail}", path.display())]
    Empty {
        /// The recording.
        path: PathBuf,
        /// What was lost, when something was; starts with punctuation.
        detail: String,
    },
    /// `metadata.yaml` cannot be understood.
    #[error(
        "{}: {reason}; if the file is beyond repair, move it away: the recording is then opened without it",
        path.display()
    )]
    Metadata {
        /// The `metadata.yaml`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Messages are serialised as something else than CDR.
    #[error(
        "{}: topic `{topic}` is serialised as `{format}`, and only `cdr` can be read; \
         convert it with `ros2 bag convert` on a machine that has the RMW implementation it was recorded with",
        path.display()
    )]
    UnsupportedSerialization {
        /// The recording.
        path: PathBuf,
        /// The first such topic.
        topic: String,
        /// Its serialisation format.
        format: String,
    },
    /// A storage plugin other than `mcap` and `sqlite3`.
    #[error(
        "{}: storage plugin `{storage}` is not supported, only `mcap` and `sqlite3` are; \
         convert it with `ros2 bag convert`",
        path.display()
    )]
    UnsupportedStorage {
        /// The recording.
        path: PathBuf,
        /// The plugin's identifier.
        storage: String,
    },
    /// A compression (or encryption) that is not known here.
    #[error(
        "{}: {what} `{name}` is not supported (rosbag2 files and messages: `zstd`; MCAP chunks: `zstd`, `lz4` or none); \
         rewrite it with `ros2 bag convert` or `mcap compress`",
        path.display()
    )]
    UnsupportedCompression {
        /// The file.
        path: PathBuf,
        /// What is compressed so: "chunk compression", "compression format", "compression mode".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The SQLite file cannot be read as a rosbag2 one.
    #[error("{}: {reason}", path.display())]
    Sqlite {
        /// The `.db3` file.
        path: PathBuf,
        /// What SQLite or the layout said, and the mend.
        reason: String,
    },
    /// A topic that is not in the recording.
    #[error("{}: no topic `{topic}` in the recording; it has: {}", path.display(), names(candidates))]
    UnknownTopic {
        /// The recording.
        path: PathBuf,
        /// What was asked for.
        topic: String,
        /// What there is.
        candidates: Vec<String>,
    },
    /// A topic of another type than needed.
    #[error("{}: topic `{topic}` is a {found}, needed is {needed}", path.display())]
    WrongType {
        /// The recording.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// Its type.
        found: String,
        /// What it would have to be.
        needed: &'static str,
    },
    /// No camera topic at all.
    #[error(
        "{}: no camera topic (sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage); it has: {}",
        path.display(), names(candidates)
    )]
    NoCamera {
        /// The recording.
        path: PathBuf,
        /// What there is, with types.
        candidates: Vec<String>,
    },
    /// Several camera topics and none named.
    #[error("{}: several camera topics, name one of them: {}", path.display(), names(candidates))]
    SeveralCameras {
        /// The recording.
        path: PathBuf,
        /// The camera topics.
        candidates: Vec<String>,
    },
    /// A COCO file that cannot be used.
    #[error("{}: not a COCO `instances` file: {reason}", path.display())]
    Coco {
        /// The JSON file.
        path: PathBuf,
        /// The field and what is wrong with it.
        reason: String,
    },
    /// Truth was asked for that this kind of recording cannot give.
    #[error("{}: {reason}", path.display())]
    Truth {
        /// The recording.
        path: PathBuf,
        /// Why not, and the mend.
        reason: String,
    },
    /// A recording could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl BagError {
    /// An [`BagError::Io`], or [`BagError::NotFound`] where the file is missing.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { path: path.into() },
            _ => Self::Io { path: path.into(), source },
        }
    }

    /// True when one file is beyond reading, so that the other files of a split recording are read without it.
    pub(super) fn spoils_one_file_only(&self) -> bool {
        matches!(self, Self::NotABag { .. } | Self::Empty { .. } | Self::Sqlite { .. })
    }
}

/// The names as a list in words, sorted: a file keeps its topics in any order, and people look for a name.
fn names(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return "none".into();
    }
    let mut sorted: Vec<&str> = candidates.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.join(", ")
}
