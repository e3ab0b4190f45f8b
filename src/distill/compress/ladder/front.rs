//! What a ladder found: every student's figures, the front of those that no other beats, and the one that is chosen.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Constraints, Ladder, Miss, PointPrecision, StepEnd, place::Place};
use crate::{
    bench::Machine,
    distill::ablate::Settings,
    metrics::{ClassAp, Quartiles},
};

/// Everything that a ladder found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Front {
    /// What it is called.
    pub name: String,
    /// The command that made it.
    pub command: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// The experiment that all rungs start from.
    pub experiment: String,
    /// Seed of the trainings.
    pub seed: u64,
    /// Changes of the experiment for all rungs.
    pub set: Settings,
    /// Further ones from the command line.
    pub command_line_set: Vec<String>,
    /// The machine that the times are of.
    pub machine: Machine,
    /// Rounds in which all were timed.
    pub latency_rounds: usize,
    /// The model that times are compared with.
    pub compared_with: Option<String>,
    /// What retention is a share of.
    pub yardstick: Option<Yardstick>,
    /// What counted as true on the validation block.
    pub truth: String,
    /// Frames of the validation block.
    pub frames: usize,
    /// What the chosen student must be like.
    pub constraints: Constraints,
    /// The teachers, and the model of `constraints.speedup_over`.
    pub references: Vec<Reference>,
    /// The students in the order of the ladder.
    pub points: Vec<LadderPoint>,
    /// The name of the most accurate student that keeps all limits.
    pub chosen: Option<String>,
    /// Where none does: the name of the one that is least beyond them.
    pub nearest: Option<String>,
    /// Figures on the test block, which nothing was chosen by: of the students in the order of the ladder, then of the teachers.
    pub test: Vec<TestFigures>,
    /// What counted as true there; files of earlier versions lack it.
    #[serde(default)]
    pub test_truth: String,
    /// Frames of the test block.
    pub test_frames: usize,
}

/// The AP50 that retention is a share of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Yardstick {
    /// Whose it is.
    pub name: String,
    /// AP50 on the validation block.
    pub ap50: f64,
}

/// A model that students are compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub path: String,
    /// Its figures; without average precision where it is no teacher.
    pub figures: PointFigures,
}

/// Whether a student has figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// It has.
    Made,
    /// It, or the cut student that it comes of, loses too much.
    Refused,
    /// A command on the way to it failed.
    Failed,
    /// It has not been made yet, or was stopped.
    NotMade,
}

/// A student of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderPoint {
    /// Its name.
    pub name: String,
    /// The student that it comes from.
    pub from: Option<String>,
    /// What was done to that, in words.
    pub change: String,
    /// Its bundle.
    pub bundle: String,
    /// What it computes in.
    pub precision: PointPrecision,
    /// Whether it may be chosen; others are made on the way alone.
    pub offered: bool,
    /// Whether it has figures.
    pub state: PointState,
    /// Why it has none.
    pub reason: Option<String>,
    /// Its figures.
    pub figures: Option<PointFigures>,
    /// Whether no other that may be chosen is as fast, as small and as accurate, and better in one of these.
    pub on_front: bool,
    /// The limits that it does not keep.
    pub misses: Vec<Miss>,
}

/// The figures of a model on the validation block and on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointFigures {
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// AP50 as a share of the yardstick's.
    pub retention: Option<f64>,
    /// Each class.
    pub per_class: Vec<ClassAp>,
    /// Learnt parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one inference, where the graph's shapes tell.
    pub macs: Option<u64>,
    /// Size of the file.
    pub bytes: u64,
    /// Median time of the network alone on one thread, milliseconds.
    pub latency_ms: Option<f64>,
    /// That time as a multiple of that of [`Front::compared_with`], round by round.
    pub ratio: Option<Quartiles>,
}

/// A model on the test block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestFigures {
    /// What it is called.
    pub name: String,
    /// AP at IoU 0.50:0.95.
    pub ap: Option<f64>,
    /// AP at IoU 0.50.
    pub ap50: Option<f64>,
    /// Each class.
    pub per_class: Vec<ClassAp>,
}

