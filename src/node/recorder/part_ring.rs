//! The finished parts on the disk: what is there from before, what must go so that all stay within their limit.

use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::recording::{WriteError, durable::TEMPORARY_PREFIX, part_name, part_number};

/// Tells other processes that somebody records here.
const LOCK: &str = ".lock";

/// What the disk refuses, and the mend.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}{}", path.display(), mend(*kind))]
pub(super) struct DiskError {
    path: PathBuf,
    reason: String,
    kind: Option<ErrorKind>,
}

impl DiskError {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), kind: None }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self { kind: Some(error.kind()), ..Self::new(path, error.to_string()) }
    }
}

impl From<WriteError> for DiskError {
    fn from(error: WriteError) -> Self {
        Self { path: error.path, reason: error.reason, kind: error.kind }
    }
}

fn mend(kind: Option<ErrorKind>) -> &'static str {
    match kind {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            "; make room on the disk, lower record_limit_mb, or name another record_folder"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => "; mount it to be written to, or name another record_folder",
        Some(ErrorKind::PermissionDenied) => "; let the node's user write there (chown, chmod)",
        Some(ErrorKind::NotFound) => "; mount the disk that it is on, or make it: mkdir -p",
        _ => "",
    }
}

/// A finished part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its number; later parts have higher ones.
    pub(super) number: u64,
    /// The bytes of its files.
    pub(super) bytes: u64,
    /// When it was finished.
    pub(super) finished: Option<SystemTime>,
}

/// The parts of one node, in a folder of their own within the folder that records lie in. Nothing outside that folder, and nothing in it
/// that is no part, is ever touched; what is a symbolic link is left alone.
#[derive(Debug)]
pub(super) struct PartRing {
    folder: PathBuf,
    limit: u64,
    parts: VecDeque<Part>,
    next: u64,
    _lock: File,
}

impl PartRing {
    /// Looks at what is there of a node's parts, and removes what was not finished. `root` must be there already: an empty folder under
    /// the name of a disk that is not mounted shall not fill the disk below.
    ///
    /// # Errors
    /// When nothing can be written there, or another process records there.
    pub(super) fn open(root: &Path, node: &str, limit: u64) -> Result<Self, DiskError> {
        let about = std::fs::metadata(root).map_err(|error| DiskError::io(root, &error))?;
        if !about.is_dir() {
            return Err(DiskError::new(root, "it is no folder; name a folder as record_folder"));
        }
        let folder = root.join(folder_name(node));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(DiskError::io(&folder, &error)),
            _ => {}
        }
        let about = std::fs::symlink_metadata(&folder).map_err(|error| DiskError::io(&folder, &error))?;
        if !about.is_dir() {
            return Err(DiskError::new(
                &folder,
                "it is a file or a symbolic link, where a folder should be; remove it",
            ));
        }
        let lock = lock_of(&folder)?;
        let (mut parts, mut highest) = (Vec::new(), 0);
        for entry in std::fs::read_dir(&folder).map_err(|error| DiskError::io(&folder, &error))? {
            let entry = entry.map_err(|error| DiskError::io(&folder, &error))?;
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str() else { continue };
            // Of a symbolic link this tells the link itself.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(number) = part_number(name) {
                highest = number.max(highest);
                if is_folder {
                    parts.push(measured(number, &path)?);
                }
            } else if is_folder && name.starts_with(TEMPORARY_PREFIX) {
                std::fs::remove_dir_all(&path).map_err(|error| DiskError::io(&path, &error))?;
            }
        }
        parts.sort_by_key(|part| part.number);
        let next = highest.saturating_add(1);
        let mut ring = Self { folder, limit, parts: parts.into(), next, _lock: lock };
        ring.make_room(0)?;
        Ok(ring)
    }

    /// The node's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number and place of the next part.
    pub(super) fn next(&mut self) -> (u64, PathBuf) {
        let number = self.next;
        self.next = number.saturating_add(1);
        (number, self.place(number))
    }

    fn place(&self, number: u64) -> PathBuf {
        self.folder.join(part_name(number))
    }

    /// Takes in a part that is finished.
    ///
    /// # Errors
    /// When it cannot be looked at, or room cannot be made.
    pub(super) fn add(&mut self, number: u64) -> Result<(), DiskError> {
        let part = measured(number, &self.place(number))?;
        self.parts.push_back(part);
        self.make_room(0)
    }

    /// Deletes the oldest parts until all, with so many bytes that are being written, are within the limit; the newest part stays.
    ///
    /// # Errors
    /// When a part cannot be deleted.
    pub(super) fn make_room(&mut self, open: u64) -> Result<(), DiskError> {
        let least = usize::from(open == 0);
        while self.parts.len() > least && self.bytes().saturating_add(open) > self.limit {
            let Some(oldest) = self.parts.front() else { break };
            let path = self.place(oldest.number);
            match std::fs::remove_dir_all(&path) {
                // Somebody took it away, which is good as well.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(DiskError::io(&path, &error)),
                _ => self.parts.pop_front(),
            };
        }
        Ok(())
    }

    /// The bytes of all finished parts.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The finished parts, the oldest first.
    pub(super) fn parts(&self) -> &VecDeque<Part> {
        &self.parts
    }
}

