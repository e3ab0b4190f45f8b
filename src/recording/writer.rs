//! Writing rosbag2 recordings: one MCAP file with zstd chunks and its `metadata.yaml`, as Jazzy writes them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, ErrorKind},
    path::{Path, PathBuf},
};

use serde_yaml::Value;

use super::{
    durable,
    metadata::{Duration, FileInformation, Metadata, NEWEST_VERSION, StartingTime, TopicMetadata, TopicWithCount},
};
use crate::messages::{Message, definition};

/// A recording could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot write the recording: {reason}", path.display())]
pub struct WriteError {
    /// The folder being written.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
    /// What the system said, where it was the system that refused.
    pub kind: Option<ErrorKind>,
}

impl WriteError {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), kind: None }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self { kind: Some(error.kind()), ..Self::new(path, error.to_string()) }
    }

    fn mcap(path: &Path, error: &mcap::McapError) -> Self {
        match error {
            mcap::McapError::Io(error) => Self::io(path, error),
            other => Self::new(path, other.to_string()),
        }
    }
}

/// The quality of service that a topic's publisher offered, for whoever plays the recording back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedQos {
    /// How many messages are kept for late readers and slow networks.
    pub depth: u32,
    /// Delivered for sure (`reliable`) or as they come (`best_effort`).
    pub reliable: bool,
    /// Kept for late subscribers (`transient_local`), as `/tf_static` is.
    pub transient_local: bool,
}

impl OfferedQos {
    /// Sensor data: the last 5, best effort, volatile.
    pub const SENSOR: Self = Self { depth: 5, reliable: false, transient_local: false };
    /// The default of ROS 2: the last 10, reliable, volatile.
    pub const RELIABLE: Self = Self { depth: 10, reliable: true, transient_local: false };
    /// Latched: the last one, reliable, kept for late subscribers.
    pub const LATCHED: Self = Self { depth: 1, reliable: true, transient_local: true };

    /// As one entry of rosbag2's list.
    fn to_yaml(self) -> Value {
        let number = |n: u32| Value::Number(n.into());
        let text = |text: &str| Value::String(text.into());
        let endless = || mapping([("sec", Value::Number(9_223_372_036_u64.into())), ("nsec", number(854_775_807))]);
        mapping([
            ("history", text("keep_last")),
            ("depth", number(self.depth)),
            ("reliability", text(if self.reliable { "reliable" } else { "best_effort" })),
            ("durability", text(if self.transient_local { "transient_local" } else { "volatile" })),
            ("deadline", endless()),
            ("lifespan", endless()),
            ("liveliness", text("automatic")),
            ("liveliness_lease_duration", endless()),
            ("avoid_ros_namespace_conventions", Value::Bool(false)),
        ])
    }
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (Value::String(key.into()), value)).collect())
}

/// A topic of the recording being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicId(usize);

#[derive(Debug)]
struct WrittenTopic {
    name: String,
    type_name: String,
    qos: OfferedQos,
    channel: u16,
    count: u32,
}

/// Writes a rosbag2 folder. It appears under its name only when it is whole: until [`BagWriter::finish`] everything lies in a
/// temporary folder beside it, which goes when the writer is dropped.
///
/// The same messages give the same bytes.
///
/// ```
/// use distilled_perception::{messages::{Clock, Time}, recording::{BagWriter, OfferedQos}};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("my_bag");
/// let mut writer = BagWriter::create(&path)?;
/// let clock = writer.add::<Clock>("/clock", OfferedQos::SENSOR)?;
/// writer.write(clock, 5, &Clock { clock: Time::from_nanoseconds(5) }.encode())?;
/// writer.finish()?;
/// assert!(path.join("metadata.yaml").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BagWriter {
    path: PathBuf,
    parent: PathBuf,
    folder: tempfile::TempDir,
    file_name: String,
    writer: WriterState,
    topics: Vec<WrittenTopic>,
    times: Option<(i64, i64)>,
    count: u64,
}

/// The MCAP writer has no `Debug`.
struct WriterState(mcap::Writer<BufWriter<File>>);

impl std::fmt::Debug for WriterState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mcap::Writer")
    }
}

