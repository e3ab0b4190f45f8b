//! Training students.
//!
//! ```text
//! recordings + soft targets -> gather -> FrameSet (decoded once) -> loader: worker threads draw augmented batches
//!                                     '-> ValidationSet                 -> trainer: forward, losses, step, average
//!                                                                           -> validate -> checkpoint, metrics.jsonl, best.bpk
//! ```

mod augment;
mod average;
mod cache;
mod checkpoint;
mod dataset;
mod device;
mod error;
mod gather;
mod journal;
mod loader;
mod optimizer;
mod schedule;
mod step;
mod trainer;
mod validate;

pub use augment::{Augmenter, Canvas, ColorMap, Frame, Picture, Placement, Viewport};
pub use cache::{BlockId, PixelCache};
pub use checkpoint::{Best, Checkpoint, EpochSums, Position};
pub use dataset::{FrameSet, NetworkInput, Shrunk, ValidationSet, shrink};
pub use device::{DEVICES, device};
pub use error::TrainError;
pub use gather::{BlockCounts, Gathered, gather, split_of, truth_source};
pub use journal::EpochRecord;
pub use loader::{Batch, Epoch, Loader};
pub use schedule::Schedule;
pub use step::{Step, TrainStep};
pub use trainer::{Observer, StepReport, TrainJob, TrainReport, checkpoint_path, train, weights_path};
pub use validate::Validator;
