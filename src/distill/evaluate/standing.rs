//! How a student stands to its teachers.

use super::{EvaluationReport, ModelReport};

/// The student beside its best teacher.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'r> {
    /// The student.
    pub student: &'r ModelReport,
    /// See [`EvaluationReport::best_teacher`].
    pub teacher: Option<&'r ModelReport>,
}

impl<'r> Standing<'r> {
    /// How the first student of an evaluation stands; `None` without a student.
    pub fn of(report: &'r EvaluationReport) -> Option<Self> {
        Some(Self { student: report.student()?, teacher: report.best_teacher() })
    }

    /// The student's AP50 as a share of the teacher's.
    pub fn share(&self) -> Option<f64> {
        self.student.share_of(self.teacher?)
    }

    /// How many times more parameters the teacher has.
    pub fn smaller(&self) -> Option<f64> {
        let student = self.student.parameters;
        self.teacher.filter(|_| student > 0).map(|teacher| teacher.parameters as f64 / student as f64)
    }

    /// How many times longer the teacher takes for an image on one thread, by the medians.
    pub fn faster(&self) -> Option<f64> {
        let student = self.student.latency_ms?.p50;
        let teacher = self.teacher?.latency_ms?.p50;
        (student > 0.0).then(|| teacher / student)
    }
}
