//! Times and judges the students of a ladder and their teachers: all on the same frames, all in turns.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use image::RgbImage;

use super::{Ladder, PlannedPoint, PointFigures, Reference, TestFigures, Yardstick};
use crate::{
    bench::{Lap, Laps, Plan, Until, clock, take_turns},
    distill::{
        audit::{AuditError, read_truth},
        config::{Experiment, TargetSource},
        evaluate::{EvaluateError, EvaluateJob, EvaluatedModel, EvaluationReport, ModelReport, Role, targets_folder},
        split::{Block, Split},
        targets::TargetSet,
        teacher::{Teacher, TeacherConfig},
        train::{TrainError, split_of},
    },
    metrics::{ApAccumulator, ScoredBox},
    model::onnx_facts,
};

/// All run for so long before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Runs of a model in a round that count.
const RUNS: usize = 4;

/// What is measured together.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest<'a> {
    ladder: &'a Ladder,
    teachers: Vec<TeacherConfig>,
    /// The model of `constraints.speedup_over`, where it is none of the teachers.
    rival: Option<TeacherConfig>,
    /// The students that are there, indices into [`Ladder::points`].
    students: Vec<usize>,
}

/// What was measured of the models of a contest.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The teachers, and the model that speed is compared with.
    pub references: Vec<Reference>,
    /// The students by their places in [`Ladder::points`]; `None` of those that were not there.
    pub points: Vec<Option<PointFigures>>,
    /// What retention is a share of.
    pub yardstick: Option<Yardstick>,
    /// What times are compared with.
    pub compared_with: Option<String>,
}

impl<'a> Contest<'a> {
    /// The students of a ladder that are there, with the teachers of its experiment.
    pub fn new(ladder: &'a Ladder, students: Vec<usize>) -> Self {
        let experiment = &ladder.experiment;
        let teachers = if experiment.evaluate.teachers { experiment.teachers.clone() } else { Vec::new() };
        let rival = ladder.config.constraints.speedup_over.as_ref().map(|speedup| &speedup.model);
        let rival = rival.filter(|model| !teachers.iter().any(|teacher| teacher.model == **model));
        // A teacher that is not judged is run as the experiment says, all the same.
        let known = |model: &PathBuf| experiment.teachers.iter().find(|teacher| teacher.model == *model).cloned();
        let rival = rival.map(|model| known(model).unwrap_or_else(|| TeacherConfig::new(model)));
        Self { ladder, teachers, rival, students }
    }

    /// The evaluation on the validation block: the teachers, then the students.
    ///
    /// # Errors
    /// When soft targets or a recording cannot be read.
    pub fn validation(&self) -> Result<EvaluateJob, TrainError> {
        let points = self.students.iter().map(|point| student(&self.ladder.points[*point]));
        let models = self.teachers.iter().map(|teacher| part(teacher, Role::Teacher)).chain(points).collect();
        Ok(EvaluateJob { models, latency_rounds: 0, ..EvaluateJob::of_validation(&self.ladder.experiment)? })
    }

    /// The evaluation on the test block: the students, then the teachers. Nothing must be chosen by it.
    ///
    /// # Errors
    /// When soft targets or a recording cannot be read.
    pub fn test(&self) -> Result<EvaluateJob, TrainError> {
        let points = self.students.iter().map(|point| student(&self.ladder.points[*point]));
        let teachers = self.teachers.iter().map(|teacher| part(teacher, Role::Teacher));
        let job = EvaluateJob::of_experiment(&self.ladder.experiment)?;
        Ok(EvaluateJob { models: points.chain(teachers).collect(), latency_rounds: 0, ..job })
    }

    /// The models as they are timed: teachers, rival, students.
    fn models(&self) -> Vec<TeacherConfig> {
        let points = self.students.iter().map(|point| student(&self.ladder.points[*point]).config);
        self.teachers.iter().chain(&self.rival).cloned().chain(points).collect()
    }

    /// The place among the models of the one that times are compared with: that of `constraints.speedup_over`, else the first.
    fn compared_with(&self) -> usize {
        if self.rival.is_some() {
            return self.teachers.len();
        }
        let speedup = self.ladder.config.constraints.speedup_over.as_ref();
        let named = speedup.and_then(|speedup| self.teachers.iter().position(|teacher| teacher.model == speedup.model));
        named.unwrap_or(0)
    }

