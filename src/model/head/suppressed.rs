//! Models with suppression inside the graph. Boxes are corners in input pixels. Known layouts, any of them with or without a
//! leading batch of 1:
//!
//! - boxes `[N, 4]`, scores `[N]`, labels `[N]`, optionally their number `[1]` (torchvision, EfficientNMS);
//! - boxes `[N, 4]`, scores `[N, C]`, one column a class;
//! - one output `[N, 6]`: corners, score, label (YOLOv10);
//! - one output `[1, N, 7]`: corners, objectness, class score, label (YOLOX's postprocess; the score is the product);
//! - one output `[N, 7]` without batch: image number, corners, label, score (YOLOv7's end-to-end export).
//!
//! Only the label's probability is known: the others are 0. Rows with a negative label are padding.

use super::{Collector, HeadError, OutputTensor, check_classes, describe, peak};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "suppressed";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    if let [output] = outputs {
        return single(spec, output, found);
    }
    let misfit = || {
        HeadError::Outputs {
        format: FORMAT,
        expected: "boxes [N, 4], scores [N] and labels [N]; or boxes [N, 4] and scores [N, classes]; or one output [N, 6 or 7]".into(),
        got: describe(outputs),
    }
    };
    let boxes = outputs
        .iter()
        .filter(|output| matches!(trimmed(output), [_, 4]))
        .max_by_key(|output| output.name.contains("box"))
        .ok_or_else(misfit)?;
    let count = trimmed(boxes)[0];
    let others = || outputs.iter().filter(|output| !std::ptr::eq(*output, boxes));
    let lists: Vec<_> = others().filter(|output| trimmed(output) == [count]).collect();
    let corners = |index: usize| corners(&boxes.values[index * 4..index * 4 + 4]);
    // Rows beyond the number of detections are padding.
    let filled = others()
        .find(|output| output.is_integer && output.name.contains("num") && output.values.len() == 1)
        .map_or(count, |number| (number.values[0].max(0.0) as usize).min(count));

    if let [a, b] = lists[..] {
        let is_label = |output: &OutputTensor<'_>| {
            output.is_integer || ["label", "class", "cls"].iter().any(|part| output.name.contains(part))
        };
        let (scores, labels) = match (is_label(a), is_label(b)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return Err(misfit()),
        };
        for index in 0..filled {
            keep_labelled(spec, corners(index), scores.values[index], labels.values[index], found)?;
        }
        return Ok(());
    }
    let matrix = others().find(|output| matches!(trimmed(output), [rows, _] if *rows == count)).ok_or_else(misfit)?;
    let classes = trimmed(matrix)[1];
    check_classes(spec, classes)?;
    for (index, row) in matrix.values.chunks_exact(classes.max(1)).take(filled).enumerate() {
        if found.wants(peak(row)) {
            found.keep(corners(index), row.iter().copied());
        }
    }
    Ok(())
}

fn single(spec: &ModelSpec, output: &OutputTensor<'_>, found: &mut Collector) -> Result<(), HeadError> {
    let (columns, batched) = match output.shape[..] {
        [1, _, columns @ 6..=7] => (columns, true),
        [_, columns @ 6..=7] => (columns, false),
        _ => return Err(super::wrong_shape(FORMAT, output, "[N, 6] or [N, 7], with or without a batch of 1".into())),
    };
    for row in output.values.chunks_exact(columns) {
        match (columns, batched) {
            (6, _) => keep_labelled(spec, corners(row), row[4], row[5], found)?,
            (_, true) => keep_labelled(spec, corners(row), row[4] * row[5], row[6], found)?,
            (_, false) => keep_labelled(spec, corners(&row[1..]), row[6], row[5], found)?,
        }
    }
    Ok(())
}

/// The shape without a leading batch of 1 and without a trailing 1, which some exports leave on scores and labels.
fn trimmed<'a>(output: &'a OutputTensor<'_>) -> &'a [usize] {
    match &output.shape[..] {
        [1, rest @ ..] if !rest.is_empty() => match rest {
            [_, 1] => &rest[..1],
            _ => rest,
        },
        shape => shape,
    }
}

fn corners(row: &[f32]) -> Box2 {
    Box2::new(row[0], row[1], row[2], row[3])
}

