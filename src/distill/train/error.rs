//! Why training ended before its time.

use std::{io, path::PathBuf};

use crate::distill::student::ConfigError as StudentError;

/// Training that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The temporary file of the frame cache.
    #[error(
        "the frame cache's temporary file: {0}; free space in the temporary folder (TMPDIR) or raise train.cache_mb"
    )]
    Cache(io::Error),
    /// An image without pixels.
    #[error("an image without pixels")]
    EmptyImage,
    /// An image that cannot be made smaller.
    #[error("cannot resize an image: {0}")]
    Resize(String),
    /// A frame that the targets and the recording do not agree on, or that cannot be read.
    #[error("{path}: {message}", path = path.display())]
    Data {
        /// The recording.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A recording that cannot be opened.
    #[error(transparent)]
    Bag(#[from] crate::distill::bag::BagError),
    /// Soft targets that cannot be read.
    #[error(transparent)]
    Targets(#[from] crate::distill::targets::TargetsError),
    /// A split that cannot be made.
    #[error(transparent)]
    Split(#[from] crate::distill::split::SplitError),
    /// A teacher that cannot be loaded.
    #[error(transparent)]
    Teacher(#[from] crate::distill::teacher::TeacherError),
    /// A teacher that cannot be run.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A teacher's tensor that does not fit the student.
    #[error(transparent)]
    Misfit(#[from] crate::distill::loss::MisfitError),
    /// A term that compares what does not mean the same.
    #[error("the term `{term}`: {message}")]
    Incomparable {
        /// The term's name.
        term: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// Nothing to learn from.
    #[error("{0}")]
    NothingToLearn(String),
    /// A worker thread ended without a word.
    #[error("a thread that prepares batches died; its message stands above")]
    Worker,
    /// The student cannot be built.
    #[error(transparent)]
    Student(#[from] StudentError),
    /// The lidar student cannot be built.
    #[error(transparent)]
    LidarStudent(#[from] crate::distill::lidar::LidarStudentError),
    /// Trained weights that cannot be read.
    #[error(transparent)]
    Weights(#[from] crate::distill::student::WeightsError),
    /// A student that is larger than the one it is to inherit from.
    #[error(transparent)]
    Inherit(#[from] crate::distill::student::InheritError),
    /// An earlier run that cannot be started from.
    #[error("{key}: {run}: {message}", run = run.display())]
    EarlierRun {
        /// The key of the experiment that names it.
        key: &'static str,
        /// The run's folder.
        run: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A device that this build does not have.
    #[error("train.device: `{name}` is not known to this build; it has {}", super::DEVICES.join(", "))]
    Device {
        /// What was asked for.
        name: String,
    },
    /// A loss, gradient or weight that is infinite, no number, or soon would be.
    #[error(
        "training diverged in epoch {epoch}, step {step}: {what}. The batch: {frames}. \
         Lower train.learning_rate or train.clip, or look at these frames' targets; the last checkpoint is kept"
    )]
    NotFinite {
        /// The epoch, from 1.
        epoch: usize,
        /// The step of the whole run, from 1.
        step: usize,
        /// What was not finite, as a clause.
        what: String,
        /// Names of the batch's frames.
        frames: String,
    },
    /// A checkpoint that cannot be used.
    #[error("{path}: {message}", path = path.display())]
    Checkpoint {
        /// The checkpoint file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A file of the run that cannot be written or read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Weights that burn cannot pack or unpack.
    #[error("cannot pack or unpack weights: {0}")]
    Record(String),
    /// The student's outputs do not fit its own specification.
    #[error("validation: {0}")]
    Head(#[from] crate::model::head::HeadError),
}

impl TrainError {
    /// Whether the work itself failed although the input was right.
    pub fn is_work_failure(&self) -> bool {
        matches!(
            self,
            Self::Cache(_)
                | Self::Resize(_)
                | Self::Worker
                | Self::NotFinite { .. }
                | Self::File { .. }
                | Self::Record(_)
                | Self::Head(_)
        )
    }
}
