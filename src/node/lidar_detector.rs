//! Node `lidar_detector`: laser scans or point clouds in, objects in space out.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `scan` (parameter `input_topic`) | sensor_msgs/msg/LaserScan or PointCloud2 (`input_type`) | as parameter `input_reliability`, depth 4, of which the newest is used |
//! | `~/detections` | vision_msgs/msg/Detection3DArray in the sensor's frame, with exactly the sensor's header | reliable, depth 5 |
//! | `~/points` | sensor_msgs/msg/PointCloud2, the sweep's points with class, object and score; made only while somebody listens | best effort, depth 1 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo, numbered as the classes in `~/points` | reliable, latched |
//! | `~/shadow_agreement` | std_msgs/msg/Float64, how far the candidate agrees with the model on a sweep | reliable, depth 5 |
//! | `~/latency/pipeline_ms`, `~/latency/infer_ms`, `~/latency/age_ms` | std_msgs/msg/Float64, one a sweep, only while somebody listens | reliable, depth 10 |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz | reliable, depth 5 |
//!
//! | service | type |
//! |---|---|
//! | `~/rollback` | std_srvs/srv/Trigger: brings the former model back |
//! | `~/promote` | std_srvs/srv/Trigger: the candidate takes the model's place |
//!
//! With `record_folder` it records sweeps that the student is unsure of, see `node::recorder`.
//!
//! A managed node: the services and topics of `node::lifecycle` and `node::bond` come on top.
//!
//! `~/points` has a point for each beam or point that came in, in the same order, so that it can label a recording. Its fields are
//! `x`, `y`, `z` (`float32`), `class` (`uint16`: 0 is background, else the class's number in `~/label_info`), `object` (`uint16`: 0 is
//! none, else one more than the place in `~/detections`) and `score` (`float32`).

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use r2r::PublisherUntyped;

use super::{
    Program, Shutdown,
    detection::{Detection, Source, Work},
    diagnostics::drift::{Drift, DriftOptions, DriftRule},
    host::{Host, NodeOptions, casual, is_heard, lock, reliable},
    labels::label_info,
    lifecycle::serve,
    limits::check_header,
    onlooker::{ModelIdentity, Onlooker, SightKind, Sighting},
    parameters::{LidarDetectorParameters, SweepKind, share},
    preparation::prepare,
    recorder::RecordOptions,
    turns::Turns,
    watch::Settings,
};
use crate::{
    digest::file_sha256,
    messages::{
        BoundingBox3D, Detection3D, Detection3DArray, Header, LaserScan, ObjectHypothesis, ObjectHypothesisWithPose,
        Point, PointCloud2, PointField, Pose, PoseWithCovariance, Quaternion, Vector3,
    },
    model::{
        StageTiming,
        lidar::{LidarDetections, LidarDetector, LidarObject, PointLabel},
    },
    sensing::range_image::Sweep,
};

/// The node's name unless it is remapped.
pub const NAME: &str = "lidar_detector";
/// Bytes of a point in `~/points`.
const POINT_STEP: u32 = 20;

/// The node's program.
pub const PROGRAM: Program = Program::of::<LidarDetectorParameters>(NAME, ABOUT);

const ABOUT: &str = "
lidar_detector is a managed ROS 2 node: laser scans or point clouds in, objects in space and labelled points out, by a lidar
student of `distill`. It works on the newest sweep; older ones that wait are dropped and counted.

Examples:
  ros2 run distilled_perception lidar_detector --ros-args -p model:=legs.onnx -r scan:=/base_scan
  ros2 run distilled_perception lidar_detector --ros-args -p model:=student.onnx -p input_type:=cloud \\
      -p input_topic:=/lidar/points -p latency_warn:=0.1

