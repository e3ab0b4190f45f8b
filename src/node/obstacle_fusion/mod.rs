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
//! A managed node: the services and topics of `node::lifecycle` and `node::bond` come on top.
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
pub(super) mod storm;
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
    host::{Host, SPIN, lock, sensor},
    lifecycle::{Activity, Job, Managed, job, serve},
    parameters::ObstacleFusionParameters,
    statistics::{OK, WARN, pair},
    subscriptions::Subscription,
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
/// Parameters that make no sense, where the node starts by itself; or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    serve(Host::<ObstacleFusionParameters>::create(NAME)?, Fusion::default(), shutdown)
}

/// The fusion as a managed node.
#[derive(Default)]
struct Fusion {
    /// From the first configuration to the end: the static transforms of a robot are told only once.
    transforms: Option<TransformListener>,
    configured: Option<Configured>,
}

/// What the node has from its configuration to its clean-up.
struct Configured {
    streams: Vec<InputStream>,
    fuser: Fuser,
    outputs: Outputs,
    beat: Beat,
}

impl Fusion {
    fn configure(&mut self, host: &mut Host<ObstacleFusionParameters>) -> anyhow::Result<()> {
        let parameters = host.parameters();
        parameters.check()?;
        let transforms = match self.transforms.take() {
            Some(transforms) => transforms,
            None => TransformListener::subscribe(&mut host.node)?,
        };
        let buffer = transforms.buffer();
        self.transforms = Some(transforms);
        let outputs = Outputs::create(host, &parameters)?;
        let mut streams = Vec::new();
        let inputs = subscribe(host, &parameters, &mut streams)?;
        let fuser = Fuser::new(&parameters, inputs, buffer);
        let topics: Vec<&str> = fuser.inputs.iter().map(|input| input.topic.as_str()).collect();
        let frame = &parameters.target_frame;
        tracing::info!("{} listens to {} and gives obstacles in {frame}", host.name, topics.join(", "));
        self.configured = Some(Configured { streams, fuser, outputs, beat: Beat::new(parameters) });
        Ok(())
    }
}

impl Managed for Fusion {
    type Parameters = ObstacleFusionParameters;
    type Product = ();
    const ABOUT: &'static str = "fusion";

    fn begin(&mut self, activity: Activity, host: &mut Host<ObstacleFusionParameters>) -> anyhow::Result<Job<()>> {
        match activity {
            Activity::Configure | Activity::Activate | Activity::Deactivate => {}
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => {
                if let Some(Configured { streams, mut outputs, .. }) = self.configured.take() {
                    outputs.leave();
                    for stream in streams {
                        host.unsubscribe(stream.messages);
                    }
                }
            }
        }
        // Nothing here takes long.
        Ok(job(|| Ok(())))
    }

    fn end(&mut self, activity: Activity, (): (), host: &mut Host<ObstacleFusionParameters>) -> anyhow::Result<()> {
        match activity {
            Activity::Configure => self.configure(host)?,
            Activity::Activate => {
                if let Some(configured) = &mut self.configured {
                    // What was tracked before the pause is no longer there.
                    configured.fuser.forget();
                    configured.beat.begin();
                }
            }
            Activity::Deactivate => {
                if let Some(configured) = &mut self.configured {
                    configured.outputs.leave();
                }
            }
            Activity::CleanUp | Activity::ShutDown | Activity::ProcessError => host.withdraw(),
        }
        Ok(())
    }

    fn turn(&mut self, is_active: bool, host: &mut Host<ObstacleFusionParameters>) -> anyhow::Result<()> {
        let Some(transforms) = &mut self.transforms else { return Ok(()) };
        transforms.drain();
        let Some(Configured { streams, fuser, outputs, beat }) = &mut self.configured else { return Ok(()) };
        let now = Instant::now();
        for InputStream { input, kind, messages } in streams {
            messages.drain(|message| match kind {
                // Calibrations come seldom, and what one says holds for longer than a pause.
                StreamKind::Calibration => fuser.inputs[*input].calibrate(&message, now),
                StreamKind::Detections if is_active => fuser.take(*input, &message, now),
                StreamKind::Detections => {}
            });
        }
        if is_active {
            fuser.settle(now, |stamp| clock::age(clock::now(), stamp));
            if beat.until_next().is_zero() {
                beat.publish(host, fuser, outputs, &transforms.buffer());
            }
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.configured.as_ref().map_or(SPIN, |configured| configured.beat.until_next())
    }

    fn diagnostics(&mut self, name: &str) -> Vec<DiagnosticStatus> {
        match (&mut self.configured, &self.transforms) {
            (Some(Configured { fuser, beat, .. }), Some(transforms)) => beat.diagnostics(name, fuser, transforms),
            _ => Vec::new(),
        }
    }
}

/// One subscription and the input that it is for.
struct InputStream {
    input: usize,
    kind: StreamKind,
    messages: Subscription,
}

/// What comes on a subscription.
enum StreamKind {
    Detections,
    Calibration,
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
        let messages = host.subscribe(&parameters.lidar, Detection3DArray::TYPE_NAME, qos()?)?;
        streams.push(InputStream { input: inputs.len(), kind: StreamKind::Detections, messages });
        inputs.push(Input::new(parameters.lidar.clone(), InputKind::Lidar));
    }
    for camera in parameters.camera_topics()? {
        let messages = host.subscribe(&camera.detections, Detection2DArray::TYPE_NAME, qos()?)?;
        streams.push(InputStream { input: inputs.len(), kind: StreamKind::Detections, messages });
        let messages = host.subscribe(&camera.info, CameraInfo::TYPE_NAME, sensor(false))?;
        streams.push(InputStream { input: inputs.len(), kind: StreamKind::Calibration, messages });
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
    tracks: usize,
}

impl Beat {
    fn new(parameters: ObstacleFusionParameters) -> Self {
        let statistics = NodeStatistics::of("message of detections");
        Self { parameters, statistics, warnings: Warnings::default(), next: Instant::now(), tracks: 0 }
    }

    /// The first beat is one period from now.
    fn begin(&mut self) {
        self.next = Instant::now() + self.parameters.period();
        self.tracks = 0;
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
        let mut whole = self.statistics.status(&format!("{name}: {}", Fusion::ABOUT), &[("target_frame", &frame)]);
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
