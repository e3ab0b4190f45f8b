//! How images must come into a network: size, channel order, normalisation, fit.

use serde::{Deserialize, Serialize};

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

impl Default for InputSpec {
    /// 640x640 RGB, values 0-255, letterboxed.
    fn default() -> Self {
        Self {
            width: 640,
            height: 640,
            color: ColorOrder::default(),
            mean: [0.0; 3],
            std: unit_std(),
            fit: Fit::default(),
        }
    }
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
