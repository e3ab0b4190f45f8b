//! A folder of parts, read as one.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use super::{FrameTargets, PartEnd, PartMetadata, SourceProvenance, read_part};
use crate::distill::teacher::TeacherProvenance;

/// All soft targets of a labelling.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSet {
    /// Student classes, in the order of the probabilities.
    pub classes: Vec<String>,
    /// The teachers that were asked.
    pub teachers: Vec<TeacherProvenance>,
    /// The recordings, [`FrameTargets::source`] is an index into them.
    pub sources: Vec<SourceProvenance>,
    /// Hash of all that decided the targets.
    pub config_hash: String,
    /// The frames in order of source and index.
    pub frames: Vec<FrameTargets>,
}

/// Why soft targets could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// A part could not be written.
    #[error("cannot write the targets {}: {source}", path.display())]
    Write {
        /// The part.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// A part could not be read.
    #[error("cannot read the targets {}: {source}; delete the file and label again", path.display())]
    Read {
        /// The part.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// A Parquet file that was not written by this program.
    #[error("{} holds no soft targets of this program: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or other.
        reason: String,
    },
    /// A part of another version of the table.
    #[error("{} has version {found} of the soft targets' table, this program reads version {expected}; label again (`distill label --restart`, or `distill run`)", path.display())]
    OtherVersion {
        /// The part.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of this program.
        expected: u32,
    },
    /// No parts at all.
    #[error("no soft targets (part-00000.parquet ...) in {}; make them with `distill label`", .0.display())]
    Empty(PathBuf),
    /// Parts of different labellings in one folder.
    #[error("{} is from another labelling (other teachers, classes, thresholds or data) than {}; keep each in its own folder", second.display(), first.display())]
    Mixed {
        /// One part.
        first: PathBuf,
        /// One that does not belong to it.
        second: PathBuf,
    },
    /// Not all parts are there.
    #[error("the soft targets in {} are not complete: part {part} is missing; run `distill label` again to continue, or copy all shards' parts into the folder", folder.display())]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// Number of the first part that is missing.
        part: u32,
    },
    /// The folder could not be listed.
    #[error("cannot read the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl TargetSet {
    /// Reads all parts of a finished labelling.
    ///
    /// # Errors
    /// [`TargetsError`]: no parts, a part missing, damaged, or from another labelling.
    pub fn read(folder: &Path) -> Result<Self, TargetsError> {
        let paths = part_paths(folder)?;
        let mut set: Option<(TargetSet, PartMetadata, PathBuf)> = None;
        for (number, (found, path)) in paths.into_iter().enumerate() {
            let expected = u32::try_from(number).unwrap_or(u32::MAX);
            if found != expected {
                return Err(TargetsError::Incomplete { folder: folder.into(), part: expected });
            }
            let (metadata, frames) = read_part(&path)?;
            match &mut set {
                None => {
                    let targets = TargetSet {
                        classes: metadata.classes.clone(),
                        teachers: metadata.teachers.clone(),
                        sources: metadata.sources.clone(),
                        config_hash: metadata.config_hash.clone(),
                        frames,
                    };
                    set = Some((targets, metadata, path));
                }
                Some((targets, last, first)) => {
                    if metadata.config_hash != targets.config_hash {
                        return Err(TargetsError::Mixed { first: first.clone(), second: path });
                    }
                    targets.frames.extend(frames);
                    *last = metadata;
                }
            }
        }
        let Some((targets, last, _)) = set else { return Err(TargetsError::Empty(folder.into())) };
        let finished = match last.end {
            PartEnd::Limit(_) => true,
            PartEnd::Full => false,
            PartEnd::Source => last.source as usize + 1 == targets.sources.len(),
        };
        if !finished {
            return Err(TargetsError::Incomplete { folder: folder.into(), part: last.part + 1 });
        }
        Ok(targets)
    }
}

/// Path of a part.
pub(super) fn part_path(folder: &Path, part: u32) -> PathBuf {
    folder.join(format!("part-{part:05}.parquet"))
}

/// The parts in a folder with their numbers, in order.
pub(super) fn part_paths(folder: &Path) -> Result<Vec<(u32, PathBuf)>, TargetsError> {
    let fail = |source| TargetsError::Folder { path: folder.into(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok());
        if let Some(number) = number {
            paths.push((number, path));
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::{
        super::part::{
            tests::{frame, metadata},
            write_part,
        },
        *,
    };

    fn write(folder: &Path, part: u32, end: PartEnd, frames: &[FrameTargets]) {
        write_part(&part_path(folder, part), &metadata(part, end), frames).unwrap();
    }

    #[test]
    fn finished_folder_reads_as_one() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, PartEnd::Full, &[frame(0, 1), frame(1, 0)]);
        write(folder.path(), 1, PartEnd::Source, &[frame(2, 2)]);
        let set = TargetSet::read(folder.path()).unwrap();
        assert_eq!(
            set.frames.iter().map(|frame| (frame.index, frame.boxes.len())).collect::<Vec<_>>(),
            [(0, 1), (1, 0), (2, 2)]
        );
        assert_eq!(set.classes, ["person", "forklift"]);
    }

    #[test]
    fn gaps_and_mixtures_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(TargetSet::read(folder.path()), Err(TargetsError::Empty(_))));
        assert!(matches!(TargetSet::read(&folder.path().join("no")), Err(TargetsError::Folder { .. })));
        write(folder.path(), 0, PartEnd::Full, &[frame(0, 1)]);
        assert!(matches!(TargetSet::read(folder.path()), Err(TargetsError::Incomplete { part: 1, .. })));
        write(folder.path(), 2, PartEnd::Source, &[frame(2, 1)]);
        assert!(matches!(TargetSet::read(folder.path()), Err(TargetsError::Incomplete { part: 1, .. })));
        let other = PartMetadata { config_hash: "other".into(), ..metadata(1, PartEnd::Full) };
        write_part(&part_path(folder.path(), 1), &other, &[frame(1, 1)]).unwrap();
        assert!(matches!(TargetSet::read(folder.path()), Err(TargetsError::Mixed { .. })));
    }
}
