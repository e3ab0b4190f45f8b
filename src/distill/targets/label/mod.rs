//! Labelling: an ensemble of teachers over recordings, into a folder of Parquet parts.

mod pipeline;
mod plan;
mod statistics;

use std::{
    collections::HashSet,
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    str::FromStr,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::TargetsError;
use crate::{
    distill::{
        bag::BagError,
        teacher::{Ensemble, EnsembleOptions, TeacherConfig, TeacherError},
    },
    model::ModelError,
};
use plan::Plan;
pub use statistics::{CONFIDENT, ClassStatistics, TeacherLatency};

/// Each thread loads its own copy of the teachers, so more than this is a slip of the keyboard.
const MAX_THREADS: usize = 1024;

/// What to label, with whom, and where to put it.
#[derive(Debug, Clone)]
pub struct LabelJob {
    /// The recordings, in the order of [`super::FrameTargets::source`].
    pub sources: Vec<LabelSource>,
    /// The teachers.
    pub teachers: Vec<TeacherConfig>,
    /// The student's classes.
    pub classes: Vec<String>,
    /// Thresholds of the fusion.
    pub options: EnsembleOptions,
    /// Folder of the parts.
    pub output: PathBuf,
    /// Frames labelled at a time, each by its own one-thread copy of the teachers; 0 takes all cores.
    pub threads: usize,
    /// Frames of a part: what an interruption can cost.
    pub part_frames: u64,
    /// Only the first frames of all recordings together.
    pub max_frames: Option<u64>,
    /// Only this machine's share.
    pub shard: Option<Shard>,
    /// Throw away what the folder holds of another (or the same) labelling.
    pub restart: bool,
}

impl LabelJob {
    /// A job with the defaults: all cores, parts of 200 frames, all frames, continuing where an earlier run stopped.
    pub fn new(
        sources: Vec<LabelSource>,
        teachers: Vec<TeacherConfig>,
        classes: Vec<String>,
        output: impl Into<PathBuf>,
    ) -> Self {
        Self {
            sources,
            teachers,
            classes,
            options: EnsembleOptions::default(),
            output: output.into(),
            threads: 0,
            part_frames: 200,
            max_frames: None,
            shard: None,
            restart: false,
        }
    }
}

/// One recording to label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSource {
    /// A rosbag2 folder, a folder of parts that a robot recorded, an `.mcap` or `.db3` file, or a folder of images.
    pub path: PathBuf,
    /// The image topic; may be left out where there is only one.
    pub topic: Option<String>,
}

/// One machine's share of a labelling: of `count` machines the one with number `index`, from 1. It labels every `count`-th
/// part, so that the machines' parts have different names and together, copied into one folder, are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Number of this machine, from 1.
    pub index: u32,
    /// Number of machines.
    pub count: u32,
}

impl Shard {
    /// Whether this machine labels the part.
    fn has(self, part: u32) -> bool {
        part % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no share; write for instance 1/4 for the first of four machines")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// How far the labelling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelProgress {
    /// Frames done, those of an earlier run and those that failed to decode included.
    pub frames: u64,
    /// Frames in all, where it is known. Counts every machine's share.
    pub total: Option<u64>,
    /// Frames of parts that an earlier run had finished or that belong to other machines.
    pub skipped: u64,
    /// Fused boxes found by this run.
    pub boxes: u64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSummary {
    /// Frames with targets in this machine's parts, those of earlier runs included.
    pub frames: u64,
    /// How many of them an earlier run had labelled.
    pub kept_frames: u64,
    /// Frames that could not be decoded.
    pub undecodable: u64,
    /// What else of the recordings could not be read, in words.
    pub losses: Vec<String>,
    /// Counts per student class.
    pub classes: Vec<ClassStatistics>,
    /// How long each teacher took for a frame, on one thread. Without frames labelled by this run, nothing.
    pub latencies: Vec<TeacherLatency>,
    /// Seconds that this run took.
    pub seconds: f64,
}

impl LabelSummary {
    /// Whether a part of the input could not be read.
    pub fn lost_data(&self) -> bool {
        self.undecodable > 0 || !self.losses.is_empty()
    }
}

/// Why labelling failed.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The job itself makes no sense.
    #[error("{0}")]
    Job(String),
    /// A recording cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A recording's files cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A teacher cannot be used.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A teacher failed on a frame.
    #[error("frame {frame} of {path}: {source}")]
    Run {
        /// Its recording.
        path: String,
        /// Its index.
        frame: u64,
        /// What the model says.
        source: ModelError,
    },
    /// The program itself failed on a frame.
    #[error("frame {frame} of {path}: the program itself failed on it, please report that: {reason}")]
    Panicked {
        /// Its recording.
        path: String,
        /// Its index.
        frame: u64,
        /// What the panic said.
        reason: String,
    },
    /// The folder of the targets cannot be read or written.
    #[error(transparent)]
    Targets(#[from] TargetsError),
    /// The output folder holds targets of another labelling.
    #[error(
        "{} holds targets of another labelling (other teachers, classes, thresholds or data, or an older table); give another --out, or --restart to throw them away",
        .0.display()
    )]
    OtherLabelling(PathBuf),
    /// The summary beside the parts, or the folder, cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The progress function asked to stop.
    #[error("stopped; the finished parts are kept, the same command continues from there")]
    Stopped,
}

