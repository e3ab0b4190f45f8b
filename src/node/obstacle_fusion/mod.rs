//! Node `obstacle_fusion`: detections of cameras and a lidar in, tracked obstacles out, as Nav2 can use them.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | parameter `cameras` | vision_msgs/msg/Detection2DArray and sensor_msgs/msg/CameraInfo, a pair of topics for each camera | as parameter `input_reliability`, depth 4; CameraInfo best effort |
//! | parameter `lidar` | vision_msgs/msg/Detection3DArray | as parameter `input_reliability`, depth 4 |
//! | `/tf`, `/tf_static` | tf2_msgs/msg/TFMessage | as tf2 |
//! | `~/obstacles` | sensor_msgs/msg/PointCloud2, exactly `x`, `y`, `z` (`float32`) in `target_frame`, also when empty | reliable, depth 5 |
//! | `~/detections` | vision_msgs/msg/Detection3DArray in `target_frame`, the track as id | reliable, depth 5 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo | reliable, latched |
//! | `~/markers` | visualization_msgs/msg/MarkerArray, made only while somebody listens | best effort, depth 1 |
//! | parameter `speed_limit_topic` | nav2_msgs/msg/SpeedLimit, while somebody of `slow_classes` is nearer than `slow_distance` | reliable, depth 10 |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz: one status for the whole, one for each input | reliable, depth 5 |
//!
//! **Stamps.** Everything goes out at `rate`, with the newest *sensor* stamp that the tracks were updated with, and shows the tracks as
//! predicted for that stamp. When all sensors fall silent the same stamp goes out again and again: Nav2's collision monitor sees how old
//! it is and stops the robot after its `source_timeout`, and the costmap forgets the cloud after its `observation_persistence`. A fresh
//! stamp without a fresh measurement would tell them that the way was looked at. For the same reason nothing goes out before the first
//! detections could be placed. One sensor of several that falls silent does not show in the stamp; diagnostics call it an error.
//!
//! **Order.** Each message is told to the tracker at its own stamp, as soon as TF knows where its sensor was then, or after
//! `transform_wait` never. Slow detectors come late; what is at most `late` seconds older than the newest still counts.
//!
//! **Time jumps.** When the stamps of an input go back by more than a second (simulation or recording began anew), or are more than ten
//! ahead of all inputs', all tracks are dropped.

mod batch;
mod classes;
mod fuser;
mod input;
mod markers;
mod messages;
mod options;
mod output;
mod speed;
#[cfg(test)]
mod tests;
mod view;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use r2r::diagnostic_msgs::msg::DiagnosticStatus;

use self::{
    fuser::Fuser,
    input::{Input, InputKind},
    output::Outputs,
};
use super::{
    NodeStatistics, Shutdown, Stage, TransformListener, clock,
    host::{DIAGNOSTICS_PERIOD, Host, MessageStream, SPIN, drain, lock, sensor},
    parameters::ObstacleFusionParameters,
    statistics::{OK, WARN, pair},
    warnings::Warnings,
};
use crate::{
    messages::{CameraInfo, Detection2DArray, Detection3DArray},
    sensing::transforms::TransformBuffer,
};

/// The node's name unless it is remapped.
pub const NAME: &str = "obstacle_fusion";

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense, or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut host = Host::<ObstacleFusionParameters>::create(NAME)?;
    let parameters = host.parameters();
    parameters.check()?;
    let mut transforms = TransformListener::subscribe(&mut host.node)?;
    let mut streams = Vec::new();
    let inputs = subscribe(&mut host, &parameters, &mut streams)?;
    let mut fuser = Fuser::new(&parameters, inputs, transforms.buffer());
    let mut outputs = Outputs::create(&mut host, &parameters)?;
    let topics: Vec<&str> = fuser.inputs.iter().map(|input| input.topic.as_str()).collect();
    tracing::info!("{} listens to {} and gives obstacles in {}", host.name, topics.join(", "), parameters.target_frame);

    let mut beat = Beat::new(parameters);
    while !shutdown.is_requested() {
        host.node.spin_once(beat.until_next().min(SPIN));
        transforms.drain();
        let now = Instant::now();
        for stream in &mut streams {
            match stream {
                InputStream::Detections(input, messages) => {
                    drain(messages, |message| fuser.take(*input, &message, now))
                }
                InputStream::Calibration(input, messages) => {
                    drain(messages, |message| fuser.inputs[*input].calibrate(&message, now));
                }
            }
        }
        fuser.settle(now, |stamp| clock::age(clock::now(), stamp));
        if beat.until_next().is_zero() {
            beat.publish(&host, &mut fuser, &mut outputs, &transforms.buffer());
        }
        if beat.told.elapsed() >= DIAGNOSTICS_PERIOD {
            beat.told = Instant::now();
            host.tell(beat.diagnostics(&host.name, &fuser, &transforms));
        }
    }
    outputs.leave();
    drop((streams, outputs, transforms));
    host.end();
    Ok(())
}

/// One subscription and the input that it is for.
enum InputStream {
    Detections(usize, MessageStream),
    Calibration(usize, MessageStream),
}

