//! From where on a figure of a node is a warning or an error.

use super::{ERROR, WARN};

/// The limits of what is well; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// Of 20 frames 19 should be out within so many seconds after their stamp; else it is a warning.
    pub latency_warn: f64,
    /// The same for an error.
    pub latency_error: f64,
    /// The share of frames that may be dropped.
    pub drop_warn: f64,
    /// Resident memory in MiB.
    pub memory_warn: f64,
}

/// What is held against the limits; nothing where it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// 95th percentile of the time from the stamp to the publication, in ms.
    pub(super) pipeline_ms: Option<f64>,
    /// Share of the frames of the last seconds that were dropped.
    pub(super) dropped: Option<f64>,
    /// Resident memory in MiB.
    pub(super) memory: Option<f64>,
}

impl Thresholds {
    /// Which limits are passed: level and text, with the parameter's name.
    pub(super) fn findings(&self, figures: &Figures) -> Vec<(u8, String)> {
        let passed = |value: f64, limit: f64| limit > 0.0 && value > limit;
        let mut findings = Vec::new();
        if let Some(milliseconds) = figures.pipeline_ms {
            let limits = [(ERROR, "latency_error", self.latency_error), (WARN, "latency_warn", self.latency_warn)];
            if let Some((level, name, limit)) =
                limits.into_iter().find(|&(_, _, limit)| passed(milliseconds / 1e3, limit))
            {
                let text = "of 20 frames one needs longer from its stamp to its publication than";
                findings.push((level, format!("{text} {milliseconds:.0} ms ({name} is {:.0} ms)", limit * 1e3)));
            }
        }
        if let Some(share) = figures.dropped.filter(|&share| passed(share, self.drop_warn)) {
            let text =
                format!("{:.0} % of what comes is dropped (drop_warn is {:.0} %)", 1e2 * share, 1e2 * self.drop_warn);
            findings.push((WARN, text));
        }
        if let Some(mebibytes) = figures.memory.filter(|&mebibytes| passed(mebibytes, self.memory_warn)) {
            let text = format!("{mebibytes:.0} MiB of memory are in use (memory_warn is {:.0} MiB)", self.memory_warn);
            findings.push((WARN, text));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_when_they_are_passed_and_off_at_zero() {
        let figures = Figures { pipeline_ms: Some(250.0), dropped: Some(0.6), memory: Some(300.0) };
        assert!(Thresholds::default().findings(&figures).is_empty());
        let mut thresholds = Thresholds { latency_warn: 0.2, latency_error: 0.4, drop_warn: 0.5, memory_warn: 256.0 };
        let levels = |thresholds: &Thresholds, figures: &Figures| -> Vec<u8> {
            thresholds.findings(figures).iter().map(|(level, _)| *level).collect()
        };
        assert_eq!(levels(&thresholds, &figures), [WARN, WARN, WARN]);
        let texts = thresholds.findings(&figures).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ");
        for words in
            ["250 ms (latency_warn is 200 ms)", "60 %", "drop_warn is 50 %", "300 MiB", "memory_warn is 256 MiB"]
        {
            assert!(texts.contains(words), "`{words}` is not in: {texts}");
        }
        thresholds.latency_error = 0.249;
        let findings = thresholds.findings(&figures);
        assert!(findings[0].0 == ERROR && findings[0].1.contains("latency_error"), "{findings:?}");
        assert!(levels(&thresholds, &Figures::default()).is_empty());
        let fine = Figures { pipeline_ms: Some(200.0), dropped: Some(0.5), memory: Some(256.0) };
        assert!(levels(&Thresholds { latency_error: 0.4, ..thresholds }, &fine).is_empty());
    }
}
