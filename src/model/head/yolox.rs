//! YOLOX's raw head (Ge et al. 2021; Megvii-BaseDetection/YOLOX, `demo_postprocess`): `[1, N, 5 + C]` over the cells of strides
//! 8, 16, 32 (and 64), each row centre offsets in cells, log sizes in strides, objectness and class scores (sigmoid applied).

use super::{Collector, HeadError, OutputTensor, check_classes, peak, single_matrix, wrong_shape};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "yolox";

/// The strides that `rows` boxes of an input belong to, or `None`.
pub(super) fn strides_of(width: usize, height: usize, rows: usize) -> Option<&'static [usize]> {
    let count = |strides: &[usize]| strides.iter().map(|s| (width / s) * (height / s)).sum::<usize>();
    [&[8, 16, 32][..], &[8, 16, 32, 64]].into_iter().find(|strides| rows > 0 && count(strides) == rows)
}

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    let (count, columns, values) = single_matrix(FORMAT, "[1, N, 5 + classes]", outputs)?;
    let strides = strides_of(spec.input.width, spec.input.height, count);
    let (Some(strides), 5..) = (strides, columns) else {
        let expected = format!(
            "[1, N, 5 + classes] with N the cells of strides 8, 16, 32 in {}x{} pixels",
            spec.input.width, spec.input.height
        );
        return Err(wrong_shape(FORMAT, &outputs[0], expected));
    };
    check_classes(spec, columns - 5)?;
    let mut rows = values.chunks_exact(columns);
    for &stride in strides {
        let width = spec.input.width / stride;
        let cells = width * (spec.input.height / stride);
        for (cell, row) in rows.by_ref().take(cells).enumerate() {
            let objectness = row[4];
            let score = objectness * peak(&row[5..]);
            if !found.wants(score) {
                continue;
            }
            let stride = stride as f32;
            let bbox = Box2::from_center(
                (row[0] + (cell % width) as f32) * stride,
                (row[1] + (cell / width) as f32) * stride,
                row[2].exp() * stride,
                row[3].exp() * stride,
            );
            found.keep(bbox, row[5..].iter().map(|class| objectness * class));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::strides_of;
    use crate::geometry::Box2;
    use crate::model::HeadFormat;
    use crate::model::head::{HeadError, OutputTensor, decode, properties::spec};

    #[test]
    fn known_boxes_of_each_stride() {
        let spec = spec(HeadFormat::Yolox, 64, 32, 2);
        // 8x4 + 4x2 + 2x1 = 42 cells.
        let mut values = vec![0.0; 42 * 7];
        let mut set = |cell: usize, row: [f32; 7]| values[cell * 7..(cell + 1) * 7].copy_from_slice(&row);
        // Stride 8, cell (3, 2): centre (3.5, 2.25) cells, size 2 x 1 strides.
        set(2 * 8 + 3, [0.5, 0.25, 2.0_f32.ln(), 0.0, 0.5, 1.0, 0.5]);
        // Stride 32, cell (1, 0).
        set(40 + 1, [0.0, 0.5, 0.0, 0.0, 1.0, 0.25, 0.75]);
        // Objectness too small.
        set(5, [0.0, 0.0, 0.0, 0.0, 0.1, 1.0, 1.0]);
        // Not finite.
        set(6, [0.0, 0.0, 1e9, 0.0, 1.0, 1.0, 1.0]);
        set(7, [0.0, 0.0, 0.0, 0.0, f32::NAN, 1.0, 1.0]);
        let decoded = decode(&spec, &[OutputTensor::new("output", &[1, 42, 7], &values)]).unwrap();
        assert_eq!(decoded.skipped, 2);
        assert_eq!(decoded.detections.len(), 2);
        assert_eq!(decoded.detections[0].bbox, Box2::new(20.0, 14.0, 36.0, 22.0));
        assert_eq!(decoded.detections[0].probabilities, [0.5, 0.25]);
        assert_eq!(decoded.detections[1].bbox, Box2::new(16.0, 0.0, 48.0, 32.0));
        assert_eq!(decoded.detections[1].probabilities, [0.25, 0.75]);

        let short = decode(&spec, &[OutputTensor::new("output", &[1, 41, 7], &values[..41 * 7])]).unwrap_err();
        assert!(matches!(short, HeadError::Shape { .. }), "{short}");
        let cut = decode(&spec, &[OutputTensor::new("output", &[1, 42, 7], &values[1..])]).unwrap_err();
        assert!(matches!(cut, HeadError::Length { .. }), "{cut}");
    }

    #[test]
    fn number_of_boxes_tells_the_strides() {
        assert_eq!(strides_of(416, 416, 3549), Some(&[8, 16, 32][..]));
        assert_eq!(strides_of(1280, 1280, 34000), Some(&[8, 16, 32, 64][..]));
        assert_eq!(strides_of(416, 416, 3 * 3549), None);
        assert_eq!(strides_of(0, 0, 0), None);
    }
}
