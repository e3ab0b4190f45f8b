//! MCAP files (<https://mcap.dev/spec>) read from start to end, one chunk in memory at a time, past whatever is broken.
//!
//! The records are walked here rather than by a ready reader because a cut or corrupt file is this tool's daily bread: every
//! length is checked against the file before anything is allocated, a chunk is unpacked whole and its checksum compared before
//! any of its messages is believed, and what is passed over is counted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use mcap::records::{Record, op};

use super::{
    BagError, Loss,
    compression::{ChunkCompression, UNPACKED_LIMIT},
    mcap_summary::{ChunkPlace, McapChannel, McapSummary, RECORD_HEADER, read_summary, split_record},
};

/// Channel id, sequence, log time, publish time.
const MESSAGE_HEADER: usize = 2 + 4 + 8 + 8;
/// Schema and channel records beyond this size are taken for corrupt.
const DEFINITION_LIMIT: u64 = 64 << 20;

/// A message's channel and log time; its bytes are in the buffer handed to [`McapReader::next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct McapMessage {
    pub(super) channel: u16,
    pub(super) log_time: i64,
}

/// Reads an MCAP file's messages in the order in which they lie in the file.
#[derive(Debug)]
pub(super) struct McapReader {
    path: PathBuf,
    file: BufReader<File>,
    size: u64,
    /// Where the next record starts.
    position: u64,
    schemas: HashMap<u16, String>,
    channels: HashMap<u16, McapChannel>,
    /// The topics to deliver; `None` for all.
    wanted: Option<HashSet<String>>,
    /// Known chunks, where the file has a summary.
    chunks: BTreeMap<u64, ChunkPlace>,
    packed: Vec<u8>,
    /// The present chunk's records, unpacked, and how far they were read.
    records: Vec<u8>,
    record_at: usize,
    /// The present chunk is the last one and its end is missing.
    cut_chunk: bool,
    /// How the first chunk was compressed.
    chunk_compression: Option<String>,
    /// The chunk before was corrupt: the message indexes that follow it tell how many messages it had.
    counting_lost: bool,
    finished: bool,
    pub(super) loss: Loss,
}

