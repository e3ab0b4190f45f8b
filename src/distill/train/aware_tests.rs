//! The promises of training as int8 hardware computes, kept on a tiny student and painted frames.

use burn::tensor::{Tensor, TensorData};

use super::{
    tests::{experiment, run},
    *,
};
use crate::distill::{
    compress::quantize::{RangeMethod, WeightRange},
    config::{AugmentConfig, RetainConfig},
    student::Rounding,
    train::{
        average,
        dataset::tests::painted_frames,
        loader::tests::batches_of,
        step::Step,
        trained_student,
        watcher::{Ending, Watcher, assert_resumable},
    },
};

/// A finished run in a folder.
fn finished(folder: &Path, epochs: usize) -> (Experiment, CameraStudent) {
    let mut first = experiment(epochs);
    first.augment = AugmentConfig::none();
    let trained = run(&first, &folder.join("train"), false, &mut Watcher::default()).unwrap();
    std::fs::write(folder.join("config.yaml"), first.to_yaml().unwrap()).unwrap();
    (first, trained.student)
}

/// The run's experiment once more, as int8 hardware computes.
fn aware(first: &Experiment, run: &Path, epochs: usize) -> Experiment {
    let mut aware = first.clone();
    aware.student.inherit = Some(run.to_owned());
    aware.distillation.retain = Some(RetainConfig::new(run.to_owned()));
    aware.train.quantize_aware = true;
    aware.train.epochs = epochs;
    aware.train.learning_rate = 2e-4;
    aware
}

#[test]
fn it_is_resumed_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = finished(folder.path(), 2);
    // Two batches an epoch: one stop is between epochs, one in the middle of the third.
    assert_resumable(&[4, 5], |output, resume, watcher| {
        let report = run(&aware(&first, folder.path(), 4), output, resume, watcher).unwrap();
        Ending { interrupted: report.interrupted, weights: average::read(&report.student), best: report.best }
    });
}

#[test]
fn the_weights_are_of_a_folded_student_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let (first, _) = finished(&old, 2);
    let mut experiment = aware(&first, &old, 2);
    experiment.output = new.clone();
    let mut watcher = Watcher::default();
    let report = run(&experiment, &new.join("train"), false, &mut watcher).unwrap();
    assert!(watcher.records[0].terms.contains_key("retain_class"), "{:?}", watcher.records[0].terms);
    let read = trained_student(&experiment, &Device::flex()).unwrap();
    assert_eq!(average::read(&read), average::read(&report.student));
    let before = trained_student(&Experiment { output: old, ..first.clone() }, &Device::flex()).unwrap();
    assert!(average::read(&read).len() < average::read(&before).len(), "BatchNorm's statistics are folded in");

    // It may be trained on as it was, but not with BatchNorm, which it has not any more.
    std::fs::write(new.join("config.yaml"), experiment.to_yaml().unwrap()).unwrap();
    let autodiff = Device::flex().autodiff();
    let next = aware(&first, &new, 1);
    let start = initial_student(&next, None, &autodiff).unwrap();
    assert_eq!(average::read(&start.valid()), average::read(&read));
    let mut ordinary = next;
    ordinary.train.quantize_aware = false;
    let error = initial_student(&ordinary, None, &autodiff).unwrap_err().to_string();
    assert!(error.contains("student.inherit") && error.contains("quantize_aware"), "{error}");
    ordinary.student.inherit = None;
    let error = Retained::load(&ordinary, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("distillation.retain.run") && error.contains("quantize_aware"), "{error}");
}

#[test]
fn with_weights_of_few_bits_a_student_trained_so_loses_less_than_one_that_is_rounded_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (experiment, trained) = finished(folder.path(), 20);
    let config = experiment.student_config();
    let (frames, spec) = (painted_frames(8), config.input_spec());
    let loader = Loader::new(&frames, None, &AugmentConfig::none(), &spec, 1, 8, 1);
    let batch = batches_of(&loader, Epoch { number: 0, mosaic: false, first_batch: 0 }).swap_remove(0);
    let (device, autodiff) = (Device::flex(), Device::flex().autodiff());
    let images = [Tensor::<4>::from_data(TensorData::new(batch.images.clone(), batch.shape), &device)];
    let rounding =
        |student: &CameraStudent| Rounding::calibrate_by(student, &images, WeightRange::Full, 3, &RangeMethod::ALL);
    let start = |student: &CameraStudent, rounding: Option<Rounding>| {
        let (train, losses) = (&experiment.train, &experiment.losses);
        TrainStep::new(student.clone().train(), &config, train, losses, Tutoring::default(), 1, &autodiff)
            .unwrap()
            .rounding(rounding)
    };
    let step = |training: &mut TrainStep, rate: f64| match training.run(&mut batch.clone(), rate, 0.0) {
        Step::Taken { losses, .. } => losses.total,
        Step::NotFinite { what } => panic!("{what}"),
    };
    // The loss in 3 bits, with ranges found anew as `distill quantize` finds them.
    let loss = |student: &CameraStudent| step(&mut start(student, Some(rounding(student))), 0.0);
    let before = trained.fold();
    let learn = |rounding: Option<Rounding>| {
        let mut training = start(&before, rounding);
        for _ in 0..60 {
            step(&mut training, 1e-3);
        }
        training.snapshot()
    };
    let (aware, float) = (learn(Some(rounding(&before))), learn(None));
    let (untrained, aware, float) = (loss(&before), loss(&aware), loss(&float));
    assert!(
        aware < untrained && aware < float,
        "{untrained} before, {float} after as many steps in floats, {aware} aware"
    );
}
