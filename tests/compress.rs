//! `distill compress` as a user runs it, on a folder of painted images with COCO labels.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use distilled_perception::model::{ModelSpec, bundle::read_metadata};
use serde_json::Value;
use support::{page, scene};

/// A folder of 40 images of one bright rectangle each with its COCO file, an experiment on it, and a ladder `small.yaml`.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// A scene whose ladder has this section and these limits.
    fn new(epochs: usize, ladder: &str, constraints: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        scene::write(folder.path(), "train: {batch: 4}\nevaluate: {latency_rounds: 2}");
        let ladder = format!(
            "name: small\nexperiment: scene.yaml\noutput: small\nseed: 3\nepochs: {epochs}\nrecovery_epochs: 1\naware_epochs: 1\n\
             latency_rounds: 4\ngate: {{budget: 100, agreement: 0}}\nladder: {ladder}\nconstraints: {constraints}\n"
        );
        std::fs::write(folder.path().join("small.yaml"), ladder).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.arg("compress").arg(self.path("small.yaml")).args(more).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    fn compress(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    fn front(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("small/front.json")).unwrap()).unwrap()
    }

    /// When these files of the output folder were written.
    fn written(&self, files: &[&str]) -> Vec<SystemTime> {
        let time = |file: &&str| std::fs::metadata(self.path("small").join(file)).unwrap().modified().unwrap();
        files.iter().map(time).collect()
    }
}

/// What it prints, once it has ended with this exit code: on stdout, on stderr.
fn ended(output: &Output, code: i32) -> (String, String) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout.into_owned(), stderr.into_owned())
}

