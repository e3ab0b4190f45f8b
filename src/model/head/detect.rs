//! Telling the head format from the outputs' names and shapes, and from their values where these leave it open.

use std::ops::Range;

use super::student::{BOX_PREFIX, CLASS_PREFIX};
use super::{HeadError, OutputTensor, describe, nanodet, peak, yolox};
use crate::model::HeadFormat;

/// Places up to this are offsets in cells, as YOLOX's raw rows have them: published models stay under 5.
const MOST_OFFSET: f32 = 16.0;
/// Places from this are pixels: the last cells of any usual input lie farther out.
const LEAST_EXTENT: f32 = 32.0;

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

impl OutputShape {
    /// The shape of an output.
    pub fn of(output: &OutputTensor<'_>) -> Self {
        Self { name: output.name.to_string(), shape: output.shape.clone(), is_integer: output.is_integer }
    }
}

/// The head format that the outputs of a network with an input of `width` x `height` pixels have, with the number of
/// classes where the outputs tell it.
///
/// Four formats share the form `[1, rows, columns]`; the number of cells `n` of strides 8, 16 and 32 in the input tells
/// most of them apart: YOLOX and NanoDet have `n` rows, YOLOv5 (three anchors a cell) `3 n` rows, YOLOv8 `n` columns. Of
/// those that are left, the one with COCO's 80 classes is taken. Rows of cells may be decoded or not, which no shape tells: see
/// [`detect_rows`].
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
            [1, channels, rows, columns] if channels > 5 && is_fastestdet_map(rows, columns, width, height) => {
                Ok((HeadFormat::Fastestdet, Some(channels - 5)))
            }
            [1, channels, _, _] if channels > 5 => ambiguous(&["fastestdet"]),
            [1, rows, columns] => {
                let fits = row_formats(rows, columns, width, height);
                match likeliest(&fits) {
                    Some(format) => Ok(format),
                    None if fits.is_empty() => ambiguous(&["yolov8", "yolov5", "yolox", "nanodet", "suppressed"]),
                    None => ambiguous(&fits.iter().map(|(head, _)| head.name()).collect::<Vec<_>>()),
                }
            }
            [_, 6..=7] => Ok((HeadFormat::Suppressed, None)),
            _ => ambiguous(&["yolov8", "yolov5", "yolox", "nanodet", "fastestdet", "suppressed"]),
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

/// What the rows of a single output `[1, cells, columns]` hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Offsets in cells, log sizes, objectness, classes: YOLOX as it is usually exported.
    Raw,
    /// Boxes in pixels, objectness, classes: YOLOX exported with its decode inside.
    Decoded,
    /// Boxes in pixels, an objectness that is always 1, classes: YOLOv6.
    DecodedWithoutObjectness,
    /// Classes, distances: NanoDet.
    Distances,
}

/// True when only the values of a run tell what the outputs are: [`detect_rows`].
pub fn needs_values(outputs: &[OutputShape], width: usize, height: usize) -> bool {
    let may_be_yolox = |(rows, columns): (usize, usize)| {
        row_formats(rows, columns, width, height).iter().any(|(head, _)| *head == HeadFormat::Yolox)
    };
    outputs.len() == 1 && matrix(&outputs[0]).is_some_and(may_be_yolox)
}

/// What the rows of an output of a run on an empty input are, with the number of classes.
///
/// Scores lie between 0 and 1 throughout, the logits of distances do not: that parts YOLOX's rows from NanoDet's. Places of
/// cells reach over the whole input in pixels, and a cell or two as offsets: that parts decoded rows from raw ones.
///
/// # Errors
/// [`HeadError::Ambiguous`] with the formats that may be meant when the values do not tell.
pub fn detect_rows(output: &OutputTensor<'_>, width: usize, height: usize) -> Result<(RowKind, usize), HeadError> {
    let (rows, columns) = match output.shape[..] {
        [1, rows, columns] => (rows, columns),
        _ => (0, 0),
    };
    let values = &output.values[..];
    let yolox =
        columns > 5 && yolox::strides_of(width, height, rows).is_some() && hold_scores(values, columns, 4..columns);
    let distances = nanodet::joined_classes(columns).filter(|_| nanodet::strides_of(width, height, rows).is_some());
    let nanodet = distances
        .filter(|&classes| hold_scores(values, columns, 0..classes) && !hold_scores(values, columns, classes..columns));
    let told = match (yolox, nanodet) {
        (true, None) => yolox_kind(values, columns).map(|kind| (kind, columns - 5)),
        (false, Some(classes)) => Some((RowKind::Distances, classes)),
        _ => None,
    };
    told.ok_or_else(|| {
        let mut candidates = vec!["yolox", "yolov5"];
        candidates.extend(distances.map(|_| "nanodet"));
        HeadError::Ambiguous { outputs: describe(std::slice::from_ref(output)), candidates }
    })
}

