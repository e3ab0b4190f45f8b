//! The health of one input, and the calibration of a camera.

use std::time::Instant;

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use crate::{
    geometry::CameraModel,
    messages::CameraInfo,
    node::{
        diagnostics::{ERROR, OK, TROUBLE, WARN, pair},
        warnings::Warnings,
    },
};

/// What kind of detections come.
#[derive(Debug)]
pub(super) enum InputKind {
    /// Detection3DArray.
    Lidar,
    /// Detection2DArray, which says something about space only together with the calibration.
    Camera {
        /// Where the calibration comes from.
        info_topic: String,
        /// The newest calibration.
        model: Option<Box<CameraModel>>,
    },
}

/// Messages since the node began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InputCounters {
    /// That arrived.
    pub(super) received: u64,
    /// That the tracker was told of.
    pub(super) applied: u64,
    /// Dropped because TF or the calibration was missing.
    pub(super) without_transform: u64,
    /// Dropped because they were too old when their turn came.
    pub(super) late: u64,
    /// That could not be read.
    pub(super) failed: u64,
    /// Single detections left out: of classes that are not kept, or with numbers that are none.
    pub(super) skipped: u64,
}

/// One subscription to detections.
#[derive(Debug)]
pub(super) struct Input {
    /// The topic.
    pub(super) topic: String,
    /// What comes.
    pub(super) kind: InputKind,
    /// The counts.
    pub(super) counters: InputCounters,
    /// The newest stamp since the clock jumped.
    pub(super) last_stamp: Option<i64>,
    /// When something came last.
    pub(super) last_arrival: Option<Instant>,
    trouble: Option<(Instant, String)>,
    warnings: Warnings,
}

impl Input {
    /// Nothing has come yet.
    pub(super) fn new(topic: String, kind: InputKind) -> Self {
        Self {
            topic,
            kind,
            counters: InputCounters::default(),
            last_stamp: None,
            last_arrival: None,
            trouble: None,
            warnings: Warnings::default(),
        }
    }

    /// The node works again after a pause, in which nothing could arrive: silence counts from now on.
    pub(super) fn resume(&mut self, now: Instant) {
        self.last_arrival = self.last_arrival.map(|_| now);
    }

    /// Takes a CameraInfo.
    pub(super) fn calibrate(&mut self, message: &[u8], now: Instant) {
        let InputKind::Camera { info_topic, model } = &mut self.kind else { return };
        let result = match CameraInfo::decode(message) {
            Ok(info) => CameraModel::from_info(&info).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(found) => *model = Some(Box::new(found)),
            Err(reason) => {
                let text = format!("{info_topic}: {reason}");
                self.trouble(now, text);
            }
        }
    }

    /// Remembers what went wrong, and warns of it now and then.
    pub(super) fn trouble(&mut self, now: Instant, text: String) {
        self.warnings.warn(&format!("{}: {text}", self.topic));
        self.trouble = Some((now, text));
    }

    /// What diagnostics say of it.
    pub(super) fn status(&self, node: &str, silence: f64, now: Instant) -> DiagnosticStatus {
        let counters = self.counters;
        let values = [
            ("received", counters.received),
            ("applied", counters.applied),
            ("dropped_without_transform", counters.without_transform),
            ("dropped_late", counters.late),
            ("failed", counters.failed),
            ("detections_skipped", counters.skipped),
        ]
        .map(|(key, count)| pair(key, &count.to_string()))
        .to_vec();
        let silent = self.last_arrival.map(|last| now.duration_since(last).as_secs_f64());
        let trouble = self.trouble.as_ref().filter(|(at, _)| now.duration_since(*at) < TROUBLE);
        let (level, message) = match (silent, trouble) {
            (None, _) => (WARN, "nothing has arrived yet; compare the topic and its QoS".to_owned()),
            (Some(silent), _) if silent > silence => (ERROR, format!("silent for {silent:.1} s")),
            (_, Some((_, text))) => (WARN, text.clone()),
            _ => (OK, format!("{} messages applied", counters.applied)),
        };
        DiagnosticStatus {
            level,
            name: format!("{node}: input {}", self.topic),
            message,
            hardware_id: String::new(),
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn diagnostics_tell_what_is_wrong_with_an_input() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut input = Input::new("/objects".into(), InputKind::Lidar);
        let status = |input: &Input, now| {
            let status = input.status("/obstacle_fusion", 1.0, now);
            (status.level, status.message)
        };
        assert_eq!(status(&input, start).0, WARN);
        input.last_arrival = Some(later(1));
        assert_eq!(status(&input, later(2)).0, OK);
        input.trouble(later(2), "no transform from `laser` to `odom`".into());
        assert_eq!(status(&input, later(2)), (WARN, "no transform from `laser` to `odom`".into()));
        input.last_arrival = Some(later(8));
        assert_eq!(status(&input, later(8)).0, OK, "what was wrong is mended");
        assert_eq!(status(&input, later(11)), (ERROR, "silent for 3.0 s".into()));
        input.resume(later(11));
        assert_eq!(status(&input, later(11)).0, OK, "a pause is no silence");
    }

    #[test]
    fn a_bad_calibration_is_trouble_and_keeps_the_good_one() {
        let kind = InputKind::Camera { info_topic: "/camera_info".into(), model: None };
        let mut input = Input::new("/detections".into(), kind);
        let k = [100.0, 0.0, 50.0, 0.0, 100.0, 40.0, 0.0, 0.0, 1.0];
        let good = CameraInfo { width: 100, height: 80, distortion_model: "plumb_bob", k, ..Default::default() };
        input.calibrate(&good.encode(), Instant::now());
        input.calibrate(&CameraInfo { k: [0.0; 9], ..good }.encode(), Instant::now());
        assert!(matches!(&input.kind, InputKind::Camera { model: Some(model), .. } if model.width == 100));
        assert!(input.trouble.is_some());
    }
}
