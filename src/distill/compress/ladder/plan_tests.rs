//! Tests of `plan`, and a ladder for those of its neighbours.

use std::path::Path;

use super::{Ladder, LadderConfig, LadderError, PointPrecision, Step};
use crate::distill::{config::Experiment, evaluate::bundle_path, student::Size};

const BASE: &str = "
name: base
classes: [crate]
output: out
data: [{path: bag}]
teachers: [{model: teacher.onnx}]
train: {epochs: 24}
";
const LADDER: &str = "
name: small
experiment: base.yaml
output: 'runs: all'
seed: 7
set: {train.batch: 4}
ladder:
  sizes: [small, micro]
  inputs: [[320, 192], [256, 160]]
  prune: [{time: 0.64}, {time: 0.32}]
  rounds: 2
  precisions: [int8, int8_aware]
constraints: {size_kb: 500}
";

/// The plan of a ladder of two sizes, two inputs, two cuts of two rounds, and three precisions, of which fp32 is not offered.
pub fn plan(change: (&str, &str), set: &[&str]) -> Result<Ladder, LadderError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base.yaml"), BASE).unwrap();
    let path = folder.path().join("small.yaml");
    std::fs::write(&path, LADDER.replace(change.0, change.1)).unwrap();
    let (own, set) = LadderConfig::part_changes(set.iter().map(|text| (*text).to_owned()).collect());
    Ladder::plan(LadderConfig::load(&path, &own)?, set)
}

fn words(step: &Step) -> Vec<String> {
    step.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

#[test]
fn every_size_and_input_is_cut_step_by_step_in_every_precision() {
    let ladder = plan(("", ""), &[]).unwrap();
    // A training, two cuts of two rounds of two commands, and two quantisations of each of three students.
    assert_eq!((ladder.steps.len(), ladder.points.len()), (4 * (1 + 8 + 6), 4 * 9));
    let names: Vec<&str> = ladder.points.iter().take(9).map(|point| point.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "small_320x192",
            "small_320x192_int8",
            "small_320x192_int8_aware",
            "small_320x192_time_64",
            "small_320x192_time_64_int8",
            "small_320x192_time_64_int8_aware",
            "small_320x192_time_32",
            "small_320x192_time_32_int8",
            "small_320x192_time_32_int8_aware",
        ]
    );
    let from: Vec<Option<usize>> = ladder.points.iter().take(10).map(|point| point.from).collect();
    let expected = [None, Some(0), Some(0), Some(0), Some(3), Some(3), Some(3), Some(6), Some(6), None];
    assert_eq!(from, expected);
    assert!(ladder.points.iter().all(|point| point.offered == (point.precision != PointPrecision::Fp32)));
    for (place, step) in ladder.steps.iter().enumerate() {
        assert!(step.after.is_none_or(|before| before < place), "{}", step.title);
        assert!(step.folder.starts_with(&ladder.config.output) && step.output.starts_with(&step.folder));
    }
    for point in &ladder.points {
        assert_eq!(ladder.steps[point.step].output, point.bundle);
    }
}

#[test]
fn each_round_goes_on_from_the_one_before() {
    let ladder = plan(("", ""), &[]).unwrap();
    let prunes: Vec<&Step> = ladder.steps.iter().filter(|step| step.stage.starts_with("prune")).take(4).collect();
    let whole = ladder.config.output.join("small_320x192/run");
    let cut = |rung: &str, round: usize| ladder.config.output.join(format!("small_320x192_time_{rung}/round_{round}"));
    let sources = [whole.clone(), cut("64", 1), cut("64", 2), cut("32", 1)];
    let sources = sources.map(|folder| if folder == whole { folder } else { folder.join("distilled") });
    for ((step, source), kept) in prunes.iter().zip(sources).zip(["0.8000", "0.8000", "0.7071", "0.7071"]) {
        let words = words(step);
        assert_eq!((words[0].as_str(), Path::new(&words[1])), ("prune", source.as_path()));
        assert_eq!(words[4..], ["--keep", kept, "--measure", "time", "--epochs", "6"], "{words:?}");
    }
    let last = ladder.steps.iter().find(|step| step.title == "distil small_320x192_time_32, round 2").unwrap();
    let words = words(last);
    assert_eq!((words[0].as_str(), Path::new(&words[1])), ("run", cut("32", 2).join("distil.yaml").as_path()));
    assert!(last.inputs.contains(&bundle_path(&whole)), "{:?}", last.inputs);
    // What another gate writes anew is no reason to cut anew.
    assert_eq!(prunes[1].inputs, [cut("64", 1).join("distilled/train/best.bpk")]);
    let macs = plan(("{time: 0.64}, {time: 0.32}", "{macs: 0.25}"), &[]).unwrap();
    let step = macs.steps.iter().find(|step| step.title == "prune small_320x192_macs_25, round 1").unwrap();
    assert_eq!(self::words(step)[4..8], ["--keep", "0.5000", "--measure", "macs"]);
}