impl BagWriter {
    /// Starts a recording that will lie at `path`; missing parent folders are made.
    ///
    /// # Errors
    /// When something lies there already, or nothing can be written there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, WriteError> {
        let path = path.as_ref().to_path_buf();
        if path.exists() {
            return Err(WriteError::new(&path, "it exists already; remove it or choose another name"));
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| WriteError::new(&path, "the path has no name that could be a folder's"))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        std::fs::create_dir_all(&parent).map_err(|error| WriteError::io(&path, &error))?;
        let folder = tempfile::Builder::new()
            .prefix(durable::TEMPORARY_PREFIX)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(&parent)
            .map_err(|error| WriteError::io(&path, &error))?;
        let file_name = format!("{name}_0.mcap");
        let file = File::create(folder.path().join(&file_name)).map_err(|error| WriteError::io(&path, &error))?;
        let writer = mcap::WriteOptions::new()
            .profile("ros2")
            .library(concat!("distilled_perception ", env!("CARGO_PKG_VERSION")))
            .compression(Some(mcap::Compression::Zstd))
            .compression_level(1)
            .compression_threads(0)
            .create(BufWriter::with_capacity(1 << 20, file))
            .map_err(|error| WriteError::mcap(&path, &error))?;
        Ok(Self {
            path,
            parent,
            folder,
            file_name,
            writer: WriterState(writer),
            topics: Vec::new(),
            times: None,
            count: 0,
        })
    }

    /// Adds a topic of a message type known here, with its definition.
    ///
    /// # Errors
    /// Those of [`BagWriter::add_topic`].
    pub fn add<M: Message>(&mut self, name: &str, qos: OfferedQos) -> Result<TopicId, WriteError> {
        let text = definition(M::TYPE_NAME)
            .ok_or_else(|| self.refuse(format!("the definition of {} is not known", M::TYPE_NAME)))?;
        self.add_topic(name, M::TYPE_NAME, &text, qos)
    }

    /// Adds a topic: its name, its type (`sensor_msgs/msg/Image`), the type's definition in the `ros2msg` form, and the quality
    /// of service to play it back with.
    ///
    /// # Errors
    /// When there is a topic of that name, or the file cannot be written.
    pub fn add_topic(
        &mut self,
        name: &str,
        type_name: &str,
        definition: &str,
        qos: OfferedQos,
    ) -> Result<TopicId, WriteError> {
        if self.topics.iter().any(|topic| topic.name == name) {
            return Err(self.refuse(format!("topic `{name}` was added twice")));
        }
        let profiles = serde_yaml::to_string(&[qos.to_yaml()]).map_err(|error| self.refuse(error.to_string()))?;
        let metadata = BTreeMap::from([
            ("offered_qos_profiles".to_owned(), profiles),
            ("topic_type_hash".to_owned(), String::new()),
        ]);
        let writer = &mut self.writer.0;
        let channel = writer
            .add_schema(type_name, "ros2msg", definition.as_bytes())
            .and_then(|schema| writer.add_channel(schema, name, "cdr", &metadata))
            .map_err(|error| WriteError::mcap(&self.path, &error))?;
        self.topics.push(WrittenTopic { name: name.into(), type_name: type_name.into(), qos, channel, count: 0 });
        Ok(TopicId(self.topics.len() - 1))
    }

    /// Writes a message: when it was received, nanoseconds since the epoch, and its CDR bytes with their 4-byte header.
    ///
    /// # Errors
    /// When the file cannot be written, the topic is another writer's or the time lies before the epoch.
    pub fn write(&mut self, topic: TopicId, log_time: i64, data: &[u8]) -> Result<(), WriteError> {
        let time =
            u64::try_from(log_time).map_err(|_| self.refuse(format!("time {log_time} ns lies before the epoch")))?;
        let Some(written) = self.topics.get_mut(topic.0) else {
            return Err(self.refuse("the topic belongs to another recording".into()));
        };
        let header = mcap::records::MessageHeader {
            channel_id: written.channel,
            sequence: written.count,
            log_time: time,
            publish_time: time,
        };
        written.count = written.count.wrapping_add(1);
        self.count += 1;
        self.times = Some(match self.times {
            Some((start, end)) => (start.min(log_time), end.max(log_time)),
            None => (log_time, log_time),
        });
        self.writer.0.write_to_known_channel(&header, data).map_err(|error| WriteError::mcap(&self.path, &error))
    }

    /// Writes out what waits in memory, and says how many bytes lie on the disk by then. Each call ends a chunk, and many small
    /// chunks make a large file.
    ///
    /// # Errors
    /// When the file cannot be written, or is not there any more.
    pub fn flush(&mut self) -> Result<u64, WriteError> {
        self.writer.0.flush().map_err(|error| WriteError::mcap(&self.path, &error))?;
        let file = std::fs::metadata(self.folder.path().join(&self.file_name));
        Ok(file.map_err(|error| WriteError::io(&self.path, &error))?.len())
    }

    /// Ends the file, writes `metadata.yaml` and gives the folder its name.
    ///
    /// # Errors
    /// When something cannot be written; nothing is left behind then.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.writer.0.finish().map_err(|error| WriteError::mcap(&self.path, &error))?;
        let yaml = self.metadata().to_yaml().map_err(|error| self.refuse(error.to_string()))?;
        let folder = self.folder.path().to_path_buf();
        let publish = || -> std::io::Result<()> {
            File::open(folder.join(&self.file_name))?.sync_all()?;
            durable::write_bytes(&folder.join("metadata.yaml"), yaml.as_bytes())?;
            std::fs::rename(&folder, &self.path)?;
            File::open(&self.parent)?.sync_all()
        };
        publish().map_err(|error| WriteError::io(&self.path, &error))?;
        // It has its name now: there is no temporary folder left to remove.
        let _ = self.folder.keep();
        Ok(())
    }

    fn metadata(&self) -> Metadata {
        let (start, end) = self.times.unwrap_or((i64::MAX, i64::MAX));
        let starting_time = StartingTime { nanoseconds_since_epoch: start };
        let duration = Duration { nanoseconds: end.saturating_sub(start) };
        let topics = self.topics.iter().map(|topic| TopicWithCount {
            topic_metadata: TopicMetadata {
                name: topic.name.clone(),
                type_name: topic.type_name.clone(),
                serialization_format: "cdr".into(),
                offered_qos_profiles: Value::Sequence(vec![topic.qos.to_yaml()]),
                type_description_hash: String::new(),
            },
            message_count: u64::from(topic.count),
        });
        Metadata {
            version: NEWEST_VERSION,
            storage_identifier: "mcap".into(),
            duration,
            starting_time,
            message_count: self.count,
            topics_with_message_count: topics.collect(),
            relative_file_paths: vec![self.file_name.clone()],
            files: vec![FileInformation {
                path: self.file_name.clone(),
                starting_time,
                duration,
                message_count: self.count,
            }],
            custom_data: None,
            ros_distro: "jazzy".into(),
            ..Default::default()
        }
    }

    fn refuse(&self, reason: String) -> WriteError {
        WriteError::new(&self.path, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Clock;

    #[cfg(feature = "distill")]
    #[test]
    fn a_written_recording_is_read_back_and_appears_whole() {
        use crate::{
            distill::bag::{Bag, TopicFilter},
            messages::Time,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run");
        let mut writer = BagWriter::create(&path).unwrap();
        let clock = writer.add::<Clock>("/clock", OfferedQos::LATCHED).unwrap();
        assert!(writer.add::<Clock>("/clock", OfferedQos::LATCHED).is_err());
        let messages: Vec<_> = (0..50).map(|n| Clock { clock: Time::from_nanoseconds(n * 1_000) }.encode()).collect();
        for (index, message) in messages.iter().enumerate() {
            writer.write(clock, 100 + index as i64, message).unwrap();
        }
        assert!(!path.exists());
        writer.finish().unwrap();
        let bag = Bag::open(&path).unwrap();
        assert_eq!((bag.start(), bag.duration(), bag.compression()), (Some(100), Some(49), "zstd chunks"));
        assert!(bag.topic("/clock").unwrap().offered_qos.contains("transient_local"));
        let read: Vec<_> = bag.messages(&TopicFilter::All).unwrap().map(|message| message.unwrap().data).collect();
        assert_eq!(read, messages);
        assert!(BagWriter::create(&path).is_err());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary folder is left");
    }

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = BagWriter::create(folder.path().join("run")).unwrap();
        let clock = writer.add::<Clock>("/clock", OfferedQos::SENSOR).unwrap();
        writer.write(clock, 1, &[0, 1, 0, 0]).unwrap();
        assert!(writer.write(clock, -1, &[0, 1, 0, 0]).is_err());
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    #[test]
    fn what_is_flushed_lies_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = BagWriter::create(folder.path().join("run")).unwrap();
        let clock = writer.add::<Clock>("/clock", OfferedQos::SENSOR).unwrap();
        let before = writer.flush().unwrap();
        writer.write(clock, 1, &[0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert!(writer.flush().unwrap() > before);
        std::fs::remove_dir_all(folder.path()).unwrap();
        let error = writer.flush().unwrap_err();
        assert_eq!(error.kind, Some(ErrorKind::NotFound), "{error}");
        assert!(writer.finish().is_err());
    }
}
