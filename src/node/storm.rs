//! A door for tests to what the nodes' callbacks do with a message, without ROS's middleware: message, detection, message. Only
//! the publishers are left out.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
};

use super::{
    camera_detector, lidar_detector,
    limits::LimitError,
    obstacle_fusion::storm::{CAMERA, LIDAR, Offline},
    overlay,
    parameters::{CameraDetectorParameters, ImageTransport, LidarDetectorParameters, SweepKind},
    transform_listener::Unusable,
};
use crate::{
    geometry::CameraModel,
    messages::{CameraInfo, DecodeError, Detection2DArray, Detection3DArray},
    model::{Detector, ModelError, SessionOptions, lidar::LidarDetector},
    sensing::{image::ImageError, range_image::SweepError},
};

/// The callbacks of the three nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Callback {
    /// `camera_detector` with `image_transport` raw.
    Image,
    /// `camera_detector` with `image_transport` compressed.
    CompressedImage,
    /// `lidar_detector` with `input_type` scan.
    Scan,
    /// `lidar_detector` with `input_type` cloud.
    Cloud,
    /// A camera's calibration in `obstacle_fusion`.
    CameraInfo,
    /// `/tf`.
    Transforms,
    /// `/tf_static`.
    StaticTransforms,
    /// A camera's detections in `obstacle_fusion`.
    Boxes,
    /// A lidar's detections in `obstacle_fusion`.
    Objects,
}

/// What the three nodes have while they are configured.
pub struct Callbacks {
    models: (Option<PathBuf>, Option<PathBuf>),
    camera: Option<Detector>,
    lidar: Option<LidarDetector>,
    fusion: Offline,
    max_pixels: u64,
    max_points: u64,
}

impl Callbacks {
    /// The nodes with these bundles, where there are some, and these parameters.
    ///
    /// # Errors
    /// A bundle cannot be run.
    pub fn new(
        camera: Option<(&Path, &CameraDetectorParameters)>,
        lidar: Option<(&Path, &LidarDetectorParameters)>,
    ) -> Result<Self, ModelError> {
        let (camera_parameters, lidar_parameters) =
            (CameraDetectorParameters::default(), LidarDetectorParameters::default());
        let max_pixels = camera.map_or(&camera_parameters, |(_, parameters)| parameters).max_pixels();
        let max_points = lidar.map_or(&lidar_parameters, |(_, parameters)| parameters).max_points();
        let models = (camera.map(|(path, _)| path.to_path_buf()), lidar.map(|(path, _)| path.to_path_buf()));
        let mut callbacks = Self { models, camera: None, lidar: None, fusion: Offline::new(), max_pixels, max_points };
        callbacks.renew()?;
        Ok(callbacks)
    }

    /// Drops all that the nodes have and makes it anew, as cleaning up and configuring does.
    ///
    /// # Errors
    /// A bundle cannot be run.
    pub fn renew(&mut self) -> Result<(), ModelError> {
        let options = SessionOptions::default();
        (self.camera, self.lidar, self.fusion) = (None, None, Offline::new());
        let (camera, lidar) = &self.models;
        self.camera = camera.as_ref().map(|path| Detector::load(path, &options)).transpose()?;
        self.lidar = lidar.as_ref().map(|path| LidarDetector::load(path, &options)).transpose()?;
        Ok(())
    }

    /// What `obstacle_fusion` does at its rate; the bytes that it would publish.
    pub fn beat(&mut self) -> usize {
        self.fusion.beat()
    }