#[test]
fn trainings_take_the_settings_and_share_their_targets() {
    let ladder = plan(("", ""), &["train.batch=2"]).unwrap();
    let Experiment { seed, train, student, targets_folder, .. } = &ladder.experiment;
    assert_eq!((*seed, train.batch, train.epochs), (7, 2, 24));
    assert_eq!((student.size, student.width, student.height), (Size::Small, 320, 192));
    assert_eq!(targets_folder.as_deref(), Some(ladder.config.output.join("targets").as_path()));
    let last = ladder.steps.iter().rfind(|step| step.stage == "train").unwrap();
    let words = words(last);
    for word in ["student.size=\"micro\"", "student.width=256", "student.height=160", "seed=7", "--resume"] {
        assert!(words.iter().any(|known| known == word), "{word}: {words:?}");
    }
    assert!(last.inputs.iter().any(|path| path.ends_with("bag")), "{:?}", last.inputs);
    let long = plan(("seed: 7", "seed: 7\nepochs: 8"), &[]).unwrap();
    assert_eq!(long.experiment.train.epochs, 8);
    let tried = plan(("seed: 7", "seed: 7\nepochs: 8"), &["train.epochs=1"]).unwrap();
    assert_eq!(tried.experiment.train.epochs, 1, "the command line wins");
    let prune = long.steps.iter().find(|step| step.stage == "prune 1").unwrap();
    assert!(self::words(prune).ends_with(&["--epochs".to_owned(), "5".to_owned()]));
}

#[test]
fn weights_are_those_of_every_quantisation() {
    let weights = |change| -> Vec<bool> {
        let ladder = plan(change, &[]).unwrap();
        let quantizations = ladder.steps.iter().map(words).filter(|words| words[0] == "quantize");
        quantizations.map(|words| words.windows(2).any(|pair| pair == ["--weights", "unsigned"])).collect()
    };
    assert_eq!(weights(("seed: 7", "seed: 7\nweights: unsigned")), [true; 24]);
    assert_eq!(weights(("", "")), [false; 24]);
}

#[test]
fn what_was_cut_passes_the_same_gate() {
    let budgets = |set: &[&str]| -> Vec<String> {
        let ladder = plan(("", ""), set).unwrap();
        let recoveries = ladder.steps.iter().filter(|step| step.stage.starts_with("distil "));
        let budget = |step: &Step| {
            let folder = step.output.parent().unwrap();
            assert_eq!(step.verdict.as_deref(), Some(folder.join("gate.json").as_path()));
            words(step).last().cloned().unwrap_or_default()
        };
        recoveries.map(budget).collect()
    };
    assert_eq!(budgets(&[]), ["gate.budget=1"; 16]);
    assert_eq!(budgets(&["gate.budget=2.5"]), ["gate.budget=2.5"; 16]);
}

#[test]
fn float16_is_a_precision_and_the_criterion_a_choice() {
    let ladder = plan(("[int8, int8_aware]", "[fp32, fp16]\nweights: unsigned"), &["ladder.by=batch_norm"]).unwrap();
    let names: Vec<&str> = ladder.points.iter().take(3).map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["small_320x192", "small_320x192_fp16", "small_320x192_time_64"]);
    let half = &ladder.points[1];
    assert_eq!((half.from, half.offered, half.change.as_str()), (Some(0), true, "float16"));
    assert!(half.bundle.ends_with("small_320x192/fp16.onnx"), "{}", half.bundle.display());
    let half = words(&ladder.steps[half.step]);
    assert!(half.ends_with(&["--fp16".to_owned()]), "{half:?}");
    assert!(!half.contains(&"--weights".to_owned()), "float16 has no weights of eight bits: {half:?}");
    let by = |ladder: &Ladder| -> Vec<bool> {
        let prunes = ladder.steps.iter().map(words).filter(|words| words[0] == "prune");
        prunes.map(|words| words.windows(2).any(|pair| pair == ["--by", "batch_norm"])).collect()
    };
    assert_eq!(by(&ladder), [true; 16]);
    assert_eq!(by(&plan(("", ""), &[]).unwrap()), [false; 16]);
}

#[test]
fn the_command_line_changes_the_ladder_too() {
    let long = ("seed: 7", "seed: 7\nepochs: 40\nrecovery_epochs: 10\naware_epochs: 12");
    let set = ["epochs=1", "recovery_epochs=2", "aware_epochs=3", "ladder.sizes=[micro]", "seed=8", "train.batch=2"];
    let tried = plan(long, &set).unwrap();
    assert_eq!((tried.experiment.train.epochs, tried.experiment.train.batch, tried.experiment.seed), (1, 2, 8));
    assert_eq!(tried.set, ["train.batch=2"], "the rest is the experiment's");
    assert!(tried.points.iter().all(|point| point.name.starts_with("micro_")));
    let last_word = |start: &str| {
        let step = tried.steps.iter().find(|step| step.stage.starts_with(start)).unwrap();
        words(step).last().cloned().unwrap_or_default()
    };
    assert_eq!([last_word("prune"), last_word("int8_aware")], ["2", "3"]);
    let told = |set: &str| plan(("", ""), &[set]).unwrap_err().to_string();
    for (set, words) in [
        ("epochs=0", &["epochs", "at least 1"][..]),
        ("aware_epochs", &["--set aware_epochs", "key=value"]),
        ("ladder.size=[micro]", &["--set", "ladder.size", "did you mean `ladder.sizes`"]),
        ("constraints.retention=97", &["constraints.retention", "0.97"]),
    ] {
        let error = told(set);
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    }
}

#[test]
fn wrong_rungs_are_named_before_anything_runs() {
    let told = |change, set: &[&str]| plan(change, set).unwrap_err().to_string();
    let error = told(("[256, 160]", "[250, 160]"), &[]);
    assert!(error.contains("rung `small_250x160`") && error.contains("student"), "{error}");
    let error = told(("train.batch", "train.bath"), &[]);
    assert!(error.contains("train.batch"), "{error}");
    let error = told(("", ""), &["output=elsewhere"]);
    assert!(error.contains("--set") && error.contains("own folder"), "{error}");
}
