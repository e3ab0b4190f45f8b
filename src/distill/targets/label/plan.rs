//! What a labelling will do and what an earlier run has done of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{LabelError, LabelJob, LabelSummary, Shard, write_error};
use crate::distill::{
    bag::{Frames, TruthSource},
    digest::hex,
    durable,
    targets::{
        PartEnd, PartMetadata, SourceProvenance, TargetsError,
        part::{TARGETS_VERSION, read_part_metadata},
        set::{part_path, part_paths},
    },
    teacher::{Ensemble, EnsembleOptions, TeacherProvenance},
};

/// A labelling's identity and the parts that are there already.
pub(super) struct Plan {
    pub config_hash: String,
    pub teachers: Vec<TeacherProvenance>,
    pub sources: Vec<SourceProvenance>,
    /// Frames of all recordings, where they all tell.
    total_frames: Option<u64>,
    /// Parts of an earlier run of the same job.
    existing: BTreeMap<u32, PartMetadata>,
    classes: Vec<String>,
    output: PathBuf,
    part_frames: u64,
    max_frames: Option<u64>,
    shard: Option<Shard>,
}

/// Everything that decides the targets. Paths and names do not: a bag may move.
#[derive(Serialize)]
struct Identity<'a> {
    targets_version: u32,
    classes: &'a [String],
    options: EnsembleOptions,
    teachers: Vec<TeacherIdentity<'a>>,
    sources: Vec<(&'a str, u64, &'a Option<String>)>,
    part_frames: u64,
}

#[derive(Serialize)]
struct TeacherIdentity<'a> {
    sha256: &'a str,
    trust: f32,
    class_map: &'a BTreeMap<String, String>,
    spec: &'a crate::model::ModelSpec,
}

/// The file beside the parts that says that a job was finished.
#[derive(Serialize, Deserialize)]
struct Finished {
    config_hash: String,
    max_frames: Option<u64>,
    shard: Option<Shard>,
    parts: Vec<u32>,
    summary: LabelSummary,
}

impl Plan {
    /// Looks at the recordings and at the output folder.
    pub fn make(job: &LabelJob, ensemble: &Ensemble) -> Result<Self, LabelError> {
        let mut total_frames = Some(0);
        let mut sources = Vec::with_capacity(job.sources.len());
        for source in &job.sources {
            let frames = Frames::open(&source.path, source.topic.as_deref(), TruthSource::None)?;
            total_frames = total_frames.and_then(|total: u64| total.checked_add(frames.len_hint()?));
            // A folder of images goes by its path there.
            let topic = (frames.topic() != source.path.display().to_string()).then(|| frames.topic().to_owned());
            sources.push(source_provenance(&source.path, topic)?);
        }
        let teachers = ensemble.provenance()?;
        let identity = Identity {
            targets_version: TARGETS_VERSION,
            classes: &job.classes,
            options: job.options,
            teachers: teachers
                .iter()
                .map(|teacher| TeacherIdentity {
                    sha256: &teacher.sha256,
                    trust: teacher.trust,
                    class_map: &teacher.class_map,
                    spec: &teacher.spec,
                })
                .collect(),
            sources: sources.iter().map(|source| (source.fingerprint.as_str(), source.bytes, &source.topic)).collect(),
            part_frames: job.part_frames,
        };
        let json = serde_json::to_vec(&identity).map_err(|error| LabelError::Job(error.to_string()))?;
        let mut plan = Self {
            config_hash: hex(&Sha256::digest(json)),
            teachers,
            sources,
            total_frames,
            existing: BTreeMap::new(),
            classes: job.classes.clone(),
            output: job.output.clone(),
            part_frames: job.part_frames,
            max_frames: job.max_frames,
            shard: job.shard,
        };
        plan.look_into_output(job.restart)?;
        Ok(plan)
    }

    fn look_into_output(&mut self, restart: bool) -> Result<(), LabelError> {
        std::fs::create_dir_all(&self.output).map_err(write_error(&self.output))?;
        let parts = part_paths(&self.output)?;
        if restart {
            let finished = self.finished_path();
            let files = parts.into_iter().map(|(_, path)| path).chain(finished.exists().then_some(finished));
            for path in files {
                std::fs::remove_file(&path).map_err(write_error(&path))?;
            }
            return Ok(());
        }
        for (number, path) in parts {
            let metadata = match read_part_metadata(&path) {
                // Another version of the program labelled otherwise, however alike the job is.
                Err(TargetsError::OtherVersion { .. }) => {
                    return Err(LabelError::OtherLabelling(self.output.clone()));
                }
                other => other?,
            };
            if metadata.config_hash != self.config_hash {
                return Err(LabelError::OtherLabelling(self.output.clone()));
            }
            self.existing.insert(number, metadata);
        }
        Ok(())
    }

