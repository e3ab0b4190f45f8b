//! The experiments in config/distill/: each loads as it stands, shows what it is there for, and names tensors that its teachers have.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::distill::{
    ablate::{AblationConfig, Choice, Plan},
    config::Experiment,
    lidar::{LidarExperiment, labels::LidarData},
    split::Block,
    train::{Tutoring, Tutors},
};
use serde_yaml::Value;

/// Each kind of term by its name in YAML.
const KINDS: [&str; 12] = [
    "hint",
    "attention",
    "channel_wise",
    "focal",
    "patient",
    "cosine",
    "flow",
    "similarity",
    "relation_distance",
    "relation_angle",
    "logits",
    "localization",
];

/// The example of each kind of distillation, and lines of its resolved form that it is there for.
const EXAMPLES: [(&str, &[&str]); 13] = [
    ("response.yaml", &["kind: logits", "kind: localization", "labels: soft"]),
    ("feature.yaml", &["kind: hint", "kind: attention", "kind: channel_wise", "kind: focal"]),
    (
        "relation.yaml",
        &["kind: similarity", "kind: relation_distance", "kind: relation_angle", "kind: flow", "relating: boxes"],
    ),
    ("patient.yaml", &["kind: patient", "strategy: skip", "strategy: last", "strategy: null"]),
    ("ensemble.yaml", &["name: hint_yolox", "name: hint_nanodet", "relabel: synthetic", "mixup: 0.15"]),
    ("self.yaml", &["generations:", "count: 2", "gate: 0.002"]),
    ("mean_teacher.yaml", &["self_training:", "unlabelled: true", "targets: truth", "teachers: []"]),
    ("retain.yaml", &["retain:", "weight: 1.0", "temperature: 2.0"]),
    ("quantize_aware.yaml", &["quantize_aware: true", "retain:", "weight: 1.0"]),
    ("truth.yaml", &["truth: 0.3", "targets: teachers"]),
    ("inherit.yaml", &["kind: cosine", "truth: 0.3", "labels: soft"]),
    ("two_stage.yaml", &["kind: hint", "start: 0.5", "end: 0.5"]),
    ("all.yaml", &["kind: channel_wise", "kind: relation_distance", "kind: logits", "relabel: synthetic"]),
];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A YAML of config/distill/.
struct Written {
    path: PathBuf,
    text: String,
    is_ablation: bool,
    is_ladder: bool,
    is_lidar: bool,
}

