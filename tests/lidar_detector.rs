//! The node `lidar_detector` on real ROS 2, judged by a client in rclpy (tests/ros/sweep_client.py) against the library.
#![cfg(all(feature = "ros", feature = "distill"))]

mod support;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use distilled_perception::{
    distill::{
        bag::{Bag, TopicFilter},
        synth::recording::{Settings, record},
    },
    messages::{Header, LaserScan, PointCloud2, PointField, Time},
    model::{SessionOptions, lidar::LidarDetector},
    sensing::range_image::Sweep,
};
use serde::Deserialize;
use serde_json::json;
use support::ros::{Node, rclpy, refuses};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lidar_detector");
const FRAME: &str = "laser, test";

#[derive(Deserialize)]
struct Heard {
    labels: Vec<(u16, String)>,
    diagnostics: BTreeMap<String, String>,
    sweeps: Vec<Detected>,
}

#[derive(Deserialize)]
struct Detected {
    stamp: i64,
    frame_id: String,
    objects: Vec<Object>,
    points: Labelled,
}

#[derive(Deserialize)]
struct Object {
    class: String,
    score: f64,
    center: [f64; 3],
    size: [f64; 3],
    equal_header: bool,
}

#[derive(Deserialize)]
struct Labelled {
    frame_id: String,
    class: Vec<u16>,
    object: Vec<u16>,
    score: Vec<f32>,
    void: usize,
}

/// What the client publishes.
struct Sent {
    stamp: i64,
    /// CDR bytes of a LaserScan or PointCloud2.
    message: Vec<u8>,
    sweep: Sweep,
}

/// A lidar student that is kept in the repository; `None` after saying that there is none or nothing to run it with.
fn student(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    (support::onnx_runtime() && rclpy()).then_some(path)
}

/// The header of a sweep by its number.
fn header(number: i64) -> Header<'static> {
    let stamp = 1_700_000_000_000_000_000 + 100_000_000 * number;
    Header { stamp: Time::from_nanoseconds(stamp), frame_id: FRAME }
}

/// Some of the scans of a real recording of people's legs, as they are in the bag but for their headers.
fn scans(data: &Path) -> Vec<Sent> {
    let bag = Bag::open(data.join("bags/legs_labelled_4")).unwrap();
    let mut scans = Vec::new();
    let topic = TopicFilter::Only(vec!["/training_scan".into()]);
    let loss = bag.read(&topic, |message| {
        let header = header(scans.len() as i64);
        let scan = LaserScan { header, ..LaserScan::decode(message.data).unwrap() };
        let sweep = Sweep::from_scan(&scan).unwrap();
        scans.push(Sent { stamp: header.stamp.to_nanoseconds(), message: scan.encode(), sweep });
        ControlFlow::Continue(())
    });
    assert!(loss.unwrap().is_empty());
    scans.into_iter().step_by(25).collect()
}

/// Clouds of a synthetic warehouse, each as it is but for its header, and once more laid out as hardly any driver does.
fn clouds(folder: &Path) -> Vec<[Sent; 2]> {
    let path = folder.join("warehouse");
    let settings = Settings { seconds: 2.0, seed: 4711, rate: 2.0, width: 32, height: 32, ..Settings::default() };
    record(&settings, &path, false, |_| ControlFlow::Continue(())).unwrap();
    let messages = Bag::open(&path).unwrap().messages(&TopicFilter::only(["/points"])).unwrap();
    let pair = |(number, message): (i64, Vec<u8>)| {
        let plain = PointCloud2 { header: header(2 * number), ..PointCloud2::decode(&message).unwrap() };
        let data = odd_data(&plain);
        let odd = odd_layout(&plain, header(2 * number + 1), &data);
        [plain, odd].map(|cloud| Sent {
            stamp: cloud.header.stamp.to_nanoseconds(),
            sweep: Sweep::from_cloud(&cloud).unwrap(),
            message: cloud.encode(),
        })
    };
    (0..).zip(messages.map(|message| message.unwrap().data)).map(pair).collect()
}

/// Bytes of a point of [`odd_layout`], and what is between its rows.
const ODD_STEP: usize = 37;
const ODD_PADDING: usize = 11;

/// The points of a cloud of x, y, z, intensity (`float32`) and ring (`uint16`) in this order, as [`odd_layout`] has them.
fn odd_data(plain: &PointCloud2<'_>) -> Vec<u8> {
    assert_eq!((plain.is_bigendian, plain.point_step), (false, 20));
    let mut data = Vec::new();
    for row in plain.data.chunks_exact(plain.row_step as usize) {
        for point in row.chunks_exact(20) {
            let coordinate =
                |axis: usize| f64::from(f32::from_le_bytes(point[4 * axis..4 * axis + 4].try_into().unwrap()));
            let ring = u16::from_le_bytes(point[16..18].try_into().unwrap());
            let mut odd = [0xA5; ODD_STEP];
            odd[1..3].copy_from_slice(&ring.to_be_bytes());
            for (axis, start) in [(2, 3), (0, 12), (1, 29)] {
                odd[start..start + 8].copy_from_slice(&coordinate(axis).to_be_bytes());
            }
            data.extend(odd);
        }
        data.extend([0x5A; ODD_PADDING]);
    }
    data
}

