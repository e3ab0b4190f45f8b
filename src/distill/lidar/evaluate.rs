//! What a lidar student is worth: average precision of object centres, intersection over union of point classes, and latency.

use std::{ops::ControlFlow, time::Duration};

use serde::{Deserialize, Serialize};

use super::labels::{LabelledSweep, PointTarget, SweepLabels};
use crate::{
    bench::{Lap, Laps, Plan, Until, clock, take_turns},
    distill::figure_table::{FigureTable, figure},
    metrics::{
        CenterAp, CenterApAccumulator, CenterTruth, LatencyRecorder, LatencySummary, PointIou, PointIouAccumulator,
        ScoredCenter,
    },
    model::{
        ModelError,
        lidar::{LidarDetections, LidarDetector},
    },
    sensing::range_image::is_void,
};

/// Scores down to this count for average precision, whatever the student's own threshold is.
pub const LOWEST_SCORE: f32 = 0.02;

/// Labelled objects with a lower score need not be found, and are no mistake when they are. Truth is always sure.
const SURE_SCORE: f32 = 0.4;

/// What counts as true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgeBy {
    /// The recording's own truth.
    Truth,
    /// The labels the student learns from: what it is to reproduce, not what is really there.
    Labels,
}

impl JudgeBy {
    /// What counts as true, as people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Truth => "the recordings' own truth",
            Self::Labels => "the labels it learns from",
        }
    }

    /// The labels of a sweep that count; none where the recording has no truth.
    pub fn labels(self, sweep: &LabelledSweep) -> Option<&SweepLabels> {
        match self {
            Self::Truth => sweep.truth.as_ref(),
            Self::Labels => Some(&sweep.labels),
        }
    }
}

/// How sweeps are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeOptions {
    /// What counts as true.
    pub by: JudgeBy,
    /// A detection within so many metres of an object's centre is right; one average precision each.
    pub distances: Vec<f32>,
    /// Objects that fewer points lie on need not be found: nobody could see them.
    pub min_points: usize,
    /// What is farther away is not judged, in metres in the x-y plane; 0 for no limit.
    pub max_distance: f32,
    /// Sweeps that the latency is measured on.
    pub latency_sweeps: usize,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        Self { by: JudgeBy::Truth, distances: vec![0.5, 0.25], min_points: 1, max_distance: 0.0, latency_sweeps: 200 }
    }
}

impl JudgeOptions {
    /// Whether a place in the sensor's frame is too far away to be judged.
    pub(super) fn is_far(&self, [x, y, _]: [f32; 3]) -> bool {
        self.max_distance > 0.0 && x.hypot(y) > self.max_distance
    }
}

/// Everything that an evaluation of a lidar student found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LidarReport {
    /// What was judged by.
    pub options: JudgeOptions,
    /// The classes, in the order of the student's scores.
    pub classes: Vec<String>,
    /// Sweeps judged.
    pub sweeps: usize,
    /// Sweeps passed over because nothing is known of them.
    pub unjudged: usize,
    /// Average precision of centres, one for each distance.
    pub centers: Vec<CenterAp>,
    /// Point classes, at the student's own thresholds.
    pub points: PointIou,
    /// These thresholds, one for each class.
    #[serde(default)]
    pub thresholds: Vec<f32>,
    /// The network alone on one thread; `None` where nothing was measured.
    pub infer_ms: Option<LatencySummary>,
    /// From the sweep to its objects on one thread: range image, network, grouping.
    pub whole_ms: Option<LatencySummary>,
    /// Learnt parameters.
    pub parameters: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

/// Collects what becomes of sweep after sweep.
#[derive(Debug, Clone)]
pub struct Judge {
    options: JudgeOptions,
    centers: Vec<CenterApAccumulator>,
    points: PointIouAccumulator,
    sweeps: usize,
    unjudged: usize,
}

impl Judge {
    /// Nothing judged yet.
    pub fn new(classes: &[String], options: &JudgeOptions) -> Self {
        let accumulators = options.distances.iter().map(|&distance| CenterApAccumulator::new(classes, distance));
        Self {
            options: options.clone(),
            centers: accumulators.collect(),
            points: PointIouAccumulator::new(classes),
            sweeps: 0,
            unjudged: 0,
        }
    }

    /// Judges what was found in a sweep with scores down to [`LOWEST_SCORE`]; a point is of a class when its score reaches
    /// `threshold` of that class.
    pub fn add(&mut self, sweep: &LabelledSweep, found: &LidarDetections, threshold: impl Fn(usize) -> f32) {
        let Some(labels) = self.options.by.labels(sweep) else {
            self.unjudged += 1;
            return;
        };
        self.sweeps += 1;
        let truths = center_truths(labels, &self.options);
        let claims = scored_centers(found, labels, &self.options);
        for centers in &mut self.centers {
            centers.add_sweep(&truths, &claims);
        }
        let truth: Vec<Option<u16>> = labels.points.iter().map(|target| target.class.class()).collect();
        let claimed =
            found.points.iter().map(|label| label.class.filter(|&c| label.score >= threshold(usize::from(c))));
        let claimed: Vec<Option<u16>> = claimed.collect();
        let options = &self.options;
        self.points.add(&truth, &claimed, |index| {
            let point = sweep.sweep.points.get(index).filter(|point| !is_void(point) && !options.is_far(**point));
            point.is_some() && labels.points.get(index).is_some_and(PointTarget::is_known)
        });
    }

