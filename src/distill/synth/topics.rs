//! What was sensed and what is true, as ROS messages.
//!
//! Frames: `odom` (its origin in the middle of the hall) -> `base_link` -> `camera_link` -> `camera_optical_frame`, and
//! `base_link` -> `laser`, `base_link` -> `lidar`.

use crate::messages::{
    BoundingBox2D, BoundingBox3D, CameraInfo, Detection2D, Detection2DArray, Detection3D, Detection3DArray, Floats,
    Header, Image, LabelInfo, LaserScan, ObjectHypothesis, ObjectHypothesisWithPose, Point, Point2D, PointCloud2,
    PointField, Pose as PoseMessage, Pose2D, PoseWithCovariance, Quaternion, RegionOfInterest, TFMessage, Time,
    Transform, TransformStamped, Vector3, VisionClass,
};

use super::camera::{Camera, Picture};
use super::lidar::{Lidar, Return};
use super::scene::{Class, ObjectBox};
use super::truth::Sighting;
use super::vector::{Pose, Vec3};

/// The fixed frame the robot moves in.
pub const ODOM: &str = "odom";
/// The robot: on the floor, x forwards.
pub const BASE: &str = "base_link";
/// The camera's housing: x forwards.
pub const CAMERA: &str = "camera_link";
/// The camera's picture: z forwards, x right, y down.
pub const OPTICAL: &str = "camera_optical_frame";
/// The laser scanner.
pub const LASER: &str = "laser";
/// The 3-D lidar.
pub const LIDAR: &str = "lidar";

fn quaternion(pose: &Pose) -> Quaternion {
    let [x, y, z, w] = pose.quaternion();
    Quaternion { x, y, z, w }
}

fn vector(v: Vec3) -> Vector3 {
    Vector3 { x: v.x.into(), y: v.y.into(), z: v.z.into() }
}

fn transform<'a>(stamp: Time, parent: &'a str, child: &'a str, pose: &Pose) -> TransformStamped<'a> {
    TransformStamped {
        header: Header { stamp, frame_id: parent },
        child_frame_id: child,
        transform: Transform { translation: vector(pose.origin), rotation: quaternion(pose) },
    }
}

/// Where the robot is.
pub fn robot_transform(stamp: Time, robot: &Pose) -> TFMessage<'static> {
    TFMessage { transforms: vec![transform(stamp, ODOM, BASE, robot)] }
}

/// Where the sensors sit on the robot.
pub fn mounts(stamp: Time, camera: &Camera, scanner: &Lidar, spinning: &Lidar) -> TFMessage<'static> {
    TFMessage {
        transforms: vec![
            transform(stamp, BASE, CAMERA, &camera.mount),
            transform(stamp, CAMERA, OPTICAL, &Camera::optical()),
            transform(stamp, BASE, LASER, &scanner.mount),
            transform(stamp, BASE, LIDAR, &spinning.mount),
        ],
    }
}

/// The picture as `rgb8`.
pub fn image<'a>(stamp: Time, camera: &Camera, picture: &'a Picture) -> Image<'a> {
    Image {
        header: Header { stamp, frame_id: OPTICAL },
        height: camera.height,
        width: camera.width,
        encoding: "rgb8",
        is_bigendian: 0,
        step: camera.width * 3,
        data: &picture.rgb,
    }
}

/// The camera's calibration: no distortion.
pub fn camera_info(stamp: Time, camera: &Camera) -> CameraInfo<'static> {
    let (f, x, y) = (f64::from(camera.focal), f64::from(camera.center_x), f64::from(camera.center_y));
    CameraInfo {
        header: Header { stamp, frame_id: OPTICAL },
        height: camera.height,
        width: camera.width,
        distortion_model: "plumb_bob",
        d: vec![0.0; 5],
        k: [f, 0.0, x, 0.0, f, y, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [f, 0.0, x, 0.0, 0.0, f, y, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x: 0,
        binning_y: 0,
        roi: RegionOfInterest { x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false },
    }
}

/// The numbers of one sweep of the scanner that a message borrows.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanValues {
    ranges: Vec<f32>,
    intensities: Vec<f32>,
}

impl ScanValues {
    /// Takes them out of the sweep; lost beams are infinite.
    pub fn new(returns: &[Return]) -> Self {
        Self {
            ranges: returns.iter().map(|r| r.range).collect(),
            intensities: returns.iter().map(|r| r.intensity).collect(),
        }
    }

    /// The sweep of a scanner that turns `1 / period` times a second; all beams belong to the stamp.
    pub fn message(&self, stamp: Time, lidar: &Lidar, period: f32) -> LaserScan<'_> {
        LaserScan {
            header: Header { stamp, frame_id: LASER },
            angle_min: lidar.first_azimuth(),
            angle_max: lidar.first_azimuth() + lidar.step() * (lidar.beams as f32 - 1.0),
            angle_increment: lidar.step(),
            time_increment: 0.0,
            scan_time: period,
            range_min: lidar.nearest,
            range_max: lidar.farthest,
            ranges: Floats::from(&self.ranges[..]),
            intensities: Floats::from(&self.intensities[..]),
        }
    }
}

fn points<'a>(returns: &'a [Return], lidar: &'a Lidar) -> impl Iterator<Item = (usize, Vec3, &'a Return)> {
    returns.iter().enumerate().map(|(index, measured)| {
        let ring = index / lidar.beams;
        let point = if measured.range.is_finite() {
            lidar.direction(ring, index % lidar.beams) * measured.range
        } else {
            Vec3::splat(f32::NAN)
        };
        (ring, point, measured)
    })
}

