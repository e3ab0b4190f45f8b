//! Stages of a run that are skipped when nothing they depend on has changed.
//!
//! `stages.json` in the run's folder keeps, for each finished stage, a hash over all that decided its result.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    digest::{file_sha256, hex},
    durable,
};

/// The finished stages of a run.
#[derive(Debug)]
pub struct StageBook {
    path: PathBuf,
    hashes: BTreeMap<String, String>,
}

impl StageBook {
    /// Reads the book of a run's folder. A book that is not there or is damaged counts as empty: stages are then done again.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join("stages.json");
        let hashes =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, hashes }
    }

    /// Whether the stage was finished with the same inputs and its output is still there.
    pub fn is_done(&self, stage: &str, hash: &str, output: &Path) -> bool {
        self.hashes.get(stage).is_some_and(|done| done == hash) && output.exists()
    }

    /// Whether the stage was finished, whatever its inputs were.
    pub fn is_finished(&self, stage: &str) -> bool {
        self.hashes.contains_key(stage)
    }

    /// Whether the stage was finished or begun with other inputs.
    pub fn is_of_other_inputs(&self, stage: &str, hash: &str) -> bool {
        let begun = self.hashes.get(&begun(stage));
        [self.hashes.get(stage), begun].into_iter().flatten().any(|known| known != hash)
    }

    /// Notes with what inputs a stage begins; what it did before no longer counts.
    ///
    /// # Errors
    /// When the book cannot be written.
    pub fn begin(&mut self, stage: &str, hash: &str) -> io::Result<()> {
        self.hashes.remove(stage);
        self.hashes.insert(begun(stage), hash.to_owned());
        self.write()
    }

    /// Notes that a stage is finished, and whether part of its input could not be read.
    ///
    /// # Errors
    /// When the book cannot be written.
    pub fn finish(&mut self, stage: &str, hash: &str, lost_data: bool) -> io::Result<()> {
        self.hashes.remove(&begun(stage));
        self.hashes.insert(stage.to_owned(), hash.to_owned());
        if lost_data {
            self.hashes.insert(lost(stage), "yes".to_owned());
        } else {
            self.hashes.remove(&lost(stage));
        }
        self.write()
    }

    /// Whether part of a finished stage's input could not be read.
    pub fn lost_data(&self, stage: &str) -> bool {
        self.hashes.contains_key(&lost(stage))
    }

    /// Lets a stage be done again because one before it is.
    pub fn forget(&mut self, stage: &str) {
        self.hashes.remove(stage);
    }

    fn write(&self) -> io::Result<()> {
        durable::write_bytes(&self.path, &serde_json::to_vec_pretty(&self.hashes)?)
    }
}

fn begun(stage: &str) -> String {
    format!("{stage} (begun)")
}

fn lost(stage: &str) -> String {
    format!("{stage} (lost data)")
}

/// A hash over a value's JSON.
pub fn hash_of(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    hex(&Sha256::digest(json))
}

/// A hash over the names, sizes and times of change of a file or of all files of a folder: tells whether an input has changed
/// without reading it.
///
/// # Errors
/// When something of it cannot be looked at.
pub fn input_hash(path: &Path) -> io::Result<String> {
    let mut entries = Vec::new();
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        walk(path, path, &mut entries)?;
    } else {
        entries.push((String::new(), describe(&metadata)));
    }
    entries.sort();
    Ok(hash_of(&entries))
}

/// SHA-256 over the names and whole contents of a file or of all files of a folder.
///
/// # Errors
/// When something of it cannot be read.
pub fn content_sha256(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_dir() {
        return file_sha256(path);
    }
    let mut entries = Vec::new();
    walk(path, path, &mut entries)?;
    entries.sort();
    let contents = entries
        .into_iter()
        .map(|(name, _)| Ok((file_sha256(&path.join(&name))?, name)))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(hash_of(&contents))
}

fn walk(root: &Path, folder: &Path, entries: &mut Vec<(String, (u64, u128))>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = std::fs::metadata(&path)?;
        if metadata.is_dir() {
            walk(root, &path, entries)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            entries.push((name, describe(&metadata)));
        }
    }
    Ok(())
}

fn describe(metadata: &Metadata) -> (u64, u128) {
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (metadata.len(), changed.map_or(0, |time| time.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_done_only_with_its_inputs_and_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let mut book = StageBook::open(folder.path());
        assert!(!book.is_of_other_inputs("train", "a"));
        book.begin("train", "a").unwrap();
        assert!(!book.is_done("train", "a", &output) && !book.is_finished("train"));
        assert!(StageBook::open(folder.path()).is_of_other_inputs("train", "b"));
        book.finish("train", "a", true).unwrap();
        assert!(!book.is_done("train", "a", &output));
        std::fs::write(&output, "x").unwrap();
        let mut book = StageBook::open(folder.path());
        assert!(book.lost_data("train") && book.is_finished("train") && !book.is_finished("export"));
        assert!(book.is_done("train", "a", &output) && !book.is_done("train", "b", &output));
        assert!(book.is_of_other_inputs("train", "b") && !book.is_of_other_inputs("train", "a"));
        book.forget("train");
        assert!(!book.is_done("train", "a", &output));
    }

    #[test]
    fn inputs_are_known_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "x").unwrap();
        let (one, whole) = (input_hash(&file).unwrap(), input_hash(folder.path()).unwrap());
        assert_eq!(one, input_hash(&file).unwrap());
        std::fs::write(&file, "xy").unwrap();
        assert!(one != input_hash(&file).unwrap() && whole != input_hash(folder.path()).unwrap());
        assert!(input_hash(&folder.path().join("b")).is_err());
    }
}
