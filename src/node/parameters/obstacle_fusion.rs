//! Parameters of the node `obstacle_fusion`.

use std::time::Duration;

use r2r::RosParams;

use super::{
    NodeParameters, ParameterError, PerClass, RELIABILITIES, TextList, bond_timeout, check_bond_timeout, check_topic,
    check_values, is_reliable, limit, stamp_limits, words,
};
use crate::node::{diagnostics::Thresholds, watch::StampLimits};

/// Between the two topics of a camera.
const SEPARATOR: char = '|';

/// Parameters of `obstacle_fusion`.
#[derive(Debug, Clone, RosParams)]
pub struct ObstacleFusionParameters {
    /// Cameras, each as "topic of its Detection2DArray|topic of its CameraInfo"; empty: none. Read on configure.
    pub cameras: TextList,
    /// Topic of the lidar's Detection3DArray; empty: no lidar. Read on configure.
    pub lidar: String,
    /// Reliability of these subscriptions: reliable or best_effort (also hears best-effort publishers). Read on configure.
    pub input_reliability: String,
    /// Frame that obstacles are tracked and published in; it must not move with the robot. Read on configure.
    pub target_frame: String,
    /// The robot's own frame: obstacle_range and slow_distance count from it.
    pub base_frame: String,
    /// Clouds, detections and markers a second.
    pub rate: f64,
    /// Seconds that detections wait for TF that is just late. Read on configure.
    pub transform_wait: f64,
    /// Detections at most this many seconds older than the newest ones still count: as long as the slowest detector takes. Read on configure.
    pub late: f64,
    /// Seconds without detections after which diagnostics call an input dead.
    pub input_timeout: f64,
    /// Classes that are obstacles; empty: every class that comes. Read on configure.
    pub keep_classes: TextList,
    /// Metres that footprints are made wider on every side: `inflation.<class>`, `inflation.default` for the others; negative: as is typical of the class.
    pub inflation: PerClass,
    /// Points lower than this above the ground are not published, in metres.
    pub min_height: f64,
    /// Points higher than this above the ground are not published, in metres.
    pub max_height: f64,
    /// The costmap's resolution in metres: each of its cells that an obstacle covers gets a point.
    pub resolution: f64,
    /// Metres from the robot up to which obstacles are in the cloud: as far as the costmap reaches. Detections and markers show all. Where TF does not know base_frame, all are in the cloud.
    pub obstacle_range: f64,
    /// Seconds that footprints are swept ahead along their predicted motion; 0: not.
    pub sweep: f64,
    /// Metres that the lidar detector sees objects at: farther ones that it does not report are not counted as missed. Read on configure.
    pub lidar_range: f64,
    /// Radians that the lidar sees, symmetric to its x axis. Read on configure.
    pub lidar_field_of_view: f64,
    /// Metres that the camera detectors see objects at; farther boxes are not used. Read on configure.
    pub camera_range: f64,
    /// Detections that confirm a track which cameras alone report where the lidar should see it, confirm_hits being enough for others; 1: as for others. Read on configure.
    pub doubted_hits: i64,
    /// Detections within a second that confirm a track: with fewer, objects are reported sooner, and false ones more often; with more than the detectors give in a second, never. Read on configure.
    pub confirm_hits: i64,
    /// Seconds without a detection after which a track ends: about how long a shelf hides somebody. Until then it is carried on at its velocity. Read on configure.
    pub max_missed: f64,
    /// Detections in a row that an object in view must be without before its track ends sooner .. Read on configure.
    pub visible_misses: i64,
    /// .. and the seconds that they must last. Longer ones go on with people who are hard to see, and show those who have left for as long. Read on configure.
    pub visible_missed: f64,
    /// Metres to an object of slow_classes under which the robot's speed is limited; 0: no speed limits are published. Read on configure.
    pub slow_distance: f64,
    /// Speed near such objects in percent of the full speed; never 0, which Nav2 takes for no limit at all.
    pub slow_percentage: f64,
    /// Classes that the robot is slow near.
    pub slow_classes: TextList,
    /// Topic of the speed limits. Read on configure.
    pub speed_limit_topic: String,
    /// Seconds from the stamp to the publication that 19 of 20 frames must stay within, else diagnostics warn; 0: no limit.
    pub latency_warn: f64,
    /// The same for an error in the diagnostics; 0: no limit.
    pub latency_error: f64,
    /// Share of what came in the last seconds that may be dropped, else diagnostics warn, 0 to 1; 0: no limit.
    pub drop_warn: f64,
    /// Resident memory in MiB above which diagnostics warn; 0: no limit.
    pub memory_warn: f64,
    /// Seconds that a message may be old when it comes before diagnostics warn, up to 60; 0: that is not looked at.
    pub stale_warn: f64,
    /// Seconds that stamps may be ahead of this machine's clock before diagnostics warn, up to 60; 0: that is not looked at.
    pub future_warn: f64,
    /// Share of the last minute's rate under which diagnostics warn; 0: that is not looked at.
    pub rate_warn: f64,
    /// Seconds that the stamps of two inputs may be apart before diagnostics warn; 0: that is not looked at.
    pub skew_warn: f64,
    /// Whether the node configures and activates itself at its start; else a lifecycle manager does. Read at the start.
    pub autostart: bool,
    /// Seconds that the bond of an active node to its lifecycle manager tolerates silence; 0: no bond. Read on activate.
    pub bond_timeout: f64,
}

