//! From a network's raw outputs to boxes with whole class-probability vectors: one file for each head format.
//!
//! All decoders share the rules of this file: the batch is 1, boxes come out in pixels of the network's input, a box is
//! kept when its best class score reaches the specification's lowest threshold, boxes with values that are not finite are left
//! out and counted, and shapes are checked before anything is read.

mod detect;
mod detr;
mod fastestdet;
pub(crate) mod gfl;
mod nanodet;
mod student;
mod suppressed;
mod yolov5;
mod yolov8;
mod yolox;

#[cfg(test)]
mod properties;

use std::borrow::Cow;

pub use detect::{OutputShape, RowKind, class_count, detect_format, detect_rows, is_nanodet_plus, needs_values};

use super::{HeadFormat, ModelSpec, SoftDetection};
use crate::geometry::Box2;

/// One output of a network: row-major values of a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputTensor<'a> {
    /// The output's name in the graph.
    pub name: Cow<'a, str>,
    /// Its shape, the batch first.
    pub shape: Vec<usize>,
    /// Its values, row-major. Integers come converted.
    pub values: Cow<'a, [f32]>,
    /// True when the graph's element type is an integer (class labels).
    pub is_integer: bool,
}

impl<'a> OutputTensor<'a> {
    /// A float tensor over borrowed values.
    pub fn new(name: &'a str, shape: &[usize], values: &'a [f32]) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values: values.into(), is_integer: false }
    }

    /// The same tensor with a copy of its values, which outlives what it was borrowed from.
    pub fn to_static(&self) -> OutputTensor<'static> {
        OutputTensor {
            name: Cow::Owned(self.name.to_string()),
            shape: self.shape.clone(),
            values: Cow::Owned(self.values.to_vec()),
            is_integer: self.is_integer,
        }
    }
}

/// What a head decodes to, before suppression.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// Boxes in pixels of the network's input, with the whole class-probability vector; in the order of the outputs.
    pub detections: Vec<SoftDetection>,
    /// How many boxes were left out because a value was not finite. A sound network gives 0.
    pub skipped: usize,
}

/// Why outputs cannot be decoded, or a format cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The head needs other outputs than there are.
    #[error("head {format} needs {expected}, the network gives {got}")]
    Outputs {
        /// The head format, as in the YAML.
        format: &'static str,
        /// What it needs.
        expected: String,
        /// Names and shapes of what there is.
        got: String,
    },
    /// An output has another shape than the head needs.
    #[error("output {output} has shape {got:?}, head {format} needs {expected}")]
    Shape {
        /// The head format, as in the YAML.
        format: &'static str,
        /// The output's name.
        output: String,
        /// What it needs.
        expected: String,
        /// What there is.
        got: Vec<usize>,
    },
    /// An output holds fewer or more values than its shape says.
    #[error("output {output} of shape {shape:?} holds {got} values")]
    Length {
        /// The output's name.
        output: String,
        /// The output's shape.
        shape: Vec<usize>,
        /// Number of values.
        got: usize,
    },
    /// The specification names another number of classes than the network has.
    #[error("the network has {got} classes, the specification names {expected}; set `classes` to the network's")]
    ClassCount {
        /// Names in the specification.
        expected: usize,
        /// Classes in the output.
        got: usize,
    },
    /// A label without a class name.
    #[error(
        "the network found label {label}, the specification names only {classes} classes; set `classes` to the network's"
    )]
    Label {
        /// The label found.
        label: u64,
        /// Names in the specification.
        classes: usize,
    },
    /// Several formats fit the outputs, or none.
    #[error("the head format cannot be told from the outputs {outputs}; set `head` in the model's YAML to one of: {}", candidates.join(", "))]
    Ambiguous {
        /// Names and shapes of the outputs.
        outputs: String,
        /// Formats that may be meant, as in the YAML.
        candidates: Vec<&'static str>,
    },
}

impl HeadFormat {
    /// The name in the YAML.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Student { .. } => "student",
            Self::Yolox => "yolox",
            Self::Nanodet => "nanodet",
            Self::Fastestdet => "fastestdet",
            Self::Yolov8 => "yolov8",
            Self::Yolov5 => "yolov5",
            Self::Detr => "detr",
            Self::Suppressed => "suppressed",
        }
    }

    /// True when several boxes an object come out, so that suppression must follow; set prediction (DETR) and heads with
    /// suppression inside need none.
    pub const fn needs_suppression(&self) -> bool {
        !matches!(self, Self::Detr | Self::Suppressed)
    }
}

