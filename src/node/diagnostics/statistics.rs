//! What a node measures of itself, and how it says it in diagnostics.

use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};

use super::{ERROR, TROUBLE, Thresholds, WARN, pair, recent::Recent, status, thresholds::Figures, usage};
use crate::metrics::LatencyRecorder;

/// Measurements of the newest this many frames make the percentiles.
const WINDOW: usize = 500;
/// A sensor that says nothing for longer than this is lost.
const SILENCE: Duration = Duration::from_secs(5);

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
    /// From the arrival until the node began with it: how long the newest frame waited for its turn.
    Queue,
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
    const ALL: [(Self, &str); 8] = [
        (Self::Age, "age"),
        (Self::Queue, "queue"),
        (Self::Decode, "decode"),
        (Self::Preprocess, "preprocess"),
        (Self::Infer, "infer"),
        (Self::Postprocess, "postprocess"),
        (Self::Publish, "publish"),
        (Self::Pipeline, "pipeline"),
    ];

    /// The name in diagnostics and topics.
    pub(in crate::node) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(stage, _)| *stage == self).map_or("", |(_, name)| name)
    }
}

/// Latencies by stage and the counts.
#[derive(Debug)]
pub struct NodeStatistics {
    /// The counts.
    pub counters: Counters,
    last_arrival: Option<Instant>,
    /// When the newest failed frame failed, and what of.
    last_failure: Option<(Instant, String)>,
    noun: &'static str,
    stages: [(Stage, &'static str, LatencyRecorder); Stage::ALL.len()],
    recent: Recent,
    /// Whether the newest frame was left alone.
    is_idle: bool,
    /// Resident memory in MiB when this was made.
    memory_at_first: Option<f64>,
}

impl NodeStatistics {
    /// Nothing measured yet; `noun` is what one frame is called, such as `image`. What memory the process has now counts as that of the
    /// configured node.
    pub fn of(noun: &'static str) -> Self {
        Self {
            counters: Counters::default(),
            last_arrival: None,
            last_failure: None,
            noun,
            stages: Stage::ALL.map(|(stage, name)| (stage, name, LatencyRecorder::new(WINDOW))),
            recent: Recent::default(),
            is_idle: false,
            memory_at_first: usage::memory().map(|memory| memory.now),
        }
    }

    /// Counts a frame that arrived.
    pub fn arrived(&mut self) {
        self.counters.received += 1;
        self.last_arrival = Some(Instant::now());
    }

    /// The node works again after a pause, in which nothing could arrive: silence counts from now on.
    pub fn resume(&mut self) {
        self.last_arrival = self.last_arrival.map(|_| Instant::now());
    }

    /// Counts a frame that was left alone because nobody listens.
    pub fn idled(&mut self) {
        self.counters.idle += 1;
        self.is_idle = true;
    }

    /// Counts a frame that could not be decoded or run.
    pub fn failed(&mut self, reason: String) {
        self.counters.failed += 1;
        self.is_idle = false;
        self.last_failure = Some((Instant::now(), reason));
    }

    /// Adds a frame with what is known of its stages.
    pub fn record(&mut self, latencies: &[(Stage, Option<Duration>)]) {
        self.counters.processed += 1;
        self.is_idle = false;
        for &(stage, latency) in latencies {
            if let Some(latency) = latency {
                self.measured(stage, latency);
            }
        }
    }

    /// Adds one stage of a frame that was or will be counted.
    pub fn measured(&mut self, stage: Stage, latency: Duration) {
        for (of, _, recorder) in &mut self.stages {
            if *of == stage {
                recorder.record(latency);
            }
        }
    }

    /// What diagnostics say: first what it is `about`, then counts and rates, what the process uses, and each stage's percentiles in
    /// milliseconds. Rates are over the seconds since the last few calls, so it is called once a second.
    pub fn status(&mut self, name: &str, about: &[(&str, &str)], thresholds: &Thresholds) -> DiagnosticStatus {
        let flow = self.recent.flow(Instant::now(), self.counters, usage::processor_time());
        let memory = usage::memory();
        let mut values: Vec<KeyValue> = about.iter().map(|(key, value)| pair(key, value)).collect();
        let counters = self.counters;
        for (name, count) in [
            ("received", counters.received),
            ("dropped", counters.dropped),
            ("processed", counters.processed),
            ("failed", counters.failed),
            ("idle", counters.idle),
        ] {
            values.push(pair(name, &count.to_string()));
        }
        let mut number = |key: &str, value: Option<f64>| {
            if let Some(value) = value {
                values.push(pair(key, &format!("{value:.3}")));
            }
        };
        number("input_hz", flow.map(|flow| flow.input));
        number("output_hz", flow.map(|flow| flow.output));
        number("dropped_share", flow.and_then(|flow| flow.dropped));
        number("cpu_ms_per_frame", flow.and_then(|flow| flow.processor).map(|spent| 1e3 * spent.as_secs_f64()));
        number("memory_mib", memory.map(|memory| memory.now));
        number("memory_mib_configured", self.memory_at_first);
        number("memory_mib_peak", memory.map(|memory| memory.peak));
        let mut pipeline_ms = None;
        for (stage, name, recorder) in &self.stages {
            if let Some(summary) = recorder.summary() {
                number(&format!("{name}_ms_p50"), Some(summary.p50));
                number(&format!("{name}_ms_p95"), Some(summary.p95));
                number(&format!("{name}_ms_p99"), Some(summary.p99));
                number(&format!("{name}_ms_max"), Some(summary.max));
                if *stage == Stage::Pipeline {
                    pipeline_ms = Some(summary.p95);
                }
            }
        }
        let dropped = flow.and_then(|flow| flow.dropped);
        // What was measured before nobody listened says nothing of now.
        let pipeline_ms = pipeline_ms.filter(|_| !self.is_idle);
        let figures = Figures { pipeline_ms, dropped, memory: memory.map(|memory| memory.now) };
        let mut findings: Vec<(u8, String)> = self.trouble().into_iter().collect();
        findings.extend(thresholds.findings(&figures));
        let well = || {
            // Frames still arrive, so a silent sensor is told above all the same.
            if self.is_idle {
                "idle: nobody listens".to_owned()
            } else {
                format!("{} frames processed", counters.processed)
            }
        };
        status(name.to_owned(), findings, well, values)
    }

    /// What keeps frames from being processed.
    fn trouble(&self) -> Option<(u8, String)> {
        let silent = self.last_arrival.map_or(Duration::ZERO, |last| last.elapsed());
        let failure = self.last_failure.as_ref().filter(|(at, _)| at.elapsed() < TROUBLE);
        match failure {
            _ if self.counters.received == 0 => {
                Some((WARN, format!("no {} has arrived yet; compare the topic and its QoS", self.noun)))
            }
            _ if silent > SILENCE => Some((ERROR, format!("no {} for {:.1} s", self.noun, silent.as_secs_f64()))),
            Some((_, failure)) => {
                Some((WARN, format!("{} frames failed, the newest: {failure}", self.counters.failed)))
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::diagnostics::OK;

    /// Level and message.
    fn told(statistics: &mut NodeStatistics, thresholds: &Thresholds) -> (u8, String) {
        let status = statistics.status("/node: detection", &[("model", "m.onnx")], thresholds);
        (status.level, status.message)
    }

    #[test]
    fn diagnostics_tell_what_is_wrong_and_forget_what_is_mended() {
        let mut statistics = NodeStatistics::of("image");
        let thresholds = Thresholds::default();
        assert_eq!(told(&mut statistics, &thresholds).0, WARN);
        statistics.arrived();
        statistics.record(&[(Stage::Infer, Some(Duration::from_millis(3)))]);
        assert_eq!(told(&mut statistics, &thresholds), (OK, "1 frames processed".to_owned()));
        statistics.failed("encoding".into());
        assert_eq!(told(&mut statistics, &thresholds), (WARN, "1 frames failed, the newest: encoding".to_owned()));
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(7)) else { return };
        statistics.last_failure = Some((before, "encoding".into()));
        assert_eq!(told(&mut statistics, &thresholds).0, OK);
        statistics.last_arrival = Some(before);
        let (level, message) = told(&mut statistics, &thresholds);
        assert!(level == ERROR && message.starts_with("no image for 7."), "{message}");
        statistics.resume();
        assert_eq!(told(&mut statistics, &thresholds).0, OK, "a pause is no silence");
        assert_eq!(statistics.counters, Counters { received: 1, dropped: 0, processed: 1, failed: 1, idle: 0 });
    }

    #[test]
    fn every_figure_has_its_key() {
        let mut statistics = NodeStatistics::of("image");
        let thresholds = Thresholds { latency_warn: 0.02, ..Thresholds::default() };
        statistics.status("/node: detection", &[], &thresholds);
        statistics.arrived();
        statistics.measured(Stage::Queue, Duration::from_millis(2));
        statistics.record(&[(Stage::Pipeline, Some(Duration::from_millis(30))), (Stage::Age, None)]);
        std::thread::sleep(Duration::from_millis(5));
        let status = statistics.status("/node: detection", &[("model", "m.onnx")], &thresholds);
        let value = |key: &str| status.values.iter().find(|value| value.key == key).map(|value| value.value.as_str());
        assert_eq!(
            (value("model"), value("processed"), value("dropped_share")),
            (Some("m.onnx"), Some("1"), Some("0.000"))
        );
        assert_eq!((value("queue_ms_p50"), value("pipeline_ms_p95")), (Some("2.000"), Some("30.000")));
        assert_eq!((value("age_ms_p50"), value("infer_ms_p50")), (None, None), "what was not measured is not told");
        let rate = |key: &str| value(key).and_then(|value| value.parse::<f64>().ok()).unwrap();
        assert!(rate("input_hz") > 0.0 && rate("output_hz") > 0.0);
        #[cfg(target_os = "linux")]
        assert!(rate("memory_mib_peak") >= rate("memory_mib_configured"));
        assert!(status.level == WARN && status.message.contains("latency_warn"), "{}", status.message);
        assert_eq!(Stage::Queue.name(), "queue");
    }

    #[test]
    fn an_idle_node_is_well_while_its_sensor_speaks() {
        let mut statistics = NodeStatistics::of("image");
        let thresholds = Thresholds::default();
        statistics.arrived();
        statistics.record(&[(Stage::Pipeline, Some(Duration::from_secs(1)))]);
        let slow = Thresholds { latency_warn: 0.5, ..thresholds };
        assert_eq!(told(&mut statistics, &slow).0, WARN);
        statistics.idled();
        assert_eq!(told(&mut statistics, &slow), (OK, "idle: nobody listens".to_owned()));
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(7)) else { return };
        statistics.last_arrival = Some(before);
        assert_ne!(told(&mut statistics, &thresholds).0, OK, "a sensor that fell silent is missed all the same");
        statistics.arrived();
        statistics.record(&[]);
        assert_eq!(told(&mut statistics, &thresholds), (OK, "2 frames processed".to_owned()));
        assert_eq!(statistics.counters.idle, 1);
    }
}
