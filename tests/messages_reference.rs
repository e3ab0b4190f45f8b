//! Messages and images against independent implementations: the fixtures are made by `scripts/reference/messages.py` (the
//! Python package rosbags) and `scripts/reference/images.py` (numpy and Pillow). Where rosbags is at hand, it also makes messages
//! that nobody has seen before.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use distilled_perception::messages::{
    CameraInfo, Clock, CompressedImage, Detection2DArray, Detection3DArray, Endianness, Header, Image, LabelInfo,
    LaserScan, Message, PointCloud2, PoseArray, TFMessage, Time,
};
use distilled_perception::sensing::image::{decode_compressed, decode_image_into};
use image::RgbImage;
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/messages/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn from_hex(text: &Value) -> Vec<u8> {
    let digits: Vec<u8> = text.as_str().unwrap().chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Decodes both byte orders, compares with the expected fields, and encodes again.
macro_rules! check_as {
    ($type:ident, $case:expr) => {{
        for (name, endianness) in [("little", Endianness::Little), ("big", Endianness::Big)] {
            let bytes = from_hex(&$case[name]);
            let message = $type::decode(&bytes).unwrap_or_else(|error| panic!("{} {name}: {error}", $type::TYPE_NAME));
            assert_eq!(serde_json::to_value(&message).unwrap(), $case["fields"], "{} {name}", $type::TYPE_NAME);
            let mut encoded = Vec::new();
            message.encode_into(endianness, &mut encoded);
            assert_eq!(encoded, bytes, "{} {name}", $type::TYPE_NAME);
            assert_cuts_are_errors(&bytes, |cut| $type::decode(cut).is_err());
        }
    }};
}

/// Every message ends with a field's last byte, so there is no prefix of it that is a whole message. Of long messages a thousand
/// prefixes are tried.
fn assert_cuts_are_errors(bytes: &[u8], fails: impl Fn(&[u8]) -> bool) {
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 1000).chain([bytes.len() - 1]) {
        assert!(fails(&bytes[..end]), "the first {end} of {} bytes decode", bytes.len());
    }
}

/// Checks every case and gives how many there were of each type.
fn check_all(cases: &Value) -> BTreeMap<&str, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases.as_array().unwrap() {
        let name = case["type"].as_str().unwrap();
        *counts.entry(name).or_default() += 1;
        match name {
            Time::TYPE_NAME => check_as!(Time, case),
            Header::TYPE_NAME => check_as!(Header, case),
            Clock::TYPE_NAME => check_as!(Clock, case),
            PoseArray::TYPE_NAME => check_as!(PoseArray, case),
            TFMessage::TYPE_NAME => check_as!(TFMessage, case),
            Image::TYPE_NAME => check_as!(Image, case),
            CompressedImage::TYPE_NAME => check_as!(CompressedImage, case),
            CameraInfo::TYPE_NAME => check_as!(CameraInfo, case),
            LaserScan::TYPE_NAME => check_as!(LaserScan, case),
            PointCloud2::TYPE_NAME => check_as!(PointCloud2, case),
            Detection2DArray::TYPE_NAME => check_as!(Detection2DArray, case),
            Detection3DArray::TYPE_NAME => check_as!(Detection3DArray, case),
            LabelInfo::TYPE_NAME => check_as!(LabelInfo, case),
            other => panic!("a type that is not tested: {other}"),
        }
    }
    counts
}

#[test]
fn decodes_and_encodes_what_rosbags_writes() {
    let cases = fixture("cases.json");
    let counts = check_all(&cases);
    assert_eq!(counts.len(), 13, "types in the fixture: {counts:?}");
}

#[test]
fn decodes_and_encodes_what_rosbags_writes_of_any_messages() {
    const CASES: usize = 20;
    let at_hand = Command::new("python3").args(["-c", "import numpy, rosbags"]).stderr(Stdio::null()).status();
    if !at_hand.is_ok_and(|status| status.success()) {
        println!("skipped: python3 has no rosbags with numpy (run scripts/setup, source scripts/env)");
        return;
    }
    let seed: u64 = match std::env::var("PERCEPTION_TEST_SEED") {
        Ok(seed) => seed.parse().expect("PERCEPTION_TEST_SEED is a whole number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("PERCEPTION_TEST_SEED={seed} gives the same messages again");
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/reference/messages.py"))
        .args(["--stdout", "--seed", &seed.to_string(), "--cases", &CASES.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cases: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = check_all(&cases);
    assert!(counts.len() == 13 && counts.values().all(|count| *count == CASES), "{counts:?}");
}

fn assert_close(name: &str, found: &RgbImage, expected: &[u8], tolerance: u64) {
    assert_eq!(found.as_raw().len(), expected.len(), "{name}");
    for (index, (&a, &b)) in found.as_raw().iter().zip(expected).enumerate() {
        let (x, y) = (index / 3 % found.width() as usize, index / 3 / found.width() as usize);
        assert!(
            u64::from(a.abs_diff(b)) <= tolerance,
            "{name}: channel {} at ({x}, {y}) is {a}, expected {b} +- {tolerance}",
            index % 3
        );
    }
}

#[test]
fn raw_images_agree_with_numpy() {
    let fixture = fixture("images.json");
    let mut rgb = RgbImage::default();
    let mut encodings = std::collections::BTreeSet::new();
    for case in fixture["raw"].as_array().unwrap() {
        let number = |field: &str| case[field].as_u64().unwrap() as u32;
        let data = from_hex(&case["data"]);
        let encoding = case["encoding"].as_str().unwrap();
        encodings.insert(encoding);
        let image = Image {
            width: number("width"),
            height: number("height"),
            step: number("step"),
            is_bigendian: number("is_bigendian") as u8,
            encoding,
            data: &data,
            ..Image::default()
        };
        decode_image_into(&image, &mut rgb).unwrap();
        assert_eq!(rgb.dimensions(), (image.width, image.height));
        let name = format!("{encoding} {}x{} step {}", image.width, image.height, image.step);
        assert_close(&name, &rgb, &from_hex(&case["rgb"]), case["tolerance"].as_u64().unwrap());
    }
    assert_eq!(encodings.len(), distilled_perception::sensing::image::SUPPORTED_ENCODINGS.len());
}

#[test]
fn compressed_images_agree_with_pillow() {
    let fixture = fixture("images.json");
    let cases = fixture["compressed"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let data = from_hex(&case["data"]);
        // The format is only a hint, and often a wrong one.
        let rgb =
            decode_compressed(&CompressedImage { format: "bgr8; tiff", data: &data, ..Default::default() }).unwrap();
        assert_eq!(u64::from(rgb.width()), case["width"].as_u64().unwrap());
        let name = case["name"].as_str().unwrap();
        assert_close(name, &rgb, &from_hex(&case["rgb"]), case["tolerance"].as_u64().unwrap());
    }
}
