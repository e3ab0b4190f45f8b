//! What must hold of every message: it comes back from its bytes in both byte orders, and no bytes make a decoder panic or
//! reserve memory that they cannot fill.

use distilled_perception::messages::{
    BoundingBox2D, BoundingBox3D, CameraInfo, Clock, CompressedImage, Covariance, DecodeError, Detection2D,
    Detection2DArray, Detection3D, Detection3DArray, Endianness, Floats, Header, Image, LabelInfo, LaserScan, Message,
    ObjectHypothesis, ObjectHypothesisWithPose, Point, Point2D, PointCloud2, PointField, Pose, Pose2D, PoseArray,
    PoseWithCovariance, Quaternion, RegionOfInterest, SpeedLimit, TFMessage, Text, Time, Transform, TransformStamped,
    Vector3, VisionClass, definition,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

fn encoded(message: &impl Message, endianness: Endianness) -> Vec<u8> {
    let mut bytes = vec![0xEE; 7];
    message.encode_into(endianness, &mut bytes);
    bytes
}

/// Raw material for a message's fields, from which the borrowing structures are built.
#[derive(Debug, Clone)]
struct Material {
    sec: i32,
    nanosec: u32,
    text: String,
    name: String,
    bytes: Vec<u8>,
    doubles: Vec<f64>,
    singles: Vec<f32>,
    words: Vec<u32>,
    flag: bool,
}

fn material() -> impl Strategy<Value = Material> {
    let double = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let single = prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::INFINITE;
    let text = "[a-zA-Z0-9_/äß人 ]{0,12}";
    (
        any::<i32>(),
        any::<u32>(),
        text,
        text,
        vec(any::<u8>(), 0..40),
        vec(double, 50),
        vec(single, 8..20),
        vec(any::<u32>(), 8),
        any::<bool>(),
    )
        .prop_map(|(sec, nanosec, text, name, bytes, doubles, singles, words, flag)| Material {
            sec,
            nanosec,
            text,
            name,
            bytes,
            doubles,
            singles,
            words,
            flag,
        })
}

impl Material {
    fn header(&self) -> Header<'_> {
        Header { stamp: Time { sec: self.sec, nanosec: self.nanosec }, frame_id: &self.text }
    }

    fn count(&self) -> usize {
        self.bytes.len() % 4
    }

    fn vector(&self) -> Vector3 {
        Vector3 { x: self.doubles[0], y: self.doubles[1], z: self.doubles[2] }
    }

    fn pose(&self) -> Pose {
        let d = &self.doubles;
        Pose {
            position: Point { x: d[3], y: d[4], z: d[5] },
            orientation: Quaternion { x: d[6], y: d[7], z: d[8], w: d[9] },
        }
    }

    fn results(&self) -> Vec<ObjectHypothesisWithPose<'_>> {
        let covariance = Covariance(std::array::from_fn(|index| self.doubles[index]));
        let hypothesis = ObjectHypothesis { class_id: &self.name, score: self.doubles[10] };
        let pose = PoseWithCovariance { pose: self.pose(), covariance };
        vec![ObjectHypothesisWithPose { hypothesis, pose }; self.count()]
    }

    fn detections_2d(&self) -> Detection2DArray<'_> {
        let d = &self.doubles;
        let center = Pose2D { position: Point2D { x: d[11], y: d[12] }, theta: d[13] };
        let bbox = BoundingBox2D { center, size_x: d[14], size_y: d[15] };
        let detection = Detection2D { header: self.header(), results: self.results(), bbox, id: &self.name };
        Detection2DArray { header: self.header(), detections: vec![detection; self.count()] }
    }

    fn detections_3d(&self) -> Detection3DArray<'_> {
        let bbox = BoundingBox3D { center: self.pose(), size: self.vector() };
        let detection = Detection3D { header: self.header(), results: self.results(), bbox, id: &self.name };
        Detection3DArray { header: self.header(), detections: vec![detection; self.count()] }
    }

    fn camera_info(&self) -> CameraInfo<'_> {
        let w = &self.words;
        CameraInfo {
            header: self.header(),
            height: w[0],
            width: w[1],
            distortion_model: &self.name,
            d: self.doubles[..self.count()].to_vec(),
            k: std::array::from_fn(|index| self.doubles[index]),
            r: std::array::from_fn(|index| self.doubles[index + 1]),
            p: std::array::from_fn(|index| self.doubles[index + 2]),
            binning_x: w[2],
            binning_y: w[3],
            roi: RegionOfInterest { x_offset: w[4], y_offset: w[5], height: w[6], width: w[7], do_rectify: self.flag },
        }
    }

    fn laser_scan(&self) -> LaserScan<'_> {
        let s = &self.singles;
        LaserScan {
            header: self.header(),
            angle_min: s[0],
            angle_max: s[1],
            angle_increment: s[2],
            time_increment: s[3],
            scan_time: s[4],
            range_min: s[5],
            range_max: s[6],
            ranges: Floats::from(s),
            intensities: Floats::from(&s[..self.count()]),
        }
    }

    fn point_cloud(&self) -> PointCloud2<'_> {
        let w = &self.words;
        let field = PointField { name: &self.name, offset: w[0], datatype: PointField::FLOAT32, count: w[1] };
        PointCloud2 {
            header: self.header(),
            height: w[2],
            width: w[3],
            fields: vec![field; self.count()],
            is_bigendian: self.flag,
            point_step: w[4],
            row_step: w[5],
            data: &self.bytes,
            is_dense: !self.flag,
        }
    }

    fn transforms(&self) -> TFMessage<'_> {
        let transform = Transform { translation: self.vector(), rotation: self.pose().orientation };
        let stamped = TransformStamped { header: self.header(), child_frame_id: &self.name, transform };
        TFMessage { transforms: vec![stamped; self.count()] }
    }
}

