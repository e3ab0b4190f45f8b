//! What lies at a path: which kind of recording, which files, in which order.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    BagError, Loss,
    compression::ZSTD_MAGIC,
    reader::{Part, Storage},
    sqlite_file::SQLITE_MAGIC,
    topic::TopicTable,
};
use crate::recording::{metadata::Metadata, part_number};

/// A recording's files and what its `metadata.yaml` says of them.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) storage: Storage,
    pub(super) parts: Vec<Part>,
    pub(super) compression: String,
    pub(super) table: TopicTable,
    pub(super) times: Option<(i64, i64)>,
    /// Files that are not there or cannot be read at all.
    pub(super) missing: Loss,
    /// True when a `metadata.yaml` gave topics, counts and times.
    pub(super) described: bool,
}

/// Looks at what lies at `path`.
pub(super) fn of(path: &Path) -> Result<Layout, BagError> {
    let kind = std::fs::metadata(path).map_err(|error| BagError::io(path, error))?;
    if !kind.is_dir() {
        return undescribed(vec![path.into()]);
    }
    let parts = part_folders(path)?;
    if parts.is_empty() { whole_folder(path) } else { in_parts(path, parts) }
}

/// A folder that is one recording.
fn whole_folder(path: &Path) -> Result<Layout, BagError> {
    let description = path.join("metadata.yaml");
    if description.is_file()
        && let Some(metadata) = Metadata::read(&description)?
    {
        return described(path, &metadata);
    }
    undescribed(recording_files(path)?)
}

/// The folders in a folder that are parts of one recording, by their number.
fn part_folders(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| BagError::io(folder, error))? {
        let entry = entry.map_err(|error| BagError::io(folder, error))?;
        if let Some(number) = entry.file_name().to_str().and_then(part_number)
            && entry.path().join("metadata.yaml").is_file()
        {
            parts.push((number, entry.path()));
        }
    }
    parts.sort();
    Ok(parts.into_iter().map(|(_, path)| path).collect())
}

