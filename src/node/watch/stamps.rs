//! Stamps that are old, of the future, set back, or the same again and again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::finding::Finding;
use crate::node::{clock, diagnostics::TROUBLE};

/// A clock that was set back, or a recording that began anew.
pub(super) const SET_BACK: &str = "stamps_set_back";
/// Many messages in a row with one stamp.
pub(super) const FROZEN: &str = "stamps_frozen";
/// Stamps ahead of the system's clock.
pub(super) const FUTURE: &str = "stamps_in_future";
/// Stamps that are old when they come.
pub(super) const STALE: &str = "stamps_stale";
/// Stamps that are a little older than the one before.
pub(super) const DISORDERED: &str = "stamps_disordered";
/// Stamps as the one before.
pub(super) const REPEATED: &str = "stamps_repeated";
/// All of these, the one to tell first in front.
pub(super) const KEYS: [&str; 6] = [SET_BACK, FROZEN, FUTURE, STALE, DISORDERED, REPEATED];

/// Steps back by more nanoseconds than this are another time, smaller ones another order.
const STEP_BACK: i64 = 1_000_000_000;
/// Messages in a row with the same stamp that are no chance.
const STANDING: u32 = 5;
/// The newest messages that count for what happens again and again, a bit for each.
const NEWEST: u32 = (1 << 20) - 1;
/// So many of them are no chance.
const OFTEN: u32 = 4;
/// So many stale ones in a row are no hiccup.
const STALE_IN_A_ROW: u32 = 3;

/// What stamps and rates may be like before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::node) struct StampLimits {
    /// How old a message may be when it comes; `None`: that is not looked at.
    pub(in crate::node) stale: Option<Duration>,
    /// How far ahead of the system's clock; `None`: that is not looked at.
    pub(in crate::node) future: Option<Duration>,
    /// Share of the usual rate that is still good; `None`: that is not looked at.
    pub(in crate::node) rate: Option<f64>,
}

/// The stamps of one topic.
#[derive(Debug)]
pub(super) struct StampWatch {
    topic: String,
    limits: StampLimits,
    /// The newest stamp since the clock was set back.
    newest: Option<i64>,
    /// Messages in a row with that stamp, without the first.
    standing: u32,
    repeated: u32,
    disordered: u32,
    stale: u32,
    signs: BTreeMap<&'static str, Sign>,
}

/// One of the [`KEYS`].
#[derive(Debug, Default)]
struct Sign {
    /// Messages.
    count: u64,
    /// When it was worth telling last, and what.
    told: Option<(Instant, String)>,
}