    /// Times all networks on one thread each, in turns on the same images.
    ///
    /// # Errors
    /// A model cannot be loaded or run, there are no images, or it was told to stop.
    pub fn time(&self, images: &[RgbImage], stop: &AtomicBool) -> Result<Vec<Laps>, EvaluateError> {
        if images.is_empty() {
            let recordings = self.ladder.experiment.data.iter().map(|data| data.path.display().to_string());
            let recordings = recordings.collect::<Vec<_>>().join(", ");
            return Err(EvaluateError::NoFrames { recordings, block: String::new() });
        }
        let mut detectors = Vec::new();
        for model in self.models() {
            detectors.push(Teacher::load_detector(&model)?);
        }
        let until = Until::Rounds(self.ladder.config.latency_rounds);
        let plan = Plan { warm_up: WARM_UP, settling: 1, counted: RUNS, until };
        take_turns(detectors.len(), &plan, &mut clock(), &mut |who, number| {
            if stop.load(Ordering::Relaxed) {
                return Err(EvaluateError::Stopped);
            }
            let start = Instant::now();
            let stages = detectors[who].detect(&images[number % images.len()])?.timing;
            Ok(Lap { stages, whole: start.elapsed() })
        })
    }

    /// Puts together what [`Self::validation`] and [`Self::time`] found. `fused` is the fused teachers' AP50, see [`fused_ap50`].
    ///
    /// # Errors
    /// A model's file cannot be read.
    pub fn measured(
        &self,
        report: &EvaluationReport,
        laps: &[Laps],
        fused: Option<f64>,
    ) -> Result<Measured, EvaluateError> {
        let models = self.models();
        let compared = self.compared_with();
        let yardstick = yardstick(report, fused);
        let mut all = Vec::with_capacity(models.len());
        for (place, model) in models.iter().enumerate() {
            // The rival was timed, not judged.
            let judged = match self.rival {
                Some(_) if place == self.teachers.len() => None,
                Some(_) if place > self.teachers.len() => report.models.get(place - 1),
                _ => report.models.get(place),
            };
            let laps = laps.get(place).zip(laps.get(compared));
            all.push(figures(&model.model, judged, laps, yardstick.as_ref())?);
        }
        let students = all.split_off(all.len() - self.students.len());
        let mut points = vec![None; self.ladder.points.len()];
        for (point, figures) in self.students.iter().zip(students) {
            points[*point] = Some(figures);
        }
        let references = models.iter().zip(all).map(|(model, figures)| Reference {
            name: model.display_name(),
            path: model.model.display().to_string(),
            figures,
        });
        let compared_with = models.get(compared).map(TeacherConfig::display_name);
        Ok(Measured { references: references.collect(), points, yardstick, compared_with })
    }
}

/// What an evaluation says of each model.
pub fn test_figures(report: &EvaluationReport) -> Vec<TestFigures> {
    let of = |model: &ModelReport| TestFigures {
        name: model.name.clone(),
        ap: model.ap,
        ap50: model.ap50,
        per_class: model.per_class.clone(),
    };
    report.models.iter().map(of).collect()
}

fn part(config: &TeacherConfig, role: Role) -> EvaluatedModel {
    EvaluatedModel { config: config.clone(), role }
}

fn student(point: &PlannedPoint) -> EvaluatedModel {
    let config = TeacherConfig { name: Some(point.name.clone()), ..TeacherConfig::new(&point.bundle) };
    EvaluatedModel { config, role: Role::Student }
}

/// What retention is a share of: the fused teachers, or the best of them where that is better; without teachers the first student.
fn yardstick(report: &EvaluationReport, fused: Option<f64>) -> Option<Yardstick> {
    let of = |model: &ModelReport| Some(Yardstick { name: model.name.clone(), ap50: model.ap50? });
    let fused = fused.map(|ap50| Yardstick { name: "the fused teachers".to_owned(), ap50 });
    let best = report.best_teacher().and_then(of);
    match (fused, best) {
        (Some(fused), Some(best)) => Some(if best.ap50 > fused.ap50 { best } else { fused }),
        (fused, best) => fused.or(best).or_else(|| report.student().and_then(of)),
    }
}

fn figures(
    path: &Path,
    judged: Option<&ModelReport>,
    laps: Option<(&Laps, &Laps)>,
    yardstick: Option<&Yardstick>,
) -> Result<PointFigures, EvaluateError> {
    let facts = onnx_facts(path)?;
    let ap50 = judged.and_then(|model| model.ap50);
    let whole = yardstick.map(|yardstick| yardstick.ap50).filter(|ap50| *ap50 > 0.0);
    Ok(PointFigures {
        ap: judged.and_then(|model| model.ap),
        ap50,
        retention: ap50.zip(whole).map(|(ap50, whole)| ap50 / whole),
        per_class: judged.map(|model| model.per_class.clone()).unwrap_or_default(),
        parameters: facts.parameters,
        macs: judged.and_then(|model| model.macs),
        bytes: facts.bytes,
        latency_ms: laps.and_then(|(own, _)| own.infer.summary()).map(|times| times.p50),
        ratio: laps.and_then(|(own, compared)| own.ratios_to(compared)).map(|ratios| ratios.infer),
    })
}

