//! An MCAP file's summary section: channels, counts and the chunk index, without reading the messages.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use mcap::records::{Record, op};

use super::BagError;

/// A record starts with its kind (1 byte) and length (8 bytes, little endian).
pub(super) const RECORD_HEADER: usize = 9;
/// Footer record and closing magic.
const FOOTER_AND_MAGIC: u64 = (RECORD_HEADER + 20 + mcap::MAGIC.len()) as u64;
/// Longer summaries are not loaded; the file is then read from its start.
const SUMMARY_LIMIT: u64 = 128 << 20;

/// A channel of an MCAP file: a topic and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct McapChannel {
    pub(super) topic: String,
    pub(super) type_name: String,
    pub(super) encoding: String,
    pub(super) offered_qos: String,
}

impl McapChannel {
    pub(super) fn new(channel: mcap::records::Channel, schemas: &HashMap<u16, String>) -> Self {
        let mut metadata = channel.metadata;
        Self {
            topic: channel.topic,
            type_name: schemas.get(&channel.schema_id).cloned().unwrap_or_default(),
            encoding: channel.message_encoding,
            offered_qos: metadata.remove("offered_qos_profiles").unwrap_or_default(),
        }
    }
}

/// A chunk's place and what is in it.
#[derive(Debug, Clone)]
pub(super) struct ChunkPlace {
    /// The channels with messages in it; empty where the file does not say.
    pub(super) channels: Vec<u16>,
    pub(super) compression: String,
}

/// What the summary section says.
#[derive(Debug, Default)]
pub(super) struct McapSummary {
    pub(super) channels: BTreeMap<u16, McapChannel>,
    pub(super) message_counts: BTreeMap<u16, u64>,
    /// First and last log time; `None` when there are no messages.
    pub(super) times: Option<(u64, u64)>,
    /// By the offset of the chunk record in the file.
    pub(super) chunks: BTreeMap<u64, ChunkPlace>,
}

/// Splits the record at the start of `bytes` off: kind, content, what follows. `None` when it is not all there.
pub(super) fn split_record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let length = u64::from_le_bytes(header[1..].try_into().ok()?);
    let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((header[0], content, rest))
}

/// Reads the summary; `Ok(None)` when there is none with counts (cut off, never written, or corrupt): the file is then
/// read from its start.
///
/// # Errors
/// Only when the system cannot read the file.
pub(super) fn read_summary(path: &Path) -> Result<Option<McapSummary>, BagError> {
    let io_error = |error| BagError::io(path, error);
    let mut file = File::open(path).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    if size < FOOTER_AND_MAGIC + mcap::MAGIC.len() as u64 {
        return Ok(None);
    }
    let footer_start = size - FOOTER_AND_MAGIC;
    file.seek(SeekFrom::Start(footer_start)).map_err(io_error)?;
    let mut footer = [0_u8; FOOTER_AND_MAGIC as usize];
    file.read_exact(&mut footer).map_err(io_error)?;
    let Some((op::FOOTER, content, magic)) = split_record(&footer) else { return Ok(None) };
    if magic != mcap::MAGIC || content.len() != 20 {
        return Ok(None);
    }
    let summary_start = u64::from_le_bytes(content[..8].try_into().unwrap_or_default());
    if summary_start == 0 || summary_start >= footer_start || footer_start - summary_start > SUMMARY_LIMIT {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(summary_start)).map_err(io_error)?;
    let mut bytes = vec![0; (footer_start - summary_start) as usize];
    file.read_exact(&mut bytes).map_err(io_error)?;
    let saved_crc = u32::from_le_bytes(content[16..20].try_into().unwrap_or_default());
    if saved_crc != 0 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes);
        hasher.update(&footer[..RECORD_HEADER + 16]);
        if hasher.finalize() != saved_crc {
            return Ok(None);
        }
    }
    Ok(parse_summary(&bytes))
}

/// The summary's records; `None` when one is corrupt or the counts are missing.
fn parse_summary(mut bytes: &[u8]) -> Option<McapSummary> {
    let mut summary = McapSummary::default();
    let mut schemas = HashMap::new();
    let mut counted = false;
    while !bytes.is_empty() {
        let (kind, content, rest) = split_record(bytes)?;
        bytes = rest;
        if !matches!(kind, op::SCHEMA | op::CHANNEL | op::STATISTICS | op::CHUNK_INDEX) {
            continue;
        }
        match mcap::parse_record(kind, content).ok()? {
            Record::Schema { header, .. } => {
                schemas.insert(header.id, header.name);
            }
            Record::Channel(channel) => {
                summary.channels.insert(channel.id, McapChannel::new(channel, &schemas));
            }
            Record::Statistics(statistics) => {
                counted = statistics.message_count == statistics.channel_message_counts.values().sum::<u64>();
                if statistics.message_count > 0 {
                    summary.times = Some((statistics.message_start_time, statistics.message_end_time));
                }
                summary.message_counts = statistics.channel_message_counts;
            }
            Record::ChunkIndex(chunk) => {
                let channels = chunk.message_index_offsets.into_keys().collect();
                summary
                    .chunks
                    .insert(chunk.chunk_start_offset, ChunkPlace { channels, compression: chunk.compression });
            }
            _ => {}
        }
    }
    let all_known = summary.message_counts.keys().all(|id| summary.channels.contains_key(id));
    (counted && all_known).then_some(summary)
}
