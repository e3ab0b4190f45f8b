//! Whose turn it is to compute, where several detectors share a process.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::host::lock;

/// So many turns at a time, which come in the order in which they were asked for: nobody is passed twice by the same other one, so
/// nobody starves. Who waits for a turn holds nothing yet; a detector takes its newest message when its turn has come.
///
/// The default has no limit, and asking it costs nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Option<Arc<Counter>>);

impl Turns {
    /// At most `places` turns at a time, and at least one.
    pub(super) fn of(places: usize) -> Self {
        let tickets = Mutex::new(Tickets::of(places as u64));
        Self(Some(Arc::new(Counter { tickets, called: Condvar::new() })))
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(super) fn take(&self) -> Turn<'_> {
        if let Some(counter) = &self.0 {
            let mut tickets = lock(&counter.tickets);
            let ticket = tickets.issue();
            let waited = counter.called.wait_while(tickets, |tickets| !tickets.is_called(ticket));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        Turn(self.0.as_deref())
    }
}

/// A turn that has come.
#[derive(Debug)]
#[must_use = "the turn ends when this is dropped"]
pub(super) struct Turn<'a>(Option<&'a Counter>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.0 {
            lock(&counter.tickets).give_back();
            counter.called.notify_all();
        }
    }
}

/// Where tickets are had and waited with.
#[derive(Debug)]
struct Counter {
    tickets: Mutex<Tickets>,
    called: Condvar,
}

/// Numbers that are called in the order in which they were issued.
#[derive(Debug)]
struct Tickets {
    places: u64,
    issued: u64,
    returned: u64,
}

impl Tickets {
    fn of(places: u64) -> Self {
        Self { places: places.max(1), issued: 0, returned: 0 }
    }

    fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued - 1
    }

    /// With each ticket that comes back one more is called, whichever it was.
    fn is_called(&self, ticket: u64) -> bool {
        ticket < self.returned + self.places
    }

    fn give_back(&mut self) {
        self.returned += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        thread,
        time::{Duration, Instant},
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Doing {
        Resting,
        Waiting(u64),
        Working,
    }

    proptest! {
        #[test]
        fn nobody_is_passed_twice_and_no_place_stays_empty(
            places in 1_u64..4,
            streams in 1_usize..7,
            steps in prop::collection::vec(0_usize..7, 1..300),
        ) {
            let mut tickets = Tickets::of(places);
            let mut doing = vec![Doing::Resting; streams];
            // How often each other stream began since this one asked.
            let mut passed = vec![vec![0; streams]; streams];
            for step in steps {
                let stream = step % streams;
                match doing[stream] {
                    Doing::Resting => {
                        doing[stream] = Doing::Waiting(tickets.issue());
                        passed[stream].fill(0);
                    }
                    Doing::Waiting(_) => {}
                    Doing::Working => {
                        tickets.give_back();
                        doing[stream] = Doing::Resting;
                    }
                }
                let is_called =
                    |&stream: &usize| matches!(doing[stream], Doing::Waiting(ticket) if tickets.is_called(ticket));
                let called: Vec<usize> = (0..streams).filter(is_called).collect();
                for begun in called {
                    doing[begun] = Doing::Working;
                    for (other, passed) in doing.iter().zip(&mut passed) {
                        if matches!(other, Doing::Waiting(_)) {
                            passed[begun] += 1;
                        }
                    }
                }
                let working = doing.iter().filter(|&&doing| doing == Doing::Working).count() as u64;
                let is_waited_for = doing.iter().any(|doing| matches!(doing, Doing::Waiting(_)));
                prop_assert!(working <= places);
                prop_assert!(!is_waited_for || working == places);
                prop_assert!(passed.iter().flatten().all(|&often| often <= 1), "{passed:?}");
            }
        }
    }

    #[test]
    fn no_more_than_the_places_work_at_a_time() {
        let (turns, working, most) = (Turns::of(2), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = turns.take();
                        most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        working.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
        assert_eq!(working.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_hasty_do_not_keep_the_slow_from_their_turns() {
        // Work in microseconds; with a plain lock the first would hardly ever let go.
        let (works, enough) = ([20, 300, 1000], 100);
        let (turns, is_over, begin) = (Turns::of(1), AtomicBool::new(false), Barrier::new(works.len()));
        let counts = works.map(|_| AtomicUsize::new(0));
        let (turns, is_over, begin) = (&turns, &is_over, &begin);
        thread::scope(|scope| {
            for (work, count) in works.into_iter().zip(&counts) {
                scope.spawn(move || {
                    begin.wait();
                    while !is_over.load(Ordering::SeqCst) {
                        let _turn = turns.take();
                        thread::sleep(Duration::from_micros(work));
                        if count.fetch_add(1, Ordering::SeqCst) + 1 >= enough {
                            is_over.store(true, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        for count in &counts {
            assert!(count.load(Ordering::SeqCst) >= enough / 2, "{counts:?}");
        }
    }

    #[test]
    fn one_alone_never_waits() {
        let (turns, start) = (Turns::default(), Instant::now());
        for _ in 0..100_000 {
            let (_one, _other) = (turns.take(), turns.take());
        }
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    }
}
