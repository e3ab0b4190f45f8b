//! A specification for a foreign model that brings none, where its outputs tell enough.

use super::head::{HeadError, OutputShape, detect_format};
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
        let classes = match classes {
            Some(80) => COCO_CLASSES.map(str::to_owned).to_vec(),
            Some(count) => (0..count).map(|class| format!("class_{class}")).collect(),
            None => return Err(GuessError::Classes { format: head.name() }),
        };
        Ok(Self::new(InputSpec::usual(&head, width, height), head, classes))
    }
}

impl InputSpec {
    /// The input that the published models of a head format take.
    ///
    /// | head | colour | values | fit |
    /// |---|---|---|---|
    /// | YOLOX | BGR | 0-255 | letterbox, top left, 114 |
    /// | NanoDet | BGR | ImageNet mean and deviation | letterbox, centre, black |
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
}
