//! Work that may be held back.

use std::sync::Mutex;

use super::host::lock;

/// Lets work through while it is open. The one who closes it knows that none is going on any more.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<bool>);

impl Gate {
    /// Lets work through from now on.
    pub(super) fn open(&self) {
        *lock(&self.0) = true;
    }

    /// Waits for the work that is going on, and lets none through from then on.
    pub(super) fn close(&self) {
        *lock(&self.0) = false;
    }

    /// Does the work if the gate is open, and says whether it was.
    pub(super) fn pass(&self, work: impl FnOnce()) -> bool {
        let is_open = lock(&self.0);
        if *is_open {
            work();
        }
        *is_open
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn only_an_open_gate_lets_work_through() {
        let gate = Gate::default();
        let mut done = 0;
        assert!(!gate.pass(|| done += 1));
        gate.open();
        assert!(gate.pass(|| done += 1));
        gate.close();
        assert!(!gate.pass(|| done += 1));
        assert_eq!(done, 1);
    }

    #[test]
    fn closing_waits_for_what_is_going_on() {
        let (gate, is_done) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        gate.open();
        let (begun, begins) = mpsc::channel();
        let working = thread::spawn({
            let (gate, is_done) = (gate.clone(), is_done.clone());
            move || {
                gate.pass(|| {
                    begun.send(()).unwrap();
                    thread::sleep(Duration::from_millis(100));
                    is_done.store(true, Ordering::SeqCst);
                })
            }
        });
        begins.recv().unwrap();
        gate.close();
        assert!(is_done.load(Ordering::SeqCst));
        assert!(working.join().unwrap());
    }
}
