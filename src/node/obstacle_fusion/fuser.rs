//! Detections of all inputs to tracks, each message at its own stamp.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, Found},
    classes::Classes,
    disagreement::{Disagreements, Looked},
    input::{Input, InputKind},
    options::{fusion_options, tracker_options},
    view::View,
};
use crate::{
    fusion::{CameraBox, CameraBoxes, FusionOptions, LidarObjects, fuse},
    geometry::{CameraModel, RigidTransform},
    messages::DecodeError,
    model::lidar::LidarObject,
    node::{host::lock, parameters::ObstacleFusionParameters},
    sensing::transforms::TransformBuffer,
    tracking::{Measurement, Source, Track, Tracker},
};

/// An input whose stamps go back by more than this tells a clock that was set back: a simulation or a recording began anew.
const SET_BACK: i64 = 1_000_000_000;
/// So long after the newest stamp was last renewed, older ones are believed instead of it.
const STUCK: Duration = Duration::from_secs(1);
/// After a gap of this many nanoseconds in all inputs nothing of before is true any more.
const GAP: i64 = 10_000_000_000;
/// Messages that wait for TF at most, in all.
const MOST_WAITING: usize = 64;
/// A camera's boxes are held against what the lidar found at most so many nanoseconds before or after: a walking person moves less
/// than a hand's breadth.
const PAIRED: i64 = 60_000_000;
/// Sweeps that are kept for that, whatever the lidar's rate.
const MOST_SWEEPS: usize = 64;
/// By how much less a place weighs that was told before.
const TOLD_BEFORE: f64 = 25.0;

/// A message that the tracker was told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    /// When it was measured, in nanoseconds.
    pub(super) stamp: i64,
    /// How old it was when it came; nothing where the stamp is of another clock.
    pub(super) age: Option<Duration>,
    /// How long it took to read.
    pub(super) decode: Duration,
    /// How long it took to place it in the target frame and to track.
    pub(super) track: Duration,
}

/// What the lidar found at one moment, for the cameras that come later.
struct LidarSweep {
    stamp: i64,
    frame_id: String,
    objects: Vec<LidarObject>,
    sensor_in_target: RigidTransform,
}

/// All state between messages in and tracks out; knows nothing of ROS's middleware.
pub(super) struct Fuser {
    /// The inputs by number.
    pub(super) inputs: Vec<Input>,
    /// The classes by number.
    pub(super) classes: Classes,
    /// How often the clock jumped.
    pub(super) jumps: u64,
    /// Where camera and lidar do not say the same.
    pub(super) disagreements: Disagreements,
    parameters: ObstacleFusionParameters,
    transforms: Arc<Mutex<TransformBuffer>>,
    tracker: Tracker,
    options: FusionOptions,
    /// What to add to the tracker's identities, so that none is given twice.
    id_offset: u64,
    /// The highest identity that was given.
    highest_id: u64,
    waiting: VecDeque<Batch>,
    applied: Vec<Applied>,
    sweeps: VecDeque<LidarSweep>,
    newest: Option<i64>,
    /// When `newest` was renewed.
    renewed: Instant,
}

impl Fuser {
    /// No tracks yet.
    pub(super) fn new(
        parameters: &ObstacleFusionParameters,
        inputs: Vec<Input>,
        transforms: Arc<Mutex<TransformBuffer>>,
    ) -> Self {
        let classes = Classes::new(&parameters.keep_classes.0);
        let tracker = Tracker::new(tracker_options(parameters, classes.names()), classes.names().len());
        Self {
            inputs,
            jumps: 0,
            disagreements: Disagreements::default(),
            parameters: parameters.clone(),
            transforms,
            tracker,
            options: fusion_options(parameters, classes.names()),
            classes,
            id_offset: 0,
            highest_id: 0,
            waiting: VecDeque::new(),
            applied: Vec::new(),
            sweeps: VecDeque::new(),
            newest: None,
            renewed: Instant::now(),
        }
    }

