//! Soft targets: what the teachers said, fused and stored.
//!
//! [`label`] runs an ensemble of teachers over recordings and writes a folder of Parquet parts `part-00000.parquet`,
//! `part-00001.parquet` ..., each whole or not there. [`TargetSet::read`] reads such a folder back for training.
//!
//! A part is a plain table that pandas and polars read. It has one row per box, in the order of the frames: first the fused boxes of
//! a frame, then those of each teacher. A frame without fused boxes has one row in their place with nothing in its box columns, so
//! the rows without `teacher` are the whole labelling: in pandas `table[table.teacher.isna()]`.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `source` | uint32 | which recording, an index into the metadata's `sources` |
//! | `frame_index` | uint64 | place of the frame in that recording's image topic, from 0, frames that failed to decode counted |
//! | `frame_name` | string | the frame's name (of an image folder: the file) |
//! | `stamp` | int64 | header stamp, nanoseconds |
//! | `image_width`, `image_height` | uint32 | pixels |
//! | `brightness` | float | mean luma of the picture, 0 to 255, see [`PictureStatistics`] |
//! | `blur` | float | variance of the Laplacian of the picture made small: low where it is blurred |
//! | `teacher` | uint32 | who found the box, an index into the metadata's `teachers`; null: all of them, fused |
//! | `x_min`, `y_min`, `x_max`, `y_max` | float | box in pixels of the original image, null in the one row of a frame without fused boxes |
//! | `probabilities` | list of float | score per student class, in the order of the metadata's `classes`; null likewise |
//! | `weight` | float | trust of the teachers that saw the box times their agreement, in `(0, 1]`; null likewise |
//!
//! Everything else is JSON under the file's key [`METADATA_KEY`], see [`PartMetadata`].

mod frame;
mod label;
mod part;
mod picture;
mod set;
mod trust;

pub(in crate::distill) use frame::fusion_source;
pub use frame::{FrameTargets, SoftBox};
pub use label::{
    CONFIDENT, ClassStatistics, LabelError, LabelJob, LabelProgress, LabelSource, LabelSummary, Shard, TeacherLatency,
    label,
};
pub use part::{METADATA_KEY, PartEnd, PartMetadata, SourceProvenance, read_part, read_part_metadata, write_part};
pub(in crate::distill) use part::{column, metadata_json, properties};
pub use picture::PictureStatistics;
pub use set::{TargetSet, TargetsError};
