//! No decoder panics, whatever the shapes and values; and the small specification that the decoders' tests share.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{OutputShape, OutputTensor, class_count, decode, detect_format, detect_rows, needs_values};
use crate::model::{HeadFormat, InputSpec, ModelSpec};

/// A specification with a score threshold of 0.3.
pub(super) fn spec(head: HeadFormat, width: usize, height: usize, classes: usize) -> ModelSpec {
    let input = InputSpec { width, height, ..InputSpec::default() };
    let classes = (0..classes).map(|class| format!("class_{class}")).collect();
    ModelSpec::new(input, head, classes)
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -4.0_f32..4.0,
        1 => any::<f32>(),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(1e30)],
    ]
}

fn any_head() -> impl Strategy<Value = HeadFormat> {
    prop_oneof![
        (prop::collection::vec(0_usize..40, 0..4), 0_usize..6)
            .prop_map(|(strides, bins)| HeadFormat::Student { strides, bins }),
        Just(HeadFormat::Yolox),
        Just(HeadFormat::Nanodet),
        Just(HeadFormat::Fastestdet),
        Just(HeadFormat::Yolov8),
        Just(HeadFormat::Yolov5),
        Just(HeadFormat::Detr),
        Just(HeadFormat::Suppressed),
    ]
}

fn any_output() -> impl Strategy<Value = OutputTensor<'static>> {
    let size = prop_oneof![2 => Just(1_usize), 1 => Just(4), 3 => 0_usize..22];
    let name = prop_oneof![
        Just("output"),
        Just("class_logits_8"),
        Just("box_distribution_8"),
        Just("boxes"),
        Just("labels"),
        Just("logits"),
        Just("num_dets"),
        Just("dis_pred_stride_8"),
    ];
    (name, prop::collection::vec(size, 0..5), any::<bool>(), -1_isize..2).prop_flat_map(
        |(name, shape, is_integer, extra)| {
            let length: usize = shape.iter().product();
            // Mostly the true length, sometimes one too few or too many.
            let length = if extra == 0 { length } else { length.saturating_add_signed(extra) };
            let length = if length > 20_000 { 1 } else { length };
            prop::collection::vec(any_value(), length).prop_map(move |values| OutputTensor {
                name: name.into(),
                shape: shape.clone(),
                values: Cow::Owned(values),
                is_integer,
            })
        },
    )
}

/// Outputs that fit their head, so that the decoding itself is reached.
fn fitting() -> impl Strategy<Value = (ModelSpec, Vec<OutputTensor<'static>>)> {
    let heads = prop_oneof![
        Just((
            HeadFormat::Student { strides: vec![8], bins: 3 },
            vec![("class_logits_8", vec![1, 3, 2, 4]), ("box_distribution_8", vec![1, 12, 2, 4]),]
        )),
        Just((HeadFormat::Yolox, vec![("output", vec![1, 10, 8])])),
        Just((HeadFormat::Nanodet, vec![("cls", vec![1, 8, 3]), ("dis", vec![1, 8, 8])])),
        Just((HeadFormat::Nanodet, vec![("output", vec![1, 11, 35])])),
        Just((HeadFormat::Fastestdet, vec![("758", vec![1, 8, 2, 2])])),
        Just((HeadFormat::Yolov8, vec![("output0", vec![1, 7, 6])])),
        Just((HeadFormat::Yolov5, vec![("output0", vec![1, 6, 8])])),
        Just((HeadFormat::Detr, vec![("logits", vec![1, 5, 4]), ("boxes", vec![1, 5, 4])])),
        Just((HeadFormat::Suppressed, vec![("boxes", vec![1, 5, 4]), ("labels", vec![1, 5]), ("scores", vec![1, 5])])),
        Just((HeadFormat::Suppressed, vec![("output0", vec![1, 5, 6])])),
    ];
    heads.prop_flat_map(|(head, shapes)| {
        let spec = spec(head, 32, 16, 3);
        let outputs: Vec<_> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let length: usize = shape.iter().product();
                prop::collection::vec(any_value(), length).prop_map(move |values| OutputTensor {
                    name: name.into(),
                    shape: shape.clone(),
                    values: Cow::Owned(values),
                    is_integer: name == "labels",
                })
            })
            .collect();
        outputs.prop_map(move |outputs| (spec.clone(), outputs))
    })
}

proptest! {
    #[test]
    fn decoders_never_panic(
        head in any_head(),
        outputs in prop::collection::vec(any_output(), 0..5),
        width in 0_usize..80,
        height in 0_usize..80,
        classes in 0_usize..5,
        threshold in any::<f32>(),
    ) {
        let mut spec = spec(head, width, height, classes);
        spec.score_threshold = threshold;
        let _ = decode(&spec, &outputs);
        let shapes: Vec<_> = outputs.iter().map(OutputShape::of).collect();
        let _ = detect_format(&shapes, width, height);
        let _ = (needs_values(&shapes, width, height), class_count(&spec.head, &shapes, width, height));
        for output in &outputs {
            let _ = detect_rows(output, width, height);
        }
    }

    #[test]
    fn what_is_decoded_is_sound((spec, outputs) in fitting()) {
        // The yolox case needs 8 + 2 + 0 cells: 32x16 has 8 at stride 8 and 2 at stride 16.
        if let Ok(decoded) = decode(&spec, &outputs) {
            for found in &decoded.detections {
                prop_assert!(found.bbox.is_valid());
                prop_assert_eq!(found.probabilities.len(), 3);
                prop_assert!(found.probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
                prop_assert!(found.score() >= spec.score_threshold);
            }
        } else {
            // Only a label beyond the classes can be wrong here.
            prop_assert_eq!(&spec.head, &HeadFormat::Suppressed);
        }
    }
}
