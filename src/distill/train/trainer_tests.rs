//! The promises of the training loop, kept on a tiny student and painted frames.

use super::*;
use crate::distill::{
    config::TrainConfig,
    loss::TargetBox,
    train::{
        average,
        dataset::{NetworkInput, tests::painted_frames, tests::painted_image},
        events::tests::{Event, read_folder},
    },
};

fn experiment(epochs: usize) -> Experiment {
    let text = "{name: tiny, classes: [a], output: out, targets: truth, data: [{path: x, truth: {topic: /t}}], \
                student: {size: micro, width: 96, height: 64}, augment: {mosaic: 0.3, mosaic_off_epochs: 1}}";
    let mut experiment: Experiment = serde_yaml::from_str(text).unwrap();
    experiment.train =
        TrainConfig { epochs, batch: 4, warmup_steps: 2, workers: 2, ema: 0.9, ..TrainConfig::default() };
    experiment
}

fn validation(count: usize) -> ValidationSet {
    let spec = experiment(1).student_config().input_spec();
    let mut set = ValidationSet::new(1 << 20);
    for index in 0..count {
        let (image, bbox) = painted_image(index * 7 + 3);
        let target = TargetBox { bbox, probabilities: vec![0.9], weight: 1.0 };
        set.push(NetworkInput::new(&image, &spec), vec![target]).unwrap();
    }
    set
}

/// Stops after a number of steps, and keeps the epochs' records.
#[derive(Default)]
struct Watcher {
    stop_after: Option<usize>,
    records: Vec<EpochRecord>,
}

