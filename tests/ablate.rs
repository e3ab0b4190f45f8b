//! `distill ablate` as a user runs it, on a folder of painted images with COCO labels.
#![cfg(feature = "distill")]

mod support;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::SystemTime,
};

use serde_json::Value;
use support::{
    scene,
    training::{epochs_made, history, interrupt, wait_until},
};

/// A folder of 40 images, 100 x 60, of one bright rectangle each, with its COCO file, and an experiment on it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// A scene with an ablation `kinds.yaml` of these variants.
    fn new(epochs: usize, variants: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        scene::write(folder.path(), "train: {batch: 4}\nevaluate: {latency_rounds: 2}");
        let ablation = format!(
            "name: kinds\nexperiment: scene.yaml\noutput: kinds\nseeds: [1, 2]\njobs: 2\n\
             set: {{train.epochs: {epochs}}}\nvariants:\n{variants}"
        );
        std::fs::write(folder.path().join("kinds.yaml"), ablation).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        command.arg("ablate").arg(self.path("kinds.yaml")).args(more).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    fn ablate(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    fn result(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("kinds/ablation.json")).unwrap()).unwrap()
    }

    /// When each run's epochs and figures were written.
    fn written(&self, runs: &[&str]) -> BTreeMap<PathBuf, SystemTime> {
        let files =
            runs.iter().flat_map(|run| ["train/metrics.jsonl", "train/best.bpk", "report.json"].map(|f| (run, f)));
        let paths = files.map(|(run, file)| self.path("kinds").join(run).join(file));
        paths.map(|path| (path.clone(), std::fs::metadata(&path).unwrap().modified().unwrap())).collect()
    }
}

const RUNS: [&str; 4] = ["plain/seed_1", "plain/seed_2", "gentle/seed_1", "gentle/seed_2"];
const PLAIN_AND_GENTLE: &str = "  - {name: plain, baseline: true}\n  \
                                - {name: gentle, about: 'a lower rate', set: {train.learning_rate: 0.0005, augment.scale: [0.9, 1.1]}}\n";

/// What it prints, once it has ended with this exit code.
fn ended(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    stdout.into_owned()
}

fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn variants_and_seeds_are_compared_and_not_trained_twice() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new(1, PLAIN_AND_GENTLE);
    let told = ended(&scene.ablate(&[]), 0);
    for word in [
        "verdict",
        "baseline",
        "x smaller",
        "Judged by labels (",
        "gentle: a lower rate",
        "ablation.svg",
        "ablation.html",
    ] {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    let result = scene.result();
    assert_eq!((&result["seeds"], &result["set"]["train.epochs"]), (&serde_json::json!([1, 2]), &Value::from(1)));
    assert_eq!(result["command"][1], "ablate");
    let variants = result["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 2);
    for variant in variants {
        let runs = variant["runs"].as_array().unwrap();
        let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect();
        assert_eq!(seeds, [1, 2]);
        let aps: Vec<f64> = runs.iter().map(|run| run["figures"]["ap"].as_f64().unwrap()).collect();
        let mean = variant["ap"]["mean"].as_f64().unwrap();
        assert!((mean - (aps[0] + aps[1]) / 2.0).abs() < 1e-12 && variant["ap"]["count"] == 2);
        let deviation = (aps[0] - aps[1]).abs() / 2.0_f64.sqrt();
        assert!((variant["ap"]["deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
        for run in runs {
            assert_eq!((&run["state"], &run["failure"]), (&Value::from("finished"), &Value::Null));
            assert!(run["figures"]["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{run}");
            assert!(run["figures"]["latency_ms"].is_f64() && run["figures"]["parameters"].is_u64(), "{run}");
            assert_eq!((&run["figures"]["truth"], &run["figures"]["teacher"]), (&Value::from("labels"), &Value::Null));
            assert!(run["figures"]["truths"].as_u64().is_some_and(|objects| objects > 0), "{run}");
        }
    }
    assert_eq!((&variants[0]["verdict"], &variants[0]["difference"]), (&Value::from("baseline"), &Value::Null));
    assert_eq!(
        (&variants[1]["difference"]["pairs"], &variants[1]["set"]["augment.scale"][1]),
        (&Value::from(2), &Value::from(1.1))
    );
    let verdict = variants[1]["verdict"].as_str().unwrap();
    assert!(["helps", "hurts", "no_difference"].contains(&verdict), "{verdict}");
    let words = if verdict == "no_difference" { "no difference seen" } else { verdict };
    let table = std::fs::read_to_string(scene.path("kinds/ablation.txt")).unwrap();
    assert!(table.lines().any(|line| line.contains("gentle ") && line.contains(words)) && told.starts_with(&table));
    let svg = std::fs::read_to_string(scene.path("kinds/ablation.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 8);
    let page = std::fs::read_to_string(scene.path("kinds/ablation.html")).unwrap();
    assert!(page.contains("<section id=\"ablation\">") && page.contains("<strong>gentle</strong> (a lower rate)"));
    assert_eq!(page.matches("<circle").count(), 8);

    let before = scene.written(&RUNS);
    assert_eq!(ended(&scene.ablate(&[]), 0).lines().next(), told.lines().next());
    assert_eq!(scene.written(&RUNS), before, "nothing is trained or judged again");
    let log = std::fs::read_to_string(scene.path("kinds/plain/seed_1/log.txt")).unwrap();
    assert_eq!(log.matches("done already").count(), 3, "{log}");

    // One variant with other settings; the figures of the other are of this ablation no more.
    ended(&scene.ablate(&["--only", "gentle", "--seeds", "1", "--set", "train.batch=5"]), 0);
    let result = scene.result();
    assert_eq!(result["variants"][0]["runs"][0]["state"], "not_run");
    assert_eq!(result["variants"][1]["runs"][0]["state"], "finished");
    assert_eq!(result["variants"][1]["verdict"], "unknown");
    let now = scene.written(&RUNS);
    let changed: Vec<bool> = RUNS
        .iter()
        .map(|run| {
            let path = scene.path("kinds").join(run).join("train/best.bpk");
            now[&path] != before[&path]
        })
        .collect();
    assert_eq!(changed, [false, false, true, false]);
}

#[test]
fn a_variant_that_fails_does_not_take_the_others_with_it() {
    if !support::onnx_runtime() {
        return;
    }
    let broken =
        "  - {name: broken, set: {train.learning_rate: 1e30, train.clip: 0, train.warmup_steps: 0, train.epochs: 3}}\n";
    let scene = Scene::new(1, &format!("{broken}  - {{name: plain, baseline: true}}\n"));
    let output = scene.ablate(&["--seeds", "4"]);
    support::refused(&output, 1, &["1 of 2 runs failed", "broken/seed_4"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("failed: broken, seed 4: ") && told.contains("diverged"), "{told}");
    let result = scene.result();
    let run = |variant: usize| &result["variants"][variant]["runs"][0];
    assert_eq!(run(0)["state"], "failed");
    assert!(run(0)["failure"].as_str().is_some_and(|reason| reason.contains("diverged")), "{}", run(0));
    assert_eq!(run(1)["state"], "finished");
    assert!(result["variants"][1]["ap"]["mean"].is_f64());
    assert!(scene.path("kinds/ablation.svg").is_file() && scene.path("kinds/ablation.txt").is_file());
}

#[test]
fn labels_are_made_once_for_all_that_can_share_them() {
    if !support::onnx_runtime() {
        return;
    }
    let variants = "  - {name: plain}\n  - {name: gentle, set: {train.learning_rate: 0.0005}}\n  \
                    - {name: sure, set: {fusion.score_threshold: 0.3}}\n";
    let scene = Scene::new(1, variants);
    let teacher = support::tiny_model("tiny_yolov8.onnx");
    let teacher = format!("teachers=[{{name: tiny, model: {}, class_map: {{class_1: crate}}}}]", teacher.display());
    // Without the recording's own truth, the teacher's boxes are what the student is judged by.
    let settings = ["--seeds", "1", "--set", "targets=teachers", "--set", &teacher, "--set", "data.0.truth=null"];
    let told = ended(&scene.ablate(&settings), 0);
    assert_eq!(told.matches("label: 40 frames (0 labelled earlier)").count(), 2, "{told}");
    let folders = folders(&scene.path("kinds"));
    assert_eq!(folders.iter().filter(|name| name.starts_with("targets_")).count(), 2, "{folders:?}");
    for run in ["plain/seed_1", "gentle/seed_1", "sure/seed_1"] {
        assert!(!scene.path("kinds").join(run).join("targets").exists());
        let log = std::fs::read_to_string(scene.path("kinds").join(run).join("log.txt")).unwrap();
        assert!(log.contains("label: 40 frames (40 labelled earlier)"), "{log}");
    }
    let result = scene.result();
    let figures = &result["variants"][0]["runs"][0]["figures"];
    assert!((figures["teacher_ap50"].as_f64().unwrap() - 1.0).abs() < 1e-9, "a teacher agrees with itself: {figures}");
    let [retention, ap50] = ["retention", "ap50"].map(|key| figures[key].as_f64().unwrap());
    assert!((retention - ap50).abs() < 1e-9, "{figures}");
    assert_eq!(figures["teacher"], "tiny");
    let [smaller, faster] = ["smaller", "faster"].map(|key| figures[key].as_f64().unwrap());
    let parameters = figures["parameters"].as_f64().unwrap();
    assert!(smaller > 0.0 && smaller * parameters < 1e6 && faster > 0.0, "{figures}");
    assert_eq!(result["variants"][0]["smaller"]["mean"].as_f64(), Some(smaller));
    assert!(figures.get("per_recording").is_none(), "there is one recording: {figures}");
}

#[test]
fn another_judge_trains_nothing_and_the_first_one_comes_back() {
    if !support::onnx_runtime() {
        return;
    }
    let scene = Scene::new(1, "  - {name: plain}\n");
    let teachers = |name: &str| {
        let model = support::tiny_model("tiny_yolov8.onnx");
        format!("[{{name: {name}, model: {}, class_map: {{class_1: crate}}}}]", model.display())
    };
    std::fs::write(scene.path("judges.yaml"), teachers("outsider")).unwrap();
    let (images, judge) = (scene.path("images"), scene.path("judge"));
    let mut label = Command::new(env!("CARGO_BIN_EXE_distill"));
    label.arg("label").arg("--data").arg(&images).arg("--teachers").arg(scene.path("judges.yaml"));
    ended(&label.args(["--classes", "crate", "--out"]).arg(&judge).stdin(Stdio::null()).output().unwrap(), 0);

    let teacher = format!("teachers={}", teachers("tiny"));
    let settings = ["--seeds", "1", "--set", "targets=teachers", "--set", &teacher, "--set", "data.0.truth=null"];
    let truth = |result: &Value| result["variants"][0]["runs"][0]["figures"]["truth"].as_str().unwrap().to_owned();
    ended(&scene.ablate(&settings), 0);
    let first = scene.result();
    assert!(truth(&first).starts_with("boxes of tiny of score"), "{first}");
    let trained = |scene: &Scene| {
        let files = ["train/metrics.jsonl", "train/best.bpk"].map(|file| scene.path("kinds/plain/seed_1").join(file));
        files.map(|file| std::fs::metadata(file).unwrap().modified().unwrap())
    };
    let before = trained(&scene);

    // Paths start from the experiment's folder.
    let by_judge = scene.path("by_judge");
    let other = [&settings[..], &["--set", "evaluate.targets=judge", "--result", by_judge.to_str().unwrap()]].concat();
    let told = ended(&scene.ablate(&other), 0);
    assert!(told.contains("Judged by boxes of outsider of score"), "{told}");
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    assert!(truth(&read(&by_judge.join("ablation.json"))).starts_with("boxes of outsider of score"));
    assert!(by_judge.join("ablation.txt").is_file() && by_judge.join("ablation.svg").is_file());
    assert_eq!(scene.result(), first, "the first judge's result is left alone");
    assert_eq!(
        read(&scene.path("kinds/plain/seed_1/report.json"))["truth"],
        truth(&read(&by_judge.join("ablation.json")))
    );
    let log = std::fs::read_to_string(scene.path("kinds/plain/seed_1/log.txt")).unwrap();
    assert!(log.contains("train: done already") && log.contains("export: done already"), "{log}");
    assert!(!log.contains("evaluate: done already"), "{log}");

    ended(&scene.ablate(&settings), 0);
    assert_eq!(truth(&scene.result()), truth(&first));
    assert_eq!(trained(&scene), before, "nothing is trained again");
}

/// What an ablation prints that is interrupted once something is there.
fn interrupted(scene: &Scene, more: &[&str], is_there: impl Fn() -> bool) -> String {
    let mut child = scene.command(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(is_there, &mut child);
    interrupt(&child);
    ended(&child.wait_with_output().unwrap(), 0)
}

#[test]
fn an_interrupt_stops_the_children_with_their_checkpoints() {
    let scene = Scene::new(400, PLAIN_AND_GENTLE);
    let begun = ["plain/seed_1", "gentle/seed_1"].map(|run| scene.path("kinds").join(run));
    let told = interrupted(&scene, &[], || begun.iter().all(|run| epochs_made(&run.join("train/metrics.jsonl")) > 0));
    assert!(told.contains("stopped; the same command goes on"), "{told}");
    for run in &begun {
        assert!(run.join("train/checkpoint.bin").is_file());
        assert!(File::open(run.join("log.txt")).unwrap().try_lock().is_ok(), "nobody works here any more");
    }
    assert!(!scene.path("kinds/plain/seed_2").exists(), "nothing more was started");
    assert_eq!(scene.result()["variants"][0]["runs"][0]["state"], "not_run");
}

#[test]
fn an_interrupted_ablation_goes_on_and_leaves_what_is_finished_alone() {
    if !support::onnx_runtime() {
        return;
    }
    let short_and_long = "  - {name: short, baseline: true, set: {train.epochs: 1}}\n  - {name: long}\n";
    let scene = Scene::new(40, short_and_long);
    let one_by_one = ["--seeds", "1", "--jobs", "1"];
    let metrics = scene.path("kinds/long/seed_1/train/metrics.jsonl");
    let told = interrupted(&scene, &one_by_one, || epochs_made(&metrics) > 1);
    assert!(told.contains("stopped; the same command goes on"), "{told}");
    let states = |result: &Value| [0_usize, 1].map(|variant| result["variants"][variant]["runs"][0]["state"].clone());
    assert_eq!(states(&scene.result()), ["finished", "not_run"]);
    let (before, begun) = (scene.written(&["short/seed_1"]), std::fs::read_to_string(&metrics).unwrap());
    assert!(begun.lines().count() < 40, "it was not interrupted in time");

    ended(&scene.ablate(&one_by_one), 0);
    assert_eq!(states(&scene.result()), ["finished", "finished"]);
    assert_eq!(scene.written(&["short/seed_1"]), before, "what was finished is trained or judged again");
    // With the seconds that they took: these epochs are those of the first process.
    let all = std::fs::read_to_string(&metrics).unwrap();
    assert!(all.starts_with(&begun) && all.lines().count() == 40, "{begun} became {all}");
    let straight = scene.path("straight");
    let more = ["--only", "long", "--output", straight.to_str().unwrap()];
    ended(&scene.ablate(&[&one_by_one[..], &more].concat()), 0);
    assert_eq!(history(&metrics), history(&straight.join("long/seed_1/train/metrics.jsonl")));
}

#[test]
fn a_dry_run_tells_everything_and_writes_nothing() {
    let scene = Scene::new(1, PLAIN_AND_GENTLE);
    let told = ended(&scene.ablate(&["--dry-run", "--seeds", "7", "--set", "train.batch=2"]), 0);
    for word in ["2 runs", "plain (baseline)", "gentle: a lower rate", "augment.scale=[0.9,1.1]", "train.batch=2"] {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert_eq!(told.lines().filter(|line| line.starts_with("distill run ") && line.contains("seed=7")).count(), 2);
    assert!(!scene.path("kinds").exists());
    // The one that ships, whether or not its recording is there.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/distill/ablate_warehouse.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    let told = ended(&command.arg("ablate").arg(shipped).arg("--dry-run").stdin(Stdio::null()).output().unwrap(), 0);
    assert!(told.contains("hard (baseline)"), "{told}");
}

#[test]
fn wrong_ablations_are_told_before_anything_runs() {
    let variants = "  - {name: plain}\n  - {name: other, set: {train.epohcs: 2}}\n";
    let scene = Scene::new(1, variants);
    support::refused(&scene.ablate(&[]), 2, &["variant `other`", "train.epohcs", "train.epochs"]);
    let scene = Scene::new(1, "  - {name: plain}\n  - {name: plain}\n");
    support::refused(&scene.ablate(&[]), 2, &["kinds.yaml", "variants.1.name", "plain"]);
    let scene = Scene::new(1, "  - {name: plain}\n  - {name: away, set: {data.0.path: nowhere}}\n");
    support::refused(&scene.ablate(&["--only", "nobody"]), 2, &["nobody", "plain, away"]);
    support::refused(&scene.ablate(&["--set", "output=elsewhere"]), 2, &["output"]);
    support::refused(&scene.ablate(&[]), 2, &["variant `away`", "nowhere"]);
    assert!(!scene.path("kinds").exists());
    let missing = Command::new(env!("CARGO_BIN_EXE_distill")).args(["ablate", "no.yaml"]).output().unwrap();
    support::refused(&missing, 2, &["no.yaml"]);
}
