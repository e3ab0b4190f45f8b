//! YOLOv5 (and v6, v7, or YOLOX exported with its decode inside): `[1, N, 5 + C]`, boxes as centre and size in input pixels,
//! objectness and class scores with sigmoid applied.

use super::{Collector, HeadError, OutputTensor, check_classes, peak, single_matrix, wrong_shape};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "yolov5";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    let (_, columns, values) = single_matrix(FORMAT, "[1, N, 5 + classes]", outputs)?;
    if columns < 5 {
        return Err(wrong_shape(FORMAT, &outputs[0], "[1, N, 5 + classes]".into()));
    }
    check_classes(spec, columns - 5)?;
    for row in values.chunks_exact(columns) {
        let objectness = row[4];
        if found.wants(objectness * peak(&row[5..])) {
            let bbox = Box2::from_center(row[0], row[1], row[2], row[3]);
            found.keep(bbox, row[5..].iter().map(|class| objectness * class));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::geometry::Box2;
    use crate::model::HeadFormat;
    use crate::model::head::{HeadError, OutputTensor, decode, properties::spec};

    #[test]
    fn known_boxes() {
        let spec = spec(HeadFormat::Yolov5, 64, 64, 2);
        let values = [
            [10.0, 20.0, 4.0, 8.0, 0.5, 1.0, 0.5],
            [32.0, 32.0, f32::INFINITY, 16.0, 1.0, 0.5, 0.75],
            [32.0, 32.0, 16.0, 16.0, 0.1, 0.5, 0.75],
            [32.0, 32.0, 0.0, 16.0, 1.0, 0.5, 0.75],
        ]
        .concat();
        let decoded = decode(&spec, &[OutputTensor::new("output0", &[1, 4, 7], &values)]).unwrap();
        assert_eq!(decoded.skipped, 1);
        assert_eq!(decoded.detections.len(), 1, "a box without area is no detection");
        assert_eq!(decoded.detections[0].bbox, Box2::new(8.0, 16.0, 12.0, 24.0));
        assert_eq!(decoded.detections[0].probabilities, [0.5, 0.25]);
        let other = decode(&spec, &[OutputTensor::new("output0", &[1, 7, 4], &values)]);
        assert!(matches!(other, Err(HeadError::Shape { .. })));
    }
}
