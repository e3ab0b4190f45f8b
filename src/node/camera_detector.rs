//! Node `camera_detector`: images in, detections out.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `image` (parameter `image_topic`) | sensor_msgs/msg/Image or CompressedImage | as parameter `image_reliability`, depth 4, of which the newest is used |
//! | `~/detections` | vision_msgs/msg/Detection2DArray, in pixels of the original image, with exactly its header | reliable, depth 5 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo | reliable, latched |
//! | `~/annotated` | sensor_msgs/msg/Image (rgb8), made only while somebody listens | best effort, depth 1 |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz | reliable, depth 5 |
//!
//! A managed node: the services and topics of `node::lifecycle` and `node::bond` come on top.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use image::RgbImage;
use r2r::PublisherUntyped;

use super::{
    Shutdown,
    detection_loop::{Detection, Report, Source, Work},
    host::{Host, casual, lock, reliable},
    labels::label_info,
    lifecycle::serve,
    limits::check_header,
    overlay,
    parameters::{CameraDetectorParameters, ImageTransport, share},
    stopwatch::Stopwatch,
};
use crate::{
    messages::{
        BoundingBox2D, CompressedImage, Detection2D, Detection2DArray, Header, Image, ObjectHypothesis,
        ObjectHypothesisWithPose, Point2D, Pose2D, PoseWithCovariance,
    },
    model::{Detector, ModelSpec, SoftDetection},
    sensing::image::{decode_compressed_within, decode_image_within},
};

/// The node's name unless it is remapped.
pub const NAME: &str = "camera_detector";

/// Runs the node until SIGINT or SIGTERM. Must be called within a tokio runtime.
///
/// # Errors
/// Parameters that make no sense or a model that cannot be run, where the node starts by itself; or a ROS 2 that refuses the node.
pub fn run(shutdown: &Shutdown) -> anyhow::Result<()> {
    serve(Host::<CameraDetectorParameters>::create(NAME)?, Detection::<ImageWork>::new(), shutdown)
}

/// Everything that the inference thread works with.
struct ImageWork {
    parameters: Arc<Mutex<CameraDetectorParameters>>,
    own: ModelSpec,
    detector: Detector,
    transport: ImageTransport,
    detections: PublisherUntyped,
    annotated: PublisherUntyped,
}

impl Work for ImageWork {
    const NOUN: &'static str = "image";
    type Parameters = CameraDetectorParameters;
    /// With the bundle's own specification, whose thresholds the parameters may put aside.
    type Model = (Detector, ModelSpec);

    fn load(parameters: &CameraDetectorParameters) -> anyhow::Result<(Detector, ModelSpec)> {
        parameters.check()?;
        let mut detector = Detector::load(&parameters.model, &parameters.session_options()?)?;
        let own = detector.spec().clone();
        apply_thresholds(&mut detector, parameters, &own);
        let warm_up = detector.warm_up()?;
        tracing::info!(
            "{}: {} classes, specification from {}, computed by {}, first inference {:.1} ms",
            parameters.model,
            detector.spec().classes.len(),
            detector.source(),
            detector.session().provider().name(),
            warm_up.as_secs_f64() * 1e3
        );
        Ok((detector, own))
    }

    fn source(parameters: &CameraDetectorParameters) -> anyhow::Result<Source> {
        let type_name = match parameters.transport()? {
            ImageTransport::Raw => Image::TYPE_NAME,
            ImageTransport::Compressed => CompressedImage::TYPE_NAME,
        };
        let (topic, model) = (parameters.image_topic.clone(), parameters.model.clone());
        Ok(Source { topic, type_name, is_reliable: parameters.reliable()?, model })
    }

    fn labels((detector, _): &(Detector, ModelSpec)) -> Vec<u8> {
        let spec = detector.spec();
        label_info(&spec.classes, 0, spec.score_threshold)
    }

    fn create(
        (detector, own): (Detector, ModelSpec),
        parameters: &CameraDetectorParameters,
        host: &mut Host<CameraDetectorParameters>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            own,
            detector,
            transport: parameters.transport()?,
            detections: host.advertise("~/detections", Detection2DArray::TYPE_NAME, reliable(5))?,
            annotated: host.advertise("~/annotated", Image::TYPE_NAME, casual())?,
            parameters: host.shared_parameters(),
        })
    }

    fn process(&mut self, message: &[u8], report: &mut Report) -> anyhow::Result<()> {
        let parameters = lock(&self.parameters).clone();
        apply_thresholds(&mut self.detector, &parameters, &self.own);
        let stopwatch = Stopwatch::start();
        let (header, mut image) = decode_message(message, self.transport, parameters.max_pixels())?;
        let decoded = stopwatch.decoded(header.stamp.to_nanoseconds());
        let found = self.detector.detect(&image)?;
        let publish = Instant::now();
        let bytes = detection_array(header, &found.detections, &self.detector.spec().classes).encode();
        self.detections.publish_raw(&bytes)?;
        report.record(&decoded.published(found.timing, publish.elapsed()));
        // The frame's detections are out: a picture that nobody gets is no frame lost.
        if self.annotated.get_inter_process_subscription_count().unwrap_or(0) > 0
            && let Err(error) = self.publish_annotated(header, &mut image, &found.detections)
        {
            report.warn(&format!("the annotated image cannot be published: {error}"));
        }
        Ok(())
    }
}

impl ImageWork {
    fn publish_annotated(&self, header: Header<'_>, image: &mut RgbImage, found: &[SoftDetection]) -> r2r::Result<()> {
        overlay::draw(image, found, &self.detector.spec().classes);
        let (width, height) = image.dimensions();
        let step = 3 * width;
        let drawn = Image { header, height, width, encoding: "rgb8", is_bigendian: 0, step, data: image.as_raw() };
        self.annotated.publish_raw(&drawn.encode())
    }
}

/// A message's image, if it has at most so many pixels.
pub(super) fn decode_message(
    message: &[u8],
    transport: ImageTransport,
    max_pixels: u64,
) -> anyhow::Result<(Header<'_>, RgbImage)> {
    match transport {
        ImageTransport::Raw => {
            let image = Image::decode(message)?;
            check_header(&image.header)?;
            Ok((image.header, decode_image_within(&image, max_pixels)?))
        }
        ImageTransport::Compressed => {
            let image = CompressedImage::decode(message)?;
            check_header(&image.header)?;
            Ok((image.header, decode_compressed_within(&image, max_pixels)?))
        }
    }
}

/// Thresholds of the parameters where they say something, else of the model.
fn apply_thresholds(detector: &mut Detector, parameters: &CameraDetectorParameters, own: &ModelSpec) {
    let most = usize::try_from(parameters.max_detections).ok().filter(|&most| most > 0).unwrap_or(own.max_detections);
    detector.set_thresholds(
        share(parameters.score_threshold).unwrap_or(own.score_threshold),
        share(parameters.iou_threshold).unwrap_or(own.iou_threshold),
        most,
    );
}

/// Detections as a message with the image's own header.
pub(super) fn detection_array<'a>(
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
