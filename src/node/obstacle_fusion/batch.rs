//! The detections of one message, with classes as numbers.

use std::time::{Duration, Instant};

use super::classes::Classes;
use crate::{
    excerpt::excerpt,
    fusion::CameraBox,
    geometry::Box2,
    messages::{DecodeError, Detection2DArray, Detection3DArray, Header, ObjectHypothesisWithPose},
    model::lidar::LidarObject,
    node::limits::MAX_DETECTIONS,
};

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// In an image, in pixels.
    Boxes(Vec<CameraBox>),
    /// In space, in the sensor's frame.
    Objects(Vec<LidarObject>),
}

/// The detections of one message of one input.
#[derive(Debug)]
pub(super) struct Batch {
    /// Which input.
    pub(super) input: usize,
    /// When the sensor measured, in nanoseconds.
    pub(super) stamp: i64,
    /// The sensor's frame.
    pub(super) frame_id: String,
    /// The objects.
    pub(super) found: Found,
    /// Detections left out: of a class that is not kept, with numbers that are none, or worse than the best 256.
    pub(super) skipped: usize,
    /// When the message came.
    pub(super) arrived: Instant,
    /// How long it took to read.
    pub(super) decode: Duration,
}

impl Batch {
    /// Reads a Detection2DArray.
    ///
    /// # Errors
    /// When the bytes are none.
    pub(super) fn of_camera(
        input: usize,
        message: &[u8],
        classes: &mut Classes,
        arrived: Instant,
    ) -> Result<Self, DecodeError> {
        let start = Instant::now();
        let array = Detection2DArray::decode(message)?;
        let mut boxes = Vec::with_capacity(array.detections.len());
        for detection in &array.detections {
            let center = detection.bbox.center.position;
            let [x, y, width, height] =
                [center.x, center.y, detection.bbox.size_x, detection.bbox.size_y].map(|value| value as f32);
            let bbox = Box2::from_center(x, y, width, height);
            if let Some((class, score)) = best(&detection.results, classes)
                && bbox.is_valid()
            {
                boxes.push(CameraBox { class, score, bbox });
            }
        }
        keep_best(&mut boxes, |found| found.score);
        let skipped = array.detections.len() - boxes.len();
        Ok(Self::new(input, array.header, Found::Boxes(boxes), skipped, arrived, start))
    }

    /// Reads a Detection3DArray.
    ///
    /// # Errors
    /// When the bytes are none.
    pub(super) fn of_lidar(
        input: usize,
        message: &[u8],
        classes: &mut Classes,
        arrived: Instant,
    ) -> Result<Self, DecodeError> {
        let start = Instant::now();
        let array = Detection3DArray::decode(message)?;
        let mut objects = Vec::with_capacity(array.detections.len());
        for detection in &array.detections {
            let (position, turn) = (detection.bbox.center.position, detection.bbox.center.orientation);
            let center = [position.x, position.y, position.z].map(|value| value as f32);
            let size = detection.bbox.size;
            let size = [size.x, size.y, size.z].map(|value| value as f32);
            let yaw = turn.yaw() as f32;
            let is_sound = center.iter().chain(&size).chain([&yaw]).all(|value| value.is_finite())
                && size.iter().all(|&side| side >= 0.0);
            if let Some((class, score)) = best(&detection.results, classes)
                && is_sound
            {
                // The message does not say how many points there were.
                objects.push(LidarObject { class, score, center, size, yaw, points: 0 });
            }
        }
        keep_best(&mut objects, |found| found.score);
        let skipped = array.detections.len() - objects.len();
        Ok(Self::new(input, array.header, Found::Objects(objects), skipped, arrived, start))
    }

    fn new(input: usize, header: Header<'_>, found: Found, skipped: usize, arrived: Instant, start: Instant) -> Self {
        Self {
            input,
            stamp: header.stamp.to_nanoseconds(),
            // TF takes no longer names, so that what is cut is not known there.
            frame_id: excerpt(header.frame_id),
            found,
            skipped,
            arrived,
            decode: start.elapsed(),
        }
    }
}

/// Leaves the [`MAX_DETECTIONS`] of the highest scores.
fn keep_best<T>(found: &mut Vec<T>, score: impl Fn(&T) -> f32) {
    if found.len() > MAX_DETECTIONS {
        found.sort_by(|a, b| score(b).total_cmp(&score(a)));
        found.truncate(MAX_DETECTIONS);
        found.shrink_to_fit();
    }
}

