//! A recording's messages as a stream over its files.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    BagError, Loss, Storage, Topic,
    compression::{unpack_file, unpack_message},
    mcap_file::McapReader,
    reader::Part,
    sqlite_file::SqliteReader,
};

/// A message as the reader lends it: valid until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct BagMessage<'a> {
    /// Its topic.
    pub topic: &'a Topic,
    /// When it was recorded, nanoseconds since the epoch.
    pub log_time: i64,
    /// CDR bytes with their 4-byte header.
    pub data: &'a [u8],
}

/// A message with its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMessage {
    /// The topic's place in [`Bag::topics`](super::Bag::topics).
    pub topic: usize,
    /// When it was recorded, nanoseconds since the epoch.
    pub log_time: i64,
    /// CDR bytes with their 4-byte header.
    pub data: Vec<u8>,
}

/// The messages of a recording, see [`Bag::messages`](super::Bag::messages). Lends them one by one with
/// [`Messages::read_next`]; as an [`Iterator`] it gives owned ones.
#[derive(Debug)]
pub struct Messages {
    storage: Storage,
    topics: Arc<[Topic]>,
    parts: Arc<[Part]>,
    /// The wanted topics' names.
    names: HashSet<String>,
    /// Every topic's place.
    places: HashMap<String, usize>,
    next_part: usize,
    open: Option<OpenPart>,
    data: Vec<u8>,
    spare: Vec<u8>,
    delivered: u64,
    expected: Option<u64>,
    finished: bool,
    loss: Loss,
}

/// The file being read; the temporary one of a compressed file goes when it was read.
#[derive(Debug)]
struct OpenPart {
    reader: PartReader,
    _unpacked: Option<tempfile::NamedTempFile>,
}

#[derive(Debug)]
enum PartReader {
    Mcap(Box<McapReader>),
    Sqlite(Box<SqliteReader>),
}

impl Messages {
    pub(super) fn new(
        storage: Storage,
        topics: Arc<[Topic]>,
        parts: Arc<[Part]>,
        names: HashSet<String>,
        expected: Option<u64>,
        loss: Loss,
    ) -> Self {
        let places = topics.iter().enumerate().map(|(index, topic)| (topic.name.clone(), index)).collect();
        Self {
            storage,
            topics,
            parts,
            names,
            places,
            next_part: 0,
            open: None,
            data: Vec::new(),
            spare: Vec::new(),
            delivered: 0,
            expected,
            finished: false,
            loss,
        }
    }

    /// The next message, lent until the one after it is read; `None` at the end.
    ///
    /// # Errors
    /// When the system cannot read a file, or a file is no recording at all. What is corrupt inside is counted in
    /// [`Messages::loss`] instead and reading goes on.
    pub fn read_next(&mut self) -> Result<Option<BagMessage<'_>>, BagError> {
        Ok(self.advance()?.map(|(topic, log_time)| BagMessage {
            topic: &self.topics[topic],
            log_time,
            data: &self.data,
        }))
    }

    /// The topic at that place of [`Bag::topics`](super::Bag::topics), as [`OwnedMessage::topic`] gives it.
    pub fn topic(&self, place: usize) -> Option<&Topic> {
        self.topics.get(place)
    }

    /// How many messages were delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many messages the recording says there are, where it does.
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// What could not be read so far; all of it once the end was reached.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Moves to the next message and leaves its bytes in `self.data`.
    fn advance(&mut self) -> Result<Option<(usize, i64)>, BagError> {
        while !self.finished {
            let Some(part) = &mut self.open else {
                if self.next_part == self.parts.len() {
                    self.finish();
                } else {
                    self.open_next()?;
                }
                continue;
            };
            let found = match &mut part.reader {
                PartReader::Mcap(reader) => reader
                    .next(&mut self.data)?
                    .map(|message| (reader.channel(message.channel).map(|channel| &channel.topic), message.log_time)),
                PartReader::Sqlite(reader) => reader
                    .next(&mut self.data)
                    .map(|(id, time)| (reader.topics().get(&id).map(|topic| &topic.name), time)),
            };
            let Some((name, log_time)) = found else {
                self.close();
                continue;
            };
            let Some(&topic) = name.and_then(|name| self.places.get(name)) else {
                self.loss.add(0, 1, "a message belongs to no topic that the recording describes");
                continue;
            };
            if let Err(error) = unpack_message(&mut self.data, &mut self.spare) {
                self.loss.add_broken(format!("{}: a message cannot be unpacked: {error}", self.topics[topic].name));
                continue;
            }
            self.delivered += 1;
            return Ok(Some((topic, log_time)));
        }
        Ok(None)
    }

    /// Opens the next file; of several, one that is beyond reading is counted and passed over.
    fn open_next(&mut self) -> Result<(), BagError> {
        let part = self.parts[self.next_part].clone();
        self.next_part += 1;
        match self.open_part(&part) {
            Ok(open) => self.open = Some(open),
            Err(error) if self.parts.len() > 1 && error.spoils_one_file_only() => {
                self.loss.add_file(&part.path, 0, &error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn open_part(&mut self, part: &Part) -> Result<OpenPart, BagError> {
        let unpacked = if part.packed { Some(unpack_file(&part.path, &mut self.loss)?) } else { None };
        let path = unpacked.as_ref().map_or(part.path.as_path(), |file| file.path());
        let reader = match self.storage {
            Storage::Mcap => PartReader::Mcap(Box::new(McapReader::open(path, Some(self.names.clone()))?)),
            Storage::Sqlite3 => {
                let mut reader = SqliteReader::open(path)?;
                reader.want(&self.names);
                PartReader::Sqlite(Box::new(reader))
            }
        };
        Ok(OpenPart { reader, _unpacked: unpacked })
    }

    fn close(&mut self) {
        match self.open.take().map(|part| part.reader) {
            Some(PartReader::Mcap(reader)) => self.loss.merge(&reader.loss),
            Some(PartReader::Sqlite(reader)) => self.loss.merge(&reader.loss),
            None => {}
        }
    }

    /// Compares with what the recording promised.
    fn finish(&mut self) {
        self.finished = true;
        if let Some(expected) = self.expected {
            let found = self.delivered + self.loss.messages;
            if found < expected {
                let missing = expected - found;
                self.loss.add(0, missing, format!("{missing} messages that the recording should have are not in it"));
            }
        }
    }
}

impl Iterator for Messages {
    type Item = Result<OwnedMessage, BagError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(Some((topic, log_time))) => {
                Some(Ok(OwnedMessage { topic, log_time, data: std::mem::take(&mut self.data) }))
            }
            Ok(None) => None,
            Err(error) => {
                self.finished = true;
                Some(Err(error))
            }
        }
    }
}