    /// The figures so far: average precision by distance, and point IoU.
    pub fn finish(&self) -> (Vec<CenterAp>, PointIou) {
        (self.centers.iter().map(CenterApAccumulator::finish).collect(), self.points.finish())
    }
}

/// The objects of a sweep as average precision wants them.
pub fn center_truths(labels: &SweepLabels, options: &JudgeOptions) -> Vec<CenterTruth> {
    labels
        .objects
        .iter()
        .map(|object| CenterTruth {
            class: object.class,
            center: object.center,
            ignored: object.points < options.min_points || object.score < SURE_SCORE || options.is_far(object.center),
        })
        .collect()
}

/// What was found in a sweep as average precision wants it, without what is too far away. Judged by labels, objects that lie mostly on
/// points of which nothing is known are left out: whether they are right nobody can say.
pub(super) fn scored_centers(
    found: &LidarDetections,
    labels: &SweepLabels,
    options: &JudgeOptions,
) -> Vec<ScoredCenter> {
    // Of each object the points of which something is known, and all.
    let mut counts = vec![(0usize, 0usize); found.objects.len()];
    for (index, point) in found.points.iter().enumerate() {
        if let Some(count) = point.object.and_then(|object| counts.get_mut(object as usize)) {
            count.0 += usize::from(labels.points.get(index).is_some_and(PointTarget::is_known));
            count.1 += 1;
        }
    }
    let is_judged = |known: usize, all: usize| options.by == JudgeBy::Truth || 2 * known >= all;
    let objects = found.objects.iter().zip(counts);
    objects
        .filter(|(object, (known, all))| is_judged(*known, *all) && !options.is_far(object.center))
        .map(|(object, _)| ScoredCenter { class: object.class, score: object.score, center: object.center })
        .collect()
}