/// Class and score of the best hypothesis, where its class is kept.
fn best(results: &[ObjectHypothesisWithPose<'_>], classes: &mut Classes) -> Option<(usize, f32)> {
    let mut best: Option<(&str, f64)> = None;
    for result in results {
        let hypothesis = result.hypothesis;
        if hypothesis.score.is_finite() && best.is_none_or(|(_, score)| hypothesis.score > score) {
            best = Some((hypothesis.class_id, hypothesis.score));
        }
    }
    let (name, score) = best?;
    Some((classes.number(name)?, score.clamp(0.0, 1.0) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{
        BoundingBox2D, BoundingBox3D, Detection2D, Detection3D, ObjectHypothesis, Point, Point2D, Pose, Pose2D,
        Quaternion, Time, Vector3,
    };

    fn hypotheses(of: &[(&'static str, f64)]) -> Vec<ObjectHypothesisWithPose<'static>> {
        of.iter()
            .map(|&(class_id, score)| ObjectHypothesisWithPose {
                hypothesis: ObjectHypothesis { class_id, score },
                ..Default::default()
            })
            .collect()
    }

    fn header() -> Header<'static> {
        Header { stamp: Time { sec: 3, nanosec: 5 }, frame_id: "sensor" }
    }

    #[test]
    fn the_best_hypothesis_is_the_class() {
        let detection = |of: &[(&'static str, f64)], size_x| Detection2D {
            header: header(),
            results: hypotheses(of),
            bbox: BoundingBox2D {
                center: Pose2D { position: Point2D { x: 20.0, y: 30.0 }, theta: 0.0 },
                size_x,
                size_y: 10.0,
            },
            id: "",
        };
        let detections = vec![
            detection(&[("pallet", 0.3), ("person", 0.6)], 4.0),
            detection(&[("cat", 0.9)], 4.0),
            detection(&[("person", 0.9)], f64::NAN),
            detection(&[], 4.0),
        ];
        let bytes = Detection2DArray { header: header(), detections }.encode();
        let mut classes = Classes::new(&["pallet".into(), "person".into()]);
        let batch = Batch::of_camera(1, &bytes, &mut classes, Instant::now()).unwrap();
        assert_eq!((batch.stamp, batch.frame_id.as_str(), batch.skipped), (3_000_000_005, "sensor", 3));
        let Found::Boxes(boxes) = batch.found else { panic!("a camera finds boxes") };
        assert_eq!((boxes[0].class, boxes[0].score), (1, 0.6));
        assert_eq!(boxes[0].bbox, Box2::new(18.0, 25.0, 22.0, 35.0));
    }

    #[test]
    fn of_more_detections_than_can_be_tracked_the_best_stay() {
        let detection = |number: usize| Detection2D {
            header: header(),
            results: hypotheses(&[("person", number as f64 / 1000.0)]),
            bbox: BoundingBox2D {
                center: Pose2D { position: Point2D { x: 20.0, y: 30.0 }, theta: 0.0 },
                size_x: 4.0,
                size_y: 10.0,
            },
            id: "",
        };
        let long = "x".repeat(1 << 16);
        let header = Header { frame_id: &long, ..header() };
        let bytes = Detection2DArray { header, detections: (0..1000).map(detection).collect() }.encode();
        let batch = Batch::of_camera(0, &bytes, &mut Classes::new(&[]), Instant::now()).unwrap();
        let Found::Boxes(boxes) = batch.found else { panic!("a camera finds boxes") };
        assert_eq!((boxes.len(), batch.skipped), (MAX_DETECTIONS, 1000 - MAX_DETECTIONS));
        assert!(boxes.iter().all(|found| found.score >= 0.744), "the best ones");
        assert!(batch.frame_id.len() < 200);
    }

    #[test]
    fn objects_keep_place_size_and_turn() {
        let center = Pose { position: Point { x: 1.0, y: 2.0, z: 0.5 }, orientation: Quaternion::from_yaw(0.6) };
        let bbox = BoundingBox3D { center, size: Vector3 { x: 0.4, y: 0.5, z: 1.0 } };
        let detection = Detection3D { header: header(), results: hypotheses(&[("person", 0.8)]), bbox, id: "" };
        let mut upside_down = detection.clone();
        upside_down.bbox.size.z = -1.0;
        let bytes = Detection3DArray { header: header(), detections: vec![detection, upside_down] }.encode();
        let batch = Batch::of_lidar(0, &bytes, &mut Classes::new(&[]), Instant::now()).unwrap();
        let Found::Objects(objects) = batch.found else { panic!("a lidar finds objects") };
        assert_eq!((objects.len(), batch.skipped), (1, 1));
        assert_eq!((objects[0].center, objects[0].size), ([1.0, 2.0, 0.5], [0.4, 0.5, 1.0]));
        assert!((objects[0].yaw - 0.6).abs() < 1e-6);
        assert!(Batch::of_lidar(0, &bytes[..40], &mut Classes::new(&[]), Instant::now()).is_err());
    }
}
