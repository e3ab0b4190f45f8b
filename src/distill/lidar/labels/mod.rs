//! What a lidar student learns from: the points of each sweep, labelled by the recording's own truth, by camera teachers through the
//! calibration, or by another lidar detector.
//!
//! ```text
//! bag -> measured (sweeps, truth, transforms) -> truth, camera, teacher -> merge -> LabelledSweep -> store
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `config` | the entries of an experiment: [`LidarData`] and its [`LabelSource`]s |
//! | `target` | what is learnt of a point and of a sweep: [`PointTarget`], [`LabelledSweep`] |
//! | `scores` | which scores of finds are learnt, and which doubted |
//! | `read` | [`label_recording`] |
//! | `measured`, `transforms` | the one pass over a recording |
//! | `truth` | the recording's own truth: points, boxes, poses |
//! | `camera` | camera teachers' boxes carried over to points |
//! | `teacher`, `predicted` | a lidar detector's finds as labels |
//! | `consistency` | a student's own finds as labels, where neighbouring sweeps agree |
//! | `merge` | several sources made into one |
//! | `carry_over` | labels of what stands still for sweeps in which nobody labelled it |
//! | `follow` | labels of what moves for sweeps in which nobody labelled it |
//! | `classes` | what class numbers mean |
//! | `store` | a labelled recording as a Parquet file |

pub mod camera;
mod carry_over;
mod classes;
mod config;
mod consistency;
mod error;
mod facts;
mod follow;
mod measured;
mod merge;
mod predicted;
mod read;
mod scores;
mod store;
mod target;
mod teacher;
mod transforms;
mod truth;

/// The version of what labelling does, beside its settings: raise it whenever the code here comes to give other labels for the same
/// recording and settings (other rules in `camera`, `carry_over`, `follow`, `merge` and so on). Labels that runs keep are then made anew.
///
/// Version 1 is hashed as labels were before there was a number, so that runs of that time stay valid.
pub const LABELLING: u32 = 1;

pub use camera::{CalibrationEstimate, CalibrationVerdict, CameraLabels};
pub use carry_over::{CarriedOver, CarryOver};
pub use config::{LabelSource, LidarData, LidarTeacher, Pairing, TruthLabels};
pub use consistency::{ConsistencyOptions, consistent};
pub use error::LidarLabelError;
pub use facts::{ClassFacts, LabelFacts, SourceFacts};
pub use follow::{Follow, Followed};
pub use measured::read_sweeps;
pub use read::{LabelContext, LabelledRecording, label_recording};
pub use store::{read_labels, write_labels};
pub use target::{LabelledObject, LabelledSweep, PointClass, PointTarget, SweepLabels};