Topics:
  scan               sensor_msgs/LaserScan or PointCloud2, heard (parameters input_topic, input_type)
  ~/detections       vision_msgs/Detection3DArray in the sensor's frame, with its header; also when empty
  ~/points           sensor_msgs/PointCloud2: the points with class, object and score, while somebody listens
  ~/label_info       vision_msgs/LabelInfo, latched: the class numbers of ~/points
  ~/latency/pipeline_ms, ~/latency/infer_ms, ~/latency/age_ms
                     std_msgs/Float64, one a sweep while somebody listens
  ~/shadow_agreement std_msgs/Float64: how far a candidate (parameter shadow_model) agrees with the model on a sweep
  /diagnostics       diagnostic_msgs/DiagnosticArray at 1 Hz: counts, rates, latencies, model, memory, drift

Services, besides those of managed nodes and of parameters:
  ~/rollback         std_srvs/Trigger: the former model again, after parameter model was set while the node runs
  ~/promote          std_srvs/Trigger: the candidate takes the model's place
  ~/record_now       std_srvs/Trigger: the newest sweep is recorded (with parameter record_folder)
";

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense or a model that cannot be run, where the node starts by itself; or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    run_as(&NodeOptions::named(NAME), Turns::default(), shutdown)
}

/// Runs the node by another name, with parameters from elsewhere, or beside others that it shares turns with.
pub(super) fn run_as(options: &NodeOptions, turns: Turns, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut host = Host::<LidarDetectorParameters>::create(options)?;
    let detection = Detection::<SweepWork>::new(&mut host, turns)?;
    serve(host, detection, shutdown)
}

/// A lidar model that is ready to run.
struct LidarModel {
    path: String,
    sha256: String,
    detector: LidarDetector,
}

/// The topics, and how sweeps come.
struct SweepWork {
    parameters: Arc<Mutex<LidarDetectorParameters>>,
    kind: SweepKind,
    detections: PublisherUntyped,
    points: PublisherUntyped,
}

impl Work for SweepWork {
    const NOUN: &'static str = "sweep";
    const KIND: SightKind = SightKind::Places;
    const SETTINGS: Settings = Settings {
        topic: "input_topic",
        reliability: "input_reliability",
        kind: "input_type",
        kinds: &[("scan", LaserScan::TYPE_NAME), ("cloud", PointCloud2::TYPE_NAME)],
        is_shared: false,
    };
    type Parameters = LidarDetectorParameters;
    type Model = LidarModel;
    type Decoded = Sweep;
    type Found = LidarDetections;

    fn load(parameters: &LidarDetectorParameters) -> anyhow::Result<LidarModel> {
        parameters.check()?;
        let path = parameters.model.clone();
        let mut detector = LidarDetector::load(&path, &parameters.session_options()?)?;
        let sha256 = file_sha256(Path::new(&path)).with_context(|| path.clone())?;
        let first = prepare(&mut detector, &path, LidarDetector::warm_up)?;
        tracing::info!(
            "{path}: {} classes, computed by {}, first inference {:.1} ms",
            detector.spec().classes.len(),
            detector.session().provider().name(),
            first.as_secs_f64() * 1e3
        );
        Ok(LidarModel { path, sha256, detector })
    }

    fn source(parameters: &LidarDetectorParameters) -> anyhow::Result<Source> {
        let type_name = match parameters.kind()? {
            SweepKind::Scan => LaserScan::TYPE_NAME,
            SweepKind::Cloud => PointCloud2::TYPE_NAME,
        };
        Ok(Source { topic: parameters.input_topic.clone(), type_name, is_reliable: parameters.reliable()? })
    }

    fn recording(parameters: &LidarDetectorParameters) -> Option<RecordOptions> {
        parameters.recording()
    }

    fn labels(model: &LidarModel) -> Vec<u8> {
        let spec = &model.detector.bundle().spec;
        label_info(&spec.classes, 1, spec.score_threshold)
    }

    fn identity(model: &LidarModel) -> ModelIdentity {
        let bundle = model.detector.bundle();
        ModelIdentity {
            path: model.path.clone(),
            sha256: model.sha256.clone(),
            bundle_version: Some(bundle.bundle_version),
            figures: bundle.figures.clone(),
            classes: bundle.spec.classes.clone(),
            provider: model.detector.session().provider().name(),
            parameters: bundle.parameters,
        }
    }