    /// What this run does with a part.
    pub fn decide(&self, part: u32) -> Decision<'_> {
        if self.shard.is_some_and(|shard| !shard.has(part)) {
            return Decision::NotOurs;
        }
        let Some(done) = self.existing.get(&part) else { return Decision::Label };
        let cut_short = matches!(done.end, PartEnd::Limit(_)) && done.frames + done.undecodable < self.part_frames;
        // The same limit cuts at the same frame; another one may leave more to do.
        if cut_short && done.end != self.limit() { Decision::Label } else { Decision::Keep(done) }
    }

    fn limit(&self) -> PartEnd {
        self.max_frames.map_or(PartEnd::Full, PartEnd::Limit)
    }

    /// Frames of all recordings, where they all tell.
    pub fn total_frames(&self) -> Option<u64> {
        self.total_frames
    }

    /// A part's full count of frames.
    pub fn part_frames(&self) -> u64 {
        self.part_frames
    }

    /// Where a part goes.
    pub fn part_path(&self, part: u32) -> PathBuf {
        part_path(&self.output, part)
    }

    /// A part's metadata before anything is counted.
    pub fn part_metadata(&self, part: u32, source: u32, end: PartEnd) -> PartMetadata {
        PartMetadata {
            targets_version: TARGETS_VERSION,
            crate_version: env!("CARGO_PKG_VERSION").into(),
            config_hash: self.config_hash.clone(),
            classes: self.classes.clone(),
            teachers: self.teachers.clone(),
            sources: self.sources.clone(),
            part,
            source,
            frames: 0,
            undecodable: 0,
            end,
            statistics: super::ClassStatistics::none(&self.classes),
        }
    }

    fn finished_path(&self) -> PathBuf {
        self.output.join(match self.shard {
            None => "label.json".into(),
            Some(shard) => format!("label-{}-of-{}.json", shard.index, shard.count),
        })
    }

    /// The summary of an earlier run that finished this very job, with all its parts still there.
    pub fn finished_summary(&self) -> Option<LabelSummary> {
        let finished: Finished = serde_json::from_slice(&std::fs::read(self.finished_path()).ok()?).ok()?;
        let same = finished.config_hash == self.config_hash
            && finished.max_frames == self.max_frames
            && finished.shard == self.shard
            && finished.parts.iter().all(|part| matches!(self.decide(*part), Decision::Keep(_)));
        same.then_some(LabelSummary { kept_frames: finished.summary.frames, seconds: 0.0, ..finished.summary })
    }

    /// Says that the job is finished.
    pub fn write_summary(&self, summary: &LabelSummary) -> Result<(), LabelError> {
        let parts = part_paths(&self.output)?.into_iter().map(|(number, _)| number);
        let finished = Finished {
            config_hash: self.config_hash.clone(),
            max_frames: self.max_frames,
            shard: self.shard,
            parts: parts.filter(|part| self.shard.is_none_or(|shard| shard.has(*part))).collect(),
            summary: summary.clone(),
        };
        let path = self.finished_path();
        let json = serde_json::to_vec_pretty(&finished).map_err(|error| LabelError::Job(error.to_string()))?;
        durable::write_bytes(&path, &json).map_err(write_error(&path))
    }
}

/// What a run does with a part.
pub(super) enum Decision<'a> {
    /// Another machine labels it.
    NotOurs,
    /// An earlier run did it.
    Keep(&'a PartMetadata),
    /// It is to be labelled.
    Label,
}

/// Files that hold sensor data; notes, truth and targets beside them do not change the targets.
const DATA_EXTENSIONS: [&str; 6] = ["mcap", "db3", "zstd", "jpg", "jpeg", "png"];
/// How much of a file's beginning and end goes into the fingerprint.
const FINGERPRINT_BYTES: u64 = 64 * 1024;

fn source_provenance(path: &Path, topic: Option<String>) -> Result<SourceProvenance, LabelError> {
    let mut files = Vec::new();
    collect_files(path, 8, &mut files).map_err(|(path, source)| LabelError::Source { path, source })?;
    files.sort();
    let mut hash = Sha256::new();
    let mut bytes = 0;
    for file in &files {
        let name = file.strip_prefix(path).unwrap_or(file);
        hash.update(name.as_os_str().as_encoded_bytes());
        bytes += hash_ends(file, &mut hash).map_err(|source| LabelError::Source { path: file.clone(), source })?;
    }
    Ok(SourceProvenance { path: path.display().to_string(), topic, bytes, fingerprint: hex(&hash.finalize()) })
}

/// The data files at and under `path`, at most `depth` folders down.
fn collect_files(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let fail = |error| (path.to_path_buf(), error);
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?.path();
        let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if depth > 0 {
                collect_files(&entry, depth - 1, files)?;
            }
        } else if DATA_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
            files.push(entry);
        }
    }
    Ok(())
}

fn hash_ends(path: &Path, hash: &mut Sha256) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hash.update(length.to_le_bytes());
    let mut ends = Vec::new();
    file.by_ref().take(FINGERPRINT_BYTES).read_to_end(&mut ends)?;
    file.seek(SeekFrom::Start(length.saturating_sub(FINGERPRINT_BYTES)))?;
    file.take(FINGERPRINT_BYTES).read_to_end(&mut ends)?;
    hash.update(ends);
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_follows_the_data_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("bag_0.mcap"), vec![1; 300_000]).unwrap();
        let print = |path: &Path| source_provenance(path, None).unwrap();
        let before = print(&path);
        assert_eq!(before.bytes, 300_000);
        std::fs::write(path.join("metadata.yaml"), "notes").unwrap();
        std::fs::write(path.join("part-00000.parquet"), "targets").unwrap();
        assert_eq!(print(&path), before);
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(print(&moved).fingerprint, before.fingerprint);
        let mut bytes = vec![1; 300_000];
        bytes[299_999] = 2;
        std::fs::write(moved.join("bag_0.mcap"), bytes).unwrap();
        assert_ne!(print(&moved).fingerprint, before.fingerprint);
        assert!(matches!(source_provenance(&path, None), Err(LabelError::Source { .. })));
    }
}
