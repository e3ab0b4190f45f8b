//! The time that a detector spends on one message, stage by stage.

use std::time::{Duration, Instant};

use super::{Stage, clock};
use crate::model::StageTiming;

/// Runs since the work on a message began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    start: Instant,
    /// Nanoseconds since 1970.
    begun: i64,
}

impl Stopwatch {
    /// Begins with a message.
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), begun: clock::now() }
    }

    /// The message is decoded, and has a stamp in nanoseconds since 1970.
    pub(super) fn decoded(self, stamp: i64) -> DecodedIn {
        DecodedIn { decode: self.start.elapsed(), age: clock::age(self.begun, stamp), stamp }
    }
}

/// What is known once a message is decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodedIn {
    decode: Duration,
    age: Option<Duration>,
    stamp: i64,
}

impl DecodedIn {
    /// All stages, now that the objects are out: what the detector needed, and what publishing took.
    pub(super) fn published(&self, timing: StageTiming, publish: Duration) -> [(Stage, Option<Duration>); 7] {
        [
            (Stage::Age, self.age),
            (Stage::Decode, Some(self.decode)),
            (Stage::Preprocess, Some(timing.preprocess)),
            (Stage::Infer, Some(timing.infer)),
            (Stage::Postprocess, Some(timing.decode)),
            (Stage::Publish, Some(publish)),
            (Stage::Pipeline, clock::age(clock::now(), self.stamp)),
        ]
    }
}
