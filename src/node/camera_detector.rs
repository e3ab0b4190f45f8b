//! Node `camera_detector`: images in, detections out.
//!
//! | topic | type | QoS |
//! |---|---|---|
//! | `image` (parameter `image_topic`) | sensor_msgs/msg/Image or CompressedImage | as parameter `image_reliability`, depth 4, of which the newest is used |
//! | `~/detections` | vision_msgs/msg/Detection2DArray, in pixels of the original image, with exactly its header | reliable, depth 5 |
//! | `~/label_info` | vision_msgs/msg/LabelInfo | reliable, latched |
//! | `~/annotated` | sensor_msgs/msg/Image (rgb8), made only while somebody listens | best effort, depth 1 |
//! | `~/shadow_agreement` | std_msgs/msg/Float64, how far the candidate agrees with the model on a frame | reliable, depth 5 |
//! | `~/latency/pipeline_ms`, `~/latency/infer_ms`, `~/latency/age_ms` | std_msgs/msg/Float64, one a frame, only while somebody listens | reliable, depth 10 |
//! | `/diagnostics` | diagnostic_msgs/msg/DiagnosticArray at 1 Hz | reliable, depth 5 |
//!
//! | service | type |
//! |---|---|
//! | `~/rollback` | std_srvs/srv/Trigger: brings the former model back |
//! | `~/promote` | std_srvs/srv/Trigger: the candidate takes the model's place |
//!
//! With `record_folder` it records frames that the student is unsure of, see `node::recorder`.
//!
//! A managed node: the services and topics of `node::lifecycle` and `node::bond` come on top.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use image::RgbImage;
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
    overlay,
    parameters::{CameraDetectorParameters, ImageTransport, share},
    preparation::prepare,
    recorder::RecordOptions,
    turns::Turns,
    watch::Settings,
};
use crate::{
    digest::file_sha256,
    messages::{
        BoundingBox2D, CompressedImage, Detection2D, Detection2DArray, Header, Image, ObjectHypothesis,
        ObjectHypothesisWithPose, Point2D, Pose2D, PoseWithCovariance,
    },
    model::{Detections, Detector, ModelSpec, SoftDetection, StageTiming},
    sensing::image::{decode_compressed_within, decode_image_within},
};

/// The node's name unless it is remapped.
pub const NAME: &str = "camera_detector";

/// The node's program.
pub const PROGRAM: Program = Program::of::<CameraDetectorParameters>(NAME, ABOUT);

const ABOUT: &str = "
camera_detector is a managed ROS 2 node: camera images in, 2-D detections out, by a student of `distill` or another ONNX
detector with a YAML beside it. It works on the newest image; older ones that wait are dropped and counted.

Examples:
  ros2 run distilled_perception camera_detector --ros-args -p model:=student.onnx -r image:=/camera/image_raw
  ros2 run distilled_perception camera_detector --ros-args -r __ns:=/front -p model:=student.onnx \\
      -p image_transport:=compressed -p image_topic:=/front/image/compressed -p latency_warn:=0.2
  DISTILLED_PERCEPTION_TRACE=trace.json ros2 run distilled_perception camera_detector --ros-args -p model:=student.onnx

Topics:
  image              sensor_msgs/Image or CompressedImage, heard (parameter image_topic)
  ~/detections       vision_msgs/Detection2DArray in pixels of the image, with its header; also when empty
  ~/label_info       vision_msgs/LabelInfo, latched: the classes
  ~/annotated        sensor_msgs/Image with the boxes drawn, while somebody listens
  ~/latency/pipeline_ms, ~/latency/infer_ms, ~/latency/age_ms
                     std_msgs/Float64, one a frame while somebody listens
  ~/shadow_agreement std_msgs/Float64: how far a candidate (parameter shadow_model) agrees with the model on a frame
  /diagnostics       diagnostic_msgs/DiagnosticArray at 1 Hz: counts, rates, latencies, model, memory, drift

Services, besides those of managed nodes and of parameters:
  ~/rollback         std_srvs/Trigger: the former model again, after parameter model was set while the node runs
  ~/promote          std_srvs/Trigger: the candidate takes the model's place
  ~/record_now       std_srvs/Trigger: the newest frame is recorded (with parameter record_folder)
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
    let mut host = Host::<CameraDetectorParameters>::create(options)?;
    let detection = Detection::<ImageWork>::new(&mut host, turns)?;
    serve(host, detection, shutdown)
}

/// A camera model that is ready to run.
struct CameraModel {
    path: String,
    sha256: String,
    /// The bundle's own specification, whose thresholds the parameters may put aside.
    own: ModelSpec,
    detector: Detector,
}

/// The topics, and how images come.
struct ImageWork {
    parameters: Arc<Mutex<CameraDetectorParameters>>,
    transport: ImageTransport,
    detections: PublisherUntyped,
    annotated: PublisherUntyped,
}

impl Work for ImageWork {
    const NOUN: &'static str = "image";
    const KIND: SightKind = SightKind::Boxes;
    const SETTINGS: Settings = Settings {
        topic: "image_topic",
        reliability: "image_reliability",
        kind: "image_transport",
        kinds: &[("raw", Image::TYPE_NAME), ("compressed", CompressedImage::TYPE_NAME)],
        is_shared: false,
    };
    type Parameters = CameraDetectorParameters;
    type Model = CameraModel;
    type Decoded = RgbImage;
    type Found = Detections;

