//! Latency figures over the newest measurements, in memory that does not grow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Percentiles of a latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Half of the measurements took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// 19 of 20 took no longer.
    #[serde(default)]
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// The longest.
    #[serde(default)]
    pub max: f64,
}

/// Keeps the newest `capacity` measurements and gives their percentiles.
#[derive(Debug, Clone)]
pub struct LatencyRecorder {
    milliseconds: Vec<f64>,
    capacity: usize,
    next: usize,
    count: u64,
}

impl LatencyRecorder {
    /// An empty recorder; `capacity` of at least 1 is kept.
    pub fn new(capacity: usize) -> Self {
        Self { milliseconds: Vec::with_capacity(capacity.max(1)), capacity: capacity.max(1), next: 0, count: 0 }
    }

    /// Adds a measurement; the oldest one leaves when the recorder is full.
    pub fn record(&mut self, latency: Duration) {
        let value = latency.as_secs_f64() * 1000.0;
        if self.milliseconds.len() < self.capacity {
            self.milliseconds.push(value);
        } else {
            self.milliseconds[self.next] = value;
        }
        self.next = (self.next + 1) % self.capacity;
        self.count += 1;
    }

    /// Measurements ever made, those that left included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Percentiles (nearest rank) of what is kept; `None` before the first measurement.
    pub fn summary(&self) -> Option<LatencySummary> {
        if self.milliseconds.is_empty() {
            return None;
        }
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted[rank.clamp(1, sorted.len()) - 1]
        };
        Some(LatencySummary { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: at(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_the_newest_only() {
        let mut recorder = LatencyRecorder::new(100);
        assert_eq!(recorder.summary(), None);
        for _ in 0..500 {
            recorder.record(Duration::from_secs(9));
        }
        for value in 1..=100 {
            recorder.record(Duration::from_millis(value));
        }
        assert_eq!(recorder.count(), 600);
        let summary = recorder.summary().unwrap();
        assert!(
            (summary.p50 - 50.0).abs() < 1e-9
                && (summary.p90 - 90.0).abs() < 1e-9
                && (summary.p95 - 95.0).abs() < 1e-9
                && (summary.p99 - 99.0).abs() < 1e-9
                && (summary.max - 100.0).abs() < 1e-9
        );
    }
}
