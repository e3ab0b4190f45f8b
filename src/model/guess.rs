//! A specification for a foreign model that brings none, where its outputs tell enough.

use super::head::{
    HeadError, OutputShape, OutputTensor, RowKind, class_count, detect_format, detect_rows, is_nanodet_plus,
    needs_values,
};
use super::{COCO_CLASSES, ColorOrder, Fit, HeadFormat, InputSpec, ModelSpec};

/// Why a foreign model needs a YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuessError {
    /// The network takes images of any size.
    #[error("the network leaves its input size open; write `input.width` and `input.height` there")]
    InputSize,
    /// The head format cannot be told.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The number of classes cannot be told.
    #[error("a {format} head does not tell its number of classes; write `classes` there")]
    Classes {
        /// The head format.
        format: &'static str,
    },
}

impl ModelSpec {
    /// The specification that a foreign network most likely has: the head by its outputs, the input as that head's published
    /// models have it, COCO's classes where there are 80 and `class_0`, `class_1`, ... else.
    ///
    /// # Errors
    /// What cannot be told, and the YAML field to set.
    pub fn guess(outputs: &[OutputShape], width: usize, height: usize) -> Result<Self, GuessError> {
        let (head, classes) = detect_format(outputs, width, height)?;
        let Some(count) = classes else { return Err(GuessError::Classes { format: head.name() }) };
        let input = usual_input(&head, outputs, width, height);
        Ok(Self::new(input, head, class_names(count)))
    }