impl Default for ObstacleFusionParameters {
    fn default() -> Self {
        Self {
            cameras: TextList::default(),
            lidar: String::new(),
            input_reliability: "reliable".into(),
            target_frame: "odom".into(),
            base_frame: "base_link".into(),
            rate: 10.0,
            transform_wait: 0.1,
            late: 0.3,
            input_timeout: 1.0,
            keep_classes: TextList::default(),
            inflation: PerClass::all(-1.0),
            min_height: 0.05,
            max_height: 2.0,
            resolution: 0.05,
            obstacle_range: 10.0,
            sweep: 0.0,
            lidar_range: 10.0,
            lidar_field_of_view: std::f64::consts::TAU,
            camera_range: 8.0,
            doubted_hits: 8,
            confirm_hits: 3,
            max_missed: 1.5,
            visible_misses: 5,
            visible_missed: 0.5,
            slow_distance: 0.0,
            slow_percentage: 50.0,
            slow_classes: TextList(vec!["person".into()]),
            speed_limit_topic: "/speed_limit".into(),
            latency_warn: 0.0,
            latency_error: 0.0,
            drop_warn: 0.5,
            memory_warn: 0.0,
            stale_warn: 1.0,
            future_warn: 0.2,
            rate_warn: 0.5,
            skew_warn: 0.5,
            autostart: true,
            bond_timeout: 4.0,
        }
    }
}

impl NodeParameters for ObstacleFusionParameters {
    const RANGES: &'static [(&'static str, f64, f64)] = &[
        ("rate", 0.1, 200.0),
        ("transform_wait", 0.0, 10.0),
        ("late", 0.0, 1.0),
        ("input_timeout", 0.05, 60.0),
        ("inflation", -1.0, 5.0),
        ("min_height", -10.0, 10.0),
        ("max_height", -10.0, 20.0),
        ("resolution", 0.01, 1.0),
        ("obstacle_range", 0.5, 1000.0),
        ("sweep", 0.0, 10.0),
        ("lidar_range", 0.5, 200.0),
        ("lidar_field_of_view", 0.01, std::f64::consts::TAU),
        ("camera_range", 0.5, 200.0),
        ("doubted_hits", 1.0, 100.0),
        ("confirm_hits", 1.0, 30.0),
        ("max_missed", 0.1, 60.0),
        ("visible_misses", 1.0, 1000.0),
        ("visible_missed", 0.0, 60.0),
        ("slow_distance", 0.0, 100.0),
        ("slow_percentage", 1.0, 100.0),
        ("bond_timeout", 0.0, 3600.0),
        ("stale_warn", 0.0, 60.0),
        ("future_warn", 0.0, 60.0),
        ("rate_warn", 0.0, 1.0),
        ("skew_warn", 0.0, 3600.0),
        ("latency_warn", 0.0, 3600.0),
        ("latency_error", 0.0, 3600.0),
        ("drop_warn", 0.0, 1.0),
        ("memory_warn", 0.0, 16_777_216.0),
    ];

    fn choices() -> Vec<(&'static str, Vec<&'static str>)> {
        vec![("input_reliability", words(&RELIABILITIES))]
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

/// The topics of one camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct CameraTopics {
    pub(in crate::node) detections: String,
    pub(in crate::node) info: String,
}

