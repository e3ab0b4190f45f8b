//! What a detector is, on the robot and in the workshop alike: its specification, bundle file, ONNX session and head decoding.

mod detection;
mod spec;

pub use detection::SoftDetection;
pub use spec::{ColorOrder, Fit, HeadFormat, InputSpec, ModelSpec};