/// A folder of parts, each a recording of its own, as a robot's recorder leaves them: one recording. A part that cannot be read does
/// not spoil the others.
fn in_parts(folder: &Path, parts: Vec<PathBuf>) -> Result<Layout, BagError> {
    let mut whole: Option<Layout> = None;
    let mut missing = Loss::default();
    let mut first_error = None;
    for part in parts {
        let read = whole_folder(&part).and_then(|layout| {
            let reason = "its metadata.yaml is empty; name its .mcap file to read it alone";
            if layout.described {
                Ok(layout)
            } else {
                Err(BagError::NotABag { path: part.clone(), reason: reason.into() })
            }
        });
        let layout = match read {
            Ok(layout) => layout,
            Err(error) => {
                missing.add_file(&part, 0, &error);
                first_error.get_or_insert(error);
                continue;
            }
        };
        whole = Some(match whole {
            Some(before) => before.joined(layout, &part)?,
            None => layout,
        });
    }
    match (whole, first_error) {
        (Some(mut whole), _) => {
            whole.missing.merge(&missing);
            Ok(whole)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(BagError::NotABag { path: folder.into(), reason: "the folder holds no parts".into() }),
    }
}

impl Layout {
    /// Adds the next part, whose files follow.
    ///
    /// # Errors
    /// When it is stored otherwise, or has a topic of the same name and another type.
    fn joined(mut self, next: Self, path: &Path) -> Result<Self, BagError> {
        let refuse = |reason: String| BagError::NotABag { path: path.into(), reason };
        if next.storage != self.storage {
            let (here, before) = (next.storage.identifier(), self.storage.identifier());
            return Err(refuse(format!("it is stored as `{here}`, the parts before it as `{before}`; move it away")));
        }
        for topic in &next.table.topics {
            let place = self.table.enter(&topic.name, &topic.type_name, &topic.serialization, &topic.offered_qos);
            let known = &mut self.table.topics[place];
            if known.type_name != topic.type_name {
                return Err(refuse(format!(
                    "topic `{}` is a {}, and in the parts before it a {}; move the older or the newer parts away",
                    topic.name, topic.type_name, known.type_name
                )));
            }
            known.message_count = Some(known.message_count.unwrap_or(0) + topic.message_count.unwrap_or(0));
        }
        self.times = match (self.times, next.times) {
            (Some((start, end)), Some((first, last))) => Some((start.min(first), end.max(last))),
            (known, other) => known.or(other),
        };
        if self.compression == "none" {
            self.compression = next.compression;
        }
        self.parts.extend(next.parts);
        self.missing.merge(&next.missing);
        Ok(self)
    }
}

/// A folder with `metadata.yaml`.
fn described(folder: &Path, metadata: &Metadata) -> Result<Layout, BagError> {
    let storage = match metadata.storage_identifier.as_str() {
        "mcap" => Storage::Mcap,
        "sqlite3" => Storage::Sqlite3,
        other => return Err(BagError::UnsupportedStorage { path: folder.into(), storage: other.into() }),
    };
    let unsupported =
        |what, name: &str| BagError::UnsupportedCompression { path: folder.into(), what, name: name.into() };
    let compression = match metadata.compression_mode.to_ascii_uppercase().as_str() {
        "" | "NONE" => "none",
        "FILE" => "zstd files",
        "MESSAGE" => "zstd messages",
        _ => return Err(unsupported("compression mode", &metadata.compression_mode)),
    };
    if compression != "none" && metadata.compression_format != "zstd" {
        return Err(unsupported("compression format", &metadata.compression_format));
    }
    let mut parts = Vec::new();
    let mut missing = Loss::default();
    let files = metadata.file_paths(folder);
    let split = files.len() > 1;
    for (index, file) in files.into_iter().enumerate() {
        let count = metadata.file_message_count(index).unwrap_or(0);
        if !file.exists() {
            missing.add(0, count, format!("{}: the file is missing", file.display()));
            continue;
        }
        match examine(&file).and_then(|examined| examined.demand(storage)) {
            Ok(part) => parts.push(part),
            // One bad file of a split recording does not spoil the others.
            Err(error) if split && error.spoils_one_file_only() => missing.add_file(&file, count, &error),
            Err(error) => return Err(error),
        }
    }
    if parts.is_empty() {
        return Err(BagError::NotABag {
            path: folder.into(),
            reason: format!("none of the files that its metadata.yaml names can be read ({missing})"),
        });
    }
    let mut table = TopicTable::default();
    for topic in &metadata.topics_with_message_count {
        let about = &topic.topic_metadata;
        let place = table.enter(&about.name, &about.type_name, &about.serialization_format, &about.offered_qos());
        table.topics[place].message_count = Some(topic.message_count);
    }
    let start = metadata.starting_time.nanoseconds_since_epoch;
    let times = (metadata.message_count > 0 && start >= 0 && start != i64::MAX)
        .then(|| (start, start.saturating_add(metadata.duration.nanoseconds.max(0))));
    Ok(Layout { storage, parts, compression: compression.into(), table, times, missing, described: true })
}

/// Files without a description, in order.
fn undescribed(files: Vec<PathBuf>) -> Result<Layout, BagError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut storage: Option<Storage> = None;
    let mut missing = Loss::default();
    let mut first_error = None;
    let split = files.len() > 1;
    for file in files {
        let examined = examine(&file).and_then(|examined| {
            let storage = storage.unwrap_or(examined.storage);
            Ok((examined.demand(storage)?, storage))
        });
        match examined {
            Ok((part, found)) => {
                storage = Some(found);
                parts.push(part);
            }
            // As of a recording with a description: the last file of a recorder that was stopped hard is often empty.
            Err(error) if split && error.spoils_one_file_only() => {
                missing.add_file(&file, 0, &error);
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if parts.is_empty()
        && let Some(error) = first_error
    {
        return Err(error);
    }
    let packed = parts.iter().any(|part| part.packed);
    Ok(Layout {
        storage: storage.unwrap_or(Storage::Mcap),
        parts,
        compression: if packed { "zstd files" } else { "none" }.into(),
        table: TopicTable::default(),
        times: None,
        missing,
        described: false,
    })
}

/// The files of a folder without `metadata.yaml`, by their number.
fn recording_files(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let mut files = Vec::new();
    let mut inner = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| BagError::io(folder, error))? {
        let path = entry.map_err(|error| BagError::io(folder, error))?.path();
        if path.is_dir() {
            if path.join("metadata.yaml").is_file() {
                inner.push(path.display().to_string());
            }
        } else if let Some((stem, number)) = stem_and_number(&path) {
            files.push((stem, number, path));
        }
    }
    let refuse = |reason: String| Err(BagError::NotABag { path: folder.into(), reason });
    if files.is_empty() {
        inner.sort();
        return refuse(if inner.is_empty() {
            "the folder has no metadata.yaml and no .mcap or .db3 files".into()
        } else {
            format!("the folder has no recording itself, but recordings in it; name one: {}", inner.join(", "))
        });
    }
    files.sort();
    if files.iter().any(|(stem, ..)| *stem != files[0].0) {
        let names: Vec<_> = files.iter().map(|(_, _, path)| path.display().to_string()).collect();
        return refuse(format!(
            "the folder has no metadata.yaml and files of several recordings; name one: {}",
            names.join(", ")
        ));
    }
    Ok(files.into_iter().map(|(_, _, path)| path).collect())
}

/// `run_12.mcap.zstd` as (`run|mcap`, 12): parts of one recording share the first. `None` for other files.
fn stem_and_number(path: &Path) -> Option<(String, u64)> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".zstd").unwrap_or(name);
    let (stem, extension) = name.rsplit_once('.')?;
    if !matches!(extension, "mcap" | "db3") || stem.starts_with('.') {
        return None;
    }
    let (base, number) = match stem.rsplit_once('_') {
        Some((base, digits)) => match digits.parse() {
            Ok(number) => (base, number),
            Err(_) => (stem, 0),
        },
        None => (stem, 0),
    };
    Some((format!("{base}|{extension}"), number))
}

