//! `distill label` and `distill teacher` as a user runs them: on a real bag with real teachers, interrupted, in shares, and with
//! wrong input.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use distilled_perception::distill::targets::{
    FrameTargets, PartMetadata, SoftBox, TargetSet, read_part, read_part_metadata, write_part,
};

/// A worker walks through its first frames.
const BAG: &str = "bags/worker_zone_mcap";
const YOLOX: &str = "models/yolox_nano_416.onnx";
const NANODET: &str = "models/nanodet_m_416.onnx";

/// The folder of real test data with ONNX Runtime at hand, or nothing, said aloud.
fn real_data() -> Option<PathBuf> {
    let folder = support::test_data(YOLOX)?;
    support::onnx_runtime().then_some(folder)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn distill(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts exit code 2 with one line of error that holds all of `words`.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = distill(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{arguments:?}: {stderr}");
    for word in words {
        assert!(lines[0].contains(word), "`{word}` is not in: {}", lines[0]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `distill label` on the real bag with both teachers, parts of 5 frames.
fn label_arguments<'a>(bag: &'a str, teachers: [&'a str; 2], out: &'a str) -> Vec<&'a str> {
    let [first, second] = teachers;
    let mut arguments = vec!["label", "--data", bag, "--teacher", first, "--teacher", second, "--classes", "person"];
    arguments.extend(["--out", out, "--part-frames", "5"]);
    arguments
}

fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

fn frames(folder: &Path) -> Vec<FrameTargets> {
    TargetSet::read(folder).unwrap().frames
}

#[test]
fn real_bag_is_labelled_and_an_interrupted_run_ends_the_same() {
    let Some(data) = real_data() else { return };
    let (bag, yolox, nanodet) = (data.join(BAG), data.join(YOLOX), data.join(NANODET));
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let teachers = [text(&yolox), text(&nanodet)];

    let arguments = label_arguments(text(&bag), teachers, text(&whole));
    let output = distill(&with(&arguments, &["--max-frames", "12"]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout(&output).contains("12 frames"), "{}", stdout(&output));
    let set = TargetSet::read(&whole).unwrap();
    assert_eq!(set.frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    assert!(set.frames.iter().all(|frame| (frame.width, frame.height) == (480, 270)));
    assert!(set.frames.windows(2).all(|pair| pair[0].stamp < pair[1].stamp));
    assert_eq!(set.teachers.len(), 2);
    assert!(set.teachers.iter().all(|teacher| teacher.sha256.len() == 64));
    assert!(set.frames[..5].iter().all(|frame| !frame.boxes.is_empty()), "nothing to compare");
    for found in set.frames.iter().flat_map(|frame| &frame.boxes) {
        assert!(found.bbox.is_valid() && found.bbox.x_max <= 480.0 && found.bbox.y_max <= 270.0, "{found:?}");
        assert!(found.weight > 0.0 && found.weight <= 1.0 && found.best().1 >= 0.05, "{found:?}");
    }

    // What each teacher said lies beside it, and what the picture is like.
    for frame in &set.frames {
        assert_eq!(frame.per_teacher.len(), 2);
        assert!(frame.picture.brightness > 1.0 && frame.picture.brightness < 254.0, "{:?}", frame.picture);
        assert!(frame.picture.blur > 0.0, "{:?}", frame.picture);
        for found in frame.per_teacher.iter().flatten() {
            assert!(found.bbox.is_valid() && found.weight == 1.0 && found.best().1 >= 0.05, "{found:?}");
        }
        // A fused box never scores higher than its best member.
        let highest = |boxes: &[SoftBox]| boxes.iter().map(|found| found.best().1).fold(0.0, f32::max);
        let asked = frame.per_teacher.iter().map(|boxes| highest(boxes)).fold(0.0, f32::max);
        assert!(highest(&frame.boxes) <= asked + 1e-5, "frame {}", frame.index);
    }
    for teacher in 0..2 {
        let boxes: usize = set.frames.iter().map(|frame| frame.per_teacher[teacher].len()).sum();
        assert!(boxes > 0, "teacher {teacher} found nothing");
    }

    // Finished: the same command returns at once with what it said before.
    let again = distill(&with(&arguments, &["--max-frames", "12"]));
    assert!(stdout(&again).contains("12 frames (all labelled earlier)"), "{}", stdout(&again));

    // Killed after the first part, then continued, with another number of threads.
    let arguments = label_arguments(text(&bag), teachers, text(&broken));
    let first_part = broken.join("part-00000.parquet");
    let mut child = command(&with(&arguments, &["--max-frames", "12", "--threads", "1"])).spawn().unwrap();
    let start = Instant::now();
    while !first_part.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no part was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let written = std::fs::metadata(&first_part).unwrap().modified().unwrap();
    let output = distill(&with(&arguments, &["--max-frames", "12", "--threads", "2"]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::metadata(&first_part).unwrap().modified().unwrap(), written, "a finished part was made again");
    assert_eq!(frames(&broken), set.frames);

    // Going on from there makes the cut part anew and keeps the full ones.
    let output = distill(&with(&arguments, &["--max-frames", "14"]));
    assert!(stdout(&output).contains("14 frames (10 labelled earlier)"), "{}", stdout(&output));
    assert_eq!(frames(&broken)[..12], set.frames);

    // A part of the first version of the table, which did not keep what each teacher said, is another labelling.
    let (metadata, targets) = read_part(&first_part).unwrap();
    write_part(&first_part, &PartMetadata { targets_version: 1, ..metadata }, &targets).unwrap();
    let error = TargetSet::read(&broken).unwrap_err().to_string();
    assert!(error.contains("version 1") && error.contains("label again"), "{error}");
    refused(&with(&arguments, &["--max-frames", "14"]), &["another labelling", "--restart"]);

    // Another labelling does not mix in, unless told to start anew.
    let other = with(&arguments, &["--max-frames", "2", "--score-threshold", "0.5"]);
    refused(&other, &["another labelling", "--restart"]);
    assert_eq!(distill(&with(&other, &["--restart"])).status.code(), Some(0));
    assert_eq!(frames(&broken).len(), 2);
}

#[test]
fn persons_are_found_where_they_are() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (bag, yolox, nanodet) = (data.join(BAG), data.join(YOLOX), data.join(NANODET));
    let arguments = label_arguments(text(&bag), [text(&yolox), text(&nanodet)], text(folder.path()));
    let output = distill(&with(&arguments, &["--max-frames", "5"]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // The worker is in each of these frames, and both teachers see a standing person.
    for frame in frames(folder.path()) {
        let best = frame.boxes.first().unwrap();
        assert!(best.best().1 > 0.4 && best.weight == 1.0, "frame {}: {best:?}", frame.index);
        assert!(best.bbox.height() > best.bbox.width(), "frame {}: {best:?}", frame.index);
    }
}

#[test]
fn shares_of_two_machines_are_the_whole() {
    let Some(data) = real_data() else { return };
    let (bag, yolox, nanodet) = (data.join(BAG), data.join(YOLOX), data.join(NANODET));
    let folder = tempfile::tempdir().unwrap();
    let (whole, shared) = (folder.path().join("whole"), folder.path().join("shared"));
    let teachers = [text(&yolox), text(&nanodet)];
    let limit = ["--max-frames", "12"];
    let arguments = label_arguments(text(&bag), teachers, text(&whole));
    assert_eq!(distill(&with(&arguments, &limit)).status.code(), Some(0));
    let arguments = with(&label_arguments(text(&bag), teachers, text(&shared)), &limit);
    assert_eq!(distill(&with(&arguments, &["--shard", "2/2"])).status.code(), Some(0));
    assert_eq!(read_part_metadata(&shared.join("part-00001.parquet")).unwrap().frames, 5);
    let incomplete = TargetSet::read(&shared).unwrap_err().to_string();
    assert!(incomplete.contains("part 0 is missing"), "{incomplete}");
    assert_eq!(distill(&with(&arguments, &["--shard", "1/2"])).status.code(), Some(0));
    assert_eq!(frames(&shared), frames(&whole));
}

#[test]
fn images_that_are_broken_are_counted_and_the_rest_is_labelled() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (images, out) = (folder.path().join("images"), folder.path().join("out"));
    std::fs::create_dir(&images).unwrap();
    for name in ["a.png", "c.png"] {
        image::RgbImage::from_pixel(64, 48, image::Rgb([90, 90, 90])).save(images.join(name)).unwrap();
    }
    std::fs::write(images.join("b.png"), "no picture").unwrap();
    let yolox = data.join(YOLOX);
    let arguments =
        ["label", "--data", text(&images), "--teacher", text(&yolox), "--classes", "person", "--out", text(&out)];
    let output = distill(&arguments);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout(&output).contains("2 frames"), "{}", stdout(&output));
    assert!(stdout(&output).contains("lost: 1 frame"), "{}", stdout(&output));
    assert_eq!(frames(&out).iter().map(|frame| frame.name.as_str()).collect::<Vec<_>>(), ["a.png", "c.png"]);
    // The loss is still told when everything is done already.
    assert_eq!(distill(&arguments).status.code(), Some(3));
}

#[test]
fn wrong_input_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (out, bag) = (folder.path().join("out"), folder.path().join("no_bag"));
    let missing = folder.path().join("missing.onnx");
    let label = |teacher: &str, classes: &str| {
        let fixed = ["label", "--data", text(&bag), "--out", text(&out), "--teacher", teacher, "--classes", classes];
        fixed.map(str::to_owned)
    };
    let refused_label = |teacher: &Path, classes: &str, words: &[&str]| {
        let arguments = label(text(teacher), classes);
        refused(&arguments.each_ref().map(String::as_str), words);
    };
    let twice = "the class `person` is named twice";
    refused_label(&missing, "person,person", &[twice]);
    let many = label(text(&missing), "person");
    let many = with(&many.each_ref().map(String::as_str), &["--threads", "18446744073709551615"]);
    refused(&many, &["too many", "at most 1024"]);
    let Some(data) = real_data() else { return };
    refused_label(&missing, "person", &["missing.onnx"]);
    refused(&["teacher", text(&missing)], &["missing.onnx"]);
    let yaml = folder.path().join("teachers.yaml");
    std::fs::write(&yaml, "- {model: a.onnx, trsut: 1}").unwrap();
    refused(
        &["label", "--data", "x", "--out", "y", "--classes", "person", "--teachers", text(&yaml)],
        &["teachers.yaml", "unknown field `trsut`"],
    );
    let no_onnx = folder.path().join("text.onnx");
    std::fs::write(&no_onnx, "this is no network").unwrap();
    refused_label(&no_onnx, "person", &["text.onnx", "not an ONNX file"]);
    refused(&["teacher", text(&no_onnx)], &["text.onnx"]);
    refused_label(&data.join(YOLOX), "persn", &["persn", "did you mean `person`"]);
    refused_label(&data.join(YOLOX), "person,forklfit", &["no teacher has the class `forklfit`"]);
    refused_label(&data.join(YOLOX), "person", &["no_bag"]);
    assert!(!out.exists(), "wrong input must not leave an output folder");
}

#[test]
fn teacher_tells_what_a_model_is() {
    let Some(data) = real_data() else { return };
    for (model, format) in [(YOLOX, "yolox"), (NANODET, "nanodet"), ("models/FastestDet_352.onnx", "fastestdet")] {
        let output = distill(&["teacher", text(&data.join(model))]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let said = stdout(&output);
        assert!(said.contains(&format!("format   {format}")), "{said}");
        assert!(said.contains("classes  80: person"), "{said}");
    }
}
