//! Validation: the averaged student on the validation block, decoded and judged as on the robot.

use burn::tensor::{Device, Tensor, TensorData};

use super::{TrainError, dataset::ValidationSet, detect::detect};
use crate::{
    distill::{
        loss::TargetBox,
        student::{CameraStudent, Rounding, StudentConfig},
        teacher::scored,
    },
    metrics::{ApAccumulator, ApSummary, Demand, ScoredBox, TruthBox},
    model::{ModelSpec, SoftDetection},
};

/// Detections under this score are not looked at: average precision wants the weak ones too.
const LOWEST_SCORE: f32 = 0.02;

/// Judges students on a validation set.
#[derive(Debug)]
pub struct Validator<'a> {
    set: &'a ValidationSet,
    spec: ModelSpec,
    truth_score: f32,
    batch: usize,
    rounding: Option<Rounding>,
}

impl<'a> Validator<'a> {
    /// A validator; target boxes of at least `truth_score` are what must be found, weaker ones may be.
    pub fn new(set: &'a ValidationSet, config: &StudentConfig, truth_score: f32, batch: usize) -> Self {
        let spec = ModelSpec { score_threshold: LOWEST_SCORE, ..config.model_spec() };
        Self { set, spec, truth_score, batch: batch.max(1), rounding: None }
    }

    /// This validator, of students whose numbers are rounded as int8 hardware does, where it is said how.
    #[must_use]
    pub fn rounding(self, rounding: Option<Rounding>) -> Self {
        Self { rounding, ..self }
    }

    /// Average precision of a student for inference; folding its BatchNorm first makes it faster.
    ///
    /// # Errors
    /// When a frame cannot be read back from the cache.
    pub fn judge(&self, student: &CameraStudent, device: &Device) -> Result<ApSummary, TrainError> {
        let mut accumulator = ApAccumulator::new(&self.spec.classes);
        let indices: Vec<usize> = (0..self.set.len()).collect();
        for indices in indices.chunks(self.batch) {
            let mut values = Vec::new();
            for &index in indices {
                self.set.read_input(index, &mut values)?;
            }
            let shape = [indices.len(), 3, self.spec.input.height, self.spec.input.width];
            let images = Tensor::from_data(TensorData::new(values, shape), device);
            for (&index, found) in indices.iter().zip(detect(student, self.rounding.as_ref(), images, &self.spec)?) {
                let letterbox = self.set.letterbox(index);
                let placed =
                    |found: &SoftDetection| ScoredBox { bbox: letterbox.to_image(found.bbox), ..scored(found) };
                let detections: Vec<ScoredBox> = found.iter().map(placed).collect();
                let truths: Vec<TruthBox> = self.set.truth(index).iter().map(|target| self.truth(target)).collect();
                accumulator.add_image(&truths, &detections);
            }
        }
        Ok(accumulator.finish())
    }

    fn truth(&self, target: &TargetBox) -> TruthBox {
        let (class, score) = target.best().unwrap_or_default();
        let demand = match (target.weight > 0.0, score >= self.truth_score) {
            // A region that nothing is learnt from; see `gather`.
            (false, _) => Demand::Crowd,
            (true, false) => Demand::Optional,
            (true, true) => Demand::Required,
        };
        TruthBox { bbox: target.bbox, class, demand }
    }
}
