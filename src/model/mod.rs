//! What a detector is, on the robot and in the workshop alike: its specification, bundle file, ONNX session and head decoding.
//!
//! ```text
//! RgbImage -> sensing::letterbox -> Session (ONNX Runtime) -> head::decode -> geometry::suppress -> Detections
//! Sweep -> sensing::range_image -> lidar::fill_input -> Session (ONNX Runtime) -> lidar::decode -> LidarDetections
//! ```

pub mod bundle;
mod coco;
mod detection;
mod detector;
mod error;
mod external_data;
mod guess;
pub mod head;
pub mod lidar;
mod limits;
pub(crate) mod network;
mod onnx_file;
mod runtime;
pub mod samples;
mod session;
mod spec;
mod threshold;
pub(crate) mod wire;

pub use coco::COCO_CLASSES;
pub use detection::SoftDetection;
pub use detector::{Detections, Detector, SpecSource, StageTiming, Tapped};
pub use error::ModelError;
pub use external_data::{ExternalTensor, external_tensors};
pub use guess::GuessError;
pub use limits::{MAX_BUNDLE_BYTES, MAX_MODEL_BYTES, ModelLimits};
pub use onnx_file::{OnnxFacts, onnx_facts};
#[cfg(test)]
pub(crate) use runtime::tests::has_runtime;
pub use runtime::{runtime_build, runtime_library, runtime_version};
pub use session::{ExecutionProvider, Outputs, Session, SessionOptions, TensorInfo};
pub use spec::{HeadFormat, ModelSpec};

pub use crate::sensing::{ColorOrder, Fit, InputSpec};
