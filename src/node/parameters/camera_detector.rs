//! Parameters of the node `camera_detector`.

use std::time::Duration;

use r2r::RosParams;

use super::{
    DetectorParameters, NodeParameters, ParameterError, RELIABILITIES, Recorded, ShadowOptions, TextList, bond_timeout,
    check_bond_timeout, check_model, check_topic, check_values, either, is_reliable, providers, session_options, share,
    stamp_limits, words,
};
use crate::{
    model::SessionOptions,
    node::{
        diagnostics::{Thresholds, drift::DriftRule},
        recorder::RecordOptions,
        watch::StampLimits,
    },
    sensing::image::MAX_PIXELS,
};

/// What `max_image_megapixels` may be at most.
const MOST_MEGAPIXELS: f64 = MAX_PIXELS as f64 / 1e6;

/// Parameters of `camera_detector`.
#[derive(Debug, Clone, RosParams)]
pub struct CameraDetectorParameters {
    /// Path of the model: a bundle of `distill`, or another ONNX detector with a YAML beside it. While the node runs, the new one is loaded beside the old one and takes its place between two frames.
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
    pub model_folders: TextList,
    /// Images of more megapixels are refused: before they are decoded, where they are compressed.
    pub max_image_megapixels: f64,
    /// ONNX Runtime's library; empty: searched for. Read at the start.
    pub onnxruntime_library: String,
    /// Whether a model that is loaded while the node runs may lack classes that the running one has.
    pub allow_other_classes: bool,
    /// Path of a candidate that runs beside the model on spare time and is compared with it; empty: none.
    pub shadow_model: String,
    /// Share of the frames that the candidate gets at most, 0 to 1.
    pub shadow_share: f64,
    /// After so many compared frames the candidate takes the model's place by itself, if they agree; 0: never.
    pub promote_after: i64,
    /// Mean agreement (F1 score) from which on a candidate takes the model's place by itself, 0 to 1.
    pub promote_agreement: f64,
    /// Seconds from the stamp to the publication that 19 of 20 frames must stay within, else diagnostics warn; 0: no limit.
    pub latency_warn: f64,
    /// The same for an error in the diagnostics; 0: no limit.
    pub latency_error: f64,
    /// Share of what came in the last seconds that may be dropped, else diagnostics warn, 0 to 1; 0: no limit.
    pub drop_warn: f64,
    /// Resident memory in MiB above which diagnostics warn; 0: no limit.
    pub memory_warn: f64,
    /// Standard errors by which what is found may differ from what was found when the model was validated, else diagnostics warn; 0: no limit.
    pub drift_warn: f64,
    /// Frames after which the slower of the two windows of drift has forgotten most of what it knew. Read on configure.
    pub drift_window: i64,
    /// Seconds that an image may be old when it comes before diagnostics warn, up to 60; 0: that is not looked at.
    pub stale_warn: f64,
    /// Seconds that stamps may be ahead of this machine's clock before diagnostics warn, up to 60; 0: that is not looked at.
    pub future_warn: f64,
    /// Share of the last minute's rate under which diagnostics warn; 0: that is not looked at.
    pub rate_warn: f64,
    /// Whether frames are left alone, neither decoded nor run, while nobody listens to any output.
    pub idle_saving: bool,
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
            model_folders: TextList::default(),
            max_image_megapixels: 50.0,
            onnxruntime_library: String::new(),
            allow_other_classes: false,
            shadow_model: String::new(),
            shadow_share: 0.2,
            promote_after: 0,
            promote_agreement: 0.9,
            latency_warn: 0.0,
            latency_error: 0.0,
            drop_warn: 0.9,
            memory_warn: 0.0,
            drift_warn: 6.0,
            drift_window: 3000,
            stale_warn: 1.0,
            future_warn: 0.2,
            rate_warn: 0.5,
            idle_saving: true,
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
    const RANGES: &'static [(&'static str, f64, f64)] = &[
        ("score_threshold", -1.0, 1.0),
        ("iou_threshold", -1.0, 1.0),
        ("max_detections", 0.0, 100_000.0),
        ("threads", 0.0, 1024.0),
        ("bond_timeout", 0.0, 3600.0),
        ("shadow_share", 0.0, 1.0),
        ("promote_after", 0.0, 1e9),
        ("promote_agreement", 0.0, 1.0),
        ("drift_warn", 0.0, 1000.0),
        ("drift_window", 300.0, 1_000_000.0),
        ("record_limit_mb", 1.0, 1_000_000.0),
        ("record_part_mb", 1.0, 1_000_000.0),
        ("record_uncertainty", 0.0, 1.0),
        ("record_interval", 0.0, 3600.0),
        ("max_image_megapixels", 0.01, MOST_MEGAPIXELS),
        ("stale_warn", 0.0, 60.0),
        ("future_warn", 0.0, 60.0),
        ("rate_warn", 0.0, 1.0),
        ("latency_warn", 0.0, 3600.0),
        ("latency_error", 0.0, 3600.0),
        ("drop_warn", 0.0, 1.0),
        ("memory_warn", 0.0, 16_777_216.0),
    ];

    fn choices() -> Vec<(&'static str, Vec<&'static str>)> {
        vec![
            ("image_transport", words(&TRANSPORTS)),
            ("image_reliability", words(&RELIABILITIES)),
            ("provider", providers()),
        ]
    }

    fn check(&self) -> Result<(), ParameterError> {
        Self::check(self)
    }

    fn autostart(&self) -> bool {
        self.autostart
    }

    fn bond_timeout(&self) -> Option<Duration> {
        bond_timeout(self.bond_timeout)
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds {
            latency_warn: self.latency_warn,
            latency_error: self.latency_error,
            drop_warn: self.drop_warn,
            memory_warn: self.memory_warn,
        }
    }

    fn stamp_limits(&self) -> StampLimits {
        stamp_limits(self.stale_warn, self.future_warn, self.rate_warn)
    }
}