/// True when these columns of every row lie between 0 and 1.
fn hold_scores(values: &[f32], columns: usize, range: Range<usize>) -> bool {
    values.chunks_exact(columns).all(|row| row[range.clone()].iter().all(|value| (0.0..=1.0).contains(value)))
}

/// Raw or decoded, by how far the places in the first two columns reach; `None` when that does not tell.
fn yolox_kind(values: &[f32], columns: usize) -> Option<RowKind> {
    let places: Vec<f32> = values.chunks_exact(columns).flat_map(|row| [row[0].abs(), row[1].abs()]).collect();
    // NaN when a place is not finite, which is neither.
    let extent = peak(&places);
    if extent <= MOST_OFFSET {
        Some(RowKind::Raw)
    } else if extent <= LEAST_EXTENT || !extent.is_finite() {
        None
    } else if values.chunks_exact(columns).all(|row| row[4] == 1.0) {
        Some(RowKind::DecodedWithoutObjectness)
    } else {
        Some(RowKind::Decoded)
    }
}

/// True for NanoDet-Plus, by its single output with stride 64: it alone stretches its images.
pub fn is_nanodet_plus(outputs: &[OutputShape], width: usize, height: usize) -> bool {
    let strides = |(rows, _): (usize, usize)| nanodet::strides_of(width, height, rows);
    outputs.len() == 1 && matrix(&outputs[0]).and_then(strides).is_some_and(|strides| strides.len() > 3)
}

/// The number of classes that the outputs of a head of this format tell.
pub fn class_count(head: &HeadFormat, outputs: &[OutputShape], width: usize, height: usize) -> Option<usize> {
    let count = match (head, outputs) {
        (HeadFormat::Yolox | HeadFormat::Yolov5, [output]) => matrix(output)?.1.checked_sub(5),
        (HeadFormat::Yolov8, [output]) => matrix(output)?.0.checked_sub(4),
        (HeadFormat::Fastestdet, [output]) => match output.shape[..] {
            [1, channels, _, _] => channels.checked_sub(5),
            _ => None,
        },
        (HeadFormat::Nanodet, [output]) => nanodet::joined_classes(matrix(output)?.1),
        (HeadFormat::Nanodet, _) => nanodet_classes(outputs, width, height),
        (HeadFormat::Detr, [_, _]) => {
            let named = outputs.iter().find(|output| output.name.contains("logit"));
            let logits = named.or_else(|| outputs.iter().find(|output| output.shape.last() != Some(&4)))?;
            detr_classes(matrix(logits)?.1)
        }
        _ => None,
    };
    count.filter(|&count| count > 0)
}

/// Rows and columns of `[1, rows, columns]`.
fn matrix(output: &OutputShape) -> Option<(usize, usize)> {
    match output.shape[..] {
        [1, rows, columns] => Some((rows, columns)),
        _ => None,
    }
}

