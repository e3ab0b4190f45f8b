//! Parameters of the node `camera_detector`.

use std::time::Duration;

use r2r::RosParams;

use super::{
    Fixed, NodeParameters, ParameterError, TextList, bond_timeout, check_bond_timeout, check_model, check_share,
    check_topic, either, is_reliable, session_options,
};
use crate::{model::SessionOptions, sensing::image::MAX_PIXELS};

/// What `max_image_megapixels` may be at most.
const MOST_MEGAPIXELS: f64 = MAX_PIXELS as f64 / 1e6;

/// Parameters of `camera_detector`.
#[derive(Debug, Clone, RosParams)]
pub struct CameraDetectorParameters {
    /// Path of the model: a bundle of `distill`, or another ONNX detector with a YAML beside it. Read on configure.
    pub model: String,
    /// Topic of the images. Read on configure.
    pub image_topic: String,
    /// Kind of the images: raw (sensor_msgs/msg/Image) or compressed (sensor_msgs/msg/CompressedImage). Read on configure.
    pub image_transport: String,
    /// Reliability of the image subscription: best_effort (hears every camera) or reliable. Read on configure.
    pub image_reliability: String,
    /// Detections of a lower score are not published, 0 to 1; negative: as the model says.
    pub score_threshold: f64,
    /// Of boxes of one class that overlap by more than this IoU the best stays, 0 to 1; negative: as the model says.
    pub iou_threshold: f64,
    /// At most this many detections an image; 0: as the model says.
    pub max_detections: i64,
    /// Threads of one inference; 0: one per core. Read on configure.
    pub threads: i64,
    /// What computes: cpu, xnnpack, openvino, cuda or tensorrt. Read on configure.
    pub provider: String,
    /// Folders that models may be loaded from, at any depth, links followed; empty: from anywhere. Read at the start.
    pub model_folders: Fixed<TextList>,
    /// Images of more megapixels are refused: before they are decoded, where they are compressed.
    pub max_image_megapixels: f64,
    /// ONNX Runtime's library; empty: searched for. Read at the start.
    pub onnxruntime_library: Fixed<String>,
    /// Whether the node configures and activates itself at its start; else a lifecycle manager does. Read at the start.
    pub autostart: bool,
    /// Seconds that the bond of an active node to its lifecycle manager tolerates silence; 0: no bond. Read on activate.
    pub bond_timeout: f64,
}

impl Default for CameraDetectorParameters {
    fn default() -> Self {
        Self {
            model: String::new(),
            image_topic: "image".into(),
            image_transport: "raw".into(),
            image_reliability: "best_effort".into(),
            score_threshold: -1.0,
            iou_threshold: -1.0,
            max_detections: 0,
            threads: 1,
            provider: "cpu".into(),
            model_folders: Fixed::default(),
            max_image_megapixels: 50.0,
            onnxruntime_library: Fixed::default(),
            autostart: true,
            bond_timeout: 4.0,
        }
    }
}

impl NodeParameters for CameraDetectorParameters {
    fn check(&self) -> Result<(), ParameterError> {
        Self::check(self)
    }

    fn autostart(&self) -> bool {
        self.autostart
    }

    fn bond_timeout(&self) -> Option<Duration> {
        bond_timeout(self.bond_timeout)
    }
}

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum ImageTransport {
    Raw,
    Compressed,
}

impl CameraDetectorParameters {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        check_model(&self.model)?;
        check_topic("image_topic", &self.image_topic)?;
        self.transport()?;
        self.reliable()?;
        self.session_options()?;
        check_bond_timeout(self.bond_timeout)?;
        check_share("score_threshold", self.score_threshold)?;
        check_share("iou_threshold", self.iou_threshold)?;
        if self.max_detections < 0 {
            let reason = format!("{} is negative; 0 is as the model says", self.max_detections);
            return Err(ParameterError::new("max_detections", reason));
        }
        if !(0.01..=MOST_MEGAPIXELS).contains(&self.max_image_megapixels) {
            let reason = format!("{} is not from 0.01 to {MOST_MEGAPIXELS}", self.max_image_megapixels);
            return Err(ParameterError::new("max_image_megapixels", reason));
        }
        Ok(())
    }

    pub(in crate::node) fn transport(&self) -> Result<ImageTransport, ParameterError> {
        let kinds = [("raw", ImageTransport::Raw), ("compressed", ImageTransport::Compressed)];
        either("image_transport", &self.image_transport, kinds)
    }

    pub(in crate::node) fn reliable(&self) -> Result<bool, ParameterError> {
        is_reliable("image_reliability", &self.image_reliability)
    }

    pub(in crate::node) fn session_options(&self) -> Result<SessionOptions, ParameterError> {
        session_options(&self.provider, self.threads, &self.onnxruntime_library.0, &self.model_folders.0)
    }

    /// Pixels of an image at most.
    pub(in crate::node) fn max_pixels(&self) -> u64 {
        (self.max_image_megapixels * 1e6) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::assert_refused;

    #[test]
    fn wrong_values_are_named() {
        let good = CameraDetectorParameters { model: "m.onnx".into(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        let folders = |folder: &str| Fixed(TextList(vec![folder.into()]));
        let limited = CameraDetectorParameters { model_folders: folders("/models"), ..good.clone() };
        assert_eq!(limited.session_options().unwrap().limits.folders, [std::path::PathBuf::from("/models")]);
        assert_refused([
            (CameraDetectorParameters { image_topic: String::new(), ..good.clone() }, "image_topic"),
            (CameraDetectorParameters { threads: 1 << 32, ..good.clone() }, "threads"),
            (CameraDetectorParameters { model: String::new(), ..good.clone() }, "model"),
            (CameraDetectorParameters { image_transport: "rgb8".into(), ..good.clone() }, "image_transport"),
            (CameraDetectorParameters { image_reliability: "best effort".into(), ..good.clone() }, "image_reliability"),
            (CameraDetectorParameters { score_threshold: 40.0, ..good.clone() }, "score_threshold"),
            (CameraDetectorParameters { threads: -1, ..good.clone() }, "threads"),
            (CameraDetectorParameters { provider: "gpu".into(), ..good.clone() }, "provider"),
            (CameraDetectorParameters { bond_timeout: -1.0, ..good.clone() }, "bond_timeout"),
            (CameraDetectorParameters { max_image_megapixels: f64::NAN, ..good.clone() }, "max_image_megapixels"),
            (CameraDetectorParameters { max_image_megapixels: 68.0, ..good.clone() }, "max_image_megapixels"),
            (CameraDetectorParameters { model_folders: folders("models"), ..good.clone() }, "model_folders"),
        ]);
    }
}