impl LabelError {
    /// Whether the work failed although the input was right (disk full, interrupted).
    pub fn is_work_failure(&self) -> bool {
        match self {
            Self::Run { source, .. } => !is_wrong_model(source),
            Self::Panicked { .. } | Self::Write { .. } | Self::Stopped | Self::Targets(TargetsError::Write { .. }) => {
                true
            }
            _ => false,
        }
    }
}

/// Whether a model or its specification is to blame: that the outputs do not fit the head shows only at the first frame.
fn is_wrong_model(error: &ModelError) -> bool {
    matches!(
        error,
        ModelError::Head { .. }
            | ModelError::Input { .. }
            | ModelError::InputLength { .. }
            | ModelError::InputSize { .. }
            | ModelError::GridSize { .. }
            | ModelError::OutputType { .. }
            | ModelError::Bundle { .. }
            | ModelError::Spec { .. }
            | ModelError::SpecNeeded { .. }
    )
}

/// Labels the job's recordings. `progress` is called on this thread after each frame and may stop the work.
///
/// The result does not depend on the number of threads, nor on interruptions: parts that an earlier run of the same job
/// finished are kept, everything else is done again. A finished job returns at once with the summary of its run.
///
/// # Errors
/// [`LabelError`]. Finished parts stay in the folder whatever happens.
pub fn label(
    job: &LabelJob,
    progress: &mut dyn FnMut(LabelProgress) -> ControlFlow<()>,
) -> Result<LabelSummary, LabelError> {
    let start = Instant::now();
    check(job)?;
    let ensemble = Ensemble::load(&job.teachers, &job.classes, job.options)?;
    let plan = Plan::make(job, &ensemble)?;
    if let Some(summary) = plan.finished_summary() {
        return Ok(summary);
    }
    let mut summary = pipeline::run(job, &plan, ensemble, progress)?;
    summary.seconds = start.elapsed().as_secs_f64();
    plan.write_summary(&summary)?;
    Ok(summary)
}

fn check(job: &LabelJob) -> Result<(), LabelError> {
    let wrong = |message: &str| Err(LabelError::Job(message.into()));
    if job.sources.is_empty() {
        return wrong("no recording to label; name at least one with --data");
    }
    if job.classes.is_empty() {
        return wrong("no student classes; name them, for instance --classes person,forklift");
    }
    let mut seen = HashSet::new();
    if let Some(twice) = job.classes.iter().find(|class| !seen.insert(class.as_str())) {
        return Err(LabelError::Job(format!("the class `{twice}` is named twice")));
    }
    if job.part_frames == 0 {
        return wrong("a part must have at least one frame");
    }
    if job.max_frames == Some(0) {
        return wrong("at least one frame must be labelled");
    }
    if job.threads > MAX_THREADS {
        return Err(LabelError::Job(format!(
            "{} threads are too many: at most {MAX_THREADS}, and 0 takes all cores",
            job.threads
        )));
    }
    Ok(())
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> LabelError + '_ {
    move |source| LabelError::Write { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::head::HeadError;

    #[test]
    fn shards_share_the_parts_and_nonsense_is_refused() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for part in 0..20 {
            assert_eq!(shards.iter().filter(|shard| shard.has(part)).count(), 1);
        }
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_specification_is_wrong_input_and_a_failing_runtime_is_not() {
        let run = |source: ModelError| LabelError::Run { path: "bag".into(), frame: 0, source };
        let (model, output, element) = ("m.onnx".to_owned(), "boxes".to_owned(), "string".to_owned());
        assert!(!run(ModelError::OutputType { model, output, element }).is_work_failure());
        let source = HeadError::ClassCount { expected: 1, got: 80 };
        assert!(!run(ModelError::Head { model: "m.onnx".into(), source }).is_work_failure());
        assert!(run(ModelError::Run { model: "m.onnx".into(), reason: "out of memory".into() }).is_work_failure());
        assert!(LabelError::Stopped.is_work_failure());
        assert!(!LabelError::Job("nonsense".into()).is_work_failure());
    }

    #[test]
    fn senseless_jobs_are_refused_before_any_work() {
        let source = LabelSource { path: "bag".into(), topic: None };
        let good = LabelJob::new(vec![source], vec![], vec!["person".into()], "out");
        assert!(check(&good).is_ok());
        for bad in [
            LabelJob { sources: vec![], ..good.clone() },
            LabelJob { classes: vec![], ..good.clone() },
            LabelJob { classes: vec!["a".into(), "a".into()], ..good.clone() },
            LabelJob { part_frames: 0, ..good.clone() },
            LabelJob { max_frames: Some(0), ..good.clone() },
            LabelJob { threads: MAX_THREADS + 1, ..good.clone() },
        ] {
            assert!(matches!(check(&bad), Err(LabelError::Job(_))));
        }
    }
}
