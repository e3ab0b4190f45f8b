//! Several teachers asked about the same image.

use std::collections::BTreeMap;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{FeatureMap, Teacher, TeacherConfig, TeacherError, class_map::nearest_hint};
use crate::{
    distill::digest::file_sha256,
    geometry::{FusedBox, FusionBox, FusionSource, weighted_box_fusion},
    model::{ModelError, ModelSpec, SoftDetection, StageTiming},
};

/// Thresholds of soft targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleOptions {
    /// Teachers' boxes and fused boxes with a lower best score are dropped. Low, because a student also learns from doubt.
    pub score_threshold: f32,
    /// Boxes of two teachers mean the same object when they overlap by more than this IoU.
    pub iou_threshold: f32,
}

impl Default for EnsembleOptions {
    fn default() -> Self {
        Self { score_threshold: 0.05, iou_threshold: 0.55 }
    }
}

/// Where targets come from: one teacher as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherProvenance {
    /// What it is called.
    pub name: String,
    /// The ONNX file.
    pub path: String,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
    /// How far it was trusted.
    pub trust: f32,
    /// Its classes that were used, with the student's names for them.
    pub class_map: BTreeMap<String, String>,
    /// How it was run.
    pub spec: ModelSpec,
}

impl TeacherProvenance {
    /// Per student class, whether the teacher knows it.
    pub fn knows(&self, classes: &[String]) -> Vec<bool> {
        classes.iter().map(|class| self.class_map.values().any(|meant| meant == class)).collect()
    }
}

/// What detectors said about an image, fused; boxes under the score threshold are dropped.
pub fn fuse(sources: &[FusionSource<'_>], options: EnsembleOptions) -> Vec<FusedBox> {
    let mut fused = weighted_box_fusion(sources, options.iou_threshold);
    fused.retain(|fused| fused.score() >= options.score_threshold);
    fused
}

/// Boxes as the fusion takes them.
pub(super) fn fusion_boxes(detections: &[SoftDetection]) -> Vec<FusionBox<'_>> {
    detections.iter().map(|found| FusionBox { bbox: found.bbox, probabilities: &found.probabilities }).collect()
}

/// What an ensemble says about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleOutput {
    /// The fused boxes in pixels of the image, best first.
    pub fused: Vec<FusedBox>,
    /// What each teacher said, in the order of the teachers, with a score per student class.
    pub per_teacher: Vec<Vec<SoftDetection>>,
    /// How long each teacher took.
    pub timing: Vec<StageTiming>,
    /// The tapped tensors of each teacher, in the order in which they were named.
    pub features: Vec<Vec<FeatureMap>>,
}

/// Teachers of one student.
#[derive(Debug)]
pub struct Ensemble {
    teachers: Vec<Teacher>,
    options: EnsembleOptions,
}

impl Ensemble {
    /// Loads all teachers, each computing on one thread.
    ///
    /// # Errors
    /// [`TeacherError`]: a teacher cannot be loaded, knows none of the student's classes, or a class has no teacher.
    pub fn load(
        teachers: &[TeacherConfig],
        classes: &[String],
        options: EnsembleOptions,
    ) -> Result<Self, TeacherError> {
        Self::load_tapped(teachers, classes, options, &[])
    }

    /// [`Self::load`] with tensors of the teachers' networks: `taps` has a list of names for each teacher, in their order; those
    /// beyond its end have none.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Teacher::load_tapped`].
    pub fn load_tapped(
        teachers: &[TeacherConfig],
        classes: &[String],
        options: EnsembleOptions,
        taps: &[Vec<String>],
    ) -> Result<Self, TeacherError> {
        for (name, value) in [("score_threshold", options.score_threshold), ("iou_threshold", options.iou_threshold)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(TeacherError::Threshold { name, value });
            }
        }
        let load = |(index, config): (usize, &TeacherConfig)| {
            let tensors = taps.get(index).map(Vec::as_slice).unwrap_or_default();
            Teacher::load_tapped(config, classes, options, tensors)
        };
        let teachers = teachers.iter().enumerate().map(load).collect::<Result<Vec<_>, _>>()?;
        if teachers.is_empty() {
            return Err(TeacherError::None);
        }
        for (index, class) in classes.iter().enumerate() {
            if !teachers.iter().any(|teacher| teacher.knows()[index]) {
                let known: Vec<&String> =
                    teachers.iter().flat_map(|teacher| &teacher.detector().spec().classes).collect();
                return Err(TeacherError::Untaught {
                    class: class.clone(),
                    hint: nearest_hint([class], known.iter().copied()),
                });
            }
        }
        Ok(Self { teachers, options })
    }

    /// The teachers' names.
    pub fn names(&self) -> Vec<String> {
        self.teachers.iter().map(Teacher::name).collect()
    }

    /// The teachers.
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// What to keep with the targets about who made them.
    ///
    /// # Errors
    /// [`TeacherError::Read`] when a model's file cannot be read any more.
    pub fn provenance(&self) -> Result<Vec<TeacherProvenance>, TeacherError> {
        let provenance = |teacher: &Teacher| {
            let path = teacher.config.model.display().to_string();
            match file_sha256(&teacher.config.model) {
                Err(source) => Err(TeacherError::Read { teacher: teacher.name(), path, source }),
                Ok(sha256) => Ok(TeacherProvenance {
                    name: teacher.name(),
                    path,
                    sha256,
                    trust: teacher.config.trust,
                    class_map: teacher.class_map.names().clone(),
                    spec: teacher.detector().spec().clone(),
                }),
            }
        };
        self.teachers.iter().map(provenance).collect()
    }

    /// Asks all teachers about an image and fuses their answers.
    ///
    /// # Errors
    /// A teacher fails in ONNX Runtime, or its outputs do not fit its head.
    pub fn label(&mut self, image: &RgbImage) -> Result<EnsembleOutput, ModelError> {
        let mut per_teacher = Vec::with_capacity(self.teachers.len());
        let mut timing = Vec::with_capacity(self.teachers.len());
        let mut features = Vec::with_capacity(self.teachers.len());
        for teacher in &mut self.teachers {
            let (found, maps) = teacher.detect_tapped(image)?;
            per_teacher.push(found.detections);
            timing.push(found.timing);
            features.push(maps);
        }
        let sources: Vec<FusionSource<'_>> = self
            .teachers
            .iter()
            .zip(&per_teacher)
            .map(|(teacher, detections)| FusionSource {
                trust: teacher.config.trust,
                knows: teacher.knows(),
                boxes: fusion_boxes(detections),
            })
            .collect();
        Ok(EnsembleOutput { fused: fuse(&sources, self.options), per_teacher, timing, features })
    }

    /// The tapped tensors of each teacher alone, as in [`EnsembleOutput::features`].
    ///
    /// # Errors
    /// A teacher fails in ONNX Runtime, or a tensor is no feature map.
    pub fn features(&mut self, image: &RgbImage) -> Result<Vec<Vec<FeatureMap>>, ModelError> {
        self.teachers.iter_mut().map(|teacher| teacher.features(image)).collect()
    }
}
