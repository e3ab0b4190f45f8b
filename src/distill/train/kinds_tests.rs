//! What every kind of distillation promises the training loop, kept on a tiny student and painted frames.

use super::{
    tests::{experiment, run},
    *,
};
use crate::{
    distill::train::{
        FrameBoxes, average,
        dataset::tests::{painted_frames, painted_frames_of, painted_image},
        shrink,
        watcher::Watcher,
    },
    model::has_runtime,
};

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
    if !has_runtime() {
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
fn responses_of_a_teacher_of_the_same_head_resume_where_they_were() {
    if !has_runtime() {
        return;
    }
    let pairs =
        |name: &str| format!("[{{tensor: {name}_16, student: {name}_16}}, {{tensor: {name}_32, student: {name}_32}}]");
    let (logits, boxes) = (pairs("class_logits"), pairs("box_distribution"));
    let mut experiment =
        with_term(&format!("{{kind: logits, pairs: {logits}}}, {{kind: localization, pairs: {boxes}}}"));
    // As the teacher is: its classes, its input.
    experiment.classes = ["person", "forklift", "pallet"].map(String::from).to_vec();
    experiment.teachers[0].class_map.clear();
    (experiment.student.width, experiment.student.height) = (320, 192);
    let frames = painted_frames_of(8, &[0.9, 0.0, 0.0]);
    let none = ValidationSet::new(0);
    let folder = tempfile::tempdir().unwrap();
    let learn = |name: &str, resume: bool, watcher: &mut Watcher| {
        let folder = folder.path().join(name);
        let job = TrainJob { experiment: &experiment, folder: &folder, resume, train: &frames, validation: &none };
        train(&job, watcher).unwrap()
    };
    let mut straight = Watcher::default();
    let whole = learn("straight", false, &mut straight);
    let terms = &straight.records[1].terms;
    assert!(terms["logits"] > 0.0 && terms["localization"] > 0.0, "{terms:?}");
    let mut first = Watcher { stop_after: Some(3), ..Watcher::default() };
    assert!(learn("resumed", false, &mut first).interrupted);
    let resumed = learn("resumed", true, &mut Watcher::default());
    assert!(average::read(&resumed.student) == average::read(&whole.student), "other weights");
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_with_the_mend() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fail = |experiment: &Experiment| {
        run(experiment, folder.path(), false, &mut Watcher::default()).unwrap_err().to_string()
    };
    // Three classes against one.
    let error = fail(&with_term("{kind: logits, pairs: [{tensor: class_logits_16, student: class_logits_16}]}"));
    assert!(error.contains("`logits`") && error.contains("forklift") && error.contains("use `hint`"), "{error}");
    // An input of 96 x 64 is not one of 320 x 192.
    let pair = "{tensor: box_distribution_16, student: box_distribution_16}";
    let error = fail(&with_term(&format!("{{kind: localization, pairs: [{pair}]}}")));
    assert!(error.contains("18 x 12 cells") && error.contains("input size"), "{error}");
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
        let boxes = FrameBoxes { labelled: false, ..Vec::new().into() };
        let picture = shrink(painted_image(index).0, &spec).unwrap();
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