    /// Takes a message of detections. It waits until [`Self::settle`] finds where its sensor was.
    pub(super) fn take(&mut self, input: usize, message: &[u8], now: Instant) {
        let known = self.classes.names().len();
        let Some(source) = self.inputs.get_mut(input) else { return };
        source.counters.received += 1;
        source.last_arrival = Some(now);
        let read: Result<Batch, DecodeError> = match source.kind {
            InputKind::Camera { .. } => Batch::of_camera(input, message, &mut self.classes, now),
            InputKind::Lidar => Batch::of_lidar(input, message, &mut self.classes, now),
        };
        let batch = match read {
            Ok(batch) => batch,
            Err(error) => {
                source.counters.failed += 1;
                source.trouble(now, error.to_string());
                return;
            }
        };
        source.counters.skipped += batch.skipped as u64;
        let (last, stamp) = (source.last_stamp, batch.stamp);
        if self.classes.names().len() > known {
            self.learn_classes();
        }
        if let Some(last) = last {
            let step = stamp.saturating_sub(last);
            // An input that comes back after a while is no other time as long as one of the others went on.
            let newest = self.inputs.iter().filter_map(|input| input.last_stamp).max().unwrap_or(last);
            if step < -SET_BACK || stamp.saturating_sub(newest) > GAP {
                self.jump(input, step);
            }
        }
        let source = &mut self.inputs[input];
        source.last_stamp = Some(source.last_stamp.map_or(stamp, |last| last.max(stamp)));
        if self.waiting.len() >= MOST_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.inputs[oldest.input].counters.without_transform += 1;
        }
        self.waiting.push_back(batch);
    }

    /// A class that nobody had heard of: what is typical of it must be known to the tracker, which begins anew.
    fn learn_classes(&mut self) {
        self.id_offset = self.highest_id;
        let names = self.classes.names();
        self.tracker = Tracker::new(tracker_options(&self.parameters, names), names.len());
        self.options = fusion_options(&self.parameters, names);
    }

    /// The clock was set: all that was known is of another time.
    fn jump(&mut self, input: usize, step: i64) {
        self.jumps += 1;
        let direction = if step < 0 { "back" } else { "ahead" };
        let seconds = step.unsigned_abs() as f64 / 1e9;
        tracing::warn!(
            "{}: time jumped {direction} by {seconds:.1} s; all tracks are dropped",
            self.inputs[input].topic
        );
        if step < 0 {
            // What TF said of the same times before may be another run of a simulation.
            lock(&self.transforms).clear();
        }
        self.forget();
    }

    /// Drops all tracks and what waits; identities go on.
    pub(super) fn forget(&mut self) {
        self.tracker.reset();
        self.waiting.clear();
        self.applied.clear();
        self.sweeps.clear();
        self.disagreements.take();
        self.newest = None;
        for input in &mut self.inputs {
            input.last_stamp = None;
        }
    }

    /// Tells the tracker of every message whose sensor's place is known, oldest first, and drops those that waited long enough.
    pub(super) fn settle(&mut self, now: Instant, age: impl Fn(i64) -> Option<Duration>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.make_contiguous().sort_by_key(|batch| batch.stamp);
        let patience = Duration::from_secs_f64(self.parameters.transform_wait);
        for batch in waiting {
            // To tell why a place is not known takes long where somebody floods TF with frames: it is asked once a message.
            let is_late = now.saturating_duration_since(batch.arrived) >= patience;
            if !is_late && !self.can_locate(&batch) {
                self.waiting.push_back(batch);
                continue;
            }
            match self.locate(&batch) {
                Ok((sensor_in_target, model)) => self.apply(batch, sensor_in_target, model, now, &age),
                Err(reason) => {
                    let input = &mut self.inputs[batch.input];
                    input.counters.without_transform += 1;
                    input.trouble(now, reason);
                }
            }
        }
    }

    /// Whether [`Self::locate`] has an answer.
    fn can_locate(&self, batch: &Batch) -> bool {
        let has_model = !matches!(self.inputs[batch.input].kind, InputKind::Camera { model: None, .. });
        let transforms = lock(&self.transforms);
        let target = &self.parameters.target_frame;
        has_model && !batch.frame_id.is_empty() && transforms.is_known(target, &batch.frame_id, batch.stamp)
    }

    /// Where the sensor was in the target frame, and a camera's calibration; or what is missing.
    fn locate(&self, batch: &Batch) -> Result<(RigidTransform, Option<CameraModel>), String> {
        let model = match &self.inputs[batch.input].kind {
            InputKind::Lidar => None,
            InputKind::Camera { model: Some(model), .. } => Some(**model),
            InputKind::Camera { info_topic, .. } => {
                return Err(format!("no CameraInfo has arrived on {info_topic}; compare the topic and its QoS"));
            }
        };
        if batch.frame_id.is_empty() {
            return Err("the detections' header has no frame_id".into());
        }
        let transforms = lock(&self.transforms);
        let found = transforms.lookup(&self.parameters.target_frame, &batch.frame_id, batch.stamp);
        Ok((found.map_err(|error| error.to_string())?, model))
    }

    fn apply(
        &mut self,
        batch: Batch,
        sensor_in_target: RigidTransform,
        model: Option<CameraModel>,
        now: Instant,
        age: &impl Fn(i64) -> Option<Duration>,
    ) {
        let start = Instant::now();
        let behind = self.newest.map_or(0, |newest| newest.saturating_sub(batch.stamp));
        if behind > SET_BACK && now.saturating_duration_since(self.renewed) > STUCK {
            // A last message of before the clock was set, from an input that has said nothing since.
            self.jump(batch.input, -behind);
        }
        let behind = self.newest.map_or(0.0, |newest| newest.saturating_sub(batch.stamp) as f64 / 1e9);
        let late = self.parameters.late;
        let input = &mut self.inputs[batch.input];
        if behind > late {
            input.counters.late += 1;
            let text = format!(
                "{behind:.3} s older than the newest detections, more than parameter late ({late} s): \
                 a slow detector, or clocks that are not the same"
            );
            input.trouble(now, text);
            return;
        }
        input.counters.applied += 1;
        let (measurements, view) = match (batch.found, model) {
            (Found::Boxes(boxes), Some(model)) => {
                self.look(batch.stamp, &batch.frame_id, &boxes, model, sensor_in_target)
            }
            (Found::Objects(objects), _) => self.sweep(batch.stamp, batch.frame_id, objects, sensor_in_target),
            // Boxes come from cameras alone, and those are not located without their calibration.
            (Found::Boxes(_), None) => return,
        };
        let in_view = |point| view.contains(point);
        match view {
            View::Lidar { .. } => self.tracker.update_by_lidar(batch.stamp, &measurements, &in_view),
            View::Camera { .. } => self.tracker.update(batch.stamp, &measurements, &in_view),
        };
        if self.newest.is_none_or(|newest| newest < batch.stamp) {
            self.newest = Some(batch.stamp);
            self.renewed = now;
        }
        let (age, track) = (age(batch.stamp), start.elapsed());
        self.applied.push(Applied { stamp: batch.stamp, age, decode: batch.decode, track });
    }

    /// What a camera's boxes say: of what the lidar saw at nearly the same time that the camera saw it as well, and where the rest is
    /// by the camera alone. What only the lidar saw was told when its sweep came.
    fn look(
        &mut self,
        stamp: i64,
        frame_id: &str,
        boxes: &[CameraBox],
        model: CameraModel,
        optical_in_target: RigidTransform,
    ) -> (Vec<Measurement>, View) {
        let apart = |sweep: &&LidarSweep| sweep.stamp.abs_diff(stamp);
        let sweep = self.sweeps.iter().min_by_key(apart).filter(|sweep| apart(sweep) <= PAIRED.unsigned_abs());
        let lidar =
            sweep.map(|sweep| LidarObjects { objects: &sweep.objects, sensor_in_target: sweep.sensor_in_target });
        let camera = CameraBoxes { detections: boxes, model: &model, optical_in_target };
        let mut measurements = fuse(&[camera], lidar.as_ref(), &self.options);
        let target_to_optical = optical_in_target.inverse();
        let view = View::Camera { model, target_to_optical, range: self.parameters.camera_range };
        self.disagreements.hear_camera(boxes);
        if let Some(sweep) = sweep {
            let by_camera = Looked { stamp, frame_id, view: &view };
            let lidar_view = lidar_view(&self.parameters, &sweep.sensor_in_target);
            let by_lidar = Looked { stamp: sweep.stamp, frame_id: &sweep.frame_id, view: &lidar_view };
            self.disagreements.compare(&measurements, &by_camera, &by_lidar);
        }
        measurements.retain(|measurement| measurement.source != Source::Lidar);
        for both in measurements.iter_mut().filter(|measurement| measurement.source == Source::Both) {
            // Its place is the lidar's, which the tracker has been told already: only the class is new.
            both.covariance = both.covariance.map(|row| row.map(|value| value * TOLD_BEFORE));
        }
        (measurements, view)
    }

    /// What a lidar's objects say; they are kept for the cameras.
    fn sweep(
        &mut self,
        stamp: i64,
        frame_id: String,
        objects: Vec<LidarObject>,
        sensor_in_target: RigidTransform,
    ) -> (Vec<Measurement>, View) {
        let measurements = fuse(&[], Some(&LidarObjects { objects: &objects, sensor_in_target }), &self.options);
        if self.sweeps.len() >= MOST_SWEEPS {
            self.sweeps.pop_front();
        }
        self.disagreements.hear_lidar(&objects);
        self.sweeps.push_back(LidarSweep { stamp, frame_id, objects, sensor_in_target });
        (measurements, lidar_view(&self.parameters, &sensor_in_target))
    }

    /// The newest stamp that tracks were updated with, in nanoseconds.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The confirmed tracks at [`Self::newest`].
    pub(super) fn tracks(&mut self) -> Vec<Track> {
        let Some(newest) = self.newest else { return Vec::new() };
        let mut tracks = self.tracker.predicted(newest);
        tracks.retain(|track| track.is_confirmed);
        for track in &mut tracks {
            track.id += self.id_offset;
            self.highest_id = self.highest_id.max(track.id);
        }
        tracks
    }

    /// The messages that the tracker was told of since this was asked last.
    pub(super) fn take_applied(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.applied)
    }
}

/// What the lidar sees from a place in the target frame.
fn lidar_view(parameters: &ObstacleFusionParameters, sensor_in_target: &RigidTransform) -> View {
    let (range, field_of_view) = (parameters.lidar_range, parameters.lidar_field_of_view);
    View::Lidar { target_to_sensor: sensor_in_target.inverse(), range, field_of_view }
}
