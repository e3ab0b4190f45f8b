//! What a node says of itself on `/diagnostics` and on topics of its own.
//!
//! | file | holds |
//! |---|---|
//! | `statistics` | [`NodeStatistics`]: counts, rates and latencies, and the status made of them |
//! | `recent` | what changed between the last few times that diagnostics were told: rates, drops, processor time |
//! | `usage` | memory and processor time of this process |
//! | `thresholds` | [`Thresholds`]: from where on a figure is a warning or an error |
//! | `identity` | which model it is, for diagnostics |
//! | `drift` | whether what is found still resembles what was found when the model was validated |
//! | `latency_topics` | the latencies of each frame as topics |

pub(super) mod drift;
pub(super) mod identity;
pub(super) mod latency_topics;
mod recent;
mod statistics;
mod thresholds;
mod usage;

use std::time::Duration;

use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};
pub use statistics::{Counters, NodeStatistics, Stage};
pub use thresholds::Thresholds;

/// What went wrong is told for so long after it was seen last.
pub(super) const TROUBLE: Duration = Duration::from_secs(5);

/// Level of diagnostics: all is well.
pub(super) const OK: u8 = 0;
/// Level of diagnostics: somebody should look.
pub(super) const WARN: u8 = 1;
/// Level of diagnostics: it does not do its work.
pub(super) const ERROR: u8 = 2;

/// A line of diagnostics.
pub(super) fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

/// Level and message of several things that are not as they should be: the worst level, and all texts, the worst first. Where nothing
/// is wrong, what is said otherwise.
pub(super) fn summed_up(mut findings: Vec<(u8, String)>, otherwise: impl FnOnce() -> String) -> (u8, String) {
    // Stable: of the same level the first found stays first.
    findings.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    match findings.first() {
        None => (OK, otherwise()),
        Some(&(level, _)) => {
            let texts: Vec<String> = findings.into_iter().map(|(_, text)| text).collect();
            (level, texts.join("; "))
        }
    }
}

/// A status with these lines; findings as in [`summed_up`].
pub(super) fn status(
    name: String,
    findings: Vec<(u8, String)>,
    otherwise: impl FnOnce() -> String,
    values: Vec<KeyValue>,
) -> DiagnosticStatus {
    let (level, message) = summed_up(findings, otherwise);
    DiagnosticStatus { level, name, message, hardware_id: String::new(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_nothing_is_left_out() {
        let findings = vec![(WARN, "slow".to_owned()), (ERROR, "silent".to_owned()), (WARN, "large".to_owned())];
        assert_eq!(summed_up(findings, String::new), (ERROR, "silent; slow; large".to_owned()));
        assert_eq!(summed_up(Vec::new(), || "well".to_owned()), (OK, "well".to_owned()));
    }
}
