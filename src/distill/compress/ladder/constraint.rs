//! What a compressed student must be like, and by how much another is not.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PointFigures;

/// Limits that the chosen student keeps; what is left out does not count. Times are those of the network alone on one thread of this
/// machine, medians.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Milliseconds at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How much faster than another model at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speedup_over: Option<Speedup>,
    /// Kilobytes (of 1000 bytes) of the file at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_kb: Option<f64>,
    /// Share of the teachers' AP50 at least, on the validation block; in 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<f64>,
}

/// A speed in comparison to another model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speedup {
    /// The other model's ONNX file.
    pub model: PathBuf,
    /// How many times faster.
    pub times: f64,
}

/// A limit that is not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Miss {
    /// The limit's key.
    pub constraint: String,
    /// The limit.
    pub wanted: f64,
    /// What it is instead; `None` where that could not be measured.
    pub found: Option<f64>,
    /// How far it is beyond the limit, as a share of it: 0.25 is a quarter too much or too little. `None` as above.
    pub excess: Option<f64>,
}

impl Constraints {
    /// Says which value makes no sense: its key and what is wrong with it.
    ///
    /// # Errors
    /// The key below `constraints`, and the mend.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let positive = [
            ("latency_ms", self.latency_ms),
            ("speedup_over.times", self.speedup_over.as_ref().map(|speedup| speedup.times)),
            ("size_kb", self.size_kb),
        ];
        for (key, value) in positive {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
                return Err((key, format!("{value} must be a number above 0")));
            }
        }
        match self.retention {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(("retention", format!("{share} must be a share in 0..1, for instance 0.97")))
            }
            _ => Ok(()),
        }
    }

    /// The limits that a student with these figures does not keep.
    pub fn misses(&self, figures: &PointFigures) -> Vec<Miss> {
        let kilobytes = figures.bytes as f64 / 1e3;
        let speedup = self.speedup_over.as_ref().map(|speedup| speedup.times);
        let limits = [
            at_most("latency_ms", self.latency_ms, figures.latency_ms),
            at_least("speedup_over", speedup, figures.speedup()),
            at_most("size_kb", self.size_kb, Some(kilobytes)),
            at_least("retention", self.retention, figures.retention),
        ];
        limits.into_iter().flatten().collect()
    }
}

impl Miss {
    /// The miss for people: `size_kb 612 > 500`.
    pub fn to_text(&self) -> String {
        let Some(found) = self.found else { return format!("{} is not known", self.constraint) };
        let sign = if found > self.wanted { '>' } else { '<' };
        format!("{} {} {sign} {}", self.constraint, short(found), short(self.wanted))
    }

    /// How far a student with these misses is from keeping all limits: the sum of what is too much or too little, each as a share of its
    /// limit. What could not be measured is further off than anything.
    pub fn distance(misses: &[Self]) -> f64 {
        misses.iter().map(|miss| miss.excess.unwrap_or(f64::INFINITY)).sum()
    }
}

/// A number with the digits that tell it from its limit.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

fn at_most(constraint: &str, limit: Option<f64>, found: Option<f64>) -> Option<Miss> {
    let wanted = limit?;
    let kept = found.is_some_and(|found| found <= wanted);
    let excess = found.map(|found| found / wanted - 1.0);
    (!kept).then(|| Miss { constraint: constraint.to_owned(), wanted, found, excess })
}

fn at_least(constraint: &str, limit: Option<f64>, found: Option<f64>) -> Option<Miss> {
    let wanted = limit?;
    let kept = found.is_some_and(|found| found >= wanted);
    // Of nothing at all there is no number of times that it is too little.
    let excess = found.map(|found| wanted / found.max(wanted / 1e6) - 1.0);
    (!kept).then(|| Miss { constraint: constraint.to_owned(), wanted, found, excess })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Quartiles;

    fn figures() -> PointFigures {
        PointFigures {
            ap: Some(0.8),
            ap50: Some(0.95),
            retention: Some(0.96),
            per_class: Vec::new(),
            parameters: 100_000,
            macs: None,
            bytes: 600_000,
            latency_ms: Some(2.0),
            ratio: Some(Quartiles { lower: 0.1, median: 0.125, upper: 0.2 }),
        }
    }

    fn all() -> Constraints {
        Constraints {
            latency_ms: Some(1.6),
            speedup_over: Some(Speedup { model: "yolox.onnx".into(), times: 10.0 }),
            size_kb: Some(500.0),
            retention: Some(0.97),
        }
    }

    #[test]
    fn limits_are_kept_or_missed_by_a_share() {
        let misses = all().misses(&figures());
        let told: Vec<String> = misses.iter().map(Miss::to_text).collect();
        assert_eq!(
            told,
            ["latency_ms 2.000 > 1.600", "speedup_over 8.000 < 10.0", "size_kb 600 > 500", "retention 0.960 < 0.970"]
        );
        let excess: Vec<f64> = misses.iter().filter_map(|miss| miss.excess).collect();
        for (found, expected) in excess.iter().zip([0.25, 0.25, 0.2, 0.97 / 0.96 - 1.0]) {
            assert!((found - expected).abs() < 1e-9, "{excess:?}");
        }
        assert!((Miss::distance(&misses) - excess.iter().sum::<f64>()).abs() < 1e-12);
        assert!(Constraints::default().misses(&figures()).is_empty());
        let exact = Constraints { latency_ms: Some(2.0), size_kb: Some(600.0), retention: Some(0.96), ..all() };
        assert_eq!(exact.misses(&figures()).len(), 1, "a limit that is just met is met");
    }

    #[test]
    fn what_is_not_known_keeps_no_limit_and_is_the_furthest_off() {
        let unknown = PointFigures { retention: None, ratio: None, ..figures() };
        let misses = all().misses(&unknown);
        assert!(misses.iter().any(|miss| miss.to_text() == "retention is not known"), "{misses:?}");
        assert_eq!(Miss::distance(&misses), f64::INFINITY);
        let nothing = PointFigures { retention: Some(0.0), ..figures() };
        assert!(Miss::distance(&all().misses(&nothing)).is_finite());
    }

    #[test]
    fn senseless_limits_are_refused_by_key() {
        for (constraints, key) in [
            (Constraints { latency_ms: Some(0.0), ..all() }, "latency_ms"),
            (Constraints { size_kb: Some(f64::NAN), ..all() }, "size_kb"),
            (Constraints { retention: Some(97.0), ..all() }, "retention"),
            (
                Constraints { speedup_over: Some(Speedup { model: "a".into(), times: -1.0 }), ..all() },
                "speedup_over.times",
            ),
        ] {
            assert_eq!(constraints.check().unwrap_err().0, key);
        }
        assert_eq!(all().check(), Ok(()));
    }
}