#[test]
fn the_most_accurate_student_within_the_limits_is_found_and_nothing_is_made_twice() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new(2, "{precisions: [fp32, int8]}", "{size_kb: 100000}");
    let (told, _) = ended(&scene.compress(&[]), 0);
    let front = scene.front();
    let points = front["points"].as_array().unwrap();
    let names: Vec<&str> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["micro_96x64", "micro_96x64_int8"]);
    let [float, int8] = [&points[0]["figures"], &points[1]["figures"]];
    for figures in [float, int8] {
        assert!(figures["ap50"].is_f64() && figures["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{figures}");
        assert_eq!(figures["per_class"][0]["class"], "crate");
    }
    assert!(int8["bytes"].as_u64() < float["bytes"].as_u64(), "{int8}");
    assert_eq!(points[1]["from"], "micro_96x64");
    assert!((float["ratio"]["median"].as_f64().unwrap() - 1.0).abs() < 1e-9, "the first one is compared with itself");
    // The chosen one has the greatest AP50, and its bundle is at hand.
    let chosen = front["chosen"].as_str().unwrap();
    let chosen = points.iter().find(|point| point["name"] == chosen).unwrap();
    let best = points.iter().map(|point| point["figures"]["ap50"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(chosen["figures"]["ap50"].as_f64(), Some(best));
    let metadata = |path: &Path| read_metadata::<ModelSpec>(path).unwrap().unwrap();
    let student = scene.path("small/student.onnx");
    let (made, taken) = (metadata(Path::new(chosen["bundle"].as_str().unwrap())), metadata(&student));
    assert_eq!((&taken.spec, &taken.provenance, taken.parameters), (&made.spec, &made.provenance, made.parameters));
    // What is shipped tells what it is worth itself, and what its float student was.
    let test = front["test"].as_array().unwrap().iter().find(|model| model["name"] == chosen["name"]).unwrap();
    for key in ["ap", "ap50", "per_class"] {
        assert_eq!(taken.figures[key], test[key], "{key}");
    }
    assert_eq!((&taken.figures["block"], &taken.figures["truth"]), (&Value::from("test"), &Value::from("labels")));
    assert_eq!(taken.figures.get("quantization"), made.figures.get("quantization"));
    assert_eq!(taken.figures.get("float"), made.figures.get("float"));
    let tested = |front: &Value| -> Vec<String> {
        let models = front["test"].as_array().unwrap().iter();
        models.map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tested(&front), names);
    assert_eq!(front["test_truth"], "labels");
    assert!(front["test_frames"].as_u64().is_some_and(|frames| frames > 0), "{front}");
    let text = std::fs::read_to_string(scene.path("small/front.txt")).unwrap();
    assert!(told.starts_with(&text) && text.contains("chosen: micro_96x64"), "{told}");
    let html = std::fs::read_to_string(scene.path("small/front.html")).unwrap();
    let (elements, words) = page::parse(&html);
    page::assert_self_contained(&elements, &words);
    assert_eq!(page::sections(&elements), ["compression"]);
    // The run of a rung shows the ladder, too.
    let run = page::page(&scene.path("small/micro_96x64/run"), &["--no-gallery"]);
    assert!(page::sections(&page::parse(&run).0).contains(&"compression"));

    let files = ["micro_96x64/run/student.onnx", "micro_96x64/run/train/best.bpk", "micro_96x64/int8.onnx"];
    let before = scene.written(&files);
    let (_, noted) = ended(&scene.compress(&[]), 0);
    assert_eq!(scene.written(&files), before, "nothing is made again");
    assert_eq!(noted.lines().filter(|line| line.starts_with("done already: ")).count(), 2, "{noted}");
    // Another gate: the student stays, its int8 form is made anew.
    let ladder = std::fs::read_to_string(scene.path("small.yaml")).unwrap();
    std::fs::write(scene.path("small.yaml"), ladder.replace("budget: 100", "budget: 99")).unwrap();
    ended(&scene.compress(&[]), 0);
    let changed: Vec<bool> = scene.written(&files).iter().zip(&before).map(|(now, before)| now != before).collect();
    assert_eq!(changed, [false, false, true]);

    // Limits that nobody keeps: the student of before is not taken for one that does.
    let ladder = std::fs::read_to_string(scene.path("small.yaml")).unwrap();
    std::fs::write(scene.path("small.yaml"), ladder.replace("size_kb: 100000", "size_kb: 1")).unwrap();
    let output = scene.compress(&[]);
    support::refused(&output, 1, &["no student keeps all limits", "the nearest is micro_96x64_int8", "size_kb"]);
    let front = scene.front();
    assert_eq!((&front["chosen"], &front["nearest"]), (&Value::Null, &Value::from("micro_96x64_int8")));
    assert_eq!(front["points"][0]["misses"][0]["constraint"], "size_kb");
    assert_eq!(tested(&front).len(), 2, "all are shown on the test block, whether one is chosen or not");
    assert!(!scene.path("small/student.onnx").exists());
}

#[test]
fn students_are_cut_distilled_and_trained_in_int8_on_the_way() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new(1, "{prune: [{time: 0.7}], precisions: [fp32, int8_aware]}", "{size_kb: 100000}");
    ended(&scene.compress(&[]), 0);
    let front = scene.front();
    let points = front["points"].as_array().unwrap();
    let names: Vec<&str> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    let pruned = "micro_96x64_time_70";
    let expected = [
        "micro_96x64".to_owned(),
        "micro_96x64_int8_aware".to_owned(),
        pruned.to_owned(),
        format!("{pruned}_int8_aware"),
    ];
    assert_eq!(names, expected);
    assert!(points.iter().all(|point| point["state"] == "made"), "{front}");
    let [whole, cut] = [0, 2].map(|point: usize| points[point]["figures"]["parameters"].as_u64().unwrap());
    assert!(cut < whole, "{cut} of {whole} parameters");
    assert_eq!(points[2]["from"], "micro_96x64");
    assert!(scene.path("small").join(pruned).join("int8_aware/student.onnx").is_file());
    let log = std::fs::read_to_string(scene.path("small").join(pruned).join("log.txt")).unwrap();
    assert!(log.contains("$ distill prune ") && log.contains("distil.yaml --resume"), "{log}");
    let (_, noted) = ended(&scene.compress(&[]), 0);
    assert_eq!(noted.lines().filter(|line| line.starts_with("done already: ")).count(), 5, "{noted}");
}

#[test]
fn an_interrupt_stops_the_child_and_the_same_command_goes_on() {
    let scene = Scene::new(400, "{}", "{}");
    let mut child = scene.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = scene.path("small/micro_96x64/run");
    let start = Instant::now();
    while !std::fs::metadata(run.join("train/metrics.jsonl")).is_ok_and(|file| file.len() > 0) {
        assert!(child.try_wait().unwrap().is_none(), "ended before its first epoch");
        assert!(start.elapsed() < Duration::from_secs(300), "no epoch in 5 minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let (told, noted) = ended(&child.wait_with_output().unwrap(), 0);
    assert!(told.contains("stopped; the same command goes on"), "{told}{noted}");
    assert!(run.join("train/checkpoint.bin").is_file() && !run.join("student.onnx").exists());
    assert!(!scene.path("small/front.json").exists());
}

#[test]
fn a_dry_run_tells_every_command_and_writes_nothing() {
    let scene = Scene::new(1, "{inputs: [[96, 64], [64, 64]], prune: [{macs: 0.25}], rounds: 2}", "{}");
    let (told, _) = ended(&scene.compress(&["--dry-run", "--set", "train.batch=2"]), 0);
    assert!(told.contains("8 students to choose from") && told.contains("train.batch=2"), "{told}");
    let count = |start: &str| told.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("distill run "), count("distill prune "), count("distill quantize ")), (6, 4, 4), "{told}");
    assert!(told.contains("--keep 0.5000 --measure macs"), "{told}");
    assert!(!scene.path("small").exists());
}

#[test]
fn wrong_ladders_are_told_before_anything_runs() {
    let scene = Scene::new(1, "{inputs: [[90, 64]]}", "{}");
    support::refused(&scene.compress(&[]), 2, &["rung `micro_90x64`", "student"]);
    let scene = Scene::new(1, "{}", "{retention: 97}");
    support::refused(&scene.compress(&[]), 2, &["small.yaml", "constraints.retention", "0.97"]);
    let scene = Scene::new(1, "{}", "{speedup_over: {model: gone.onnx, times: 2}}");
    support::refused(&scene.compress(&[]), 2, &["constraints.speedup_over.model", "gone.onnx"]);
    support::refused(&scene.compress(&["--set", "data.0.path=nowhere"]), 2, &["nowhere"]);
    support::refused(&scene.compress(&["--set", "student.size=small"]), 2, &["--set", "ladder.sizes"]);
    assert!(!scene.path("small").exists());
    let lidar = "name: x\nexperiment: legs.yaml\noutput: small\n";
    std::fs::write(scene.path("small.yaml"), lidar).unwrap();
    std::fs::write(scene.path("legs.yaml"), "task: lidar\nname: legs\n").unwrap();
    support::refused(&scene.compress(&[]), 2, &["legs.yaml", "students of cameras"]);
}
