//! What must be known of a detector to run it: input, head and classes. It is kept in the bundle's metadata, or for a
//! foreign ONNX file in a small YAML beside it (`model.onnx` -> `model.yaml`).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ModelError, threshold};
use crate::{sensing::InputSpec, unknown_key};

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
    /// By class name: detections of that class under this score are dropped; other classes have `score_threshold`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_thresholds: BTreeMap<String, f32>,
    /// Boxes of one class that overlap a better one by more than this are suppressed.
    #[serde(default = "default_iou_threshold")]
    pub iou_threshold: f32,
    /// At most this many detections an image are kept, the best ones.
    #[serde(default = "default_max_detections")]
    pub max_detections: usize,
}

impl ModelSpec {
    /// A specification with the usual thresholds: score 0.3, overlap 0.6, 100 boxes an image.
    pub fn new(input: InputSpec, head: HeadFormat, classes: Vec<String>) -> Self {
        Self {
            input,
            head,
            classes,
            score_threshold: default_score_threshold(),
            class_thresholds: BTreeMap::new(),
            iou_threshold: default_iou_threshold(),
            max_detections: default_max_detections(),
        }
    }

    /// The score that a detection of a class must reach.
    pub fn threshold(&self, class: usize) -> f32 {
        threshold::of_class(&self.classes, class, self.score_threshold, &self.class_thresholds)
    }

    /// A score that no detection is kept under, whatever its class.
    pub fn lowest_threshold(&self) -> f32 {
        self.class_thresholds.values().fold(self.score_threshold, |lowest, &own| lowest.min(own))
    }

    /// Reads the YAML beside a foreign model.
    ///
    /// # Errors
    /// The file cannot be read or has more than a megabyte, a key is unknown or missing, or [`Self::validate`] finds fault.
    pub fn read_yaml(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let fault = |reason: String| ModelError::Spec { path: path.to_path_buf(), reason };
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_YAML_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| fault(error.to_string()))?;
        if text.len() as u64 > MAX_YAML_BYTES {
            return Err(fault(format!("it has more than {MAX_YAML_BYTES} bytes, so it is no specification")));
        }
        Self::from_yaml(&text).map_err(fault)
    }

    /// [`Self::read_yaml`] of the YAML itself.
    ///
    /// # Errors
    /// In words: a key is unknown or missing, or [`Self::validate`] finds fault.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        let misspelt = |error: serde_yaml::Error| {
            let message = error.to_string();
            format!("{message}{}", unknown_key::hint(&message))
        };
        let spec: Self = serde_yaml::from_str(text).map_err(misspelt)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Says what cannot be run: sizes of 0, divisors of 0, thresholds outside of `[0, 1]` or of no class, no classes.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let sizes = 1..=MAX_INPUT_SIZE;
        if !sizes.contains(&self.input.width) || !sizes.contains(&self.input.height) {
            let (width, height) = (self.input.width, self.input.height);
            return Err(format!(
                "input.width and input.height must be 1 to {MAX_INPUT_SIZE}, they are {width} and {height}"
            ));
        }
        if self.input.std.iter().any(|std| !std.is_finite() || *std == 0.0) {
            return Err(format!("input.std must hold numbers other than 0, it is {:?}", self.input.std));
        }
        if self.input.mean.iter().any(|mean| !mean.is_finite()) {
            return Err(format!("input.mean must hold finite numbers, it is {:?}", self.input.mean));
        }
        threshold::check("score_threshold", self.score_threshold)?;
        threshold::check("iou_threshold", self.iou_threshold)?;
        threshold::check_classes(&self.classes, &self.class_thresholds)?;
        if self.classes.is_empty() {
            return Err("classes must name at least one class".into());
        }
        if let HeadFormat::Student { strides, bins } = &self.head
            && (strides.is_empty() || strides.contains(&0) || *bins == 0)
        {
            return Err(format!("head.student needs strides and bins above 0, they are {strides:?} and {bins}"));
        }
        Ok(())
    }
}

/// Bytes of a YAML beside a model at most: a thousand times what the longest one has.
const MAX_YAML_BYTES: u64 = 1 << 20;
/// Greatest width and height of a network's input in pixels: what is beyond is a slip of the pen.
const MAX_INPUT_SIZE: usize = 8192;

/// The score threshold of a specification that names none.
pub(super) fn default_score_threshold() -> f32 {
    0.3
}

fn default_iou_threshold() -> f32 {
    0.6
}

fn default_max_detections() -> usize {
    100
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
    /// NanoDet (GFL): per stride `[1, H*W, C]` scores (sigmoid applied) and `[1, H*W, 4 * bins]` distributions; or both in one
    /// output `[1, N, C + 32]` of all strides.
    Nanodet,
    /// FastestDet: one map `[1, 5 + C, H, W]`.
    Fastestdet,
    /// YOLOv8/11: `[1, 4 + C, N]`, boxes as centre and size in input pixels, scores sigmoid.
    Yolov8,
    /// YOLOv5 (v6, v7, decoded YOLOX): `[1, N, 5 + C]`, boxes as centre and size in input pixels, all decoded.
    Yolov5,
    /// DETR family: logits `[1, Q, C(+1)]` and boxes `[1, Q, 4]` as normalised centre and size.
    Detr,
    /// Suppression inside the graph: boxes `[.., N, 4]`, scores `[.., N]`, labels `[.., N]`.
    Suppressed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<ModelSpec, serde_yaml::Error> {
        serde_yaml::from_str(&format!(
            "input: {{width: 32, height: 16}}\nhead: yolox\nclasses: [person, pallet]\n{more}"
        ))
    }

    #[test]
    fn a_class_may_have_a_threshold_of_its_own() {
        let spec = read("score_threshold: 0.25\nclass_thresholds: {pallet: 0.5}").unwrap();
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!((spec.threshold(0), spec.threshold(1), spec.threshold(2)), (0.25, 0.5, 0.25));
        assert_eq!(spec.lowest_threshold(), 0.25);
        let lower = read("class_thresholds: {pallet: 0.125}").unwrap();
        assert_eq!((lower.threshold(0), lower.lowest_threshold()), (0.3, 0.125));
        let written = serde_yaml::to_string(&spec).unwrap();
        assert_eq!(serde_yaml::from_str::<ModelSpec>(&written).unwrap(), spec);
    }

    #[test]
    fn without_thresholds_of_their_own_nothing_is_written_and_one_holds_for_all() {
        let spec = read("").unwrap();
        assert_eq!((spec.threshold(0), spec.threshold(1), spec.lowest_threshold()), (0.3, 0.3, 0.3));
        assert!(!serde_yaml::to_string(&spec).unwrap().contains("class_thresholds"));
    }

    #[test]
    fn thresholds_of_no_class_or_out_of_range_are_told() {
        let unknown = read("class_thresholds: {palet: 0.5}").unwrap().validate().unwrap_err();
        assert!(unknown.contains("class_thresholds") && unknown.contains("palet"), "{unknown}");
        let range = read("class_thresholds: {pallet: 50}").unwrap().validate().unwrap_err();
        assert!(range.contains("class_thresholds.pallet") && range.contains("50"), "{range}");
    }
}
