//! Lidar students: which points of a sweep belong to what, and where the objects stand, from recordings in which a camera's
//! teachers, simulated truth or people have labelled the points.
//!
//! ```text
//! recording -> labels (truth, camera teachers, a lidar teacher) -> LabelledSweep, one Parquet file a recording
//!           -> blocks of time -> augment (points) -> range image + targets of its cells -> student -> loss
//!           -> validate (IoU of points, AP of centres) -> bundle.onnx -> judge on the test block
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`config`] | the experiment's YAML, `task: lidar` |
//! | [`labels`] | where a point's class comes from |
//! | [`student`] | the network |
//! | [`augment`], [`batch`] | sweeps as they are learnt |
//! | [`loss`] | what is minimised |
//! | [`train`], [`validate`] | the training loop, and what its epochs are compared by |
//! | [`thresholds`] | the score from which a point is of a class |
//! | [`rounds`] | the second training, on what the student itself says over time |
//! | [`export`] | the ONNX graph |
//! | [`evaluate`], [`picture`], [`gallery`] | figures on the test block, sweeps to look at: any, and the worst |

pub mod augment;
pub mod batch;
pub mod blocks;
pub mod config;
pub mod evaluate;
pub mod export;
pub mod gallery;
mod grid;
pub mod labels;
pub mod loss;
pub mod picture;
pub mod result;
pub mod rounds;
mod sections;
pub mod student;
pub mod thresholds;
pub mod train;
pub mod validate;

pub use batch::Example;
pub use config::LidarExperiment;
pub use student::{LidarStudent, LidarStudentConfig, LidarStudentError, LidarStudentOutput};
