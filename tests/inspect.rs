//! `distill inspect`, by its binary: what it prints and how it ends.

#![cfg(feature = "distill")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::{
    distill::bag::{BagWriter, OfferedQos},
    messages::{CompressedImage, Detection2DArray, Header, Image, Time},
};
use serde_json::Value;

fn inspect(path: &Path, json: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.arg("inspect").arg(path);
    if json {
        command.arg("--json");
    }
    command.output().unwrap()
}

/// Runs on wrong input: exit code 2, nothing on stdout, one line on stderr, which is returned.
fn refused(path: &Path) -> String {
    let output = inspect(path, false);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    text
}

/// A bag of 20 images at 10 Hz.
fn bag(folder: &Path) -> PathBuf {
    let path = folder.join("bag");
    let mut writer = BagWriter::create(&path).unwrap();
    let camera = writer.add::<Image>("/camera", OfferedQos::SENSOR).unwrap();
    let truth = writer.add::<Detection2DArray>("/truth", OfferedQos::RELIABLE).unwrap();
    let mut noise = 1_u64;
    for frame in 0..20_i64 {
        let header = Header { stamp: Time::from_nanoseconds(frame * 100_000_000), frame_id: "camera_optical" };
        // Noise, so that the file does not compress to nothing and has several chunks.
        let data: Vec<u8> = (0..320 * 240 * 3)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect();
        let image =
            Image { header, height: 240, width: 320, encoding: "bgr8", is_bigendian: 0, step: 960, data: &data };
        writer.write(camera, frame * 100_000_000, &image.encode()).unwrap();
        writer.write(truth, frame * 100_000_000, &Detection2DArray { header, detections: vec![] }.encode()).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn a_bag_is_told_in_words_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = bag(folder.path());
    let output = inspect(&path, false);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["/camera", "320x240 bgr8", "camera_optical", "10.00", "zstd chunks", "camera student", "truth boxes"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    let value: Value = serde_json::from_slice(&inspect(&path, true).stdout).unwrap();
    assert_eq!(value["messages"], 40);
    assert_eq!(value["topics"][0]["image"]["width"], 320);
    assert!((value["topics"][0]["rate_hertz"].as_f64().unwrap() - 10.0).abs() < 1e-9);
    assert_eq!(value["distillable"]["cameras"], serde_json::json!(["/camera"]));
    assert_eq!(value["loss"]["complete"], true);
}

#[test]
fn wrong_input_gives_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "hello").unwrap();
    assert!(refused(&text).contains("it is a text file"));
    assert!(refused(&folder.path().join("missing.mcap")).contains("no such file"));
    assert!(refused(folder.path()).contains("no metadata.yaml"));
    let writer = BagWriter::create(folder.path().join("empty")).unwrap();
    writer.finish().unwrap();
    assert!(refused(&folder.path().join("empty")).contains("holds no messages"));
}

#[test]
fn a_cut_recording_is_read_as_far_as_it_goes_and_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = bag(folder.path());
    let file = path.join("bag_0.mcap");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let alone = folder.path().join("alone.mcap");
    std::fs::write(&alone, &bytes[..bytes.len() / 2]).unwrap();
    for path in [path, alone] {
        let output = inspect(&path, false);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("NOT ALL COULD BE READ"), "{text}");
        let value: Value = serde_json::from_slice(&inspect(&path, true).stdout).unwrap();
        assert_eq!(value["loss"]["complete"], false);
        let messages = value["messages"].as_u64().unwrap();
        assert!((1..40).contains(&messages), "{messages}");
    }
}

/// Depth and video are sound data that no camera student can be made of.
#[test]
fn images_that_cannot_be_distilled_are_named_and_are_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let mut writer = BagWriter::create(&path).unwrap();
    let header = Header { stamp: Time::from_nanoseconds(7), frame_id: "camera_optical" };
    for (name, encoding, step) in [("/colour", "rgb8", 6_u32), ("/depth", "32FC1", 8)] {
        let topic = writer.add::<Image>(name, OfferedQos::SENSOR).unwrap();
        let data = vec![1_u8; step as usize * 2];
        let image = Image { header, height: 2, width: 2, encoding, is_bigendian: 0, step, data: &data };
        writer.write(topic, 7, &image.encode()).unwrap();
    }
    let packed_depth = [[0_u8; 12].as_slice(), b"\x89PNG\r\n\x1a\n".as_slice()].concat();
    for (name, format, data) in [
        ("/depth/compressedDepth", "32FC1; compressedDepth png", packed_depth.as_slice()),
        ("/video", "h264", b"\0\0\0\x01\x67".as_slice()),
    ] {
        let topic = writer.add::<CompressedImage>(name, OfferedQos::SENSOR).unwrap();
        writer.write(topic, 7, &CompressedImage { header, format, data }.encode()).unwrap();
    }
    writer.finish().unwrap();

    let output = inspect(&path, true);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{value}");
    assert_eq!(value["loss"]["complete"], true, "{value}");
    assert_eq!(value["distillable"]["cameras"], serde_json::json!(["/colour"]));
    let problem = |place: usize| value["topics"][place]["problem"].as_str().unwrap_or_default();
    assert_eq!((problem(0), problem(1)), ("", ""));
    assert!(problem(2).contains("compressed depth image"), "{value}");
    assert!(problem(3).contains("format `h264`"), "{value}");

    let output = inspect(&path, false);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("camera student   /colour: 1 frames"), "{text}");
    assert!(text.contains("/depth: image encoding `32FC1` is not supported"), "{text}");
    assert!(!text.contains("several cameras"), "{text}");
}

#[test]
fn a_folder_of_images_is_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.jpg"] {
        image::RgbImage::new(8, 6).save(folder.path().join(name)).unwrap();
    }
    let labels = r#"{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "person"}],
                     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 1]}]}"#;
    std::fs::write(folder.path().join("labels.json"), labels).unwrap();
    let text = String::from_utf8(inspect(folder.path(), false).stdout).unwrap();
    assert!(text.contains("2 images: 8x6 (2)") && text.contains("person: 1 boxes"), "{text}");
    let value: Value = serde_json::from_slice(&inspect(folder.path(), true).stdout).unwrap();
    assert_eq!((&value["images"], &value["classes"]["person"]), (&2.into(), &1.into()));
    std::fs::write(folder.path().join("c.png"), "no image").unwrap();
    assert_eq!(inspect(folder.path(), false).status.code(), Some(3));
}

#[test]
fn what_nobody_reads_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_teaches_by_example() {
    let output = Command::new(env!("CARGO_BIN_EXE_distill")).args(["inspect", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("distill inspect my_bag") && text.contains("Exit code 3"), "{text}");
}