/// Encodes, decodes with padding behind, and compares, in both byte orders.
macro_rules! comes_back {
    ($type:ident, $message:expr) => {{
        let message: $type = $message;
        prop_assert_eq!(message.encode(), encoded(&message, Endianness::Little));
        for endianness in [Endianness::Little, Endianness::Big] {
            let mut bytes = encoded(&message, endianness);
            bytes.extend([0; 3]);
            let decoded = $type::decode(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&decoded, &message);
        }
    }};
}

proptest! {
    #[test]
    fn messages_come_back(m in material()) {
        comes_back!(Time, m.header().stamp);
        comes_back!(Header, m.header());
        comes_back!(Clock, Clock { clock: m.header().stamp });
        comes_back!(Text, Text { data: &m.text });
        comes_back!(Image, Image {
            header: m.header(), height: m.words[0], width: m.words[1], encoding: &m.name, is_bigendian: u8::from(m.flag),
            step: m.words[2], data: &m.bytes,
        });
        comes_back!(CompressedImage, CompressedImage { header: m.header(), format: &m.name, data: &m.bytes });
        comes_back!(CameraInfo, m.camera_info());
        comes_back!(LaserScan, m.laser_scan());
        comes_back!(PointCloud2, m.point_cloud());
        comes_back!(TFMessage, m.transforms());
        comes_back!(PoseArray, PoseArray { header: m.header(), poses: vec![m.pose(); m.count()] });
        comes_back!(Detection2DArray, m.detections_2d());
        comes_back!(Detection3DArray, m.detections_3d());
        let class = VisionClass { class_id: m.words[0] as u16, class_name: &m.name };
        comes_back!(LabelInfo, LabelInfo {
            header: m.header(), class_map: vec![class; m.count()], threshold: m.singles[0],
        });
        comes_back!(SpeedLimit, SpeedLimit { header: m.header(), percentage: m.flag, speed_limit: m.doubles[0] });
    }

    #[test]
    fn no_bytes_panic(mut bytes in vec(any::<u8>(), 0..300), plain in any::<bool>(), big in any::<bool>()) {
        if plain && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&[0, u8::from(!big), 0, 0]);
        }
        decode_as_everything(&bytes);
    }

    /// Bytes that are nearly a message get further into the decoders than arbitrary ones.
    #[test]
    fn no_damaged_message_panics(m in material(), position in any::<prop::sample::Index>(), value in any::<u8>(), cut in 0..20_usize) {
        for mut bytes in [
            m.detections_2d().encode(), m.detections_3d().encode(), m.point_cloud().encode(), m.transforms().encode(),
            m.camera_info().encode(), m.laser_scan().encode(),
        ] {
            let index = position.index(bytes.len());
            bytes[index] = value;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            decode_as_everything(&bytes);
        }
    }

    #[test]
    fn times_come_back(nanoseconds in i64::from(i32::MIN) * 1_000_000_000..=i64::from(i32::MAX) * 1_000_000_000) {
        prop_assert_eq!(Time::from_nanoseconds(nanoseconds).to_nanoseconds(), nanoseconds);
    }
}