/// The same cloud in big endian and `float64`, with the ring first, z before x and y, bytes of nothing between them and behind each row.
fn odd_layout<'a>(plain: &PointCloud2<'_>, header: Header<'a>, data: &'a [u8]) -> PointCloud2<'a> {
    let field = |name, offset, datatype| PointField { name, offset, datatype, count: 1 };
    PointCloud2 {
        header,
        height: plain.height,
        width: plain.width,
        fields: vec![
            field("ring", 1, PointField::UINT16),
            field("z", 3, PointField::FLOAT64),
            field("x", 12, PointField::FLOAT64),
            field("y", 29, PointField::FLOAT64),
        ],
        is_bigendian: true,
        point_step: ODD_STEP as u32,
        row_step: plain.width * ODD_STEP as u32 + ODD_PADDING as u32,
        data,
        is_dense: false,
    }
}

#[test]
fn the_client_sees_what_the_library_finds_with_the_scans_header() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let Some(model) = student("legs.onnx") else { return };
    client_sees_what_the_library_finds(&model, "scan", &scans(&data));
}

/// The shipped student in int8, which a gate let pass, and clouds of two layouts.
#[test]
fn clouds_of_any_layout_give_what_the_library_finds() {
    let Some(model) = student("warehouse_lidar_small.onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let pairs = clouds(folder.path());
    for [plain, odd] in &pairs {
        assert!(plain.sweep.valid() > 1000 && plain.sweep.rings == odd.sweep.rings);
        // Void points are NaN, which is not equal to itself.
        assert_eq!(format!("{:?}", plain.sweep.points), format!("{:?}", odd.sweep.points));
    }
    client_sees_what_the_library_finds(&model, "cloud", &pairs.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn a_student_in_int8_gives_what_the_library_finds() {
    let Some(data) = support::test_data("bags/legs_labelled_4/metadata.yaml") else { return };
    let Some(student) = student("legs.onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("int8.onnx");
    let output = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args([
            "quantize",
            "--force",
            "--frames",
            "20",
            "--validation-frames",
            "20",
            "--topic",
            "/training_scan",
            "--data",
        ])
        .arg(data.join("bags/legs_labelled_1"))
        .arg("--out")
        .arg(&model)
        .arg(student)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    client_sees_what_the_library_finds(&model, "scan", &scans(&data));
}

/// Publishes sweeps of a kind, as the parameter `input_type` names it, to the node.
fn client_sees_what_the_library_finds(model: &Path, kind: &str, sent: &[Sent]) {
    let folder = tempfile::tempdir().unwrap();
    let mut detector = LidarDetector::load(model, &SessionOptions::default()).unwrap();
    let classes = detector.spec().classes.clone();
    let (mut paths, mut expected) = (Vec::new(), Vec::new());
    for Sent { stamp, message, sweep } in sent {
        let path = folder.path().join(format!("{stamp}.cdr"));
        std::fs::write(&path, message).unwrap();
        paths.push(path);
        let found = detector.detect(sweep).unwrap();
        expected.push((*stamp, (sweep.len(), sweep.len() - sweep.valid()), found));
    }
    let found: usize = expected.iter().map(|(_, _, found)| found.objects.len()).sum();
    assert!(found >= expected.len() / 2, "the sweeps show objects: {found} in {} of them", expected.len());

    let parameters = [format!("model:={}", model.display()), format!("input_type:={kind}")];
    let node = Node::start(PROGRAM, &parameters);
    let heard: Heard = node.hear("sweep_client.py", &json!({"topic": "scan", "type": kind, "sweeps": paths}));
    let labels: Vec<(u16, String)> = (1..).zip(classes.iter().cloned()).collect();
    assert_eq!(heard.labels, labels);
    for (stamp, counts, expected) in &expected {
        let sweep = heard.sweeps.iter().find(|sweep| sweep.stamp == *stamp).expect("every sweep is answered");
        assert_eq!((sweep.frame_id.as_str(), sweep.points.frame_id.as_str()), (FRAME, FRAME));
        assert_eq!(sweep.objects.len(), expected.objects.len(), "sweep at {stamp}");
        for (heard, object) in sweep.objects.iter().zip(&expected.objects) {
            assert!(heard.equal_header && heard.class == classes[object.class]);
            assert!((heard.score - f64::from(object.score)).abs() < 1e-3);
            for axis in 0..3 {
                assert!((heard.center[axis] - f64::from(object.center[axis])).abs() < 1e-3);
                assert!((heard.size[axis] - f64::from(object.size[axis])).abs() < 1e-3);
            }
        }
        assert_eq!((sweep.points.class.len(), sweep.points.void), *counts);
        for (point, label) in expected.points.iter().enumerate() {
            assert_eq!(sweep.points.class[point], label.class.map_or(0, |class| class + 1), "point {point}");
            assert_eq!(
                u32::from(sweep.points.object[point]),
                label.object.map_or(0, |object| object + 1),
                "point {point}"
            );
            assert!((sweep.points.score[point] - label.score).abs() < 1e-3);
        }
    }
    assert!(heard.diagnostics["infer_ms_p99"].parse::<f64>().is_ok_and(|took| took > 0.0), "{:?}", heard.diagnostics);
    assert!(!heard.diagnostics.contains_key("pipeline_ms_p99"), "stamps of another year have no age");
    let (code, took) = node.end("-INT");
    assert_eq!(code, Some(0), "SIGINT ends the node cleanly");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_missing_or_wrong_model_ends_with_one_clear_error() {
    if !(support::onnx_runtime() && rclpy()) {
        return;
    }
    refuses(PROGRAM, &[], &["parameter model"]);
    refuses(PROGRAM, &["model:=/nowhere/legs.onnx"], &["/nowhere/legs.onnx"]);
    let camera = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/indoor_person.onnx");
    refuses(PROGRAM, &[&format!("model:={}", camera.display())], &["camera_detector"]);
}
