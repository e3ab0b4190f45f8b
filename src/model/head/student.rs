//! Our own student's head: per stride a map of class logits and one of distance distributions.

use super::{Collector, HeadError, OutputTensor, check_classes, gfl, grid, named, plane_peaks, sigmoid, wrong_shape};
use crate::model::ModelSpec;

const FORMAT: &str = "student";
/// Name of the class map at a stride: this and the stride.
pub(super) const CLASS_PREFIX: &str = "class_logits_";
/// Name of the distribution map at a stride: this and the stride.
pub(super) const BOX_PREFIX: &str = "box_distribution_";

pub(super) fn decode(
    spec: &ModelSpec,
    strides: &[usize],
    bins: usize,
    outputs: &[OutputTensor<'_>],
    found: &mut Collector,
) -> Result<(), HeadError> {
    // sigmoid(x) >= t exactly when x >= ln(t / (1 - t)): most cells are turned down without an exponential.
    let threshold = found.threshold;
    let logit_threshold = (threshold / (1.0 - threshold)).ln();
    for &stride in strides {
        let logits = named(FORMAT, outputs, &format!("{CLASS_PREFIX}{stride}"))?;
        let distances = named(FORMAT, outputs, &format!("{BOX_PREFIX}{stride}"))?;
        let (columns, rows) = grid(spec, stride);
        let classes = match logits.shape[..] {
            [1, classes, h, w] if (w, h) == (columns, rows) => classes,
            _ => return Err(wrong_shape(FORMAT, logits, format!("[1, classes, {rows}, {columns}]"))),
        };
        check_classes(spec, classes)?;
        match distances.shape[..] {
            [1, channels, h, w] if bins > 0 && Some(channels) == bins.checked_mul(4) && (w, h) == (columns, rows) => {}
            _ => return Err(wrong_shape(FORMAT, distances, format!("[1, 4 * {bins}, {rows}, {columns}]"))),
        }
        let cells = columns * rows;
        for (cell, &peak) in plane_peaks(&logits.values, cells, f32::MIN).iter().enumerate() {
            if peak.is_finite() && peak < logit_threshold - 1e-3 {
                continue;
            }
            if !found.wants(sigmoid(peak)) {
                continue;
            }
            let distance = |side: usize| {
                gfl::expectation((side * bins..(side + 1) * bins).map(|bin| distances.values[bin * cells + cell]))
            };
            let center_x = ((cell % columns) as f32 + 0.5) * stride as f32;
            let center_y = ((cell / columns) as f32 + 0.5) * stride as f32;
            let bbox = gfl::around(center_x, center_y, std::array::from_fn(distance), stride as f32);
            found.keep(bbox, (0..classes).map(|class| sigmoid(logits.values[class * cells + cell])));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;
    use crate::model::head::{decode, properties::spec};
    use crate::model::{HeadFormat, ModelSpec};

    fn student_spec() -> ModelSpec {
        spec(HeadFormat::Student { strides: vec![8, 16], bins: 4 }, 32, 16, 2)
    }

    /// Maps of an input of 32x16: 4x2 cells at stride 8, 2x1 at stride 16; nothing found.
    fn empty_maps() -> [Vec<f32>; 4] {
        [vec![-9.0; 2 * 8], vec![0.0; 16 * 8], vec![-9.0; 2 * 2], vec![0.0; 16 * 2]]
    }

    fn tensors(maps: &[Vec<f32>; 4]) -> Vec<OutputTensor<'_>> {
        vec![
            OutputTensor::new("box_distribution_8", &[1, 16, 2, 4], &maps[1]),
            OutputTensor::new("class_logits_8", &[1, 2, 2, 4], &maps[0]),
            OutputTensor::new("class_logits_16", &[1, 2, 1, 2], &maps[2]),
            OutputTensor::new("box_distribution_16", &[1, 16, 1, 2], &maps[3]),
        ]
    }

    #[test]
    fn one_known_box_a_stride() {
        let mut maps = empty_maps();
        // Stride 8, cell (2, 1) = cell 6, centre (20, 12): class 1, distances 1, 0, 1, 2 strides.
        maps[0][8 + 6] = 2.0;
        for (side, bin) in [1, 0, 1, 2].into_iter().enumerate() {
            maps[1][(side * 4 + bin) * 8 + 6] = 200.0;
        }
        // Stride 16, cell (1, 0), centre (24, 8): class 0, uniform distributions, so 1.5 strides each way.
        maps[2][1] = 1.0;
        let decoded = decode(&student_spec(), &tensors(&maps)).unwrap();
        assert_eq!(decoded.skipped, 0);
        assert_eq!(decoded.detections.len(), 2);
        assert_eq!(decoded.detections[0].bbox, Box2::new(12.0, 12.0, 28.0, 28.0));
        assert_eq!(decoded.detections[0].best(), (1, sigmoid(2.0)));
        assert!((decoded.detections[0].probabilities[0] - sigmoid(-9.0)).abs() < 1e-7);
        assert_eq!(decoded.detections[1].bbox, Box2::new(0.0, -16.0, 48.0, 32.0));
        assert_eq!(decoded.detections[1].best(), (0, sigmoid(1.0)));
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let mut maps = empty_maps();
        maps[0][3] = f32::NAN;
        maps[0][4] = 3.0;
        maps[1][4] = f32::INFINITY;
        let decoded = decode(&student_spec(), &tensors(&maps)).unwrap();
        assert!(decoded.detections.is_empty());
        assert_eq!(decoded.skipped, 2);
    }

    #[test]
    fn misfits_are_named() {
        let maps = empty_maps();
        let mut missing = tensors(&maps);
        missing.remove(3);
        let error = decode(&student_spec(), &missing).unwrap_err().to_string();
        assert!(error.contains("box_distribution_16"), "{error}");
        let mut other = tensors(&maps);
        other[1].shape = vec![1, 2, 4, 2];
        assert!(matches!(decode(&student_spec(), &other), Err(HeadError::Shape { .. })));
        let mut three = student_spec();
        three.classes.push("third".into());
        assert_eq!(decode(&three, &tensors(&maps)), Err(HeadError::ClassCount { expected: 3, got: 2 }));
    }
}
