//! What every kind of distillation promises the training loop, kept on a tiny student and painted frames.

use super::{
    tests::{experiment, run, trained_by},
    tutor_tests::with_drawn_teachers,
    *,
};
use crate::{
    distill::{
        config::{AugmentConfig, Relabel, RetainConfig},
        loss::LabelKind,
        student::Size,
        teacher::TeacherConfig,
        train::{
            average,
            dataset::tests::{frames_beside_truth, half_labelled_frames, painted_frames, painted_frames_of},
            watcher::{Ending, Watcher, assert_resumable},
        },
    },
    model::has_runtime,
};

/// The package's teachers of the warehouse.
const BASE: &str = "warehouse_base.onnx";
const SMALL: &str = "warehouse_small.onnx";

/// The experiment with teachers of the package, each with its name here, whose persons are what is painted, and terms.
fn with_teachers(teachers: &[(&str, &str)], terms: &str) -> Experiment {
    let mut experiment = experiment(2);
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for (name, model) in teachers {
        experiment.teachers.push(TeacherConfig {
            name: Some((*name).to_owned()),
            class_map: [("person".to_owned(), "a".to_owned())].into(),
            ..TeacherConfig::new(models.join(model))
        });
    }
    experiment.distillation.terms = serde_yaml::from_str(&format!("[{terms}]")).unwrap();
    let names: Vec<String> = experiment.teachers.iter().map(TeacherConfig::display_name).collect();
    for term in &experiment.distillation.terms {
        assert_eq!(term.complaint(&names), None, "{terms}");
    }
    experiment
}

/// The experiment with one teacher and one term.
fn with_term(term: &str) -> Experiment {
    with_teachers(&[("base", BASE)], term)
}

/// Trains without validation, so that the last weights are taken, whatever the frames are.
fn learn(
    experiment: &Experiment,
    frames: &FrameSet,
    folder: &Path,
    resume: bool,
    watcher: &mut Watcher,
) -> TrainReport {
    let none = ValidationSet::new(0);
    train(&TrainJob { experiment, folder, resume, train: frames, validation: &none }, watcher).unwrap()
}

/// The weights and the epochs of a training.
fn trained(experiment: &Experiment, frames: &FrameSet) -> (Vec<Vec<f32>>, Vec<EpochRecord>) {
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    let report = learn(experiment, frames, folder.path(), false, &mut watcher);
    (average::read(&report.student), watcher.records)
}

/// [`trained`], once it is known that the same comes out of a training that was stopped within its second epoch and went on with
/// another number of workers.
fn resumes(experiment: &Experiment, frames: &FrameSet) -> (Vec<Vec<f32>>, Vec<EpochRecord>) {
    let within_the_second = frames.len() / experiment.train.batch + 1;
    let (ending, records) = assert_resumable(&[within_the_second], |folder, resume, watcher| {
        let mut experiment = experiment.clone();
        if resume {
            experiment.train.workers = 1;
        }
        let report = learn(&experiment, frames, folder, resume, watcher);
        Ending { interrupted: report.interrupted, weights: average::read(&report.student), best: report.best }
    });
    (ending.weights, records)
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
    let frames = painted_frames(10);
    let (without, _) = trained(&experiment(2), &frames);
    for kind in &kinds {
        // Shown when it fails.
        println!("{kind}");
        let experiment = with_term(kind);
        let (weights, records) = resumes(&experiment, &frames);
        let name = experiment.distillation.terms[0].display_name();
        let value = records[1].terms[&name];
        assert!(value.is_finite() && value > 0.0, "{kind}: {value}");
        assert!(weights != without, "{kind} changes nothing");
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
    let (_, records) = resumes(&experiment, &painted_frames_of(8, &[0.9, 0.0, 0.0]));
    let terms = &records[1].terms;
    assert!(terms["logits"] > 0.0 && terms["localization"] > 0.0, "{terms:?}");
}

#[test]
fn teachers_that_label_training_images_anew_resume_where_they_were() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut synthetic = with_drawn_teachers(folder.path());
    synthetic.distillation.relabel = Relabel::Synthetic;
    (synthetic.augment.mosaic, synthetic.augment.mixup, synthetic.augment.mosaic_off_epochs) = (0.5, 0.5, 0);
    let mut hard = with_drawn_teachers(folder.path());
    hard.distillation.relabel = Relabel::Always;
    (hard.losses.labels, hard.losses.hard_threshold) = (LabelKind::Hard, 1e-3);
    let frames = painted_frames(8);
    for experiment in [synthetic, hard] {
        let mut without = experiment.clone();
        without.distillation.relabel = Relabel::Never;
        let (weights, records) = resumes(&experiment, &frames);
        assert!(records.iter().all(|record| record.loss.is_finite()), "{records:?}");
        assert!(weights != trained(&without, &frames).0, "{:?} changes nothing", experiment.distillation.relabel);
    }
}