/// Listens to all inputs.
fn subscribe(
    host: &mut Host<ObstacleFusionParameters>,
    parameters: &ObstacleFusionParameters,
    streams: &mut Vec<InputStream>,
) -> anyhow::Result<Vec<Input>> {
    let qos = || Ok::<_, anyhow::Error>(sensor(parameters.reliable()?));
    let mut inputs = Vec::new();
    if !parameters.lidar.is_empty() {
        let stream = host.subscribe(&parameters.lidar, Detection3DArray::TYPE_NAME, qos()?)?;
        streams.push(InputStream::Detections(inputs.len(), stream));
        inputs.push(Input::new(parameters.lidar.clone(), InputKind::Lidar));
    }
    for camera in parameters.camera_topics()? {
        let stream = host.subscribe(&camera.detections, Detection2DArray::TYPE_NAME, qos()?)?;
        streams.push(InputStream::Detections(inputs.len(), stream));
        let stream = host.subscribe(&camera.info, CameraInfo::TYPE_NAME, sensor(false))?;
        streams.push(InputStream::Calibration(inputs.len(), stream));
        inputs.push(Input::new(camera.detections, InputKind::Camera { info_topic: camera.info, model: None }));
    }
    Ok(inputs)
}

/// What happens at the fixed rate, and how it went.
struct Beat {
    parameters: ObstacleFusionParameters,
    statistics: NodeStatistics,
    warnings: Warnings,
    next: Instant,
    told: Instant,
    tracks: usize,
}

impl Beat {
    fn new(parameters: ObstacleFusionParameters) -> Self {
        let now = Instant::now();
        let statistics = NodeStatistics::of("message of detections");
        let next = now + parameters.period();
        Self { parameters, statistics, warnings: Warnings::default(), next, told: now, tracks: 0 }
    }

    fn until_next(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Publishes once, and notes how old the measurements are that it shows for the first time.
    fn publish(
        &mut self,
        host: &Host<ObstacleFusionParameters>,
        fuser: &mut Fuser,
        outputs: &mut Outputs,
        transforms: &Mutex<TransformBuffer>,
    ) {
        let now = Instant::now();
        let period = self.parameters.period();
        self.next += period;
        if self.next <= now {
            // The machine stood still; what was missed is not made up for.
            self.next = now + period;
        }
        let target_frame = std::mem::take(&mut self.parameters.target_frame);
        self.parameters = ObstacleFusionParameters { target_frame, ..host.parameters() };
        let found = lock(transforms).lookup_latest(&self.parameters.target_frame, &self.parameters.base_frame);
        let robot = match found {
            Ok((base_in_target, _)) => Some(base_in_target.translation()),
            Err(error) => {
                let text = "no limit of range and no speed limits while the place of base_frame is not known";
                self.warnings.warn(&format!("{text}: {error}"));
                None
            }
        };
        let start = Instant::now();
        match outputs.publish(fuser, &self.parameters, robot, now) {
            Ok(tracks) => self.tracks = tracks,
            Err(error) => self.warnings.warn(&format!("the obstacles cannot be published: {error}")),
        }
        let published = start.elapsed();
        for applied in fuser.take_applied() {
            self.statistics.record(&[
                (Stage::Age, applied.age),
                (Stage::Decode, Some(applied.decode)),
                (Stage::Postprocess, Some(applied.track)),
                (Stage::Publish, Some(published)),
                (Stage::Pipeline, clock::age(clock::now(), applied.stamp)),
            ]);
        }
    }

    /// One status for the whole and one for each input.
    fn diagnostics(&mut self, name: &str, fuser: &Fuser, transforms: &TransformListener) -> Vec<DiagnosticStatus> {
        let now = Instant::now();
        let counters = &mut self.statistics.counters;
        let sum = |count: fn(&Input) -> u64| fuser.inputs.iter().map(count).sum::<u64>();
        counters.received = sum(|input| input.counters.received);
        counters.dropped = sum(|input| input.counters.without_transform + input.counters.late);
        counters.failed = sum(|input| input.counters.failed);
        let frame = self.parameters.target_frame.clone();
        let mut whole = self.statistics.status(&format!("{name}: fusion"), &[("target_frame", &frame)]);
        whole.values.push(pair("tracks", &self.tracks.to_string()));
        whole.values.push(pair("time_jumps", &fuser.jumps.to_string()));
        whole.values.push(pair("transforms_refused", &transforms.refused().to_string()));
        let silence = self.parameters.input_timeout;
        let inputs = fuser.inputs.iter().map(|input| input.status(name, silence, now));
        let mut all: Vec<DiagnosticStatus> = inputs.collect();
        if let Some(worst) = all.iter().max_by_key(|status| status.level).filter(|status| status.level > OK) {
            whole.level = worst.level;
            whole.message = format!("{}: {}", worst.name, worst.message);
        } else if fuser.newest().is_none() && whole.level == OK {
            whole.level = WARN;
            whole.message = "no detections could be placed yet".to_owned();
        }
        all.insert(0, whole);
        all
    }
}
