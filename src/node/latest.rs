//! A slot for one value, where the newest wins.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Hands values from one thread to another; a value that was not taken yet is replaced by a newer one and counted.
#[derive(Debug, Default)]
pub struct Latest<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    /// When it was put in.
    since: Option<Instant>,
    /// How long the value that was taken last had waited.
    waited: Duration,
    replaced: u64,
    closed: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { value: None, since: None, waited: Duration::ZERO, replaced: 0, closed: false }
    }
}

/// What came of waiting for a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest value.
    Value(T),
    /// None came in time.
    Nothing,
    /// None will come any more.
    Closed,
}

impl<T> Latest<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new() }
    }

    /// No code here can panic while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a value in, in place of one that nobody took.
    pub fn put(&self, value: T) {
        let mut state = self.lock();
        if state.value.replace(value).is_some() {
            state.replaced += 1;
        }
        state.since = Some(Instant::now());
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits until there is a value, at most so long, and leaves it there, where a newer one may still replace it.
    pub fn wait(&self, timeout: Duration) -> Taken<()> {
        let state = self.wait_in(self.lock(), timeout);
        match &state.value {
            _ if state.closed => Taken::Closed,
            Some(_) => Taken::Value(()),
            None => Taken::Nothing,
        }
    }

    fn wait_in<'s>(&'s self, state: MutexGuard<'s, State<T>>, timeout: Duration) -> MutexGuard<'s, State<T>> {
        let is_wanting = |state: &mut State<T>| state.value.is_none() && !state.closed;
        let waited = self.arrived.wait_timeout_while(state, timeout, is_wanting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for a value, at most so long.
    pub fn take(&self, timeout: Duration) -> Taken<T> {
        let mut state = self.wait_in(self.lock(), timeout);
        match state.value.take() {
            Some(value) if !state.closed => {
                state.waited = state.since.take().map_or(Duration::ZERO, |since| since.elapsed());
                Taken::Value(value)
            }
            _ if state.closed => Taken::Closed,
            _ => Taken::Nothing,
        }
    }

    /// Whether a value waits to be taken.
    pub fn holds_one(&self) -> bool {
        self.lock().value.is_some()
    }

    /// Takes a value that nobody shall have any more out of the slot, and counts it as replaced.
    pub fn clear(&self) {
        let mut state = self.lock();
        if state.value.take().is_some() {
            state.replaced += 1;
        }
    }

    /// Counts a value that was taken, but is not wanted after all, as replaced.
    pub fn discard(&self, value: T) {
        drop(value);
        self.lock().replaced += 1;
    }

    /// Says that no value will come any more; who waits is woken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// How long the value that was taken last had waited.
    pub fn waited(&self) -> Duration {
        self.lock().waited
    }

    /// How many values were replaced before anybody took them.
    pub fn replaced(&self) -> u64 {
        self.lock().replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_others_are_counted() {
        let slot = Latest::new();
        for value in 0..5 {
            slot.put(value);
        }
        assert!(slot.holds_one());
        assert_eq!(slot.take(Duration::ZERO), Taken::Value(4));
        assert!(!slot.holds_one());
        assert_eq!(slot.take(Duration::ZERO), Taken::Nothing);
        assert_eq!(slot.replaced(), 4);
    }

    #[test]
    fn a_value_waits_from_its_own_arrival_on() {
        let slot = Latest::new();
        slot.put(1);
        std::thread::sleep(Duration::from_millis(30));
        slot.put(2);
        assert_eq!(slot.take(Duration::ZERO), Taken::Value(2));
        assert!(
            slot.waited() < Duration::from_millis(25),
            "the older one's waiting is not counted: {:?}",
            slot.waited()
        );
        slot.put(3);
        std::thread::sleep(Duration::from_millis(30));
        slot.take(Duration::ZERO);
        assert!(slot.waited() >= Duration::from_millis(30), "{:?}", slot.waited());
    }

    #[test]
    fn while_one_waits_with_it_the_value_may_grow_newer() {
        let slot = Latest::new();
        assert_eq!(slot.wait(Duration::ZERO), Taken::Nothing);
        slot.put(1);
        assert_eq!(slot.wait(Duration::ZERO), Taken::Value(()));
        slot.put(2);
        assert_eq!((slot.take(Duration::ZERO), slot.replaced()), (Taken::Value(2), 1));
        slot.put(3);
        slot.close();
        assert_eq!(slot.wait(Duration::ZERO), Taken::Closed);
    }

    #[test]
    fn what_is_cleared_or_discarded_is_counted() {
        let slot = Latest::new();
        slot.clear();
        assert_eq!(slot.replaced(), 0);
        slot.put(1);
        slot.clear();
        assert_eq!((slot.take(Duration::ZERO), slot.replaced()), (Taken::Nothing, 1));
        slot.discard(2);
        assert_eq!(slot.replaced(), 2);
    }

    #[test]
    fn closing_wakes_the_waiting() {
        let slot = std::sync::Arc::new(Latest::<u8>::new());
        let waiting = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        slot.close();
        assert_eq!(waiting.join().unwrap(), Taken::Closed);
    }
}