/// Runs a student over labelled sweeps and judges it; `watch` hears how many are done, and may stop the work: then there is no report.
///
/// # Errors
/// ONNX Runtime fails, or the outputs do not fit the head.
pub fn judge(
    detector: &mut LidarDetector,
    sweeps: &[&LabelledSweep],
    options: &JudgeOptions,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<LidarReport>, ModelError> {
    let spec = detector.spec().clone();
    let mut judge = Judge::new(&spec.classes, options);
    detector.set_score_threshold(Some(LOWEST_SCORE));
    for (done, sweep) in sweeps.iter().enumerate() {
        let found = detector.detect(&sweep.sweep)?;
        judge.add(sweep, &found, |class| spec.threshold(class));
        if watch(done + 1).is_break() {
            detector.set_score_threshold(None);
            return Ok(None);
        }
    }
    detector.set_score_threshold(None);
    let rounds = if sweeps.is_empty() { 0 } else { options.latency_sweeps };
    let plan = Plan { warm_up: Duration::ZERO, settling: 0, counted: 1, until: Until::Rounds(rounds) };
    let laps = take_turns(1, &plan, &mut clock(), &mut |_, number| {
        let stages = detector.detect(&sweeps[number % sweeps.len()].sweep)?.timing;
        Ok::<_, ModelError>(Lap { stages, whole: stages.total() })
    })?;
    let latency = |of: fn(&Laps) -> &LatencyRecorder| laps.first().and_then(|laps| of(laps).summary());
    let (centers, points) = judge.finish();
    let bundle = detector.bundle();
    Ok(Some(LidarReport {
        options: options.clone(),
        classes: spec.classes.clone(),
        sweeps: judge.sweeps,
        unjudged: judge.unjudged,
        centers,
        points,
        thresholds: (0..spec.classes.len()).map(|class| spec.threshold(class)).collect(),
        infer_ms: latency(|laps| &laps.infer),
        whole_ms: latency(|laps| &laps.whole),
        parameters: bundle.parameters,
        bytes: 0,
        macs: bundle.macs,
    }))
}

impl LidarReport {
    /// The average precision of centres at the largest distance: whether objects are found at all.
    pub fn widest(&self) -> Option<&CenterAp> {
        self.centers.iter().max_by(|a, b| a.distance.total_cmp(&b.distance))
    }

    /// The figures of each class.
    pub fn class_table(&self) -> FigureTable {
        let mut header = vec!["class".to_owned()];
        header.extend(self.centers.iter().map(|centers| format!("AP within {} m", centers.distance)));
        let of_objects = ["best F1", "at score", "mean distance m", "objects"];
        let of_points = ["point IoU", "point precision", "point recall", "points", "from score"];
        header.extend(of_objects.into_iter().chain(of_points).map(str::to_owned));
        let mut table = FigureTable::new(1, &header);
        for (class, points) in self.points.per_class.iter().enumerate() {
            let of = |centers: &CenterAp| centers.per_class.get(class).and_then(|figures| figures.ap);
            let mut figures: Vec<String> = self.centers.iter().map(|centers| figure(of(centers))).collect();
            let widest = self.widest().and_then(|widest| widest.per_class.get(class));
            let best = widest.and_then(|widest| widest.best_f1);
            figures.extend([
                figure(best.map(|best| best.f1)),
                figure(best.map(|best| f64::from(best.score))),
                figure(widest.and_then(|widest| widest.mean_distance)),
                widest.map_or("-".to_owned(), |widest| widest.truths.to_string()),
                figure(points.iou),
                figure(points.precision),
                figure(points.recall),
                points.points.to_string(),
                figure(self.thresholds.get(class).map(|&threshold| f64::from(threshold))),
            ]);
            table.add(&[&points.class], &figures);
        }
        table
    }

    /// A line on what the student costs: size, work and time.
    pub fn cost(&self) -> String {
        let median = |latency: Option<LatencySummary>| figure(latency.map(|latency| latency.p50));
        format!(
            "{:.3} M parameters, {:.1} kB, {:.1} MMAC; on one thread {} ms the network, {} ms the whole (medians)",
            self.parameters as f64 / 1e6,
            self.bytes as f64 / 1e3,
            self.macs as f64 / 1e6,
            median(self.infer_ms),
            median(self.whole_ms),
        )
    }

    /// The report for people: a table by class, and a line on size and time.
    pub fn to_text(&self) -> String {
        let by = self.options.by.words();
        format!("{} sweeps judged by {by}\n{}\n{}\n", self.sweeps, self.class_table(), self.cost())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distill::lidar::batch::tests::painted_sweep,
        model::lidar::{LidarObject, PointLabel},
    };

    /// Two objects, 1 m and 5 m ahead, on the first and the next two points.
    fn found() -> LidarDetections {
        let object = |center| LidarObject { class: 0, score: 0.9, center, size: [1.0; 3], yaw: 0.0, points: 2 };
        let label = |object| PointLabel { class: Some(0), score: 0.9, object };
        LidarDetections {
            objects: vec![object([1.0, 0.0, 0.0]), object([5.0, 0.0, 0.0])],
            points: vec![label(Some(0)), label(Some(0)), label(Some(1)), label(Some(1)), label(None)],
            ..LidarDetections::default()
        }
    }

    fn centers(labels: &SweepLabels, options: &JudgeOptions) -> Vec<f32> {
        scored_centers(&found(), labels, options).iter().map(|found| found.center[0]).collect()
    }

    #[test]
    fn finds_on_unknown_points_are_not_judged_by_labels() {
        let mut labels = SweepLabels::ignored(5);
        labels.points[0] = PointTarget::BACKGROUND;
        labels.points[1] = PointTarget::BACKGROUND;
        let by = |by| JudgeOptions { by, ..JudgeOptions::default() };
        assert_eq!(centers(&labels, &by(JudgeBy::Labels)), [1.0]);
        assert_eq!(centers(&labels, &by(JudgeBy::Truth)), [1.0, 5.0]);
        labels.points[2] = PointTarget::BACKGROUND;
        assert_eq!(centers(&labels, &by(JudgeBy::Labels)), [1.0, 5.0]);
    }

    #[test]
    fn what_is_far_away_is_neither_demanded_nor_held_against_anybody() {
        let options = JudgeOptions { max_distance: 4.0, ..JudgeOptions::default() };
        assert_eq!(centers(&SweepLabels::ignored(5), &options), [1.0]);
        let labels = painted_sweep(9).labels;
        let center = labels.objects[0].center;
        let ignored =
            |max_distance| center_truths(&labels, &JudgeOptions { max_distance, ..options.clone() })[0].ignored;
        let distance = center[0].hypot(center[1]);
        assert!(ignored(distance - 0.1) && !ignored(distance + 0.1) && !ignored(0.0));
        // The wall 4 m away, and the post that is nearer.
        let mut sweep = painted_sweep(9);
        sweep.truth = Some(sweep.labels.clone());
        let points = |max_distance| {
            let mut judge = Judge::new(&["post".to_owned()], &JudgeOptions { max_distance, ..options.clone() });
            let nothing = LidarDetections { points: vec![PointLabel::default(); 64], ..LidarDetections::default() };
            judge.add(&sweep, &nothing, |_| 0.3);
            judge.finish().1.points
        };
        assert_eq!((points(3.0), points(0.0)), (5, 64));
    }

    #[test]
    fn doubtful_and_unseen_objects_are_neither_demanded_nor_forbidden() {
        let options = JudgeOptions::default();
        let mut labels = painted_sweep(0).labels;
        assert!(!center_truths(&labels, &options)[0].ignored);
        assert!(center_truths(&labels, &JudgeOptions { min_points: 6, ..options.clone() })[0].ignored);
        labels.objects[0].score = 0.2;
        assert!(center_truths(&labels, &options)[0].ignored);
    }
}
