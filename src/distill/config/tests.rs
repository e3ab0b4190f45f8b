use super::*;
use crate::distill::compress::quantize::WeightRange;

const SMALL: &str = "
name: small
classes: [person]
output: ../out
data:
  - path: ${BAGS:-bags}/monday
    truth: {coco: labels.json}
targets: truth
train: {epochs: 3}
";

fn read(text: &str, overrides: &[&str]) -> Result<Experiment, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Experiment::from_yaml(text, Path::new("/x/e.yaml"), PathBuf::from("/x"), &overrides, &|_| None)
}

#[test]
fn defaults_are_filled_in_and_paths_resolved() {
    let experiment = read(SMALL, &[]).unwrap();
    assert_eq!(experiment.output, Path::new("/out"));
    assert_eq!(experiment.targets_folder, None);
    let shared = read(SMALL, &["targets_folder=../shared"]).unwrap();
    assert_eq!(shared.targets_folder.as_deref(), Some(Path::new("/shared")));
    assert_eq!(experiment.data[0].path, Path::new("/x/bags/monday"));
    assert_eq!(experiment.data[0].truth.as_ref().unwrap().coco.as_deref(), Some(Path::new("/x/labels.json")));
    assert_eq!(experiment.train.epochs, 3);
    assert_eq!(experiment.train.batch, TrainConfig::default().batch);
    assert_eq!(experiment.split, SplitConfig::default());
}

#[test]
fn resolved_form_reads_back_as_itself() {
    let experiment = read(SMALL, &[]).unwrap();
    let again = read(&experiment.to_yaml().unwrap(), &[]).unwrap();
    assert_eq!(again, Experiment { written: again.written.clone(), ..experiment });
}

#[test]
fn paths_that_start_from_a_folder_mean_the_same_there() {
    let changes = ["distillation.retain={run: ../runs/old}", "student.inherit=other", "targets_folder=targets"];
    let experiment = read(SMALL, &changes).unwrap();
    let moved = experiment.relative_to(Path::new("/x"));
    assert_eq!((moved.output.to_str(), moved.data[0].path.to_str()), (Some("../out"), Some("bags/monday")));
    let again = read(&moved.to_yaml().unwrap(), &[]).unwrap();
    assert_eq!(again, Experiment { written: again.written.clone(), ..experiment });
    assert!(!again.written.contains("/x"), "{}", again.written);
}

#[test]
fn overrides_win_and_are_checked() {
    let experiment = read(SMALL, &["train.epochs=7", "augment.color.hue=3"]).unwrap();
    assert_eq!(experiment.train.epochs, 7);
    assert_eq!(experiment.augment.color.hue, 3.0);
    let error = read(SMALL, &["train.epohcs=7"]).unwrap_err().to_string();
    assert!(error.contains("train.epohcs") && error.contains("did you mean `train.epochs`"), "{error}");
}

#[test]
fn unknown_keys_are_named_with_their_place_and_the_nearest_right_one() {
    let error = read(&SMALL.replace("epochs", "epoch"), &[]).unwrap_err().to_string();
    assert!(error.contains("/x/e.yaml"), "{error}");
    assert!(error.contains("unknown key `train.epoch`"), "{error}");
    assert!(error.contains("did you mean `train.epochs`"), "{error}");
    assert!(error.contains("line 9"), "{error}");
    let error = read(&SMALL.replace("classes", "clases"), &[]).unwrap_err().to_string();
    assert!(error.contains("unknown key `clases`") && error.contains("did you mean `classes`"), "{error}");
    let error = read(&SMALL.replace("coco:", "kitti:"), &[]).unwrap_err().to_string();
    assert!(error.contains("data[0].truth.kitti") && error.contains("topic, coco"), "{error}");
}

#[test]
fn a_run_to_retain_has_defaults_and_its_path_is_resolved() {
    let experiment = read(SMALL, &["distillation.retain={run: ../runs/old}"]).unwrap();
    let expected = RetainConfig::new(PathBuf::from("/runs/old"));
    assert_eq!(experiment.distillation.retain, Some(expected));
    assert!(!experiment.distillation.needs_teachers());
    assert_eq!(read(SMALL, &[]).unwrap().distillation.retain, None);
    // A student that starts from another run may still be kept near this one.
    let both = read(SMALL, &["distillation.retain={run: old}", "student.inherit=other"]).unwrap();
    assert_eq!(both.student.inherit.as_deref(), Some(Path::new("/x/other")));
    let error = read(SMALL, &["distillation.retain={weight: 2}"]).unwrap_err().to_string();
    assert!(error.contains("run"), "{error}");
}

