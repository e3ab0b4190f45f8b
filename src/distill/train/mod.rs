//! Training students.
//!
//! ```text
//! recordings + soft targets -> gather -> FrameSet (decoded once) -> loader: worker threads draw augmented batches
//!                                     |                            (shown to the teachers, where a term looks into them)
//!                                     '-> ValidationSet                 -> trainer: forward, losses, step, average
//!                                                                           -> validate -> checkpoint, metrics.jsonl, events, best.bpk
//! ```

mod ahead;
mod augment;
mod average;
mod aware;
mod cache;
mod checkpoint;
mod course;
mod dataset;
mod detect;
mod device;
mod earlier;
mod error;
mod events;
mod gather;
mod journal;
mod lineage;
mod loader;
mod objective;
mod optimizer;
mod retain;
mod schedule;
mod sensitivity;
mod shard;
mod start;
mod step;
mod trained;
mod trainer;
mod training;
mod tutor;
mod validate;
mod values;
mod waiting;
#[cfg(test)]
pub(in crate::distill) mod watcher;

pub use ahead::Workers;
pub use augment::{Augmenter, Canvas, ColorMap, Frame, Picture, Placement, Sample, Viewport};
pub(in crate::distill) use average::WeightAverage;
pub use cache::{BlockId, PixelCache};
pub(in crate::distill) use checkpoint::unpack;
pub use checkpoint::{Best, Checkpoint, EpochSums, Position};
pub(in crate::distill) use course::{Course, Figures, resumed};
pub use course::{checkpoint_path, weights_path};
pub use dataset::{FrameBoxes, FrameSet, NetworkInput, Shrunk, ValidationSet, shrink};
pub use device::{DEVICES, device};
pub use earlier::EarlierRun;
pub use error::TrainError;
pub use gather::{BlockCounts, Gathered, gather, split_of, truth_source};
pub use journal::{EpochRecord, best_validation, training_seconds};
pub use lineage::{Generation, Lineage};
pub use loader::{Batch, Epoch, Hint, Loader};
pub(in crate::distill) use loader::{generator, mixed, shuffled};
pub(in crate::distill) use optimizer::Stepper;
pub use retain::{Retained, retained_run};
pub use schedule::Schedule;
pub(in crate::distill) use sensitivity::gradients_on_frames;
pub(in crate::distill) use shard::{cut, shard_ranges, shards_on};
pub use start::check_inheritance;
pub use step::{Step, TrainStep, Tutoring};
pub(in crate::distill) use step::{awake, descend};
pub use trained::trained_student;
pub use trainer::{Observer, StepReport, TrainJob, TrainReport, train};
pub(in crate::distill) use training::{Training, complete};
pub use tutor::Tutors;
pub use validate::Validator;
#[cfg(test)]
pub(in crate::distill) use values::read as read_weights;
pub use waiting::{Preparation, waiting_advice};
