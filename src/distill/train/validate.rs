//! Validation: the averaged student on the validation block, decoded and judged as on the robot.

use burn::tensor::{Device, Tensor, TensorData};

use super::{TrainError, dataset::ValidationSet};
use crate::{
    distill::{
        loss::TargetBox,
        student::{CameraStudent, STRIDES, StudentConfig},
    },
    geometry::{Candidate, suppress},
    metrics::{ApAccumulator, ApSummary, Demand, ScoredBox, TruthBox},
    model::{
        ModelSpec,
        head::{OutputTensor, decode},
    },
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
}

impl<'a> Validator<'a> {
    /// A validator; target boxes of at least `truth_score` are what must be found, weaker ones may be.
    pub fn new(set: &'a ValidationSet, config: &StudentConfig, truth_score: f32, batch: usize) -> Self {
        let spec = ModelSpec { score_threshold: LOWEST_SCORE, ..config.model_spec() };
        Self { set, spec, truth_score, batch: batch.max(1) }
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
            let output = student.forward(Tensor::from_data(TensorData::new(values, shape), device));
            let maps = STRIDES.iter().zip(output.class_logits.into_iter().zip(output.box_distributions));
            let maps: Vec<Map> = maps
                .flat_map(|(stride, (classes, boxes))| {
                    [
                        Map::new(format!("class_logits_{stride}"), classes),
                        Map::new(format!("box_distribution_{stride}"), boxes),
                    ]
                })
                .collect();
            for (place, &index) in indices.iter().enumerate() {
                let outputs: Vec<OutputTensor<'_>> = maps.iter().map(|map| map.image(place)).collect();
                self.judge_image(index, &outputs, &mut accumulator)?;
            }
        }
        Ok(accumulator.finish())
    }

    fn judge_image(
        &self,
        index: usize,
        outputs: &[OutputTensor<'_>],
        accumulator: &mut ApAccumulator,
    ) -> Result<(), TrainError> {
        let letterbox = self.set.letterbox(index);
        let found = decode(&self.spec, outputs)?.detections;
        let candidates: Vec<Candidate> = found
            .iter()
            .map(|detection| {
                let (class, score) = detection.best();
                Candidate { bbox: detection.bbox, class, score }
            })
            .collect();
        let detections: Vec<ScoredBox> = suppress(&candidates, self.spec.iou_threshold, self.spec.max_detections)
            .into_iter()
            .map(|index| {
                let Candidate { bbox, class, score } = candidates[index];
                ScoredBox { bbox: letterbox.to_image(bbox), class, score }
            })
            .collect();
        let truths: Vec<TruthBox> = self.set.truth(index).iter().map(|target| self.truth(target)).collect();
        accumulator.add_image(&truths, &detections);
        Ok(())
    }

    fn truth(&self, target: &TargetBox) -> TruthBox {
        let best = target.probabilities.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let (class, score) = best.unwrap_or((0, 0.0));
        let demand = match (target.weight > 0.0, score >= self.truth_score) {
            // A region that nothing is learnt from; see `gather`.
            (false, _) => Demand::Crowd,
            (true, false) => Demand::Optional,
            (true, true) => Demand::Required,
        };
        TruthBox { bbox: target.bbox, class, demand }
    }
}

/// One output map of a batch, on this side of the device.
struct Map {
    name: String,
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Map {
    fn new(name: String, tensor: Tensor<4>) -> Self {
        let shape = tensor.dims();
        let values = tensor.into_data().convert::<f32>().try_into_vec().expect("the data was just converted to f32");
        Self { name, shape, values }
    }

    /// The part of one image, with a batch of 1.
    fn image(&self, place: usize) -> OutputTensor<'_> {
        let [_, channels, height, width] = self.shape;
        let length = channels * height * width;
        OutputTensor::new(&self.name, &[1, channels, height, width], &self.values[place * length..(place + 1) * length])
    }
}
