//! NanoDet's heads (RangiLyu/nanodet): class scores, sigmoid applied, and the distances to a box's edges as distributions (see
//! `gfl`), clipped to the input. In two forms:
//!
//! - per stride scores `[1, H*W, C]` and distances `[1, H*W, 4 * bins]`, from the middle of the cell (`nanodet_m` family);
//! - one output `[1, N, C + 32]` over the cells of all strides, scores first, 8 bins: strides 8, 16, 32 from the middle of the
//!   cell (`nanodet_m`), or 8, 16, 32, 64 from its top left corner (NanoDet-Plus).

use super::{Collector, HeadError, OutputTensor, check_classes, describe, gfl, grid, peak, wrong_shape};
use crate::model::ModelSpec;

const FORMAT: &str = "nanodet";
/// Strides that a map's number of cells is compared with.
pub(super) const STRIDES: [usize; 5] = [8, 16, 32, 64, 128];
/// Columns of the distances where one row holds scores and distances: four distributions of 8 bins.
const JOINED_DISTANCES: usize = 4 * 8;

/// The strides whose cells the `rows` of the single output are, or `None`.
pub(super) fn strides_of(width: usize, height: usize, rows: usize) -> Option<&'static [usize]> {
    let count = |strides: &[usize]| strides.iter().map(|s| width.div_ceil(*s) * height.div_ceil(*s)).sum::<usize>();
    [&[8, 16, 32][..], &[8, 16, 32, 64]].into_iter().find(|strides| rows > 0 && count(strides) == rows)
}

/// The classes of the single output with so many columns, or `None`.
pub(super) fn joined_classes(columns: usize) -> Option<usize> {
    columns.checked_sub(JOINED_DISTANCES).filter(|&classes| classes > 0)
}

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    if let [output] = outputs {
        return decode_joined(spec, output, found);
    }
    if outputs.is_empty() || !outputs.len().is_multiple_of(2) {
        return Err(HeadError::Outputs {
            format: FORMAT,
            expected: "a score and a distance output for each stride, or one output of both".into(),
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
        let (classes, channels) = (scores.shape[2].max(1), distances.shape[2]);
        let level = Level { stride, columns, origin: 0.5 };
        let rows = scores.values.chunks_exact(classes).zip(distances.values.chunks_exact(channels));
        for (cell, (scores, distances)) in rows.enumerate() {
            level.decode_cell(spec, cell, scores, distances, found);
        }
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

/// Scores and distances in one row, the cells of all strides one after another.
fn decode_joined(spec: &ModelSpec, output: &OutputTensor<'_>, found: &mut Collector) -> Result<(), HeadError> {
    let misfit = || {
        let (width, height) = (spec.input.width, spec.input.height);
        let expected = format!(
            "[1, N, classes + {JOINED_DISTANCES}] with N the cells of strides 8, 16, 32 (and 64) in {width}x{height} pixels"
        );
        wrong_shape(FORMAT, output, expected)
    };
    let (count, columns) = match output.shape[..] {
        [1, count, columns] => (count, columns),
        _ => return Err(misfit()),
    };
    let strides = strides_of(spec.input.width, spec.input.height, count);
    let (Some(strides), Some(classes)) = (strides, joined_classes(columns)) else { return Err(misfit()) };
    check_classes(spec, classes)?;
    // NanoDet-Plus, which alone has stride 64, measures from the corner of a cell.
    let origin = if strides.len() > 3 { 0.0 } else { 0.5 };
    let mut rows = output.values.chunks_exact(columns);
    for &stride in strides {
        let (width, height) = grid(spec, stride);
        let level = Level { stride, columns: width, origin };
        for (cell, row) in rows.by_ref().take(width * height).enumerate() {
            let (scores, distances) = row.split_at(classes);
            level.decode_cell(spec, cell, scores, distances, found);
        }
    }
    Ok(())
}

/// The cells of one stride.
struct Level {
    stride: usize,
    /// Cells in a row.
    columns: usize,
    /// Where in a cell distances start, along x and y, as a share of its side.
    origin: f32,
}

impl Level {
    fn decode_cell(&self, spec: &ModelSpec, cell: usize, scores: &[f32], distances: &[f32], found: &mut Collector) {
        if !found.wants(peak(scores)) {
            return;
        }
        let stride = self.stride as f32;
        let center_x = ((cell % self.columns) as f32 + self.origin) * stride;
        let center_y = ((cell / self.columns) as f32 + self.origin) * stride;
        let bins = distances.len() / 4;
        let distance = |side: usize| gfl::expectation(distances[side * bins..(side + 1) * bins].iter().copied());
        let bbox = gfl::around(center_x, center_y, std::array::from_fn(distance), stride);
        // Clipping would turn a NaN edge into an error or hide it, so it comes only for sound boxes.
        let (width, height) = (spec.input.width as f32, spec.input.height as f32);
        let bbox = if bbox.is_valid() { bbox.clip(width, height) } else { bbox };
        found.keep(bbox, scores.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::{joined_classes, strides_of};
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

    /// One output of 32x16 pixels and 3 classes with one object: a person in cell 5 of stride 8, 1 stride each way.
    fn joined(cells: usize) -> Vec<f32> {
        let mut values = vec![0.0; cells * 35];
        let row = &mut values[5 * 35..6 * 35];
        row[2] = 0.75;
        for side in 0..4 {
            row[3 + side * 8 + 1] = 200.0;
        }
        values
    }

    #[test]
    fn one_output_of_all_strides() {
        let spec = spec(HeadFormat::Nanodet, 32, 16, 3);
        // 8 + 2 + 1 cells: from the middle of the cell (1, 1).
        let values = joined(11);
        let decoded = decode(&spec, &[OutputTensor::new("output", &[1, 11, 35], &values)]).unwrap();
        assert_eq!(decoded.detections.len(), 1);
        assert_eq!(decoded.detections[0].bbox, Box2::new(4.0, 4.0, 20.0, 16.0));
        assert_eq!(decoded.detections[0].probabilities, [0.0, 0.0, 0.75]);
        // One cell more, of stride 64: NanoDet-Plus, from the corner.
        let values = joined(12);
        let decoded = decode(&spec, &[OutputTensor::new("output", &[1, 12, 35], &values)]).unwrap();
        assert_eq!(decoded.detections[0].bbox, Box2::new(0.0, 0.0, 16.0, 16.0));

        let mut other = spec.clone();
        other.classes.push("fourth".into());
        let wrong = decode(&other, &[OutputTensor::new("output", &[1, 12, 35], &values)]);
        assert_eq!(wrong, Err(HeadError::ClassCount { expected: 4, got: 3 }));
        let rows = decode(&spec, &[OutputTensor::new("output", &[1, 10, 35], &values[..350])]);
        assert!(matches!(rows, Err(HeadError::Shape { .. })));
        let narrow = decode(&spec, &[OutputTensor::new("output", &[1, 12, 32], &values[..384])]);
        assert!(matches!(narrow, Err(HeadError::Shape { .. })));
    }

    #[test]
    fn number_of_rows_tells_the_strides() {
        assert_eq!(strides_of(320, 320, 2100).map(<[usize]>::len), Some(3));
        assert_eq!(strides_of(320, 320, 2125).map(<[usize]>::len), Some(4));
        assert_eq!(strides_of(416, 416, 3598).map(<[usize]>::len), Some(4));
        assert_eq!(strides_of(416, 416, 3585), None);
        assert_eq!(strides_of(0, 0, 0), None);
        assert_eq!((joined_classes(112), joined_classes(32), joined_classes(5)), (Some(80), None, None));
    }
}
