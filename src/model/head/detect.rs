//! Telling the head format from the outputs' names and shapes, where that is unambiguous.

use super::student::{BOX_PREFIX, CLASS_PREFIX};
use super::{HeadError, nanodet, yolox};
use crate::model::HeadFormat;

/// An output as far as telling the format needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputShape {
    /// The output's name in the graph.
    pub name: String,
    /// Its shape, the batch first.
    pub shape: Vec<usize>,
    /// True when its element type is an integer.
    pub is_integer: bool,
}

/// The head format that the outputs of a network with an input of `width` x `height` pixels have, with the number of
/// classes where the outputs tell it.
///
/// Three formats share the form `[1, rows, columns]`; the number of cells `n` of strides 8, 16 and 32 in the input tells
/// them apart: YOLOX has `n` rows, YOLOv5 (three anchors a cell) `3 n` rows, YOLOv8 `n` columns.
///
/// # Errors
/// [`HeadError::Ambiguous`] with the formats that may be meant when none or several fit.
pub fn detect_format(
    outputs: &[OutputShape],
    width: usize,
    height: usize,
) -> Result<(HeadFormat, Option<usize>), HeadError> {
    let ambiguous = |candidates: &[&'static str]| {
        let each: Vec<_> = outputs.iter().map(|output| format!("{} {:?}", output.name, output.shape)).collect();
        Err(HeadError::Ambiguous { outputs: each.join(", "), candidates: candidates.to_vec() })
    };
    if let Some(student) = student(outputs) {
        return Ok(student);
    }
    if let [output] = outputs {
        return match output.shape[..] {
            [1, channels, _, _] if channels > 5 => Ok((HeadFormat::Fastestdet, Some(channels - 5))),
            [1, rows, columns] => match row_format(rows, columns, width, height) {
                Some(format) => Ok(format),
                None => ambiguous(&["yolov8", "yolov5", "yolox", "suppressed"]),
            },
            [_, 6..=7] => Ok((HeadFormat::Suppressed, None)),
            _ => ambiguous(&["yolov8", "yolov5", "yolox", "fastestdet", "suppressed"]),
        };
    }
    if let Some(classes) = nanodet_classes(outputs, width, height) {
        return Ok((HeadFormat::Nanodet, Some(classes)));
    }
    let has_boxes = outputs.iter().any(|output| output.shape.last() == Some(&4));
    if outputs.len() == 2 && has_boxes {
        let logits = outputs.iter().find(|output| output.name.contains("logit"));
        return match logits {
            Some(logits) => Ok((HeadFormat::Detr, detr_classes(*logits.shape.last().unwrap_or(&0)))),
            None => ambiguous(&["detr", "suppressed"]),
        };
    }
    let labels = outputs.iter().any(|output| output.is_integer || output.name.contains("label"));
    if has_boxes && labels && (3..=4).contains(&outputs.len()) {
        return Ok((HeadFormat::Suppressed, None));
    }
    ambiguous(&["nanodet", "detr", "suppressed"])
}

fn student(outputs: &[OutputShape]) -> Option<(HeadFormat, Option<usize>)> {
    let mut strides = Vec::new();
    let (mut classes, mut bins) = (None, None);
    for output in outputs {
        if let Some(stride) = output.name.strip_prefix(CLASS_PREFIX) {
            strides.push(stride.parse().ok()?);
            classes = output.shape.get(1).copied();
        } else {
            let stride: usize = output.name.strip_prefix(BOX_PREFIX)?.parse().ok()?;
            bins = output.shape.get(1).map(|channels| channels / 4).filter(|_| stride > 0);
        }
    }
    strides.sort_unstable();
    Some((HeadFormat::Student { strides, bins: bins? }, Some(classes?)))
}

fn row_format(rows: usize, columns: usize, width: usize, height: usize) -> Option<(HeadFormat, Option<usize>)> {
    let cells = |count: usize| yolox::strides_of(width, height, count).is_some();
    let mut fits = Vec::new();
    if columns > 5 && cells(rows) {
        fits.push((HeadFormat::Yolox, Some(columns - 5)));
    }
    if columns > 5 && rows.is_multiple_of(3) && cells(rows / 3) {
        fits.push((HeadFormat::Yolov5, Some(columns - 5)));
    }
    if rows > 4 && cells(columns) {
        fits.push((HeadFormat::Yolov8, Some(rows - 4)));
    }
    if fits.is_empty() && (6..=7).contains(&columns) {
        fits.push((HeadFormat::Suppressed, None));
    }
    if fits.len() == 1 { fits.pop() } else { None }
}

