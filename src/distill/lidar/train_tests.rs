//! The promises of the lidar training loop, kept on a tiny student and painted sweeps.

use super::*;
use crate::distill::{
    config::TrainConfig,
    lidar::batch::tests::{examples, painted_sweep, spec},
    train::{
        read_weights,
        watcher::{Ending, Watcher, assert_resumable},
        weights_path,
    },
};

/// An experiment with a tiny student.
pub fn experiment(epochs: usize) -> LidarExperiment {
    let text = "{task: lidar, name: tiny, classes: [post], output: out, data: [{path: x, labels: [truth: {points: /t}]}], \
                student: {width: 16, depth: 1}, losses: {balance: 0.75}}";
    let mut experiment: LidarExperiment = serde_yaml::from_str(text).unwrap();
    experiment.train =
        TrainConfig { epochs, batch: 4, warmup_steps: 2, ema: 0.9, learning_rate: 0.01, ..TrainConfig::default() };
    experiment
}

/// Trains on ten painted sweeps.
pub fn run(
    experiment: &LidarExperiment,
    folder: &Path,
    resume: bool,
    watcher: &mut Watcher,
) -> Result<LidarTrainReport, TrainError> {
    run_judged(experiment, folder, resume, watcher, 4)
}

/// [`run`] with so many sweeps to validate on.
fn run_judged(
    experiment: &LidarExperiment,
    folder: &Path,
    resume: bool,
    watcher: &mut Watcher,
    judged: usize,
) -> Result<LidarTrainReport, TrainError> {
    let (train, validation): (Vec<LabelledSweep>, Vec<LabelledSweep>) =
        ((0..10).map(painted_sweep).collect(), (20..24).take(judged).map(painted_sweep).collect());
    let (train, validation, spec) = (examples(&train), validation.iter().collect::<Vec<_>>(), spec());
    let job = LidarTrainJob { experiment, spec: &spec, folder, resume, train: &train, validation: &validation };
    train_lidar(&job, watcher)
}

#[test]
fn a_few_steps_teach_where_the_post_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    let report = run(&experiment(60), folder.path(), false, &mut watcher).unwrap();
    let (first, last) = (&watcher.records[0], &watcher.records[59]);
    assert!(last.loss < 0.3 * first.loss, "{} became {}", first.loss, last.loss);
    let best = report.best.unwrap();
    assert!(best.ap > 0.7, "{best:?}");
    assert!(best.point_iou.unwrap() > 0.5, "{best:?}");
    assert_eq!(last.terms.keys().map(String::as_str).collect::<Vec<_>>(), ["class", "size", "vote", "yaw"]);
    assert!(weights_path(folder.path()).exists());
}

#[test]
fn resumed_training_ends_where_uninterrupted_training_does() {
    let experiment = experiment(4);
    // Two batches an epoch: one stop is between epochs, one in the middle of the third.
    assert_resumable(&[4, 5], |folder, resume, watcher| {
        let report = run(&experiment, folder, resume, watcher).unwrap();
        Ending { interrupted: report.interrupted, weights: read_weights(&report.student), best: report.best }
    });
}

#[test]
fn the_same_student_comes_out_of_any_number_of_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut watcher = Watcher::default();
            let report = run(&experiment(3), folder.path(), false, &mut watcher).unwrap();
            (read_weights(&report.student), watcher.records)
        })
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
}

#[test]
fn the_same_student_comes_out_of_any_number_of_workers() {
    let with = |workers: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (mut experiment, mut watcher) = (experiment(3), Watcher::default());
        experiment.train.workers = workers;
        let report = run(&experiment, folder.path(), false, &mut watcher).unwrap();
        assert!((0.0..=1.0).contains(&report.wait_share), "{}", report.wait_share);
        (read_weights(&report.student), watcher.records)
    };
    let one = with(1);
    assert!(one == with(2) && one == with(5));
}

#[test]
fn a_checkpoint_of_other_settings_is_refused_by_name() {
    let mut experiment = experiment(2);
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Watcher { stop_after: Some(2), ..Watcher::default() };
    run(&experiment, folder.path(), false, &mut watcher).unwrap();
    experiment.losses.vote = 2.0;
    let error = run(&experiment, folder.path(), true, &mut Watcher::default()).unwrap_err().to_string();
    assert!(error.contains("losses.vote (1.0 -> 2.0)"), "{error}");
}

#[test]
fn what_is_not_a_number_stops_with_the_sweeps_named() {
    let mut experiment = experiment(3);
    experiment.train.learning_rate = 1e30;
    experiment.train.clip = 0.0;
    let folder = tempfile::tempdir().unwrap();
    let error = run(&experiment, folder.path(), false, &mut Watcher::default()).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { .. }), "{error}");
    assert!(error.to_string().contains("sweep at "), "{error}");
}

#[test]
fn the_last_step_is_looked_at_as_well() {
    let mut experiment = experiment(1);
    experiment.train.learning_rate = 1e30;
    experiment.train.clip = 0.0;
    // The only batch of the only epoch.
    experiment.train.batch = 10;
    for judged in [0, 4] {
        let folder = tempfile::tempdir().unwrap();
        let error = run_judged(&experiment, folder.path(), false, &mut Watcher::default(), judged).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 1, .. }), "{judged}: {error}");
        assert!(error.to_string().contains("a weight became"), "{error}");
        assert!(!weights_path(folder.path()).exists(), "{judged}");
    }
}