impl StampWatch {
    /// Nothing has come on the topic yet, and no limits are set.
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            limits: StampLimits::default(),
            newest: None,
            standing: 0,
            repeated: 0,
            disordered: 0,
            stale: 0,
            signs: BTreeMap::new(),
        }
    }

    /// What is told from now on.
    pub(super) fn set_limits(&mut self, limits: StampLimits) {
        self.limits = limits;
    }

    /// After a pause nothing of before is compared with; the counts stay.
    pub(super) fn begin(&mut self) {
        self.newest = None;
        self.standing = 0;
        (self.repeated, self.disordered, self.stale) = (0, 0, 0);
        for sign in self.signs.values_mut() {
            sign.told = None;
        }
    }

    /// Takes the stamp of a message that comes now. `system_now` is the system's clock; both are nanoseconds since 1970, but stamps of
    /// another clock (a simulation, a recording) are compared with each other alone.
    pub(super) fn arrived(&mut self, stamp: i64, system_now: i64, now: Instant) {
        self.compare_with_clock(stamp, system_now, now);
        let Some(newest) = self.newest else {
            self.newest = Some(stamp);
            return;
        };
        let step = stamp.saturating_sub(newest);
        self.repeated = (self.repeated << 1) | u32::from(step == 0);
        self.disordered = (self.disordered << 1) | u32::from((-STEP_BACK..0).contains(&step));
        self.standing = if step == 0 { self.standing.saturating_add(1) } else { 0 };
        // What is a little older does not hide that others are newer.
        self.newest = Some(if step < -STEP_BACK { stamp } else { newest.max(stamp) });
        if step == 0 {
            self.same_again(stamp, now);
        } else if step < -STEP_BACK {
            self.set_back(step, now);
        } else if step < 0 {
            self.count(DISORDERED);
            if is_often(self.disordered) {
                let topic = &self.topic;
                let text = format!(
                    "messages on {topic} come in another order than their stamps: mostly two publishers on one topic \
                     (`ros2 topic info -v {topic}`); stop one, or give each a topic of its own"
                );
                self.tell(DISORDERED, now, text);
            }
        }
    }

    fn compare_with_clock(&mut self, stamp: i64, system_now: i64, now: Instant) {
        if let Some(limit) = self.limits.future
            && let Some(ahead) = clock::age(stamp, system_now).filter(|&ahead| ahead > limit)
        {
            self.count(FUTURE);
            let topic = &self.topic;
            let (ahead, limit) = (ahead.as_secs_f64(), limit.as_secs_f64());
            let text = format!(
                "stamps on {topic} are {ahead:.2} s ahead of this machine's clock (future_warn {limit} s): transforms for them are not \
                 known yet; let the sensor's machine and this one have one time (`chronyc tracking` on both), or raise future_warn"
            );
            self.tell(FUTURE, now, text);
        }
        let Some(limit) = self.limits.stale else {
            self.stale = 0;
            return;
        };
        let stale = clock::age(system_now, stamp).filter(|&age| age > limit);
        self.stale = (self.stale << 1) | u32::from(stale.is_some());
        let Some(age) = stale else { return };
        self.count(STALE);
        if self.stale.trailing_ones() >= STALE_IN_A_ROW {
            let topic = &self.topic;
            let (age, limit) = (age.as_secs_f64(), limit.as_secs_f64());
            let text = format!(
                "messages on {topic} are {age:.2} s old when they come (stale_warn {limit} s): the sensor's machine is behind \
                 (`chronyc tracking` on both), or what is before this node takes that long (`ros2 topic delay {topic}`); for a recording \
                 that was made just now, or for slow sensors, raise stale_warn"
            );
            self.tell(STALE, now, text);
        }
    }

    fn same_again(&mut self, stamp: i64, now: Instant) {
        self.count(REPEATED);
        let topic = &self.topic;
        if self.standing >= STANDING {
            let text = if stamp == 0 {
                format!(
                    "messages on {topic} have no stamp: they cannot be placed, nor be matched with other sensors; the driver must put \
                     the time of the measurement into header.stamp"
                )
            } else {
                let count = self.standing.saturating_add(1);
                format!(
                    "the newest {count} messages on {topic} have one and the same stamp: the driver hangs and sends its last data again, or \
                     does not stamp them; start it anew"
                )
            };
            if self.standing == STANDING {
                self.count(FROZEN);
                // It looked like that at first.
                self.signs.entry(REPEATED).or_default().told = None;
            }
            self.tell(FROZEN, now, text);
        } else if is_often(self.repeated) {
            let text = format!(
                "messages on {topic} come with the stamp of the one before: each is published twice, by one driver or by two \
                 (`ros2 topic info -v {topic}`), or relayed to its own topic; stop one of them"
            );
            self.tell(REPEATED, now, text);
        }
    }

    fn set_back(&mut self, step: i64, now: Instant) {
        self.count(SET_BACK);
        let (topic, seconds) = (&self.topic, step.unsigned_abs() as f64 / 1e9);
        let text = format!(
            "stamps on {topic} went back by {seconds:.1} s: a recording that begins anew or a simulation that was reset, which is \
             well; else a clock that was set in one step (let chrony slew it), or two publishers of two times \
             (`ros2 topic info -v {topic}`)"
        );
        self.tell(SET_BACK, now, text);
        // Neither of these is known of the other time.
        (self.repeated, self.disordered) = (0, 0);
    }

    fn count(&mut self, key: &'static str) {
        let sign = self.signs.entry(key).or_default();
        sign.count = sign.count.saturating_add(1);
    }

    fn tell(&mut self, key: &'static str, now: Instant, text: String) {
        self.signs.entry(key).or_default().told = Some((now, text));
    }

    /// How many messages were so.
    pub(super) fn counted(&self, key: &str) -> u64 {
        self.signs.get(key).map_or(0, |sign| sign.count)
    }

    /// What was wrong a moment ago, in the order of [`KEYS`].
    pub(super) fn findings(&self, now: Instant) -> Vec<Finding> {
        let recent = |key: &'static str| {
            let (at, text) = self.signs.get(key)?.told.as_ref()?;
            (now.saturating_duration_since(*at) < TROUBLE).then(|| Finding::warning(key, text.clone()))
        };
        KEYS.into_iter().filter_map(recent).collect()
    }
}

