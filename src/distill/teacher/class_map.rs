//! From a teacher's classes to the student's.

use std::collections::BTreeMap;

use super::TeacherError;

/// Which student class each teacher class means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    /// Per teacher class the index of the student class.
    to_student: Vec<Option<usize>>,
    /// Per student class whether a teacher class means it.
    knows: Vec<bool>,
    /// The same in names.
    names: BTreeMap<String, String>,
}

impl ClassMap {
    /// Translates by `explicit` (teacher class -> student class), or, when that is empty, by equal names. Teacher classes
    /// that mean no student class are dropped.
    ///
    /// # Errors
    /// A name in `explicit` that one side does not have, or nothing in common; the nearest names are told.
    pub fn new(
        teacher: &str,
        teacher_classes: &[String],
        student_classes: &[String],
        explicit: &BTreeMap<String, String>,
    ) -> Result<Self, TeacherError> {
        let mut map = Self {
            to_student: vec![None; teacher_classes.len()],
            knows: vec![false; student_classes.len()],
            names: BTreeMap::new(),
        };
        for (from, to) in explicit {
            if !teacher_classes.contains(from) {
                return Err(TeacherError::UnknownTeacherClass {
                    teacher: teacher.into(),
                    class: from.clone(),
                    hint: nearest_hint([from], teacher_classes),
                });
            }
            if !student_classes.contains(to) {
                return Err(TeacherError::UnknownStudentClass {
                    teacher: teacher.into(),
                    class: to.clone(),
                    classes: student_classes.join(", "),
                });
            }
        }
        for (index, class) in teacher_classes.iter().enumerate() {
            let meant = if explicit.is_empty() { Some(class) } else { explicit.get(class) };
            let Some(student) = meant.and_then(|meant| student_classes.iter().position(|class| class == meant)) else {
                continue;
            };
            map.to_student[index] = Some(student);
            map.knows[student] = true;
            map.names.insert(class.clone(), student_classes[student].clone());
        }
        if map.names.is_empty() {
            return Err(TeacherError::NothingMapped {
                teacher: teacher.into(),
                classes: student_classes.join(", "),
                hint: nearest_hint(student_classes, teacher_classes),
            });
        }
        Ok(map)
    }

    /// Per student class, whether the teacher knows it.
    pub fn knows(&self) -> &[bool] {
        &self.knows
    }

    /// The classes that are translated, teacher -> student.
    pub fn names(&self) -> &BTreeMap<String, String> {
        &self.names
    }

    /// A score per student class out of a score per teacher class. Of several teacher classes that mean one student class the
    /// greatest score counts.
    pub fn translate(&self, probabilities: &[f32]) -> Vec<f32> {
        let mut student = vec![0.0_f32; self.knows.len()];
        for (score, class) in probabilities.iter().zip(&self.to_student) {
            if let Some(class) = *class {
                student[class] = student[class].max(*score);
            }
        }
        student
    }
}

/// `; did you mean ..?` with the names among `known` that are like one of `wanted`, or nothing.
pub(super) fn nearest_hint<'a>(
    wanted: impl IntoIterator<Item = &'a String>,
    known: impl IntoIterator<Item = &'a String> + Clone,
) -> String {
    let mut nearest: Vec<&str> = Vec::new();
    for name in wanted {
        let best = known
            .clone()
            .into_iter()
            .map(|known| (likeness(name, known), known.as_str()))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, best)) = best
            && !nearest.contains(&best)
        {
            nearest.push(best);
        }
    }
    if nearest.is_empty() { String::new() } else { format!("; did you mean `{}`?", nearest.join("`, `")) }
}

/// How alike two names are, whatever their case: 1 where they are the same, 0 where nothing is.
pub(super) fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn map(student: &[&str], explicit: &[(&str, &str)]) -> Result<ClassMap, TeacherError> {
        let explicit = explicit.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        ClassMap::new("yolox", &names(&["person", "car", "truck"]), &names(student), &explicit)
    }

    #[test]
    fn equal_names_meet_and_the_rest_is_dropped() {
        let map = map(&["forklift", "person"], &[]).unwrap();
        assert_eq!(map.knows(), [false, true]);
        assert_eq!(map.translate(&[0.5, 0.9, 0.25]), [0.0, 0.5]);
    }

    #[test]
    fn several_classes_may_mean_one() {
        let map = map(&["vehicle", "person"], &[("car", "vehicle"), ("truck", "vehicle")]).unwrap();
        assert_eq!(map.knows(), [true, false]);
        assert_eq!(map.translate(&[0.5, 0.125, 0.25]), [0.25, 0.0]);
        assert_eq!(map.names().len(), 2);
    }

    #[test]
    fn wrong_names_are_told_with_the_nearest() {
        let nothing = map(&["persn"], &[]).unwrap_err().to_string();
        assert!(nothing.contains("none of the student's classes (persn); did you mean `person`?"), "{nothing}");
        let teacher = map(&["person"], &[("perso", "person")]).unwrap_err().to_string();
        assert!(teacher.contains("no class `perso`; did you mean `person`?"), "{teacher}");
        let student = map(&["person"], &[("car", "vehicle")]).unwrap_err().to_string();
        assert!(student.contains("no class `vehicle`; its classes are person"), "{student}");
        let nowhere_near = map(&["xyz"], &[]).unwrap_err().to_string();
        assert!(!nowhere_near.contains("did you mean"), "{nowhere_near}");
    }
}
