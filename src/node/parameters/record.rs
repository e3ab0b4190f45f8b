//! The parameters of recording, which both detectors have.

use std::{
    path::{Component, Path},
    time::Duration,
};

use super::{ParameterError, TextList};
use crate::node::recorder::RecordOptions;

/// Bytes of a megabyte.
const MEGABYTE: u64 = 1_000_000;

/// What a detector's parameters say of recording.
pub(super) struct Recorded<'a> {
    pub(super) folder: &'a str,
    pub(super) limit_mb: i64,
    pub(super) part_mb: i64,
    pub(super) uncertainty: f64,
    pub(super) interval: f64,
    pub(super) topics: &'a TextList,
    pub(super) requests: &'a str,
}

impl Recorded<'_> {
    /// Checks what ranges do not tell.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let folder = Path::new(self.folder);
        if !self.folder.is_empty() && !folder.is_absolute() {
            let reason = format!("`{}` is not absolute, such as /var/lib/robot/field", self.folder);
            return Err(ParameterError::new("record_folder", reason));
        }
        if folder.components().any(|component| component == Component::ParentDir) {
            return Err(ParameterError::new("record_folder", format!("`{}` has `..` in it", self.folder)));
        }
        if self.part_mb > self.limit_mb {
            let reason = format!("{} is more than record_limit_mb, {}", self.part_mb, self.limit_mb);
            return Err(ParameterError::new("record_part_mb", reason));
        }
        Ok(())
    }

    /// What a recorder is told; nothing where recording is off.
    pub(super) fn options(&self) -> Option<RecordOptions> {
        let bytes = |megabytes: i64| u64::try_from(megabytes).unwrap_or(1).saturating_mul(MEGABYTE);
        (!self.folder.is_empty()).then(|| RecordOptions {
            folder: self.folder.into(),
            limit: bytes(self.limit_mb),
            part: bytes(self.part_mb),
            uncertainty: self.uncertainty,
            interval: Duration::try_from_secs_f64(self.interval).unwrap_or_default(),
            topics: self.topics.0.iter().filter(|topic| !topic.is_empty()).cloned().collect(),
            requests: self.requests.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_is_off_without_a_folder_and_wrong_values_are_named() {
        let topics = TextList(vec!["/tf".into(), String::new()]);
        let good = || Recorded {
            folder: "/field",
            limit_mb: 500,
            part_mb: 50,
            uncertainty: 0.9,
            interval: 1.5,
            topics: &topics,
            requests: "requests",
        };
        assert_eq!(good().check(), Ok(()));
        let options = good().options().unwrap();
        assert_eq!((options.limit, options.part, options.topics), (500_000_000, 50_000_000, vec!["/tf".to_owned()]));
        assert_eq!(options.interval, Duration::from_millis(1500));
        let off = Recorded { folder: "", ..good() };
        assert!(off.options().is_none() && off.check().is_ok());
        for (wrong, name) in [
            (Recorded { folder: "field", ..good() }, "record_folder"),
            (Recorded { folder: "/field/../etc", ..good() }, "record_folder"),
            (Recorded { part_mb: 501, ..good() }, "record_part_mb"),
        ] {
            assert_eq!(wrong.check().unwrap_err().name, name);
        }
    }
}
