//! Teachers: ONNX detectors, alone or as an ensemble.
//!
//! A [`TeacherConfig`] says which file, how far it is trusted and what its classes are called at the student's. An
//! [`Ensemble`] asks all teachers about an image and fuses their answers with weighted box fusion. Tensors inside a teacher's
//! network ([`list_tensors`]) come along as [`FeatureMap`]s where they are asked for. How far teachers are worth trusting can be
//! found out from what they say ([`agreement_trust`]) or from labels ([`measured_trust`]).

mod class_map;
mod config;
mod ensemble;
mod error;
mod feature_map;
mod loaded;
mod tensors;
mod trust;

pub use class_map::ClassMap;
pub use config::{TeacherConfig, TeacherFormat, TeacherSpec};
pub use ensemble::{Ensemble, EnsembleOptions, EnsembleOutput, TeacherProvenance, fuse};
pub use error::TeacherError;
pub use feature_map::FeatureMap;
pub use loaded::Teacher;
pub(in crate::distill) use tensors::with_outputs;
pub use tensors::{FeatureTensor, TensorError, list_tensors, tapped_bytes};
pub(in crate::distill) use trust::scored;
pub use trust::{agreement_trust, measured_trust};
