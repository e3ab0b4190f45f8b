//! Models with suppression inside the graph. Boxes are corners in input pixels. Known layouts, any of them with or without a
//! leading batch of 1:
//!
//! - boxes `[N, 4]`, scores `[N]`, labels `[N]`, optionally their number `[1]` (torchvision, EfficientNMS); some exports leave
//!   a last dimension of 1 on scores and labels;
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
const EXPECTED: &str =
    "boxes [N, 4], scores [N] and labels [N]; or boxes [N, 4] and scores [N, classes]; or one output [N, 6 or 7]";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    if let [output] = outputs {
        return single(spec, output, found);
    }
    let parts = Parts::of(outputs).ok_or_else(|| HeadError::Outputs {
        format: FORMAT,
        expected: EXPECTED.into(),
        got: describe(outputs),
    })?;
    let corners = |index: usize| corners(&parts.boxes[index * 4..index * 4 + 4]);
    match parts.scores {
        Scores::Labelled { scores, labels } => {
            for index in 0..parts.filled {
                keep_labelled(spec, corners(index), scores[index], labels[index], found)?;
            }
        }
        Scores::PerClass { scores, classes } => {
            check_classes(spec, classes)?;
            for (index, row) in scores.chunks_exact(classes.max(1)).take(parts.filled).enumerate() {
                if found.wants(peak(row)) {
                    found.keep(corners(index), row.iter().copied());
                }
            }
        }
    }
    Ok(())
}

/// What each of several outputs is.
struct Parts<'a> {
    /// Four corners a box.
    boxes: &'a [f32],
    scores: Scores<'a>,
    /// How many rows hold a box: those beyond are padding.
    filled: usize,
}

enum Scores<'a> {
    Labelled { scores: &'a [f32], labels: &'a [f32] },
    PerClass { scores: &'a [f32], classes: usize },
}

impl<'a> Parts<'a> {
    fn of(outputs: &'a [OutputTensor<'a>]) -> Option<Self> {
        let mut boxes: Vec<_> = outputs.iter().filter_map(|output| Some((output, box_count(output)?))).collect();
        // Scores of four classes, or lists of four with a batch of 1, have the shape of boxes too: the likeliest come first, and
        // what the other outputs do not fit is passed over.
        boxes.sort_by_key(|(output, _)| (!output.name.contains("box"), output.is_integer, output.shape.len() < 3));
        boxes.into_iter().find_map(|(boxes, count)| Self::around(boxes, count, outputs))
    }

    /// The other outputs' parts when `boxes` are the boxes.
    fn around(boxes: &'a OutputTensor<'a>, count: usize, outputs: &'a [OutputTensor<'a>]) -> Option<Self> {
        let number = outputs.iter().find(|output| is_number(output));
        let filled = number.map_or(count, |number| (number.values[0].max(0.0) as usize).min(count));
        // With one box the number of boxes has the shape of a list of scores.
        let others: Vec<_> =
            outputs.iter().filter(|output| !std::ptr::eq(*output, boxes) && !is_number(output)).collect();
        let lists: Vec<_> = others.iter().copied().filter(|output| is_list(output, count)).collect();
        let scores = match lists[..] {
            [a, b] => labelled(a, b)?,
            [] | [_] => per_class(&others, count)?,
            _ => return None,
        };
        Some(Self { boxes: &boxes.values, scores, filled })
    }
}

/// Which of two lists holds the labels, by element type or name; `None` when that does not tell.
fn labelled<'a>(a: &'a OutputTensor<'a>, b: &'a OutputTensor<'a>) -> Option<Scores<'a>> {
    let is_label = |output: &OutputTensor<'_>| {
        output.is_integer || ["label", "class", "cls"].iter().any(|part| output.name.contains(part))
    };
    match (is_label(a), is_label(b)) {
        (false, true) => Some(Scores::Labelled { scores: &a.values, labels: &b.values }),
        (true, false) => Some(Scores::Labelled { scores: &b.values, labels: &a.values }),
        _ => None,
    }
}

/// The widest matrix of `count` rows: a list that stands beside it has only one column.
fn per_class<'a>(others: &[&'a OutputTensor<'a>], count: usize) -> Option<Scores<'a>> {
    let matrices = others.iter().filter_map(|output| Some((*output, columns_of(output, count)?)));
    let (output, classes) = matrices.max_by_key(|(_, columns)| *columns)?;
    Some(Scores::PerClass { scores: &output.values, classes })
}