/// AP50 of an experiment's fused teachers on its validation block: against the recordings' truth, where they have some (on the frames
/// with truth), else 1, for they are the judge. `None` where nobody learns from them.
///
/// # Errors
/// The targets or a recording cannot be read.
pub fn fused_ap50(experiment: &Experiment) -> Result<Option<f64>, AuditError> {
    if experiment.targets != TargetSource::Teachers {
        return Ok(None);
    }
    let targets = TargetSet::read(&targets_folder(experiment)).map_err(TrainError::from)?;
    let Some(truth) = read_truth(experiment, &targets)? else { return Ok(Some(1.0)) };
    let mut splits: Vec<Split> = Vec::new();
    for data in experiment.labelled_data() {
        splits.push(split_of(data, experiment)?);
    }
    let mut precision = ApAccumulator::new(&targets.classes);
    let mut frames = 0usize;
    for frame in &targets.frames {
        let block = splits.get(frame.source as usize).and_then(|split| split.block_of(frame.stamp));
        let Some(truth) = truth.get(&(frame.source, frame.index)).filter(|_| block == Some(Block::Validation)) else {
            continue;
        };
        let said: Vec<ScoredBox> = frame
            .boxes
            .iter()
            .map(|fused| {
                let (class, score) = fused.best();
                ScoredBox { bbox: fused.bbox, class, score }
            })
            .collect();
        precision.add_image(truth, &said);
        frames += 1;
    }
    // The truth may be of the training block alone; soft targets judge the rest then.
    Ok(if frames == 0 { Some(1.0) } else { precision.finish().ap50 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::compress::ladder::plan_tests::plan;

    fn model(name: &str, role: Role, ap50: f64) -> ModelReport {
        ModelReport {
            name: name.into(),
            role,
            path: format!("{name}.onnx"),
            ap: Some(0.5 * ap50),
            ap50: Some(ap50),
            ap75: None,
            per_class: Vec::new(),
            curves: Vec::new(),
            calibration: None,
            parameters: 1,
            bytes: 1,
            macs: None,
            latency_ms: None,
            knows: Vec::new(),
            detections: Vec::new(),
        }
    }

    fn report(models: Vec<ModelReport>) -> EvaluationReport {
        EvaluationReport {
            data: Vec::new(),
            block: Some(Block::Validation),
            truth: "labels".into(),
            classes: Vec::new(),
            frames: 1,
            truths: 1,
            undecodable: 0,
            lost_data: false,
            losses: Vec::new(),
            latency_rounds: 0,
            per_recording: Vec::new(),
            models,
        }
    }

    #[test]
    fn retention_is_a_share_of_the_best_that_taught() {
        let taught = report(vec![model("yolox", Role::Teacher, 0.8), model("micro", Role::Student, 0.6)]);
        let named = |fused| yardstick(&taught, fused).map(|yardstick| (yardstick.name, yardstick.ap50));
        assert_eq!(named(Some(0.9)), Some(("the fused teachers".into(), 0.9)));
        assert_eq!(named(Some(0.7)), Some(("yolox".into(), 0.8)));
        assert_eq!(named(None), Some(("yolox".into(), 0.8)));
        let alone = report(vec![model("micro", Role::Student, 0.6), model("micro_int8", Role::Student, 0.5)]);
        assert_eq!(yardstick(&alone, None).map(|yardstick| yardstick.name), Some("micro".into()));
    }

    fn names(contest: &Contest<'_>) -> Vec<String> {
        contest.models().iter().map(TeacherConfig::display_name).collect()
    }

    #[test]
    fn times_are_compared_with_the_model_that_the_limit_names() {
        let ladder = |limit: &str| plan(("size_kb: 500", limit), &[]).unwrap();
        let plain = ladder("size_kb: 500");
        let contest = Contest::new(&plain, vec![0, 4]);
        assert_eq!(names(&contest), ["teacher", "small_320x192", "small_320x192_time_64_int8"]);
        assert_eq!(contest.compared_with(), 0);
        let rival = ladder("speedup_over: {model: yolox.onnx, times: 9.4}");
        let contest = Contest::new(&rival, vec![0]);
        assert_eq!(
            (names(&contest), contest.compared_with()),
            (vec!["teacher".into(), "yolox".into(), "small_320x192".into()], 1)
        );
        let mut own = ladder("speedup_over: {model: teacher.onnx, times: 9.4}");
        let contest = Contest::new(&own, vec![0]);
        assert_eq!((names(&contest).len(), contest.compared_with()), (2, 0));
        own.experiment.evaluate.teachers = false;
        own.experiment.teachers[0].name = Some("rival".into());
        assert_eq!(names(&Contest::new(&own, vec![0])), ["rival", "small_320x192"]);
    }
}
