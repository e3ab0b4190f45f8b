//! What the student saw in a frame, as the message that the node publishes.

use std::io::Cursor;

use image::ImageReader;

use super::memory::{Seen, SeenFrame};
use crate::{
    messages::{
        BoundingBox2D, BoundingBox3D, CompressedImage, Detection2D, Detection2DArray, Detection3D, Detection3DArray,
        Header, Image, ObjectHypothesis, ObjectHypothesisWithPose, Point, Point2D, Pose, Pose2D, PoseWithCovariance,
        Quaternion, Time, Vector3,
    },
    node::onlooker::SightKind,
};

/// The type of the message that [`seen_message`] makes.
pub(super) fn seen_type(kind: SightKind) -> &'static str {
    match kind {
        SightKind::Boxes => Detection2DArray::TYPE_NAME,
        SightKind::Places => Detection3DArray::TYPE_NAME,
    }
}

/// The objects of a frame as a message with the frame's stamp: boxes in pixels, for which the image's size must be found, or places on
/// the floor, whose height and turn are not known here and stay 0. Nothing where an image does not tell its size.
pub(super) fn seen_message(frame: &SeenFrame, type_name: &str) -> Option<Vec<u8>> {
    let header = Header { stamp: Time::from_nanoseconds(frame.stamp), frame_id: &frame.frame_id };
    match frame.kind {
        SightKind::Boxes => {
            let (width, height) = size_of(&frame.message, type_name)?;
            let size = [f64::from(width), f64::from(height)];
            let detections = frame.objects.iter().map(|object| Detection2D {
                header,
                results: results(frame, object),
                bbox: pixels(object.place, size),
                id: "",
            });
            Some(Detection2DArray { header, detections: detections.collect() }.encode())
        }
        SightKind::Places => {
            let detections = frame.objects.iter().map(|object| {
                let bbox = box_of(object.place);
                let mut results = results(frame, object);
                for result in &mut results {
                    result.pose = PoseWithCovariance { pose: bbox.center, ..Default::default() };
                }
                Detection3D { header, results, bbox, id: "" }
            });
            Some(Detection3DArray { header, detections: detections.collect() }.encode())
        }
    }
}

fn results<'a>(frame: &'a SeenFrame, object: &Seen) -> Vec<ObjectHypothesisWithPose<'a>> {
    let hypothesis = ObjectHypothesis { class_id: frame.class(object.class), score: f64::from(object.score) };
    vec![ObjectHypothesisWithPose { hypothesis, pose: PoseWithCovariance::default() }]
}

/// A box of shares in pixels.
fn pixels(place: [f32; 4], [width, height]: [f64; 2]) -> BoundingBox2D {
    let [x_min, y_min, x_max, y_max] = place.map(f64::from);
    let position = Point2D { x: (x_min + x_max) / 2.0 * width, y: (y_min + y_max) / 2.0 * height };
    BoundingBox2D {
        center: Pose2D { position, theta: 0.0 },
        size_x: (x_max - x_min) * width,
        size_y: (y_max - y_min) * height,
    }
}

/// A place on the floor as a flat box.
fn box_of(place: [f32; 4]) -> BoundingBox3D {
    let [x, y, length, width] = place.map(f64::from);
    let center = Pose { position: Point { x, y, z: 0.0 }, orientation: Quaternion::from_yaw(0.0) };
    BoundingBox3D { center, size: Vector3 { x: length, y: width, z: 0.0 } }
}

/// Width and height of an image, without decoding it.
fn size_of(message: &[u8], type_name: &str) -> Option<(u32, u32)> {
    if type_name == Image::TYPE_NAME {
        let image = Image::decode(message).ok()?;
        return Some((image.width, image.height));
    }
    let image = CompressedImage::decode(message).ok()?;
    ImageReader::new(Cursor::new(image.data)).with_guessed_format().ok()?.into_dimensions().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::{ImageFormat, RgbImage};

    use super::*;

    fn frame(message: Vec<u8>, kind: SightKind, place: [f32; 4]) -> SeenFrame {
        let classes: Arc<[String]> = Arc::from(vec!["person".to_owned()]);
        let objects = vec![Seen { class: 0, score: 0.5, place }];
        SeenFrame { message, stamp: 1_500_000_000, time: 0, frame_id: "camera".into(), objects, kind, classes }
    }

    #[test]
    fn boxes_are_in_pixels_of_raw_and_compressed_images() {
        let place = [0.25, 0.5, 0.75, 1.0];
        let raw = Image { width: 64, height: 32, encoding: "mono8", ..Default::default() }.encode();
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(64, 32).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let compressed = CompressedImage { data: &png, format: "png", ..Default::default() }.encode();
        for (message, type_name) in [(raw, Image::TYPE_NAME), (compressed, CompressedImage::TYPE_NAME)] {
            let bytes = seen_message(&frame(message, SightKind::Boxes, place), type_name).unwrap();
            let array = Detection2DArray::decode(&bytes).unwrap();
            assert_eq!((array.header.frame_id, array.header.stamp.to_nanoseconds()), ("camera", 1_500_000_000));
            let found = &array.detections[0];
            assert_eq!((found.bbox.center.position.x, found.bbox.center.position.y), (32.0, 24.0));
            assert_eq!((found.bbox.size_x, found.bbox.size_y), (32.0, 16.0));
            assert_eq!(found.results[0].hypothesis, ObjectHypothesis { class_id: "person", score: 0.5 });
        }
        assert!(seen_message(&frame(vec![0, 1], SightKind::Boxes, place), Image::TYPE_NAME).is_none());
    }

    #[test]
    fn places_are_in_metres() {
        let bytes = seen_message(&frame(Vec::new(), SightKind::Places, [2.0, -1.0, 0.4, 0.5]), "any").unwrap();
        let array = Detection3DArray::decode(&bytes).unwrap();
        let found = &array.detections[0];
        assert_eq!((found.bbox.center.position.x, found.bbox.center.position.y), (2.0, -1.0));
        assert!((found.bbox.size.x - 0.4).abs() < 1e-6 && found.bbox.size.z == 0.0);
        assert_eq!(found.results[0].pose.pose, found.bbox.center);
    }
}
