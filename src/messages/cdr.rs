//! The wire format: Common Data Representation, plain (XCDR1), as ROS 2 middlewares write it.
//!
//! A message is four bytes of encapsulation header (`00 00` big endian, `00 01` little endian, then two option bytes) and the
//! fields one after another; a primitive of `n` bytes starts at a multiple of `n`, counted from the end of the header
//! (OMG DDS-RTPS 2.5 section 10, DDS-XTypes 1.3 section 7.4.3, which calls it "PLAIN_CDR").
//!
//! Why not a general CDR crate: serde-driven ones trust length fields when they reserve memory, cannot name the field that was
//! cut short, and read float arrays element by element into a new vector. This reader is smaller than its adapter would be.

use crate::messages::DecodeError;

/// Length of the encapsulation header.
const HEADER_BYTES: usize = 4;

/// Byte order of an encoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endianness {
    /// Least significant byte first: what every robot of today writes.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

/// A cursor over the bytes of one message, after the encapsulation header.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    endianness: Endianness,
}

impl<'a> Reader<'a> {
    /// Checks the encapsulation header.
    pub(super) fn new(message: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, bytes) =
            message.split_first_chunk::<HEADER_BYTES>().ok_or(DecodeError::MissingHeader { found: message.len() })?;
        let endianness = match header {
            [0, 0, ..] => Endianness::Big,
            [0, 1, ..] => Endianness::Little,
            [high, low, ..] => {
                return Err(DecodeError::UnsupportedEncapsulation { identifier: u16::from_be_bytes([*high, *low]) });
            }
        };
        Ok(Self { bytes, position: 0, endianness })
    }

    /// Byte order of the message.
    pub(super) fn endianness(&self) -> Endianness {
        self.endianness
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Skips to the next multiple of `alignment`, at most to the end.
    fn align(&mut self, alignment: usize) {
        self.position = self.position.next_multiple_of(alignment).min(self.bytes.len());
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let remaining = self.remaining();
        if count > remaining {
            return Err(DecodeError::Truncated { field: String::new(), needed: count, remaining });
        }
        let taken = &self.bytes[self.position..self.position + count];
        self.position += count;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.align(N);
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A sequence's length, refused when that many elements of at least `min_element_bytes` cannot follow.
    pub(super) fn take_length(&mut self, min_element_bytes: usize) -> Result<usize, DecodeError> {
        let length = u32::read(self)? as usize;
        let remaining = self.remaining();
        if length > remaining / min_element_bytes.max(1) {
            return Err(DecodeError::ImpossibleLength { field: String::new(), length, remaining });
        }
        Ok(length)
    }
}

/// Writes the fields of one message behind its encapsulation header.
pub(super) struct Writer<'b> {
    bytes: &'b mut Vec<u8>,
    endianness: Endianness,
}

impl<'b> Writer<'b> {
    /// Clears `bytes` and writes the encapsulation header.
    pub(super) fn new(bytes: &'b mut Vec<u8>, endianness: Endianness) -> Self {
        bytes.clear();
        bytes.extend_from_slice(match endianness {
            Endianness::Little => &[0, 1, 0, 0],
            Endianness::Big => &[0, 0, 0, 0],
        });
        Self { bytes, endianness }
    }

    fn align(&mut self, alignment: usize) {
        let position = self.bytes.len() - HEADER_BYTES;
        self.bytes.resize(HEADER_BYTES + position.next_multiple_of(alignment), 0);
    }

    /// Writes a sequence's length.
    ///
    /// # Panics
    /// When the sequence has 2^32 elements or more, which CDR cannot express.
    pub(super) fn put_length(&mut self, length: usize) {
        u32::try_from(length).expect("a CDR sequence has fewer than 2^32 elements").write(self);
    }

    fn put_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// A value with a place in the wire format. `MIN_BYTES` is the least a value takes (without alignment): it bounds the length
/// of sequences before memory is reserved for them.
pub(super) trait Cdr<'a>: Sized {
    const MIN_BYTES: usize;
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
    fn write(&self, writer: &mut Writer<'_>);
}

macro_rules! primitive {
    ($($type:ty),*) => {$(
        impl<'a> Cdr<'a> for $type {
            const MIN_BYTES: usize = size_of::<$type>();
            fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let bytes = reader.take_array()?;
                Ok(match reader.endianness {
                    Endianness::Little => <$type>::from_le_bytes(bytes),
                    Endianness::Big => <$type>::from_be_bytes(bytes),
                })
            }
            fn write(&self, writer: &mut Writer<'_>) {
                writer.align(size_of::<$type>());
                let bytes = match writer.endianness {
                    Endianness::Little => self.to_le_bytes(),
                    Endianness::Big => self.to_be_bytes(),
                };
                writer.put_raw(&bytes);
            }
        }
    )*};
}

primitive!(u8, u16, u32, i32, f32, f64);

impl<'a> Cdr<'a> for bool {
    const MIN_BYTES: usize = 1;
    /// Any byte but 0 is true.
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(u8::read(reader)? != 0)
    }
    fn write(&self, writer: &mut Writer<'_>) {
        u8::from(*self).write(writer);
    }
}

