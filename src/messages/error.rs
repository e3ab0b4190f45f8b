//! What can be wrong with a message's bytes.

/// Why bytes are not the message they should be. `field` is the path within the message, such as `results[2].hypothesis`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the encapsulation header has.
    #[error("the message has {found} bytes, not even the 4 of its CDR header")]
    MissingHeader {
        /// Bytes there were.
        found: usize,
    },
    /// Not plain CDR, so the layout is unknown.
    #[error(
        "CDR encapsulation {identifier:#06x} is not supported (only plain CDR, 0x0000 and 0x0001): \
         make the publisher use XCDR1, the ROS 2 default"
    )]
    UnsupportedEncapsulation {
        /// The first two bytes of the message.
        identifier: u16,
    },
    /// The bytes end within a field.
    #[error("the message ends within field `{field}`: {needed} bytes needed, {remaining} left")]
    Truncated {
        /// Path of the field.
        field: String,
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A length field that the bytes left cannot hold.
    #[error("field `{field}` claims {length} elements, more than the {remaining} bytes left can hold")]
    ImpossibleLength {
        /// Path of the field.
        field: String,
        /// Elements claimed.
        length: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string in field `{field}` is not UTF-8 (valid up to byte {valid_up_to})")]
    NotUtf8 {
        /// Path of the field.
        field: String,
        /// How many bytes of the string are good.
        valid_up_to: usize,
    },
}

impl DecodeError {
    fn map_field(mut self, change: impl FnOnce(&mut String)) -> Self {
        match &mut self {
            Self::Truncated { field, .. } | Self::ImpossibleLength { field, .. } | Self::NotUtf8 { field, .. } => {
                change(field);
            }
            Self::MissingHeader { .. } | Self::UnsupportedEncapsulation { .. } => {}
        }
        self
    }

    /// Prefixes the path with the name of the enclosing field.
    pub(super) fn inside(self, outer: &str) -> Self {
        self.map_field(|field| {
            let dot = if field.is_empty() || field.starts_with('[') { "" } else { "." };
            *field = format!("{outer}{dot}{field}");
        })
    }

    /// Prefixes the path with an element's index.
    pub(super) fn at_index(self, index: usize) -> Self {
        self.inside(&format!("[{index}]"))
    }
}
