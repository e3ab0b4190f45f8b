//! What a node measures of itself, and how it says it in diagnostics.

use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};

use crate::metrics::LatencyRecorder;

/// Measurements of the newest this many frames make the percentiles.
const WINDOW: usize = 500;

/// What went wrong is told for so long after it was seen last.
pub(super) const TROUBLE: Duration = Duration::from_secs(5);
/// A sensor that says nothing for longer than this is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// Level of diagnostics: all is well.
pub(super) const OK: u8 = 0;
/// Level of diagnostics: somebody should look.
pub(super) const WARN: u8 = 1;
/// Level of diagnostics: it does not do its work.
pub(super) const ERROR: u8 = 2;

/// Counts since the node was configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that arrived.
    pub received: u64,
    /// Frames that a newer one replaced before their turn.
    pub dropped: u64,
    /// Frames whose detections were published.
    pub processed: u64,
    /// Frames that could not be decoded or run.
    pub failed: u64,
    /// Frames that were left alone because nobody listened.
    pub idle: u64,
}

/// What is timed of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the stamp until the node began with it: how old the newest frame was.
    Age,
    /// Message to RGB or to points.
    Decode,
    /// RGB or points to the network's input.
    Preprocess,
    /// The network.
    Infer,
    /// The network's output to objects.
    Postprocess,
    /// Objects to the topic.
    Publish,
    /// From the stamp until the objects were out.
    Pipeline,
}

impl Stage {
    const ALL: [(Self, &str); 7] = [
        (Self::Age, "age"),
        (Self::Decode, "decode"),
        (Self::Preprocess, "preprocess"),
        (Self::Infer, "infer"),
        (Self::Postprocess, "postprocess"),
        (Self::Publish, "publish"),
        (Self::Pipeline, "pipeline"),
    ];
}

/// Latencies by stage and the counts.
#[derive(Debug)]
pub struct NodeStatistics {
    /// The counts.
    pub counters: Counters,
    last_arrival: Option<Instant>,
    /// When the newest failed frame failed, and what of.
    last_failure: Option<(Instant, String)>,
    /// Whether the newest frame was left alone.
    is_idle: bool,
    noun: &'static str,
    stages: [(Stage, &'static str, LatencyRecorder); Stage::ALL.len()],
}

impl NodeStatistics {
    /// Nothing measured yet; `noun` is what one frame is called, such as `image`.
    pub fn of(noun: &'static str) -> Self {
        Self {
            counters: Counters::default(),
            last_arrival: None,
            last_failure: None,
            is_idle: false,
            noun,
            stages: Stage::ALL.map(|(stage, name)| (stage, name, LatencyRecorder::new(WINDOW))),
        }
    }

    /// Counts a frame that arrived.
    pub fn arrived(&mut self) {
        self.counters.received += 1;
        self.last_arrival = Some(Instant::now());
    }

    /// Counts a frame that could not be decoded or run.
    pub fn failed(&mut self, reason: String) {
        self.counters.failed += 1;
        self.is_idle = false;
        self.last_failure = Some((Instant::now(), reason));
    }

    /// Counts a frame that was left alone because nobody listens.
    pub fn idled(&mut self) {
        self.counters.idle += 1;
        self.is_idle = true;
    }

    /// Adds a frame with what is known of its stages.
    pub fn record(&mut self, latencies: &[(Stage, Option<Duration>)]) {
        self.counters.processed += 1;
        self.is_idle = false;
        for (stage, _, recorder) in &mut self.stages {
            let found = latencies.iter().find(|(of, _)| of == stage);
            if let Some(latency) = found.and_then(|(_, latency)| *latency) {
                recorder.record(latency);
            }
        }
    }

    /// What diagnostics say: first what it is `about`, then the counts, then each stage's percentiles in milliseconds.
    pub fn status(&self, name: &str, about: &[(&str, &str)]) -> DiagnosticStatus {
        let counters = self.counters;
        let mut values: Vec<KeyValue> = about.iter().map(|(key, value)| pair(key, value)).collect();
        for (name, count) in [
            ("received", counters.received),
            ("dropped", counters.dropped),
            ("processed", counters.processed),
            ("failed", counters.failed),
            ("idle", counters.idle),
        ] {
            values.push(pair(name, &count.to_string()));
        }
        for (_, stage, recorder) in &self.stages {
            if let Some(summary) = recorder.summary() {
                values.push(pair(&format!("{stage}_ms_p50"), &format!("{:.3}", summary.p50)));
                values.push(pair(&format!("{stage}_ms_p90"), &format!("{:.3}", summary.p90)));
                values.push(pair(&format!("{stage}_ms_p99"), &format!("{:.3}", summary.p99)));
                values.push(pair(&format!("{stage}_ms_max"), &format!("{:.3}", summary.max)));
            }
        }
        let silent = self.last_arrival.map_or(Duration::ZERO, |last| last.elapsed());
        let failure = self.last_failure.as_ref().filter(|(at, _)| at.elapsed() < TROUBLE);
        let (level, message) = match failure {
            _ if counters.received == 0 => {
                (WARN, format!("no {} has arrived yet; compare the topic and its QoS", self.noun))
            }
            _ if silent > SILENCE => (ERROR, format!("no {} for {:.1} s", self.noun, silent.as_secs_f64())),
            Some((_, failure)) => (WARN, format!("{} frames failed, the newest: {failure}", counters.failed)),
            // Frames still arrive, so a silent sensor is told above all the same.
            None if self.is_idle => (OK, "idle: nobody listens".to_owned()),
            None => (OK, format!("{} frames processed", counters.processed)),
        };
        DiagnosticStatus { level, name: name.to_owned(), message, hardware_id: String::new(), values }
    }
}

/// A line of diagnostics.
pub(super) fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_tell_what_is_wrong_and_forget_what_is_mended() {
        let mut statistics = NodeStatistics::of("image");
        let told = |statistics: &NodeStatistics| {
            let status = statistics.status("/node: detection", &[("model", "m.onnx")]);
            (status.level, status.message)
        };
        assert_eq!(told(&statistics).0, WARN);
        statistics.arrived();
        statistics.record(&[(Stage::Infer, Some(Duration::from_millis(3)))]);
        assert_eq!(told(&statistics), (OK, "1 frames processed".to_owned()));
        statistics.failed("encoding".into());
        assert_eq!(told(&statistics), (WARN, "1 frames failed, the newest: encoding".to_owned()));
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(7)) else { return };
        statistics.last_failure = Some((before, "encoding".into()));
        assert_eq!(told(&statistics).0, OK);
        statistics.last_arrival = Some(before);
        let (level, message) = told(&statistics);
        assert!(level == ERROR && message.starts_with("no image for 7."), "{message}");
        assert_eq!(statistics.counters, Counters { received: 1, dropped: 0, processed: 1, failed: 1, idle: 0 });
    }

    #[test]
    fn an_idle_node_is_well_while_its_sensor_speaks() {
        let mut statistics = NodeStatistics::of("image");
        let told = |statistics: &NodeStatistics| {
            let status = statistics.status("/node: detection", &[]);
            (status.level, status.message)
        };
        statistics.arrived();
        statistics.idled();
        assert_eq!(told(&statistics), (OK, "idle: nobody listens".to_owned()));
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(7)) else { return };
        statistics.last_arrival = Some(before);
        assert_eq!(told(&statistics).0, ERROR, "a sensor that fell silent is missed all the same");
        statistics.arrived();
        statistics.record(&[]);
        assert_eq!(told(&statistics), (OK, "1 frames processed".to_owned()));
        assert_eq!(statistics.counters.idle, 1);
    }
}
