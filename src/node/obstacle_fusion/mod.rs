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
//! | `~/uncertain` | std_msgs/msg/Header: stamp and frame of an image or sweep on which camera and lidar disagree, for the detectors' recorders | reliable, depth 10 |
//! | parameter `speed_limit_topic` | nav2_msgs/msg/SpeedLimit, while somebody of `slow_classes` is nearer than `slow_distance` | reliable, depth 10 |
//! | `~/latency/pipeline_ms`, `~/latency/age_ms` | std_msgs/msg/Float64, one for each message of detections, only while somebody listens | reliable, depth 10 |
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
mod disagreement;
mod fuser;
mod input;
mod markers;
mod messages;
mod options;
mod output;
mod speed;
pub(super) mod storm;
mod surroundings;
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
    surroundings::Surroundings,
};
use super::{
    NodeStatistics, Program, Shutdown, Stage, TransformListener, clock,
    diagnostics::{OK, WARN, latency_topics::LatencyTopics, pair},
    host::{Host, NodeOptions, SPIN, lock, sensor},
    lifecycle::{Activity, Job, Managed, job, serve},
    parameters::{NodeParameters, ObstacleFusionParameters},
    subscriptions::Subscription,
    warnings::Warnings,
    watch::{InputWatch, Settings},
};
use crate::{
    messages::{CameraInfo, Detection2DArray, Detection3DArray},
    sensing::transforms::TransformBuffer,
};

/// The node's name unless it is remapped.
pub const NAME: &str = "obstacle_fusion";
/// Stages whose latencies are topics.
const LATENCY_TOPICS: [Stage; 2] = [Stage::Pipeline, Stage::Age];

/// The node's program.
pub const PROGRAM: Program = Program::of::<ObstacleFusionParameters>(NAME, ABOUT);

const ABOUT: &str = "
obstacle_fusion is a managed ROS 2 node: detections of cameras and a lidar in, tracked obstacles out as Nav2 can use them.
It needs TF from each sensor's frame to target_frame.

Examples:
  ros2 run distilled_perception obstacle_fusion --ros-args -p lidar:=/lidar_detector/detections
  ros2 run distilled_perception obstacle_fusion --ros-args -p lidar:=/lidar_detector/detections \\
      -p 'cameras:=[\"/camera_detector/detections|/camera/camera_info\"]' -p target_frame:=map

Topics:
  parameter cameras  vision_msgs/Detection2DArray and sensor_msgs/CameraInfo, heard, a pair for each camera
  parameter lidar    vision_msgs/Detection3DArray, heard
  /tf, /tf_static    tf2_msgs/TFMessage, heard
  ~/obstacles        sensor_msgs/PointCloud2 in target_frame at a fixed rate; also when empty
  ~/detections       vision_msgs/Detection3DArray, the track as id
  ~/label_info       vision_msgs/LabelInfo, latched: the classes
  ~/markers          visualization_msgs/MarkerArray, while somebody listens
  ~/uncertain        std_msgs/Header: frames on which camera and lidar disagree, for the detectors' recorders
  ~/latency/pipeline_ms, ~/latency/age_ms
                     std_msgs/Float64, one for each message of detections while somebody listens
  /speed_limit       nav2_msgs/SpeedLimit (parameter speed_limit_topic), with slow_distance above 0
  /diagnostics       diagnostic_msgs/DiagnosticArray at 1 Hz: the whole, and one status for each input
";

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense, where the node starts by itself; or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    run_as(&NodeOptions::named(NAME), shutdown)
}