impl Written {
    fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

/// All of them, by name.
fn written() -> Vec<Written> {
    let entries = std::fs::read_dir(root("config/distill")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let document: Value = serde_yaml::from_str(&text).unwrap();
        let is_lidar = document.get("task").and_then(Value::as_str) == Some("lidar");
        let [is_ablation, is_ladder] = ["variants", "ladder"].map(|key| document.get(key).is_some());
        Written { is_ablation, is_ladder, is_lidar, path, text }
    };
    paths.into_iter().map(read).collect()
}

fn experiments() -> Vec<Written> {
    let is_other = |written: &Written| written.is_ablation || written.is_ladder || written.is_lidar;
    written().into_iter().filter(|written| !is_other(written)).collect()
}

fn lidar_experiments() -> Vec<Written> {
    written().into_iter().filter(|written| written.is_lidar).collect()
}

/// Looks for the command that runs it among a file's comments.
fn tells_its_command(written: &Written) {
    let command = format!("#   distill run config/distill/{}", written.name());
    assert!(written.text.lines().any(|line| line.starts_with(&command)), "no `{command}` in {}", written.name());
}

/// Runs a subcommand on a file, with this folder of test data and every other folder where the file has it by default.
fn distill(subcommand: &str, file: &Path, option: &str, data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.arg(subcommand).arg(file).arg(option).stdin(Stdio::null());
    command
        .env_remove("RUST_LOG")
        .env_remove("DEMO")
        .env_remove("FIELD")
        .env_remove("KINDS")
        .env_remove("KINDS5")
        .env_remove("LIDAR")
        .env("PERCEPTION_TEST_DATA", data);
    command.output().unwrap()
}

/// What a command that must succeed prints.
fn said(written: &Written, subcommand: &str, option: &str, data: &Path) -> String {
    let output = distill(subcommand, &written.path, option, data);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{}", written.name());
    String::from_utf8(output.stdout).unwrap()
}

/// An experiment with all defaults, as the binary understands it.
fn resolved(written: &Written, data: &Path) -> (String, Experiment) {
    let told = said(written, "run", "--print-config", data);
    let experiment = serde_yaml::from_str(&told).unwrap();
    (told, experiment)
}

#[test]
fn every_experiment_loads_and_shows_what_it_is_there_for() {
    let data = Path::new("/nowhere/data");
    let mut shown = Vec::new();
    for written in experiments() {
        let (told, experiment) = resolved(&written, data);
        tells_its_command(&written);
        // Paths are the checkout's own or the test data's.
        for data_config in &experiment.data {
            let path = &data_config.path;
            assert!(path.starts_with(data) || path.starts_with(root("runs")), "{}: {}", written.name(), path.display());
        }
        assert!(experiment.output.starts_with(root("runs")), "{}: {}", written.name(), experiment.output.display());
        shown.extend(experiment.distillation.terms.iter().map(|term| term.kind.name()));
        if let Some((_, lines)) = EXAMPLES.iter().find(|(name, _)| *name == written.name()) {
            for line in *lines {
                let stands = told.lines().any(|told| told.trim_start_matches([' ', '-']) == *line);
                assert!(stands, "{}: no `{line}` in:\n{told}", written.name());
            }
        }
    }
    for kind in KINDS {
        assert!(shown.contains(&kind), "no experiment shows `{kind}`");
    }
}

#[test]
fn every_lidar_experiment_loads_and_is_judged_by_what_it_did_not_learn_from() {
    let data = Path::new("/nowhere/data");
    let names: Vec<String> = lidar_experiments().iter().map(|written| written.name().to_owned()).collect();
    for name in ["legs.yaml", "lidar_warehouse_truth.yaml", "lidar_warehouse_camera.yaml"] {
        assert!(names.iter().any(|known| known == name), "{name} is not there");
    }
    for written in lidar_experiments() {
        tells_its_command(&written);
        let told = said(&written, "run", "--print-config", data);
        let experiment: LidarExperiment = serde_yaml::from_str(&told).unwrap();
        for data_config in &experiment.data {
            let path = &data_config.path;
            assert!(path.starts_with(data) || path.starts_with(root("runs")), "{}: {}", written.name(), path.display());
        }
        assert!(experiment.output.starts_with(root("runs")), "{}: {}", written.name(), experiment.output.display());
        let is_test = |data: &&LidarData| data.block == Some(Block::Test);
        assert!(experiment.data.iter().filter(is_test).any(|data| data.truth.is_some()));
        // Whole recordings are kept for the test, and what is kept is nowhere else.
        assert_eq!(experiment.split.test, 0.0, "{}", written.name());
        for test in experiment.data.iter().filter(is_test) {
            assert_eq!(experiment.data.iter().filter(|data| data.path == test.path).count(), 1, "{}", written.name());
        }
        for teacher in &experiment.teachers {
            assert!(teacher.model.exists(), "{}: {}", written.name(), teacher.model.display());
        }
    }
}

#[test]
fn other_commands_send_a_lidar_experiment_to_run() {
    let legs = root("config/distill/legs.yaml");
    let sent = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_distill")).args(words).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains(&format!("`distill run {}`", legs.display())), "{words:?}: {stderr}");
    };
    let file = legs.to_str().unwrap();
    sent(&["train", file]);
    sent(&["audit", file]);
    sent(&["label", "--data", file, "--teacher", "t.onnx", "--classes", "leg", "--out", "targets"]);
    sent(&["label", "--data", "bag", "--teachers", file, "--classes", "leg", "--out", "targets"]);
    sent(&["evaluate", "--model", "m.onnx", "--data", file]);
}

