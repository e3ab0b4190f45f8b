//! Reading rosbag2's `metadata.yaml`, versions 1 to 9; [`Metadata`] tells of the layout.

use std::path::{Path, PathBuf};

use super::BagError;
use crate::recording::metadata::{Document, Metadata, NEWEST_VERSION, TopicMetadata};

impl TopicMetadata {
    /// The quality of service as text, whether the file has a string (up to version 8) or a list (9).
    pub(super) fn offered_qos(&self) -> String {
        match &self.offered_qos_profiles {
            serde_yaml::Value::Null => String::new(),
            serde_yaml::Value::String(text) => text.clone(),
            serde_yaml::Value::Sequence(list) if list.is_empty() => String::new(),
            other => serde_yaml::to_string(other).unwrap_or_default(),
        }
    }
}

impl Metadata {
    /// Reads the file; `Ok(None)` for an empty one, which a recorder leaves behind that was stopped hard.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, BagError> {
        let text = std::fs::read(path).map_err(|error| BagError::io(path, error))?;
        let refuse = |reason: String| BagError::Metadata { path: path.into(), reason };
        let text = String::from_utf8(text).map_err(|_| refuse("is not text".into()))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let document: Document =
            serde_yaml::from_str(&text).map_err(|error| refuse(format!("is not rosbag2 metadata: {error}")))?;
        let metadata = document.rosbag2_bagfile_information;
        if metadata.version > NEWEST_VERSION {
            return Err(refuse(format!(
                "is of version {}, and versions up to {NEWEST_VERSION} are known",
                metadata.version
            )));
        }
        if metadata.relative_file_paths.is_empty() {
            return Err(refuse("names no files (`relative_file_paths` is empty)".into()));
        }
        Ok(Some(metadata))
    }

    /// Where the recording's files should lie. Up to version 3 the paths started with the folder's own name.
    pub(super) fn file_paths(&self, folder: &Path) -> Vec<PathBuf> {
        let resolve = |relative: &String| {
            let inside = folder.join(relative);
            if inside.exists() {
                return inside;
            }
            let beside = folder.parent().map(|parent| parent.join(relative)).filter(|path| path.exists());
            let by_name = Path::new(relative).file_name().map(|name| folder.join(name)).filter(|path| path.exists());
            beside.or(by_name).unwrap_or(inside)
        };
        self.relative_file_paths.iter().map(resolve).collect()
    }

    /// How many messages the file at `index` should hold, where that is written down.
    pub(super) fn file_message_count(&self, index: usize) -> Option<u64> {
        if self.relative_file_paths.len() == 1 {
            return Some(self.message_count);
        }
        let path = self.relative_file_paths.get(index)?;
        self.files.iter().find(|file| &file.path == path).map(|file| file.message_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Metadata>, BagError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.yaml");
        std::fs::write(&path, text).unwrap();
        Metadata::read(&path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let metadata = Metadata {
            version: 9,
            storage_identifier: "mcap".into(),
            relative_file_paths: vec!["a_0.mcap".into()],
            message_count: 3,
            ..Default::default()
        };
        assert_eq!(read(&metadata.to_yaml().unwrap()).unwrap().unwrap(), metadata);
    }

    #[test]
    fn broken_files_are_refused_in_words() {
        assert!(read("  \n").unwrap().is_none());
        for (text, expected) in [
            ("a: 1", "missing field"),
            (
                "rosbag2_bagfile_information: {version: 99, storage_identifier: mcap, relative_file_paths: [a]}",
                "version 99",
            ),
            ("rosbag2_bagfile_information: {version: 9, storage_identifier: mcap}", "relative_file_paths"),
            ("\u{1}\u{2}", "not rosbag2 metadata"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
