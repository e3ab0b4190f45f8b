//! Node `camera_detector`: images in, detections out.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `image` (parameter `image_topic`) | sensor_msgs/msg/Image or CompressedImage | as parameter `image_reliability`, depth 4, of which the newest is used |
//! | `~/detections` | vision_msgs/msg/Detection2DArray, in pixels of the original image, with exactly its header | reliable, depth 5 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo | reliable, latched |
//! | `~/annotated` | sensor_msgs/msg/Image (rgb8), made only while somebody listens | best effort, depth 1 |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz | reliable, depth 5 |

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use futures::{FutureExt, StreamExt};
use image::RgbImage;
use r2r::{PublisherUntyped, QosProfile};

use super::{
    Latest, NodeStatistics, Shutdown, Stage, Taken, overlay,
    parameters::{CameraDetectorParameters, ImageTransport},
};
use crate::{
    messages::{
        BoundingBox2D, CompressedImage, Detection2D, Detection2DArray, Header, Image, LabelInfo, ObjectHypothesis,
        ObjectHypothesisWithPose, Point2D, Pose2D, PoseWithCovariance, Time, VisionClass,
    },
    model::{Detector, ModelSpec, SoftDetection},
    sensing::image::{decode_compressed, decode_image},
};

/// The node's name unless it is remapped.
pub const NAME: &str = "camera_detector";
/// How long the spinning thread waits for messages before it looks at other things.
const SPIN: Duration = Duration::from_millis(20);
/// Images that the middleware may hold for the spinning thread, which takes them all at once: deep enough that what is dropped is
/// dropped, and counted, by us.
const DEPTH: usize = 4;
/// Stamps further from the system's clock than this are of another clock: a simulation or the playback of a recording.
const SAME_CLOCK: Duration = Duration::from_secs(60);
/// How often the same kind of trouble is logged.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense, a model that cannot be run, or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    let context = r2r::Context::create().context("ROS 2 refuses a context; look at the arguments after --ros-args")?;
    let mut node = r2r::Node::create(context, NAME, "").context("ROS 2 refuses the node")?;
    let name = node.fully_qualified_name().context("the node has no name")?;
    let shared = Arc::new(Mutex::new(CameraDetectorParameters::default()));
    let (handler, _events) =
        node.make_derived_parameter_handler(shared.clone()).context("a parameter has the wrong type")?;
    let parameters = lock(&shared).clone();
    parameters.check()?;

    let mut detector = Detector::load(&parameters.model, &parameters.session_options()?)?;
    let own = detector.spec().clone();
    apply_thresholds(&mut detector, &parameters, &own);
    let warm_up = detector.warm_up()?;
    tracing::info!(
        "{}: {} classes, specification from {}, computed by {}, first inference {:.1} ms",
        parameters.model,
        detector.spec().classes.len(),
        detector.source(),
        detector.session().provider().name(),
        warm_up.as_secs_f64() * 1e3
    );

    let transport = parameters.transport()?;
    let sensor = QosProfile::default().keep_last(DEPTH);
    let sensor = if parameters.reliable()? { sensor.reliable() } else { sensor.best_effort() };
    let type_name = match transport {
        ImageTransport::Raw => Image::TYPE_NAME,
        ImageTransport::Compressed => CompressedImage::TYPE_NAME,
    };
    let refused = |topic: &str| format!("ROS 2 refuses the topic {topic}");
    let mut images = node
        .subscribe_raw(&parameters.image_topic, type_name, sensor)
        .with_context(|| refused(&parameters.image_topic))?;
    let outputs = QosProfile::default().keep_last(5).reliable();
    let detections = node
        .create_publisher_untyped("~/detections", Detection2DArray::TYPE_NAME, outputs.clone())
        .with_context(|| refused("~/detections"))?;
    let labels = node
        .create_publisher_untyped("~/label_info", LabelInfo::TYPE_NAME, outputs.clone().keep_last(1).transient_local())
        .with_context(|| refused("~/label_info"))?;
    let annotated = node
        .create_publisher_untyped("~/annotated", Image::TYPE_NAME, QosProfile::default().keep_last(1).best_effort())
        .with_context(|| refused("~/annotated"))?;
    let diagnostics = node
        .create_publisher::<r2r::diagnostic_msgs::msg::DiagnosticArray>("/diagnostics", outputs)
        .with_context(|| refused("/diagnostics"))?;
    labels.publish_raw(&label_info(detector.spec()))?;
    let handler = tokio::spawn(handler);

    let slot = Arc::new(Latest::<Vec<u8>>::new());
    let statistics = Arc::new(Mutex::new(NodeStatistics::default()));
    let worker = Worker {
        slot: slot.clone(),
        statistics: statistics.clone(),
        parameters: shared.clone(),
        own,
        detector,
        transport,
        detections,
        annotated,
        warned: None,
    };
    let inference = thread::Builder::new().name("inference".into()).spawn(move || worker.run())?;
    tracing::info!("{name} listens to {} ({type_name})", parameters.image_topic);

    let mut told = Instant::now();
    while !shutdown.is_requested() && !inference.is_finished() {
        node.spin_once(SPIN);
        while let Some(Some(message)) = images.next().now_or_never() {
            lock(&statistics).counters.received += 1;
            slot.put(message);
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            let mut statistics = lock(&statistics);
            statistics.counters.dropped = slot.replaced();
            let stamp = Time::from_nanoseconds(now());
            let stamp = r2r::builtin_interfaces::msg::Time { sec: stamp.sec, nanosec: stamp.nanosec };
            let message = statistics.diagnostics(&name, &parameters.model, stamp);
            drop(statistics);
            if let Err(error) = diagnostics.publish(&message) {
                tracing::warn!("diagnostics cannot be published: {error}");
            }
        }
    }
    slot.close();
    let ended = inference.join();
    handler.abort();
    drop((images, diagnostics, labels));
    drop(node);
    anyhow::ensure!(ended.is_ok(), "the inference thread ended by a fault in the program; please report it");
    Ok(())
}