impl DetectorParameters for CameraDetectorParameters {
    fn model(&self) -> &str {
        &self.model
    }

    fn set_model(&mut self, path: &str) {
        path.clone_into(&mut self.model);
    }

    fn allow_other_classes(&self) -> bool {
        self.allow_other_classes
    }

    fn shadow(&self) -> ShadowOptions<'_> {
        ShadowOptions {
            model: &self.shadow_model,
            share: self.shadow_share,
            promote_after: self.promote_after,
            promote_agreement: self.promote_agreement,
        }
    }

    fn idle_saving(&self) -> bool {
        self.idle_saving
    }

    fn set_shadow_model(&mut self, path: &str) {
        path.clone_into(&mut self.shadow_model);
    }

    fn drift_rule(&self) -> DriftRule {
        DriftRule { warn: self.drift_warn, has_own_thresholds: self.has_own_thresholds() }
    }

    fn drift_window(&self) -> f64 {
        self.drift_window as f64
    }

    fn recording(&self) -> Option<RecordOptions> {
        self.recorded().options()
    }
}

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum ImageTransport {
    Raw,
    Compressed,
}

/// Words of `image_transport`.
const TRANSPORTS: [(&str, ImageTransport); 2] =
    [("raw", ImageTransport::Raw), ("compressed", ImageTransport::Compressed)];

impl CameraDetectorParameters {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        check_values(self)?;
        self.recorded().check()?;
        check_topic("image_topic", &self.image_topic)?;
        check_bond_timeout(self.bond_timeout)?;
        self.session_options()?;
        check_model(&self.model)
    }

    pub(in crate::node) fn transport(&self) -> Result<ImageTransport, ParameterError> {
        either("image_transport", &self.image_transport, TRANSPORTS)
    }

    pub(in crate::node) fn reliable(&self) -> Result<bool, ParameterError> {
        is_reliable("image_reliability", &self.image_reliability)
    }

    /// Whether the model's own thresholds decide what is published.
    fn has_own_thresholds(&self) -> bool {
        share(self.score_threshold).is_none() && share(self.iou_threshold).is_none() && self.max_detections <= 0
    }

    pub(in crate::node) fn session_options(&self) -> Result<SessionOptions, ParameterError> {
        session_options(&self.provider, self.threads, &self.onnxruntime_library, &self.model_folders)
    }

    /// Pixels of an image at most.
    pub(in crate::node) fn max_pixels(&self) -> u64 {
        (self.max_image_megapixels * 1e6) as u64
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::assert_refused;

    #[test]
    fn wrong_values_are_named() {
        let good = CameraDetectorParameters { model: "m.onnx".into(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        let folders = |folder: &str| TextList(vec![folder.into()]);
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
            (CameraDetectorParameters { record_folder: "field".into(), ..good.clone() }, "record_folder"),
            (CameraDetectorParameters { provider: "gpu".into(), ..good.clone() }, "provider"),
            (CameraDetectorParameters { shadow_share: 20.0, ..good.clone() }, "shadow_share"),
            (CameraDetectorParameters { promote_after: -1, ..good.clone() }, "promote_after"),
            (CameraDetectorParameters { promote_agreement: f64::NAN, ..good.clone() }, "promote_agreement"),
            (CameraDetectorParameters { max_detections: -1, ..good.clone() }, "max_detections"),
            (CameraDetectorParameters { bond_timeout: -1.0, ..good.clone() }, "bond_timeout"),
            (CameraDetectorParameters { latency_warn: -0.1, ..good.clone() }, "latency_warn"),
            (CameraDetectorParameters { latency_error: f64::NAN, ..good.clone() }, "latency_error"),
            (CameraDetectorParameters { drop_warn: 50.0, ..good.clone() }, "drop_warn"),
            (CameraDetectorParameters { memory_warn: f64::INFINITY, ..good.clone() }, "memory_warn"),
            (CameraDetectorParameters { drift_warn: -6.0, ..good.clone() }, "drift_warn"),
            (CameraDetectorParameters { drift_window: 10, ..good.clone() }, "drift_window"),
            (CameraDetectorParameters { stale_warn: 61.0, ..good.clone() }, "stale_warn"),
            (CameraDetectorParameters { future_warn: -0.1, ..good.clone() }, "future_warn"),
            (CameraDetectorParameters { rate_warn: f64::NAN, ..good.clone() }, "rate_warn"),
            (CameraDetectorParameters { max_image_megapixels: f64::NAN, ..good.clone() }, "max_image_megapixels"),
            (CameraDetectorParameters { max_image_megapixels: 68.0, ..good.clone() }, "max_image_megapixels"),
            (CameraDetectorParameters { model_folders: folders("models"), ..good.clone() }, "model_folders"),
        ]);
        assert!(good.has_own_thresholds());
        assert!(!CameraDetectorParameters { score_threshold: 0.5, ..good.clone() }.has_own_thresholds());
        assert!(!CameraDetectorParameters { max_detections: 1, ..good }.has_own_thresholds());
    }
}
