//! Why a teacher cannot teach.

use super::TensorError;
use crate::model::ModelError;

/// Why a teacher or an ensemble cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// There is no teacher.
    #[error("no teacher; name at least one ONNX detector, for instance --teacher yolox.onnx")]
    None,
    /// Trust that is not above 0 and at most 1.
    #[error("teacher {teacher}: trust is {trust}; it must be above 0 and at most 1")]
    Trust {
        /// The teacher.
        teacher: String,
        /// Its trust.
        trust: f32,
    },
    /// A threshold that is not between 0 and 1.
    #[error("{name} is {value}; it must be between 0 and 1")]
    Threshold {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// The model cannot be loaded.
    #[error("teacher {teacher}: {source}")]
    Model {
        /// The teacher.
        teacher: String,
        /// Why.
        source: Box<ModelError>,
    },
    /// The model can be loaded, but its outputs are not as its specification says.
    #[error(
        "teacher {teacher}: {source}. What is said of it ({place}) does not fit: correct `head`, `classes` or `input`"
    )]
    Misfit {
        /// The teacher.
        teacher: String,
        /// What does not fit.
        source: Box<ModelError>,
        /// Where the specification stands.
        place: String,
    },
    /// Tensors inside the network cannot be had.
    #[error("teacher {teacher}: {source}")]
    Tensors {
        /// The teacher.
        teacher: String,
        /// Why.
        source: TensorError,
    },
    /// A file of it cannot be read.
    #[error("teacher {teacher}: cannot read {path}: {source}")]
    Read {
        /// The teacher.
        teacher: String,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// `format` alone does not tell enough.
    #[error(
        "teacher {teacher}: {reason}; write the whole `spec` (input, head, classes) into its entry or into a YAML beside the model"
    )]
    Format {
        /// The teacher.
        teacher: String,
        /// What is missing.
        reason: String,
    },
    /// The class map names a class that the teacher does not have.
    #[error("teacher {teacher}: class_map: it has no class `{class}`{hint}")]
    UnknownTeacherClass {
        /// The teacher.
        teacher: String,
        /// The class.
        class: String,
        /// The nearest names, or nothing.
        hint: String,
    },
    /// The class map names a class that the student does not have.
    #[error("teacher {teacher}: class_map: the student has no class `{class}`; its classes are {classes}")]
    UnknownStudentClass {
        /// The teacher.
        teacher: String,
        /// The class.
        class: String,
        /// The student's classes.
        classes: String,
    },
    /// None of the teacher's classes is one of the student's.
    #[error(
        "teacher {teacher} has none of the student's classes ({classes}){hint}; `class_map` of its entry translates names"
    )]
    NothingMapped {
        /// The teacher.
        teacher: String,
        /// The student's classes.
        classes: String,
        /// The nearest names, or nothing.
        hint: String,
    },
    /// No teacher has a class of the student's.
    #[error("no teacher has the class `{class}`{hint}; `class_map` of a teacher's entry translates names")]
    Untaught {
        /// The student's class.
        class: String,
        /// The nearest names, or nothing.
        hint: String,
    },
}
