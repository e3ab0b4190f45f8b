//! Node `lidar_detector`: laser scans or point clouds in, objects in space out.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `scan` (parameter `input_topic`) | sensor_msgs/msg/LaserScan or PointCloud2 (`input_type`) | as parameter `input_reliability`, depth 4, of which the newest is used |
//! | `~/detections` | vision_msgs/msg/Detection3DArray in the sensor's frame, with exactly the sensor's header | reliable, depth 5 |
//! | `~/points` | sensor_msgs/msg/PointCloud2, the sweep's points with class, object and score; made only while somebody listens | best effort, depth 1 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo, numbered as the classes in `~/points` | reliable, latched |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz | reliable, depth 5 |
//!
//! A managed node: the services and topics of `node::lifecycle` and `node::bond` come on top.
//!
//! `~/points` has a point for each beam or point that came in, in the same order, so that it can label a recording. Its fields are
//! `x`, `y`, `z` (`float32`), `class` (`uint16`: 0 is background, else the class's number in `~/label_info`), `object` (`uint16`: 0 is
//! none, else one more than the place in `~/detections`) and `score` (`float32`).

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use r2r::PublisherUntyped;

use super::{
    Shutdown,
    detection_loop::{Detection, Report, Source, Work},
    host::{Host, casual, lock, reliable},
    labels::label_info,
    lifecycle::serve,
    limits::check_header,
    parameters::{LidarDetectorParameters, SweepKind, share},
    stopwatch::Stopwatch,
};
use crate::{
    messages::{
        BoundingBox3D, Detection3D, Detection3DArray, Header, LaserScan, ObjectHypothesis, ObjectHypothesisWithPose,
        Point, PointCloud2, PointField, Pose, PoseWithCovariance, Quaternion, Vector3,
    },
    model::lidar::{LidarDetections, LidarDetector, LidarObject, PointLabel},
    sensing::range_image::Sweep,
};

/// The node's name unless it is remapped.
pub const NAME: &str = "lidar_detector";
/// Bytes of a point in `~/points`.
const POINT_STEP: u32 = 20;

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense or a model that cannot be run, where the node starts by itself; or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    serve(Host::<LidarDetectorParameters>::create(NAME)?, Detection::<SweepWork>::new(), shutdown)
}

/// Everything that the inference thread works with.
struct SweepWork {
    parameters: Arc<Mutex<LidarDetectorParameters>>,
    detector: LidarDetector,
    classes: Vec<String>,
    kind: SweepKind,
    detections: PublisherUntyped,
    points: PublisherUntyped,
}

impl Work for SweepWork {
    const NOUN: &'static str = "sweep";
    type Parameters = LidarDetectorParameters;
    type Model = LidarDetector;

    fn load(parameters: &LidarDetectorParameters) -> anyhow::Result<LidarDetector> {
        parameters.check()?;
        let mut detector = LidarDetector::load(Path::new(&parameters.model), &parameters.session_options()?)?;
        let warm_up = detector.warm_up()?;
        tracing::info!(
            "{}: {} classes, computed by {}, first inference {:.1} ms",
            parameters.model,
            detector.spec().classes.len(),
            detector.session().provider().name(),
            warm_up.as_secs_f64() * 1e3
        );
        Ok(detector)
    }

    fn source(parameters: &LidarDetectorParameters) -> anyhow::Result<Source> {
        let type_name = match parameters.kind()? {
            SweepKind::Scan => LaserScan::TYPE_NAME,
            SweepKind::Cloud => PointCloud2::TYPE_NAME,
        };
        let (topic, model) = (parameters.input_topic.clone(), parameters.model.clone());
        Ok(Source { topic, type_name, is_reliable: parameters.reliable()?, model })
    }

    fn labels(detector: &LidarDetector) -> Vec<u8> {
        let spec = detector.spec();
        label_info(&spec.classes, 1, spec.score_threshold)
    }

    fn create(
        detector: LidarDetector,
        parameters: &LidarDetectorParameters,
        host: &mut Host<LidarDetectorParameters>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            classes: detector.spec().classes.clone(),
            detector,
            kind: parameters.kind()?,
            detections: host.advertise("~/detections", Detection3DArray::TYPE_NAME, reliable(5))?,
            points: host.advertise("~/points", PointCloud2::TYPE_NAME, casual())?,
            parameters: host.shared_parameters(),
        })
    }

    fn process(&mut self, message: &[u8], report: &mut Report) -> anyhow::Result<()> {
        let parameters = lock(&self.parameters).clone();
        self.detector.set_score_threshold(share(parameters.score_threshold));
        let stopwatch = Stopwatch::start();
        let (header, sweep) = decode_message(message, self.kind, parameters.max_points())?;
        let decoded = stopwatch.decoded(header.stamp.to_nanoseconds());
        let found = self.detector.detect(&sweep)?;
        let publish = Instant::now();
        self.detections.publish_raw(&detection_array(header, &found.objects, &self.classes).encode())?;
        report.record(&decoded.published(found.timing, publish.elapsed()));
        // The sweep's objects are out: points that nobody gets are no sweep lost.
        if self.points.get_inter_process_subscription_count().unwrap_or(0) > 0
            && let Err(error) = self.publish_points(header, &sweep, &found)
        {
            report.warn(&format!("the labelled points cannot be published: {error}"));
        }
        Ok(())
    }
}

impl SweepWork {
    fn publish_points(&self, header: Header<'_>, sweep: &Sweep, found: &LidarDetections) -> r2r::Result<()> {
        let data = labelled_bytes(&sweep.points, &found.points);
        self.points.publish_raw(&labelled_cloud(header, sweep.rows, &data).encode())
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
