//! NanoDet's GFL head (RangiLyu/nanodet, `nanodet_m` family): per stride scores `[1, H*W, C]`, sigmoid applied, and distance
//! distributions `[1, H*W, 4 * bins]`; distances from the middle of the cell, clipped to the input.

use super::{Collector, HeadError, OutputTensor, check_classes, describe, gfl, grid, peak, wrong_shape};
use crate::model::ModelSpec;

const FORMAT: &str = "nanodet";
/// Strides that a map's number of cells is compared with.
pub(super) const STRIDES: [usize; 5] = [8, 16, 32, 64, 128];

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    if outputs.is_empty() || !outputs.len().is_multiple_of(2) {
        return Err(HeadError::Outputs {
            format: FORMAT,
            expected: "a score and a distance output for each stride".into(),
            got: describe(outputs),
        });
    }
    let mut used = vec![false; outputs.len()];
    for stride in STRIDES {
        let (columns, rows) = grid(spec, stride);
        let cells = columns * rows;
        let mut pair = Vec::new();
        for (index, output) in outputs.iter().enumerate() {
            if !used[index] && matches!(output.shape[..], [1, count, _] if count == cells) && pair.len() < 2 {
                used[index] = true;
                pair.push(output);
            }
        }
        let (scores, distances) = match pair[..] {
            [] => continue,
            [first, second] if comes_first(first, second, spec.classes.len()) => (second, first),
            [first, second] => (first, second),
            _ => {
                return Err(HeadError::Outputs {
                    format: FORMAT,
                    expected: format!("scores and distances of {cells} cells for stride {stride}"),
                    got: describe(outputs),
                });
            }
        };
        check_classes(spec, scores.shape[2])?;
        if !is_distribution(distances.shape[2]) {
            return Err(wrong_shape(FORMAT, distances, format!("[1, {cells}, 4 * bins]")));
        }
        decode_stride(spec, stride, columns, scores, distances, found);
    }
    match used.iter().position(|&used| !used) {
        None => Ok(()),
        Some(left) => Err(wrong_shape(
            FORMAT,
            &outputs[left],
            format!(
                "[1, cells, classes or 4 * bins] with the cells of a stride in {STRIDES:?} of {}x{} pixels",
                spec.input.width, spec.input.height
            ),
        )),
    }
}

fn is_distribution(channels: usize) -> bool {
    channels >= 8 && channels.is_multiple_of(4)
}

/// True when of a stride's two outputs the first holds the distances: by name, else by the number of channels.
fn comes_first(first: &OutputTensor<'_>, second: &OutputTensor<'_>, classes: usize) -> bool {
    let named = |output: &OutputTensor<'_>| ["dis", "box", "reg"].iter().any(|part| output.name.contains(part));
    if named(first) != named(second) {
        return named(first);
    }
    let (a, b) = (first.shape[2], second.shape[2]);
    a != classes && (b == classes || (is_distribution(a) && !is_distribution(b)))
}

fn decode_stride(
    spec: &ModelSpec,
    stride: usize,
    columns: usize,
    scores: &OutputTensor<'_>,
    distances: &OutputTensor<'_>,
    found: &mut Collector,
) {
    let (classes, channels) = (scores.shape[2].max(1), distances.shape[2]);
    let bins = channels / 4;
    let (width, height) = (spec.input.width as f32, spec.input.height as f32);
    let rows = scores.values.chunks_exact(classes).zip(distances.values.chunks_exact(channels));
    for (cell, (scores, distances)) in rows.enumerate() {
        if !found.wants(peak(scores)) {
            continue;
        }
        let center_x = ((cell % columns) as f32 + 0.5) * stride as f32;
        let center_y = ((cell / columns) as f32 + 0.5) * stride as f32;
        let distance = |side: usize| gfl::expectation(distances[side * bins..(side + 1) * bins].iter().copied());
        let bbox = gfl::around(center_x, center_y, std::array::from_fn(distance), stride as f32);
        // Clipping would turn a NaN edge into an error or hide it, so it comes only for sound boxes.
        let bbox = if bbox.is_valid() { bbox.clip(width, height) } else { bbox };
        found.keep(bbox, scores.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use crate::geometry::Box2;
    use crate::model::HeadFormat;
    use crate::model::head::{HeadError, OutputTensor, decode, properties::spec};

    #[test]
    fn known_boxes_in_any_order_of_outputs() {
        // 32x16 pixels: 8 cells at stride 8, 2 at stride 16, 1 at stride 32; 3 classes, 4 bins.
        let spec = spec(HeadFormat::Nanodet, 32, 16, 3);
        let (mut s8, mut d8) = (vec![0.0; 8 * 3], vec![0.0; 8 * 16]);
        let (s16, d16) = (vec![0.0; 2 * 3], vec![0.0; 2 * 16]);
        let (mut s32, d32) = (vec![0.0; 3], vec![0.0; 16]);
        // Cell (1, 1), centre (12, 12); distances 1 stride each way, cut at the bottom.
        s8[5 * 3 + 2] = 0.75;
        s8[5 * 3] = 0.25;
        for side in 0..4 {
            d8[5 * 16 + side * 4 + 1] = 200.0;
        }
        // Uniform: 1.5 strides of 32 around (16, 16), clipped to the input.
        s32[0] = 0.5;
        let outputs = [
            OutputTensor::new("d32", &[1, 1, 16], &d32),
            OutputTensor::new("s8", &[1, 8, 3], &s8),
            OutputTensor::new("s16", &[1, 2, 3], &s16),
            OutputTensor::new("s32", &[1, 1, 3], &s32),
            OutputTensor::new("d8", &[1, 8, 16], &d8),
            OutputTensor::new("d16", &[1, 2, 16], &d16),
        ];
        let decoded = decode(&spec, &outputs).unwrap();
        assert_eq!(decoded.detections.len(), 2);
        assert_eq!(decoded.detections[0].bbox, Box2::new(4.0, 4.0, 20.0, 16.0));
        assert_eq!(decoded.detections[0].probabilities, [0.25, 0.0, 0.75]);
        assert_eq!(decoded.detections[1].bbox, Box2::new(0.0, 0.0, 32.0, 16.0));

        let error = decode(&spec, &outputs[..5]).unwrap_err();
        assert!(matches!(error, HeadError::Outputs { .. }), "{error}");
        let mut fewer = spec.clone();
        fewer.classes.pop();
        assert_eq!(decode(&fewer, &outputs), Err(HeadError::ClassCount { expected: 2, got: 3 }));
        let mut larger = spec;
        larger.input.width = 64;
        assert!(decode(&larger, &outputs).is_err());
    }
}