/// The number of classes when each stride has two outputs of its number of cells, one of them distributions.
fn nanodet_classes(outputs: &[OutputShape], width: usize, height: usize) -> Option<usize> {
    if outputs.len() < 4 || !outputs.len().is_multiple_of(2) {
        return None;
    }
    let pairs = outputs.len() / 2;
    let mut columns = Vec::new();
    for stride in nanodet::STRIDES.into_iter().take(pairs) {
        let cells = width.div_ceil(stride) * height.div_ceil(stride);
        let of_stride: Vec<_> =
            outputs.iter().filter(|output| matches!(output.shape[..], [1, n, _] if n == cells)).collect();
        if of_stride.len() < 2 {
            return None;
        }
        columns.extend(of_stride.iter().map(|output| (output.shape[2], output.name.contains("dis"))));
    }
    columns.sort_unstable();
    columns.dedup();
    match columns[..] {
        // Told by name, or by what cannot be a distribution, or by the usual 8 bins.
        [(classes, false), (_, true)] | [(_, true), (classes, false)] => Some(classes),
        [(a, _), (b, _)] => match (a.is_multiple_of(4) && a >= 8, b.is_multiple_of(4) && b >= 8) {
            (true, false) => Some(b),
            (false, true) => Some(a),
            _ if a == 32 => Some(b),
            _ if b == 32 => Some(a),
            _ => None,
        },
        _ => None,
    }
}

/// COCO's detectors have 80 or 91 labels, softmax heads one more for "no object"; other numbers do not tell.
fn detr_classes(columns: usize) -> Option<usize> {
    match columns {
        80 | 91 => Some(columns),
        81 | 92 => Some(columns - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(shapes: &[(&str, &[usize])]) -> Vec<OutputShape> {
        shapes
            .iter()
            .map(|(name, shape)| OutputShape {
                name: (*name).into(),
                shape: shape.to_vec(),
                is_integer: name.contains("label"),
            })
            .collect()
    }

    fn told(shapes: &[(&str, &[usize])], width: usize, height: usize) -> (HeadFormat, Option<usize>) {
        detect_format(&outputs(shapes), width, height).unwrap()
    }

    #[test]
    fn published_layouts_are_told() {
        assert_eq!(told(&[("output", &[1, 3549, 85])], 416, 416), (HeadFormat::Yolox, Some(80)));
        assert_eq!(told(&[("output0", &[1, 25200, 85])], 640, 640), (HeadFormat::Yolov5, Some(80)));
        assert_eq!(told(&[("output0", &[1, 84, 8400])], 640, 640), (HeadFormat::Yolov8, Some(80)));
        assert_eq!(told(&[("output0", &[1, 5, 1260])], 320, 192), (HeadFormat::Yolov8, Some(1)));
        assert_eq!(told(&[("758", &[1, 85, 22, 22])], 352, 352), (HeadFormat::Fastestdet, Some(80)));
        assert_eq!(told(&[("output0", &[1, 300, 6])], 640, 640), (HeadFormat::Suppressed, None));
        assert_eq!(told(&[("output", &[100, 7])], 640, 640), (HeadFormat::Suppressed, None));
        let nanodet: [(&str, &[usize]); 6] = [
            ("cls_pred_stride_8", &[1, 2704, 80]),
            ("cls_pred_stride_16", &[1, 676, 80]),
            ("cls_pred_stride_32", &[1, 169, 80]),
            ("dis_pred_stride_8", &[1, 2704, 32]),
            ("dis_pred_stride_16", &[1, 676, 32]),
            ("dis_pred_stride_32", &[1, 169, 32]),
        ];
        assert_eq!(told(&nanodet, 416, 416), (HeadFormat::Nanodet, Some(80)));
        let nameless: Vec<_> = nanodet.iter().map(|(_, shape)| ("792", *shape)).collect();
        assert_eq!(told(&nameless, 416, 416), (HeadFormat::Nanodet, Some(80)));
        let detr: [(&str, &[usize]); 2] = [("logits", &[1, 100, 92]), ("pred_boxes", &[1, 100, 4])];
        assert_eq!(told(&detr, 800, 800), (HeadFormat::Detr, Some(91)));
        let torchvision: [(&str, &[usize]); 3] = [("boxes", &[9, 4]), ("labels", &[9]), ("scores", &[9])];
        assert_eq!(told(&torchvision, 320, 320), (HeadFormat::Suppressed, None));
        let student: [(&str, &[usize]); 4] = [
            ("class_logits_16", &[1, 3, 12, 20]),
            ("class_logits_8", &[1, 3, 24, 40]),
            ("box_distribution_8", &[1, 64, 24, 40]),
            ("box_distribution_16", &[1, 64, 12, 20]),
        ];
        assert_eq!(told(&student, 320, 192), (HeadFormat::Student { strides: vec![8, 16], bins: 16 }, Some(3)));
    }

    #[test]
    fn what_does_not_tell_names_the_candidates() {
        let error = detect_format(&outputs(&[("out", &[1, 1000, 85])]), 640, 640).unwrap_err().to_string();
        for part in ["yolov8", "yolov5", "yolox", "suppressed", "`head`", "[1, 1000, 85]"] {
            assert!(error.contains(part), "{error}");
        }
        let pair: [(&str, &[usize]); 2] = [("a", &[1, 100, 91]), ("b", &[1, 100, 4])];
        let error = detect_format(&outputs(&pair), 640, 640).unwrap_err().to_string();
        assert!(error.contains("detr, suppressed"), "{error}");
        assert!(detect_format(&[], 640, 640).is_err());
        assert!(detect_format(&outputs(&[("x", &[])]), 0, 0).is_err());
    }
}