    fn create(parameters: &LidarDetectorParameters, host: &mut Host<LidarDetectorParameters>) -> anyhow::Result<Self> {
        Ok(Self {
            parameters: host.shared_parameters(),
            kind: parameters.kind()?,
            detections: host.advertise("~/detections", Detection3DArray::TYPE_NAME, reliable(5))?,
            points: host.advertise("~/points", PointCloud2::TYPE_NAME, casual())?,
        })
    }

    fn onlookers(
        parameters: &LidarDetectorParameters,
        host: &mut Host<LidarDetectorParameters>,
    ) -> Vec<Box<dyn Onlooker>> {
        let shared = host.shared_parameters();
        let rule = move || {
            let now = lock(&shared);
            DriftRule { warn: now.drift_warn, has_own_thresholds: now.has_own_thresholds() }
        };
        vec![Box::new(Drift::new(DriftOptions { rule: Box::new(rule), window: parameters.drift_window as f64 }))]
    }

    fn decode<'m>(&self, message: &'m [u8]) -> anyhow::Result<(Header<'m>, Sweep)> {
        decode_message(message, self.kind, lock(&self.parameters).max_points())
    }

    fn detect(
        model: &mut LidarModel,
        sweep: &Sweep,
        parameters: &LidarDetectorParameters,
    ) -> anyhow::Result<LidarDetections> {
        model.detector.set_score_threshold(share(parameters.score_threshold));
        Ok(model.detector.detect(sweep)?)
    }

    fn timing(found: &LidarDetections) -> StageTiming {
        found.timing
    }

    fn publish(
        &mut self,
        header: Header<'_>,
        _sweep: &Sweep,
        found: &LidarDetections,
        classes: &[String],
    ) -> anyhow::Result<()> {
        self.detections.publish_raw(&detection_array(header, &found.objects, classes).encode())?;
        Ok(())
    }

    fn illustrate(
        &mut self,
        header: Header<'_>,
        sweep: Sweep,
        found: &LidarDetections,
        _classes: &[String],
    ) -> anyhow::Result<()> {
        if is_heard(&self.points) {
            let data = labelled_bytes(&sweep.points, &found.points);
            self.points.publish_raw(&labelled_cloud(header, sweep.rows, &data).encode())?;
        }
        Ok(())
    }

    fn sightings(_sweep: &Sweep, found: &LidarDetections) -> Vec<Sighting> {
        let sighting = |object: &LidarObject| {
            let ([x, y, _], [length, width, _]) = (object.center, object.size);
            Sighting { class: object.class, score: object.score, place: [x, y, length, width] }
        };
        found.objects.iter().map(sighting).collect()
    }

    fn is_listened_to(&self) -> bool {
        is_heard(&self.detections) || is_heard(&self.points)
    }
}

/// A message's sweep, if it has at most so many points.
pub(super) fn decode_message(message: &[u8], kind: SweepKind, max_points: u64) -> anyhow::Result<(Header<'_>, Sweep)> {
    match kind {
        SweepKind::Scan => {
            let scan = LaserScan::decode(message)?;
            check_header(&scan.header)?;
            Ok((scan.header, Sweep::from_scan_within(&scan, max_points)?))
        }
        SweepKind::Cloud => {
            let cloud = PointCloud2::decode(message)?;
            check_header(&cloud.header)?;
            Ok((cloud.header, Sweep::from_cloud_within(&cloud, max_points)?))
        }
    }
}

/// Objects as a message with the sweep's own header.
pub(super) fn detection_array<'a>(
    header: Header<'a>,
    objects: &[LidarObject],
    classes: &'a [String],
) -> Detection3DArray<'a> {
    let detections = objects.iter().map(|object| {
        let [x, y, z] = object.center.map(f64::from);
        let orientation = Quaternion::from_yaw(f64::from(object.yaw));
        let center = Pose { position: Point { x, y, z }, orientation };
        let [x, y, z] = object.size.map(f64::from);
        let class_id = classes.get(object.class).map_or("", String::as_str);
        Detection3D {
            header,
            results: vec![ObjectHypothesisWithPose {
                hypothesis: ObjectHypothesis { class_id, score: f64::from(object.score) },
                pose: PoseWithCovariance { pose: center, ..Default::default() },
            }],
            bbox: BoundingBox3D { center, size: Vector3 { x, y, z } },
            id: "",
        }
    });
    Detection3DArray { header, detections: detections.collect() }
}

