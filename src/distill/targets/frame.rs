//! The soft targets of one frame.

use crate::geometry::{Box2, FusedBox};

/// What the teachers said about one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTargets {
    /// Which of the labelled recordings the frame is from.
    pub source: u32,
    /// Place of the frame in its recording, from 0.
    pub index: u64,
    /// The frame's name in its recording.
    pub name: String,
    /// Header stamp, nanoseconds.
    pub stamp: i64,
    /// Width of the image in pixels.
    pub width: u32,
    /// Height of the image in pixels.
    pub height: u32,
    /// The boxes, best first; often none.
    pub boxes: Vec<SoftBox>,
}

/// A box that teachers agreed on.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftBox {
    /// Where, in pixels of the original image.
    pub bbox: Box2,
    /// Fused score per student class in `[0, 1]`.
    pub probabilities: Vec<f32>,
    /// How much a student should listen: trust of the teachers that saw the box times the share of the trust that saw it.
    pub weight: f32,
}

impl SoftBox {
    /// The most probable class and its score; `(0, 0.0)` when there are no classes.
    pub fn best(&self) -> (usize, f32) {
        let best_first = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
        self.probabilities.iter().copied().enumerate().fold((0, 0.0), best_first)
    }
}

impl From<FusedBox> for SoftBox {
    fn from(fused: FusedBox) -> Self {
        Self { bbox: fused.bbox, probabilities: fused.probabilities, weight: fused.trust * fused.agreement }
    }
}
