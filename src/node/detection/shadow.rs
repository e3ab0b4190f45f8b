//! What is known of a candidate that runs beside the model.

use std::{sync::Arc, time::Duration};

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use crate::{
    metrics::LatencyRecorder,
    node::{
        diagnostics::{OK, WARN, pair},
        onlooker::ModelIdentity,
    },
};

/// Measurements of the newest this many frames make the percentiles.
const WINDOW: usize = 500;
/// Shares of frames are summed up to a whole one; what is lacking by rounding does not count.
const ROUNDING: f64 = 1e-9;

/// Decides which frames a candidate gets.
#[derive(Debug, Default)]
pub(super) struct Allowance(f64);

impl Allowance {
    /// Another frame came, of which the candidate may have this share.
    pub(super) fn grow(&mut self, share: f64) {
        self.0 = (self.0 + share).min(1.0);
    }

    /// Whether the candidate may have the frame.
    pub(super) fn is_enough(&self) -> bool {
        self.0 >= 1.0 - ROUNDING
    }

    /// It gets the frame.
    pub(super) fn spend(&mut self) {
        self.0 = 0.0;
    }
}

/// A candidate and how it compares with the active model.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: Arc<ModelIdentity>,
    frames: u64,
    empty: u64,
    sum: f64,
    latency: LatencyRecorder,
    active_latency: LatencyRecorder,
}

impl Candidate {
    /// A candidate that was not compared yet.
    pub(super) fn new(identity: Arc<ModelIdentity>) -> Self {
        let recorder = || LatencyRecorder::new(WINDOW);
        Self { identity, frames: 0, empty: 0, sum: 0.0, latency: recorder(), active_latency: recorder() }
    }

    /// Adds a frame: the agreement, where there was anything to agree on, and how long the candidate and the active model took.
    pub(super) fn record(&mut self, agreement: Option<f64>, took: Duration, active_took: Duration) {
        match agreement {
            Some(agreement) => {
                self.frames += 1;
                self.sum += agreement;
            }
            None => self.empty += 1,
        }
        self.latency.record(took);
        self.active_latency.record(active_took);
    }

    /// Frames in which either saw something, and the mean agreement on these.
    pub(super) fn agreement(&self) -> (u64, f64) {
        (self.frames, if self.frames > 0 { self.sum / self.frames as f64 } else { 0.0 })
    }

    fn status(&self, name: String) -> DiagnosticStatus {
        let (frames, mean) = self.agreement();
        let mut values = vec![
            pair("model", &self.identity.path),
            pair("model_sha256", &self.identity.sha256),
            pair("frames", &frames.to_string()),
            pair("frames_without_objects", &self.empty.to_string()),
        ];
        if frames > 0 {
            values.push(pair("agreement_mean", &format!("{mean:.4}")));
        }
        for (whose, recorder) in [("candidate", &self.latency), ("active", &self.active_latency)] {
            if let Some(summary) = recorder.summary() {
                values.push(pair(&format!("{whose}_ms_p50"), &format!("{:.3}", summary.p50)));
                values.push(pair(&format!("{whose}_ms_p95"), &format!("{:.3}", summary.p95)));
            }
        }
        let message = match frames {
            0 => "the candidate was not compared yet: no frame with an object, or no time to spare".to_owned(),
            _ => format!("the candidate agrees by {mean:.3} on {frames} frames"),
        };
        DiagnosticStatus { level: OK, name, message, hardware_id: String::new(), values }
    }
}

/// The candidate, if there is one, and why the last one was not taken.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    /// The candidate that runs.
    pub(super) candidate: Option<Candidate>,
    /// What was wrong with the last one.
    pub(super) refusal: Option<String>,
}

impl Shadow {
    /// Another model is active: the comparison begins anew.
    pub(super) fn restart(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            *candidate = Candidate::new(candidate.identity.clone());
        }
    }

    /// What diagnostics say; nothing where no candidate is wanted.
    pub(super) fn status(&self, node: &str, is_wanted: bool) -> Option<DiagnosticStatus> {
        let name = format!("{node}: shadow");
        if let Some(candidate) = &self.candidate {
            return Some(candidate.status(name));
        }
        let (level, message) = match &self.refusal {
            Some(refusal) => (WARN, refusal.clone()),
            None if is_wanted => (OK, "the candidate is being loaded".to_owned()),
            None => return None,
        };
        Some(DiagnosticStatus { level, name, message, hardware_id: String::new(), values: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::detection::fake::ready;

    #[test]
    fn a_candidate_gets_its_share_of_the_frames() {
        let frames = |share: f64| {
            let (mut allowance, mut frames) = (Allowance::default(), 0);
            for _ in 0..1000 {
                allowance.grow(share);
                if allowance.is_enough() {
                    allowance.spend();
                    frames += 1;
                }
            }
            frames
        };
        assert_eq!([0.0, 0.2, 0.25, 0.5, 1.0].map(frames), [0, 200, 250, 500, 1000]);
        // What it could not have is not made up for.
        let mut allowance = Allowance::default();
        (0..100).for_each(|_| allowance.grow(0.5));
        allowance.spend();
        allowance.grow(0.5);
        assert!(!allowance.is_enough());
    }

    #[test]
    fn frames_without_objects_are_no_agreement() {
        let mut candidate = Candidate::new(ready("b").identity);
        let took = Duration::from_millis(3);
        assert_eq!(candidate.agreement(), (0, 0.0));
        for agreement in [Some(1.0), None, Some(0.5)] {
            candidate.record(agreement, took, took);
        }
        assert_eq!(candidate.agreement(), (2, 0.75));
        let shadow = Shadow { candidate: Some(candidate), refusal: None };
        let status = shadow.status("/node", true).unwrap();
        let value = |key: &str| status.values.iter().find(|pair| pair.key == key).map(|pair| pair.value.clone());
        assert_eq!(value("agreement_mean").as_deref(), Some("0.7500"));
        assert_eq!(value("candidate_ms_p95").as_deref(), Some("3.000"));
        assert!(Shadow::default().status("/node", false).is_none());
    }
}