/// Runs the node by another name, or with parameters from elsewhere.
pub(super) fn run_as(options: &NodeOptions, shutdown: &Shutdown) -> anyhow::Result<()> {
    serve(Host::<ObstacleFusionParameters>::create(options)?, Fusion::default(), shutdown)
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
    surroundings: Surroundings,
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
        let surroundings = Surroundings::new(host, &inputs);
        let fuser = Fuser::new(&parameters, inputs, buffer);
        let topics: Vec<&str> = fuser.inputs.iter().map(|input| input.topic.as_str()).collect();
        let frame = &parameters.target_frame;
        tracing::info!("{} listens to {} and gives obstacles in {frame}", host.name, topics.join(", "));
        let latencies = LatencyTopics::offer(host, &LATENCY_TOPICS)?;
        let beat = Beat::new(parameters, latencies);
        self.configured = Some(Configured { streams, fuser, outputs, surroundings, beat });
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
                    let now = Instant::now();
                    configured.surroundings.begin(now);
                    configured.fuser.inputs.iter_mut().for_each(|input| input.resume(now));
                    configured.streams.iter_mut().for_each(|stream| stream.watch.begin(now));
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
        let Some(Configured { streams, fuser, outputs, surroundings, beat }) = &mut self.configured else {
            return Ok(());
        };
        let now = Instant::now();
        for InputStream { input, kind, messages, watch } in streams.iter_mut() {
            messages.drain(|message| match kind {
                // Calibrations come seldom, and what one says holds for longer than a pause.
                StreamKind::Calibration => fuser.inputs[*input].calibrate(&message, now),
                StreamKind::Detections if is_active => {
                    if let Some(stamp) = watch.arrived(&message, now) {
                        surroundings.arrived(*input, stamp, now);
                    }
                    fuser.take(*input, &message, now);
                }
                StreamKind::Detections => {}
            });
        }
        if is_active {
            for stream in streams.iter_mut().filter(|stream| stream.is_wanted(&fuser.inputs)) {
                stream.watch.look(host, now);
            }
            surroundings.look(host, now);
            fuser.settle(now, |stamp| clock::age(clock::now(), stamp));
            if let Err(error) = outputs.seek(&fuser.disagreements.take()) {
                beat.warnings.warn(&format!("no frames can be asked for: {error}"));
            }
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
            (Some(Configured { streams, fuser, surroundings, beat, .. }), Some(transforms)) => {
                beat.diagnostics(name, fuser, transforms, streams, surroundings)
            }
            _ => Vec::new(),
        }
    }
}

/// One subscription and the input that it is for.
struct InputStream {
    input: usize,
    kind: StreamKind,
    messages: Subscription,
    watch: InputWatch,
}

impl InputStream {
    /// Whether it matters what comes there: a calibration that is known is known.
    fn is_wanted(&self, inputs: &[Input]) -> bool {
        match self.kind {
            StreamKind::Detections => true,
            StreamKind::Calibration => {
                inputs.get(self.input).is_some_and(|input| matches!(input.kind, InputKind::Camera { model: None, .. }))
            }
        }
    }

    /// Adds what is wrong there to the status of the input.
    fn tell(&self, status: &mut DiagnosticStatus, now: Instant) {
        match self.kind {
            StreamKind::Detections => self.watch.tell(status, now),
            StreamKind::Calibration => {
                if let Some(finding) = self.watch.finding(now) {
                    finding.tell(status);
                }
            }
        }
    }
}

/// The parameters that name the inputs.
const LIDAR: &str = "lidar";
const CAMERAS: &str = "cameras";

/// What the parameters are called that mend what is wrong with an input's topic.
fn settings(topic: &'static str) -> Settings {
    Settings { topic, reliability: "input_reliability", kind: "", kinds: &[], is_shared: false }
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
    let qos = sensor(parameters.reliable()?);
    let mut inputs = Vec::new();
    let mut listen = |input: usize, kind: StreamKind, topic: &str, parameter: &'static str| -> anyhow::Result<()> {
        let (type_name, qos) = match (&kind, parameter) {
            (StreamKind::Calibration, _) => (CameraInfo::TYPE_NAME, sensor(false)),
            (StreamKind::Detections, LIDAR) => (Detection3DArray::TYPE_NAME, qos.clone()),
            (StreamKind::Detections, _) => (Detection2DArray::TYPE_NAME, qos.clone()),
        };
        let messages = host.subscribe(topic, type_name, qos.clone())?;
        let watch = InputWatch::new(host, topic, type_name, qos, settings(parameter));
        streams.push(InputStream { input, kind, messages, watch });
        Ok(())
    };
    if !parameters.lidar.is_empty() {
        listen(inputs.len(), StreamKind::Detections, &parameters.lidar, LIDAR)?;
        inputs.push(Input::new(parameters.lidar.clone(), InputKind::Lidar));
    }
    for camera in parameters.camera_topics()? {
        listen(inputs.len(), StreamKind::Detections, &camera.detections, CAMERAS)?;
        listen(inputs.len(), StreamKind::Calibration, &camera.info, CAMERAS)?;
        inputs.push(Input::new(camera.detections, InputKind::Camera { info_topic: camera.info, model: None }));
    }
    Ok(inputs)
}

