//! Checkpoints: all that is needed to go on as if nothing had happened, in one file that is whole or not there.
//!
//! ```text
//! "DPCKPT02" | header length, u64 little endian | header, JSON | sections one after the other | SHA-256 of all before
//! ```

use std::{collections::BTreeMap, io::Write, path::Path};

use burn::{module::Module, store::ModuleRecord, tensor::Bytes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TrainError;
use crate::distill::{durable, loss::LossValues};

const MAGIC: &[u8; 8] = b"DPCKPT02";
const HASH_LENGTH: usize = 32;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch that is under way or comes next, from 0.
    pub epoch: usize,
    /// The next batch of that epoch.
    pub batch: usize,
    /// Steps made in the whole run.
    pub step: usize,
    /// Updates of the weight average.
    pub average_updates: u64,
    /// Sums over the steps of the unfinished epoch.
    pub sums: EpochSums,
    /// The best validation so far.
    pub best: Option<Best>,
}

/// Sums over the steps of an epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochSums {
    /// Steps.
    pub steps: usize,
    /// The terms by their names, each with the number of steps in which it counted.
    pub terms: BTreeMap<String, (usize, f64)>,
    /// The weighted sum of the terms.
    pub total: f64,
    /// The gradient's norm before clipping.
    pub norm: f64,
}

impl EpochSums {
    /// Takes in a step.
    pub fn add(&mut self, losses: &LossValues, norm: f64) {
        self.steps += 1;
        for term in &losses.terms {
            let (steps, sum) = self.terms.entry(term.name.clone()).or_default();
            *steps += 1;
            *sum += f64::from(term.value);
        }
        self.total += f64::from(losses.total);
        self.norm += norm;
    }

    /// A sum as a mean over the steps.
    pub fn mean(&self, sum: f64) -> f64 {
        sum / self.steps.max(1) as f64
    }

    /// Each term's mean over the steps in which it counted.
    pub fn term_means(&self) -> BTreeMap<String, f64> {
        self.terms.iter().map(|(name, (steps, sum))| (name.clone(), sum / (*steps).max(1) as f64)).collect()
    }
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch it was in, from 0.
    pub epoch: usize,
    /// COCO AP (IoU 0.50:0.95); of a lidar student the mean AP over the distances that it is judged at.
    pub ap: f64,
    /// AP at IoU 0.50; of a lidar student at the largest of those distances.
    pub ap50: f64,
    /// Mean IoU of the points, of a lidar student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_iou: Option<f64>,
}

impl Best {
    /// What epochs are compared by: AP, and as much the points' IoU where there is one.
    pub fn figure(&self) -> f64 {
        self.point_iou.map_or(self.ap, |iou| 0.5 * (self.ap + iou))
    }
}

/// All that is needed to go on.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// What the run was told, to refuse another one's checkpoint.
    pub settings: serde_json::Value,
    /// The weights, as `burn` packs them.
    pub student: Vec<u8>,
    /// The averaged weights.
    pub average: Vec<u8>,
    /// The averaged weights of the best validation, if there was one.
    pub best: Option<Vec<u8>>,
    /// The optimiser's state.
    pub optimizer: Vec<u8>,
    /// The adapters between the student's features and the teachers'.
    pub adapters: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    position: Position,
    settings: serde_json::Value,
    sections: Vec<(String, u64)>,
}

impl Checkpoint {
    /// Writes the checkpoint; an older one stays whole until the new one is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        let mut sections: Vec<(&str, &[u8])> = vec![
            ("student", &self.student),
            ("average", &self.average),
            ("optimizer", &self.optimizer),
            ("adapters", &self.adapters),
        ];
        if let Some(best) = &self.best {
            sections.push(("best", best));
        }
        let header = Header {
            position: self.position.clone(),
            settings: self.settings.clone(),
            sections: sections.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.len() as u64)).collect(),
        };
        let fail = |source| TrainError::File { path: path.to_owned(), source };
        let header = serde_json::to_vec(&header).map_err(|error| fail(error.into()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for (_, section) in sections {
            bytes.extend(section);
        }
        let hash = Sha256::digest(&bytes);
        durable::write_file(path, |writer| {
            writer.write_all(&bytes)?;
            writer.write_all(&hash)
        })
        .map_err(fail)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged or is none.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(|source| TrainError::File { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes).ok_or_else(|| TrainError::Checkpoint {
            path: path.to_owned(),
            message: "this is no checkpoint, or it is damaged; delete it and start anew without --resume".into(),
        })
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LENGTH)?)?;
        if !body.starts_with(MAGIC) || *Sha256::digest(body) != *hash {
            return None;
        }
        let (length, rest) = body[MAGIC.len()..].split_at_checked(8)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (header, mut rest) = rest.split_at_checked(length)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let mut sections = BTreeMap::new();
        for (name, length) in header.sections {
            let (section, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            sections.insert(name, section.to_vec());
            rest = after;
        }
        Some(Self {
            position: header.position,
            settings: header.settings,
            student: sections.remove("student")?,
            average: sections.remove("average")?,
            best: sections.remove("best"),
            optimizer: sections.remove("optimizer")?,
            adapters: sections.remove("adapters")?,
        })
    }
}

/// A module's weights, running statistics and parameter numbers as bytes. Give it a [`Module::valid`] one, whose running
/// statistics are up to date.
pub(in crate::distill) fn pack(snapshot: &impl Module) -> Result<Vec<u8>, TrainError> {
    let bytes = snapshot.clone().into_record().into_bytes().map_err(|error| TrainError::Record(error.to_string()))?;
    Ok(bytes.to_vec())
}

/// The module with packed weights.
pub(in crate::distill) fn unpack<M: Module>(module: M, bytes: Vec<u8>) -> Result<M, TrainError> {
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
    record.and_then(|record| module.try_load_record(record)).map_err(|error| TrainError::Record(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            position: Position {
                epoch: 3,
                batch: 2,
                step: 17,
                average_updates: 17,
                sums: EpochSums { steps: 2, total: 0.1 + 0.2, ..EpochSums::default() },
                best: Some(Best { epoch: 2, ap: 0.5, ap50: 0.75, point_iou: None }),
            },
            settings: serde_json::json!({"seed": 1}),
            student: vec![1, 2, 3],
            average: vec![4],
            best: Some(vec![]),
            optimizer: vec![5; 100],
            adapters: vec![6],
        }
    }

    #[test]
    fn reads_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.bin");
        checkpoint().write(&path).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.position, checkpoint().position);
        assert_eq!(read.settings, checkpoint().settings);
        assert_eq!((read.student, read.average, read.best), (vec![1, 2, 3], vec![4], Some(vec![])));
        assert_eq!((read.optimizer, read.adapters), (vec![5; 100], vec![6]));
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.bin");
        checkpoint().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 20, whole.len() - 1] {
            assert!(Checkpoint::from_bytes(&whole[..cut]).is_none());
        }
        for place in (0..whole.len()).step_by(13) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            assert!(Checkpoint::from_bytes(&damaged).is_none(), "byte {place}");
        }
    }
}