    /// [`Self::guess`] by the outputs of a run on an empty input: values tell what shapes leave open, above all whether boxes are
    /// decoded already.
    ///
    /// # Errors
    /// What cannot be told, and the YAML field to set.
    pub fn guess_by_values(outputs: &[OutputTensor<'_>], width: usize, height: usize) -> Result<Self, GuessError> {
        let shapes: Vec<_> = outputs.iter().map(OutputShape::of).collect();
        let output = match outputs {
            [output] if needs_values(&shapes, width, height) => output,
            _ => return Self::guess(&shapes, width, height),
        };
        let (kind, count) = detect_rows(output, width, height)?;
        let (head, usual) = match kind {
            RowKind::Raw => (HeadFormat::Yolox, HeadFormat::Yolox),
            // The decode inside the graph leaves YOLOX's input as it is.
            RowKind::Decoded => (HeadFormat::Yolov5, HeadFormat::Yolox),
            RowKind::DecodedWithoutObjectness => (HeadFormat::Yolov5, HeadFormat::Yolov5),
            RowKind::Distances => (HeadFormat::Nanodet, HeadFormat::Nanodet),
        };
        Ok(Self::new(usual_input(&usual, &shapes, width, height), head, class_names(count)))
    }

    /// The specification that a network with a head of this format usually has; `None` when its outputs do not tell the number
    /// of classes.
    pub fn usual(head: HeadFormat, outputs: &[OutputShape], width: usize, height: usize) -> Option<Self> {
        let count = class_count(&head, outputs, width, height)?;
        let input = usual_input(&head, outputs, width, height);
        Some(Self::new(input, head, class_names(count)))
    }
}

/// COCO's names where there are as many classes, else numbers.
fn class_names(count: usize) -> Vec<String> {
    if count == COCO_CLASSES.len() {
        return COCO_CLASSES.map(str::to_owned).to_vec();
    }
    (0..count).map(|class| format!("class_{class}")).collect()
}

/// [`InputSpec::usual`], and stretched for NanoDet-Plus, which only its outputs tell from the older NanoDet.
fn usual_input(head: &HeadFormat, outputs: &[OutputShape], width: usize, height: usize) -> InputSpec {
    let usual = InputSpec::usual(head, width, height);
    let stretched = *head == HeadFormat::Nanodet && is_nanodet_plus(outputs, width, height);
    if stretched { InputSpec { fit: Fit::Stretch, ..usual } } else { usual }
}

impl InputSpec {
    /// The input that the published models of a head format take.
    ///
    /// | head | colour | values | fit |
    /// |---|---|---|---|
    /// | YOLOX | BGR | 0-255 | letterbox, top left, 114 |
    /// | NanoDet | BGR | ImageNet mean and deviation | letterbox, centre, black (NanoDet-Plus: stretched, see [`ModelSpec::guess`]) |
    /// | FastestDet | BGR | 0-1 | stretched |
    /// | YOLOv5, YOLOv8, suppressed | RGB | 0-1 | letterbox, centre, 114 |
    /// | DETR | RGB | ImageNet mean and deviation | stretched |
    /// | student | RGB | 0-255 | letterbox, centre, 114 |
    pub fn usual(head: &HeadFormat, width: usize, height: usize) -> Self {
        let plain = Self { width, height, ..Self::default() };
        match head {
            HeadFormat::Student { .. } => plain,
            HeadFormat::Yolox => Self { color: ColorOrder::Bgr, fit: Fit::LetterboxTopLeft(114), ..plain },
            HeadFormat::Nanodet => Self {
                color: ColorOrder::Bgr,
                mean: [103.53, 116.28, 123.675],
                std: [57.375, 57.12, 58.395],
                fit: Fit::LetterboxCenter(0),
                ..plain
            },
            HeadFormat::Fastestdet => Self { color: ColorOrder::Bgr, std: [255.0; 3], fit: Fit::Stretch, ..plain },
            HeadFormat::Yolov5 | HeadFormat::Yolov8 | HeadFormat::Suppressed => Self { std: [255.0; 3], ..plain },
            HeadFormat::Detr => {
                Self { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375], fit: Fit::Stretch, ..plain }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_models_are_guessed_or_say_what_to_write() {
        let one =
            |name: &str, shape: &[usize]| [OutputShape { name: name.into(), shape: shape.into(), is_integer: false }];
        let yolox = ModelSpec::guess(&one("output", &[1, 3549, 85]), 416, 416).unwrap();
        assert_eq!((yolox.classes.len(), yolox.classes[0].as_str()), (80, "person"));
        assert_eq!(yolox.input.fit, Fit::LetterboxTopLeft(114));
        let three = ModelSpec::guess(&one("output0", &[1, 7, 8400]), 640, 640).unwrap();
        assert_eq!(three.classes, ["class_0", "class_1", "class_2"]);
        let error = ModelSpec::guess(&one("output0", &[1, 300, 6]), 640, 640).unwrap_err();
        assert!(error.to_string().contains("`classes`"), "{error}");
        assert!(matches!(ModelSpec::guess(&one("x", &[1, 9]), 640, 640), Err(GuessError::Head(_))));
    }

    /// The guess for one output `[1, 84, columns]` of an input of 64x64, each row with these values.
    fn of_rows(row: &[f32]) -> ModelSpec {
        let values = row.repeat(84);
        let output = OutputTensor::new("output", &[1, 84, row.len()], &values);
        ModelSpec::guess_by_values(&[output], 64, 64).unwrap()
    }

    #[test]
    fn values_decide_between_heads_of_one_shape() {
        let raw = of_rows(&[0.5, -0.5, 1.0, 1.0, 0.5, 0.5, 0.5]);
        assert_eq!((raw.head, raw.input.color, raw.classes.len()), (HeadFormat::Yolox, ColorOrder::Bgr, 2));
        // YOLOX with its decode inside takes YOLOX's images, YOLOv6 those of YOLOv5.
        let decoded = of_rows(&[60.0, 4.0, 8.0, 8.0, 0.5, 0.5, 0.5]);
        assert_eq!((decoded.head, decoded.input.std), (HeadFormat::Yolov5, [1.0; 3]));
        assert_eq!(decoded.input.fit, Fit::LetterboxTopLeft(114));
        let yolov6 = of_rows(&[60.0, 4.0, 8.0, 8.0, 1.0, 0.5, 0.5]);
        assert_eq!((yolov6.head, yolov6.input.std), (HeadFormat::Yolov5, [255.0; 3]));
        let distances: Vec<f32> = [0.5; 8].into_iter().chain([-2.0; 32]).collect();
        let nanodet = of_rows(&distances);
        assert_eq!((nanodet.head, nanodet.classes.len()), (HeadFormat::Nanodet, 8));
        assert_eq!(nanodet.input.fit, Fit::LetterboxCenter(0));
        // Shapes that tell enough are left to them.
        let values = vec![0.0; 6 * 84];
        let yolov8 = ModelSpec::guess_by_values(&[OutputTensor::new("output0", &[1, 6, 84], &values)], 64, 64);
        assert_eq!(yolov8.unwrap().head, HeadFormat::Yolov8);
    }

    #[test]
    fn nanodet_plus_stretches_its_images() {
        let one = [OutputShape { name: "output".into(), shape: vec![1, 3598, 112], is_integer: false }];
        let plus = ModelSpec::guess(&one, 416, 416).unwrap();
        assert_eq!((plus.head, plus.input.fit), (HeadFormat::Nanodet, Fit::Stretch));
        assert_eq!(plus.classes[0], "person");
    }

    #[test]
    fn a_named_format_needs_only_its_number_of_classes() {
        let pair = |columns: usize| {
            let shape = |name: &str, last: usize| OutputShape {
                name: name.into(),
                shape: vec![1, 100, last],
                is_integer: false,
            };
            [shape("pred_boxes", 4), shape("scores", columns)]
        };
        let detr = ModelSpec::usual(HeadFormat::Detr, &pair(81), 640, 640).unwrap();
        assert_eq!((detr.classes.len(), detr.input.fit), (80, Fit::Stretch));
        assert_eq!(ModelSpec::usual(HeadFormat::Detr, &pair(12), 640, 640), None);
    }
}
