//! Decoded frames kept for all epochs: in memory up to a limit, the rest in a temporary file that vanishes with the process
//! and is mapped into memory, so that what is read often stays there as far as there is room.

use std::{
    fs::File,
    io::{self, Write},
    sync::OnceLock,
};

use memmap2::Mmap;

/// Blocks of bytes, written once and read by many threads.
#[derive(Debug)]
pub struct PixelCache {
    limit: usize,
    used: usize,
    blocks: Vec<Block>,
    spill: Option<File>,
    spilled: usize,
    /// The temporary file as it was when a block of it was asked for.
    map: OnceLock<Mmap>,
}

#[derive(Debug)]
enum Block {
    Memory(Box<[u8]>),
    File { offset: usize, length: usize },
}

/// A block in a [`PixelCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId(usize);

impl PixelCache {
    /// An empty cache that keeps up to `limit` bytes in memory.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, blocks: Vec::new(), spill: None, spilled: 0, map: OnceLock::new() }
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
            self.map = OnceLock::new();
            let offset = self.spilled;
            self.spilled += bytes.len();
            Block::File { offset, length: bytes.len() }
        };
        self.blocks.push(block);
        Ok(BlockId(self.blocks.len() - 1))
    }

    /// The block's bytes.
    ///
    /// # Errors
    /// When the temporary file cannot be mapped.
    pub fn get(&self, id: BlockId) -> io::Result<&[u8]> {
        match &self.blocks[id.0] {
            Block::Memory(bytes) => Ok(bytes),
            Block::File { offset, length } => Ok(&self.map()?[*offset..offset + length]),
        }
    }

    fn map(&self) -> io::Result<&Mmap> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let file =
            self.spill.as_ref().ok_or_else(|| io::Error::other("the temporary file of the frame cache is gone"))?;
        // SAFETY: the file has no name, so nobody else can change it or cut it short, and this cache writes to it only through
        // `&mut self`, while no block is lent.
        let map = unsafe { Mmap::map(file) }?;
        Ok(self.map.get_or_init(|| map))
    }

    /// Bytes in memory and bytes in the temporary file.
    pub fn size(&self) -> (usize, usize) {
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
        for (value, id) in ids.iter().enumerate() {
            assert_eq!(cache.get(*id).unwrap(), [value as u8; 4]);
        }
        let later = cache.push(vec![9; 7]).unwrap();
        assert_eq!(cache.get(later).unwrap(), [9; 7]);
        assert_eq!(cache.get(ids[4]).unwrap(), [4; 4]);
    }
}
