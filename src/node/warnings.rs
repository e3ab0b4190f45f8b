//! Warnings that do not flood the log.

use std::time::{Duration, Instant};

/// How often the same kind of trouble is logged.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// Warns of one kind of trouble, but not more often than every five seconds, or than it was made for.
#[derive(Debug)]
pub(super) struct Warnings {
    every: Duration,
    last: Option<Instant>,
}

impl Default for Warnings {
    fn default() -> Self {
        Self::every(WARN_EVERY)
    }
}

impl Warnings {
    /// Warns at most so often.
    pub(super) fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Logs the text, unless another was logged a moment ago.
    pub(super) fn warn(&mut self, text: &str) {
        if self.last.is_none_or(|last| last.elapsed() >= self.every) {
            self.last = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }
}