/// Everything that one inference thread works with.
struct Worker {
    slot: Arc<Latest<Vec<u8>>>,
    statistics: Arc<Mutex<NodeStatistics>>,
    parameters: Arc<Mutex<CameraDetectorParameters>>,
    own: ModelSpec,
    detector: Detector,
    transport: ImageTransport,
    detections: PublisherUntyped,
    annotated: PublisherUntyped,
    warned: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        loop {
            match self.slot.take(Duration::from_millis(200)) {
                Taken::Closed => return,
                Taken::Nothing => {}
                Taken::Value(message) => {
                    // A fault in a decoder must cost one frame, not the robot's sight.
                    let result = catch_unwind(AssertUnwindSafe(|| self.process(&message)));
                    let failure = match result {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => format!("{error:#}"),
                        Err(_) => "a fault in the program; please report it with a recording".to_owned(),
                    };
                    self.fail(failure);
                }
            }
        }
    }

    /// Warns, but not more often than [`WARN_EVERY`].
    fn warn(&mut self, text: &str) {
        if self.warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }

    fn fail(&mut self, failure: String) {
        self.warn(&format!("a frame is lost: {failure}"));
        let mut statistics = lock(&self.statistics);
        statistics.counters.failed += 1;
        statistics.last_failure = Some(failure);
    }

    fn process(&mut self, message: &[u8]) -> anyhow::Result<()> {
        let parameters = lock(&self.parameters).clone();
        apply_thresholds(&mut self.detector, &parameters, &self.own);
        let (start, begun) = (Instant::now(), now());
        let (header, mut image) = self.decode(message)?;
        let decoded = start.elapsed();
        let age = |time| age(time, header.stamp.to_nanoseconds());
        let waited = age(begun);
        let found = self.detector.detect(&image)?;
        let publish = Instant::now();
        let bytes = detection_array(header, &found.detections, &self.detector.spec().classes).encode();
        self.detections.publish_raw(&bytes)?;
        let published = publish.elapsed();
        let timing = found.timing;
        lock(&self.statistics).record(&[
            (Stage::Age, waited),
            (Stage::Decode, Some(decoded)),
            (Stage::Preprocess, Some(timing.preprocess)),
            (Stage::Infer, Some(timing.infer)),
            (Stage::Postprocess, Some(timing.decode)),
            (Stage::Publish, Some(published)),
            (Stage::Pipeline, age(now())),
        ]);
        // The frame's detections are out: a picture that nobody gets is no frame lost.
        if self.annotated.get_inter_process_subscription_count().unwrap_or(0) > 0
            && let Err(error) = self.publish_annotated(header, &mut image, &found.detections)
        {
            self.warn(&format!("the annotated image cannot be published: {error}"));
        }
        Ok(())
    }

    fn publish_annotated(&self, header: Header<'_>, image: &mut RgbImage, found: &[SoftDetection]) -> r2r::Result<()> {
        overlay::draw(image, found, &self.detector.spec().classes);
        let (width, height) = image.dimensions();
        let step = 3 * width;
        let drawn = Image { header, height, width, encoding: "rgb8", is_bigendian: 0, step, data: image.as_raw() };
        self.annotated.publish_raw(&drawn.encode())
    }

    fn decode<'m>(&self, message: &'m [u8]) -> anyhow::Result<(Header<'m>, RgbImage)> {
        Ok(match self.transport {
            ImageTransport::Raw => {
                let image = Image::decode(message)?;
                (image.header, decode_image(&image)?)
            }
            ImageTransport::Compressed => {
                let image = CompressedImage::decode(message)?;
                (image.header, decode_compressed(&image)?)
            }
        })
    }
}