fn decode_as_everything(bytes: &[u8]) {
    let _ = Time::decode(bytes);
    let _ = Header::decode(bytes);
    let _ = Clock::decode(bytes);
    let _ = Text::decode(bytes);
    let _ = Image::decode(bytes);
    let _ = CompressedImage::decode(bytes);
    let _ = CameraInfo::decode(bytes);
    let _ = LaserScan::decode(bytes).map(|scan| scan.ranges.to_vec());
    let _ = PointCloud2::decode(bytes);
    let _ = TFMessage::decode(bytes);
    let _ = PoseArray::decode(bytes);
    let _ = Detection2DArray::decode(bytes);
    let _ = Detection3DArray::decode(bytes);
    let _ = LabelInfo::decode(bytes);
    let _ = SpeedLimit::decode(bytes);
}

#[test]
fn payloads_are_borrowed() {
    let data = [1, 2, 3];
    let bytes = Image { encoding: "mono8", data: &data, ..Image::default() }.encode();
    let image = Image::decode(&bytes).unwrap();
    assert!(bytes.as_ptr_range().contains(&image.data.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&image.encoding.as_ptr()));
}

#[test]
fn headers_are_checked() {
    assert_eq!(Clock::decode(&[0, 1, 0]), Err(DecodeError::MissingHeader { found: 3 }));
    // XCDR2 and parameter lists have another layout.
    for identifier in [2, 3, 6, 7, 0x0100] {
        let [high, low] = u16::to_be_bytes(identifier);
        let bytes = [high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let error = Clock::decode(&bytes).unwrap_err();
        assert_eq!(error, DecodeError::UnsupportedEncapsulation { identifier });
        assert!(error.to_string().contains("XCDR1"), "{error}");
    }
}

#[test]
fn errors_name_the_field() {
    let header = Header { stamp: Time::default(), frame_id: "map" };
    let results = vec![ObjectHypothesisWithPose::default(); 2];
    let detection = Detection2D { header, results, ..Detection2D::default() };
    let bytes = Detection2DArray { header, detections: vec![detection] }.encode();
    // The last fields are size_y (8 bytes), the id's length (4) and its closing zero.
    let error = Detection2DArray::decode(&bytes[..bytes.len() - 6]).unwrap_err();
    let DecodeError::Truncated { field, needed: 8, remaining: 7 } = &error else { panic!("{error:?}") };
    assert_eq!(field, "detections[0].bbox.size_y");
    assert_eq!(error.to_string(), "the message ends within field `detections[0].bbox.size_y`: 8 bytes needed, 7 left");
}

#[test]
fn lengths_are_checked_before_memory_is_reserved() {
    let mut bytes = TFMessage::default().encode();
    let length = bytes.len() - 4;
    bytes[length..].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.resize(bytes.len() + 1000, 0);
    let expected =
        DecodeError::ImpossibleLength { field: "transforms".into(), length: u32::MAX as usize, remaining: 1000 };
    assert_eq!(TFMessage::decode(&bytes), Err(expected));
    // A transform takes at least 72 bytes, so 13 could be there, but not 14.
    bytes[length..length + 4].copy_from_slice(&14_u32.to_le_bytes());
    assert!(matches!(TFMessage::decode(&bytes), Err(DecodeError::ImpossibleLength { length: 14, .. })));
}

#[test]
fn strings_must_be_utf_8() {
    let mut bytes = Image { encoding: "mono8", ..Image::default() }.encode();
    let position = bytes.windows(5).position(|window| window == b"mono8").unwrap();
    bytes[position + 2] = 0xFF;
    assert_eq!(Image::decode(&bytes), Err(DecodeError::NotUtf8 { field: "encoding".into(), valid_up_to: 2 }));
}

#[test]
fn empty_strings_may_have_length_zero() {
    let bytes = [0, 1, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(Header::decode(&bytes), Ok(Header { stamp: Time { sec: 5, nanosec: 6 }, frame_id: "" }));
}

#[test]
fn a_header_is_the_start_of_every_stamped_message() {
    let header = Header { stamp: Time { sec: 3, nanosec: 4 }, frame_id: "laser" };
    let bytes = LaserScan { header, ..LaserScan::default() }.encode();
    assert_eq!(Header::decode(&bytes), Ok(header));
}

#[test]
fn every_message_type_has_a_definition() {
    for name in [
        Time::TYPE_NAME,
        Header::TYPE_NAME,
        Clock::TYPE_NAME,
        Text::TYPE_NAME,
        Image::TYPE_NAME,
        CompressedImage::TYPE_NAME,
        CameraInfo::TYPE_NAME,
        LaserScan::TYPE_NAME,
        PointCloud2::TYPE_NAME,
        TFMessage::TYPE_NAME,
        PoseArray::TYPE_NAME,
        Detection2DArray::TYPE_NAME,
        Detection3DArray::TYPE_NAME,
        LabelInfo::TYPE_NAME,
        SpeedLimit::TYPE_NAME,
    ] {
        assert!(definition(name).is_some(), "{name}");
    }
}