/// Whether it happened to too many of the newest messages.
fn is_often(history: u32) -> bool {
    (history & NEWEST).count_ones() >= OFTEN
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    /// The system's clock when a test begins.
    const SYSTEM: i64 = 1_800_000_000_000 * MS;

    /// Ten messages a second.
    struct Bench {
        watch: StampWatch,
        begin: Instant,
        step: u32,
    }

    impl Bench {
        fn new() -> Self {
            let mut watch = StampWatch::new("/image");
            watch.set_limits(StampLimits {
                stale: Some(Duration::from_secs(1)),
                future: Some(Duration::from_millis(200)),
                rate: None,
            });
            Self { watch, begin: Instant::now(), step: 0 }
        }

        fn now(&self) -> Instant {
            self.begin + Duration::from_millis(100) * self.step
        }

        /// So many messages whose stamps are so many milliseconds from the system's clock.
        fn play(&mut self, messages: u32, offset: i64) {
            for _ in 0..messages {
                self.step += 1;
                let system = SYSTEM + 100 * MS * i64::from(self.step);
                self.watch.arrived(system + offset * MS, system, self.now());
            }
        }

        /// A message with this stamp.
        fn stamp(&mut self, stamp: i64) {
            self.step += 1;
            let system = SYSTEM + 100 * MS * i64::from(self.step);
            self.watch.arrived(stamp, system, self.now());
        }

        fn found(&self) -> Vec<&'static str> {
            self.watch.findings(self.now()).into_iter().map(|finding| finding.key).collect()
        }

        fn text(&self, key: &str) -> String {
            let found = self.watch.findings(self.now());
            found.into_iter().find(|finding| finding.key == key).map(|finding| finding.text).unwrap_or_default()
        }
    }

    #[test]
    fn good_stamps_and_those_of_recordings_and_simulations_are_no_finding() {
        for offset in [-30, 0, 20, -365 * 86_400_000, 86_400_000, -(SYSTEM / MS)] {
            let mut bench = Bench::new();
            bench.play(100, offset);
            assert!(bench.found().is_empty(), "{offset} ms: {:?}", bench.found());
            assert!(KEYS.iter().all(|key| bench.watch.counted(key) == 0));
        }
    }

    #[test]
    fn stale_messages_are_told_with_the_limit_but_a_hiccup_is_not() {
        let mut bench = Bench::new();
        bench.play(10, -100);
        for _ in 0..2 {
            bench.play(2, -1500);
            bench.play(20, -100);
        }
        assert!(!bench.found().contains(&STALE), "{:?}", bench.found());
        bench.play(10, -1500);
        assert!(
            bench.text(STALE).contains("1.50 s") && bench.text(STALE).contains("stale_warn"),
            "{}",
            bench.text(STALE)
        );
        assert_eq!(bench.watch.counted(STALE), 14);
        bench.play(60, -100);
        assert!(!bench.found().contains(&STALE), "what is mended is forgotten");
    }

    #[test]
    fn stamps_of_the_future_are_told() {
        let mut bench = Bench::new();
        bench.play(5, 5000);
        assert_eq!(bench.found(), [FUTURE]);
        assert!(bench.text(FUTURE).contains("5.00 s") && bench.text(FUTURE).contains("future_warn"));
        bench.watch.set_limits(StampLimits::default());
        bench.play(60, 5000);
        assert!(bench.found().is_empty(), "nobody wants to know any more");
        assert_eq!(bench.watch.counted(FUTURE), 5);
    }

    #[test]
    fn a_recording_that_loops_is_counted_and_told_for_a_moment() {
        let mut bench = Bench::new();
        for round in 1..=3 {
            for step in 0..100 {
                bench.stamp(1_000_000 * MS + 100 * MS * step);
            }
            assert_eq!(bench.watch.counted(SET_BACK), round - 1);
            assert!(bench.found().is_empty(), "{:?}", bench.found());
        }
        bench.stamp(1_000_000 * MS);
        assert_eq!(bench.found(), [SET_BACK]);
        assert!(bench.text(SET_BACK).contains("9.9 s"), "{}", bench.text(SET_BACK));
    }

    #[test]
    fn one_stamp_again_and_again_is_a_driver_that_hangs() {
        let mut bench = Bench::new();
        for _ in 0..8 {
            bench.stamp(1_000_000 * MS);
        }
        assert_eq!(bench.found(), [FROZEN]);
        assert!(bench.text(FROZEN).contains("newest 8 messages"), "{}", bench.text(FROZEN));
        assert_eq!((bench.watch.counted(FROZEN), bench.watch.counted(REPEATED)), (1, 7));
        let mut bench = Bench::new();
        for _ in 0..8 {
            bench.stamp(0);
        }
        assert!(bench.text(FROZEN).contains("have no stamp"));
    }

    #[test]
    fn what_is_published_twice_or_by_two_is_found() {
        let mut bench = Bench::new();
        for step in 0..10 {
            bench.stamp(1_000_000 * MS + 100 * MS * (step / 2));
        }
        assert_eq!(bench.found(), [REPEATED]);
        assert_eq!(bench.watch.counted(REPEATED), 5);
        let mut bench = Bench::new();
        for step in 0..10 {
            bench.stamp(1_000_000 * MS + 50 * MS * step - 300 * MS * (step % 2));
        }
        assert_eq!(bench.found(), [DISORDERED]);
        assert_eq!(bench.watch.counted(SET_BACK), 0);
    }

    #[test]
    fn after_a_pause_nothing_of_before_is_compared_with() {
        let mut bench = Bench::new();
        bench.stamp(1_000_000 * MS);
        bench.watch.begin();
        bench.stamp(0);
        assert!(bench.found().is_empty());
        bench.stamp(i64::MAX);
        bench.stamp(i64::MIN);
        assert_eq!(bench.found(), [SET_BACK]);
    }
}
