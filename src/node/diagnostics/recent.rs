//! What changed between the last few times that diagnostics were told.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Counters;

/// Rates are over about so long.
const SPAN: Duration = Duration::from_secs(5);
/// Who did not tell for longer was not active meanwhile; what lies before is no measure of now.
const PAUSE: Duration = Duration::from_secs(3);

/// The state at one time.
#[derive(Debug, Clone, Copy)]
struct Moment {
    time: Instant,
    counters: Counters,
    processor: Option<Duration>,
}

/// Rates and shares over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flow {
    /// Frames that arrived, a second.
    pub(super) input: f64,
    /// Frames that were published, a second.
    pub(super) output: f64,
    /// Of the frames that arrived the share that was dropped; nothing where none arrived.
    pub(super) dropped: Option<f64>,
    /// Processor time of the whole process for each frame that was published; nothing without any, and where the system does not tell.
    pub(super) processor: Option<Duration>,
}

/// Remembers the last few seconds.
#[derive(Debug, Default)]
pub(super) struct Recent {
    moments: VecDeque<Moment>,
}

impl Recent {
    /// Adds the state of now, and gives what became of the last seconds; nothing at the first time and after a pause.
    pub(super) fn flow(&mut self, time: Instant, counters: Counters, processor: Option<Duration>) -> Option<Flow> {
        if self.moments.back().is_some_and(|last| time.duration_since(last.time) > PAUSE) {
            self.moments.clear();
        }
        self.moments.push_back(Moment { time, counters, processor });
        // One that is older than the span stays, so that the span is whole.
        while self.moments.get(1).is_some_and(|second| time.duration_since(second.time) >= SPAN) {
            self.moments.pop_front();
        }
        let first = *self.moments.front()?;
        let seconds = time.duration_since(first.time).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let since = |count: fn(&Counters) -> u64| count(&counters).saturating_sub(count(&first.counters));
        let (received, processed) = (since(|counters| counters.received), since(|counters| counters.processed));
        let dropped = since(|counters| counters.dropped) as f64;
        let spent = processor.zip(first.processor).map(|(now, then)| now.saturating_sub(then));
        Some(Flow {
            input: received as f64 / seconds,
            output: processed as f64 / seconds,
            // A frame may be dropped a moment after it was counted as received.
            dropped: (received > 0).then(|| (dropped / received as f64).min(1.0)),
            processor: spent.filter(|_| processed > 0).map(|spent| spent.div_f64(processed as f64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_seconds_and_begin_anew_after_a_pause() {
        let mut recent = Recent::default();
        let start = Instant::now();
        let mut tell = |seconds: u64, received: u64, dropped: u64, processed: u64| {
            let counters = Counters { received, dropped, processed, failed: 0, idle: 0 };
            let spent = Some(Duration::from_millis(100 * seconds));
            recent.flow(start + Duration::from_secs(seconds), counters, spent)
        };
        assert_eq!(tell(0, 7, 0, 7), None);
        let flow = tell(1, 37, 15, 22).unwrap();
        assert_eq!((flow.input, flow.output, flow.dropped), (30.0, 15.0, Some(0.5)));
        assert_eq!(flow.processor, Some(Duration::from_nanos(6_666_667)));
        for second in 2..=20 {
            tell(second, 37, 15, 22);
        }
        let flow = tell(21, 37, 15, 22).unwrap();
        assert_eq!(flow, Flow { input: 0.0, output: 0.0, dropped: None, processor: None });
        assert_eq!(tell(22, 42, 15, 27).map(|flow| flow.input), Some(1.0), "five in five seconds");
        assert_eq!(tell(60, 9000, 15, 9000), None, "nobody knows how these are spread over the pause");
        assert_eq!(tell(61, 9010, 15, 9010).map(|flow| flow.output), Some(10.0));
    }
}
