//! Warnings that do not flood the log.

use std::time::{Duration, Instant};

/// How often the same kind of trouble is logged.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// Warns of one kind of trouble, but not more often than every five seconds.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    last: Option<Instant>,
}

impl Warnings {
    /// Logs the text, unless another was logged a moment ago.
    pub(super) fn warn(&mut self, text: &str) {
        if self.last.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.last = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }
}
