//! What threads prepare while the training computes, handed over in order.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use super::TrainError;

/// Threads that prepare batches. They are none of those that compute: a step must not find itself making the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    count: usize,
}

impl Workers {
    /// So many threads; 0 takes half of the cores.
    pub fn new(count: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { count: if count == 0 { cores.div_ceil(2) } else { count } }
    }

    /// How many they are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Batches that are in the making or ready at once, at most, however long one of them takes.
    pub fn window(self) -> usize {
        self.count + self.count.max(2)
    }

    /// Makes the batches with these places and hands them to `use_batch`, in order, with the time that each had to be waited for.
    /// Stops early when `use_batch` breaks or fails. Each thread begins with a state of its own (teachers, for instance), which
    /// `end` takes back; it is dropped when the thread fails.
    ///
    /// # Errors
    /// What `begin`, `make` and `use_batch` return; [`TrainError::Worker`] when one of the first two panics.
    pub(in crate::distill) fn prepare<S, T: Send>(
        self,
        places: Range<usize>,
        begin: impl Fn() -> Result<S, TrainError> + Sync,
        make: impl Fn(&mut S, usize) -> Result<T, TrainError> + Sync,
        end: impl Fn(S) + Sync,
        mut use_batch: impl FnMut(T, Duration) -> Result<ControlFlow<()>, TrainError>,
    ) -> Result<(), TrainError> {
        let window = self.window();
        let (begin, make, end) = (&begin, &make, &end);
        std::thread::scope(|scope| {
            // A thread makes the batch whose place it draws, and the next place is put in when a batch is used: so many are under
            // way and no more, also while the one that is wanted next is slow.
            let (tickets, drawn) = crossbeam_channel::bounded::<usize>(window);
            let (sender, receiver) = crossbeam_channel::bounded::<Result<(usize, T), TrainError>>(window);
            for _ in 0..self.count {
                let (drawn, sender) = (drawn.clone(), sender.clone());
                scope.spawn(move || {
                    let work = || -> Result<(), TrainError> {
                        let mut state = begin()?;
                        for place in &drawn {
                            let batch = make(&mut state, place)?;
                            // Nobody listening means that enough was made, or that another failure was quicker.
                            if sender.send(Ok((place, batch))).is_err() {
                                break;
                            }
                        }
                        end(state);
                        Ok(())
                    };
                    // A batch that never comes would be waited for, for ever.
                    let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(TrainError::Worker));
                    if let Err(error) = ended {
                        let _ = sender.send(Err(error));
                    }
                });
            }
            drop((drawn, sender));
            let put_in = |place: usize| {
                if place < places.end {
                    // When all threads have failed, what they said is read before their batches are missed.
                    let _ = tickets.send(place);
                }
            };
            places.clone().take(window).for_each(put_in);
            let mut early = BTreeMap::new();
            for place in places.clone() {
                let start = Instant::now();
                let batch = loop {
                    if let Some(batch) = early.remove(&place) {
                        break batch;
                    }
                    let (made, batch) = receiver.recv().map_err(|_| TrainError::Worker)??;
                    early.insert(made, batch);
                };
                put_in(place + window);
                if use_batch(batch, start.elapsed())?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn nothing() -> Result<(), TrainError> {
        Ok(())
    }

    #[test]
    fn what_many_threads_make_comes_in_order() {
        for count in [1, 2, 5] {
            let mut used = Vec::new();
            let made = |_: &mut (), place: usize| {
                // Every third one is slow.
                std::thread::sleep(Duration::from_millis(if place.is_multiple_of(3) { 3 } else { 0 }));
                Ok(10 * place)
            };
            let keep = |batch, _| {
                used.push(batch);
                Ok(ControlFlow::Continue(()))
            };
            Workers::new(count).prepare(3..20, nothing, made, drop, keep).unwrap();
            assert_eq!(used, (3..20).map(|place| 10 * place).collect::<Vec<_>>());
        }
    }

    #[test]
    fn while_one_batch_is_slow_only_a_window_is_made() {
        let workers = Workers::new(3);
        let (made, meanwhile) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let make = |_: &mut (), place: usize| {
            if place == 0 {
                // The others make what they may, and get some time to make more.
                while made.load(Ordering::SeqCst) < workers.window() - 1 {
                    std::thread::yield_now();
                }
                std::thread::sleep(Duration::from_millis(50));
                meanwhile.store(made.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            made.fetch_add(1, Ordering::SeqCst);
            Ok(place)
        };
        let mut used = 0;
        let count = |_, _| {
            used += 1;
            Ok(ControlFlow::Continue(()))
        };
        workers.prepare(0..500, nothing, make, drop, count).unwrap();
        assert_eq!((meanwhile.load(Ordering::SeqCst), used), (workers.window() - 1, 500));
    }

    #[test]
    fn states_are_given_back_also_when_it_ends_early() {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begin = || Ok(begun.fetch_add(1, Ordering::SeqCst));
        let end = |_: usize| {
            ended.fetch_add(1, Ordering::SeqCst);
        };
        let stop = |place: usize, _| Ok(if place == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        Workers::new(3).prepare(0..500, begin, |_: &mut usize, place: usize| Ok(place), end, stop).unwrap();
        assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (3, 3));
    }

    #[test]
    fn failures_and_panics_of_threads_end_it() {
        let go_on = |_, _| Ok(ControlFlow::Continue(()));
        let fail = |_: &mut (), place: usize| if place == 7 { Err(TrainError::EmptyImage) } else { Ok(place) };
        let failed = Workers::new(2).prepare(0..500, nothing, fail, drop, go_on);
        assert!(matches!(failed, Err(TrainError::EmptyImage)), "{failed:?}");
        let die = |_: &mut (), place: usize| if place == 7 { panic!("boom") } else { Ok(place) };
        let died = Workers::new(2).prepare(0..500, nothing, die, drop, go_on);
        assert!(matches!(died, Err(TrainError::Worker)), "{died:?}");
        let no_state = || Err(TrainError::EmptyImage);
        let unbegun = Workers::new(2).prepare(0..500, no_state, |_: &mut (), place: usize| Ok(place), drop, go_on);
        assert!(matches!(unbegun, Err(TrainError::EmptyImage)), "{unbegun:?}");
    }
}
