//! Stamps and how old they are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::messages::Time;

/// Stamps further from the system's clock than this are of another clock: a simulation or the playback of a recording.
const SAME_CLOCK: Duration = Duration::from_secs(60);

/// Nanoseconds since 1970 by the system's clock.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

/// How old a stamp is at a time, both in nanoseconds since 1970; nothing where the stamp is of another clock.
pub(super) fn age(time: i64, stamp: i64) -> Option<Duration> {
    let difference = time.checked_sub(stamp)?;
    let age = Duration::from_nanos(u64::try_from(difference).unwrap_or(0));
    (Duration::from_nanos(difference.unsigned_abs()) <= SAME_CLOCK).then_some(age)
}

/// Nanoseconds since the clock's epoch as r2r's own messages want them.
pub(super) fn ros_time(nanoseconds: i64) -> r2r::builtin_interfaces::msg::Time {
    let Time { sec, nanosec } = Time::from_nanoseconds(nanoseconds);
    r2r::builtin_interfaces::msg::Time { sec, nanosec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stamps_of_the_same_clock_have_an_age() {
        const SECOND: i64 = 1_000_000_000;
        let now = 1_800_000_000 * SECOND;
        assert_eq!(age(now, now - 2 * SECOND), Some(Duration::from_secs(2)));
        // Clocks of two machines are never quite the same.
        assert_eq!(age(now, now + SECOND / 100), Some(Duration::ZERO));
        assert_eq!(age(now, 12 * SECOND), None);
        assert_eq!(age(now, now + 3600 * SECOND), None);
        assert_eq!(age(i64::MAX, i64::MIN), None);
    }
}
