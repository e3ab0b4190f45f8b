//! The promises of the training loop, kept on a tiny student and painted frames.

use burn::tensor::{Tensor, TensorData};

use super::*;
use crate::distill::{
    config::{AugmentConfig, RetainConfig, TrainConfig},
    loss::TargetBox,
    train::{
        average, checkpoint_path,
        dataset::{NetworkInput, tests::painted_frames, tests::painted_frames_of, tests::painted_image},
        events::tests::{Event, read_folder},
        watcher::{Ending, Watcher, assert_resumable},
        weights_path,
    },
};

pub(super) fn experiment(epochs: usize) -> Experiment {
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

pub(super) fn run(
    experiment: &Experiment,
    folder: &Path,
    resume: bool,
    watcher: &mut Watcher,
) -> Result<TrainReport, TrainError> {
    let (train_set, validation_set) = (painted_frames(10), validation(3));
    let job = TrainJob { experiment, folder, resume, train: &train_set, validation: &validation_set };
    train(&job, watcher)
}

#[test]
fn training_resumed_with_another_number_of_workers_ends_where_uninterrupted_training_does() {
    // Two batches an epoch: one stop is between epochs, one in the middle of the third.
    assert_resumable(&[4, 5], |folder, resume, watcher| {
        let mut experiment = experiment(4);
        if resume {
            experiment.train.workers = 1;
        }
        let report = run(&experiment, folder, resume, watcher).unwrap();
        Ending { interrupted: report.interrupted, weights: average::read(&report.student), best: report.best }
    });
}

/// The weights and the epochs of a training that so many threads compute.
pub(super) fn trained_by(threads: usize, experiment: &Experiment) -> (Vec<Vec<f32>>, Vec<EpochRecord>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::default();
        let report = run(experiment, folder.path(), false, &mut watcher).unwrap();
        (average::read(&report.student), watcher.records)
    })
}

#[test]
fn the_same_student_comes_out_of_any_number_of_threads() {
    let mut experiment = experiment(2);
    let one = trained_by(1, &experiment);
    assert!(one == trained_by(2, &experiment) && one == trained_by(3, &experiment));
    experiment.train.shards = 1;
    let whole = trained_by(1, &experiment);
    assert!(whole == trained_by(2, &experiment));
    assert!(whole.0 != one.0, "shards change nothing");
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
fn the_last_step_is_looked_at_as_well() {
    let mut experiment = experiment(1);
    experiment.train.learning_rate = 1e30;
    experiment.train.clip = 0.0;
    // The only batch of the only epoch.
    let frames = painted_frames(4);
    for judged in [0, 3] {
        let folder = tempfile::tempdir().unwrap();
        let validation = validation(judged);
        let (experiment, folder) = (&experiment, folder.path());
        let job = TrainJob { experiment, folder, resume: false, train: &frames, validation: &validation };
        let error = train(&job, &mut Watcher::default()).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 1, .. }), "{judged}: {error}");
        let text = error.to_string();
        assert!(text.contains("a weight became") && text.contains("frame 2"), "{text}");
        assert!(!weights_path(folder).exists() && !checkpoint_path(folder).exists(), "{judged}");
    }
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
    experiment.augment = AugmentConfig::none();
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    let (first, last) = (&watcher.records[0], &watcher.records[14]);
    assert!(last.loss < first.loss, "loss {} -> {}", first.loss, last.loss);
    let (first, last) = (first.terms["giou"], last.terms["giou"]);
    assert!(last < 0.9 * first, "giou {first} -> {last}");
}

/// All class logits of a class that a student says of painted images, as on the robot.
fn logits(student: &CameraStudent, class: usize) -> Vec<f32> {
    let spec = experiment(1).student_config().input_spec();
    let images = (0..6).flat_map(|index| NetworkInput::new(&painted_image(index).0, &spec).values().to_vec());
    let images = TensorData::new(images.collect::<Vec<f32>>(), [6, 3, 64, 96]);
    let maps = student.forward(Tensor::from_data(images, &Device::flex())).class_logits;
    maps.into_iter().flat_map(|map| map.narrow(1, class, 1).try_into_vec_as::<f32>().unwrap()).collect()
}

#[test]
fn what_is_retained_stays_while_something_else_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    let mut first = experiment(20);
    first.augment = AugmentConfig::none();
    let trained = run(&first, &old.join("train"), false, &mut Watcher::default()).unwrap();
    let before = logits(&trained.student, 0);
    std::fs::write(old.join("config.yaml"), first.to_yaml().unwrap()).unwrap();

    // What was an `a` is called a `b` from now on. Without rehearsal the student unlearns the `a`.
    let (frames, none) = (painted_frames_of(10, &[0.9, 0.0]), ValidationSet::new(0));
    let learn = |weight: f32, resume: bool, watcher: &mut Watcher| {
        let mut second = first.clone();
        second.classes = vec!["b".into(), "a".into()];
        second.distillation.retain = Some(RetainConfig { weight, ..RetainConfig::new(old.clone()) });
        let folder = folder.path().join(format!("new {weight}"));
        train(&TrainJob { experiment: &second, folder: &folder, resume, train: &frames, validation: &none }, watcher)
    };
    let drift = |student: &CameraStudent| {
        let after = logits(student, 1);
        before.iter().zip(&after).map(|(before, after)| (before - after).abs()).sum::<f32>() / before.len() as f32
    };
    let mut watcher = Watcher::default();
    let retained = drift(&learn(100.0, false, &mut watcher).unwrap().student);
    let names: Vec<&str> = watcher.records[0].terms.keys().map(String::as_str).collect();
    assert_eq!(names, ["class", "distribution", "giou", "retain_box", "retain_class"]);
    let mut watcher = Watcher::default();
    let forgotten = drift(&learn(0.0, false, &mut watcher).unwrap().student);
    assert_eq!(watcher.records[0].terms.len(), 3, "without weight nothing is rehearsed");
    assert!(retained < 0.5 * forgotten, "logits moved by {retained} with rehearsal, by {forgotten} without");

    // The checkpoint knows whose behaviour is retained.
    run(&experiment(1), &old.join("train"), false, &mut Watcher::default()).unwrap();
    let error = learn(100.0, true, &mut Watcher::default()).unwrap_err().to_string();
    assert!(error.contains("retained"), "{error}");
}
