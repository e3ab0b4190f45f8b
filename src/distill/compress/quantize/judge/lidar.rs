//! Lidar bundles next to each other.

use super::{Judge, Worth, f1};
use crate::{
    distill::{
        compress::quantize::QuantizeError,
        lidar::{
            evaluate::{self, JudgeOptions, LOWEST_SCORE},
            labels::{LabelledSweep, SweepLabels},
        },
    },
    metrics::{CenterTruth, ScoredCenter, Verdict, judge_centers},
    model::{
        SessionOptions,
        lidar::{LidarDetector, LidarObject},
    },
};

/// Distance in metres from which two centres are of one object, where the options name none.
const SAME_OBJECT: f32 = 0.5;

/// Judges lidar bundles on sweeps, next to the float bundle.
#[derive(Debug)]
pub struct LidarJudge<'s> {
    name: String,
    sweeps: &'s [LabelledSweep],
    options: JudgeOptions,
    /// For each sweep the centres that the float bundle finds at its own thresholds.
    float: Vec<Vec<ScoredCenter>>,
    float_ap: Option<f64>,
}

impl<'s> LidarJudge<'s> {
    /// Runs the float bundle, given as a file's bytes, on validation sweeps; `name` stands for it in messages. Average precision is by
    /// what `options` take for true, at the first of their distances.
    ///
    /// # Errors
    /// The bundle cannot be run.
    pub fn new(
        float: &[u8],
        name: &str,
        sweeps: &'s [LabelledSweep],
        options: JudgeOptions,
    ) -> Result<Self, QuantizeError> {
        let mut judge = Self { name: name.to_owned(), sweeps, options, float: Vec::new(), float_ap: None };
        let (found, ap) = judge.run(float)?;
        (judge.float, judge.float_ap) = (found, ap);
        Ok(judge)
    }

    /// What a bundle finds in each sweep at its own thresholds, and its average precision over all scores.
    fn run(&self, bundle: &[u8]) -> Result<(Vec<Vec<ScoredCenter>>, Option<f64>), QuantizeError> {
        let mut detector = LidarDetector::from_bytes(bundle, &self.name, &SessionOptions::default())?;
        let spec = detector.spec().clone();
        let mut precision = evaluate::Judge::new(&spec.classes, &self.options);
        let mut all = Vec::with_capacity(self.sweeps.len());
        let center =
            |object: &LidarObject| ScoredCenter { class: object.class, score: object.score, center: object.center };
        for sweep in self.sweeps {
            all.push(detector.detect(&sweep.sweep)?.objects.iter().map(center).collect());
            if self.options.by.labels(sweep).is_some_and(SweepLabels::is_known) {
                // Which points make an object hangs on the threshold, so the sweep is looked at once more.
                detector.set_score_threshold(Some(LOWEST_SCORE));
                let found = detector.detect(&sweep.sweep)?;
                detector.set_score_threshold(None);
                precision.add(sweep, &found, |class| spec.threshold(class));
            }
        }
        let (centers, _) = precision.finish();
        Ok((all, centers.first().and_then(|centers| centers.ap)))
    }
}

impl Judge for LidarJudge<'_> {
    fn judge(&mut self, bundle: &[u8]) -> Result<Worth, QuantizeError> {
        let (found, ap50) = self.run(bundle)?;
        let distance = self.options.distances.first().copied().unwrap_or(SAME_OBJECT);
        let (mut common, mut before, mut after) = (0, 0, 0);
        for (wanted, found) in self.float.iter().zip(&found) {
            let as_truth =
                |found: &ScoredCenter| CenterTruth { class: found.class, center: found.center, ignored: false };
            let truths: Vec<CenterTruth> = wanted.iter().map(as_truth).collect();
            let verdicts = judge_centers(&truths, found, distance);
            common += verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Hit(_))).count();
            before += wanted.len();
            after += found.len();
        }
        let agreement = f1(common, before, after);
        Ok(Worth { frames: self.sweeps.len(), float_found: before, agreement, ap50, float_ap50: self.float_ap })
    }
}
