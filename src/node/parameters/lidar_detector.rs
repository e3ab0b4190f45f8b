//! Parameters of the node `lidar_detector`.

use std::time::Duration;

use r2r::RosParams;

use super::{
    Fixed, NodeParameters, ParameterError, TextList, bond_timeout, check_bond_timeout, check_model, check_share,
    check_topic, either, is_reliable, session_options,
};
use crate::{model::SessionOptions, sensing::range_image::MAX_POINTS};

/// Parameters of `lidar_detector`.
#[derive(Debug, Clone, RosParams)]
pub struct LidarDetectorParameters {
    /// Path of the model: a lidar bundle of `distill`. Read on configure.
    pub model: String,
    /// Topic of the scans or clouds. Read on configure.
    pub input_topic: String,
    /// Kind of the input: scan (sensor_msgs/msg/LaserScan) or cloud (sensor_msgs/msg/PointCloud2). Read on configure.
    pub input_type: String,
    /// Reliability of the subscription: best_effort (hears every lidar) or reliable. Read on configure.
    pub input_reliability: String,
    /// Objects of a lower score are not published, 0 to 1; negative: as the model says.
    pub score_threshold: f64,
    /// Threads of one inference; 0: one per core. Read on configure.
    pub threads: i64,
    /// What computes: cpu, xnnpack, openvino, cuda or tensorrt. Read on configure.
    pub provider: String,
    /// Folders that models may be loaded from, at any depth, links followed; empty: from anywhere. Read at the start.
    pub model_folders: Fixed<TextList>,
    /// Scans and clouds of more points are refused.
    pub max_points: i64,
    /// ONNX Runtime's library; empty: searched for. Read at the start.
    pub onnxruntime_library: Fixed<String>,
    /// Whether the node configures and activates itself at its start; else a lifecycle manager does. Read at the start.
    pub autostart: bool,
    /// Seconds that the bond of an active node to its lifecycle manager tolerates silence; 0: no bond. Read on activate.
    pub bond_timeout: f64,
}

impl Default for LidarDetectorParameters {
    fn default() -> Self {
        Self {
            model: String::new(),
            input_topic: "scan".into(),
            input_type: "scan".into(),
            input_reliability: "best_effort".into(),
            score_threshold: -1.0,
            threads: 1,
            provider: "cpu".into(),
            model_folders: Fixed::default(),
            max_points: 5_000_000,
            onnxruntime_library: Fixed::default(),
            autostart: true,
            bond_timeout: 4.0,
        }
    }
}

impl NodeParameters for LidarDetectorParameters {
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

/// What a sweep comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum SweepKind {
    Scan,
    Cloud,
}

impl LidarDetectorParameters {
    /// Checks what can be checked without the model.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        check_model(&self.model)?;
        check_topic("input_topic", &self.input_topic)?;
        self.kind()?;
        self.reliable()?;
        self.session_options()?;
        check_bond_timeout(self.bond_timeout)?;
        if !(1..=MAX_POINTS).contains(&self.max_points()) {
            let reason = format!("{} is not from 1 to {MAX_POINTS}", self.max_points);
            return Err(ParameterError::new("max_points", reason));
        }
        check_share("score_threshold", self.score_threshold)
    }

    pub(in crate::node) fn kind(&self) -> Result<SweepKind, ParameterError> {
        either("input_type", &self.input_type, [("scan", SweepKind::Scan), ("cloud", SweepKind::Cloud)])
    }

    pub(in crate::node) fn reliable(&self) -> Result<bool, ParameterError> {
        is_reliable("input_reliability", &self.input_reliability)
    }

    pub(in crate::node) fn session_options(&self) -> Result<SessionOptions, ParameterError> {
        session_options(&self.provider, self.threads, &self.onnxruntime_library.0, &self.model_folders.0)
    }

    /// Points of a sweep at most.
    pub(in crate::node) fn max_points(&self) -> u64 {
        u64::try_from(self.max_points).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::assert_refused;

    #[test]
    fn wrong_values_are_named() {
        let good = LidarDetectorParameters { model: "m.onnx".into(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        assert_refused([
            (LidarDetectorParameters { input_topic: String::new(), ..good.clone() }, "input_topic"),
            (LidarDetectorParameters { model: String::new(), ..good.clone() }, "model"),
            (LidarDetectorParameters { input_type: "laser".into(), ..good.clone() }, "input_type"),
            (LidarDetectorParameters { input_reliability: String::new(), ..good.clone() }, "input_reliability"),
            (LidarDetectorParameters { score_threshold: f64::NAN, ..good.clone() }, "score_threshold"),
            (LidarDetectorParameters { threads: -1, ..good.clone() }, "threads"),
            (LidarDetectorParameters { bond_timeout: f64::NAN, ..good.clone() }, "bond_timeout"),
            (LidarDetectorParameters { max_points: 0, ..good.clone() }, "max_points"),
            (LidarDetectorParameters { max_points: -1, ..good.clone() }, "max_points"),
            (LidarDetectorParameters { max_points: 1 << 40, ..good.clone() }, "max_points"),
            (
                LidarDetectorParameters { model_folders: Fixed(TextList(vec!["models".into()])), ..good.clone() },
                "model_folders",
            ),
        ]);
    }
}
