//! Float arrays that stay where they are.

use serde::{Serialize, Serializer};

use crate::messages::DecodeError;
use crate::messages::cdr::{Cdr, Endianness, Reader, Writer};

/// A `float32[]` borrowed either from a message's bytes (any byte order, any alignment) or from a slice that is to be encoded.
#[derive(Clone, Copy)]
pub struct Floats<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Four bytes an element, as they lie in the message.
    Wire(&'a [[u8; 4]], Endianness),
    Native(&'a [f32]),
}

impl<'a> Floats<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Wire(chunks, _) => chunks.len(),
            Source::Native(values) => values.len(),
        }
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<f32> {
        match self.0 {
            Source::Wire(chunks, endianness) => chunks.get(index).map(|&chunk| from_wire(chunk, endianness)),
            Source::Native(values) => values.get(index).copied(),
        }
    }

    /// The elements in order, decoded as they are asked for.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        let this = *self;
        (0..this.len()).map(move |index| match this.0 {
            Source::Wire(chunks, endianness) => from_wire(chunks[index], endianness),
            Source::Native(values) => values[index],
        })
    }

    /// A copy of the elements.
    pub fn to_vec(&self) -> Vec<f32> {
        self.iter().collect()
    }
}

fn from_wire(chunk: [u8; 4], endianness: Endianness) -> f32 {
    match endianness {
        Endianness::Little => f32::from_le_bytes(chunk),
        Endianness::Big => f32::from_be_bytes(chunk),
    }
}

impl<'a> From<&'a [f32]> for Floats<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self(Source::Native(values))
    }
}

impl<'a> From<&'a Vec<f32>> for Floats<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self(Source::Native(values))
    }
}

impl Default for Floats<'_> {
    fn default() -> Self {
        Self(Source::Native(&[]))
    }
}

impl PartialEq for Floats<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl std::fmt::Debug for Floats<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Floats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'a> Cdr<'a> for Floats<'a> {
    const MIN_BYTES: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // The length is a u32, so what follows it is aligned for f32.
        let length = reader.take_length(4)?;
        let (chunks, _) = reader.take(length * 4)?.as_chunks();
        Ok(Self(Source::Wire(chunks, reader.endianness())))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put_length(self.len());
        for value in self.iter() {
            value.write(writer);
        }
    }
}
