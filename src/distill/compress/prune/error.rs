//! Why a student could not be pruned.

use std::path::PathBuf;

use crate::{
    distill::{
        export::ExportFailed,
        student::{ConfigError, Group, InheritError},
    },
    model::ModelError,
};

/// Why a student was not pruned. Each message says what would do.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The cut student cannot be built.
    #[error(transparent)]
    Student(#[from] ConfigError),
    /// Channels cannot be taken out of the student.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// A graph cannot be made.
    #[error(transparent)]
    Graph(#[from] ExportFailed),
    /// A network cannot be timed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A student without BatchNorm has no scales.
    #[error("--by batch_norm: the {group} has no BatchNorm, because it is folded already; use --by taylor or --by l1")]
    Folded {
        /// The first group without.
        group: Group,
    },
    /// Importance that ranks nothing.
    #[error(
        "the importance of the channels of the {group} is not a finite number above 0; use another --by, or look at the run's losses"
    )]
    Importance {
        /// The first group of that kind.
        group: Group,
    },
    /// A share that cannot be reached.
    #[error(
        "--keep {keep}: with {least} channels in each group {share:.3} of the {measure} are left; keep more, or take a smaller input"
    )]
    TooLittle {
        /// What was asked for.
        keep: f64,
        /// Fewest channels of a group.
        least: usize,
        /// What is left then.
        share: f64,
        /// Of what, in words.
        measure: &'static str,
    },
    /// A folder that holds something else.
    #[error("{}: holds something that `distill prune` did not make; name an empty folder or one that is not there", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A student that lost too much and is not to become a bundle.
    #[error(
        "refused, there is no bundle: beside the student of {}, {loss}. Cut less at a time and in rounds (`distill prune --keep`), let it \
         learn for more epochs (`--set train.epochs=..`), allow more (`--set gate.budget=..`), or write it all the same with `--set \
         gate.force=true`",
        against.display()
    )]
    Budget {
        /// The run whose student it was held against.
        against: PathBuf,
        /// What is lost, in words.
        loss: String,
    },
}

impl PruneError {
    /// Whether the work itself failed although the input was right.
    pub fn is_work_failure(&self) -> bool {
        match self {
            Self::Graph(_)
            | Self::Model(_)
            | Self::Importance { .. }
            | Self::TooLittle { .. }
            | Self::Budget { .. } => true,
            Self::Student(_) | Self::Inherit(_) | Self::Folded { .. } | Self::Occupied { .. } => false,
        }
    }
}