/// The number of boxes in `[n, 4]` or `[1, n, 4]`.
fn box_count(output: &OutputTensor<'_>) -> Option<usize> {
    match output.shape[..] {
        [count, 4] | [1, count, 4] => Some(count),
        _ => None,
    }
}

/// True for one value for each of `count` boxes: `[n]`, `[1, n]`, `[n, 1]` or `[1, n, 1]`.
fn is_list(output: &OutputTensor<'_>, count: usize) -> bool {
    match output.shape[..] {
        [n] | [1, n, 1] => n == count,
        [a, b] => (a == 1 && b == count) || (a == count && b == 1),
        _ => false,
    }
}

/// The columns of `[n, columns]` or `[1, n, columns]` with a row for each of `count` boxes.
fn columns_of(output: &OutputTensor<'_>, count: usize) -> Option<usize> {
    match output.shape[..] {
        [rows, columns] | [1, rows, columns] if rows == count => Some(columns),
        _ => None,
    }
}

/// True for the number of boxes found (`num_dets`, `num_detections`, `valid_detections`): one value.
fn is_number(output: &OutputTensor<'_>) -> bool {
    let named = ["num", "valid"].iter().any(|part| output.name.contains(part));
    output.values.len() == 1 && named
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

    /// Boxes, labels and scores of `count` objects with a shape each, decoded to what was found.
    fn labelled_case(count: usize, shapes: [&[usize]; 3]) -> Result<usize, HeadError> {
        let spec = spec(HeadFormat::Suppressed, 64, 64, 3);
        let boxes: Vec<f32> = (0..count).flat_map(|i| [i as f32, 0.0, i as f32 + 10.0, 10.0]).collect();
        let (labels, scores) = (vec![2.0; count], vec![0.75; count]);
        // No name helps: the labels are told by their element type alone.
        let outputs = [
            OutputTensor::new("b", shapes[0], &boxes),
            integers("l", shapes[1], &labels),
            OutputTensor::new("s", shapes[2], &scores),
        ];
        let decoded = decode(&spec, &outputs)?;
        for (index, found) in decoded.detections.iter().enumerate() {
            assert_eq!((found.bbox.x_min, found.best()), (index as f32, (2, 0.75)), "{count} {shapes:?}");
        }
        Ok(decoded.detections.len())
    }

    #[test]
    fn any_number_of_objects_with_and_without_batch() {
        // 4 is also the number of a box's corners.
        for n in [0, 1, 2, 4] {
            let lists: [&[usize]; 4] = [&[n], &[1, n], &[n, 1], &[1, n, 1]];
            for boxes in [&[n, 4][..], &[1, n, 4]] {
                for list in lists {
                    assert_eq!(labelled_case(n, [boxes, list, list]), Ok(n), "boxes {boxes:?}, lists {list:?}");
                }
            }
        }
        assert!(labelled_case(2, [&[2, 4], &[2], &[1, 2, 1, 1]]).is_err());
    }

    #[test]
    fn the_number_of_objects_is_no_list_of_one() {
        let spec = spec(HeadFormat::Suppressed, 64, 64, 3);
        for (number, found) in [([1.0], 1), ([0.0], 0)] {
            let outputs = [
                integers("num_detections", &[1], &number),
                OutputTensor::new("b", &[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]),
                OutputTensor::new("s", &[1, 1], &[0.75]),
                integers("l", &[1, 1], &[2.0]),
            ];
            assert_eq!(decode(&spec, &outputs).unwrap().detections.len(), found);
        }
    }

    #[test]
    fn scores_for_each_class_of_any_number_of_objects() {
        for classes in [1, 3, 4] {
            let spec = spec(HeadFormat::Suppressed, 64, 64, classes);
            for n in [0, 1, 2] {
                let boxes = [1.0, 2.0, 3.0, 4.0].repeat(n);
                let scores = vec![0.5; n * classes];
                let plain = [OutputTensor::new("b", &[n, 4], &boxes), OutputTensor::new("s", &[n, classes], &scores)];
                let batched =
                    [OutputTensor::new("b", &[1, n, 4], &boxes), OutputTensor::new("s", &[1, n, classes], &scores)];
                for outputs in [plain, batched] {
                    let decoded = decode(&spec, &outputs).unwrap();
                    assert_eq!(decoded.detections.len(), n, "{n} objects, {classes} classes");
                    assert!(decoded.detections.iter().all(|found| found.probabilities == vec![0.5; classes]));
                }
            }
        }
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
