//! `distill train` and `distill run` as a user runs them, on a folder of painted images with COCO labels.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::{
    distill::export::read_onnx,
    metrics::ScoreProfile,
    model::{ModelSpec, bundle::read_metadata},
};
use support::{
    recording,
    training::{epochs_made, history, interrupt, kill_after, wait_until},
};

/// A folder of 40 images, 100 x 60, of one bright rectangle each, with its COCO file, and an experiment on it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(train: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir(&images).unwrap();
        let (mut entries, mut boxes) = (Vec::new(), Vec::new());
        for index in 0..40u32 {
            let (x, y) = (4 + index * 7 % 60, 3 + index * 5 % 25);
            let image = image::RgbImage::from_fn(100, 60, |px, py| {
                let inside = (x..x + 25).contains(&px) && (y..y + 30).contains(&py);
                image::Rgb(if inside { [230, 70, 20] } else { [30, px as u8, 4 * (py as u8)] })
            });
            let name = format!("{index:03}.png");
            image.save(images.join(&name)).unwrap();
            entries.push(serde_json::json!({"id": index, "file_name": name, "width": 100, "height": 60}));
            boxes.push(serde_json::json!({
                "id": index, "image_id": index, "category_id": 1, "bbox": [x, y, 25, 30], "area": 750, "iscrowd": 0
            }));
        }
        let coco = serde_json::json!({
            "images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "crate"}]
        });
        std::fs::write(images.join("instances.json"), coco.to_string()).unwrap();
        let text = format!(
            "name: scene\noutput: out\nclasses: [crate]\ntargets: truth\n\
             data:\n  - {{path: images, truth: {{coco: images/instances.json}}}}\n\
             split: {{validation: 0.2, test: 0.2, gap_seconds: 0.15}}\n\
             student: {{size: micro, width: 96, height: 64}}\n\
             train: {{{train}}}\n"
        );
        std::fs::write(folder.path().join("scene.yaml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, subcommand: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.arg(subcommand).arg(self.path("scene.yaml")).args(more).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    fn distill(&self, subcommand: &str, more: &[&str]) -> Output {
        self.command(subcommand, more).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn done(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{}{stderr}", stdout(output));
    stdout(output)
}

fn epochs(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let epoch = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_u64().unwrap();
    text.lines().map(epoch).collect()
}

#[test]
fn an_experiment_trains_and_is_not_trained_twice() {
    let scene = Scene::new("epochs: 2, batch: 4, workers: 1");
    let told = done(&scene.distill("train", &[]));
    // 40 frames 0.1 s apart: the last fifth is test, the fifth before validates, two gaps of one frame and a bit.
    assert!(told.contains("8 validation, 8 test"), "{told}");
    assert!(told.contains("images/s") && told.contains("waiting for images"), "{told}");
    for name in ["config.yaml", "versions.json", "train/checkpoint.bin", "train/best.bpk", "train/metrics.jsonl"] {
        assert!(scene.path("out").join(name).is_file(), "{name}");
    }
    assert_eq!(epochs(&scene.path("out/train/metrics.jsonl")), [1, 2]);
    assert!(done(&scene.distill("train", &[])).contains("done already"));
    // Another setting is another training.
    let told = done(&scene.distill("train", &["--set", "train.epochs=3"]));
    assert!(!told.contains("done already"), "{told}");
    assert_eq!(epochs(&scene.path("out/train/metrics.jsonl")), [1, 2, 3]);
}

#[test]
fn interrupted_training_asks_and_goes_on() {
    let scene = Scene::new("epochs: 200, batch: 4, workers: 1");
    let mut child = scene.command("train", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = scene.path("out/train/metrics.jsonl");
    wait_until(|| epochs_made(&metrics) >= 1, &mut child);
    interrupt(&child);
    let told = done(&child.wait_with_output().unwrap());
    assert!(told.contains("--resume"), "{told}");
    let made = epochs(&metrics).len();
    assert!(scene.path("out/train/checkpoint.bin").is_file());

    support::refused(&scene.distill("train", &[]), 2, &["--resume", "--restart"]);
    support::refused(
        &scene.distill("train", &["--resume", "--set", "train.device=abacus"]),
        2,
        &["train.device", "abacus"],
    );
    // The rest would take long: the same run once more, interrupted at once, has not lost an epoch.
    let mut child =
        scene.command("train", &["--resume"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(|| epochs_made(&metrics) > made, &mut child);
    interrupt(&child);
    done(&child.wait_with_output().unwrap());
    let all = epochs(&metrics);
    assert!(all.len() > made && all.iter().zip(1..).all(|(epoch, expected)| *epoch == expected), "{all:?}");
}

#[test]
fn the_printed_configuration_is_whole_and_can_be_run() {
    let scene = Scene::new("epochs: 2");
    let told = done(&scene.distill("run", &["--print-config", "--set", "augment.flip=0"]));
    let value: serde_yaml::Value = serde_yaml::from_str(&told).unwrap();
    assert_eq!(value["train"]["epochs"], serde_yaml::Value::from(2));
    assert_eq!(value["train"]["batch"], serde_yaml::Value::from(8));
    assert_eq!(value["augment"]["flip"].as_f64(), Some(0.0));
    assert_eq!(value["output"].as_str(), scene.path("out").to_str());
    assert!(!scene.path("out").exists());
    std::fs::write(scene.path("again.yaml"), &told).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args(["run", "--print-config"])
        .arg(scene.path("again.yaml"))
        .output()
        .unwrap();
    assert_eq!(done(&again), told);
}

#[test]
fn wrong_input_is_told_with_its_mend() {
    let scene = Scene::new("epoch: 2");
    for subcommand in ["train", "run"] {
        support::refused(
            &scene.distill(subcommand, &[]),
            2,
            &["scene.yaml", "train.epoch", "did you mean `train.epochs`"],
        );
    }
    let scene = Scene::new("epochs: 2");
    support::refused(&scene.distill("run", &["--set", "train.epohcs=3"]), 2, &["train.epohcs", "train.epochs"]);
    support::refused(&scene.distill("run", &["--set", "data.0.path=nowhere"]), 2, &["data.0.path", "nowhere"]);
    support::refused(&scene.distill("run", &["--set", "classes=[unicorn]"]), 2, &["nothing to learn"]);
    support::refused(&scene.distill("train", &["--set", "data.0.path=scene.yaml"]), 2, &["scene.yaml"]);
    support::refused(
        &scene.distill("train", &["--set", "split.test=1", "--set", "split.validation=0"]),
        2,
        &["nothing to learn"],
    );
    let missing = Command::new(env!("CARGO_BIN_EXE_distill")).args(["run", "no.yaml"]).output().unwrap();
    support::refused(&missing, 2, &["no.yaml"]);
}

#[test]
fn divergence_ends_with_code_one_and_the_batch_named() {
    let scene = Scene::new("epochs: 3, batch: 4, workers: 1, learning_rate: 1e30, clip: 0, warmup_steps: 0");
    support::refused(&scene.distill("train", &[]), 1, &["diverged", "epoch", "step", ".png"]);
}

#[test]
fn a_run_exports_a_bundle_that_tells_where_it_comes_from() {
    let scene = Scene::new("epochs: 1, batch: 4, workers: 1");
    let told = done(&scene.distill("run", &["--set", "evaluate.teachers=false"]));
    assert!(told.contains("== train") && told.contains("== export") && !told.contains("== label"), "{told}");
    let bundle = scene.path("out/student.onnx");
    let metadata = read_metadata::<ModelSpec>(&bundle).unwrap().expect("a bundle");
    assert_eq!(metadata.spec.classes, ["crate"]);
    assert_eq!((metadata.spec.input.width, metadata.spec.input.height), (96, 64));
    assert!(metadata.provenance.teachers.is_empty() && metadata.provenance.data.len() == 1);
    assert!(metadata.provenance.config.contains("name: scene") && metadata.parameters > 1000);
    let profile = ScoreProfile::of_figures(&metadata.figures).expect("the evaluation keeps the export's score profile");
    assert!(profile.frames >= 2 && profile.empty.frames == profile.frames, "{profile:?}");
    assert!(metadata.figures.contains_key("ap") && told.contains("notice drift"), "{told}");
    assert_eq!(done(&scene.distill("run", &["--set", "evaluate.teachers=false"])).matches("done already").count(), 4);
}

#[test]
fn a_killed_training_resumes_to_the_very_same_result() {
    let scene = Scene::new("epochs: 40, batch: 4, workers: 1, checkpoint_steps: 2");
    done(&scene.distill("train", &["--set", "output=whole"]));
    let whole = history(&scene.path("whole/train/metrics.jsonl"));
    assert_eq!(whole.len(), 40);

    let metrics = scene.path("out/train/metrics.jsonl");
    kill_after(3, &metrics, scene.command("train", &[]));
    assert!(epochs_made(&metrics) < 40, "it was not killed in time");
    done(&scene.distill("train", &["--resume"]));
    assert_eq!(history(&metrics), whole);
}

#[test]
fn a_checkpoint_of_other_settings_is_not_resumed() {
    let scene = Scene::new("epochs: 1, batch: 4, workers: 1");
    done(&scene.distill("train", &[]));
    assert!(scene.path("out/train/checkpoint.bin").is_file());
    // A training of other settings that is killed before its first checkpoint.
    let other =
        ["--set", "train.learning_rate=0.001", "--set", "train.epochs=400", "--set", "train.checkpoint_every=400"];
    kill_after(2, &scene.path("out/train/metrics.jsonl"), scene.command("train", &other));
    assert!(!scene.path("out/train/checkpoint.bin").exists(), "the old checkpoint is gone");
}

#[test]
fn a_run_that_retains_another_one_measures_what_was_forgotten() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new("epochs: 1, batch: 4, workers: 1");
    done(&scene.distill("run", &[]));
    let retain = ["--set", "output=second", "--set", "distillation.retain={run: out}"];
    let with = |more: &[&'static str]| [&retain[..], more].concat();
    support::refused(
        &scene.distill("run", &with(&["--set", "classes=[box]"])),
        2,
        &["distillation.retain.run", "name crate"],
    );
    support::refused(
        &scene.distill("run", &with(&["--set", "student.size=small"])),
        2,
        &["scene.yaml", "micro", "small"],
    );
    assert!(!scene.path("second").exists(), "refused before anything is written");

    let more = with(&["--set", "classes=[box, crate]"]);
    let told = done(&scene.distill("run", &more));
    assert!(told.contains("== forgetting") && told.contains("AP50"), "{told}");
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(scene.path("second").join(name)).unwrap()).unwrap()
    };
    let forgetting = read("forgetting.json");
    assert_eq!(forgetting["frames"], 8);
    assert_eq!(forgetting["seen"], serde_json::json!([]), "both runs cut the recording alike");
    for student in ["before", "after"] {
        let classes = forgetting[student]["per_class"].as_array().unwrap();
        assert!(classes.len() == 1 && classes[0]["class"] == "crate", "{forgetting}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(forgetting["before"]["ap50"], report["models"][0]["ap50"], "the earlier student is judged as it was");
    let metrics = std::fs::read_to_string(scene.path("second/train/metrics.jsonl")).unwrap();
    assert!(metrics.contains("retain_class") && metrics.contains("retain_box"), "{metrics}");
    assert!(done(&scene.distill("run", &more)).contains("forgetting: done already"));

    std::fs::remove_file(scene.path("out/student.onnx")).unwrap();
    let told = done(&scene.distill("run", &more));
    assert!(told.contains("forgetting: not measured") && told.contains("student.onnx"), "{told}");
}

#[test]
fn a_run_with_a_teacher_labels_trains_exports_and_reports() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new("epochs: 1, batch: 4, workers: 1");
    let teacher = support::tiny_model("tiny_yolov8.onnx");
    let teacher = format!("teachers=[{{name: tiny, model: {}, class_map: {{class_1: crate}}}}]", teacher.display());
    // Without the recording's own truth, the teacher's boxes are what the student is judged by.
    let settings = ["--set", "targets=teachers", "--set", &teacher, "--set", "data.0.truth=null"];
    let told = done(&scene.distill("run", &settings));
    for stage in ["== label", "== train", "== export", "== evaluate", "== report"] {
        assert!(told.contains(stage), "{told}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.path("out/report.json")).unwrap()).unwrap();
    let models = report["models"].as_array().unwrap();
    let facts: Vec<_> = models.iter().map(|model| (model["name"].as_str(), model["role"].as_str())).collect();
    assert_eq!(facts, [(Some("student"), Some("student")), (Some("tiny"), Some("teacher"))]);
    assert_eq!(report["frames"], 8);
    for model in models {
        assert_eq!(model["curves"][0]["precision"].as_array().map(Vec::len), Some(101), "{model}");
        assert_eq!(model["calibration"]["bins"].as_array().map(Vec::len), Some(10), "{model}");
    }
    let page = std::fs::read_to_string(scene.path("out/report.html")).unwrap();
    assert!(page.contains("frame-0") && page.contains("tiny (teacher)"), "the page has its gallery");
    assert!((models[1]["ap50"].as_f64().unwrap() - 1.0).abs() < 1e-9, "a teacher agrees with itself");
    let metadata = read_metadata::<ModelSpec>(scene.path("out/student.onnx")).unwrap().expect("a bundle");
    assert_eq!(metadata.provenance.teachers[0].name, "tiny");
    assert_eq!(metadata.provenance.data[0].name, "images");
    assert_eq!(metadata.figures["frames"], 8);
    assert!(!metadata.provenance.config.contains(scene.folder.path().to_str().unwrap()));
}

#[test]
fn generations_are_taught_by_the_ones_before_and_pass_a_gate() {
    let scene = Scene::new("epochs: 8, batch: 4, workers: 1");
    let generations = |gate: &str| format!("distillation.generations={{count: 1, gate: {gate}}}");
    let told = done(&scene.distill("run", &["--set", &generations("-1")]));
    assert!(told.contains("== generation 0") && told.contains("generation 1: validation AP"), "{told}");
    let lineage = |output: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(scene.path(output).join("generations.json")).unwrap()).unwrap()
    };
    let kept = lineage("out");
    assert_eq!((kept["generations"].as_array().unwrap().len(), &kept["chosen"]), (2, &1.into()), "{kept}");
    // The run's files are the chosen generation's; the second one has learnt from the first.
    for file in ["train/best.bpk", "train/metrics.jsonl"] {
        let read = |path: PathBuf| std::fs::read(path).unwrap();
        assert!(read(scene.path("out").join(file)) == read(scene.path("out/generation_1").join(file)), "{file}");
    }
    let bundle = read_metadata::<ModelSpec>(scene.path("out/generation_1/student.onnx")).unwrap().unwrap();
    let teachers: Vec<&str> = bundle.provenance.teachers.iter().map(|teacher| teacher.name.as_str()).collect();
    assert_eq!(teachers, ["generation_0"]);
    assert!(scene.path("out/report.json").is_file());
    let again = done(&scene.distill("run", &["--set", &generations("-1")]));
    assert_eq!(again.matches("train: done already").count(), 2, "{again}");

    // Nobody is better by more than there is.
    done(&scene.distill("run", &["--set", &generations("1"), "--set", "output=strict"]));
    let strict = lineage("strict");
    assert_eq!((&strict["chosen"], &strict["generations"][1]["kept"]), (&0.into(), &false.into()), "{strict}");
}

#[test]
fn a_generation_that_was_killed_goes_on_to_the_very_same_student() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new("epochs: 20, batch: 4, workers: 1, checkpoint_steps: 2");
    let settings = ["--set", "distillation.generations={count: 1, gate: -1}", "--set", "evaluate.latency_rounds=1"];
    let with = |more: &[&'static str]| [&settings[..], more].concat();
    done(&scene.distill("run", &with(&["--set", "output=whole"])));

    let metrics = scene.path("out/generation_1/train/metrics.jsonl");
    kill_after(3, &metrics, scene.command("run", &settings));
    assert!(epochs_made(&metrics) < 20, "it was not killed in time");
    support::refused(&scene.distill("run", &settings), 2, &["generation_1", "--resume", "--restart"]);
    let told = done(&scene.distill("run", &with(&["--resume"])));
    assert_eq!(told.matches("train: done already").count(), 1, "the first generation is not trained again: {told}");
    for generation in ["generation_0", "generation_1"] {
        let [whole, resumed] = ["whole", "out"].map(|output| scene.path(output).join(generation));
        let [epochs, resumed_epochs] = [&whole, &resumed].map(|run| history(&run.join("train/metrics.jsonl")));
        assert_eq!((epochs.len(), &resumed_epochs), (20, &epochs), "{generation}");
        let [whole, resumed] = [whole, resumed].map(|run| read_onnx(&run.join("student.onnx")).unwrap());
        assert!(whole.graph.initializer == resumed.graph.initializer, "{generation}: other weights");
    }
}

#[test]
fn a_bag_that_nobody_labelled_is_learnt_from_once_the_average_knows_enough() {
    let scene = Scene::new("epochs: 4, batch: 4, workers: 1");
    recording::write_bag(&scene.path("more"), &recording::crates(12, 1_700_000_000_000_000_000));
    let data = "data=[{path: images, truth: {coco: images/instances.json}}, {path: more, unlabelled: true}]";
    let train = |output: &str, start: f64| {
        let (output, start) = (format!("output={output}"), format!("distillation.self_training.start={start}"));
        let score = "distillation.self_training.score=0.0";
        done(&scene.distill("train", &["--set", data, "--set", &output, "--set", score, "--set", &start]))
    };
    let told = train("out", 0.5);
    // All of it is for training: nobody knows what would be right.
    assert!(told.contains("more: 12 frames train, 0 validation, 0 test, 0 in the gaps\n"), "{told}");
    train("never", 1.0);
    let [average, never] = ["out", "never"].map(|output| history(&scene.path(output).join("train/metrics.jsonl")));
    assert_eq!((average.len(), &average[..2]), (4, &never[..2]), "in the first half it says nothing");
    assert!(average[2] != never[2] && average[3] != never[3], "it teaches nothing: {average:?}");
}