/// FastestDet has one map of stride 16.
fn is_fastestdet_map(rows: usize, columns: usize, width: usize, height: usize) -> bool {
    columns.checked_mul(16) == Some(width) && rows.checked_mul(16) == Some(height)
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

/// The formats that a single output `[1, rows, columns]` may have, with their numbers of classes.
fn row_formats(rows: usize, columns: usize, width: usize, height: usize) -> Vec<(HeadFormat, Option<usize>)> {
    let cells = |count: usize| yolox::strides_of(width, height, count).is_some();
    let mut fits = Vec::new();
    if columns > 5 && cells(rows) {
        fits.push((HeadFormat::Yolox, Some(columns - 5)));
    }
    if let Some(classes) = nanodet::joined_classes(columns)
        && nanodet::strides_of(width, height, rows).is_some()
    {
        fits.push((HeadFormat::Nanodet, Some(classes)));
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
    fits
}

/// The only format that fits, or the only one with COCO's 80 classes.
fn likeliest(fits: &[(HeadFormat, Option<usize>)]) -> Option<(HeadFormat, Option<usize>)> {
    if let [only] = fits {
        return Some(only.clone());
    }
    let mut coco = fits.iter().filter(|(_, classes)| *classes == Some(80));
    match (coco.next(), coco.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
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
        assert_eq!(told(&[("758", &[1, 8, 12, 20])], 320, 192), (HeadFormat::Fastestdet, Some(3)));
        assert_eq!(told(&[("output", &[1, 2100, 112])], 320, 320), (HeadFormat::Nanodet, Some(80)));
        assert_eq!(told(&[("output", &[1, 3598, 33])], 416, 416), (HeadFormat::Nanodet, Some(1)));
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
        // YOLOX with 35 classes or NanoDet with 8.
        let error = detect_format(&outputs(&[("out", &[1, 2100, 40])]), 320, 320).unwrap_err().to_string();
        assert!(error.contains("yolox, nanodet"), "{error}");
        // A map of stride 8, and one of another shape.
        for map in [[1_usize, 85, 44, 44], [1, 85, 22, 44]] {
            let error = detect_format(&outputs(&[("map", &map)]), 352, 352).unwrap_err().to_string();
            assert!(error.contains("`head`") && error.contains("fastestdet"), "{error}");
        }
        assert!(detect_format(&[], 640, 640).is_err());
        assert!(detect_format(&outputs(&[("x", &[])]), 0, 0).is_err());
    }

    /// Rows of an input of 64x64 pixels: 64 + 16 + 4 cells, all with the values that `row` gives for the cell.
    fn rows(columns: usize, row: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
        let values: Vec<f32> = (0..84).flat_map(row).collect();
        assert_eq!(values.len(), 84 * columns);
        values
    }

    fn kind(columns: usize, values: &[f32]) -> Result<(RowKind, usize), HeadError> {
        detect_rows(&OutputTensor::new("output", &[1, 84, columns], values), 64, 64)
    }

    #[test]
    fn values_tell_raw_rows_from_decoded_ones() {
        let raw = rows(7, |cell| vec![-1.5, 2.5, 0.1, -3.0, 0.01, 0.5, cell as f32 / 84.0]);
        assert_eq!(kind(7, &raw), Ok((RowKind::Raw, 2)));
        let place = |cell: usize| (cell % 8) as f32 * 8.0 + 4.0;
        let decoded = rows(7, |cell| vec![place(cell), place(cell / 8), 20.0, 30.0, 0.01, 0.5, 0.0]);
        assert_eq!(kind(7, &decoded), Ok((RowKind::Decoded, 2)));
        let all_one = rows(7, |cell| vec![place(cell), place(cell / 8), 20.0, 30.0, 1.0, 0.5, 0.0]);
        assert_eq!(kind(7, &all_one), Ok((RowKind::DecodedWithoutObjectness, 2)));
        // Too far for offsets, too near for pixels; not finite; scores that are none.
        let between = rows(7, |_| vec![20.0, 3.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
        let infinite = rows(7, |_| vec![f32::INFINITY, 3.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
        let logits = rows(7, |_| vec![1.0, 3.0, 1.0, 1.0, -4.0, 0.5, 0.5]);
        for values in [between, infinite, logits] {
            let error = kind(7, &values).unwrap_err().to_string();
            assert!(error.contains("one of: yolox, yolov5") && !error.contains("nanodet"), "{error}");
        }
    }

    #[test]
    fn values_tell_distances_from_scores() {
        // 40 columns: YOLOX with 35 classes, or NanoDet with 8.
        let distances = |cell: usize| (0..32).map(move |bin| (cell + bin) as f32 / 10.0 - 2.0);
        let nanodet = rows(40, |cell| [0.25; 8].into_iter().chain(distances(cell)).collect());
        assert_eq!(kind(40, &nanodet), Ok((RowKind::Distances, 8)));
        let yolox = rows(40, |_| [2.0, -1.0, 0.5, 0.5].into_iter().chain([0.25; 36]).collect());
        assert_eq!(kind(40, &yolox), Ok((RowKind::Raw, 35)));
        let neither = rows(40, |cell| [-1.0; 8].into_iter().chain(distances(cell)).collect());
        let error = kind(40, &neither).unwrap_err().to_string();
        assert!(error.contains("one of: yolox, yolov5, nanodet"), "{error}");
        let shapes = outputs(&[("output", &[1, 84, 40])]);
        assert!(needs_values(&shapes, 64, 64) && !needs_values(&shapes, 320, 320));
    }

    #[test]
    fn classes_of_a_format_that_is_named() {
        let count = |head: HeadFormat, shapes: &[(&str, &[usize])]| class_count(&head, &outputs(shapes), 320, 320);
        let detr: [(&str, &[usize]); 2] = [("pred_boxes", &[1, 100, 4]), ("scores", &[1, 100, 92])];
        assert_eq!(count(HeadFormat::Detr, &detr), Some(91));
        assert_eq!(count(HeadFormat::Detr, &detr[..1]), None);
        assert_eq!(count(HeadFormat::Yolov8, &[("out", &[1, 6, 2100])]), Some(2));
        assert_eq!(count(HeadFormat::Yolov5, &[("out", &[1, 6300, 8])]), Some(3));
        assert_eq!(count(HeadFormat::Yolox, &[("out", &[1, 2100, 5])]), None);
        assert_eq!(count(HeadFormat::Nanodet, &[("out", &[1, 2125, 33])]), Some(1));
        assert_eq!(count(HeadFormat::Fastestdet, &[("out", &[1, 9, 20, 20])]), Some(4));
        assert_eq!(count(HeadFormat::Suppressed, &[("out", &[1, 300, 6])]), None);
    }
}
