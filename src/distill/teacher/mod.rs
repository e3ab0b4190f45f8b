//! Teachers: ONNX detectors, alone or as an ensemble.
//!
//! A [`TeacherConfig`] says which file, how far it is trusted and what its classes are called at the student's. An
//! [`Ensemble`] asks all teachers about an image and fuses their answers with weighted box fusion.

mod class_map;
mod config;
mod ensemble;
mod error;

pub use class_map::ClassMap;
pub use config::{TeacherConfig, TeacherFormat, TeacherSpec};
pub use ensemble::{Ensemble, EnsembleOptions, EnsembleOutput, Teacher, TeacherProvenance};
pub use error::TeacherError;
