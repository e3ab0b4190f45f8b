//! DETR and its family: logits `[1, Q, C]` or `[1, Q, C + 1]` and boxes `[1, Q, 4]` as centre and size relative to the input.
//! With one column more than classes the scores are a softmax whose last column is "no object" (DETR, Carion et al. 2020), else
//! sigmoids (Deformable DETR, Zhu et al. 2021, and RT-DETR). Set prediction: no suppression follows.

use super::{Collector, HeadError, OutputTensor, describe, sigmoid, wrong_shape};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "detr";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    let [first, second] = outputs else {
        let expected = "logits [1, Q, classes (+ 1)] and boxes [1, Q, 4]".into();
        return Err(HeadError::Outputs { format: FORMAT, expected, got: describe(outputs) });
    };
    let second_is_boxes = match (is_boxes(first), is_boxes(second)) {
        (true, true) => second.name.contains("box") || !first.name.contains("box"),
        (first, _) => !first,
    };
    let (logits, boxes) = if second_is_boxes { (first, second) } else { (second, first) };
    let queries = match boxes.shape[..] {
        [1, queries, 4] => queries,
        _ => return Err(wrong_shape(FORMAT, boxes, "[1, Q, 4]".into())),
    };
    let columns = match logits.shape[..] {
        [1, rows, columns] if rows == queries && columns > 0 => columns,
        _ => return Err(wrong_shape(FORMAT, logits, format!("[1, {queries}, classes (+ 1)]"))),
    };
    let classes = spec.classes.len();
    if columns != classes && columns != classes + 1 {
        return Err(HeadError::ClassCount { expected: classes, got: columns });
    }
    let (width, height) = (spec.input.width as f32, spec.input.height as f32);
    let mut probabilities = vec![0.0; classes];
    for (row, cxcywh) in logits.values.chunks_exact(columns).zip(boxes.values.chunks_exact(4)) {
        if columns == classes {
            probabilities.iter_mut().zip(row).for_each(|(p, &logit)| *p = sigmoid(logit));
        } else {
            softmax_but_last(row, &mut probabilities);
        }
        // A NaN anywhere in the row reaches the softmax's sum; for sigmoids look at the row itself.
        let sound = row.iter().all(|logit| logit.is_finite());
        let best = if sound { probabilities.iter().fold(0.0_f32, |best, &p| best.max(p)) } else { f32::NAN };
        if found.wants(best) {
            let bbox = Box2::from_center(cxcywh[0] * width, cxcywh[1] * height, cxcywh[2] * width, cxcywh[3] * height);
            found.keep(bbox, probabilities.iter().copied());
        }
    }
    Ok(())
}

fn is_boxes(output: &OutputTensor<'_>) -> bool {
    output.shape.last() == Some(&4)
}

fn softmax_but_last(logits: &[f32], probabilities: &mut [f32]) {
    let peak = logits.iter().fold(f32::NEG_INFINITY, |peak, &logit| peak.max(logit));
    let sum: f32 = logits.iter().map(|logit| (logit - peak).exp()).sum();
    for (probability, logit) in probabilities.iter_mut().zip(logits) {
        *probability = (logit - peak).exp() / sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HeadFormat;
    use crate::model::head::{decode, properties::spec};

    #[test]
    fn softmax_with_no_object() {
        let spec = spec(HeadFormat::Detr, 100, 50, 2);
        let third = 3.0_f32.ln();
        let logits = [third, 0.0, 0.0, 0.0, 0.0, 9.0, f32::NAN, 0.0, 0.0];
        let boxes = [0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25, 0.5];
        let outputs =
            [OutputTensor::new("pred_boxes", &[1, 3, 4], &boxes), OutputTensor::new("logits", &[1, 3, 3], &logits)];
        let decoded = decode(&spec, &outputs).unwrap();
        assert_eq!((decoded.detections.len(), decoded.skipped), (1, 1));
        assert_eq!(decoded.detections[0].bbox, Box2::new(37.5, 12.5, 62.5, 37.5));
        assert!((decoded.detections[0].probabilities[0] - 0.6).abs() < 1e-6);
        assert!((decoded.detections[0].probabilities[1] - 0.2).abs() < 1e-6);
    }

    #[test]
    fn sigmoids_and_misfits() {
        let spec = spec(HeadFormat::Detr, 100, 50, 2);
        let logits = [0.0, 3.0_f32.ln()];
        let boxes = [0.5, 0.5, 0.25, 0.5];
        let outputs = [OutputTensor::new("a", &[1, 1, 2], &logits), OutputTensor::new("b", &[1, 1, 4], &boxes)];
        let decoded = decode(&spec, &outputs).unwrap();
        assert!((decoded.detections[0].probabilities[1] - 0.75).abs() < 1e-6);
        assert!(matches!(decode(&spec, &outputs[..1]), Err(HeadError::Outputs { .. })));
        let five = [0.0; 5];
        let outputs = [OutputTensor::new("a", &[1, 1, 5], &five), OutputTensor::new("b", &[1, 1, 4], &boxes)];
        assert_eq!(decode(&spec, &outputs), Err(HeadError::ClassCount { expected: 2, got: 5 }));
    }
}
