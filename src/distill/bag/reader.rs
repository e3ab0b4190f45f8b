//! Opening recordings of every kind and streaming their messages.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    BagError, BagMessage, Loss, Topic, TopicFilter,
    compression::{ChunkCompression, unpack_file},
    layout::{self, Layout},
    mcap_file::McapReader,
    mcap_summary::read_summary,
    sqlite_file::SqliteReader,
    stream::Messages,
    topic::TopicTable,
};

/// How a recording is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// MCAP files.
    Mcap,
    /// SQLite files (`.db3`).
    Sqlite3,
}

impl Storage {
    /// rosbag2's identifier of the storage plugin.
    pub fn identifier(self) -> &'static str {
        match self {
            Self::Mcap => "mcap",
            Self::Sqlite3 => "sqlite3",
        }
    }
}

/// One file of a recording.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Compressed as a whole with zstd.
    pub(super) packed: bool,
}

/// A recording: a rosbag2 folder (with or without `metadata.yaml`, split or not), a folder whose parts (`part_00000001` and so on, as
/// a robot's recorder leaves them) are rosbag2 folders, or a single `.mcap` or `.db3` file, each compressed in any way rosbag2 and MCAP
/// know. Opening reads the description only; where there is none (no `metadata.yaml`,
/// no MCAP summary) it goes over the file once, a chunk at a time.
#[derive(Debug)]
pub struct Bag {
    path: PathBuf,
    storage: Storage,
    compression: String,
    topics: Arc<[Topic]>,
    parts: Arc<[Part]>,
    times: Option<(i64, i64)>,
    /// Files that are not there or cannot be read at all.
    missing: Loss,
}

impl Bag {
    /// Opens a recording.
    ///
    /// # Errors
    /// Says what is there instead, or what cannot be read and the mend: see [`BagError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BagError> {
        let path = path.as_ref();
        let Layout { storage, parts, compression, table, times, mut missing, described } = layout::of(path)?;
        let mut open = Opening { storage, table, times, compression, loss: Loss::default(), counted: !described };
        let parts = open.take_parts(parts, described, &mut missing)?;
        let Opening { table, times, compression, mut loss, counted, .. } = open;
        loss.merge(&missing);
        let mut topics = table.topics;
        if !described {
            for topic in &mut topics {
                topic.message_count = if counted { Some(topic.message_count.unwrap_or(0)) } else { None };
            }
        }
        let held = |topic: &&Topic| topic.message_count != Some(0);
        if topics.iter().find(held).is_none() {
            let detail = if loss.is_empty() { String::new() } else { format!(" that can be read: {loss}") };
            return Err(BagError::Empty { path: path.into(), detail });
        }
        if topics.iter().filter(held).all(|topic| topic.serialization != "cdr")
            && let Some(topic) = topics.iter().find(held)
        {
            return Err(unsupported_serialization(path, topic));
        }
        Ok(Self { path: path.into(), storage, compression, topics: topics.into(), parts: parts.into(), times, missing })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its topics.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// How it is stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// How it is compressed, in words: `none`, `zstd chunks`, `zstd files`, `zstd messages` and the like.
    pub fn compression(&self) -> &str {
        &self.compression
    }

    /// Its files, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }

    /// The bytes of its files together.
    pub fn size(&self) -> u64 {
        self.files().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
    }

    /// When the first message was recorded, nanoseconds since the epoch, where that is known.
    pub fn start(&self) -> Option<i64> {
        self.times.map(|(start, _)| start)
    }

    /// When the last message was recorded, nanoseconds since the epoch, where that is known.
    pub fn end(&self) -> Option<i64> {
        self.times.map(|(_, end)| end)
    }

    /// From the first to the last message in nanoseconds, where that is known.
    pub fn duration(&self) -> Option<i64> {
        self.times.map(|(start, end)| end.saturating_sub(start))
    }

    /// How many messages the recording says it has, where it does.
    pub fn message_count(&self) -> Option<u64> {
        self.topics.iter().map(|topic| topic.message_count).sum()
    }

    /// Starts reading the wanted topics.
    ///
    /// Order: file after file as the recording lists them; within an MCAP file the order in which the recorder wrote (log times
    /// rise but for what the recorder itself swapped), within a `.db3` file by log time. Memory: one chunk or one row.
    ///
    /// # Errors
    /// When a wanted topic is not there or is not serialised as CDR.
    pub fn messages(&self, filter: &TopicFilter) -> Result<Messages, BagError> {
        let wanted: Vec<bool> = match filter {
            TopicFilter::All => self.topics.iter().map(|topic| topic.serialization == "cdr").collect(),
            TopicFilter::Only(names) => {
                for name in names {
                    let topic = self.topic(name).ok_or_else(|| BagError::UnknownTopic {
                        path: self.path.clone(),
                        topic: name.clone(),
                        candidates: self.topics.iter().map(|topic| topic.name.clone()).collect(),
                    })?;
                    if topic.serialization != "cdr" {
                        return Err(unsupported_serialization(&self.path, topic));
                    }
                }
                self.topics.iter().map(|topic| names.contains(&topic.name)).collect()
            }
        };
        let chosen = |(index, _): &(usize, &Topic)| wanted[*index];
        let expected = self.topics.iter().enumerate().filter(chosen).map(|(_, topic)| topic.message_count).sum();
        let names = self.topics.iter().enumerate().filter(chosen).map(|(_, topic)| topic.name.clone()).collect();
        Ok(Messages::new(self.storage, self.topics.clone(), self.parts.clone(), names, expected, self.missing.clone()))
    }