impl McapReader {
    /// Opens the file. `wanted` limits the topics; chunks without any of them are passed over unread where the file's index
    /// allows.
    ///
    /// # Errors
    /// When the file cannot be read or does not start as an MCAP file.
    pub(super) fn open(path: &Path, wanted: Option<HashSet<String>>) -> Result<Self, BagError> {
        let io_error = |error| BagError::io(path, error);
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io_error)?);
        let size = file.get_ref().metadata().map_err(io_error)?.len();
        let mut magic = [0_u8; 8];
        if size < 8 || file.read_exact(&mut magic).is_err() || magic != *mcap::MAGIC {
            return Err(BagError::NotABag { path: path.into(), reason: "it does not start as an MCAP file".into() });
        }
        let McapSummary { channels, chunks, .. } = read_summary(path)?.unwrap_or_default();
        Ok(Self {
            path: path.into(),
            file,
            size,
            position: 8,
            schemas: HashMap::new(),
            channels: channels.into_iter().collect(),
            wanted,
            chunks,
            packed: Vec::new(),
            records: Vec::new(),
            record_at: 0,
            cut_chunk: false,
            chunk_compression: None,
            counting_lost: false,
            finished: false,
            loss: Loss::default(),
        })
    }

    /// The channel of a message.
    pub(super) fn channel(&self, id: u16) -> Option<&McapChannel> {
        self.channels.get(&id)
    }

    /// The channels met so far.
    pub(super) fn channels(&self) -> &HashMap<u16, McapChannel> {
        &self.channels
    }

    /// How the first chunk read was compressed; `None` before it and where chunks are not compressed.
    pub(super) fn chunk_compression(&self) -> Option<&str> {
        self.chunk_compression.as_deref().filter(|name| !name.is_empty())
    }

    /// The next message, its bytes in `data`; `None` at the end.
    ///
    /// # Errors
    /// When the system cannot read the file or a chunk's compression is not known. What is corrupt is counted instead.
    pub(super) fn next(&mut self, data: &mut Vec<u8>) -> Result<Option<McapMessage>, BagError> {
        loop {
            if self.record_at < self.records.len() {
                if let Some(message) = self.next_in_chunk(data) {
                    return Ok(Some(message));
                }
            } else if self.finished {
                return Ok(None);
            } else if let Some(message) = self.next_in_file(data)? {
                return Ok(Some(message));
            }
        }
    }

    fn wants(&self, channel: &McapChannel) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&channel.topic))
    }

    fn lose(&mut self, bytes: u64, messages: u64, what: &str) {
        let reason = format!("{}: {what}", self.path.display());
        self.loss.add(bytes, messages, reason);
    }

    /// Reads one record of the present chunk.
    fn next_in_chunk(&mut self, data: &mut Vec<u8>) -> Option<McapMessage> {
        let records = std::mem::take(&mut self.records);
        let remaining = &records[self.record_at..];
        let outcome = match split_record(remaining) {
            Some((kind, content, rest)) => {
                self.record_at = records.len() - rest.len();
                self.take_record(kind, content, data)
            }
            None => {
                let lost = remaining.len() as u64;
                if self.cut_chunk {
                    self.lose(lost, 0, "the last chunk is cut off");
                } else {
                    self.lose(lost, 0, "a record reaches beyond its chunk");
                }
                self.record_at = records.len();
                None
            }
        };
        self.records = records;
        outcome
    }

    /// Takes in a record that is whole in memory.
    fn take_record(&mut self, kind: u8, content: &[u8], data: &mut Vec<u8>) -> Option<McapMessage> {
        match kind {
            op::MESSAGE => {
                let Some((header, payload)) = content.split_at_checked(MESSAGE_HEADER) else {
                    self.lose(content.len() as u64, 1, "a message record is too short");
                    return None;
                };
                let message = self.message_header(header, payload.len() as u64)?;
                data.clear();
                data.extend_from_slice(payload);
                Some(message)
            }
            op::SCHEMA | op::CHANNEL => {
                self.take_definition(kind, content);
                None
            }
            _ => None,
        }
    }

    /// A message's channel and time; `None` when it is not wanted or belongs to no known channel (which is counted).
    fn message_header(&mut self, header: &[u8], payload: u64) -> Option<McapMessage> {
        let channel_id = u16::from_le_bytes([header[0], header[1]]);
        let log_time = u64::from_le_bytes(header[6..14].try_into().ok()?);
        match self.channels.get(&channel_id) {
            Some(channel) if self.wants(channel) => {
                Some(McapMessage { channel: channel_id, log_time: i64::try_from(log_time).unwrap_or(i64::MAX) })
            }
            Some(_) => None,
            None => {
                self.lose(payload, 1, "messages of a channel whose description is lost");
                None
            }
        }
    }

    fn take_definition(&mut self, kind: u8, content: &[u8]) {
        match mcap::parse_record(kind, content) {
            Ok(Record::Schema { header, .. }) => {
                self.schemas.insert(header.id, header.name);
            }
            Ok(Record::Channel(channel)) => {
                let id = channel.id;
                let channel = McapChannel::new(channel, &self.schemas);
                // A summary that was read knows the schemas even where their record is lost.
                if !channel.type_name.is_empty() || !self.channels.contains_key(&id) {
                    self.channels.insert(id, channel);
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.lose(content.len() as u64, 0, &format!("a schema or channel record is corrupt: {error}"))
            }
        }
    }

    /// Reads one record of the file itself.
    fn next_in_file(&mut self, data: &mut Vec<u8>) -> Result<Option<McapMessage>, BagError> {
        let start = self.position;
        let left = self.size - start;
        if left < RECORD_HEADER as u64 {
            self.finished = true;
            self.lose(
                left,
                0,
                "the file ends without its footer: the recorder was stopped hard or the copy is not whole",
            );
            return Ok(None);
        }
        let mut header = [0_u8; RECORD_HEADER];
        self.read_exact(&mut header)?;
        let kind = header[0];
        let length = u64::from_le_bytes([
            header[1], header[2], header[3], header[4], header[5], header[6], header[7], header[8],
        ]);
        let available = left - RECORD_HEADER as u64;
        if kind != op::MESSAGE_INDEX {
            self.counting_lost = false;
        }
        let end_of_wrong_size = (kind == op::DATA_END && length != 4) || (kind == op::FOOTER && length != 20);
        if kind == 0 || length > available || end_of_wrong_size {
            return self.past_the_breakage(start, kind, length, available);
        }
        self.position = start + RECORD_HEADER as u64 + length;
        match kind {
            op::DATA_END | op::FOOTER => {
                self.finished = true;
                return Ok(None);
            }
            op::CHUNK => {
                if !self.chunk_is_wanted(start) {
                    return self.skip(length);
                }
                if length > UNPACKED_LIMIT {
                    self.lose(length, 0, "a chunk is too large");
                    return self.skip(length);
                }
                self.read_packed(length)?;
                self.open_chunk(false)?;
            }
            op::MESSAGE if length >= MESSAGE_HEADER as u64 && length <= UNPACKED_LIMIT => {
                let mut header = [0_u8; MESSAGE_HEADER];
                self.read_exact(&mut header)?;
                let payload = length - MESSAGE_HEADER as u64;
                let Some(message) = self.message_header(&header, payload) else { return self.skip(payload) };
                data.clear();
                (&mut self.file).take(payload).read_to_end(data).map_err(|error| BagError::io(&self.path, error))?;
                if data.len() as u64 == payload {
                    return Ok(Some(message));
                }
                self.lose(data.len() as u64, 1, "the file ends inside a message");
                self.finished = true;
            }
            op::SCHEMA | op::CHANNEL if length <= DEFINITION_LIMIT => {
                self.read_packed(length)?;
                let packed = std::mem::take(&mut self.packed);
                self.take_definition(kind, &packed);
                self.packed = packed;
            }
            op::MESSAGE | op::SCHEMA | op::CHANNEL => {
                self.lose(length, u64::from(kind == op::MESSAGE), "a record has an impossible length");
                return self.skip(length);
            }
            op::MESSAGE_INDEX if length >= 6 => {
                let mut head = [0_u8; 6];
                self.read_exact(&mut head)?;
                let [id_low, id_high, list @ ..] = head;
                if u64::from(u32::from_le_bytes(list)) != length - 6 {
                    // Passed over unread, a wrong length would swallow the chunks behind it.
                    return self.past_the_breakage(start, kind, length, available);
                }
                let channel = self.channels.get(&u16::from_le_bytes([id_low, id_high]));
                if self.counting_lost && channel.is_none_or(|channel| self.wants(channel)) {
                    // An entry takes 16 bytes.
                    self.loss.messages += (length - 6) / 16;
                }
                return self.skip(length - 6);
            }
            // Kinds up to 0x7F are MCAP's own: one that is not known is a corrupt one. Private records come above.
            0x10..0x80 => {
                self.lose(length, 0, &format!("a record of unknown kind {kind:#04x} at byte {start}"));
                return self.skip(length);
            }
            _ => return self.skip(length),
        }
        Ok(None)
    }

    /// Goes on behind a record that makes no sense: at the next chunk the index knows, else nowhere. What a chunk that was cut
    /// off still holds is read.
    fn past_the_breakage(
        &mut self,
        start: u64,
        kind: u8,
        length: u64,
        available: u64,
    ) -> Result<Option<McapMessage>, BagError> {
        if let Some((&next, _)) = self.chunks.range(start + 1..self.size).next() {
            self.lose(next - start, 0, &format!("corrupt between bytes {start} and {next}"));
            self.file.seek(SeekFrom::Start(next)).map_err(|error| BagError::io(&self.path, error))?;
            self.position = next;
            return Ok(None);
        }
        self.finished = true;
        if kind == op::CHUNK && length > available && available <= UNPACKED_LIMIT {
            self.read_packed(available)?;
            self.open_chunk(true)?;
        } else if kind == 0 || length <= available {
            self.lose(available, 0, &format!("no records from byte {start} on"));
        } else {
            let messages = u64::from(kind == op::MESSAGE);
            self.lose(available, messages, &format!("the file ends inside the record at byte {start}"));
        }
        Ok(None)
    }

    /// False when the index says that no wanted topic has messages in the chunk at `start`.
    fn chunk_is_wanted(&self, start: u64) -> bool {
        match self.chunks.get(&start) {
            Some(place) if !place.channels.is_empty() && self.wanted.is_some() => {
                place.channels.iter().any(|id| self.channels.get(id).is_none_or(|channel| self.wants(channel)))
            }
            _ => true,
        }
    }

    /// Unpacks the chunk in `packed` and makes its records the present ones.
    fn open_chunk(&mut self, cut: bool) -> Result<(), BagError> {
        self.records.clear();
        self.record_at = 0;
        self.cut_chunk = cut;
        let packed = std::mem::take(&mut self.packed);
        let outcome = self.unpack_chunk(&packed, cut);
        self.packed = packed;
        outcome
    }

    fn unpack_chunk(&mut self, packed: &[u8], cut: bool) -> Result<(), BagError> {
        let size = packed.len() as u64;
        let Some(chunk) = ChunkParts::split(packed) else {
            let what = if cut { "the last chunk is cut off" } else { "a chunk's header is corrupt" };
            self.lose(size, 0, what);
            self.counting_lost = !cut;
            return Ok(());
        };
        let Some(compression) = ChunkCompression::from_name(chunk.compression) else {
            return Err(BagError::UnsupportedCompression {
                path: self.path.clone(),
                what: "chunk compression",
                name: chunk.compression.into(),
            });
        };
        self.chunk_compression.get_or_insert_with(|| chunk.compression.into());
        let available = (chunk.records.len() as u64).min(chunk.packed_size) as usize;
        let unpacked = compression.unpack(&chunk.records[..available], chunk.unpacked_size, &mut self.records);
        if cut {
            // The loss is told once, when the records that are there have been read.
            if unpacked.is_ok() || self.records.is_empty() || ends_between_records(&self.records) {
                self.lose(size, 0, "the last chunk is cut off");
            }
            return Ok(());
        }
        let broken = match unpacked {
            Err(error) => Some(format!("a chunk cannot be unpacked: {error}")),
            Ok(()) if chunk.crc != 0 && crc32fast::hash(&self.records) != chunk.crc => {
                Some("a chunk's checksum does not match its content".to_owned())
            }
            Ok(()) => None,
        };
        if let Some(what) = broken {
            self.records.clear();
            self.lose(size, 0, &what);
            self.counting_lost = true;
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), BagError> {
        self.file.read_exact(buffer).map_err(|error| BagError::io(&self.path, error))
    }

    /// Reads `length` bytes, which are known to be in the file, into `packed`.
    fn read_packed(&mut self, length: u64) -> Result<(), BagError> {
        self.packed.clear();
        (&mut self.file).take(length).read_to_end(&mut self.packed).map_err(|error| BagError::io(&self.path, error))?;
        Ok(())
    }

    fn skip(&mut self, length: u64) -> Result<Option<McapMessage>, BagError> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        self.file.seek_relative(length).map_err(|error| BagError::io(&self.path, error))?;
        Ok(None)
    }
}

/// True when the bytes are whole records only, so that nothing else would tell that more should follow.
fn ends_between_records(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some((_, _, rest)) = split_record(bytes) else { return false };
        bytes = rest;
    }
    true
}

/// The fields of a chunk record that are needed.
struct ChunkParts<'a> {
    unpacked_size: u64,
    crc: u32,
    compression: &'a str,
    packed_size: u64,
    records: &'a [u8],
}

impl<'a> ChunkParts<'a> {
    /// Start time, end time, unpacked size, CRC, compression name, packed size, records. The records may be cut off.
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (_times, rest) = bytes.split_at_checked(16)?;
        let (unpacked_size, rest) = rest.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (name_length, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*name_length)).ok()?)?;
        let (packed_size, records) = rest.split_first_chunk()?;
        Some(Self {
            unpacked_size: u64::from_le_bytes(*unpacked_size),
            crc: u32::from_le_bytes(*crc),
            compression: std::str::from_utf8(name).ok()?,
            packed_size: u64::from_le_bytes(*packed_size),
            records,
        })
    }
}
