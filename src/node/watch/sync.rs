//! Sensors whose clocks are not the same.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::finding::Finding;

/// Stamps that are apart for longer than this are no hiccup.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nothing is said of inputs that were silent for longer.
const ALIVE: Duration = Duration::from_secs(2);

/// Whether the stamps of several inputs are of one time. Each input's newest stamp is carried on to now by the time since it came, so
/// that a slow sensor is not taken for one whose clock is behind.
#[derive(Debug)]
pub(in crate::node) struct SyncWatch {
    inputs: Vec<Heard>,
    limit: Option<Duration>,
    /// Since when two inputs, by their numbers, are too far apart.
    apart: BTreeMap<(usize, usize), Instant>,
}

/// The newest of one input.
#[derive(Debug)]
struct Heard {
    topic: String,
    newest: Option<(i64, Instant)>,
}

impl SyncWatch {
    /// The key that its findings are counted under.
    pub(in crate::node) const KEY: &'static str = "inputs_unsynchronised";

    /// Inputs that have not spoken yet.
    pub(in crate::node) fn new(topics: impl IntoIterator<Item = String>) -> Self {
        let inputs = topics.into_iter().map(|topic| Heard { topic, newest: None }).collect();
        Self { inputs, limit: None, apart: BTreeMap::new() }
    }

    /// How far stamps may be apart; `None`: that is not looked at.
    pub(in crate::node) fn set_limit(&mut self, limit: Option<Duration>) {
        self.limit = limit;
    }

    /// After a pause nothing of before is compared with.
    pub(in crate::node) fn begin(&mut self) {
        self.apart.clear();
        for input in &mut self.inputs {
            input.newest = None;
        }
    }

    /// Takes the stamp, in nanoseconds, of an input's message that comes now.
    pub(in crate::node) fn arrived(&mut self, input: usize, stamp: i64, now: Instant) {
        let Some(heard) = self.inputs.get_mut(input) else { return };
        heard.newest = Some((stamp, now));
        for other in (0..self.inputs.len()).filter(|&other| other != input) {
            let pair = (input.min(other), input.max(other));
            if self.lead(pair, now).is_some_and(|lead| self.is_too_much(lead)) {
                self.apart.entry(pair).or_insert(now);
            } else {
                self.apart.remove(&pair);
            }
        }
    }

    /// By how many nanoseconds the first of two inputs is ahead of the second, while both are alive.
    fn lead(&self, (first, second): (usize, usize), now: Instant) -> Option<i64> {
        let carried = |input: usize| {
            let (stamp, came) = self.inputs.get(input)?.newest?;
            let since = now.saturating_duration_since(came);
            (since <= ALIVE).then(|| stamp.saturating_add(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
        };
        Some(carried(first)?.saturating_sub(carried(second)?))
    }

    fn is_too_much(&self, lead: i64) -> bool {
        self.limit.is_some_and(|limit| Duration::from_nanos(lead.unsigned_abs()) > limit)
    }

    /// The two inputs that are the farthest apart, and have been for long enough.
    pub(in crate::node) fn finding(&self, now: Instant) -> Option<Finding> {
        let limit = self.limit?.as_secs_f64();
        let lasting = self.apart.iter().filter(|(_, since)| now.saturating_duration_since(**since) > PATIENCE);
        let leads = lasting.filter_map(|(&pair, since)| Some((pair, self.lead(pair, now)?, *since)));
        let ((first, second), lead, since) = leads.max_by_key(|(_, lead, _)| lead.unsigned_abs())?;
        let (ahead, behind) = if lead > 0 { (first, second) } else { (second, first) };
        let (ahead, behind) = (&self.inputs.get(ahead)?.topic, &self.inputs.get(behind)?.topic);
        let (apart, seconds) = (lead.unsigned_abs() as f64 / 1e9, now.saturating_duration_since(since).as_secs_f64());
        let text = format!(
            "stamps on {behind} are {apart:.2} s behind those on {ahead}, since {seconds:.0} s (skew_warn {limit} s): their machines have \
             two times (`chronyc tracking` on both), or the detector of {behind} takes that long (`ros2 topic delay {behind}`); if it must, \
             raise skew_warn and late"
        );
        Some(Finding::warning(Self::KEY, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Plays two inputs of different periods in milliseconds, of which the second's stamps are off by some more, and asks at the end.
    fn played(periods: [u64; 2], offset: i64, milliseconds: u64) -> Option<Finding> {
        let mut watch = SyncWatch::new(["/lidar".to_owned(), "/camera".to_owned()]);
        watch.set_limit(Some(Duration::from_millis(500)));
        let begin = Instant::now();
        for at in 0..milliseconds {
            let now = begin + Duration::from_millis(at);
            let stamp = 1_700_000_000_000 * MS + at as i64 * MS;
            if at % periods[0] == 0 {
                watch.arrived(0, stamp, now);
            }
            if at % periods[1] == periods[1] / 2 {
                watch.arrived(1, stamp + offset * MS, now);
            }
        }
        watch.finding(begin + Duration::from_millis(milliseconds))
    }

    #[test]
    fn clocks_that_differ_are_told_with_both_names_and_by_how_much() {
        let finding = played([100, 50], -3000, 5000).expect("3 s are more than 0.5 s");
        assert!(finding.text.contains("/camera are 3.00 s behind those on /lidar"), "{}", finding.text);
        assert!(finding.text.contains("skew_warn"));
        let finding = played([100, 50], 300_000, 5000).expect("the other way round");
        assert!(finding.text.contains("/lidar are 300.00 s behind those on /camera"), "{}", finding.text);
        assert_eq!(played([100, 50], -3000, 1500), None, "it may be a hiccup yet");
    }

    #[test]
    fn slow_and_silent_sensors_are_not_apart() {
        for (periods, offset) in [([100, 33], -300), ([1000, 900], 0), ([100, 1000], -300), ([100, 4000], -3000)] {
            assert_eq!(played(periods, offset, 20_000), None, "{periods:?} ms, {offset} ms");
        }
    }

    #[test]
    fn a_pause_and_a_limit_of_none_end_it() {
        let mut watch = SyncWatch::new(["/lidar".to_owned(), "/camera".to_owned()]);
        let begin = Instant::now();
        let play = |watch: &mut SyncWatch| {
            for step in 0..40 {
                let now = begin + Duration::from_millis(100 * step);
                watch.arrived(0, 10_000 * MS, now);
                watch.arrived(1, 0, now);
            }
            watch.finding(begin + Duration::from_millis(4000))
        };
        assert_eq!(play(&mut watch), None);
        watch.set_limit(Some(Duration::from_millis(500)));
        assert!(play(&mut watch).is_some());
        watch.begin();
        assert_eq!(watch.finding(begin + Duration::from_millis(4000)), None);
        watch.arrived(7, 0, begin);
    }
}
