//! The wire format of protobuf, as far as it is needed to walk through messages and to write small ones.

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// Any integer, boolean or enumeration.
    Number(u64),
    /// A string, a message or packed numbers.
    Bytes(&'a [u8]),
    /// A number of four or eight bytes; nobody here needs one.
    Fixed,
}

/// A field of a message.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// Its number in the `.proto` file.
    pub number: u64,
    /// What it holds.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// A string's or message's bytes; none of a field of another kind.
    pub fn payload(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The fields of a message, in the wire format of protobuf; `None` as an item for bytes that are not in it, then the end.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read_field(&mut self.0);
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn read_field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    // Tags have 32 bits. A reader that cuts longer ones off would see another field than we do.
    let tag = u64::from(u32::try_from(varint(bytes)?).ok()?);
    let value = match tag & 7 {
        0 => Value::Number(varint(bytes)?),
        1 => take(bytes, 8).map(|_| Value::Fixed)?,
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => take(bytes, 4).map(|_| Value::Fixed)?,
        _ => return None,
    };
    let number = tag >> 3;
    (number > 0).then_some(Field { number, value })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

/// Takes a number of variable length off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a number of variable length, as fields' keys, lengths and integers are written.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that holds a string or a message.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