/// A file and what its first bytes say.
struct Examined {
    part: Part,
    storage: Storage,
}

impl Examined {
    /// The file, when it is of that storage.
    fn demand(self, storage: Storage) -> Result<Part, BagError> {
        if self.storage == storage {
            return Ok(self.part);
        }
        Err(BagError::NotABag {
            path: self.part.path,
            reason: format!(
                "the recording is `{}`, but this file is `{}`; name the file itself to read it alone",
                storage.identifier(),
                self.storage.identifier()
            ),
        })
    }
}

/// Tells a file's kind by its first bytes.
fn examine(path: &Path) -> Result<Examined, BagError> {
    let mut head = Vec::with_capacity(512);
    let mut file = std::fs::File::open(path).map_err(|error| BagError::io(path, error))?;
    file.by_ref().take(512).read_to_end(&mut head).map_err(|error| BagError::io(path, error))?;
    let packed = head.starts_with(&ZSTD_MAGIC);
    if packed {
        let size = file.metadata().map_err(|error| BagError::io(path, error))?.len();
        head = first_unpacked(path)?;
        if head.is_empty() {
            return Err(BagError::Empty {
                path: path.into(),
                detail: format!(" that can be read: none of its {size} zstd bytes can be unpacked"),
            });
        }
    }
    let storage = if head.starts_with(mcap::MAGIC) {
        Storage::Mcap
    } else if head.starts_with(SQLITE_MAGIC) {
        Storage::Sqlite3
    } else if head.starts_with(b"#ROSBAG V") {
        return Err(BagError::Ros1 { path: path.into() });
    } else {
        return Err(BagError::NotABag { path: path.into(), reason: describe(&head) });
    };
    Ok(Examined { part: Part { path: path.into(), packed }, storage })
}

/// What a file that is no recording seems to be.
fn describe(head: &[u8]) -> String {
    const KINDS: &str = "rosbag2 recordings are folders, .mcap or .db3 files";
    let truncated_text = |head: &[u8]| match std::str::from_utf8(head) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if error.error_len().is_none() => Some(String::from_utf8_lossy(head).into_owned()),
        Err(_) => None,
    };
    if head.is_empty() {
        return format!("the file is empty; {KINDS}");
    }
    if head.starts_with(&[0xFF, 0xD8, 0xFF]) || head.starts_with(b"\x89PNG") {
        return "it is an image; name the folder that it lies in".into();
    }
    match truncated_text(head) {
        Some(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
            format!("it is a text file; {KINDS}")
        }
        _ => format!("its first bytes are neither MCAP's nor SQLite's (damaged or encrypted?); {KINDS}"),
    }
}

/// The first unpacked bytes of a compressed file, as far as they can be had.
fn first_unpacked(path: &Path) -> Result<Vec<u8>, BagError> {
    let io_error = |error| BagError::io(path, error);
    let file = std::fs::File::open(path).map_err(io_error)?;
    let mut head = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(file).map_err(io_error)?;
    // An error leaves what came before it in `head`.
    let _ = decoder.take(512).read_to_end(&mut head);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_stem_and_number() {
        let told = |name: &str| stem_and_number(Path::new(name));
        assert_eq!(told("run_12.mcap"), Some(("run|mcap".into(), 12)));
        assert_eq!(told("run_12.db3.zstd"), Some(("run|db3".into(), 12)));
        assert_eq!(told("only_topics.mcap"), Some(("only_topics|mcap".into(), 0)));
        assert_eq!(told("run.db3-wal"), None);
        assert_eq!(told("metadata.yaml"), None);
    }

    #[test]
    fn what_is_no_recording_is_named() {
        for (head, expected) in [
            (b"".as_slice(), "empty"),
            (b"hello\nworld \xc3", "text file"),
            (b"\x89PNG\r\n", "an image"),
            (b"\x00\x01\x02\xff", "damaged or encrypted"),
        ] {
            assert!(describe(head).contains(expected), "{}", describe(head));
        }
    }
}
