//! The fusion without ROS's middleware, for the storm of malformed messages.

use std::time::{Duration, Instant};

use super::{
    fuser::Fuser,
    input::{Input, InputKind},
    messages::{cloud, detections},
    options::footprint_points,
};
use crate::{
    messages::{Header, Time},
    node::{
        labels::label_info,
        parameters::ObstacleFusionParameters,
        transform_listener::{Intake, Unusable},
    },
};

/// The input with the detections of the lidar.
pub(in crate::node) const LIDAR: usize = 0;
/// The input with the detections of the camera.
pub(in crate::node) const CAMERA: usize = 1;
/// From message to message, by the storm's own clock.
const STEP: Duration = Duration::from_millis(1);

/// What the node has between its subscriptions and its publishers, from its configuration to its clean-up.
pub(in crate::node) struct Offline {
    parameters: ObstacleFusionParameters,
    intake: Intake,
    fuser: Fuser,
    now: Instant,
}

impl Offline {
    /// One lidar and one camera, every other parameter as it is by default.
    pub(in crate::node) fn new() -> Self {
        let parameters = ObstacleFusionParameters::default();
        let camera = InputKind::Camera { info_topic: "/camera_info".into(), model: None };
        let inputs = vec![Input::new("/objects".into(), InputKind::Lidar), Input::new("/boxes".into(), camera)];
        let intake = Intake::new();
        let fuser = Fuser::new(&parameters, inputs, intake.buffer.clone());
        Self { parameters, intake, fuser, now: Instant::now() }
    }

    /// A message of `/tf_static` or `/tf`.
    pub(in crate::node) fn transforms(&mut self, message: &[u8], is_static: bool) -> Result<(), Unusable> {
        self.intake.take(message, is_static)
    }

    /// A CameraInfo.
    pub(in crate::node) fn calibration(&mut self, message: &[u8]) {
        self.fuser.inputs[CAMERA].calibrate(message, self.now);
    }

    /// A message of detections; tells whether it could be read.
    pub(in crate::node) fn detections(&mut self, input: usize, message: &[u8]) -> bool {
        self.now += STEP;
        let failed = self.fuser.inputs[input].counters.failed;
        self.fuser.take(input, message, self.now);
        self.fuser.settle(self.now, |_| None);
        self.fuser.inputs[input].counters.failed == failed
    }

    /// What the node would publish now: bytes of all messages together. Diagnostics are made as well.
    pub(in crate::node) fn beat(&mut self) -> usize {
        let status = |input: &Input| input.status("/obstacle_fusion", 1.0, self.now).message.len();
        let told: usize = self.fuser.inputs.iter().map(status).sum();
        let tracks = self.fuser.tracks();
        let classes = &self.fuser.classes;
        let newest = self.fuser.newest().unwrap_or_default();
        let header = Header { stamp: Time::from_nanoseconds(newest), frame_id: "odom" };
        let points = footprint_points(&tracks, classes, Some([0.0; 3]), &self.parameters);
        let labels = label_info(classes.names(), 0, 0.0);
        self.fuser.take_applied();
        told + labels.len() + cloud(header, &points).len() + detections(header, &tracks, &self.fuser.classes).len()
    }
}
