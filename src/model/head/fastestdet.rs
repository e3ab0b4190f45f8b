//! FastestDet (dog-qiuqiu/FastestDet, `handle_preds`): one map `[1, 5 + C, H, W]` of objectness (sigmoid applied), box (raw) and
//! class scores (softmax applied). Centre offsets are `tanh` in cells from the cell's corner, sizes `sigmoid` of the whole
//! input; the score of a class is `objectness^0.6 * class^0.4`.

use super::{Collector, HeadError, OutputTensor, check_classes, describe, plane_peaks, sigmoid, wrong_shape};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "fastestdet";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    let [output] = outputs else {
        let expected = "one output [1, 5 + classes, H, W]".into();
        return Err(HeadError::Outputs { format: FORMAT, expected, got: describe(outputs) });
    };
    let (channels, rows, columns) = match output.shape[..] {
        [1, channels, rows, columns] if channels >= 5 && rows > 0 && columns > 0 => (channels, rows, columns),
        _ => return Err(wrong_shape(FORMAT, output, "[1, 5 + classes, H, W]".into())),
    };
    check_classes(spec, channels - 5)?;
    let cells = rows * columns;
    let (width, height) = (spec.input.width as f32, spec.input.height as f32);
    let value = |channel: usize, cell: usize| output.values[channel * cells + cell];
    let score = |objectness: f32, class: f32| objectness.max(0.0).powf(0.6) * class.max(0.0).powf(0.4);
    for (cell, &class) in plane_peaks(&output.values[5 * cells..], cells, 0.0).iter().enumerate() {
        let objectness = value(0, cell);
        // `max` in the score would hide a NaN.
        let best = if objectness.is_finite() && class.is_finite() { score(objectness, class) } else { f32::NAN };
        if !found.wants(best) {
            continue;
        }
        let center_x = (value(1, cell).tanh() + (cell % columns) as f32) / columns as f32;
        let center_y = (value(2, cell).tanh() + (cell / columns) as f32) / rows as f32;
        let bbox = Box2::from_center(
            center_x * width,
            center_y * height,
            sigmoid(value(3, cell)) * width,
            sigmoid(value(4, cell)) * height,
        );
        found.keep(bbox, (5..channels).map(|channel| score(objectness, value(channel, cell))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::geometry::Box2;
    use crate::model::HeadFormat;
    use crate::model::head::{HeadError, OutputTensor, decode, properties::spec};

    #[test]
    fn a_known_box() {
        // 4 x 2 cells of 16 pixels.
        let spec = spec(HeadFormat::Fastestdet, 64, 32, 2);
        let mut values = vec![0.0; 7 * 8];
        // Cell (2, 1): offset tanh(atanh(0.5)) = half a cell, size sigmoid(0) = half the input.
        for (channel, value) in [1.0, 0.5_f32.atanh(), 0.0, 0.0, 0.0, 0.25, 0.75].into_iter().enumerate() {
            values[channel * 8 + 6] = value;
        }
        values[1] = f32::NAN;
        let decoded = decode(&spec, &[OutputTensor::new("758", &[1, 7, 2, 4], &values)]).unwrap();
        assert_eq!(decoded.skipped, 1);
        assert_eq!(decoded.detections.len(), 1);
        let found = &decoded.detections[0];
        assert!((found.bbox.x_min - 24.0).abs() < 1e-5 && (found.bbox.x_max - 56.0).abs() < 1e-5, "{:?}", found.bbox);
        assert_eq!((found.bbox.y_min, found.bbox.y_max), (8.0, 24.0));
        assert!((found.probabilities[1] - 0.75_f32.powf(0.4)).abs() < 1e-6);
        assert!((found.probabilities[0] - 0.25_f32.powf(0.4)).abs() < 1e-6);
        assert_ne!(found.bbox, Box2::default());
        let flat = decode(&spec, &[OutputTensor::new("758", &[1, 7, 8], &values)]);
        assert!(matches!(flat, Err(HeadError::Shape { .. })));
    }
}