    /// Reads the wanted topics to the end, or until `visit` breaks, and says what could not be read.
    ///
    /// # Errors
    /// Those of [`Bag::messages`], and when the system cannot read a file.
    pub fn read(
        &self,
        filter: &TopicFilter,
        mut visit: impl FnMut(BagMessage<'_>) -> ControlFlow<()>,
    ) -> Result<Loss, BagError> {
        let mut messages = self.messages(filter)?;
        while let Some(message) = messages.read_next()? {
            if visit(message).is_break() {
                break;
            }
        }
        Ok(messages.loss().clone())
    }
}

fn unsupported_serialization(path: &Path, topic: &Topic) -> BagError {
    BagError::UnsupportedSerialization {
        path: path.into(),
        topic: topic.name.clone(),
        format: topic.serialization.clone(),
    }
}

/// What gathers while a recording's files are looked into.
struct Opening {
    storage: Storage,
    table: TopicTable,
    times: Option<(i64, i64)>,
    compression: String,
    loss: Loss,
    /// False once a file's messages could not be counted.
    counted: bool,
}

impl Opening {
    /// Looks into the files and gives those that can be read; of a split recording the others are counted in `missing`.
    fn take_parts(&mut self, parts: Vec<Part>, described: bool, missing: &mut Loss) -> Result<Vec<Part>, BagError> {
        let split = parts.len() > 1;
        let mut readable = Vec::with_capacity(parts.len());
        let mut first_error = None;
        for part in parts {
            // What is described need not be unpacked for its topics.
            let taken = if described && part.packed { Ok(()) } else { self.take_part(&part, !described) };
            match taken {
                Ok(()) => readable.push(part),
                Err(error) if split && error.spoils_one_file_only() => {
                    missing.add_file(&part.path, 0, &error);
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first_error {
            Some(error) if readable.is_empty() => Err(error),
            _ => Ok(readable),
        }
    }

    /// Looks into a file: its topics, and with `count` its messages and times where nothing else tells.
    fn take_part(&mut self, part: &Part, count: bool) -> Result<(), BagError> {
        let unpacked = if part.packed { Some(unpack_file(&part.path, &mut self.loss)?) } else { None };
        let path = unpacked.as_ref().map_or(part.path.as_path(), |file| file.path());
        match self.storage {
            Storage::Mcap => self.take_mcap(path, count),
            Storage::Sqlite3 => self.take_sqlite(path, count),
        }
    }

    fn add(&mut self, topic: usize, count: u64) {
        *self.table.topics[topic].message_count.get_or_insert(0) += count;
    }

    fn span(&mut self, first: i64, last: i64) {
        self.times = Some(match self.times {
            Some((start, end)) => (start.min(first), end.max(last)),
            None => (first, last),
        });
    }

    fn take_mcap(&mut self, path: &Path, count: bool) -> Result<(), BagError> {
        if let Some(summary) = read_summary(path)? {
            for chunk in summary.chunks.values() {
                if ChunkCompression::from_name(&chunk.compression).is_none() {
                    return Err(BagError::UnsupportedCompression {
                        path: path.into(),
                        what: "chunk compression",
                        name: chunk.compression.clone(),
                    });
                }
            }
            if self.compression == "none"
                && let Some(chunk) = summary.chunks.values().find(|chunk| !chunk.compression.is_empty())
            {
                self.compression = format!("{} chunks", chunk.compression);
            }
            for (id, channel) in &summary.channels {
                let topic =
                    self.table.enter(&channel.topic, &channel.type_name, &channel.encoding, &channel.offered_qos);
                if count {
                    self.add(topic, summary.message_counts.get(id).copied().unwrap_or(0));
                }
            }
            if count && let Some((start, end)) = summary.times {
                self.span(i64::try_from(start).unwrap_or(i64::MAX), i64::try_from(end).unwrap_or(i64::MAX));
            }
            return Ok(());
        }
        if !count {
            return McapReader::open(path, Some(HashSet::new())).map(|_| ());
        }
        let mut reader = McapReader::open(path, None)?;
        let mut data = Vec::new();
        while let Some(message) = reader.next(&mut data)? {
            if let Some(channel) = reader.channel(message.channel) {
                let topic =
                    self.table.enter(&channel.topic, &channel.type_name, &channel.encoding, &channel.offered_qos);
                self.add(topic, 1);
                self.span(message.log_time, message.log_time);
            }
        }
        let mut idle: Vec<_> = reader.channels().values().collect();
        idle.sort_by(|a, b| a.topic.cmp(&b.topic));
        for channel in idle {
            self.table.enter(&channel.topic, &channel.type_name, &channel.encoding, &channel.offered_qos);
        }
        if self.compression == "none"
            && let Some(name) = reader.chunk_compression()
        {
            self.compression = format!("{name} chunks");
        }
        self.loss.merge(&reader.loss);
        Ok(())
    }

    fn take_sqlite(&mut self, path: &Path, count: bool) -> Result<(), BagError> {
        let reader = SqliteReader::open(path)?;
        let counts = if count { reader.count() } else { None };
        for (id, topic) in reader.topics() {
            let index = self.table.enter(&topic.name, &topic.type_name, &topic.serialization, &topic.offered_qos);
            if let Some(counts) = &counts {
                self.add(index, counts.by_topic.get(id).copied().unwrap_or(0));
            }
        }
        match counts {
            Some(counts) => {
                if let Some((start, end)) = counts.times {
                    self.span(start, end);
                }
            }
            None if count => self.counted = false,
            None => {}
        }
        self.loss.merge(&reader.loss);
        Ok(())
    }
}
