//! YOLOv8 and YOLO11 as Ultralytics exports them: `[1, 4 + C, N]`, boxes as centre and size in input pixels, class scores with
//! sigmoid applied, no objectness.

use super::{Collector, HeadError, OutputTensor, check_classes, plane_peaks, single_matrix, wrong_shape};
use crate::geometry::Box2;
use crate::model::ModelSpec;

const FORMAT: &str = "yolov8";

pub(super) fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>], found: &mut Collector) -> Result<(), HeadError> {
    let (channels, count, values) = single_matrix(FORMAT, "[1, 4 + classes, N]", outputs)?;
    if channels < 4 {
        return Err(wrong_shape(FORMAT, &outputs[0], "[1, 4 + classes, N]".into()));
    }
    check_classes(spec, channels - 4)?;
    let value = |channel: usize, index: usize| values[channel * count + index];
    for (index, &peak) in plane_peaks(&values[4 * count..], count, 0.0).iter().enumerate() {
        if found.wants(peak) {
            let bbox = Box2::from_center(value(0, index), value(1, index), value(2, index), value(3, index));
            found.keep(bbox, (4..channels).map(|channel| value(channel, index)));
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
    fn a_known_box() {
        let spec = spec(HeadFormat::Yolov8, 64, 64, 2);
        #[rustfmt::skip]
        let values = [
            10.0, 32.0, f32::NAN,
            20.0, 32.0, 1.0,
            4.0, 64.0, 1.0,
            8.0, 16.0, 1.0,
            0.125, 0.5, 0.75,
            0.875, 0.25, 0.75,
        ];
        let decoded = decode(&spec, &[OutputTensor::new("output0", &[1, 6, 3], &values)]).unwrap();
        assert_eq!(decoded.skipped, 1);
        assert_eq!(decoded.detections.len(), 2);
        assert_eq!(decoded.detections[0].bbox, Box2::new(8.0, 16.0, 12.0, 24.0));
        assert_eq!(decoded.detections[0].probabilities, [0.125, 0.875]);
        assert_eq!(decoded.detections[1].bbox, Box2::new(0.0, 24.0, 64.0, 40.0));
        let turned = decode(&spec, &[OutputTensor::new("output0", &[1, 3, 6], &values)]);
        assert!(matches!(turned, Err(HeadError::Shape { .. })));
    }
}
