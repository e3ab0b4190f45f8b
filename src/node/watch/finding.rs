//! What is wrong, in words, how often it was, and in the log.

use std::{collections::BTreeMap, time::Duration};

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use crate::node::{
    diagnostics::{ERROR, OK, WARN},
    warnings::Warnings,
};

/// How often the log is told again of what diagnostics tell all the time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Finding {
    /// Level of diagnostics.
    pub(in crate::node) level: u8,
    /// What is wrong, with both sides by name, and what mends it.
    pub(in crate::node) text: String,
    /// What it is counted under.
    pub(in crate::node) key: &'static str,
}

impl Finding {
    /// Something that somebody should look at.
    pub(super) fn warning(key: &'static str, text: String) -> Self {
        Self { level: WARN, text, key }
    }

    /// Something that keeps the node from its work.
    pub(super) fn error(key: &'static str, text: String) -> Self {
        Self { level: ERROR, text, key }
    }

    /// The worst of several, and of equals the first.
    pub(super) fn worst(findings: impl IntoIterator<Item = Self>) -> Option<Self> {
        findings.into_iter().reduce(|worst, next| if next.level > worst.level { next } else { worst })
    }

    /// Adds itself to what a status says.
    pub(in crate::node) fn tell(&self, status: &mut DiagnosticStatus) {
        status.message =
            if status.level == OK { self.text.clone() } else { format!("{}; {}", status.message, self.text) };
        status.level = status.level.max(self.level);
    }
}

/// How often each thing began, and when the log was told of it.
#[derive(Debug, Default)]
pub(in crate::node) struct Chronicle {
    present: Vec<&'static str>,
    begun: BTreeMap<&'static str, u64>,
    warnings: BTreeMap<&'static str, Warnings>,
}

impl Chronicle {
    /// Takes all that is wrong now, counts what was not before, and warns of each kind now and then.
    pub(in crate::node) fn note(&mut self, found: &[Finding]) {
        for Finding { key, text, .. } in found {
            if !self.present.contains(key) {
                *self.begun.entry(*key).or_default() += 1;
            }
            self.warnings.entry(*key).or_insert_with(|| Warnings::every(LOG_EVERY)).warn(text);
        }
        self.present = found.iter().map(|finding| finding.key).collect();
    }

    /// How often that began.
    pub(in crate::node) fn count(&self, key: &str) -> u64 {
        self.begun.get(key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told_and_nothing_that_was_said_is_lost() {
        let found = [
            Finding::warning("stamps_stale", "old".into()),
            Finding::error("qos_mismatches", "deaf".into()),
            Finding::error("wrong_types", "another type".into()),
        ];
        let worst = Finding::worst(found).unwrap();
        assert_eq!((worst.level, worst.key), (ERROR, "qos_mismatches"));
        let mut status = DiagnosticStatus { level: OK, message: "5 frames processed".into(), ..Default::default() };
        worst.tell(&mut status);
        assert_eq!((status.level, status.message.as_str()), (ERROR, "deaf"));
        Finding::warning("stamps_stale", "old".into()).tell(&mut status);
        assert_eq!((status.level, status.message.as_str()), (ERROR, "deaf; old"));
        assert_eq!(Finding::worst([]), None);
    }

    #[test]
    fn what_goes_on_is_counted_once_and_what_comes_again_twice() {
        let mut chronicle = Chronicle::default();
        let found = [Finding::warning("rate_drops", "slow".into())];
        for found in [&found[..], &found[..], &[], &found[..]] {
            chronicle.note(found);
        }
        assert_eq!((chronicle.count("rate_drops"), chronicle.count("wrong_types")), (2, 0));
    }
}
