//! What must be known of a detector to run it: input, head and classes. It is kept in the bundle's metadata, or for a
//! foreign ONNX file in a small YAML beside it (`model.onnx` -> `model.yaml`).

use serde::{Deserialize, Serialize};

/// Everything that is needed to turn an image into detections with an ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// How images become the input tensor `[1, 3, height, width]`.
    pub input: InputSpec,
    /// How the outputs become boxes.
    pub head: HeadFormat,
    /// Class names in the order of the score vector.
    pub classes: Vec<String>,
    /// Detections under this score are dropped.
    #[serde(default = "default_score_threshold")]
    pub score_threshold: f32,
    /// Boxes of one class that overlap a better one by more than this are suppressed.
    #[serde(default = "default_iou_threshold")]
    pub iou_threshold: f32,
    /// At most this many detections an image are kept, the best ones.
    #[serde(default = "default_max_detections")]
    pub max_detections: usize,
}

fn default_score_threshold() -> f32 {
    0.3
}

fn default_iou_threshold() -> f32 {
    0.6
}

fn default_max_detections() -> usize {
    100
}

/// How an RGB image becomes the input tensor: fitted to `width` x `height`, then `(value - mean) / std` per channel with
/// values in 0-255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Width of the input tensor in pixels.
    pub width: usize,
    /// Height of the input tensor in pixels.
    pub height: usize,
    /// Channel order that the network was trained with.
    #[serde(default)]
    pub color: ColorOrder,
    /// Subtracted from each channel (0-255, in the tensor's channel order).
    #[serde(default)]
    pub mean: [f32; 3],
    /// Each channel is divided by this (0-255, in the tensor's channel order).
    #[serde(default = "unit_std")]
    pub std: [f32; 3],
    /// How an image of another shape is fitted.
    #[serde(default)]
    pub fit: Fit,
}

fn unit_std() -> [f32; 3] {
    [1.0; 3]
}

/// Order of the three channels in the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColorOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first (OpenCV's order).
    Bgr,
}

/// How an image is fitted into the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Aspect ratio kept, image in the middle, the rest filled with this grey value (0-255).
    LetterboxCenter(u8),
    /// Aspect ratio kept, image in the top-left corner, the rest filled with this grey value (0-255).
    LetterboxTopLeft(u8),
    /// Stretched to the input's size.
    Stretch,
}

impl Default for Fit {
    fn default() -> Self {
        Self::LetterboxCenter(114)
    }
}

/// How a network's outputs become boxes. One adapter each in [`crate::model`]'s `head` folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadFormat {
    /// Our own student: per stride a map of class logits `[1, C, H, W]` named `class_logits_S` and one of distance distributions
    /// `[1, 4 * bins, H, W]` named `box_distribution_S` (left, top, right, bottom; softmax over the bins; distances in
    /// units of the stride from the cell's centre), after Generalized Focal Loss (Li et al. 2020).
    Student {
        /// Strides of the maps, finest first.
        strides: Vec<usize>,
        /// Bins of each distance's distribution (`reg_max + 1`).
        bins: usize,
    },
    /// YOLOX raw head `[1, N, 5 + C]`: grid offsets and log sizes not yet decoded, objectness and classes already sigmoid.
    Yolox,
    /// NanoDet (GFL): per stride `[1, H*W, C]` scores (sigmoid applied) and `[1, H*W, 4 * bins]` distributions.
    Nanodet,
    /// FastestDet: one map `[1, 5 + C, H, W]`.
    Fastestdet,
    /// YOLOv8/11: `[1, 4 + C, N]`, boxes as centre and size in input pixels, scores sigmoid.
    Yolov8,
    /// YOLOv5: `[1, N, 5 + C]`, boxes as centre and size in input pixels, all decoded.
    Yolov5,
    /// DETR family: logits `[1, Q, C(+1)]` and boxes `[1, Q, 4]` as normalised centre and size.
    Detr,
    /// Suppression inside the graph: boxes `[.., N, 4]`, scores `[.., N]`, labels `[.., N]`.
    Suppressed,
}
