//! Time and the header that nearly every message starts with.

use crate::messages::cdr::cdr_struct;

cdr_struct! {
    /// `builtin_interfaces/msg/Time`: time since the epoch of the clock in use (Unix epoch, or the simulation's start).
    #[derive(Copy, Eq, PartialOrd, Ord, Hash)]
    pub struct Time = "builtin_interfaces/msg/Time" {
        /// Whole seconds, rounded down.
        pub sec: i32,
        /// Nanoseconds after `sec`, in `[0, 1e9)`.
        pub nanosec: u32,
    }
}

impl Time {
    /// Nanoseconds since the clock's epoch. Every value fits: no overflow.
    pub fn to_nanoseconds(self) -> i64 {
        i64::from(self.sec) * 1_000_000_000 + i64::from(self.nanosec)
    }

    /// The time of `nanoseconds` since the clock's epoch; beyond the range of 32-bit seconds (the year 2038) the nearest time
    /// that can be expressed.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        match i32::try_from(seconds) {
            // The remainder is in [0, 1e9), so it fits.
            Ok(sec) => Self { sec, nanosec: nanoseconds.rem_euclid(1_000_000_000) as u32 },
            Err(_) if seconds < 0 => Self { sec: i32::MIN, nanosec: 0 },
            Err(_) => Self { sec: i32::MAX, nanosec: 999_999_999 },
        }
    }
}

cdr_struct! {
    /// `std_msgs/msg/Header`: when and in which frame the data were measured.
    #[derive(Copy, Eq)]
    pub struct Header<'a> = "std_msgs/msg/Header" {
        /// When.
        pub stamp: Time,
        /// Name of the coordinate frame.
        pub frame_id: &'a str,
    }
}

impl Header<'_> {
    /// The stamp of a message of any type that begins with a header, of which nothing else is read; nothing where the bytes cannot be
    /// such a message.
    pub fn stamp_of(message: &[u8]) -> Option<Time> {
        Time::decode(message).ok().filter(|stamp| stamp.nanosec < 1_000_000_000)
    }
}

cdr_struct! {
    /// `std_msgs/msg/String`: a text.
    #[derive(Copy, Eq)]
    pub struct Text<'a> = "std_msgs/msg/String" {
        /// The text.
        pub data: &'a str,
    }
}

cdr_struct! {
    /// `rosgraph_msgs/msg/Clock`: simulated time.
    #[derive(Copy, Eq)]
    pub struct Clock = "rosgraph_msgs/msg/Clock" {
        /// The time it is.
        pub clock: Time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Endianness, Image, Message};

    #[test]
    fn the_stamp_is_read_without_the_rest() {
        let header = Header { stamp: Time { sec: -3, nanosec: 999_999_999 }, frame_id: "camera" };
        let image = Image { header, data: &[1, 2, 3], ..Default::default() };
        for endianness in [Endianness::Little, Endianness::Big] {
            let mut bytes = Vec::new();
            image.encode_into(endianness, &mut bytes);
            assert_eq!(Header::stamp_of(&bytes), Some(header.stamp));
            assert_eq!(Header::stamp_of(&bytes[..12]), Some(header.stamp), "what follows the stamp may be anything");
            assert_eq!(Header::stamp_of(&bytes[..11]), None);
        }
        assert_eq!(Header::stamp_of(b"no message at all"), None);
        assert_eq!(
            Header::stamp_of(&[0, 1, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]),
            None,
            "a second has 1e9 nanoseconds"
        );
    }

    #[test]
    fn time_before_the_epoch_rounds_down() {
        let time = Time::from_nanoseconds(-1);
        assert_eq!(time, Time { sec: -1, nanosec: 999_999_999 });
        assert_eq!(time.to_nanoseconds(), -1);
    }

    #[test]
    fn time_out_of_range_saturates() {
        assert_eq!(Time::from_nanoseconds(i64::MAX), Time { sec: i32::MAX, nanosec: 999_999_999 });
        assert_eq!(Time::from_nanoseconds(i64::MIN).sec, i32::MIN);
    }
}
