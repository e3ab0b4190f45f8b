//! A network with how it is read: an input tensor in, what is kept of its boxes out.

use std::time::{Duration, Instant};

use super::detector::{Detections, StageTiming};
use super::head::{self, OutputTensor};
use super::{ModelError, ModelSpec, Session, SoftDetection};
use crate::geometry::{Candidate, suppress};
use crate::sensing::letterbox::Letterbox;

/// Scores of other classes out of a score for each of the network's.
pub(super) type Translate<'t> = &'t dyn Fn(&[f32]) -> Vec<f32>;

/// A network in ONNX Runtime, what its outputs mean, and which of its tensors are handed out beside the boxes.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) session: Session,
    pub(super) spec: ModelSpec,
    /// How many outputs the head reads: those of the file, which come before all others.
    own_outputs: usize,
    /// Places of the tapped tensors among the outputs.
    taps: Vec<usize>,
}

impl Network {
    pub(super) fn new(session: Session, spec: ModelSpec) -> Self {
        let own_outputs = session.outputs().len();
        Self { session, spec, own_outputs, taps: Vec::new() }
    }

    /// Runs `session` from now on, which gives the outputs of the one before and then others; `names` are handed out.
    pub(super) fn tap(&mut self, session: Session, names: &[String]) -> Result<(), ModelError> {
        let mut taps = Vec::with_capacity(names.len());
        for name in names {
            let Some(place) = session.outputs().iter().position(|output| output.name == *name) else {
                return Err(ModelError::NoOutput { model: session.model().to_owned(), output: name.clone() });
            };
            taps.push(place);
        }
        (self.session, self.taps) = (session, taps);
        Ok(())
    }

    /// What is found in an input tensor, in image pixels, and copies of the tapped tensors where they are `wanted`.
    pub(super) fn detect(
        &mut self,
        input: &[f32],
        letterbox: &Letterbox,
        translate: Option<Translate<'_>>,
        wanted: bool,
    ) -> Result<(Detections, Vec<OutputTensor<'static>>), ModelError> {
        let model = self.session.model().to_owned();
        let spec = &self.spec;
        let start = Instant::now();
        let span = tracing::trace_span!("infer").entered();
        let outputs = self.session.run(&[1, 3, spec.input.height, spec.input.width], input)?;
        drop(span);
        let infer = start.elapsed();
        let start = Instant::now();
        let _span = tracing::trace_span!("postprocess").entered();
        let tensors = outputs.tensors()?;
        let own = &tensors[..self.own_outputs.min(tensors.len())];
        let decoded = head::decode(spec, own).map_err(|source| ModelError::Head { model, source })?;
        let selected = match translate {
            None => select(spec, decoded.detections, |class| spec.threshold(class)),
            Some(translate) => select(spec, translated(decoded.detections, translate), |_| spec.score_threshold),
        };
        let detections = selected
            .into_iter()
            .map(|found| SoftDetection { bbox: letterbox.to_image(found.bbox), ..found })
            // What lay in the padding has no area in the image.
            .filter(|found| found.bbox.is_valid())
            .collect();
        let timing = StageTiming { preprocess: Duration::ZERO, infer, decode: start.elapsed() };
        let tapped = if wanted { copies(&tensors, &self.taps) } else { Vec::new() };
        Ok((Detections { detections, timing, skipped: decoded.skipped }, tapped))
    }

    /// The tapped tensors for an input tensor, without a look at the boxes.
    pub(super) fn tapped(&mut self, input: &[f32]) -> Result<Vec<OutputTensor<'static>>, ModelError> {
        let outputs = self.session.run(&[1, 3, self.spec.input.height, self.spec.input.width], input)?;
        let tensors = outputs.tensors()?;
        Ok(copies(&tensors, &self.taps))
    }
}

/// The tensors at these places, with values of their own.
fn copies(tensors: &[OutputTensor<'_>], places: &[usize]) -> Vec<OutputTensor<'static>> {
    places.iter().filter_map(|&place| tensors.get(place)).map(OutputTensor::to_static).collect()
}

/// Boxes with the scores of other classes. One that is none of these says nothing.
fn translated(detections: Vec<SoftDetection>, translate: Translate<'_>) -> Vec<SoftDetection> {
    detections
        .into_iter()
        .map(|found| SoftDetection { probabilities: translate(&found.probabilities), ..found })
        .filter(|found| found.score() > 0.0)
        .collect()
}

/// What reaches the threshold of its class, best first: suppressed, but for heads that need none, and the best ones only.
pub(crate) fn select(
    spec: &ModelSpec,
    mut detections: Vec<SoftDetection>,
    threshold: impl Fn(usize) -> f32,
) -> Vec<SoftDetection> {
    detections.retain(|found| {
        let (class, score) = found.best();
        score >= threshold(class)
    });
    let candidates: Vec<_> = detections
        .iter()
        .map(|found| {
            let (class, score) = found.best();
            Candidate { bbox: found.bbox, class, score }
        })
        .collect();
    // With a threshold of 1 nothing is suppressed: an overlap is never above it.
    let iou_threshold = if spec.head.needs_suppression() { spec.iou_threshold } else { 1.0 };
    let kept = suppress(&candidates, iou_threshold, spec.max_detections);
    kept.into_iter()
        .map(|index| {
            let empty = SoftDetection { bbox: candidates[index].bbox, probabilities: Vec::new() };
            std::mem::replace(&mut detections[index], empty)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::geometry::Box2;
    use crate::model::{HeadFormat, InputSpec};

    /// Chairs (class 0) and persons (class 1) side by side, all apart from each other.
    fn crowd() -> (ModelSpec, Vec<SoftDetection>) {
        let classes = vec!["chair".to_owned(), "person".to_owned()];
        let mut spec = ModelSpec::new(InputSpec::default(), HeadFormat::Yolov8, classes);
        (spec.score_threshold, spec.max_detections) = (0.0625, 3);
        let found = |place: usize, probabilities: [f32; 2]| SoftDetection {
            bbox: Box2::new(place as f32 * 20.0, 0.0, place as f32 * 20.0 + 10.0, 10.0),
            probabilities: probabilities.to_vec(),
        };
        let mut detections: Vec<_> = (0..9).map(|place| found(place, [0.75, 0.0])).collect();
        detections.extend([found(20, [0.0, 0.25]), found(21, [0.0, 0.5])]);
        (spec, detections)
    }

    #[test]
    fn classes_that_are_not_wanted_take_no_place_among_the_best() {
        let (spec, detections) = crowd();
        let among_all = select(&spec, detections.clone(), |class| spec.threshold(class));
        assert_eq!(among_all.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(0, 0.75); 3]);
        let persons = translated(detections, &|probabilities: &[f32]| vec![probabilities[1]]);
        let persons = select(&spec, persons, |_| spec.score_threshold);
        assert_eq!(persons.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(0, 0.5), (0, 0.25)]);
    }

    #[test]
    fn each_class_has_its_threshold() {
        let (mut spec, detections) = crowd();
        spec.max_detections = 100;
        spec.class_thresholds = BTreeMap::from([("person".to_owned(), 0.375), ("chair".to_owned(), 0.875)]);
        let kept = select(&spec, detections, |class| spec.threshold(class));
        assert_eq!(kept.iter().map(SoftDetection::best).collect::<Vec<_>>(), [(1, 0.5)]);
    }
}
