//! Decoded frames kept for all epochs: in memory up to a limit, the rest in a temporary file that vanishes with the process.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

/// Blocks of bytes, written once and read by many threads.
#[derive(Debug)]
pub struct PixelCache {
    limit: usize,
    used: usize,
    blocks: Vec<Block>,
    spill: Option<File>,
    spilled: u64,
}

#[derive(Debug)]
enum Block {
    Memory(Box<[u8]>),
    File { offset: u64, length: usize },
}

/// A block in a [`PixelCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId(usize);

impl PixelCache {
    /// An empty cache that keeps up to `limit` bytes in memory.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, blocks: Vec::new(), spill: None, spilled: 0 }
    }

    /// Keeps a block.
    ///
    /// # Errors
    /// When the temporary file cannot be written (the disk of the temporary folder is full).
    pub fn push(&mut self, bytes: Vec<u8>) -> io::Result<BlockId> {
        let block = if self.used + bytes.len() <= self.limit {
            self.used += bytes.len();
            Block::Memory(bytes.into_boxed_slice())
        } else {
            let file = match &mut self.spill {
                Some(file) => file,
                none => none.insert(tempfile::tempfile()?),
            };
            file.write_all(&bytes)?;
            let offset = self.spilled;
            self.spilled += bytes.len() as u64;
            Block::File { offset, length: bytes.len() }
        };
        self.blocks.push(block);
        Ok(BlockId(self.blocks.len() - 1))
    }

    /// The block's bytes, borrowed when they are in memory.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn get(&self, id: BlockId) -> io::Result<Cow<'_, [u8]>> {
        match (&self.blocks[id.0], &self.spill) {
            (Block::Memory(bytes), _) => Ok(Cow::Borrowed(bytes)),
            (Block::File { offset, length }, Some(file)) => {
                let mut bytes = vec![0; *length];
                file.read_exact_at(&mut bytes, *offset)?;
                Ok(Cow::Owned(bytes))
            }
            (Block::File { .. }, None) => Err(io::Error::other("the temporary file of the frame cache is gone")),
        }
    }

    /// Bytes in memory and bytes in the temporary file.
    pub fn size(&self) -> (usize, u64) {
        (self.used, self.spilled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_read_back_from_the_file() {
        let mut cache = PixelCache::new(10);
        let ids: Vec<BlockId> = (0..5u8).map(|value| cache.push(vec![value; 4]).unwrap()).collect();
        assert_eq!(cache.size(), (8, 12));
        for (value, id) in ids.into_iter().enumerate() {
            assert_eq!(*cache.get(id).unwrap(), [value as u8; 4]);
        }
    }
}
