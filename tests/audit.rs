//! `distill audit` as a user runs it: two shipped teachers on a synthetic warehouse whose truth is known.
#![cfg(feature = "distill")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use distilled_perception::distill::{
    audit::{Audit, FindingKind, JudgedBy, earned_trust},
    config::Experiment,
    targets::TargetSet,
};
use support::training::{epochs_made, history, kill_after};

const CLASSES: &str = "person,forklift,pallet";

/// A folder with a recording `bag` and an experiment on it.
struct Hall {
    folder: tempfile::TempDir,
}

impl Hall {
    /// `data` are further keys of the recording's entry.
    fn new(data: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hall = Self { folder };
        let bag = hall.path("bag");
        let arguments = ["synth", "--out", text(&bag), "--seed", "4711", "--seconds", "8", "--rate", "5"];
        done(&distill(&arguments));
        let (base, small) = (model("warehouse_base"), model("warehouse_small"));
        let yaml = format!(
            "name: audited\noutput: out\nclasses: [{CLASSES}]\ndata:\n  - {{path: bag, topic: /camera/image_raw{data}}}\n\
             split: {{validation: 0.2, test: 0.25, gap_seconds: 0.2}}\n\
             teachers:\n  - {{name: base, model: {}}}\n  - {{name: small, model: {}}}\n\
             student: {{size: micro, width: 96, height: 64}}\n\
             train: {{epochs: 1, batch: 4, workers: 1}}\n\
             evaluate: {{teachers: false, latency_rounds: 1}}\n",
            base.display(),
            small.display()
        );
        std::fs::write(hall.path("audited.yaml"), yaml).unwrap();
        hall
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Labels as `distill run` would.
    fn label(&self) {
        let (bag, out) = (self.path("bag"), self.path("out/targets"));
        let (base, small) = (model("warehouse_base"), model("warehouse_small"));
        let mut arguments = vec!["label", "--data", text(&bag), "--topic", "/camera/image_raw", "--classes", CLASSES];
        arguments.extend(["--teacher", text(&base), "--teacher", text(&small), "--out", text(&out)]);
        done(&distill(&arguments));
    }

    fn command(&self, subcommand: &str, more: &[&str]) -> Command {
        let experiment = self.path("audited.yaml");
        command(&[&[subcommand, text(&experiment)][..], more].concat())
    }

    fn run(&self, subcommand: &str, more: &[&str]) -> Output {
        self.command(subcommand, more).output().unwrap()
    }

    fn audit(&self) -> Audit {
        serde_json::from_slice(&std::fs::read(self.path("out/audit.json")).unwrap()).unwrap()
    }
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).with_extension("onnx")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn distill(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// What a command that must succeed says.
fn done(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// Asserts exit code 2 and an error that holds all of `words`.
fn refused(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for word in words {
        assert!(stderr.starts_with("error: ") && stderr.contains(word), "`{word}` is not in: {stderr}");
    }
}

/// Whether some line of a table has all of these cells.
fn has_line(told: &str, cells: &[&str]) -> bool {
    told.lines().any(|line| cells.iter().all(|cell| line.contains(cell)))
}

#[test]
fn teachers_are_judged_by_the_truth_of_a_warehouse() {
    if !support::onnx_runtime() {
        return;
    }
    let hall = Hall::new(", truth: {topic: /truth/detections_2d}");
    refused(&hall.run("audit", &[]), &["no soft targets", "distill label", "distill run"]);
    hall.label();
    let copy = hall.path("copy.json");
    let told = done(&hall.run("audit", &["--json", text(&copy)]));
    let audit = hall.audit();
    assert_eq!(serde_json::from_slice::<Audit>(&std::fs::read(&copy).unwrap()).unwrap(), audit);
    assert_eq!((audit.judged_by, audit.frames, audit.teachers.len()), (JudgedBy::Truth, 40, 2));
    // The last quarter tests: its truth is nobody's to choose by.
    assert!((28..=31).contains(&audit.truth_frames) && audit.truths > 0, "{} frames", audit.truth_frames);
    let mut best_trust = 0.0_f32;
    for teacher in &audit.teachers {
        let truth = teacher.truth.as_ref().unwrap();
        assert!(truth.ap50 > Some(0.5), "{}: AP50 {:?}", teacher.name, truth.ap50);
        let ece = teacher.calibration.ece.unwrap();
        assert!((0.0..=1.0).contains(&ece), "{ece}");
        let counted: usize = teacher.calibration.bins.iter().skip(1).map(|bin| bin.count).sum();
        assert_eq!(counted, teacher.calibration.counted);
        for share in [teacher.agreement, teacher.agreed_recall] {
            assert!(share.is_some_and(|share| (0.0..=1.0).contains(&share)), "{}: {share:?}", teacher.name);
        }
        assert_eq!(teacher.classes.len(), 3);
        assert_eq!(teacher.classes.iter().map(|class| class.detections).sum::<usize>(), teacher.detections);
        let confused: u64 = truth.confusion.iter().take(3).flatten().sum();
        assert_eq!(confused, audit.truths as u64, "each object is called something or missed");
        assert_eq!((teacher.drift.len(), teacher.drift[0].slices.len(), teacher.dependence.len()), (1, 20, 4));
        for dependence in &teacher.dependence {
            assert_eq!(dependence.bins.iter().map(|bin| bin.boxes).sum::<usize>(), teacher.confident);
        }
        let trust = teacher.proposed_trust.unwrap();
        assert!((0.1..=1.0).contains(&trust), "{trust}");
        best_trust = best_trust.max(trust);
        // The table says what the JSON says.
        let figures = [ece, truth.ap.unwrap(), truth.ap50.unwrap()].map(|figure| format!("{figure:.3}"));
        let [ece, ap, ap50] = figures.each_ref().map(String::as_str);
        let boxes = teacher.detections.to_string();
        assert!(has_line(&told, &[&teacher.name, &boxes, ece, ap, ap50, &format!("{trust:.2}")]), "{told}");
    }
    assert_eq!(best_trust, 1.0);
    let verdicts = told.find("What stands out").unwrap();
    assert!(verdicts < told.find("Class by class").unwrap(), "{told}");
    for finding in &audit.findings {
        assert!(told.contains(&finding.text) && finding.text.starts_with(&finding.teacher), "{}", finding.text);
    }
    refused(&hall.run("audit", &["--set", "classes=[person]"]), &["person, forklift, pallet", "label again"]);
    let truth = ["--set", "targets=truth"];
    refused(&hall.run("audit", &truth), &["targets: truth", "no teacher"]);
}

#[test]
fn a_run_audits_between_labelling_and_training() {
    if !support::onnx_runtime() {
        return;
    }
    let hall = Hall::new("");
    let told = done(&hall.run("run", &[]));
    let place_of = |words: &str| told.find(words).unwrap_or_else(|| panic!("no {words} in {told}"));
    assert!(place_of("== label") < place_of("== audit") && place_of("== audit") < place_of("== train"), "{told}");
    let audit = hall.audit();
    assert_eq!((audit.judged_by, audit.truth_frames), (JudgedBy::Agreement, 0));
    assert!(audit.teachers.iter().all(|teacher| teacher.truth.is_none()));
    assert!(audit.findings.iter().all(|finding| finding.kind != FindingKind::Untrue), "{:?}", audit.findings);
    assert!(audit.findings.iter().all(|finding| told.contains(&finding.text)), "{told}");
    let written = std::fs::metadata(hall.path("out/audit.json")).unwrap().modified().unwrap();
    let again = done(&hall.run("run", &[]));
    assert!(again.contains("== audit"), "{again}");
    let kept = std::fs::metadata(hall.path("out/audit.json")).unwrap().modified().unwrap();
    assert_eq!(kept, written, "nothing has changed, yet it was audited again");
}

/// The second teacher calls persons pallets and pallets persons.
const CONFUSED: &str = "teachers.1.class_map={person: pallet, pallet: person, forklift: forklift}";

fn joined<'a>(settings: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [settings, more].concat()
}

#[test]
fn students_learn_with_the_trust_that_their_teachers_earned() {
    if !support::onnx_runtime() {
        return;
    }
    let hall = Hall::new(", truth: {topic: /truth/detections_2d}");
    let confused = ["--set", CONFUSED, "--set", "distillation.relabel=always"];
    let told = done(&hall.run("run", &joined(&confused, &["--set", "distillation.trust=labels"])));
    let proposed: Vec<f32> = hall.audit().teachers.iter().map(|teacher| teacher.proposed_trust.unwrap()).collect();
    assert!(proposed[0] == 1.0 && proposed[1] < 0.7, "{proposed:?}");
    let line = format!("train: trust earned by the teachers: base {:.2}, small {:.2}\n", proposed[0], proposed[1]);
    assert!(told.contains(&line), "`{line}` is not in: {told}");

    // Who is told the same trust trains in the same way, on targets and on images that are labelled anew.
    let settings = [CONFUSED, "distillation.trust=labels"].map(str::to_owned);
    let experiment = Experiment::load(&hall.path("audited.yaml"), &settings).unwrap();
    let targets = TargetSet::read(&hall.path("out/targets")).unwrap();
    let trust = earned_trust(&experiment, &targets).unwrap().unwrap();
    assert!(trust.iter().zip(&proposed).all(|(trust, proposed)| (trust - proposed).abs() < 0.0051), "{trust:?}");
    let given = format!("teachers.1.trust={}", trust[1]);
    done(&hall.run("run", &joined(&confused, &["--set", &given, "--set", "output=given"])));
    let epochs = |output: &str| history(&hall.path(output).join("train/metrics.jsonl"));
    assert_eq!(epochs("out"), epochs("given"));

    // Two teachers are about equally far from each other.
    let by_agreement = ["--set", "distillation.trust=agreement", "--set", "targets_folder=out/targets"];
    let by_agreement = joined(&by_agreement, &["--set", "output=agreed"]);
    let told = done(&hall.run("train", &joined(&confused, &by_agreement)));
    assert!(told.contains("train: trust earned by the teachers: ") && !told.contains(&line), "{told}");
    assert_ne!(epochs("out"), epochs("agreed"));
}

#[test]
fn a_training_on_earned_trust_goes_on_where_it_was() {
    if !support::onnx_runtime() {
        return;
    }
    let hall = Hall::new(", truth: {topic: /truth/detections_2d}");
    hall.label();
    let settings =
        ["--set", "distillation.trust=labels", "--set", "targets_folder=out/targets", "--set", "train.epochs=20"];
    done(&hall.run("train", &joined(&settings, &["--set", "output=whole"])));
    let killed = joined(&settings, &["--set", "output=killed", "--set", "train.checkpoint_steps=2"]);
    let metrics = hall.path("killed/train/metrics.jsonl");
    kill_after(2, &metrics, hall.command("train", &killed));
    assert!(epochs_made(&metrics) < 20, "it was not killed in time");
    let told = done(&hall.run("train", &joined(&killed, &["--resume"])));
    assert!(told.contains("trust earned") && !told.contains("from the beginning"), "{told}");
    assert_eq!(history(&metrics), history(&hall.path("whole/train/metrics.jsonl")));
}