impl PointFigures {
    /// How many times faster than [`Front::compared_with`] it is.
    pub fn speedup(&self) -> Option<f64> {
        self.ratio.map(|ratio| ratio.median).filter(|ratio| *ratio > 0.0).map(|ratio| 1.0 / ratio)
    }

    /// Time, size and accuracy, where all are known.
    fn place(&self) -> Option<Place> {
        let accuracy = [self.ap50?, self.ap.unwrap_or(f64::NEG_INFINITY)];
        Some(Place { latency_ms: self.latency_ms?, bytes: self.bytes, accuracy })
    }
}

impl LadderPoint {
    /// A student as the ladder planned it, how its way ended, and what was measured of it.
    pub fn new(ladder: &Ladder, point: usize, ends: &[StepEnd], figures: Option<PointFigures>) -> Self {
        let planned = &ladder.points[point];
        let (state, reason) = state_of(ladder, planned.step, ends);
        let figures = if state == PointState::Made { figures } else { None };
        let offered = planned.offered;
        let misses = figures.as_ref().filter(|_| offered).map(|figures| ladder.config.constraints.misses(figures));
        Self {
            name: planned.name.clone(),
            from: planned.from.map(|from| ladder.points[from].name.clone()),
            change: planned.change.clone(),
            bundle: planned.bundle.display().to_string(),
            precision: planned.precision,
            offered,
            state,
            reason,
            figures,
            on_front: false,
            misses: misses.unwrap_or_default(),
        }
    }

    /// Whether it may be chosen and keeps all limits.
    fn fits(&self) -> bool {
        self.offered && self.figures.is_some() && self.misses.is_empty()
    }
}

/// How the way to a step's output ended, and why it is not there.
fn state_of(ladder: &Ladder, step: usize, ends: &[StepEnd]) -> (PointState, Option<String>) {
    let mut cause = step;
    // Steps stand behind those that they need, so this ends.
    while let Some(StepEnd::Without(before)) = ends.get(cause)
        && *before < cause
    {
        cause = *before;
    }
    let told = |reason: &String| format!("{}: {reason}", ladder.steps[cause].title);
    match ends.get(cause) {
        Some(StepEnd::Done { .. }) => (PointState::Made, None),
        Some(StepEnd::Refused(reason)) if cause == step => (PointState::Refused, Some(reason.clone())),
        // The cut student that it was to be made of.
        Some(StepEnd::Refused(reason)) => (PointState::Refused, Some(told(reason))),
        Some(StepEnd::Failed(reason)) => (PointState::Failed, Some(told(reason))),
        _ => (PointState::NotMade, None),
    }
}

/// Which of two students is the more accurate one: by AP50, then by AP over all thresholds, then the faster one.
fn by_accuracy(a: &LadderPoint, b: &LadderPoint) -> Ordering {
    let of = |point: &LadderPoint, figure: fn(&PointFigures) -> Option<f64>| point.figures.as_ref().and_then(figure);
    let greater = |figure: fn(&PointFigures) -> Option<f64>, none: f64| {
        of(a, figure).unwrap_or(none).total_cmp(&of(b, figure).unwrap_or(none))
    };
    greater(|figures| figures.ap50, f64::NEG_INFINITY)
        .then(greater(|figures| figures.ap, f64::NEG_INFINITY))
        .then(greater(|figures| figures.latency_ms, f64::INFINITY).reverse())
}

