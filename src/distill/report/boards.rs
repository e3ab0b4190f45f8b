//! Figures of boards beside the accuracy that the run has measured.

use std::path::{Path, PathBuf};

use super::{folder::RunFolder, lidar_folder::LidarFolder};
use crate::{
    bench::{BenchError, BenchReport, BenchedModel},
    digest::file_sha256,
    distill::evaluate::{ModelReport, Role, bundle_path},
};

/// A model whose accuracy the run knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Hashes of the files that are it.
    pub sha256: Vec<String>,
    /// What the run calls it.
    pub name: String,
    /// How accurate it is, by the figure that [`Boards::figure`] names.
    pub accuracy: Option<f64>,
    /// Whether it is the run's student.
    pub student: bool,
}

/// What the run knows of accuracy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JudgedModels {
    /// What the figure is called.
    pub figure: String,
    /// The models.
    pub models: Vec<Judged>,
}

/// Boards, and what is known of the models that were measured on them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Boards {
    /// What the figure of accuracy is called.
    pub figure: String,
    judged: Vec<Judged>,
    /// The boards, in the order of their files.
    pub boards: Vec<BenchReport>,
}

impl Boards {
    /// Reads the files; `judged` is asked only where there are some, for it reads whole models.
    ///
    /// # Errors
    /// A file cannot be read, or is none of figures.
    pub fn read(files: &[PathBuf], judged: impl FnOnce() -> JudgedModels) -> Result<Self, BenchError> {
        if files.is_empty() {
            return Ok(Self::default());
        }
        let boards = files.iter().map(|file| BenchReport::read(file)).collect::<Result<Vec<_>, BenchError>>()?;
        Ok(Self::of(boards, judged()))
    }

    /// Boards with what a run knows.
    pub fn of(boards: Vec<BenchReport>, JudgedModels { figure, models }: JudgedModels) -> Self {
        Self { figure, judged: models, boards }
    }

    /// What the run knows of a model that was measured: it is the same file, byte by byte.
    pub fn judged(&self, model: &BenchedModel) -> Option<&Judged> {
        self.judged.iter().find(|judged| judged.sha256.contains(&model.sha256))
    }
}

/// The models of a camera student's run, by AP50: the student's bundle, and each file that the run or its bundle names.
pub(super) fn judged(folder: &RunFolder) -> JudgedModels {
    let run = folder.files.path.as_path();
    let teachers = folder.bundle.as_ref().map(|bundle| bundle.provenance.teachers.as_slice()).unwrap_or_default();
    let student = folder.evaluation.student().map(|student| student.name.as_str());
    let of = |model: &ModelReport| {
        let own = model.role == Role::Student && student == Some(model.name.as_str());
        let mut sha256: Vec<String> = if own {
            hash_of(&bundle_path(run)).into_iter().collect()
        } else {
            hash_of(Path::new(&model.path)).into_iter().collect()
        };
        if model.role == Role::Teacher {
            let same = teachers.iter().filter(|teacher| teacher.name == model.name);
            sha256.extend(same.map(|teacher| teacher.sha256.clone()));
        }
        Judged { sha256, name: model.name.clone(), accuracy: model.ap50, student: own }
    };
    JudgedModels { figure: "AP50".to_owned(), models: folder.evaluation.models.iter().map(of).collect() }
}

/// The one model of a lidar student's run, by the average precision of centres at the largest distance.
pub(super) fn judged_lidar(folder: &LidarFolder) -> JudgedModels {
    let student = &folder.result.student;
    let widest = student.widest();
    let figure = widest.map_or_else(|| "AP".to_owned(), |widest| format!("AP within {} m", widest.distance));
    let judged = Judged {
        sha256: hash_of(&bundle_path(&folder.files.path)).into_iter().collect(),
        name: "student".to_owned(),
        accuracy: widest.and_then(|widest| widest.ap),
        student: true,
    };
    JudgedModels { figure, models: vec![judged] }
}

/// A model's file may be gone, or be another computer's.
fn hash_of(path: &Path) -> Option<String> {
    file_sha256(path).ok()
}

/// The places of those that no other beats in both, from the cheapest to the most accurate: whatever costs more than another must be
/// better. Each is its cost, which should be low, and its accuracy, which should be high.
pub(super) fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    // Of those that cost the same the better one comes first.
    order.sort_by(|&a, &b| points[a].0.total_cmp(&points[b].0).then(points[b].1.total_cmp(&points[a].1)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&place| {
        let better = points[place].1 > best;
        best = best.max(points[place].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::example_report;

    #[test]
    fn the_front_has_what_no_other_beats_in_both() {
        assert_eq!(
            pareto_front(&[(8.0, 0.9), (2.0, 0.8), (4.0, 0.7), (2.0, 0.6), (9.0, 0.9), (16.0, 0.95)]),
            [1, 0, 5]
        );
        assert!(pareto_front(&[]).is_empty());
    }

    #[test]
    fn models_are_known_by_their_bytes_and_not_by_their_names() {
        let report = example_report("board", &[("student", "aa", 2.0), ("teacher", "bb", 8.0), ("other", "cc", 3.0)]);
        let models = [("student", "bb", false), ("mine", "aa", true)].map(|(name, sha256, student)| Judged {
            sha256: vec!["00".into(), sha256.into()],
            name: name.into(),
            accuracy: Some(0.9),
            student,
        });
        let boards = Boards::of(vec![report], JudgedModels { figure: "AP50".into(), models: models.into() });
        let known: Vec<Option<&str>> = boards.boards[0]
            .models
            .iter()
            .map(|model| boards.judged(model).map(|judged| judged.name.as_str()))
            .collect();
        assert_eq!(known, [Some("mine"), Some("student"), None]);
    }

    #[test]
    fn without_files_nothing_is_asked_and_a_wrong_one_is_named() {
        let unasked = || -> JudgedModels { panic!("nothing is to be read") };
        assert!(Boards::read(&[], unasked).unwrap().boards.is_empty());
        let error = Boards::read(&["/nowhere/pi5.json".into()], unasked).unwrap_err().to_string();
        assert!(error.contains("/nowhere/pi5.json"), "{error}");
    }
}
