//! `distill bench` as a user runs it, with the models that ship and with networks of a few nodes whose answer is known. How long anything
//! takes is not judged here: that hangs on the machine.
#![cfg(feature = "bench")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::{
    bench::{BenchReport, picture},
    digest::file_sha256,
    model::{Detector, ExecutionProvider, SessionOptions, bundle::Task},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.arg("bench").args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

/// The figures of models, once it has ended with this exit code, and what it printed.
fn measured(models: &[&Path], more: &[&str], code: i32) -> (BenchReport, String) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("board.json");
    let mut arguments: Vec<&str> = models.iter().flat_map(|model| ["--model", text(model)]).collect();
    arguments.extend(["--rounds", "2", "--json", text(&json)]);
    arguments.extend(more);
    let output = bench(&arguments);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    (BenchReport::read(&json).unwrap(), stdout)
}

#[test]
fn models_of_every_kind_are_measured_side_by_side() {
    if !support::onnx_runtime() {
        return;
    }
    let models = [support::tiny_model("tiny_yolov8.onnx"), shipped("indoor_person.onnx"), shipped("legs.onnx")];
    let models: Vec<&Path> = models.iter().map(PathBuf::as_path).collect();
    let (report, stdout) = measured(&models, &["--size", "320x240", "--board", "a <board>"], 0);
    assert_eq!((report.board.as_str(), report.rounds, report.threads), ("a <board>", 2, 1));
    assert!(report.machine.cores >= 1 && report.runtime.build.is_some());
    assert_eq!((report.inputs.images, report.inputs.image_sizes.as_slice()), (8, &[[320, 240]][..]));
    assert_eq!((report.inputs.sweeps, report.inputs.source.as_str()), (8, "made"));
    let tasks: Vec<Task> = report.models.iter().map(|model| model.task).collect();
    assert_eq!(tasks, [Task::CameraDetection, Task::CameraDetection, Task::LidarDetection]);
    for (model, path) in report.models.iter().zip(&models) {
        assert_eq!(model.name, path.file_stem().unwrap().to_str().unwrap());
        assert_eq!(model.sha256, file_sha256(path).unwrap());
        assert_eq!(model.bytes, std::fs::metadata(path).unwrap().len());
        assert!(model.parameters > 0 && model.provider == report.provider, "{model:?}");
        for times in [model.whole_ms, model.preprocess_ms, model.infer_ms, model.decode_ms] {
            let times = times.unwrap();
            assert!(times.p50 >= 0.0 && times.p50 <= times.p90 && times.p90 <= times.p99, "{model:?}");
        }
        let (whole, infer) = (model.whole_ms.unwrap(), model.infer_ms.unwrap());
        assert!(infer.p50 > 0.0 && whole.p50 >= infer.p50, "{model:?}");
        let ratio = model.ratio.unwrap().whole;
        assert!(ratio.lower > 0.0 && ratio.lower <= ratio.median && ratio.median <= ratio.upper, "{model:?}");
        assert!(stdout.contains(&model.name), "{stdout}");
    }
    // The first is compared with itself.
    let own = report.models[0].ratio.unwrap();
    assert_eq!((own.whole.lower, own.infer.median, own.whole.upper), (1.0, 1.0, 1.0));
    // A network that finds the same everywhere, and one that says nothing of its work.
    assert_eq!((report.models[0].found_per_input, report.models[0].macs), (1.0, None));
    assert!(report.models[1].macs.is_some() && report.models[2].macs.is_some());
    let shape = report.models[1].input_shape;
    assert!(shape[0] == 3 && stdout.contains(&format!("3x{}x{}", shape[1], shape[2])), "{stdout}");
    assert!(stdout.find("x the first").unwrap() < stdout.find("median ms").unwrap(), "ratios come first: {stdout}");
    assert!(stdout.contains("int8: ") && stdout.contains("ONNX Runtime "), "{stdout}");
}

#[test]
fn all_but_the_times_is_the_same_again() {
    if !support::onnx_runtime() {
        return;
    }
    let models = [shipped("legs.onnx"), shipped("indoor_person.onnx")];
    let models: Vec<&Path> = models.iter().map(PathBuf::as_path).collect();
    let timeless = || {
        let (mut report, _) = measured(&models, &[], 0);
        for model in &mut report.models {
            (model.ratio, model.whole_ms, model.preprocess_ms, model.infer_ms, model.decode_ms) =
                (None, None, None, None, None);
        }
        report
    };
    assert_eq!(timeless(), timeless());
}