impl Front {
    /// Marks the front, and the chosen or the nearest student.
    pub fn choose(&mut self) {
        let place = |point: &LadderPoint| point.figures.as_ref().filter(|_| point.offered)?.place();
        let places: Vec<Option<Place>> = self.points.iter().map(place).collect();
        for (point, own) in self.points.iter_mut().zip(&places) {
            let is_beaten = |own: &Place| places.iter().flatten().any(|other| other.beats(own));
            point.on_front = own.as_ref().is_some_and(|own| !is_beaten(own));
        }
        let fitting = self.points.iter().filter(|point| point.fits());
        self.chosen = fitting.max_by(|a, b| by_accuracy(a, b)).map(|point| point.name.clone());
        let offered = self.points.iter().filter(|point| point.offered && point.figures.is_some());
        let nearest = offered.min_by(|a, b| {
            let distances = Miss::distance(&a.misses).total_cmp(&Miss::distance(&b.misses));
            distances.then(by_accuracy(b, a))
        });
        self.nearest = if self.chosen.is_some() { None } else { nearest.map(|point| point.name.clone()) };
    }

    /// The student of this name.
    pub fn point(&self, name: &str) -> Option<&LadderPoint> {
        self.points.iter().find(|point| point.name == name)
    }

    /// The chosen student, or where none keeps all limits the nearest one.
    pub fn marked(&self) -> Option<&LadderPoint> {
        self.point(self.chosen.as_ref().or(self.nearest.as_ref())?)
    }

    /// Students that a command failed on the way to.
    pub fn failed(&self) -> impl Iterator<Item = &LadderPoint> {
        self.points.iter().filter(|point| point.state == PointState::Failed)
    }

