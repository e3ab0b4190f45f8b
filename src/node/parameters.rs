//! The nodes' parameters. The doc comments are the descriptions that `ros2 param describe` shows.

use std::path::PathBuf;

use r2r::RosParams;

use crate::model::{ExecutionProvider, SessionOptions};

/// Parameters of `camera_detector`.
#[derive(Debug, Clone, RosParams)]
pub struct CameraDetectorParameters {
    /// Path of the model: a bundle of `distill`, or another ONNX detector with a YAML beside it. Read at the start.
    pub model: String,
    /// Topic of the images. Read at the start.
    pub image_topic: String,
    /// Kind of the images: raw (sensor_msgs/msg/Image) or compressed (sensor_msgs/msg/CompressedImage). Read at the start.
    pub image_transport: String,
    /// Reliability of the image subscription: best_effort (hears every camera) or reliable. Read at the start.
    pub image_reliability: String,
    /// Detections of a lower score are not published, 0 to 1; negative: as the model says.
    pub score_threshold: f64,
    /// Of boxes of one class that overlap by more than this IoU the best stays, 0 to 1; negative: as the model says.
    pub iou_threshold: f64,
    /// At most this many detections an image; 0: as the model says.
    pub max_detections: i64,
    /// Threads of one inference; 0: one per core. Read at the start.
    pub threads: i64,
    /// What computes: cpu, xnnpack, openvino, cuda or tensorrt. Read at the start.
    pub provider: String,
    /// ONNX Runtime's library; empty: searched for. Read at the start.
    pub onnxruntime_library: String,
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
        }
    }
}

/// A parameter that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parameter {name}: {reason}")]
pub struct ParameterError {
    /// The parameter.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageTransport {
    Raw,
    Compressed,
}

impl CameraDetectorParameters {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        if self.model.is_empty() {
            let reason = "no model is given; for example --ros-args -p model:=/path/to/student.onnx".into();
            return Err(ParameterError { name: "model", reason });
        }
        self.transport()?;
        self.reliable()?;
        self.session_options()?;
        for (name, value) in [("score_threshold", self.score_threshold), ("iou_threshold", self.iou_threshold)] {
            if value.is_nan() || value > 1.0 {
                return Err(ParameterError { name, reason: format!("{value} is no share of 1") });
            }
        }
        if self.max_detections < 0 {
            let reason = format!("{} is negative", self.max_detections);
            return Err(ParameterError { name: "max_detections", reason });
        }
        Ok(())
    }

    pub(super) fn transport(&self) -> Result<ImageTransport, ParameterError> {
        match self.image_transport.as_str() {
            "raw" => Ok(ImageTransport::Raw),
            "compressed" => Ok(ImageTransport::Compressed),
            other => Err(ParameterError {
                name: "image_transport",
                reason: format!("`{other}` is neither raw nor compressed"),
            }),
        }
    }

    pub(super) fn reliable(&self) -> Result<bool, ParameterError> {
        match self.image_reliability.as_str() {
            "best_effort" => Ok(false),
            "reliable" => Ok(true),
            other => {
                let reason = format!("`{other}` is neither best_effort nor reliable");
                Err(ParameterError { name: "image_reliability", reason })
            }
        }
    }

    pub(super) fn session_options(&self) -> Result<SessionOptions, ParameterError> {
        let provider = ExecutionProvider::ALL.into_iter().find(|provider| provider.name() == self.provider);
        let provider = provider.ok_or_else(|| {
            let known = ExecutionProvider::ALL.map(ExecutionProvider::name).join(", ");
            ParameterError { name: "provider", reason: format!("`{}` is none of {known}", self.provider) }
        })?;
        let threads = match usize::try_from(self.threads) {
            Ok(0) => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            Ok(threads) => threads,
            Err(_) => {
                return Err(ParameterError { name: "threads", reason: format!("{} is negative", self.threads) });
            }
        };
        let library = (!self.onnxruntime_library.is_empty()).then(|| PathBuf::from(&self.onnxruntime_library));
        Ok(SessionOptions { threads, provider, library })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named() {
        let good = CameraDetectorParameters { model: "m.onnx".into(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        let cases: [(CameraDetectorParameters, &str); 6] = [
            (CameraDetectorParameters { model: String::new(), ..good.clone() }, "model"),
            (CameraDetectorParameters { image_transport: "rgb8".into(), ..good.clone() }, "image_transport"),
            (CameraDetectorParameters { image_reliability: "best effort".into(), ..good.clone() }, "image_reliability"),
            (CameraDetectorParameters { score_threshold: 40.0, ..good.clone() }, "score_threshold"),
            (CameraDetectorParameters { threads: -1, ..good.clone() }, "threads"),
            (CameraDetectorParameters { provider: "gpu".into(), ..good.clone() }, "provider"),
        ];
        for (parameters, name) in cases {
            assert_eq!(parameters.check().unwrap_err().name, name);
        }
    }
}
