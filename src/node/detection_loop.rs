//! The loop of every detector node: one thread owns the r2r node and spins, messages go through a slot where the newest wins, and
//! one thread works on them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    Latest, NodeStatistics, Shutdown, Stage, Taken,
    host::{DIAGNOSTICS_PERIOD, Host, MessageStream, SPIN, drain, lock},
    warnings::Warnings,
};

/// What a detector does with the messages of its sensor.
pub(super) trait Work: Send + 'static {
    /// What one message is called in logs and diagnostics.
    const NOUN: &'static str;

    /// Detects in one message and publishes what was found.
    ///
    /// # Errors
    /// Whatever costs the message; it is logged and counted.
    fn process(&mut self, message: &[u8], report: &mut Report) -> anyhow::Result<()>;
}

/// Where work tells how it goes.
pub(super) struct Report {
    statistics: Arc<Mutex<NodeStatistics>>,
    warnings: Warnings,
}

impl Report {
    /// Counts a message as processed, with what is known of its stages.
    pub(super) fn record(&self, latencies: &[(Stage, Option<Duration>)]) {
        lock(&self.statistics).record(latencies);
    }

    /// Warns, but not more often than every few seconds.
    pub(super) fn warn(&mut self, text: &str) {
        self.warnings.warn(text);
    }

    fn fail(&mut self, noun: &str, failure: String) {
        self.warn(&format!("one {noun} is lost: {failure}"));
        lock(&self.statistics).failed(failure);
    }
}

/// Runs a detector on the messages of one subscription until it shall end. `model` is named in the diagnostics.
///
/// # Errors
/// When the working thread cannot begin or ended by a fault in the program.
pub(super) fn serve<P, W: Work>(
    mut host: Host<P>,
    mut messages: MessageStream,
    work: W,
    model: &str,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let slot = Arc::new(Latest::<Vec<u8>>::new());
    let statistics = Arc::new(Mutex::new(NodeStatistics::of(W::NOUN)));
    let report = Report { statistics: statistics.clone(), warnings: Warnings::default() };
    let worker_slot = slot.clone();
    let working = thread::Builder::new().name("inference".into()).spawn(move || run(work, &worker_slot, report))?;

    let mut told = Instant::now();
    while !shutdown.is_requested() && !working.is_finished() {
        host.node.spin_once(SPIN);
        drain(&mut messages, |message| {
            lock(&statistics).arrived();
            slot.put(message);
        });
        if told.elapsed() >= DIAGNOSTICS_PERIOD {
            told = Instant::now();
            let mut statistics = lock(&statistics);
            statistics.counters.dropped = slot.replaced();
            let status = statistics.status(&format!("{}: detection", host.name), &[("model", model)]);
            drop(statistics);
            host.tell(vec![status]);
        }
    }
    slot.close();
    let ended = working.join();
    drop(messages);
    host.end();
    anyhow::ensure!(ended.is_ok(), "the inference thread ended by a fault in the program; please report it");
    Ok(())
}

fn run<W: Work>(mut work: W, slot: &Latest<Vec<u8>>, mut report: Report) {
    loop {
        match slot.take(Duration::from_millis(200)) {
            Taken::Closed => return,
            Taken::Nothing => {}
            Taken::Value(message) => {
                // A fault in a decoder must cost one message, not the robot's sight.
                let result = catch_unwind(AssertUnwindSafe(|| work.process(&message, &mut report)));
                let failure = match result {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(_) => "a fault in the program; please report it with a recording".to_owned(),
                };
                report.fail(W::NOUN, failure);
            }
        }
    }
}