/// A node's full name as the name of a folder: `/front/camera_detector` as `front.camera_detector`. No name of a node has a dot, so no two
/// nodes share a folder, and none leads out of it.
pub(super) fn folder_name(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let levels = node.split('/').filter(|level| !level.is_empty());
    let name: Vec<String> = levels.map(|level| level.chars().map(plain).collect()).collect();
    if name.is_empty() { "node".into() } else { name.join(".") }
}

fn lock_of(folder: &Path) -> Result<File, DiskError> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| DiskError::io(folder, &error))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let reason =
                "another node of the same name records there; give each node a name or a record_folder of its own";
            Err(DiskError::new(folder, reason))
        }
        // A file system without locks is no reason not to record.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// A part with the bytes of its files.
fn measured(number: u64, path: &Path) -> Result<Part, DiskError> {
    let fail = |error: io::Error| DiskError::io(path, &error);
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(fail)? {
        bytes += entry.and_then(|entry| entry.metadata()).map_err(fail)?.len();
    }
    let finished = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    Ok(Part { number, bytes, finished })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a part of so many bytes.
    fn put(ring: &mut PartRing, bytes: usize) -> Result<(), DiskError> {
        let (number, path) = ring.next();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("a_0.mcap"), vec![1; bytes]).unwrap();
        ring.add(number)
    }

    fn numbers(ring: &PartRing) -> Vec<u64> {
        ring.parts().iter().map(|part| part.number).collect()
    }

    #[test]
    fn the_oldest_goes_when_the_limit_is_passed_and_a_restart_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let mut ring = PartRing::open(root.path(), "/camera_detector", 1000).unwrap();
        for _ in 0..5 {
            put(&mut ring, 300).unwrap();
            assert!(ring.bytes() <= 1000);
        }
        assert_eq!(numbers(&ring), [3, 4, 5]);
        ring.make_room(200).unwrap();
        assert_eq!(numbers(&ring), [4, 5]);
        assert!(PartRing::open(root.path(), "/camera_detector", 1000).unwrap_err().to_string().contains("same name"));
        drop(ring);
        let folder = root.path().join("camera_detector");
        std::fs::create_dir(folder.join(".partial-abc")).unwrap();
        std::fs::write(folder.join("notes.txt"), vec![0; 5000]).unwrap();
        let mut ring = PartRing::open(root.path(), "/camera_detector", 700).unwrap();
        assert_eq!((numbers(&ring), ring.bytes()), (vec![4, 5], 600));
        assert!(!folder.join(".partial-abc").exists() && folder.join("notes.txt").exists());
        put(&mut ring, 300).unwrap();
        assert_eq!(numbers(&ring), [5, 6]);
        put(&mut ring, 5000).unwrap();
        assert_eq!(numbers(&ring), [7], "the newest stays, however large");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3, "the part, the lock and the notes");
    }

    #[test]
    fn links_are_left_alone() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("dear.txt"), vec![0; 5000]).unwrap();
        let ring = PartRing::open(root.path(), "/n", 10).unwrap();
        for name in ["part_00000001", ".partial-x"] {
            std::os::unix::fs::symlink(elsewhere.path(), ring.folder().join(name)).unwrap();
        }
        let folder = ring.folder().to_path_buf();
        drop(ring);
        let mut ring = PartRing::open(root.path(), "/n", 10).unwrap();
        assert_eq!((ring.parts().len(), ring.bytes(), ring.next().0), (0, 0, 2));
        ring.make_room(1 << 40).unwrap();
        assert!(elsewhere.path().join("dear.txt").exists() && folder.join("part_00000001").exists());
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("m")).unwrap();
        let error = PartRing::open(root.path(), "/m", 10).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_the_mend() {
        let root = tempfile::tempdir().unwrap();
        let error = PartRing::open(&root.path().join("missing"), "/n", 10).unwrap_err().to_string();
        assert!(error.contains("mkdir -p") && error.contains("missing"), "{error}");
        assert!(!root.path().join("missing").exists(), "a disk that is not mounted is not made up for");
        std::fs::write(root.path().join("file"), "x").unwrap();
        assert!(PartRing::open(&root.path().join("file"), "/n", 10).is_err());
        assert!(PartRing::open(root.path(), "/file", 10).is_err());
        for (kind, word) in [
            (ErrorKind::StorageFull, "record_limit_mb"),
            (ErrorKind::ReadOnlyFilesystem, "mount"),
            (ErrorKind::PermissionDenied, "chown"),
        ] {
            let error = DiskError::io(root.path(), &io::Error::from(kind)).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn no_name_of_a_node_leads_out_of_the_folder() {
        for (node, expected) in [
            ("/camera_detector", "camera_detector"),
            ("/front/camera_detector", "front.camera_detector"),
            ("/../../etc", "__.__.etc"),
            ("", "node"),
        ] {
            assert_eq!(folder_name(node), expected);
        }
    }
}
