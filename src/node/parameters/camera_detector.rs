//! Parameters of the node `camera_detector`.

use std::time::Duration;

use r2r::RosParams;

use super::{
    NodeParameters, ParameterError, Recorded, TextList, bond_timeout, check_bond_timeout, check_model, check_share,
    check_topic, either, is_reliable, session_options,
};
use crate::{model::SessionOptions, node::recorder::RecordOptions};

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
    /// ONNX Runtime's library; empty: searched for. Read on configure.
    pub onnxruntime_library: String,
    /// Folder that frames which the student is unsure of are recorded into, absolute, and there already; empty: nothing is recorded. Read on configure.
    pub record_folder: String,
    /// Megabytes of all recorded parts together, beyond which the oldest is deleted. Read on configure.
    pub record_limit_mb: i64,
    /// Megabytes from which a recorded part is finished and another one begun, at most record_limit_mb. Read on configure.
    pub record_part_mb: i64,
    /// Bits of entropy of a score from which a frame is recorded, 0 to 1: 0.9 is a score from 0.32 to 0.68. Read on configure.
    pub record_uncertainty: f64,
    /// Seconds between two recorded frames at least. Read on configure.
    pub record_interval: f64,
    /// Topics that are recorded around such a frame, for example camera_info, /tf and /tf_static. Read on configure.
    pub record_topics: TextList,
    /// Topic on which obstacle_fusion asks for frames where camera and lidar disagree (std_msgs/msg/Header); empty: none. Read on configure.
    pub record_requests: String,
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
            onnxruntime_library: String::new(),
            record_folder: String::new(),
            record_limit_mb: 500,
            record_part_mb: 50,
            record_uncertainty: 0.9,
            record_interval: 1.0,
            record_topics: TextList::default(),
            record_requests: "obstacle_fusion/uncertain".into(),
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
        self.recorded().check()?;
        check_bond_timeout(self.bond_timeout)?;
        check_share("score_threshold", self.score_threshold)?;
        check_share("iou_threshold", self.iou_threshold)?;
        if self.max_detections < 0 {
            let reason = format!("{} is negative; 0 is as the model says", self.max_detections);
            return Err(ParameterError::new("max_detections", reason));
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
        session_options(&self.provider, self.threads, &self.onnxruntime_library)
    }

    fn recorded(&self) -> Recorded<'_> {
        Recorded {
            folder: &self.record_folder,
            limit_mb: self.record_limit_mb,
            part_mb: self.record_part_mb,
            uncertainty: self.record_uncertainty,
            interval: self.record_interval,
            topics: &self.record_topics,
            requests: &self.record_requests,
        }
    }

    /// What is recorded; nothing where recording is off.
    pub(in crate::node) fn recording(&self) -> Option<RecordOptions> {
        self.recorded().options()
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
        assert_refused([
            (CameraDetectorParameters { image_topic: String::new(), ..good.clone() }, "image_topic"),
            (CameraDetectorParameters { threads: 1 << 32, ..good.clone() }, "threads"),
            (CameraDetectorParameters { model: String::new(), ..good.clone() }, "model"),
            (CameraDetectorParameters { image_transport: "rgb8".into(), ..good.clone() }, "image_transport"),
            (CameraDetectorParameters { image_reliability: "best effort".into(), ..good.clone() }, "image_reliability"),
            (CameraDetectorParameters { score_threshold: 40.0, ..good.clone() }, "score_threshold"),
            (CameraDetectorParameters { threads: -1, ..good.clone() }, "threads"),
            (CameraDetectorParameters { record_folder: "field".into(), ..good.clone() }, "record_folder"),
            (CameraDetectorParameters { provider: "gpu".into(), ..good.clone() }, "provider"),
            (CameraDetectorParameters { bond_timeout: -1.0, ..good.clone() }, "bond_timeout"),
        ]);
    }
}