#[test]
fn a_foreign_detector_is_run_by_its_yaml() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.onnx");
    std::fs::copy(support::tiny_model("tiny_yolov8.onnx"), &path).unwrap();
    let mut spec = Detector::load(&path, &SessionOptions::default()).unwrap().spec().clone();
    for (threshold, found) in [(0.5, 1.0), (0.875, 0.0)] {
        spec.score_threshold = threshold;
        std::fs::write(path.with_extension("yaml"), serde_yaml::to_string(&spec).unwrap()).unwrap();
        let (report, _) = measured(&[&path], &[], 0);
        assert_eq!(report.models[0].found_per_input, found);
    }
}

#[test]
fn folders_of_images_serve_as_inputs_and_damage_is_told() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        picture(200, 100, number).save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    let model = support::tiny_model("tiny_yolov8.onnx");
    let data = ["--data", text(folder.path())];
    let (report, stdout) = measured(&[&model], &data, 0);
    assert_eq!((report.inputs.images, report.inputs.image_sizes.as_slice()), (3, &[[200, 100]][..]));
    assert!(stdout.contains("3 images of 200x100"), "{stdout}");
    std::fs::write(folder.path().join("1.png"), "hello").unwrap();
    let (report, _) = measured(&[&model], &data, 3);
    assert_eq!(report.inputs.images, 2);
}

#[test]
#[cfg(feature = "distill")]
fn recordings_serve_as_inputs() {
    use support::recording::{self, Shot};

    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("bag");
    let shot = |number: i64| Shot {
        stamp: 1_700_000_000_000_000_000 + number * 100_000_000,
        image: recording::noise(320, 240, number as u64),
        truth: Vec::new(),
    };
    recording::write_bag(&bag, &(0..5).map(shot).collect::<Vec<_>>());
    let model = support::tiny_model("tiny_yolov8.onnx");
    let (report, _) = measured(&[&model], &["--data", text(&bag), "--topic", recording::CAMERA], 0);
    assert_eq!((report.inputs.images, report.inputs.image_sizes.as_slice()), (5, &[[320, 240]][..]));
    assert!(report.inputs.source.ends_with(&format!("bag {}", recording::CAMERA)), "{}", report.inputs.source);
    support::refused(&bench(&["--model", text(&model), "--data", text(&bag), "--topic", "/nothing"]), 2, &["/nothing"]);
    // Its scans are empty.
    let legs = shipped("legs.onnx");
    support::refused(&bench(&["--model", text(&legs), "--data", text(&bag)]), 2, &[text(&bag), "has a point"]);
    let both = ["--model", text(&model), "--model", text(&legs), "--data", text(&bag), "--topic", recording::CAMERA];
    support::refused(&bench(&both), 2, &["--topic", "one after the other"]);
}

#[test]
fn the_cpu_computes_what_a_missing_provider_cannot_and_that_is_told() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("board.json");
    let model = support::tiny_model("tiny_yolov8.onnx");
    let output = bench(&["--model", text(&model), "--rounds", "1", "--provider", "cuda", "--json", text(&json)]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains(", cuda, 1 thread"), "what was asked for: {stdout}");
    let report = BenchReport::read(&json).unwrap();
    assert_eq!(report.provider, ExecutionProvider::Cuda);
    let told = "warning  tiny_yolov8 was computed by cpu, not cuda";
    if report.models[0].provider == ExecutionProvider::Cuda {
        // Here is a card, and a library that knows it.
        assert!(!stdout.contains(told), "{stdout}");
        return;
    }
    assert_eq!(report.models[0].provider, ExecutionProvider::Cpu);
    assert!(stdout.contains(told), "{stdout}");
    assert!(stderr.contains("execution provider cuda cannot be used, the CPU computes instead: "), "{stderr}");
}

#[test]
fn what_cannot_be_measured_is_told_in_one_line() {
    if !support::onnx_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = support::tiny_model("tiny_yolov8.onnx");
    support::refused(&bench(&["--model", "/nowhere/student.onnx"]), 2, &["/nowhere/student.onnx"]);
    let text_file = folder.path().join("notes.onnx");
    std::fs::write(&text_file, "hello").unwrap();
    support::refused(&bench(&["--model", text(&text_file)]), 2, &["notes.onnx"]);
    // No images are in it.
    assert_eq!(bench(&["--model", text(&model), "--data", text(folder.path())]).status.code(), Some(2));
    let legs = shipped("legs.onnx");
    support::refused(&bench(&["--model", text(&legs), "--sweep-size", "9000x9000"]), 2, &["9000", "--sweep-size"]);
    // A file stands where the folder of the figures shall be.
    let json = text_file.join("board.json");
    let output = bench(&["--model", text(&model), "--rounds", "1", "--json", text(&json)]);
    support::refused(&output, 1, &["board.json"]);
    for wrong in [["--size", "640"], ["--provider", "gpu"], ["--threads", "0"], ["--seconds", "0"]] {
        let output = bench(&["--model", text(&model), wrong[0], wrong[1]]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(wrong[0]), "{stderr}");
    }
}