    fn load(parameters: &CameraDetectorParameters) -> anyhow::Result<CameraModel> {
        parameters.check()?;
        let path = parameters.model.clone();
        let mut detector = Detector::load(&path, &parameters.session_options()?)?;
        let own = detector.spec().clone();
        let sha256 = file_sha256(Path::new(&path)).with_context(|| path.clone())?;
        let first = prepare(&mut detector, &path, Detector::warm_up)?;
        apply_thresholds(&mut detector, parameters, &own);
        tracing::info!(
            "{path}: {} classes, specification from {}, computed by {}, first inference {:.1} ms",
            own.classes.len(),
            detector.source(),
            detector.session().provider().name(),
            first.as_secs_f64() * 1e3
        );
        Ok(CameraModel { path, sha256, own, detector })
    }

    fn source(parameters: &CameraDetectorParameters) -> anyhow::Result<Source> {
        let type_name = match parameters.transport()? {
            ImageTransport::Raw => Image::TYPE_NAME,
            ImageTransport::Compressed => CompressedImage::TYPE_NAME,
        };
        Ok(Source { topic: parameters.image_topic.clone(), type_name, is_reliable: parameters.reliable()? })
    }

    fn recording(parameters: &CameraDetectorParameters) -> Option<RecordOptions> {
        parameters.recording()
    }

    fn labels(model: &CameraModel) -> Vec<u8> {
        label_info(&model.own.classes, 0, model.detector.spec().score_threshold)
    }

    fn identity(model: &CameraModel) -> ModelIdentity {
        let bundle = model.detector.bundle();
        ModelIdentity {
            path: model.path.clone(),
            sha256: model.sha256.clone(),
            bundle_version: bundle.map(|bundle| bundle.bundle_version),
            figures: bundle.map(|bundle| bundle.figures.clone()).unwrap_or_default(),
            classes: model.own.classes.clone(),
            provider: model.detector.session().provider().name(),
            parameters: bundle.map_or(0, |bundle| bundle.parameters),
        }
    }

    fn create(
        parameters: &CameraDetectorParameters,
        host: &mut Host<CameraDetectorParameters>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            parameters: host.shared_parameters(),
            transport: parameters.transport()?,
            detections: host.advertise("~/detections", Detection2DArray::TYPE_NAME, reliable(5))?,
            annotated: host.advertise("~/annotated", Image::TYPE_NAME, casual())?,
        })
    }

    fn onlookers(
        parameters: &CameraDetectorParameters,
        host: &mut Host<CameraDetectorParameters>,
    ) -> Vec<Box<dyn Onlooker>> {
        let shared = host.shared_parameters();
        let rule = move || {
            let now = lock(&shared);
            DriftRule { warn: now.drift_warn, has_own_thresholds: now.has_own_thresholds() }
        };
        vec![Box::new(Drift::new(DriftOptions { rule: Box::new(rule), window: parameters.drift_window as f64 }))]
    }

    fn decode<'m>(&self, message: &'m [u8]) -> anyhow::Result<(Header<'m>, RgbImage)> {
        decode_message(message, self.transport, lock(&self.parameters).max_pixels())
    }

    fn detect(
        model: &mut CameraModel,
        image: &RgbImage,
        parameters: &CameraDetectorParameters,
    ) -> anyhow::Result<Detections> {
        apply_thresholds(&mut model.detector, parameters, &model.own);
        Ok(model.detector.detect(image)?)
    }

    fn timing(found: &Detections) -> StageTiming {
        found.timing
    }

    fn publish(
        &mut self,
        header: Header<'_>,
        _image: &RgbImage,
        found: &Detections,
        classes: &[String],
    ) -> anyhow::Result<()> {
        self.detections.publish_raw(&detection_array(header, &found.detections, classes).encode())?;
        Ok(())
    }

    fn illustrate(
        &mut self,
        header: Header<'_>,
        mut image: RgbImage,
        found: &Detections,
        classes: &[String],
    ) -> anyhow::Result<()> {
        if !is_heard(&self.annotated) {
            return Ok(());
        }
        overlay::draw(&mut image, &found.detections, classes);
        let (width, height) = image.dimensions();
        let step = 3 * width;
        let drawn = Image { header, height, width, encoding: "rgb8", is_bigendian: 0, step, data: image.as_raw() };
        self.annotated.publish_raw(&drawn.encode())?;
        Ok(())
    }

    fn sightings(image: &RgbImage, found: &Detections) -> Vec<Sighting> {
        let (width, height) = (image.width().max(1) as f32, image.height().max(1) as f32);
        let sighting = |detection: &SoftDetection| {
            let (class, score) = detection.best();
            let bbox = detection.bbox;
            let place = [bbox.x_min / width, bbox.y_min / height, bbox.x_max / width, bbox.y_max / height];
            Sighting { class, score, place }
        };
        found.detections.iter().map(sighting).collect()
    }

    fn is_listened_to(&self) -> bool {
        is_heard(&self.detections) || is_heard(&self.annotated)
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