    /// Gives a message to a callback; `infer` says whether what can be decoded goes through the network and becomes a message, too.
    ///
    /// # Errors
    /// The kind of the error that costs the message, such as `ImageError::Empty`.
    pub fn call(&mut self, callback: Callback, message: &[u8], infer: bool) -> Result<(), String> {
        match callback {
            Callback::Image => self.image(message, ImageTransport::Raw, infer),
            Callback::CompressedImage => self.image(message, ImageTransport::Compressed, infer),
            Callback::Scan => self.sweep(message, SweepKind::Scan, infer),
            Callback::Cloud => self.sweep(message, SweepKind::Cloud, infer),
            Callback::CameraInfo => {
                self.fusion.calibration(message);
                // The node tells reasons in words; their kind is asked for once more.
                let info = CameraInfo::decode(message).map_err(|error| variant("DecodeError", &error))?;
                CameraModel::from_info(&info).map(|_| ()).map_err(|error| variant("CameraModelError", &error))
            }
            Callback::Transforms | Callback::StaticTransforms => {
                match self.fusion.transforms(message, callback == Callback::StaticTransforms) {
                    Ok(()) => Ok(()),
                    Err(Unusable::Message(error)) => Err(variant("DecodeError", &error)),
                    Err(Unusable::Transform(error)) => Err(variant("TransformError", &error)),
                }
            }
            Callback::Boxes => {
                let is_read = self.fusion.detections(CAMERA, message);
                if is_read { Ok(()) } else { Err(unread(Detection2DArray::decode(message).err())) }
            }
            Callback::Objects => {
                let is_read = self.fusion.detections(LIDAR, message);
                if is_read { Ok(()) } else { Err(unread(Detection3DArray::decode(message).err())) }
            }
        }
    }

    fn image(&mut self, message: &[u8], transport: ImageTransport, infer: bool) -> Result<(), String> {
        let decoded = camera_detector::decode_message(message, transport, self.max_pixels);
        let (header, mut image) = decoded.map_err(|error| kind(&error))?;
        if infer && let Some(detector) = &mut self.camera {
            let found = detector.detect(&image).map_err(|error| variant("ModelError", &error))?;
            let classes = &detector.spec().classes;
            let bytes = camera_detector::detection_array(header, &found.detections, classes).encode();
            Detection2DArray::decode(&bytes).map_err(|error| variant("own DecodeError", &error))?;
            overlay::draw(&mut image, &found.detections, classes);
        }
        Ok(())
    }

    fn sweep(&mut self, message: &[u8], sweep: SweepKind, infer: bool) -> Result<(), String> {
        let decoded = lidar_detector::decode_message(message, sweep, self.max_points);
        let (header, sweep) = decoded.map_err(|error| kind(&error))?;
        if infer && let Some(detector) = &mut self.lidar {
            let found = detector.detect(&sweep).map_err(|error| variant("ModelError", &error))?;
            let bytes = lidar_detector::detection_array(header, &found.objects, &detector.spec().classes).encode();
            Detection3DArray::decode(&bytes).map_err(|error| variant("own DecodeError", &error))?;
            let points = lidar_detector::labelled_bytes(&sweep.points, &found.points);
            lidar_detector::labelled_cloud(header, sweep.rows, &points).encode();
        }
        Ok(())
    }
}

/// Why detections could not be read.
fn unread(error: Option<DecodeError>) -> String {
    error.map_or_else(|| "read, but counted as failed".to_owned(), |error| variant("DecodeError", &error))
}

/// The kind of a detector's error.
fn kind(error: &anyhow::Error) -> String {
    if let Some(error) = error.downcast_ref::<DecodeError>() {
        variant("DecodeError", error)
    } else if let Some(error) = error.downcast_ref::<ImageError>() {
        variant("ImageError", error)
    } else if let Some(error) = error.downcast_ref::<SweepError>() {
        variant("SweepError", error)
    } else if let Some(error) = error.downcast_ref::<LimitError>() {
        variant("LimitError", error)
    } else {
        format!("unknown: {error:#}")
    }
}

/// An error's variant, by its type's name and what its `Debug` begins with.
fn variant(name: &str, error: &impl Debug) -> String {
    let told = format!("{error:?}");
    let variant = told.split([' ', '(', '{']).next().unwrap_or_default();
    format!("{name}::{variant}")
}
