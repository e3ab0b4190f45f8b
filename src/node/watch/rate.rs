//! Messages that come more seldom than they did.

use std::{collections::VecDeque, time::Instant};

use super::finding::Finding;

/// What a rate that dropped is counted under.
pub(super) const DROPPED: &str = "rate_drops";
/// Seconds that are remembered, and the one that is not over.
const SECONDS: usize = 61;
/// Seconds that make the rate of now.
const NOW: usize = 5;
/// Seconds before those that there must be, to know what is usual.
const USUAL: usize = 20;
/// Of sensors that are slower, in Hz, nothing can be said after a few seconds.
const SLOWEST: f64 = 1.0;

/// Messages in each second of the last minute.
#[derive(Debug)]
pub(super) struct RateWatch {
    begin: Instant,
    /// Whole seconds from the beginning to the newest of the counts.
    newest: u64,
    counts: VecDeque<u32>,
}

impl RateWatch {
    /// Begins at a time.
    pub(super) fn begin(now: Instant) -> Self {
        Self { begin: now, newest: 0, counts: VecDeque::from([0]) }
    }

    /// Counts a message.
    pub(super) fn arrived(&mut self, now: Instant) {
        self.advance(now);
        if let Some(count) = self.counts.back_mut() {
            *count = count.saturating_add(1);
        }
    }

    /// Lets the time go on.
    pub(super) fn advance(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.begin).as_secs();
        let passed = usize::try_from(second.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        self.newest = self.newest.max(second);
        self.counts.extend(std::iter::repeat_n(0, passed.min(SECONDS)));
        let surplus = self.counts.len().saturating_sub(SECONDS);
        self.counts.drain(..surplus);
    }

    /// The rate of the last few seconds and that of the minute before them, in Hz, as soon as both are known.
    fn rates(&self) -> Option<(f64, f64)> {
        let whole = self.counts.len() - 1;
        if whole < NOW + USUAL {
            return None;
        }
        let before = whole - NOW;
        let sum = |from: usize, to: usize| self.counts.range(from..to).map(|&count| f64::from(count)).sum::<f64>();
        Some((sum(before, whole) / NOW as f64, sum(0, before) / before as f64))
    }

    /// A rate under this share of what is usual; `None`: nobody wants to know.
    pub(super) fn finding(&self, topic: &str, share: Option<f64>) -> Option<Finding> {
        let (now, usual) = self.rates()?;
        let is_low = usual >= SLOWEST && now < share? * usual;
        let text = || {
            format!(
                "{topic} comes {now:.1} times a second, after {usual:.1} in the minute before: the sensor, its driver or the network is \
                 slower than it was (compare `ros2 topic hz {topic}` there and here); parameter rate_warn sets what is told"
            )
        };
        is_low.then(|| Finding::warning(DROPPED, text()))
    }
}

/// So many seconds later.
#[cfg(test)]
pub(super) fn later(start: Instant, seconds: f64) -> Instant {
    start + std::time::Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(watch: &mut RateWatch, start: Instant, from: u32, to: u32, hertz: u32) {
        for second in from..to {
            for message in 0..hertz {
                watch.arrived(later(start, f64::from(second) + f64::from(message) / f64::from(hertz)));
            }
        }
    }

    #[test]
    fn a_rate_that_drops_is_found_and_one_that_was_always_low_is_not() {
        let start = Instant::now();
        let mut watch = RateWatch::begin(start);
        play(&mut watch, start, 0, 40, 30);
        assert_eq!(watch.rates(), Some((30.0, 30.0)));
        assert_eq!(watch.finding("/image", Some(0.5)), None);
        play(&mut watch, start, 40, 46, 10);
        let finding = watch.finding("/image", Some(0.5)).expect("a third is less than a half");
        assert!(finding.text.contains("/image") && finding.text.contains("10.0") && finding.text.contains("rate_warn"));
        assert_eq!((watch.finding("/image", Some(0.3)), watch.finding("/image", None)), (None, None));
        play(&mut watch, start, 46, 120, 10);
        assert_eq!(watch.finding("/image", Some(0.5)), None, "what lasts a minute is usual");
    }

    #[test]
    fn nothing_is_said_too_early_of_slow_sensors_and_after_long_silence() {
        let start = Instant::now();
        let mut watch = RateWatch::begin(start);
        play(&mut watch, start, 0, 20, 30);
        play(&mut watch, start, 20, 25, 1);
        assert_eq!(watch.finding("/scan", Some(0.5)), None, "what is usual is not known yet");
        let mut slow = RateWatch::begin(start);
        for step in 0..20 {
            slow.arrived(later(start, 3.0 * f64::from(step)));
        }
        slow.advance(later(start, 66.0));
        assert_eq!(slow.finding("/scan", Some(0.5)), None);
        watch.advance(later(start, 1e6));
        assert_eq!((watch.counts.len(), watch.finding("/scan", Some(0.5))), (SECONDS, None));
    }
}
