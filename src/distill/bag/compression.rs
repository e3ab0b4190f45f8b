//! Undoing the compressions that recordings come in, within bounds.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use super::{BagError, Loss, temporary::temporary_file};

/// The first bytes of a zstd frame. A CDR message starts with a zero byte, so this tells compressed messages for sure.
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// No message and no chunk is unpacked beyond this many bytes: a small corrupt one could otherwise fill the memory.
pub(super) const UNPACKED_LIMIT: u64 = 2 << 30;

/// Unpacks a message that rosbag2 compressed by itself (`compression_mode: MESSAGE`) in place; one that is not compressed stays as it is.
///
/// # Errors
/// In words, when the frame is corrupt or too large.
pub(super) fn unpack_message(message: &mut Vec<u8>, spare: &mut Vec<u8>) -> Result<(), String> {
    if !message.starts_with(&ZSTD_MAGIC) {
        return Ok(());
    }
    spare.clear();
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(message.as_slice()).map_err(|error| error.to_string())?;
    let read = (&mut decoder).take(UNPACKED_LIMIT + 1).read_to_end(spare).map_err(|error| error.to_string())?;
    if read as u64 > UNPACKED_LIMIT {
        return Err(format!("unpacks to more than {UNPACKED_LIMIT} bytes"));
    }
    std::mem::swap(message, spare);
    Ok(())
}

/// How an MCAP chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkCompression {
    None,
    Zstd,
    Lz4,
}

impl ChunkCompression {
    /// By the name in the chunk; `None` for one that is not known.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "" | "none" => Some(Self::None),
            "zstd" => Some(Self::Zstd),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Unpacks into `records` (emptied first). What was unpacked before an error stays there: the start of a chunk that
    /// was cut off is whole.
    pub(super) fn unpack(self, packed: &[u8], expected: u64, records: &mut Vec<u8>) -> io::Result<()> {
        records.clear();
        let limit = expected.min(UNPACKED_LIMIT);
        let result = match self {
            Self::None => {
                records.extend_from_slice(&packed[..packed.len().min(limit as usize)]);
                Ok(())
            }
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(packed)
                .and_then(|decoder| decoder.take(limit).read_to_end(records).map(|_| ())),
            Self::Lz4 => read_up_to(&mut lz4_flex::frame::FrameDecoder::new(packed), limit, records),
        };
        result?;
        if records.len() as u64 == expected {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("unpacks to {} bytes instead of {expected}", records.len()),
            ))
        }
    }
}

/// `read_to_end` with a bound, keeping what came before an error.
fn read_up_to(reader: &mut impl Read, limit: u64, into: &mut Vec<u8>) -> io::Result<()> {
    reader.take(limit).read_to_end(into).map(|_| ())
}

/// Unpacks a file that rosbag2 compressed as a whole (`compression_mode: FILE`) to a temporary file, as a stream. A file that
/// ends early or is corrupt is unpacked as far as it goes, and the rest is counted as lost.
///
/// # Errors
/// When the file cannot be read or the temporary file cannot be written.
pub(super) fn unpack_file(path: &Path, loss: &mut Loss) -> Result<tempfile::NamedTempFile, BagError> {
    let packed = File::open(path).map_err(|error| BagError::io(path, error))?;
    let size = packed.metadata().map_err(|error| BagError::io(path, error))?.len();
    let mut unpacked = temporary_file()?;
    let mut counted = Counted { inner: packed, read: 0 };
    let outcome = {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(1 << 20, &mut counted))
            .map_err(|error| BagError::io(path, error))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break None,
                Ok(n) => {
                    unpacked.write_all(&buffer[..n]).map_err(|error| BagError::io(unpacked.path(), error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        }
    };
    if let Some(error) = outcome {
        loss.add(size.saturating_sub(counted.read), 0, format!("{}: zstd stream: {error}", path.display()));
    }
    Ok(unpacked)
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_unpacked_only_when_packed() {
        let plain = [0_u8, 1, 0, 0, 42];
        let mut message = plain.to_vec();
        let mut spare = Vec::new();
        unpack_message(&mut message, &mut spare).unwrap();
        assert_eq!(message, plain);
        message = zstd::encode_all(plain.as_slice(), 1).unwrap();
        unpack_message(&mut message, &mut spare).unwrap();
        assert_eq!(message, plain);
        let mut cut = zstd::encode_all([7_u8; 1000].as_slice(), 1).unwrap();
        cut.truncate(9);
        assert!(unpack_message(&mut cut, &mut spare).is_err());
    }

    #[test]
    fn chunks_that_lie_about_their_size_are_refused() {
        let mut records = Vec::new();
        let packed = zstd::encode_all([1_u8; 100].as_slice(), 1).unwrap();
        assert!(ChunkCompression::Zstd.unpack(&packed, 100, &mut records).is_ok());
        assert!(ChunkCompression::Zstd.unpack(&packed, u64::MAX, &mut records).is_err());
        assert_eq!(records.len(), 100);
        assert!(ChunkCompression::None.unpack(&[1, 2, 3], 4, &mut records).is_err());
        assert_eq!(ChunkCompression::from_name("aes"), None);
    }
}
