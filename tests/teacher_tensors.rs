//! `distill teacher --tensors`, by its binary: the feature maps inside a network, on one of a few nodes, on a student's bundle and
//! on a published detector.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use burn::tensor::Device;
use distilled_perception::{
    distill::{
        export::export,
        student::{CameraStudent, Size, StudentConfig},
        teacher::{EnsembleOptions, Teacher, TeacherConfig},
    },
    model::{SoftDetection, bundle::BundleMetadata},
};
use serde_json::Value;

/// What the command prints, which must succeed.
fn teacher(model: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    let output =
        command.arg("teacher").arg(model).arg("--tensors").args(arguments).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(model: &Path, arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&teacher(model, &[arguments, &["--json"][..]].concat())).unwrap()
}

/// Name, operator, `[channels, height, width, stride]` and whether it ends a stage.
fn summary(tensor: &Value) -> (&str, &str, [u64; 4], bool) {
    let number = |key: &str| tensor[key].as_u64().unwrap();
    let sizes = [number("channels"), number("height"), number("width"), number("stride")];
    (tensor["name"].as_str().unwrap(), tensor["op"].as_str().unwrap(), sizes, tensor["suggested"].as_bool().unwrap())
}

#[test]
fn a_small_network_is_told_whole() {
    if !support::onnx_runtime() {
        return;
    }
    let model = support::tiny_model("tiny_pools.onnx");
    let all = json(&model, &["--all"]);
    let expected = [
        ("half", "AveragePool", [3, 16, 16, 2], true),
        ("quarter", "AveragePool", [3, 8, 8, 4], false),
        ("doubled", "Concat", [6, 8, 8, 4], true),
    ];
    assert_eq!(all.iter().map(summary).collect::<Vec<_>>(), expected);
    let short = json(&model, &[]);
    assert_eq!(short, [all[0].clone(), all[2].clone()]);
    let text = teacher(&model, &[]);
    for part in ["half", "doubled", "AveragePool", "16 x 16", "1 more", "--all"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    // Nothing at a stride of the student's: no example.
    assert!(!text.contains("quarter") && !text.contains("pairs:"), "{text}");
    assert!(teacher(&model, &["--all"]).contains("quarter"));
    // A network without maps is no error.
    assert!(json(&support::tiny_model("tiny_yolov8.onnx"), &["--all"]).is_empty());
}

#[test]
fn a_bundle_suggests_the_anchor_points_of_its_student() {
    if !support::onnx_runtime() {
        return;
    }
    let config = StudentConfig::new(Size::Micro, vec!["person".into()], 64, 64);
    let student = CameraStudent::new(&config, 1, &Device::flex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("student.onnx");
    export(&student, &BundleMetadata::new(config.model_spec()), &model).unwrap();
    let short = json(&model, &[]);
    let names: Vec<&str> = short.iter().map(|tensor| summary(tensor).0).collect();
    let expected = [
        "stage_4",
        "stage_8",
        "stage_16",
        "stage_32",
        "neck_32",
        "neck_16",
        "neck_8",
        "class_logits_8",
        "box_distribution_8",
        "class_logits_16",
        "box_distribution_16",
        "class_logits_32",
        "box_distribution_32",
    ];
    assert_eq!(names, expected);
    assert_eq!(summary(&short[2]), ("stage_16", "Relu", [64, 4, 4, 16], true));
    // The widest map of the stride is another one.
    let text = teacher(&model, &[]);
    assert!(text.contains(r#"pairs: [{tensor: "neck_16", student: neck_16}]"#), "{text}");
}

#[test]
fn the_maps_of_a_published_detector_are_known() {
    let Some(data) = support::test_data("models") else { return };
    if !support::onnx_runtime() {
        return;
    }
    let model = data.join("models/yolox_nano_416.onnx");
    let all = json(&model, &["--all"]);
    let all: Vec<_> = all.iter().map(summary).collect();
    assert!(all.len() > 300, "{}", all.len());
    let short = json(&model, &[]);
    let short: Vec<_> = short.iter().map(summary).collect();
    assert!(short.len() < 20 && short.iter().all(|tensor| tensor.3 && all.contains(tensor)), "{short:?}");
    // The ends of the backbone's stages, the top of the neck, and a block inside of a stage.
    for (name, sizes) in [
        ("687", [16, 208, 208, 2]),
        ("721", [32, 104, 104, 4]),
        ("781", [64, 52, 52, 8]),
        ("841", [128, 26, 26, 16]),
        ("990", [128, 26, 26, 16]),
    ] {
        assert!(short.contains(&(name, "Mul", sizes, true)), "no {name} in {short:?}");
    }
    assert!(all.contains(&("836", "Add", [64, 26, 26, 16], false)));
    let text = teacher(&model, &[]);
    assert!(text.contains(r#"pairs: [{tensor: "990", student: neck_16}]"#), "{text}");
    assert!(text.contains("26 x 26") && text.contains("distillation.terms"), "{text}");
}

/// The detections far above any threshold.
fn sure(found: &[SoftDetection]) -> Vec<SoftDetection> {
    found.iter().filter(|found| found.score() > 0.3).cloned().collect()
}

#[test]
fn maps_of_published_detectors_lie_over_the_image() {
    let Some(data) = support::test_data("models") else { return };
    if !support::onnx_runtime() {
        return;
    }
    let classes = ["person".to_owned()];
    // A frame as a student of 320x192 pixels gets it; the teachers letterbox or stretch it in their own ways.
    let frame = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/teachers/frame_indoor_150.png");
    let frame = image::open(frame).unwrap().into_rgb8();
    let image = image::imageops::resize(&frame, 320, 192, image::imageops::FilterType::Triangle);
    for (name, tensor, sizes) in [
        ("yolox_nano_416.onnx", "990", [128, 26, 26]),
        ("nanodet_m_416.onnx", "867", [96, 26, 26]),
        ("FastestDet_352.onnx", "input.376", [96, 22, 22]),
    ] {
        let config = TeacherConfig::new(data.join("models").join(name));
        let options = EnsembleOptions::default();
        let mut tapped = Teacher::load_tapped(&config, &classes, options, &[tensor.to_owned()]).unwrap();
        let (found, maps) = tapped.detect_tapped(&image).unwrap();
        let plain = Teacher::load(&config, &classes, options).unwrap().detect(&image).unwrap().0;
        // An output in the middle keeps ONNX Runtime from joining what lies around it, which may move the last bits.
        let (found, plain) = (sure(&found.detections), sure(&plain));
        assert!(!plain.is_empty() && found.len() == plain.len(), "{name}: {found:?}, {plain:?}");
        for (found, plain) in found.iter().zip(&plain) {
            assert!((found.score() - plain.score()).abs() < 1e-3 && found.bbox.iou(&plain.bbox) > 0.99, "{name}");
        }
        let [map] = &maps[..] else { panic!("{name}: {} maps", maps.len()) };
        assert_eq!([map.channels, map.height, map.width], sizes, "{name}");
        let aligned = map.align(12, 20);
        assert_eq!(aligned.len(), map.channels * 12 * 20);
        assert!(aligned.iter().all(|value| value.is_finite()));
        let most = aligned.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(most > 0.1, "{name}: {most}");
    }
}
