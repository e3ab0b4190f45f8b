//! What of a recording could not be read.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::BagError;

/// How many reasons are kept in words; the counts go on.
const KEPT_REASONS: usize = 8;

/// What of a recording could not be read: counted, with the first reasons in words. Never silent: whoever reads a
/// recording asks for it afterwards and says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Bytes of files that were there but could not be used.
    pub bytes: u64,
    /// Messages known to be lost; there may be more where a file gives no count.
    pub messages: u64,
    /// Messages that were read but could not be decoded as what their type says (counted in `messages` too).
    pub broken: u64,
    /// The first reasons, each naming its file.
    pub reasons: Vec<String>,
    /// Reasons beyond those kept in words.
    pub more_reasons: u64,
}

impl Loss {
    /// True when all was read.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.messages == 0 && self.broken == 0 && self.reasons.is_empty()
    }

    /// Counts a loss of `bytes` and `messages` for `reason`.
    pub fn add(&mut self, bytes: u64, messages: u64, reason: impl Into<String>) {
        self.bytes += bytes;
        self.messages += messages;
        if self.reasons.len() < KEPT_REASONS {
            self.reasons.push(reason.into());
        } else {
            self.more_reasons += 1;
        }
    }

    /// Counts a message that could not be decoded.
    pub fn add_broken(&mut self, reason: impl Into<String>) {
        self.broken += 1;
        self.add(0, 1, reason);
    }

    /// Counts a whole file of a split recording, with the messages that are known to be in it.
    pub(super) fn add_file(&mut self, path: &Path, messages: u64, error: &BagError) {
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        let (name, mut reason) = (path.display().to_string(), error.to_string());
        if !reason.contains(&name) {
            // The error is about the temporary file that it was unpacked to.
            reason = format!("{name}: {reason}");
        }
        self.add(size, messages, reason);
    }

    /// Takes in what another part lost.
    pub fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.messages += other.messages;
        self.broken += other.broken;
        self.more_reasons += other.more_reasons;
        for reason in &other.reasons {
            if self.reasons.len() < KEPT_REASONS {
                self.reasons.push(reason.clone());
            } else {
                self.more_reasons += 1;
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing lost");
        }
        write!(f, "lost {} bytes and {} messages", self.bytes, self.messages)?;
        if self.broken > 0 {
            write!(f, " ({} of them undecodable)", self.broken)?;
        }
        for reason in &self.reasons {
            write!(f, "; {reason}")?;
        }
        if self.more_reasons > 0 {
            write!(f, "; and {} more", self.more_reasons)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_counts_are_not() {
        let mut loss = Loss::default();
        assert!(loss.is_empty());
        for index in 0..20 {
            loss.add_broken(format!("message {index}"));
        }
        assert_eq!((loss.broken, loss.messages, loss.reasons.len(), loss.more_reasons), (20, 20, KEPT_REASONS, 12));
        let mut sum = Loss::default();
        sum.merge(&loss);
        assert_eq!(sum, loss);
        assert!(sum.to_string().ends_with("and 12 more"));
    }
}