/// Decodes a network's outputs to boxes in pixels of its input.
///
/// # Errors
/// The outputs do not fit the head, or the number of classes differs from the specification's.
pub fn decode(spec: &ModelSpec, outputs: &[OutputTensor<'_>]) -> Result<Decoded, HeadError> {
    check_lengths(outputs)?;
    let mut found = Collector::new(spec.lowest_threshold());
    match &spec.head {
        HeadFormat::Student { strides, bins } => student::decode(spec, strides, *bins, outputs, &mut found)?,
        HeadFormat::Yolox => yolox::decode(spec, outputs, &mut found)?,
        HeadFormat::Nanodet => nanodet::decode(spec, outputs, &mut found)?,
        HeadFormat::Fastestdet => fastestdet::decode(spec, outputs, &mut found)?,
        HeadFormat::Yolov8 => yolov8::decode(spec, outputs, &mut found)?,
        HeadFormat::Yolov5 => yolov5::decode(spec, outputs, &mut found)?,
        HeadFormat::Detr => detr::decode(spec, outputs, &mut found)?,
        HeadFormat::Suppressed => suppressed::decode(spec, outputs, &mut found)?,
    }
    Ok(found.decoded)
}

/// Refuses outputs that hold fewer or more values than their shapes say.
pub(super) fn check_lengths(outputs: &[OutputTensor<'_>]) -> Result<(), HeadError> {
    for output in outputs {
        let product = output.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if product != Some(output.values.len()) {
            return Err(HeadError::Length {
                output: output.name.to_string(),
                shape: output.shape.clone(),
                got: output.values.len(),
            });
        }
    }
    Ok(())
}

/// The output of this name.
pub(super) fn named<'o, 'v>(
    format: &'static str,
    outputs: &'o [OutputTensor<'v>],
    name: &str,
) -> Result<&'o OutputTensor<'v>, HeadError> {
    outputs.iter().find(|output| output.name == name).ok_or_else(|| HeadError::Outputs {
        format,
        expected: format!("an output named {name}"),
        got: describe(outputs),
    })
}

/// Gathers what reaches the threshold and counts what is not finite.
struct Collector {
    threshold: f32,
    decoded: Decoded,
}

impl Collector {
    fn new(threshold: f32) -> Self {
        Self { threshold, decoded: Decoded::default() }
    }

    /// True when a box with this best score is worth decoding; a score that is not finite is counted as skipped.
    fn wants(&mut self, score: f32) -> bool {
        if !score.is_finite() {
            self.decoded.skipped += 1;
            return false;
        }
        score >= self.threshold
    }

    /// Keeps a box. Boxes without area are dropped, those with values that are not finite are counted.
    fn keep(&mut self, bbox: Box2, probabilities: impl Iterator<Item = f32>) {
        let edges = [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max];
        if !edges.iter().all(|edge| edge.is_finite()) {
            self.decoded.skipped += 1;
            return;
        }
        if bbox.is_valid() {
            let probabilities = probabilities.map(|p| p.clamp(0.0, 1.0)).collect();
            self.decoded.detections.push(SoftDetection { bbox, probabilities });
        }
    }
}

/// The greatest value, NaN when one is not finite, 0 at least.
fn peak(values: &[f32]) -> f32 {
    let mut best = 0.0_f32;
    let mut finite = true;
    for &value in values {
        finite &= value.is_finite();
        best = best.max(value);
    }
    if finite { best } else { f32::NAN }
}

/// [`peak`] over planes: for each of `cells` the greatest of the values that lie `cells` apart, starting from `floor`.
fn plane_peaks(planes: &[f32], cells: usize, floor: f32) -> Vec<f32> {
    let mut peaks = vec![floor; cells];
    for plane in planes.chunks_exact(cells.max(1)) {
        for (peak, &value) in peaks.iter_mut().zip(plane) {
            // `max` would forget a NaN.
            *peak = if value.is_finite() && !peak.is_nan() { peak.max(value) } else { f32::NAN };
        }
    }
    peaks
}

/// The logistic function.
pub(super) fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

fn check_classes(spec: &ModelSpec, got: usize) -> Result<(), HeadError> {
    let expected = spec.classes.len();
    if expected == got { Ok(()) } else { Err(HeadError::ClassCount { expected, got }) }
}

/// The only output of a head, with three sizes and batch 1: `(rows, columns, values)`.
fn single_matrix<'a>(
    format: &'static str,
    expected: &str,
    outputs: &'a [OutputTensor<'_>],
) -> Result<(usize, usize, &'a [f32]), HeadError> {
    let [output] = outputs else {
        return Err(HeadError::Outputs { format, expected: format!("one output {expected}"), got: describe(outputs) });
    };
    match output.shape[..] {
        [1, rows, columns] => Ok((rows, columns, &output.values)),
        _ => Err(wrong_shape(format, output, expected.to_owned())),
    }
}

pub(super) fn wrong_shape(format: &'static str, output: &OutputTensor<'_>, expected: String) -> HeadError {
    HeadError::Shape { format, output: output.name.to_string(), expected, got: output.shape.clone() }
}

fn describe(outputs: &[OutputTensor<'_>]) -> String {
    let each: Vec<_> = outputs.iter().map(|output| format!("{} {:?}", output.name, output.shape)).collect();
    each.join(", ")
}

/// Cells of a map at a stride: `(columns, rows)`.
fn grid(spec: &ModelSpec, stride: usize) -> (usize, usize) {
    let stride = stride.max(1);
    (spec.input.width.div_ceil(stride), spec.input.height.div_ceil(stride))
}