impl ObstacleFusionParameters {
    /// Checks every value.
    ///
    /// # Errors
    /// The first [`ParameterError`].
    pub fn check(&self) -> Result<(), ParameterError> {
        check_values(self)?;
        let cameras = self.camera_topics()?;
        check_topic("speed_limit_topic", &self.speed_limit_topic)?;
        check_bond_timeout(self.bond_timeout)?;
        for (name, frame) in [("target_frame", &self.target_frame), ("base_frame", &self.base_frame)] {
            if frame.trim_start_matches('/').is_empty() {
                return Err(ParameterError::new(name, "a frame has a name, such as odom or base_link"));
            }
        }
        if self.min_height >= self.max_height {
            let reason = format!("{} is not above min_height, {}", self.max_height, self.min_height);
            return Err(ParameterError::new("max_height", reason));
        }
        if cameras.is_empty() && self.lidar.is_empty() {
            let reason = "no input is given; for example -p lidar:=/lidar_detector/detections";
            return Err(ParameterError::new("lidar", reason));
        }
        Ok(())
    }

    pub(in crate::node) fn camera_topics(&self) -> Result<Vec<CameraTopics>, ParameterError> {
        let topics = |entry: &String| match entry.split_once(SEPARATOR) {
            Some((detections, info)) if !detections.trim().is_empty() && !info.trim().is_empty() => {
                Ok(CameraTopics { detections: detections.trim().into(), info: info.trim().into() })
            }
            _ => {
                let reason = format!(
                    "`{entry}` is not \"detections topic{SEPARATOR}camera info topic\", such as \
                     \"/camera_detector/detections{SEPARATOR}/camera/camera_info\""
                );
                Err(ParameterError::new("cameras", reason))
            }
        };
        self.cameras.0.iter().filter(|entry| !entry.is_empty()).map(topics).collect()
    }

    pub(in crate::node) fn reliable(&self) -> Result<bool, ParameterError> {
        is_reliable("input_reliability", &self.input_reliability)
    }

    /// How far the stamps of two inputs may be apart.
    pub(in crate::node) fn skew_limit(&self) -> Option<Duration> {
        limit(self.skew_warn)
    }

    /// From cloud to cloud.
    pub(in crate::node) fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate.max(0.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parameters::assert_refused;

    #[test]
    fn wrong_values_are_named() {
        let good = ObstacleFusionParameters { lidar: "/objects".into(), ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        let cameras = |entry: &str| TextList(vec![entry.into()]);
        assert_refused([
            (ObstacleFusionParameters { speed_limit_topic: String::new(), ..good.clone() }, "speed_limit_topic"),
            (ObstacleFusionParameters { input_timeout: 0.0, ..good.clone() }, "input_timeout"),
            (ObstacleFusionParameters::default(), "lidar"),
            (ObstacleFusionParameters { cameras: cameras("/detections"), ..good.clone() }, "cameras"),
            (ObstacleFusionParameters { cameras: cameras("/detections|"), ..good.clone() }, "cameras"),
            (ObstacleFusionParameters { target_frame: "/".into(), ..good.clone() }, "target_frame"),
            (ObstacleFusionParameters { rate: 0.0, ..good.clone() }, "rate"),
            (ObstacleFusionParameters { transform_wait: -0.1, ..good.clone() }, "transform_wait"),
            (ObstacleFusionParameters { inflation: PerClass::all(f64::NAN), ..good.clone() }, "inflation.default"),
            (ObstacleFusionParameters { max_height: f64::NAN, ..good.clone() }, "max_height"),
            (ObstacleFusionParameters { slow_percentage: 0.0, ..good.clone() }, "slow_percentage"),
            (ObstacleFusionParameters { bond_timeout: 0.01, ..good.clone() }, "bond_timeout"),
            (ObstacleFusionParameters { latency_warn: 1e9, ..good.clone() }, "latency_warn"),
            (ObstacleFusionParameters { stale_warn: 61.0, ..good.clone() }, "stale_warn"),
            (ObstacleFusionParameters { future_warn: -0.1, ..good.clone() }, "future_warn"),
            (ObstacleFusionParameters { rate_warn: f64::NAN, ..good.clone() }, "rate_warn"),
            (ObstacleFusionParameters { skew_warn: -1.0, ..good.clone() }, "skew_warn"),
        ]);
    }

    #[test]
    fn a_camera_alone_is_enough() {
        let cameras = TextList(vec!["/front/detections | /front/camera_info".into()]);
        let parameters = ObstacleFusionParameters { cameras, ..Default::default() };
        assert_eq!(parameters.check(), Ok(()));
        let topics = CameraTopics { detections: "/front/detections".into(), info: "/front/camera_info".into() };
        assert_eq!(parameters.camera_topics(), Ok(vec![topics]));
    }
}
