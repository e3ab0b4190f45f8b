//! What a student learns of images that nobody labelled: what the average of its own weights finds in them.

use burn::tensor::{Tensor, TensorData};

use super::{tests::experiment, *};
use crate::{
    distill::{
        config::{AugmentConfig, SelfTrainingConfig},
        loss::TargetBox,
        train::{dataset::tests::painted_frames, detect::detect, loader::tests::batches_of, step::Step},
    },
    model::{ModelSpec, SoftDetection},
};

#[test]
fn the_average_labels_what_nobody_did_once_its_time_has_come() {
    let experiment = experiment(1);
    let (config, autodiff) = (experiment.student_config(), Device::flex().autodiff());
    let frames = painted_frames(4);
    let loader = Loader::new(&frames, None, &AugmentConfig::none(), &config.input_spec(), 1, 4, 1);
    let mut batch = batches_of(&loader, Epoch { number: 0, mosaic: false, first_batch: 0 }).swap_remove(0);
    let after_six_steps = |score: f32| {
        let self_training = SelfTrainingConfig { score, start: 0.5, trust: 0.25 };
        let tutoring = Tutoring { self_training, ..Tutoring::default() };
        let student = CameraStudent::new(&config, 1, &autodiff).unwrap();
        let (train, losses) = (&experiment.train, &experiment.losses);
        let mut training = TrainStep::new(student, &config, train, losses, tutoring, 1, &autodiff).unwrap();
        for _ in 0..6 {
            assert!(matches!(training.run(&mut batch.clone(), 0.002, 0.0), Step::Taken { .. }));
        }
        training
    };
    let (unsure, sure) = (after_six_steps(0.0), after_six_steps(1.0));

    let unlabelled = [0_usize, 2, 3];
    batch.labelled = vec![false, true, false, false];
    let known = batch.targets[1].clone();
    assert_eq!(known.len(), 1);
    let labelled = |training: &TrainStep, progress: f64| {
        let mut batch = batch.clone();
        training.label_own(&mut batch, progress).unwrap();
        assert_eq!(batch.targets[1], known, "what is labelled stays as it is");
        unlabelled.map(|image| batch.targets[image].clone())
    };
    // Too early: neither boxes nor background.
    let nothing = vec![TargetBox::unknown((96.0, 64.0), 1)];
    assert_eq!(nothing[0].weight, 0.0);
    assert_eq!(labelled(&unsure, 0.49), [nothing.clone(), nothing.clone(), nothing]);

    let spec = ModelSpec { score_threshold: 0.0, ..config.model_spec() };
    let length = 3 * 64 * 96;
    let found = |student: CameraStudent| -> Vec<Vec<TargetBox>> {
        let pixels: Vec<f32> =
            unlabelled.iter().flat_map(|image| batch.images[image * length..][..length].to_vec()).collect();
        let images = Tensor::from_data(TensorData::new(pixels, [3, 3, 64, 96]), &Device::flex());
        let mut targets = Vec::new();
        for found in detect(&student.fold(), None, images, &spec).unwrap() {
            let target = |found: SoftDetection| {
                let bbox = found.bbox.clip(96.0, 64.0);
                TargetBox { bbox, probabilities: found.probabilities, weight: 0.25 }
            };
            targets.push(found.into_iter().map(target).filter(|found| found.bbox.is_valid()).collect());
        }
        targets
    };
    let boxes = labelled(&unsure, 0.5);
    assert!(boxes.iter().all(|boxes| !boxes.is_empty()) && boxes[0] != boxes[1], "{boxes:?}");
    assert!(boxes.as_slice() == found(unsure.averaged()), "they are not those of the average");
    assert!(boxes.as_slice() != found(unsure.snapshot()), "the average is as the student is");
    assert!(labelled(&sure, 0.5).iter().all(Vec::is_empty), "nothing is as sure as that");
}