#[test]
fn every_ablation_can_be_planned() {
    let ablations: Vec<Written> = written().into_iter().filter(|written| written.is_ablation).collect();
    assert!(!ablations.is_empty());
    for ablation in ablations {
        // A plan needs the experiment under it, not its recordings.
        let told = said(&ablation, "ablate", "--dry-run", Path::new("/nowhere/data"));
        assert!(told.lines().any(|line| line.starts_with("distill run ")), "{}: {told}", ablation.name());
    }
}

#[test]
fn every_ladder_can_be_planned() {
    let ladders: Vec<Written> = written().into_iter().filter(|written| written.is_ladder).collect();
    assert!(!ladders.is_empty());
    for ladder in ladders {
        let told = said(&ladder, "compress", "--dry-run", Path::new("/nowhere/data"));
        assert!(told.lines().any(|line| line.starts_with("distill run ")), "{}: {told}", ladder.name());
        let command = format!("#   distill compress config/distill/{}", ladder.name());
        assert!(ladder.text.lines().any(|line| line == command), "no `{command}` in {}", ladder.name());
    }
}

/// What a training of an experiment asks of its teachers, once it is sure that they have it; nothing where a teacher is not there.
fn fitting(experiment: &Experiment, name: &str) -> Option<Tutoring> {
    if let Some(teacher) = experiment.teachers.iter().find(|teacher| !teacher.model.exists()) {
        println!("{name} left out: {} is not there", teacher.model.display());
        return None;
    }
    let (_, tutoring) = Tutors::load(experiment).unwrap_or_else(|error| panic!("{name}: {error}"));
    let fit = tutoring.plan.check_channels(&experiment.student_config(), &tutoring.channels);
    assert_eq!(fit, Ok(()), "{name}");
    Some(tutoring)
}

#[test]
fn teachers_have_the_tensors_that_examples_name_and_they_fit_the_student() {
    if !support::onnx_runtime() {
        return;
    }
    let data = support::test_data("models/yolox_nano_416.onnx").unwrap_or_else(|| PathBuf::from("/nowhere/data"));
    for written in experiments() {
        let (_, experiment) = resolved(&written, &data);
        let Some(tutoring) = fitting(&experiment, written.name()) else { continue };
        // Those that a strategy chooses are told in its comment.
        for hint in tutoring.plan.hints() {
            assert!(written.text.contains(&hint.tensor), "{} does not tell of {}", written.name(), hint.tensor);
        }
    }
}

#[test]
fn teachers_have_the_tensors_that_variants_of_ablations_name() {
    if !support::onnx_runtime() {
        return;
    }
    for written in written().into_iter().filter(|written| written.is_ablation) {
        // The folder of test data is the environment's, or its usual place.
        let config = AblationConfig::load(&written.path).unwrap();
        let plan = Plan::make(config, &Choice { seeds: vec![1], ..Choice::default() }).unwrap();
        assert_eq!(plan.runs.len(), plan.config.variants.len());
        for run in &plan.runs {
            fitting(&run.experiment, &format!("{}, {}", written.name(), plan.title(run)));
        }
    }
}

#[test]
fn told_settings_start_from_the_files_own_folder() {
    for written in written() {
        for word in written.text.lines().filter(|line| line.starts_with('#')).flat_map(str::split_whitespace) {
            let is_path_of = |key: &str| key == "output" || key.contains('.');
            let is_wrong =
                word.split_once('=').is_some_and(|(key, value)| is_path_of(key) && value.starts_with("runs/"));
            assert!(!is_wrong, "{}: `{word}` is a path in config/distill; write ../../runs", written.name());
        }
    }
}

#[test]
fn the_guide_knows_every_kind_and_every_example() {
    let guide = std::fs::read_to_string(root("docs/distillation.md")).unwrap();
    for kind in KINDS {
        assert!(guide.lines().any(|line| line.starts_with(&format!("| `{kind}` |"))), "`{kind}` is not in the table");
    }
    for (example, _) in EXAMPLES {
        assert!(root("config/distill").join(example).is_file(), "{example} is not there");
        assert!(guide.contains(&format!("](../config/distill/{example})")), "{example} is not linked");
    }
}