fn keep_labelled(spec: &ModelSpec, bbox: Box2, score: f32, label: f32, found: &mut Collector) -> Result<(), HeadError> {
    // A label that is not finite makes the whole row unsound.
    if !found.wants(if label.is_finite() { score } else { f32::NAN }) || label < 0.0 {
        return Ok(());
    }
    let classes = spec.classes.len();
    let class = label.round() as usize;
    if class >= classes {
        return Err(HeadError::Label { label: class as u64, classes });
    }
    found.keep(bbox, (0..classes).map(|other| if other == class { score } else { 0.0 }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HeadFormat;
    use crate::model::head::{decode, properties::spec};

    fn integers<'a>(name: &'a str, shape: &[usize], values: &'a [f32]) -> OutputTensor<'a> {
        OutputTensor { is_integer: true, ..OutputTensor::new(name, shape, values) }
    }

    #[test]
    fn three_outputs_with_and_without_batch() {
        let spec = spec(HeadFormat::Suppressed, 64, 64, 3);
        let boxes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let scores = [0.75, 0.5];
        let labels = [2.0, -1.0];
        let plain = [
            OutputTensor::new("boxes", &[2, 4], &boxes),
            integers("1234", &[2], &labels),
            OutputTensor::new("1235", &[2], &scores),
        ];
        let decoded = decode(&spec, &plain).unwrap();
        assert_eq!(decoded.detections.len(), 1);
        assert_eq!(decoded.detections[0].bbox, Box2::new(1.0, 2.0, 3.0, 4.0));
        assert_eq!(decoded.detections[0].probabilities, [0.0, 0.0, 0.75]);

        let number = [1.0];
        let classes = [0.0, 7.0];
        let mut batched = vec![
            integers("num_dets", &[1, 1], &number),
            OutputTensor::new("det_boxes", &[1, 2, 4], &boxes),
            OutputTensor::new("det_scores", &[1, 2], &scores),
            OutputTensor::new("det_classes", &[1, 2], &classes),
        ];
        let decoded = decode(&spec, &batched).unwrap();
        assert_eq!(decoded.detections.len(), 1, "rows beyond the number are padding");
        assert_eq!(decoded.detections[0].best(), (0, 0.75));
        batched.remove(0);
        assert_eq!(decode(&spec, &batched), Err(HeadError::Label { label: 7, classes: 3 }));
        batched.remove(1);
        assert!(matches!(decode(&spec, &batched), Err(HeadError::Outputs { .. })));
    }

    #[test]
    fn a_score_for_each_class() {
        let spec = spec(HeadFormat::Suppressed, 64, 64, 3);
        let boxes = [1.0, 2.0, 3.0, 4.0];
        let scores = [0.25, 0.5, 0.125];
        let outputs = [OutputTensor::new("b", &[1, 1, 4], &boxes), OutputTensor::new("s", &[1, 1, 3], &scores)];
        assert_eq!(decode(&spec, &outputs).unwrap().detections[0].probabilities, scores);
    }

    #[test]
    fn one_output() {
        let spec = spec(HeadFormat::Suppressed, 64, 64, 3);
        let six = [1.0, 2.0, 3.0, 4.0, 0.75, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let decoded = decode(&spec, &[OutputTensor::new("output0", &[1, 2, 6], &six)]).unwrap();
        assert_eq!(decoded.detections.len(), 1);
        assert_eq!(decoded.detections[0].probabilities, [0.0, 0.75, 0.0]);
        let seven = [1.0, 2.0, 3.0, 4.0, 0.5, 0.75, 2.0];
        let decoded = decode(&spec, &[OutputTensor::new("output", &[1, 1, 7], &seven)]).unwrap();
        assert_eq!(decoded.detections[0].best(), (2, 0.375));
        let end_to_end = [0.0, 1.0, 2.0, 3.0, 4.0, 1.0, 0.75];
        let decoded = decode(&spec, &[OutputTensor::new("output", &[1, 7], &end_to_end)]).unwrap();
        assert_eq!(decoded.detections[0].best(), (1, 0.75));
        assert_eq!(decoded.detections[0].bbox, Box2::new(1.0, 2.0, 3.0, 4.0));
    }
}
