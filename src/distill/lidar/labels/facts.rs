//! What came of a labelling, in numbers.

use serde::{Deserialize, Serialize};

use super::{camera::CalibrationEstimate, carry_over::CarriedOver, follow::Followed};

/// What came of labelling one recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabelFacts {
    /// The experiment's classes, which the numbers in labels count.
    pub classes: Vec<String>,
    /// Sweeps that could be read.
    pub sweeps: usize,
    /// Those of which no source knew anything.
    pub without_labels: usize,
    /// Those whose truth is not known, although truth to judge by was asked for.
    pub without_truth: usize,
    /// Those without an image near enough in time, of each camera source.
    #[serde(default)]
    pub without_image: usize,
    /// Those whose place relative to a camera TF does not tell.
    #[serde(default)]
    pub without_transform: usize,
    /// Points that were measured; 0 in labels of earlier versions, which did not count them.
    #[serde(default)]
    pub points: u64,
    /// Those of them of which no source knew anything: the training leaves them out.
    #[serde(default)]
    pub ignored: u64,
    /// What each source of labels decided, in their order.
    pub sources: Vec<SourceFacts>,
    /// What the truth to judge by says.
    pub truth: Option<SourceFacts>,
    /// What came of carrying labels over to other sweeps, where that is wanted.
    #[serde(default)]
    pub carried_over: Option<CarriedOver>,
    /// What came of following what moves, where that is wanted.
    #[serde(default)]
    pub followed: Option<Followed>,
    /// How well camera and lidar fit together, where a camera labelled; of several cameras the one that gives most reason for concern.
    pub calibration: Option<CalibrationEstimate>,
    /// The source that this is about, as it is named in `sources`; `None` in labels of earlier versions.
    #[serde(default)]
    pub calibration_source: Option<String>,
}

/// What one source said and was heard with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// What it is: `truth /truth/points`, `camera`, `teacher student`.
    pub name: String,
    /// Points that it calls background.
    pub background: u64,
    /// Per class of the experiment, in their order.
    pub classes: Vec<ClassFacts>,
}

/// What was found of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassFacts {
    /// The class.
    pub class: String,
    /// Points on it.
    pub points: u64,
    /// Objects, each counted in every sweep.
    pub objects: u64,
}

impl LabelFacts {
    /// Share of the measured points of which nobody knew anything; `None` where they were not counted.
    pub fn ignored_share(&self) -> Option<f64> {
        (self.points > 0).then(|| self.ignored as f64 / self.points as f64)
    }
}

impl SourceFacts {
    /// Nothing said yet.
    pub(super) fn new(name: String, classes: &[String]) -> Self {
        let none = |class: &String| ClassFacts { class: class.clone(), points: 0, objects: 0 };
        Self { name, background: 0, classes: classes.iter().map(none).collect() }
    }

    /// Counts a point on a class.
    pub(super) fn count_point(&mut self, class: u16) {
        if let Some(facts) = self.classes.get_mut(usize::from(class)) {
            facts.points += 1;
        }
    }

    /// Counts an object of a class.
    pub(super) fn count_object(&mut self, class: usize) {
        if let Some(facts) = self.classes.get_mut(class) {
            facts.objects += 1;
        }
    }
}
