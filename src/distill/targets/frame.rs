//! The soft targets of one frame.

use super::PictureStatistics;
use crate::{
    distill::loss::TargetBox,
    geometry::{Box2, FusedBox, FusionBox, FusionSource},
    model::SoftDetection,
};

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
    /// What the picture is like.
    pub picture: PictureStatistics,
    /// The fused boxes, best first; often none.
    pub boxes: Vec<SoftBox>,
    /// What each teacher said by itself, in the order of the labelling's teachers, with a probability per student class. Boxes
    /// under the ensemble's score threshold are left out.
    pub per_teacher: Vec<Vec<SoftBox>>,
}

/// A box that teachers agreed on, or that one of them found.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftBox {
    /// Where, in pixels of the original image.
    pub bbox: Box2,
    /// Score per student class in `[0, 1]`; of a fused box the fused one.
    pub probabilities: Vec<f32>,
    /// How much a student should listen: trust of the teachers that saw the box times the share of the trust that saw it. Of one
    /// teacher's box its trust.
    pub weight: f32,
}

impl SoftBox {
    /// The most probable class and its score; `(0, 0.0)` when there are no classes.
    pub fn best(&self) -> (usize, f32) {
        let best_first = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
        self.probabilities.iter().copied().enumerate().fold((0, 0.0), best_first)
    }

    /// What a teacher of this trust found, its classes translated to the student's already.
    pub fn of_teacher(found: SoftDetection, trust: f32) -> Self {
        Self { bbox: found.bbox, probabilities: found.probabilities, weight: trust }
    }
}

/// What one teacher said about a frame, as the fusion takes it.
pub(in crate::distill) fn fusion_source<'a>(boxes: &'a [SoftBox], knows: &'a [bool], trust: f32) -> FusionSource<'a> {
    let boxes = boxes.iter().map(|found| FusionBox { bbox: found.bbox, probabilities: &found.probabilities });
    FusionSource { trust, knows, boxes: boxes.collect() }
}

impl From<SoftBox> for TargetBox {
    fn from(soft: SoftBox) -> Self {
        Self { bbox: soft.bbox, probabilities: soft.probabilities, weight: soft.weight }
    }
}

impl From<FusedBox> for SoftBox {
    fn from(fused: FusedBox) -> Self {
        Self { bbox: fused.bbox, probabilities: fused.probabilities, weight: fused.trust * fused.agreement }
    }
}