impl Observer for Watcher {
    fn on_step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if self.stop_after == Some(report.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_epoch(&mut self, record: &EpochRecord) {
        let timeless = EpochRecord { seconds: 0.0, images_per_second: 0.0, wait_share: 0.0, ..record.clone() };
        self.records.push(timeless);
    }
}

fn run(experiment: &Experiment, folder: &Path, resume: bool, watcher: &mut Watcher) -> Result<TrainReport, TrainError> {
    let (train_set, validation_set) = (painted_frames(10), validation(3));
    let job = TrainJob { experiment, folder, resume, train: &train_set, validation: &validation_set };
    train(&job, watcher)
}

#[test]
fn resumed_training_ends_where_uninterrupted_training_does() {
    let experiment = experiment(4);
    let folder = tempfile::tempdir().unwrap();
    let mut straight = Watcher::default();
    let whole = run(&experiment, &folder.path().join("straight"), false, &mut straight).unwrap();
    assert_eq!(straight.records.len(), 4);
    assert!(!whole.interrupted);

    // Two batches an epoch: one stop between epochs, one in the middle of the third, and another number of workers.
    for (name, stop) in [("between", 4), ("within", 5)] {
        let path = folder.path().join(name);
        let mut first = Watcher { stop_after: Some(stop), ..Watcher::default() };
        assert!(run(&experiment, &path, false, &mut first).unwrap().interrupted);
        let mut other_workers = experiment.clone();
        other_workers.train.workers = 1;
        let mut second = Watcher::default();
        let resumed = run(&other_workers, &path, true, &mut second).unwrap();
        assert!(average::read(&resumed.student) == average::read(&whole.student), "{name}: other weights");
        assert_eq!(resumed.best, whole.best, "{name}");
        let records: Vec<EpochRecord> = first.records.into_iter().chain(second.records).collect();
        assert_eq!(records, straight.records, "{name}");
        let lines = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap().lines().count();
        assert_eq!(lines, 4, "{name}");
    }
}

#[test]
fn a_checkpoint_of_other_settings_is_refused_by_name() {
    let mut experiment = experiment(2);
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher { stop_after: Some(2), ..Watcher::default() };
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    experiment.train.learning_rate = 0.5;
    let error = run(&experiment, folder.path(), true, &mut Watcher::default()).unwrap_err().to_string();
    assert!(error.contains("train.learning_rate (0.002 -> 0.5)"), "{error}");
}

#[test]
fn curves_may_be_wished_for_later_and_go_on_from_the_checkpoint() {
    let mut experiment = experiment(4);
    let folder = tempfile::tempdir().unwrap();
    // Two batches an epoch.
    let mut watcher = Watcher { stop_after: Some(3), ..Watcher::default() };
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    let events = folder.path().join("events");
    assert!(!events.exists());
    experiment.train.tensorboard = true;
    let mut watcher = Watcher { stop_after: Some(5), ..Watcher::default() };
    run(&experiment, folder.path(), true, &mut watcher).unwrap();
    run(&experiment, folder.path(), true, &mut Watcher::default()).unwrap();
    let files = read_folder(&events);
    let starts =
        |file: &Vec<Event>| file.iter().filter(|event| event.start).map(|event| event.step).collect::<Vec<u64>>();
    assert_eq!(files.iter().map(starts).collect::<Vec<_>>(), [[4], [6]]);
    let steps = |tag: &str| -> Vec<u64> {
        let tells = |event: &&Event| event.scalars.iter().any(|(told, _)| told == tag);
        files.iter().flatten().filter(tells).map(|event| event.step).collect()
    };
    for tag in ["loss", "loss/class", "loss/giou", "optimizer/gradient_norm", "optimizer/learning_rate"] {
        assert_eq!(steps(tag), [4, 5, 6, 7, 8], "{tag}");
    }
    for tag in ["validation/AP", "validation/AP50", "speed/images_per_second", "speed/wait_share"] {
        assert_eq!(steps(tag), [4, 6, 8], "{tag}");
    }
}

#[test]
fn what_is_not_a_number_stops_with_the_batch_named() {
    let mut experiment = experiment(3);
    experiment.train.learning_rate = 1e30;
    experiment.train.clip = 0.0;
    let folder = tempfile::tempdir().unwrap();
    let (frames, none) = (painted_frames(4), ValidationSet::new(0));
    let job =
        TrainJob { experiment: &experiment, folder: folder.path(), resume: false, train: &frames, validation: &none };
    let error = train(&job, &mut Watcher::default()).unwrap_err();
    assert!(error.is_work_failure());
    let text = error.to_string();
    assert!(text.contains("epoch") && text.contains("step") && text.contains("frame 2"), "{text}");
}

#[test]
fn without_boxes_there_is_nothing_to_learn() {
    let experiment = experiment(1);
    let folder = tempfile::tempdir().unwrap();
    let (frames, none) = (FrameSet::new(0), ValidationSet::new(0));
    let job =
        TrainJob { experiment: &experiment, folder: folder.path(), resume: false, train: &frames, validation: &none };
    let error = train(&job, &mut Watcher::default()).unwrap_err();
    assert!(matches!(error, TrainError::NothingToLearn(_)) && !error.is_work_failure());
}

#[test]
fn training_lowers_the_loss() {
    let mut experiment = experiment(15);
    experiment.augment = crate::distill::config::AugmentConfig::none();
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    let (first, last) = (&watcher.records[0], &watcher.records[14]);
    assert!(last.loss < first.loss, "loss {} -> {}", first.loss, last.loss);
    let (first, last) = (first.terms["giou"], last.terms["giou"]);
    assert!(last < 0.9 * first, "giou {first} -> {last}");
}

/// The experiment with a teacher of the package, whose persons are what is painted, and one term.
fn with_term(term: &str) -> Experiment {
    let mut experiment = experiment(2);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/warehouse_base.onnx");
    experiment.teachers =
        serde_yaml::from_str(&format!("[{{name: base, model: {model}, class_map: {{person: a}}}}]")).unwrap();
    experiment.distillation.terms = serde_yaml::from_str(&format!("[{term}]")).unwrap();
    assert_eq!(experiment.distillation.terms[0].complaint(&["base".into()]), None, "{term}");
    experiment
}

#[test]
fn every_kind_of_term_resumes_where_it_was() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        println!("skipped: ORT_DYLIB_PATH does not name ONNX Runtime's library");
        return;
    }
    let (stage, neck) = ("{tensor: tensor_76, student: stage_16}", "{tensor: tensor_89, student: neck_16}");
    let kinds = [
        format!("{{kind: hint, pairs: [{stage}, {neck}]}}"),
        format!("{{kind: attention, weight: 100, pairs: [{stage}]}}"),
        format!("{{kind: channel_wise, temperature: 2, pairs: [{stage}]}}"),
        format!("{{kind: focal, pairs: [{neck}]}}"),
        "{kind: patient, strategy: skip}".to_owned(),
        "{kind: patient, strategy: last}".to_owned(),
        format!("{{kind: cosine, pairs: [{stage}], schedule: {{start: 0.2, ramp: 0.5}}}}"),
        format!("{{kind: flow, pairs: [{{tensor: tensor_69, student: stage_8}}, {stage}]}}"),
        format!("{{kind: similarity, weight: 10, pairs: [{stage}]}}"),
        format!("{{kind: relation_distance, relating: boxes, pairs: [{neck}]}}"),
        format!("{{kind: relation_angle, relating: boxes, pairs: [{neck}]}}"),
        "{kind: localization, pairs: [{tensor: box_distribution_16, student: box_distribution_16}]}".to_owned(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Watcher::default();
    let without = run(&experiment(2), &folder.path().join("without"), false, &mut plain).unwrap();
    for (number, kind) in kinds.iter().enumerate() {
        let experiment = with_term(kind);
        let path = folder.path().join(number.to_string());
        let mut straight = Watcher::default();
        let whole = run(&experiment, &path.join("straight"), false, &mut straight).unwrap();
        let name = experiment.distillation.terms[0].display_name();
        let value = straight.records[1].terms[&name];
        assert!(value.is_finite() && value > 0.0, "{kind}: {value}");
        assert!(average::read(&whole.student) != average::read(&without.student), "{kind} changes nothing");

        // Stopped within the second epoch, and gone on with another number of workers.
        let mut first = Watcher { stop_after: Some(3), ..Watcher::default() };
        assert!(run(&experiment, &path.join("resumed"), false, &mut first).unwrap().interrupted);
        let mut other_workers = experiment.clone();
        other_workers.train.workers = 1;
        let mut second = Watcher::default();
        let resumed = run(&other_workers, &path.join("resumed"), true, &mut second).unwrap();
        assert!(average::read(&resumed.student) == average::read(&whole.student), "{kind}: other weights");
        let records: Vec<EpochRecord> = first.records.into_iter().chain(second.records).collect();
        assert_eq!(records, straight.records, "{kind}");
    }
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_with_the_mend() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        println!("skipped: ORT_DYLIB_PATH does not name ONNX Runtime's library");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fail = |experiment: &Experiment| {
        run(experiment, folder.path(), false, &mut Watcher::default()).unwrap_err().to_string()
    };
    // Three classes against one.
    let error = fail(&with_term("{kind: logits, pairs: [{tensor: class_logits_16, student: class_logits_16}]}"));
    assert!(error.contains("`logits`") && error.contains("3 channels") && error.contains("use `hint`"), "{error}");
    let error = fail(&with_term("{kind: hint, pairs: [{tensor: tensor_760, student: stage_16}]}"));
    assert!(error.contains("tensor_760") && error.contains("tensor_76"), "{error}");
}

#[test]
fn unlabelled_frames_teach_what_the_average_finds() {
    let mut experiment = experiment(4);
    experiment.distillation.self_training.start = 0.5;
    experiment.distillation.self_training.score = 0.0;
    let spec = experiment.student_config().input_spec();
    let mut frames = painted_frames(8);
    for index in 0..8 {
        let boxes = crate::distill::train::FrameBoxes { labelled: false, ..Vec::new().into() };
        let picture = crate::distill::train::shrink(painted_image(index).0, &spec).unwrap();
        frames.push(format!("unlabelled {index}"), picture, boxes).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let train_on = |start: f64, name: &str| {
        let mut experiment = experiment.clone();
        experiment.distillation.self_training.start = start;
        let none = ValidationSet::new(0);
        let folder = folder.path().join(name);
        let job =
            TrainJob { experiment: &experiment, folder: &folder, resume: false, train: &frames, validation: &none };
        let mut watcher = Watcher::default();
        let report = train(&job, &mut watcher).unwrap();
        (average::read(&report.student), watcher.records)
    };
    let (early, records) = train_on(0.5, "early");
    let (never, _) = train_on(1.0, "never");
    assert!(early != never, "the average's boxes change nothing");
    assert!(records.iter().all(|record| record.loss.is_finite()));
}

#[test]
fn truth_is_mixed_in_and_two_stages_follow_each_other() {
    let mut experiment = experiment(2);
    experiment.losses.truth = 0.5;
    experiment.losses.schedule.start = 0.5;
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    // In the first stage there is nothing to learn here; in the second all terms count.
    assert!(watcher.records[0].terms.is_empty() && watcher.records[0].loss == 0.0, "{:?}", watcher.records[0]);
    let terms: Vec<&str> = watcher.records[1].terms.keys().map(String::as_str).collect();
    assert_eq!(terms, ["class", "distribution", "giou", "truth_class", "truth_distribution", "truth_giou"]);
}
