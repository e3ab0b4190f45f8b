//! Small recordings made in a test: a bag by the library's own writer, or a folder of images with a COCO file.

use std::{collections::BTreeSet, path::Path};

use distilled_perception::{
    distill::bag::{BagWriter, OfferedQos},
    messages::{
        BoundingBox2D, Detection2D, Detection2DArray, Header, Image, LaserScan, ObjectHypothesis,
        ObjectHypothesisWithPose, Point2D, Pose2D, Time,
    },
};
use image::RgbImage;
use serde_json::json;

/// The bag's one camera, `sensor_msgs/msg/Image`.
pub const CAMERA: &str = "/camera";
/// The truth about its images, `vision_msgs/msg/Detection2DArray`.
pub const TRUTH: &str = "/truth";
/// Neither a camera nor truth, `sensor_msgs/msg/LaserScan`.
pub const SCAN: &str = "/scan";

/// A picture and what is to be found in it.
pub struct Shot {
    /// Nanoseconds since the epoch.
    pub stamp: i64,
    /// The picture.
    pub image: RgbImage,
    /// Classes and boxes: left, top, right, bottom in pixels.
    pub truth: Vec<(&'static str, [f32; 4])>,
}

/// A picture of noise, which no compression makes small.
pub fn noise(width: u32, height: u32, seed: u64) -> RgbImage {
    let mut state = seed;
    RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [red, green, blue, ..] = state.to_be_bytes();
        image::Rgb([red, green, blue])
    })
}

/// So many pictures, 100 x 60, of one bright rectangle each at another place, the `crate`, ten a second from this stamp on.
pub fn crates(count: u32, start: i64) -> Vec<Shot> {
    let shot = |index: u32| {
        let (x, y) = (4 + index * 7 % 60, 3 + index * 5 % 25);
        let image = RgbImage::from_fn(100, 60, |px, py| {
            let inside = (x..x + 25).contains(&px) && (y..y + 30).contains(&py);
            image::Rgb(if inside { [230, 70, 20] } else { [30, px as u8, 4 * (py as u8)] })
        });
        let corners = [x, y, x + 25, y + 30].map(|edge| edge as f32);
        Shot { stamp: start + i64::from(index) * 100_000_000, image, truth: vec![("crate", corners)] }
    };
    (0..count).map(shot).collect()
}

/// Writes a rosbag2 folder with the pictures on [`CAMERA`], their truth on [`TRUTH`] and an empty scan for each on [`SCAN`].
pub fn write_bag(path: &Path, shots: &[Shot]) {
    let mut writer = BagWriter::create(path).unwrap();
    let camera = writer.add::<Image>(CAMERA, OfferedQos::SENSOR).unwrap();
    let truth = writer.add::<Detection2DArray>(TRUTH, OfferedQos::RELIABLE).unwrap();
    let scan = writer.add::<LaserScan>(SCAN, OfferedQos::SENSOR).unwrap();
    for shot in shots {
        let header = Header { stamp: Time::from_nanoseconds(shot.stamp), frame_id: "camera_optical" };
        let (width, height) = shot.image.dimensions();
        let data = shot.image.as_raw();
        let image = Image { header, height, width, encoding: "rgb8", is_bigendian: 0, step: 3 * width, data };
        writer.write(camera, shot.stamp, &image.encode()).unwrap();
        let detections = shot.truth.iter().map(|&(class, corners)| detection(header, class, corners)).collect();
        writer.write(truth, shot.stamp, &Detection2DArray { header, detections }.encode()).unwrap();
        writer.write(scan, shot.stamp, &LaserScan { header, ..LaserScan::default() }.encode()).unwrap();
    }
    writer.finish().unwrap();
}

fn detection<'a>(header: Header<'a>, class: &'a str, [left, top, right, bottom]: [f32; 4]) -> Detection2D<'a> {
    let position = Point2D { x: f64::from(left + right) / 2.0, y: f64::from(top + bottom) / 2.0 };
    let center = Pose2D { position, theta: 0.0 };
    let bbox = BoundingBox2D { center, size_x: f64::from(right - left), size_y: f64::from(bottom - top) };
    let hypothesis = ObjectHypothesis { class_id: class, score: 1.0 };
    let results = vec![ObjectHypothesisWithPose { hypothesis, ..ObjectHypothesisWithPose::default() }];
    Detection2D { header, results, bbox, id: "" }
}

/// Writes the same pictures into a folder, named by their stamps, and their truth as a COCO `instances` file at `labels`.
pub fn write_folder(folder: &Path, labels: &Path, shots: &[Shot]) {
    std::fs::create_dir(folder).unwrap();
    let classes: BTreeSet<&str> = shots.iter().flat_map(|shot| &shot.truth).map(|(class, _)| *class).collect();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (image_id, shot) in shots.iter().enumerate() {
        let name = format!("{}.png", shot.stamp);
        shot.image.save(folder.join(&name)).unwrap();
        images.push(json!({"id": image_id, "file_name": name}));
        for &(class, [left, top, right, bottom]) in &shot.truth {
            let category = classes.iter().position(|known| *known == class).unwrap();
            let (id, bbox) = (annotations.len(), [left, top, right - left, bottom - top]);
            annotations.push(json!({"id": id, "image_id": image_id, "category_id": category, "bbox": bbox}));
        }
    }
    let categories: Vec<_> = classes.iter().enumerate().map(|(id, name)| json!({"id": id, "name": name})).collect();
    let coco = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(labels, coco.to_string()).unwrap();
}
