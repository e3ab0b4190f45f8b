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

/// Latencies by stage and the counts.
#[derive(Debug)]
pub struct NodeStatistics {
    /// The counts.
    pub counters: Counters,
    /// What the newest failed frame failed of.
    pub last_failure: Option<String>,
    stages: [(&'static str, LatencyRecorder); 6],
}

impl Default for NodeStatistics {
    fn default() -> Self {
        let names = ["decode", "preprocess", "infer", "postprocess", "publish", "pipeline"];
        Self {
            counters: Counters::default(),
            last_failure: None,
            stages: names.map(|name| (name, LatencyRecorder::new(WINDOW))),
        }
    }
}

impl NodeStatistics {
    /// Adds a frame: decode, preprocess, infer, postprocess, publish, and the pipeline (now - stamp).
    pub fn record(&mut self, latencies: [Duration; 6]) {
        self.counters.processed += 1;
        for ((_, recorder), latency) in self.stages.iter_mut().zip(latencies) {
            recorder.record(latency);
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
        for (stage, recorder) in &self.stages {
            if let Some(summary) = recorder.summary() {
                values.push(pair(&format!("{stage}_ms_p50"), &format!("{:.3}", summary.p50)));
                values.push(pair(&format!("{stage}_ms_p90"), &format!("{:.3}", summary.p90)));
                values.push(pair(&format!("{stage}_ms_p99"), &format!("{:.3}", summary.p99)));
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
