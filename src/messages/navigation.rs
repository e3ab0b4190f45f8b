//! What steers a robot (nav2_msgs).

use crate::messages::cdr::cdr_struct;
use crate::messages::header::Header;

cdr_struct! {
    /// `nav2_msgs/msg/SpeedLimit`: how fast Nav2's controller may drive from now on.
    #[derive(Copy)]
    pub struct SpeedLimit<'a> = "nav2_msgs/msg/SpeedLimit" {
        /// Stamp.
        pub header: Header<'a>,
        /// Whether the limit is in percent of the full speed; else in m/s.
        pub percentage: bool,
        /// The limit; 0 ends all limits.
        pub speed_limit: f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Time;

    #[test]
    fn the_limit_lies_at_a_multiple_of_eight() {
        let header = Header { stamp: Time { sec: 1, nanosec: 2 }, frame_id: "map" };
        let limit = SpeedLimit { header, percentage: true, speed_limit: 0.5 };
        let mut expected = vec![0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, b'm', b'a', b'p', 0, 1];
        expected.resize(4 + 24, 0);
        expected.extend_from_slice(&0.5_f64.to_le_bytes());
        assert_eq!(limit.encode(), expected);
        assert_eq!(SpeedLimit::decode(&expected).unwrap(), limit);
    }
}