/// A lock that a fault elsewhere cannot take away: everything behind these is plain values.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since 1970 by the system's clock.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

/// How old a stamp is at a time, both in nanoseconds since 1970; nothing where the stamp is of another clock.
fn age(time: i64, stamp: i64) -> Option<Duration> {
    let difference = time.checked_sub(stamp)?;
    let age = Duration::from_nanos(u64::try_from(difference).unwrap_or(0));
    (Duration::from_nanos(difference.unsigned_abs()) <= SAME_CLOCK).then_some(age)
}

/// Thresholds of the parameters where they say something, else of the model.
fn apply_thresholds(detector: &mut Detector, parameters: &CameraDetectorParameters, own: &ModelSpec) {
    let threshold = |value: f64, own: f32| if (0.0..=1.0).contains(&value) { value as f32 } else { own };
    let most = usize::try_from(parameters.max_detections).ok().filter(|&most| most > 0).unwrap_or(own.max_detections);
    detector.set_thresholds(
        threshold(parameters.score_threshold, own.score_threshold),
        threshold(parameters.iou_threshold, own.iou_threshold),
        most,
    );
}

/// Detections as a message with the image's own header.
fn detection_array<'a>(
    header: Header<'a>,
    detections: &[SoftDetection],
    classes: &'a [String],
) -> Detection2DArray<'a> {
    let detections = detections.iter().map(|detection| {
        let (class, score) = detection.best();
        let class_id = classes.get(class).map_or("", String::as_str);
        let (x, y) = detection.bbox.center();
        Detection2D {
            header,
            results: vec![ObjectHypothesisWithPose {
                hypothesis: ObjectHypothesis { class_id, score: f64::from(score) },
                pose: PoseWithCovariance::default(),
            }],
            bbox: BoundingBox2D {
                center: Pose2D { position: Point2D { x: f64::from(x), y: f64::from(y) }, theta: 0.0 },
                size_x: f64::from(detection.bbox.width()),
                size_y: f64::from(detection.bbox.height()),
            },
            id: "",
        }
    });
    Detection2DArray { header, detections: detections.collect() }
}

/// The classes as a latched message.
fn label_info(spec: &ModelSpec) -> Vec<u8> {
    let header = Header { stamp: Time::from_nanoseconds(now()), frame_id: "" };
    let classes = spec.classes.iter().zip(0..=u16::MAX);
    let class_map = classes.map(|(name, number)| VisionClass { class_id: number, class_name: name }).collect();
    LabelInfo { header, class_map, threshold: spec.score_threshold }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stamps_of_the_same_clock_have_an_age() {
        const SECOND: i64 = 1_000_000_000;
        let now = 1_800_000_000 * SECOND;
        assert_eq!(age(now, now - 2 * SECOND), Some(Duration::from_secs(2)));
        // Clocks of two machines are never quite the same.
        assert_eq!(age(now, now + SECOND / 100), Some(Duration::ZERO));
        assert_eq!(age(now, 12 * SECOND), None);
        assert_eq!(age(now, now + 3600 * SECOND), None);
        assert_eq!(age(i64::MAX, i64::MIN), None);
    }
}
