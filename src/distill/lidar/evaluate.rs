//! What a lidar student is worth: average precision of object centres, intersection over union of point classes, and latency.

use serde::{Deserialize, Serialize};

use super::labels::{LabelledSweep, PointClass, SweepLabels};
use crate::{
    distill::figure_table::{FigureTable, figure},
    metrics::{
        CenterAp, CenterApAccumulator, CenterTruth, LatencyRecorder, LatencySummary, PointIou, PointIouAccumulator,
        ScoredCenter,
    },
    model::{
        ModelError,
        lidar::{LidarDetections, LidarDetector, LidarObject},
    },
};

/// Scores down to this count for average precision, whatever the student's own threshold is.
pub const LOWEST_SCORE: f32 = 0.02;

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
    /// Objects farther away need not be found, in metres; 0 for none.
    pub max_distance: f32,
    /// Sweeps that the latency is measured on.
    pub latency_sweeps: usize,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        Self { by: JudgeBy::Truth, distances: vec![0.5, 0.25], min_points: 1, max_distance: 0.0, latency_sweeps: 200 }
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
        let claims = scored_centers(found);
        for centers in &mut self.centers {
            centers.add_sweep(&truths, &claims);
        }
        let true_class = |class: PointClass| match class {
            PointClass::Background => None,
            PointClass::Class(class) => Some(class),
        };
        let truth: Vec<Option<u16>> = labels.points.iter().map(|target| true_class(target.class)).collect();
        let claimed =
            found.points.iter().map(|label| label.class.filter(|&c| label.score >= threshold(usize::from(c))));
        let claimed: Vec<Option<u16>> = claimed.collect();
        self.points.add(&truth, &claimed, |index| {
            let is_void = sweep.sweep.points.get(index).is_none_or(|point| point[0].is_nan());
            !is_void && labels.points[index].weight > 0.0
        });
    }

    /// The figures so far: average precision by distance, and point IoU.
    pub fn finish(&self) -> (Vec<CenterAp>, PointIou) {
        (self.centers.iter().map(CenterApAccumulator::finish).collect(), self.points.finish())
    }
}

/// What was found in a sweep as average precision wants it.
pub fn scored_centers(found: &LidarDetections) -> Vec<ScoredCenter> {
    let scored =
        |object: &LidarObject| ScoredCenter { class: object.class, score: object.score, center: object.center };
    found.objects.iter().map(scored).collect()
}

/// The objects of a sweep as average precision wants them.
pub fn center_truths(labels: &SweepLabels, options: &JudgeOptions) -> Vec<CenterTruth> {
    let is_far = |center: [f32; 3]| options.max_distance > 0.0 && center[0].hypot(center[1]) > options.max_distance;
    labels
        .objects
        .iter()
        .map(|object| CenterTruth {
            class: object.class,
            center: object.center,
            ignored: object.points < options.min_points || is_far(object.center),
        })
        .collect()
}

/// Runs a student over labelled sweeps and judges it; `watch` hears how many are done.
///
/// # Errors
/// ONNX Runtime fails, or the outputs do not fit the head.
pub fn judge(
    detector: &mut LidarDetector,
    sweeps: &[&LabelledSweep],
    options: &JudgeOptions,
    watch: &mut dyn FnMut(usize),
) -> Result<LidarReport, ModelError> {
    let spec = detector.spec().clone();
    let mut judge = Judge::new(&spec.classes, options);
    detector.set_score_threshold(Some(LOWEST_SCORE));
    for (done, sweep) in sweeps.iter().enumerate() {
        let found = detector.detect(&sweep.sweep)?;
        judge.add(sweep, &found, |class| spec.threshold(class));
        watch(done + 1);
    }
    detector.set_score_threshold(None);
    let mut recorders = [LatencyRecorder::new(options.latency_sweeps), LatencyRecorder::new(options.latency_sweeps)];
    for round in 0..if sweeps.is_empty() { 0 } else { options.latency_sweeps } {
        let timing = detector.detect(&sweeps[round % sweeps.len()].sweep)?.timing;
        recorders[0].record(timing.infer);
        recorders[1].record(timing.total());
    }
    let (centers, points) = judge.finish();
    let bundle = detector.bundle();
    Ok(LidarReport {
        options: options.clone(),
        classes: spec.classes.clone(),
        sweeps: judge.sweeps,
        unjudged: judge.unjudged,
        centers,
        points,
        infer_ms: recorders[0].summary(),
        whole_ms: recorders[1].summary(),
        parameters: bundle.parameters,
        bytes: 0,
        macs: bundle.macs,
    })
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
        let columns = [
            "best F1",
            "at score",
            "mean distance m",
            "objects",
            "point IoU",
            "point precision",
            "point recall",
            "points",
        ];
        header.extend(columns.map(str::to_owned));
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
