//! Camera bundles next to each other.

use super::{Judge, Worth, f1};
use crate::{
    distill::{
        compress::quantize::{NetworkInput, QuantizeError},
        evaluate::LOWEST_SCORE,
        teacher::scored,
    },
    metrics::{ApAccumulator, Demand, ScoredBox, TruthBox, Verdict, judge_image},
    model::{Detector, ModelSpec, SessionOptions},
    sensing::letterbox::Letterbox,
};

/// IoU from which two boxes are of one object.
const SAME_OBJECT: f64 = 0.5;

/// What is known of a frame beside the network's input.
#[derive(Debug, Clone)]
pub struct JudgedFrame {
    /// Where the image lies in the input.
    pub letterbox: Letterbox,
    /// What is really there, classes as the bundle counts them; `None` where nobody knows.
    pub truth: Option<Vec<TruthBox>>,
}

/// Judges camera bundles on frames, next to the float bundle.
#[derive(Debug)]
pub struct CameraJudge<'f> {
    name: String,
    inputs: &'f [NetworkInput],
    frames: &'f [JudgedFrame],
    /// For each frame what the float bundle finds at its own thresholds.
    float: Vec<Vec<ScoredBox>>,
    float_ap50: Option<f64>,
}

impl<'f> CameraJudge<'f> {
    /// Runs the float bundle, given as a file's bytes, on validation frames and their inputs; `name` stands for it in messages.
    ///
    /// # Errors
    /// The bundle cannot be run.
    pub fn new(
        float: &[u8],
        name: &str,
        inputs: &'f [NetworkInput],
        frames: &'f [JudgedFrame],
    ) -> Result<Self, QuantizeError> {
        let mut judge = Self { name: name.to_owned(), inputs, frames, float: Vec::new(), float_ap50: None };
        let (found, ap50) = judge.run(float)?;
        (judge.float, judge.float_ap50) = (found, ap50);
        Ok(judge)
    }

    /// This judge, where the float bundle came of training an earlier one on, given as a file's bytes: precision is lost next to the better
    /// of the two, so that a training that ruins the student does not pass because rounding then loses nothing more.
    ///
    /// # Errors
    /// The bundle cannot be run.
    pub fn beside(self, earlier: &[u8]) -> Result<Self, QuantizeError> {
        let (_, earlier) = self.run(earlier)?;
        let float_ap50 = match (self.float_ap50, earlier) {
            (Some(own), Some(earlier)) => Some(own.max(earlier)),
            (own, earlier) => own.or(earlier),
        };
        Ok(Self { float_ap50, ..self })
    }

    /// What a bundle finds in each frame at its own thresholds, and its average precision over all scores.
    fn run(&self, bundle: &[u8]) -> Result<(Vec<Vec<ScoredBox>>, Option<f64>), QuantizeError> {
        let mut detector = Detector::from_bytes(bundle, &self.name, &SessionOptions::default())?;
        let spec: ModelSpec = detector.spec().clone();
        detector.set_thresholds(LOWEST_SCORE, spec.iou_threshold, spec.max_detections);
        let mut precision = ApAccumulator::new(&spec.classes);
        let mut all = Vec::with_capacity(self.frames.len());
        for (input, frame) in self.inputs.iter().zip(self.frames) {
            let found = detector.detect_tensor(input, &frame.letterbox)?;
            let mut found: Vec<ScoredBox> = found.detections.iter().map(scored).collect();
            if let Some(truth) = &frame.truth {
                precision.add_image(truth, &found);
            }
            // Weaker boxes suppress no stronger ones, so these are what the node finds.
            found.retain(|found| found.score >= spec.threshold(found.class));
            all.push(found);
        }
        Ok((all, precision.finish().ap50))
    }
}

impl Judge for CameraJudge<'_> {
    fn judge(&mut self, bundle: &[u8]) -> Result<Worth, QuantizeError> {
        let (found, ap50) = self.run(bundle)?;
        let (mut common, mut before, mut after) = (0, 0, 0);
        for (wanted, found) in self.float.iter().zip(&found) {
            let as_truth = |found: &ScoredBox| {
                let ScoredBox { bbox, class, .. } = *found;
                TruthBox { bbox, class, demand: Demand::Required }
            };
            let truths: Vec<TruthBox> = wanted.iter().map(as_truth).collect();
            let verdicts = judge_image(&truths, found, SAME_OBJECT);
            common += verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Hit(_))).count();
            before += wanted.len();
            after += found.len();
        }
        let agreement = f1(common, before, after);
        Ok(Worth { frames: self.frames.len(), float_found: before, agreement, ap50, float_ap50: self.float_ap50 })
    }
}
