//! What a node measures of itself, and how it says it in diagnostics.

use std::time::Duration;

use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};

use crate::metrics::LatencyRecorder;

/// Measurements of the newest this many frames make the percentiles.
const WINDOW: usize = 500;

/// Counts since the node began.
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
}

/// What is timed of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the stamp until the node began with it: how old the newest frame was.
    Age,
    /// Message to RGB.
    Decode,
    /// RGB to the network's input.
    Preprocess,
    /// The network.
    Infer,
    /// The network's output to boxes.
    Postprocess,
    /// Boxes to the topic.
    Publish,
    /// From the stamp until the boxes were out.
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
    /// What the newest failed frame failed of.
    pub last_failure: Option<String>,
    stages: [(Stage, &'static str, LatencyRecorder); Stage::ALL.len()],
}

impl Default for NodeStatistics {
    fn default() -> Self {
        Self {
            counters: Counters::default(),
            last_failure: None,
            stages: Stage::ALL.map(|(stage, name)| (stage, name, LatencyRecorder::new(WINDOW))),
        }
    }
}

impl NodeStatistics {
    /// Adds a frame with what is known of its stages.
    pub fn record(&mut self, latencies: &[(Stage, Option<Duration>)]) {
        self.counters.processed += 1;
        for (stage, _, recorder) in &mut self.stages {
            let found = latencies.iter().find(|(of, _)| of == stage);
            if let Some(latency) = found.and_then(|(_, latency)| *latency) {
                recorder.record(latency);
            }
        }
    }

    /// The diagnostics of a node with this fully qualified name.
    pub fn diagnostics(&self, node: &str, model: &str, stamp: r2r::builtin_interfaces::msg::Time) -> DiagnosticArray {
        let counters = self.counters;
        let mut values = vec![pair("model", model)];
        for (name, count) in [
            ("received", counters.received),
            ("dropped", counters.dropped),
            ("processed", counters.processed),
            ("failed", counters.failed),
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
        let (level, message) = match &self.last_failure {
            _ if counters.received == 0 => (1, "no image has arrived yet; compare the topic and its QoS".to_owned()),
            Some(failure) => (1, format!("{} frames failed, the newest: {failure}", counters.failed)),
            None => (0, format!("{} frames processed", counters.processed)),
        };
        let status =
            DiagnosticStatus { level, name: format!("{node}: detection"), message, hardware_id: String::new(), values };
        let mut array = DiagnosticArray { status: vec![status], ..Default::default() };
        array.header.stamp = stamp;
        array
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}