#[test]
fn each_of_two_teachers_is_looked_into_for_its_own_hint() {
    if !has_runtime() {
        return;
    }
    // One name and as many channels in both, so that nothing but the values tells them apart.
    let hint = |teacher: &str| {
        format!(
            "{{kind: hint, name: of_{teacher}, teacher: {teacher}, pairs: [{{tensor: tensor_73, student: stage_16}}]}}"
        )
    };
    let both = [hint("one"), hint("other")].join(", ");
    let frames = painted_frames(8);
    let (weights, records) = resumes(&with_teachers(&[("one", BASE), ("other", SMALL)], &both), &frames);
    let terms = &records[1].terms;
    assert!(terms["of_one"] > 0.0 && terms["of_other"] > 0.0 && terms["of_one"] != terms["of_other"], "{terms:?}");
    let trained = |teachers: &[(&str, &str)], terms: &str| trained(&with_teachers(teachers, terms), &frames).0;
    assert!(trained(&[("other", SMALL), ("one", BASE)], &both) == weights, "it matters who is named first");
    assert!(trained(&[("one", SMALL), ("other", BASE)], &both) != weights, "it does not matter who is who");
    assert!(trained(&[("one", BASE), ("other", SMALL)], &hint("one")) != weights, "the other one changes nothing");
}

#[test]
fn a_student_taught_from_inside_does_not_depend_on_the_threads() {
    if !has_runtime() {
        return;
    }
    let experiment = with_term("{kind: patient, strategy: last}");
    let one = trained_by(1, &experiment);
    assert!(one.1[1].terms["patient"] > 0.0, "{:?}", one.1);
    assert!(one == trained_by(2, &experiment) && one == trained_by(3, &experiment));
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
    let frames = half_labelled_frames(8);
    let starting = |start: f64| {
        let mut experiment = experiment(4);
        experiment.distillation.self_training.start = start;
        experiment.distillation.self_training.score = 0.0;
        experiment
    };
    // Four batches an epoch: stopped in the second epoch, when the average labels already.
    let (early, records) = resumes(&starting(0.25), &frames);
    assert!(early != trained(&starting(1.0), &frames).0, "the average's boxes change nothing");
    assert!(records.iter().all(|record| record.loss.is_finite()));
}

/// Writes what a finished run of a student of this size leaves behind, with the weights that it began with.
fn write_run(folder: &Path, size: Size) {
    let mut earlier = experiment(1);
    (earlier.student.size, earlier.seed) = (size, 7);
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.yaml"), earlier.to_yaml().unwrap()).unwrap();
    let student = CameraStudent::new(&earlier.student_config(), earlier.seed, &Device::flex()).unwrap();
    student.save(&folder.join("train/best.bpk")).unwrap();
}

#[test]
fn students_of_earlier_runs_resume_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (large, equal) = (folder.path().join("large"), folder.path().join("equal"));
    write_run(&large, Size::Small);
    write_run(&equal, Size::Micro);
    let retain = |run: &Path| Some(RetainConfig { weight: 1.0, temperature: 2.0, ..RetainConfig::new(run.to_owned()) });
    let mut inherited = experiment(2);
    inherited.student.inherit = Some(large.clone());
    let mut retained = experiment(2);
    retained.distillation.retain = retain(&equal);
    let mut both = inherited.clone();
    both.distillation.retain = retain(&large);
    let frames = painted_frames(8);
    let mut endings = vec![trained(&experiment(2), &frames).0];
    for (experiment, rehearses) in [(inherited, false), (retained, true), (both, true)] {
        let (weights, records) = resumes(&experiment, &frames);
        assert_eq!(records[1].terms.contains_key("retain_class"), rehearses, "{:?}", records[1].terms);
        assert!(!endings.contains(&weights), "as without");
        endings.push(weights);
    }
}

#[test]
fn truth_is_mixed_in_and_two_stages_follow_each_other() {
    let mut experiment = experiment(2);
    experiment.losses.truth = 0.5;
    experiment.losses.schedule.start = 0.5;
    let (_, records) = resumes(&experiment, &frames_beside_truth(8));
    // In the first stage there is nothing to learn here; in the second all terms count.
    assert!(records[0].terms.is_empty() && records[0].loss == 0.0, "{:?}", records[0]);
    let terms = &records[1].terms;
    let names: Vec<&str> = terms.keys().map(String::as_str).collect();
    assert_eq!(names, ["class", "distribution", "giou", "truth_class", "truth_distribution", "truth_giou"]);
    assert!(terms["truth_giou"] > 0.0 && terms["truth_giou"] != terms["giou"], "{terms:?}");
}

#[test]
fn truth_draws_the_boxes_away_from_what_the_teachers_say() {
    let frames = frames_beside_truth(8);
    let far_from_truth = |weight: f32| {
        let mut experiment = experiment(20);
        experiment.augment = AugmentConfig::none();
        experiment.losses.truth = weight;
        let (_, records) = trained(&experiment, &frames);
        (records[0].terms["truth_giou"], records[19].terms["truth_giou"])
    };
    let (first, last) = far_from_truth(2.0);
    assert!(first > 0.0 && last < first, "truth_giou {first} -> {last}");
    // Told as well where it hardly teaches.
    let (_, untaught) = far_from_truth(1e-6);
    assert!(last < untaught, "truth_giou {last} with truth, {untaught} without");
}
