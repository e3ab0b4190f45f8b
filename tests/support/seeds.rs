//! Messages to begin a storm with: good ones of every type, encoding and byte order, and some that are wrong in ways that chance does
//! not find.

use std::io::Cursor;

use distilled_perception::{
    messages::{
        BoundingBox2D, BoundingBox3D, CameraInfo, CompressedImage, Detection2D, Detection2DArray, Detection3D,
        Detection3DArray, Endianness, Floats, Header, Image, LaserScan, Message, ObjectHypothesis,
        ObjectHypothesisWithPose, Point, Point2D, PointCloud2, PointField, Pose, Pose2D, Quaternion, RegionOfInterest,
        TFMessage, Time, Transform, TransformStamped, Vector3,
    },
    sensing::image::SUPPORTED_ENCODINGS,
};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

/// When all of them were measured, in seconds.
const SECOND: i32 = 1000;

fn header(frame_id: &str) -> Header<'_> {
    Header { stamp: Time { sec: SECOND, nanosec: 500 }, frame_id }
}

/// A message in both byte orders.
fn both(message: &impl Message) -> [Vec<u8>; 2] {
    [Endianness::Little, Endianness::Big].map(|endianness| {
        let mut bytes = Vec::new();
        message.encode_into(endianness, &mut bytes);
        bytes
    })
}