#[test]
fn a_gate_names_a_run_and_is_written_only_where_it_is_given() {
    assert!(!read(SMALL, &[]).unwrap().to_yaml().unwrap().contains("\ngate:"));
    let gated = read(SMALL, &["gate={against: ../runs/old}"]).unwrap();
    let expected = GateConfig { against: Some(PathBuf::from("/runs/old")), budget: 1.0, force: false };
    assert_eq!(gated.gate, Some(expected));
    let moved = gated.relative_to(Path::new("/x")).to_yaml().unwrap();
    assert!(moved.contains("against: ../runs/old"), "{moved}");
    // Without a name it is the run that goes on teaching.
    let retained = read(SMALL, &["distillation.retain={run: old}", "gate.force=true"]).unwrap();
    assert!(retained.gate.is_some_and(|gate| gate.force && gate.against.is_none()));
}

#[test]
fn channels_are_written_only_where_they_are_given() {
    let usual = read(SMALL, &[]).unwrap();
    assert!(!usual.to_yaml().unwrap().contains("channels"));
    let channels = "student.channels={stem: 12, stages: [20, 33, 50, 70], neck: 27, class_towers: [24, 30, 32], box_towers: [8, 9, 10]}";
    let cut = read(SMALL, &[channels]).unwrap();
    assert_eq!(cut.student_config().group_channels().stages, [20, 33, 50, 70]);
    assert_eq!(read(&cut.to_yaml().unwrap(), &[]).unwrap().student, cut.student);
    let error = read(SMALL, &["student.channels={stem: 12}"]).unwrap_err().to_string();
    assert!(error.contains("stages"), "{error}");
}

#[test]
fn training_as_int8_computes_starts_from_a_finished_student() {
    let aware = read(SMALL, &["train.quantize_aware=true", "student.inherit=old"]).unwrap();
    assert!(aware.train.quantize_aware && aware.to_yaml().unwrap().contains("quantize_aware: true"));
    // Where it is not wanted nothing of it is written, and finished stages stay finished.
    assert!(!read(SMALL, &[]).unwrap().to_yaml().unwrap().contains("quantize_aware"));
    let unsigned = ["train.quantize_aware=true", "train.quantize_weights=unsigned", "student.inherit=old"];
    let weights = read(SMALL, &unsigned).unwrap();
    assert_eq!(
        (aware.train.quantize_weights, weights.train.quantize_weights),
        (WeightRange::Clear, WeightRange::Unsigned)
    );
    assert!(weights.to_yaml().unwrap().contains("quantize_weights: unsigned"));
    assert!(!aware.to_yaml().unwrap().contains("quantize_weights"));
    let error = read(SMALL, &["train.quantize_weights=full"]).unwrap_err().to_string();
    assert!(error.contains("train.quantize_weights") && error.contains("set `train.quantize_aware`"), "{error}");
    let error = read(SMALL, &["train.quantize_aware=true"]).unwrap_err().to_string();
    assert!(error.contains("train.quantize_aware") && error.contains("student.inherit"), "{error}");
    let generations = ["train.quantize_aware=true", "student.inherit=old", "distillation.generations={count: 1}"];
    let error = read(SMALL, &generations).unwrap_err().to_string();
    assert!(error.contains("train.quantize_aware") && error.contains("generations"), "{error}");
}

#[test]
fn senseless_values_are_refused_by_name() {
    for (change, key) in [
        ("train.batch=0", "train.batch"),
        ("train.shards=0", "train.shards"),
        ("train.learning_rate=-1", "train.learning_rate"),
        ("student.width=300", "student.width"),
        (
            "student.channels={stem: 0, stages: [1, 1, 1, 1], neck: 1, class_towers: [1, 1, 1], box_towers: [1, 1, 1]}",
            "student.channels",
        ),
        ("split.test=1.5", "split.test"),
        ("augment.scale=[2, 1]", "augment.scale"),
        ("name=a/b", "name"),
        ("data=[]", "data"),
        ("targets=teachers", "teachers"),
        ("data.0.truth={}", "data.0.truth"),
        ("train.epochs=many", "train.epochs"),
        ("distillation.retain={run: ../out}", "distillation.retain.run"),
        ("distillation.retain={run: old, weight: -1}", "distillation.retain.weight"),
        ("distillation.retain={run: old, temperature: 0}", "distillation.retain.temperature"),
        ("distillation.retain={run: old, schedule: {start: 0.9, end: 0.1}}", "distillation.retain.schedule"),
        ("gate={budget: 2}", "gate.against"),
        ("gate={against: ../out}", "gate.against"),
        ("gate={against: old, budget: -1}", "gate.budget"),
    ] {
        let error = read(SMALL, &[change]).unwrap_err().to_string();
        assert!(error.contains(key), "{change}: {error}");
    }
}
