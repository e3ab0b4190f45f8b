//! Which errors a student took over from its teachers, and which it did not.

use serde::{Deserialize, Serialize};

use crate::metrics::{Demand, ScoredBox, TruthBox, Verdict, judge_image};

/// What all said about one frame whose truth is known. Boxes that nobody stands by are left out by the caller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JudgedFrame {
    /// What is really there.
    pub truth: Vec<TruthBox>,
    /// What each teacher found.
    pub per_teacher: Vec<Vec<ScoredBox>>,
    /// What the student found.
    pub student: Vec<ScoredBox>,
}

/// How a student's errors relate to its teachers'. An error is an invented box (nothing of its class lies there, or a better box has
/// found it already) or an object that is missed. Two detectors share an invented box when they claim the same class at the same
/// place, and a missed object when both miss it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorInheritance {
    /// Boxes that the student invented and objects that it missed.
    pub student_errors: usize,
    /// Those that at least one teacher shares: what the student may have learnt from it.
    pub shared_with_some_teacher: usize,
    /// The errors of all teachers together.
    pub teacher_errors: usize,
    /// Those that the student does not share: what distillation has healed.
    pub lost: usize,
    /// Each teacher by itself.
    pub per_teacher: Vec<TeacherErrors>,
}

/// The errors of one teacher beside the student's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TeacherErrors {
    /// Its errors.
    pub errors: usize,
    /// Errors of the student that it shares.
    pub shared: usize,
    /// Its errors that the student does not share.
    pub lost: usize,
}

impl ErrorInheritance {
    /// Share of the student's errors that some teacher shares; `None` without errors.
    pub fn inherited_share(&self) -> Option<f64> {
        (self.student_errors > 0).then(|| self.shared_with_some_teacher as f64 / self.student_errors as f64)
    }

    /// Share of the teachers' errors that the student does not have; `None` without errors.
    pub fn lost_share(&self) -> Option<f64> {
        (self.teacher_errors > 0).then(|| self.lost as f64 / self.teacher_errors as f64)
    }
}

/// Compares the errors of a student with those of its teachers, frame by frame. `knows` says per teacher which classes it knows: an
/// object of another class is not its error when it is missed. Boxes at the same place overlap by at least `iou`, for instance 0.5.
pub fn inherited_errors(frames: &[JudgedFrame], knows: &[Vec<bool>], iou: f64) -> ErrorInheritance {
    let mut per_teacher = vec![TeacherErrors::default(); knows.len()];
    let (mut student_errors, mut shared_with_some_teacher) = (0, 0);
    for frame in frames {
        let own = Errors::of(frame, &frame.student, &|_| true, iou);
        student_errors += own.count();
        let mut shared = own.nothing_shared();
        for ((teacher, knows), said) in per_teacher.iter_mut().zip(knows).zip(&frame.per_teacher) {
            let errors = Errors::of(frame, said, &|class| knows.get(class) == Some(&true), iou);
            let of_student = own.shared_with(&errors, iou);
            teacher.errors += errors.count();
            teacher.shared += of_student.iter().filter(|shared| **shared).count();
            teacher.lost += errors.shared_with(&own, iou).iter().filter(|shared| !**shared).count();
            for (some, this) in shared.iter_mut().zip(of_student) {
                *some |= this;
            }
        }
        shared_with_some_teacher += shared.iter().filter(|shared| **shared).count();
    }
    ErrorInheritance {
        student_errors,
        shared_with_some_teacher,
        teacher_errors: per_teacher.iter().map(|teacher| teacher.errors).sum(),
        lost: per_teacher.iter().map(|teacher| teacher.lost).sum(),
        per_teacher,
    }
}

/// The errors of one detector in one frame.
struct Errors {
    invented: Vec<ScoredBox>,
    /// Places in the truth.
    missed: Vec<usize>,
}