/// Raw images of every encoding, and what is none.
pub fn images() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for encoding in SUPPORTED_ENCODINGS {
        let (width, height) = (24, 16);
        // Four bytes a pixel are enough for each of them.
        let step = 4 * width;
        let data: Vec<u8> = (0..step * (height + height / 2)).map(|value| (value * 7) as u8).collect();
        let image = Image { header: header("camera"), height, width, encoding, is_bigendian: 0, step, data: &data };
        seeds.extend(both(&image));
    }
    let long = "x".repeat(300);
    let flat = |encoding, height, width| Image {
        header: header("camera"),
        height,
        width,
        encoding,
        step: 8,
        data: &[9; 64],
        ..Image::default()
    };
    let mut of_nowhere = flat("mono8", 4, 4);
    of_nowhere.header.frame_id = &long;
    for wrong in [flat("bayer_rggb8", 8, 1), flat("mono8", 0, 4), flat("32FC1", 2, 2), flat("rgb8", 2, 4), of_nowhere] {
        seeds.push(wrong.encode());
    }
    seeds
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG file whose header claims another size, with the right checksum.
fn overstated_png(width: u32, height: u32) -> Vec<u8> {
    let mut png = picture(4, 4, ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = !png[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

/// Files as they are sent compressed: their format's name and their bytes.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut grey = Vec::new();
    let values: Vec<u8> = (0..40 * 30).map(|value| value as u8).collect();
    image::codecs::png::PngEncoder::new(&mut grey).write_image(&values, 40, 30, ExtendedColorType::L8).unwrap();
    let mut deep = Vec::new();
    let values: Vec<u8> = (0..2 * 20 * 10).map(|value| value as u8).collect();
    image::codecs::png::PngEncoder::new(&mut deep).write_image(&values, 20, 10, ExtendedColorType::L16).unwrap();
    vec![
        ("rgb8; jpeg compressed bgr8", picture(64, 48, ImageFormat::Jpeg)),
        ("jpeg", picture(17, 9, ImageFormat::Jpeg)),
        ("png", picture(40, 30, ImageFormat::Png)),
        ("mono8; png compressed ", grey),
        ("16UC1; png compressed ", deep),
        ("png", overstated_png(1 << 16, 1 << 16)),
        ("png", overstated_png(1400, 1400)),
        ("16UC1; compressedDepth png", vec![0; 40]),
        ("webp", b"RIFF\0\0\0\0WEBPVP8 ".to_vec()),
    ]
}

/// Compressed images.
pub fn compressed_images() -> Vec<Vec<u8>> {
    let seed =
        |(format, data): (&str, Vec<u8>)| both(&CompressedImage { header: header("camera"), format, data: &data });
    files().into_iter().flat_map(seed).collect()
}

/// Laser scans.
pub fn scans() -> Vec<Vec<u8>> {
    let ranges: Vec<f32> =
        (0..180).map(|beam| if beam % 17 == 0 { f32::INFINITY } else { 1.0 + beam as f32 * 0.02 }).collect();
    let scan = LaserScan {
        header: header("lidar"),
        angle_min: -1.5,
        angle_max: 1.5,
        angle_increment: 3.0 / 180.0,
        time_increment: 1e-4,
        scan_time: 0.05,
        range_min: 0.05,
        range_max: 30.0,
        ranges: Floats::from(&ranges[..]),
        intensities: Floats::from(&ranges[..]),
    };
    let without = LaserScan { intensities: Floats::from(&ranges[..0]), ..scan };
    let standing = LaserScan { angle_increment: 0.0, ..scan };
    [both(&scan), both(&without), both(&standing)].into_iter().flatten().collect()
}

fn field(name: &'static str, offset: u32, datatype: u8) -> PointField<'static> {
    PointField { name, offset, datatype, count: 1 }
}

/// Point clouds of several layouts.
pub fn clouds() -> Vec<Vec<u8>> {
    let data: Vec<u8> = (0..32 * 64).flat_map(|value: u32| (value as f32 * 0.01).to_le_bytes()).collect();
    let float = PointField::FLOAT32;
    let plain = PointCloud2 {
        header: header("lidar"),
        height: 1,
        width: 128,
        fields: vec![field("x", 0, float), field("y", 4, float), field("z", 8, float), field("intensity", 12, float)],
        is_bigendian: false,
        point_step: 16,
        row_step: 16 * 128,
        data: &data[..16 * 128],
        is_dense: false,
    };
    let organised = PointCloud2 {
        height: 16,
        width: 16,
        fields: vec![
            field("x", 0, PointField::FLOAT64),
            field("y", 8, PointField::FLOAT64),
            field("z", 16, PointField::FLOAT64),
            field("ring", 24, PointField::UINT16),
            field("reflectivity", 26, PointField::UINT8),
        ],
        is_bigendian: true,
        point_step: 32,
        row_step: 32 * 16,
        data: &data,
        ..plain.clone()
    };
    let mut flat = plain.clone();
    flat.fields.truncate(2);
    let mut unknown = plain.clone();
    unknown.fields[1].datatype = 11;
    let mut outside = plain.clone();
    outside.fields[2].offset = 14;
    let narrow = PointCloud2 { row_step: 16, ..organised.clone() };
    let endless = PointCloud2 { width: 1 << 16, height: 1 << 16, ..plain.clone() };
    let empty = PointCloud2 { width: 0, data: &[], ..plain.clone() };
    [plain, organised, flat, unknown, outside, narrow, endless, empty].iter().flat_map(both).collect()
}

/// Calibrations: one of each lens, and what is none.
pub fn calibrations() -> Vec<Vec<u8>> {
    let good = CameraInfo {
        header: header("camera"),
        height: 480,
        width: 640,
        distortion_model: "plumb_bob",
        d: vec![-0.1, 0.01, 0.001, -0.001, 0.0],
        k: [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0],
        roi: RegionOfInterest { width: 640, height: 480, ..RegionOfInterest::default() },
        ..CameraInfo::default()
    };
    let with = |distortion_model, d: &[f64]| CameraInfo { distortion_model, d: d.to_vec(), ..good.clone() };
    let mut tilted = [0.001; 14];
    tilted[..4].copy_from_slice(&[-0.1, 0.01, 0.001, -0.001]);
    let out_of_it = RegionOfInterest { x_offset: 600, width: 100, height: 10, ..RegionOfInterest::default() };
    let seeds = [
        good.clone(),
        with("rational_polynomial", &[0.1, 0.01, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0]),
        with("equidistant", &[0.01, 0.0, 0.0, 0.0]),
        with("", &[]),
        with("", &[0.1, 0.0, 0.0, 0.0]),
        with("thin_prism", &[0.1]),
        with("plumb_bob", &[0.1, 0.2, 0.3]),
        with("plumb_bob", &[0.1, f64::NAN, 0.0, 0.0]),
        with("plumb_bob", &[-5000.0, 0.0, 0.0, 0.0]),
        with("rational_polynomial", &tilted),
        CameraInfo { width: 0, ..good.clone() },
        CameraInfo { k: [0.0; 9], ..good.clone() },
        CameraInfo { k: [500.0, 0.0, 320.0, 0.0, -500.0, 240.0, 0.0, 0.0, 1.0], ..good.clone() },
        CameraInfo { roi: out_of_it, ..good.clone() },
    ];
    seeds.iter().flat_map(both).collect()
}

fn transform<'a>(parent: &'a str, child: &'a str, sec: i32) -> TransformStamped<'a> {
    let translation = Vector3 { x: 0.1, y: 0.0, z: 0.5 };
    let header = Header { stamp: Time { sec, nanosec: 0 }, frame_id: parent };
    TransformStamped { header, child_frame_id: child, transform: Transform { translation, ..Transform::default() } }
}

/// Where the sensors are, for both topics of transforms, as a good robot tells it once.
pub fn robot() -> (Vec<u8>, Vec<Vec<u8>>) {
    let fixed = vec![transform("base_link", "lidar", 0), transform("base_link", "camera", 0)];
    // Before and after the stamp of all sensors.
    let moving =
        [SECOND, SECOND + 1].map(|sec| TFMessage { transforms: vec![transform("odom", "base_link", sec)] }.encode());
    (TFMessage { transforms: fixed }.encode(), moving.to_vec())
}

/// Transforms: good ones, and one of each kind that is refused.
pub fn transforms() -> Vec<Vec<u8>> {
    let long = "x".repeat(200);
    let names: Vec<String> = (0..2100).map(|number| format!("frame_{number}")).collect();
    let mut broken = transform("odom", "arm", SECOND);
    broken.transform.rotation = Quaternion { x: 0.0, y: 0.0, z: 0.0, w: 0.0 };
    let one = |transform| TFMessage { transforms: vec![transform] };
    let mut seeds: Vec<Vec<u8>> = [
        one(transform("odom", "base_link", SECOND)),
        TFMessage {
            transforms: vec![
                transform("base_link", "arm", SECOND),
                transform("arm", "hand", SECOND),
                transform("base_link", "mast", SECOND),
            ],
        },
        one(transform("odom", "", SECOND)),
        one(transform("odom", &long, SECOND)),
        one(transform("odom", "odom", SECOND)),
        one(transform("lidar", "odom", SECOND)),
        // Another parent, from before what is known.
        one(transform("map", "base_link", SECOND - 5)),
        one(broken),
    ]
    .iter()
    .flat_map(both)
    .collect();
    let flood = names.iter().map(|name| transform("odom", name, SECOND)).collect();
    seeds.push(TFMessage { transforms: flood }.encode());
    seeds
}

fn results(class_id: &'static str, score: f64) -> Vec<ObjectHypothesisWithPose<'static>> {
    vec![ObjectHypothesisWithPose { hypothesis: ObjectHypothesis { class_id, score }, ..Default::default() }]
}

/// What a camera's detector tells.
pub fn boxes() -> Vec<Vec<u8>> {
    let found = |class_id, x, score| Detection2D {
        header: header("camera"),
        results: results(class_id, score),
        bbox: BoundingBox2D {
            center: Pose2D { position: Point2D { x, y: 260.0 }, theta: 0.0 },
            size_x: 60.0,
            size_y: 160.0,
        },
        id: "",
    };
    let detections = vec![found("person", 200.0, 0.9), found("forklift", 320.0, 0.6), found("person", 500.0, 0.4)];
    let array = Detection2DArray { header: header("camera"), detections };
    let empty = Detection2DArray { detections: Vec::new(), ..array.clone() };
    [both(&array), both(&empty)].into_iter().flatten().collect()
}

/// What a lidar's detector tells.
pub fn objects() -> Vec<Vec<u8>> {
    let found = |class_id, x, y| Detection3D {
        header: header("lidar"),
        results: results(class_id, 0.8),
        bbox: BoundingBox3D {
            center: Pose { position: Point { x, y, z: 0.5 }, orientation: Quaternion::from_yaw(0.3) },
            size: Vector3 { x: 0.5, y: 0.6, z: 1.7 },
        },
        id: "",
    };
    let detections = vec![found("person", 3.0, 0.5), found("pallet", 5.0, -1.0)];
    let array = Detection3DArray { header: header("lidar"), detections };
    let empty = Detection3DArray { detections: Vec::new(), ..array.clone() };
    [both(&array), both(&empty)].into_iter().flatten().collect()
}