/// One more than a number, so that 0 is none; what does not fit is none as well.
fn numbered(number: Option<u32>) -> u16 {
    number.and_then(|number| u16::try_from(number).ok()?.checked_add(1)).unwrap_or(0)
}

/// The points with what they were found to be, [`POINT_STEP`] bytes each.
pub(super) fn labelled_bytes(points: &[[f32; 3]], labels: &[PointLabel]) -> Vec<u8> {
    let mut data = Vec::with_capacity(points.len() * POINT_STEP as usize);
    for (point, label) in points.iter().zip(labels) {
        for value in point {
            data.extend_from_slice(&value.to_le_bytes());
        }
        data.extend_from_slice(&numbered(label.class.map(u32::from)).to_le_bytes());
        data.extend_from_slice(&numbered(label.object).to_le_bytes());
        data.extend_from_slice(&label.score.to_le_bytes());
    }
    data
}

/// A cloud of [`labelled_bytes`], organised as the one that came in.
pub(super) fn labelled_cloud<'a>(header: Header<'a>, rows: usize, data: &'a [u8]) -> PointCloud2<'a> {
    let points = u32::try_from(data.len()).unwrap_or(u32::MAX) / POINT_STEP;
    let rows = u32::try_from(rows).unwrap_or(1).max(1);
    let height = if points.is_multiple_of(rows) { rows } else { 1 };
    let width = points / height;
    let fields = [
        ("x", 0, PointField::FLOAT32),
        ("y", 4, PointField::FLOAT32),
        ("z", 8, PointField::FLOAT32),
        ("class", 12, PointField::UINT16),
        ("object", 14, PointField::UINT16),
        ("score", 16, PointField::FLOAT32),
    ];
    PointCloud2 {
        header,
        height,
        width,
        fields: fields.map(|(name, offset, datatype)| PointField { name, offset, datatype, count: 1 }).to_vec(),
        is_bigendian: false,
        point_step: POINT_STEP,
        row_step: POINT_STEP * width,
        data,
        // Void beams keep their place.
        is_dense: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_carry_class_object_and_score() {
        let points = [[1.0, 2.0, 3.0], [f32::NAN; 3]];
        let labels = [
            PointLabel { class: Some(1), score: 0.75, object: Some(0) },
            PointLabel { class: None, score: 0.0, object: None },
        ];
        let data = labelled_bytes(&points, &labels);
        let cloud = labelled_cloud(Header::default(), 2, &data);
        assert_eq!((cloud.height, cloud.width, cloud.row_step as usize * 2), (2, 1, data.len()));
        assert_eq!(cloud.point_step, cloud.fields.last().map(|field| field.offset + 4).unwrap());
        assert_eq!(data[8..20], [&3f32.to_le_bytes()[..], &[2, 0, 1, 0], &0.75f32.to_le_bytes()].concat());
        assert_eq!(data[32..36], [0; 4]);
    }

    #[test]
    fn objects_keep_their_place_and_turn() {
        let object = LidarObject {
            class: 0,
            score: 0.5,
            center: [1.0, -2.0, 0.5],
            size: [0.4, 0.6, 1.7],
            yaw: std::f32::consts::FRAC_PI_2,
            points: 7,
        };
        let classes = ["person".to_owned()];
        let array = detection_array(Header::default(), &[object], &classes);
        let detection = &array.detections[0];
        assert_eq!(detection.results[0].hypothesis.class_id, "person");
        assert_eq!(detection.bbox.center.position, Point { x: 1.0, y: -2.0, z: 0.5 });
        let turn = detection.bbox.center.orientation;
        assert!((2.0 * turn.z.atan2(turn.w) - std::f64::consts::FRAC_PI_2).abs() < 1e-6);
        assert!((detection.bbox.size.z - 1.7).abs() < 1e-6);
    }
}