    /// Each student beside the one that it comes from, where both have figures.
    pub fn steps(&self) -> Vec<(&LadderPoint, &PointFigures, &PointFigures)> {
        let mut steps = Vec::new();
        for point in &self.points {
            let source = point.from.as_deref().and_then(|name| self.point(name));
            if let (Some(own), Some(source)) = (&point.figures, source.and_then(|source| source.figures.as_ref())) {
                steps.push((point, own, source));
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{example::example, plan_tests::plan},
        *,
    };

    fn on_front(front: &Front) -> Vec<&str> {
        front.points.iter().filter(|point| point.on_front).map(|point| point.name.as_str()).collect()
    }

    #[test]
    fn the_most_accurate_that_keeps_all_limits_is_chosen() {
        let mut front = example();
        assert_eq!(on_front(&front), ["micro", "micro_int8", "micro_time_50_int8"]);
        assert_eq!((front.chosen.as_deref(), front.nearest.as_deref()), (Some("micro_int8"), None));
        // What is made on the way alone is neither chosen nor in anybody's way.
        front.points[1].offered = false;
        front.choose();
        assert_eq!(on_front(&front), ["micro", "micro_time_50", "micro_time_50_int8"]);
        assert_eq!(front.chosen.as_deref(), Some("micro_time_50_int8"));
    }

    #[test]
    fn where_none_keeps_all_limits_the_nearest_is_named() {
        let mut front = example();
        front.constraints.size_kb = Some(100.0);
        for point in &mut front.points {
            point.misses = point.figures.iter().flat_map(|figures| front.constraints.misses(figures)).collect();
        }
        front.choose();
        assert_eq!((front.chosen.as_deref(), front.nearest.as_deref()), (None, Some("micro_time_50_int8")));
        assert_eq!(front.marked().unwrap().misses[0].constraint, "size_kb");
        front.points.clear();
        front.choose();
        assert_eq!((front.chosen.as_deref(), front.marked()), (None, None));
    }

    #[test]
    fn equals_stand_on_the_front_together_and_the_faster_of_two_as_accurate_is_chosen() {
        let mut front = example();
        let accurate = front.points[1].figures.clone().unwrap();
        let slower = PointFigures { latency_ms: Some(1.9), ..accurate };
        front.points[2].figures = Some(slower);
        front.points[2].misses.clear();
        front.choose();
        assert_eq!(front.chosen.as_deref(), Some("micro_int8"));
    }

    #[test]
    fn of_two_of_the_same_ap50_the_one_that_is_chosen_stands_on_the_front() {
        let mut front = example();
        // As accurate at IoU 0.50, faster and smaller, but with looser boxes.
        let chosen = front.points[1].figures.clone().unwrap();
        let looser = PointFigures { ap: Some(0.5), latency_ms: Some(1.0), bytes: 200_000, ..chosen };
        front.points[3].figures = Some(looser.clone());
        front.points[3].misses.clear();
        front.choose();
        assert_eq!(front.chosen.as_deref(), Some("micro_int8"));
        assert!(front.point("micro_int8").unwrap().on_front, "{:?}", on_front(&front));
        assert!(front.point("micro_time_50_int8").unwrap().on_front);
        // With boxes as good it is beaten, and not chosen either.
        front.points[3].figures = Some(PointFigures { ap: front.points[1].figures.as_ref().unwrap().ap, ..looser });
        front.choose();
        assert_eq!(front.chosen.as_deref(), Some("micro_time_50_int8"));
        assert!(!front.point("micro_int8").unwrap().on_front);
    }

    #[test]
    fn what_comes_of_a_refused_cut_is_left_out_and_says_why() {
        let ladder = plan(("", ""), &[]).unwrap();
        let mut ends = vec![StepEnd::Done { earlier: false, lost_data: false }; ladder.steps.len()];
        let refused =
            ladder.steps.iter().position(|step| step.title == "distil small_320x192_time_64, round 2").unwrap();
        ends[refused] = StepEnd::Refused("loses 3 points".into());
        for (place, step) in ladder.steps.iter().enumerate().skip(refused + 1) {
            if let Some(before) = step.after
                && !matches!(ends[before], StepEnd::Done { .. })
            {
                ends[place] = StepEnd::Without(before);
            }
        }
        let point = |place: usize| LadderPoint::new(&ladder, place, &ends, None);
        let own = point(3);
        assert_eq!((own.name.as_str(), own.state), ("small_320x192_time_64", PointState::Refused));
        assert_eq!(own.reason.as_deref(), Some("loses 3 points"));
        // Its int8 forms, and what is cut further.
        for place in [4, 5, 6, 7, 8] {
            let point = point(place);
            assert_eq!(point.state, PointState::Refused, "{}", point.name);
            let reason = "distil small_320x192_time_64, round 2: loses 3 points";
            assert_eq!(point.reason.as_deref(), Some(reason), "{}", point.name);
        }
        assert_eq!([point(0).state, point(1).state, point(9).state], [PointState::Made; 3]);
    }

    #[test]
    fn a_student_tells_what_failed_on_the_way_to_it() {
        let ladder = plan(("", ""), &[]).unwrap();
        let mut ends = vec![StepEnd::NotRun; ladder.steps.len()];
        ends[0] = StepEnd::Failed("disk full".into());
        for (place, step) in ladder.steps.iter().enumerate() {
            if let Some(before) = step.after {
                ends[place] = StepEnd::Without(before);
            }
        }
        let figures = example().points[0].figures.clone();
        let point = LadderPoint::new(&ladder, 8, &ends, figures.clone());
        assert_eq!(
            (point.state, point.reason.as_deref()),
            (PointState::Failed, Some("train small_320x192: disk full"))
        );
        assert_eq!((point.figures, point.from.as_deref()), (None, Some("small_320x192_time_32")));
        ends[1] = StepEnd::Refused("loses 3 points".into());
        let point = LadderPoint::new(&ladder, 1, &ends, None);
        assert_eq!((point.state, point.reason.as_deref()), (PointState::Refused, Some("loses 3 points")));
        ends[0] = StepEnd::Done { earlier: false, lost_data: false };
        let point = LadderPoint::new(&ladder, 0, &ends, figures);
        assert_eq!((point.state, point.offered, point.misses.len()), (PointState::Made, false, 0));
        let last = LadderPoint::new(&ladder, ladder.points.len() - 1, &[], None);
        assert_eq!(last.state, PointState::NotMade);
    }

    #[test]
    fn steps_are_beside_what_they_come_from_where_both_have_figures() {
        let front = example();
        let names: Vec<&str> = front.steps().iter().map(|(point, ..)| point.name.as_str()).collect();
        assert_eq!(names, ["micro_int8", "micro_time_50", "micro_time_50_int8"]);
    }
}