impl Errors {
    fn of(frame: &JudgedFrame, said: &[ScoredBox], knows: &dyn Fn(usize) -> bool, iou: f64) -> Self {
        let matches = judge_image(&frame.truth, said, iou);
        let invented = said.iter().zip(&matches).filter(|(_, found)| **found == Verdict::FalseAlarm);
        let missed = frame.truth.iter().enumerate().filter(|(index, object)| {
            let wanted = object.demand == Demand::Required && object.bbox.is_valid() && knows(object.class);
            wanted && !matches.contains(&Verdict::Hit(*index))
        });
        Self {
            invented: invented.map(|(claim, _)| claim.clone()).collect(),
            missed: missed.map(|(index, _)| index).collect(),
        }
    }

    fn count(&self) -> usize {
        self.invented.len() + self.missed.len()
    }

    fn nothing_shared(&self) -> Vec<bool> {
        vec![false; self.count()]
    }

    /// Per error, the invented boxes first, whether the other detector makes it too.
    fn shared_with(&self, other: &Self, iou: f64) -> Vec<bool> {
        let same = |a: &ScoredBox, b: &ScoredBox| a.class == b.class && f64::from(a.bbox.iou(&b.bbox)) >= iou;
        let invented = self.invented.iter().map(|own| other.invented.iter().any(|theirs| same(own, theirs)));
        let missed = self.missed.iter().map(|object| other.missed.contains(object));
        invented.chain(missed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;

    fn at(x: f32) -> Box2 {
        Box2::new(x, 0.0, x + 10.0, 10.0)
    }

    fn truth(x: f32, class: usize) -> TruthBox {
        TruthBox { bbox: at(x), class, demand: Demand::Required }
    }

    fn claim(x: f32, class: usize) -> ScoredBox {
        ScoredBox { bbox: at(x), class, score: 0.5 }
    }

    #[test]
    fn errors_are_shared_at_the_same_place_with_the_same_class() {
        let frame = JudgedFrame {
            truth: vec![truth(0.0, 0), truth(50.0, 1), truth(100.0, 0)],
            // The first invents a box at 200 and misses the object at 100; that at 50 it does not know.
            // The second finds all and invents boxes at 300 and, of another class, at 400.
            per_teacher: vec![
                vec![claim(0.0, 0), claim(200.0, 0)],
                vec![claim(0.0, 0), claim(50.0, 1), claim(100.0, 0), claim(300.0, 0), claim(400.0, 1)],
            ],
            // Took over 200 and the miss at 100; has an error of its own: class 0 at 400. And it misses the one at 50.
            student: vec![claim(1.0, 0), claim(202.0, 0), claim(400.0, 0)],
        };
        let knows = [vec![true, false], vec![true, true]];
        let found = inherited_errors(&[frame.clone(), JudgedFrame::default()], &knows, 0.5);
        assert_eq!((found.student_errors, found.shared_with_some_teacher), (4, 2));
        assert_eq!(found.per_teacher[0], TeacherErrors { errors: 2, shared: 2, lost: 0 });
        assert_eq!(found.per_teacher[1], TeacherErrors { errors: 2, shared: 0, lost: 2 });
        assert_eq!((found.teacher_errors, found.lost), (4, 2));
        assert_eq!((found.inherited_share(), found.lost_share()), (Some(0.5), Some(0.5)));
        // In another frame the same box is another error.
        let apart = [
            JudgedFrame { student: vec![], ..frame.clone() },
            JudgedFrame { per_teacher: vec![vec![]; 2], truth: vec![], student: vec![claim(200.0, 0)] },
        ];
        let found = inherited_errors(&apart, &knows, 0.5);
        // Without a box the student misses three objects, of which the first teacher misses one.
        assert_eq!((found.student_errors, found.shared_with_some_teacher), (4, 1));
    }

    #[test]
    fn without_errors_there_are_no_shares() {
        let perfect = JudgedFrame { truth: vec![truth(0.0, 0)], per_teacher: vec![], student: vec![claim(0.0, 0)] };
        let found = inherited_errors(&[perfect], &[], 0.5);
        assert_eq!((found.inherited_share(), found.lost_share()), (None, None));
    }
}