fn put_point(data: &mut Vec<u8>, point: Vec3) {
    for value in [point.x, point.y, point.z] {
        data.extend_from_slice(&value.to_le_bytes());
    }
}

/// The sweep's points: x, y, z, intensity as `float32`, ring as `uint16`, two bytes of padding.
pub fn cloud_bytes(returns: &[Return], lidar: &Lidar) -> Vec<u8> {
    let mut data = Vec::with_capacity(returns.len() * 20);
    for (ring, point, measured) in points(returns, lidar) {
        put_point(&mut data, point);
        data.extend_from_slice(&measured.intensity.to_le_bytes());
        data.extend_from_slice(&(ring as u16).to_le_bytes());
        data.extend_from_slice(&[0; 2]);
    }
    data
}

/// The sweep's points with what they lie on: x, y, z as `float32`, class and object as `uint16`.
pub fn labelled_bytes(returns: &[Return], lidar: &Lidar) -> Vec<u8> {
    let mut data = Vec::with_capacity(returns.len() * 16);
    for (_, point, measured) in points(returns, lidar) {
        put_point(&mut data, point);
        data.extend_from_slice(&measured.class.to_le_bytes());
        data.extend_from_slice(&measured.object.to_le_bytes());
    }
    data
}

fn field(name: &str, offset: u32, datatype: u8) -> PointField<'_> {
    PointField { name, offset, datatype, count: 1 }
}

fn cloud<'a>(
    header: Header<'a>,
    lidar: &Lidar,
    fields: Vec<PointField<'a>>,
    step: u32,
    data: &'a [u8],
) -> PointCloud2<'a> {
    let (height, width) = (lidar.rings.len() as u32, lidar.beams as u32);
    PointCloud2 {
        header,
        height,
        width,
        fields,
        is_bigendian: false,
        point_step: step,
        row_step: step * width,
        data,
        is_dense: false,
    }
}

fn coordinates<'a>() -> Vec<PointField<'a>> {
    ["x", "y", "z"].into_iter().zip([0, 4, 8]).map(|(name, offset)| field(name, offset, PointField::FLOAT32)).collect()
}

/// An organised cloud, one row per ring, of [`cloud_bytes`].
pub fn point_cloud<'a>(stamp: Time, lidar: &Lidar, data: &'a [u8]) -> PointCloud2<'a> {
    let mut fields = coordinates();
    fields.push(field("intensity", 12, PointField::FLOAT32));
    fields.push(field("ring", 16, PointField::UINT16));
    cloud(Header { stamp, frame_id: LIDAR }, lidar, fields, 20, data)
}

/// A cloud of [`labelled_bytes`], in the frame of the sensor.
pub fn labelled_cloud<'a>(stamp: Time, frame_id: &'a str, lidar: &Lidar, data: &'a [u8]) -> PointCloud2<'a> {
    let mut fields = coordinates();
    fields.push(field("class", 12, PointField::UINT16));
    fields.push(field("object", 14, PointField::UINT16));
    cloud(Header { stamp, frame_id }, lidar, fields, 16, data)
}

fn certainly(class: Class, pose: PoseMessage) -> Vec<ObjectHypothesisWithPose<'static>> {
    vec![ObjectHypothesisWithPose {
        hypothesis: ObjectHypothesis { class_id: class.name(), score: 1.0 },
        pose: PoseWithCovariance { pose, ..Default::default() },
    }]
}

/// Object numbers as text, which detections borrow.
pub fn names(ids: impl Iterator<Item = u16>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

/// The objects in a picture; `names` are their numbers. The header is that of the picture.
pub fn detections_2d<'a>(stamp: Time, sightings: &[Sighting], names: &'a [String]) -> Detection2DArray<'a> {
    let header = Header { stamp, frame_id: OPTICAL };
    let detections = sightings.iter().zip(names).map(|(sighting, name)| {
        let (x, y) = sighting.bbox.center();
        Detection2D {
            header,
            results: certainly(sighting.class, PoseMessage::default()),
            bbox: BoundingBox2D {
                center: Pose2D { position: Point2D { x: x.into(), y: y.into() }, theta: 0.0 },
                size_x: sighting.bbox.width().into(),
                size_y: sighting.bbox.height().into(),
            },
            id: name,
        }
    });
    Detection2DArray { header, detections: detections.collect() }
}

/// The objects around the robot, in `base_link`; `names` are their numbers.
pub fn detections_3d<'a>(stamp: Time, boxes: &[ObjectBox], names: &'a [String]) -> Detection3DArray<'a> {
    let header = Header { stamp, frame_id: BASE };
    let detections = boxes.iter().zip(names).map(|(object, name)| {
        let Vec3 { x, y, z } = object.center;
        let center = PoseMessage {
            position: Point { x: x.into(), y: y.into(), z: z.into() },
            orientation: quaternion(&Pose::yawed(object.center, object.yaw)),
        };
        Detection3D {
            header,
            results: certainly(object.class, center),
            bbox: BoundingBox3D { center, size: vector(object.size) },
            id: name,
        }
    });
    Detection3DArray { header, detections: detections.collect() }
}

/// The names of the class numbers in labelled clouds; 0, background, has none.
pub fn label_info(stamp: Time, classes: &[Class]) -> LabelInfo<'static> {
    let class_map = classes.iter().map(|class| VisionClass { class_id: class.label(), class_name: class.name() });
    LabelInfo { header: Header { stamp, frame_id: "" }, class_map: class_map.collect(), threshold: 0.0 }
}