impl<'a> Cdr<'a> for &'a str {
    const MIN_BYTES: usize = 4;
    /// The length on the wire counts the closing zero byte; some writers give an empty string as length 0.
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let length = reader.take_length(1)?;
        let bytes = reader.take(length)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        std::str::from_utf8(text)
            .map_err(|error| DecodeError::NotUtf8 { field: String::new(), valid_up_to: error.valid_up_to() })
    }
    fn write(&self, writer: &mut Writer<'_>) {
        writer.put_length(self.len() + 1);
        writer.put_raw(self.as_bytes());
        writer.put_raw(&[0]);
    }
}

/// `uint8[]`, borrowed from the message.
impl<'a> Cdr<'a> for &'a [u8] {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let length = reader.take_length(1)?;
        reader.take(length)
    }
    fn write(&self, writer: &mut Writer<'_>) {
        writer.put_length(self.len());
        writer.put_raw(self);
    }
}

impl<'a, T: Cdr<'a>> Cdr<'a> for Vec<T> {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let length = reader.take_length(T::MIN_BYTES)?;
        let mut elements = Vec::with_capacity(length);
        for index in 0..length {
            elements.push(T::read(reader).map_err(|error| error.at_index(index))?);
        }
        Ok(elements)
    }
    fn write(&self, writer: &mut Writer<'_>) {
        writer.put_length(self.len());
        for element in self {
            element.write(writer);
        }
    }
}

impl<'a, T: Cdr<'a> + Copy + Default, const N: usize> Cdr<'a> for [T; N] {
    const MIN_BYTES: usize = N * T::MIN_BYTES;
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut array = [T::default(); N];
        for (index, element) in array.iter_mut().enumerate() {
            *element = T::read(reader).map_err(|error| error.at_index(index))?;
        }
        Ok(array)
    }
    fn write(&self, writer: &mut Writer<'_>) {
        for element in self {
            element.write(writer);
        }
    }
}

/// Defines a structure whose fields lie on the wire in the order written here. With a ROS type name it is a message of its own
/// and gets `decode` and `encode`.
macro_rules! cdr_struct {
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> $(= $ros:literal)? {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
        pub struct $name<$life> { $($(#[$field_meta])* pub $field: $type,)* }
        cdr_struct!(@implement [$life] [$name<$life>] { $($field: $type,)* });
        $(cdr_struct!(@message [$life] [$name<$life>] $ros);)?
    };
    ($(#[$meta:meta])* pub struct $name:ident $(= $ros:literal)? {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        cdr_struct!(@implement ['a] [$name] { $($field: $type,)* });
        $(cdr_struct!(@message ['a] [$name] $ros);)?
    };
    (@implement [$life:lifetime] [$($name:tt)*] { $($field:ident: $type:ty,)* }) => {
        impl<$life> $crate::messages::cdr::Cdr<$life> for $($name)* {
            const MIN_BYTES: usize = 0 $(+ <$type as $crate::messages::cdr::Cdr<$life>>::MIN_BYTES)*;
            fn read(
                reader: &mut $crate::messages::cdr::Reader<$life>,
            ) -> Result<Self, $crate::messages::DecodeError> {
                $(let $field = <$type as $crate::messages::cdr::Cdr<$life>>::read(reader)
                    .map_err(|error| error.inside(stringify!($field)))?;)*
                Ok(Self { $($field,)* })
            }
            fn write(&self, writer: &mut $crate::messages::cdr::Writer<'_>) {
                $($crate::messages::cdr::Cdr::write(&self.$field, writer);)*
            }
        }
    };
    (@message [$life:lifetime] [$($name:tt)*] $ros:literal) => {
        #[allow(clippy::extra_unused_lifetimes)]
        impl<$life> $($name)* {
            /// The ROS name of this message type.
            pub const TYPE_NAME: &'static str = $ros;

            /// Reads a message from its CDR bytes, encapsulation header included; strings and byte payloads are borrowed.
            /// Bytes left over at the end are padding and ignored.
            ///
            /// # Errors
            /// [`DecodeError`](crate::messages::DecodeError) names the field that does not fit.
            pub fn decode(message: &$life [u8]) -> Result<Self, $crate::messages::DecodeError> {
                let mut reader = $crate::messages::cdr::Reader::new(message)?;
                <Self as $crate::messages::cdr::Cdr<$life>>::read(&mut reader)
            }
        }
        #[allow(clippy::extra_unused_lifetimes)]
        impl<$life> $crate::messages::Message for $($name)* {
            const TYPE_NAME: &'static str = $ros;

            fn encode_into(&self, endianness: $crate::messages::Endianness, bytes: &mut Vec<u8>) {
                let mut writer = $crate::messages::cdr::Writer::new(bytes, endianness);
                $crate::messages::cdr::Cdr::write(self, &mut writer);
            }
        }
        #[allow(clippy::extra_unused_lifetimes)]
        impl<$life> $($name)* {
            /// The message in CDR, little endian, encapsulation header included.
            pub fn encode(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                $crate::messages::Message::encode_into(self, $crate::messages::Endianness::Little, &mut bytes);
                bytes
            }
        }
    };
}

pub(super) use cdr_struct;