/// What happens at the fixed rate, and how it went.
struct Beat {
    parameters: ObstacleFusionParameters,
    statistics: NodeStatistics,
    latencies: LatencyTopics,
    warnings: Warnings,
    next: Instant,
    tracks: usize,
}

impl Beat {
    fn new(parameters: ObstacleFusionParameters, latencies: LatencyTopics) -> Self {
        let statistics = NodeStatistics::of("message of detections");
        Self { parameters, statistics, latencies, warnings: Warnings::default(), next: Instant::now(), tracks: 0 }
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
            let latencies = [
                (Stage::Age, applied.age),
                (Stage::Decode, Some(applied.decode)),
                (Stage::Postprocess, Some(applied.track)),
                (Stage::Publish, Some(published)),
                (Stage::Pipeline, clock::age(clock::now(), applied.stamp)),
            ];
            self.statistics.record(&latencies);
            self.latencies.publish(&latencies);
        }
    }

    /// One status for the whole and one for each input.
    fn diagnostics(
        &mut self,
        name: &str,
        fuser: &Fuser,
        transforms: &TransformListener,
        streams: &[InputStream],
        surroundings: &mut Surroundings,
    ) -> Vec<DiagnosticStatus> {
        let now = Instant::now();
        let counters = &mut self.statistics.counters;
        let sum = |count: fn(&Input) -> u64| fuser.inputs.iter().map(count).sum::<u64>();
        counters.received = sum(|input| input.counters.received);
        counters.dropped = sum(|input| input.counters.without_transform + input.counters.late);
        counters.failed = sum(|input| input.counters.failed);
        let frame = self.parameters.target_frame.clone();
        let thresholds = self.parameters.thresholds();
        let about = [("target_frame", frame.as_str())];
        let mut whole = self.statistics.status(&format!("{name}: {}", Fusion::ABOUT), &about, &thresholds);
        whole.values.push(pair("tracks", &self.tracks.to_string()));
        whole.values.push(pair("disagreements", &fuser.disagreements.found.to_string()));
        whole.values.push(pair("time_jumps", &fuser.jumps.to_string()));
        whole.values.push(pair("transforms_refused", &transforms.refused().to_string()));
        let silence = self.parameters.input_timeout;
        let inputs = fuser.inputs.iter().map(|input| input.status(name, silence, now));
        let mut all: Vec<DiagnosticStatus> = inputs.collect();
        for stream in streams.iter().filter(|stream| stream.is_wanted(&fuser.inputs)) {
            if let Some(status) = all.get_mut(stream.input) {
                stream.tell(status, now);
            }
        }
        // Of what is equally bad the cause is told: what the inputs lack, before what comes of it.
        let worst = all.iter().max_by_key(|status| status.level);
        if let Some(worst) = worst.filter(|status| status.level > OK && status.level >= whole.level) {
            whole.level = worst.level;
            whole.message = format!("{}: {}", worst.name, worst.message);
        } else if fuser.newest().is_none() && whole.level == OK {
            whole.level = WARN;
            whole.message = "no detections could be placed yet".to_owned();
        }
        let without_transform = sum(|input| input.counters.without_transform);
        surroundings.tell(&mut whole, without_transform, fuser.newest().is_some(), now);
        all.insert(0, whole);
        all
    }
}
