//! What teachers that look at the training images say of them: boxes of images that no recording holds, and stages by their names.

use image::{Rgb, RgbImage};

use super::{tests::experiment, *};
use crate::{
    distill::{
        config::Relabel,
        export::export,
        loss::{LabelKind, TargetBox},
        student::{Channels, Size, StudentConfig},
        targets::SoftBox,
        teacher::{Ensemble, TeacherConfig},
        train::{dataset::tests::half_labelled_frames, loader::tests::batches_of},
    },
    model::{InputSpec, bundle::BundleMetadata, has_runtime},
};

/// A teacher that was never trained, in a file of its own: it is unsure of everything, but says other things of other images.
fn drawn_teacher(folder: &Path, config: &StudentConfig, seed: u64) -> TeacherConfig {
    let student = CameraStudent::new(config, seed, &Device::flex()).unwrap();
    let path = folder.join(format!("drawn_{seed}.onnx"));
    export(&student, &BundleMetadata::new(config.model_spec()), &path).unwrap();
    TeacherConfig::new(path)
}

/// The experiment with two teachers that were never trained, `drawn_1` and `drawn_2`, of whom the second is trusted less.
pub(super) fn with_drawn_teachers(folder: &Path) -> Experiment {
    let mut experiment = experiment(2);
    let config = experiment.student_config();
    let second = TeacherConfig { trust: 0.3, ..drawn_teacher(folder, &config, 2) };
    experiment.teachers = vec![drawn_teacher(folder, &config, 1), second];
    experiment.fusion.score_threshold = 1e-3;
    experiment
}

/// The images of a batch as they were before they were normalised.
fn pictures(batch: &Batch, spec: &InputSpec) -> Vec<RgbImage> {
    let (width, height) = (spec.width, spec.height);
    let picture = |values: &[f32]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            let byte = |channel: usize| {
                (values[channel * width * height + at] * spec.std[channel] + spec.mean[channel]).round() as u8
            };
            Rgb([byte(0), byte(1), byte(2)])
        })
    };
    batch.images.chunks_exact(3 * width * height).map(picture).collect()
}

/// The boxes that the experiment's teachers see in each image of a batch.
fn seen(experiment: &Experiment, batch: &Batch) -> Vec<Vec<TargetBox>> {
    let mut ensemble = Ensemble::load(&experiment.teachers, &experiment.classes, experiment.fusion).unwrap();
    let label = |image: &RgbImage| -> Vec<TargetBox> {
        let fused = ensemble.label(image).unwrap().fused;
        fused.into_iter().map(|found| TargetBox::from(SoftBox::from(found))).collect()
    };
    pictures(batch, &experiment.student_config().input_spec()).iter().map(label).collect()
}

/// The batches of an epoch, by two workers.
fn batches(experiment: &Experiment, frames: &FrameSet, tutors: Option<&Tutors>, mosaic: bool) -> Vec<Batch> {
    let spec = experiment.student_config().input_spec();
    let loader = Loader::new(frames, tutors, &experiment.augment, &spec, 3, 4, 2);
    batches_of(&loader, Epoch { number: 0, mosaic, first_batch: 0 })
}

#[test]
fn teachers_label_anew_what_is_wished_and_nothing_else() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut experiment = with_drawn_teachers(folder.path());
    // Something that the teachers look for in any case.
    let term = "[{kind: attention, teacher: drawn_1, pairs: [{tensor: stage_16, student: stage_16}]}]";
    experiment.distillation.terms = serde_yaml::from_str(term).unwrap();
    let frames = half_labelled_frames(8);
    for (relabel, mosaic, mixup, allowed, anew) in [
        (Relabel::Never, 0.0, 0.0, true, false),
        (Relabel::Never, 1.0, 1.0, true, false),
        (Relabel::Synthetic, 0.0, 0.0, true, false),
        (Relabel::Synthetic, 1.0, 0.0, true, true),
        (Relabel::Synthetic, 0.0, 1.0, true, true),
        // The last epochs do without.
        (Relabel::Synthetic, 1.0, 1.0, false, false),
        (Relabel::Always, 0.0, 0.0, true, true),
        (Relabel::Always, 1.0, 0.0, true, true),
    ] {
        let case = format!("{relabel:?}, mosaic {mosaic}, mixup {mixup}, allowed {allowed}");
        experiment.distillation.relabel = relabel;
        (experiment.augment.mosaic, experiment.augment.mixup) = (mosaic, mixup);
        let (tutors, _) = Tutors::load(&experiment).unwrap();
        let plain = batches(&experiment, &frames, None, allowed);
        let tutored = batches(&experiment, &frames, tutors.as_ref(), allowed);
        assert_eq!((plain.len(), tutored.len()), (4, 4));
        for (plain, tutored) in plain.iter().zip(&tutored) {
            assert!(tutored.images == plain.images && tutored.hints.len() == 1, "{case}");
            if anew {
                let seen = seen(&experiment, tutored);
                assert!(seen.iter().all(|boxes| !boxes.is_empty()), "{case}: {seen:?}");
                assert_eq!(tutored.targets, seen, "{case}");
                assert_eq!(tutored.labelled, [true; 4], "{case}");
            } else {
                assert_eq!(tutored.targets, plain.targets, "{case}");
                assert_eq!(tutored.labelled, plain.labelled, "{case}");
            }
        }
        assert!(plain.iter().any(|batch| batch.labelled.contains(&false)), "{case}");
    }
}

#[test]
fn what_is_labelled_anew_is_as_hard_as_other_labels() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut experiment = with_drawn_teachers(folder.path());
    experiment.distillation.relabel = Relabel::Always;
    experiment.losses.labels = LabelKind::Hard;
    let frames = half_labelled_frames(4);
    // Everything that they see is sure enough, and then nothing.
    for threshold in [0.0, 1.0] {
        experiment.losses.hard_threshold = threshold;
        let (tutors, _) = Tutors::load(&experiment).unwrap();
        let batch = batches(&experiment, &frames, tutors.as_ref(), true).swap_remove(0);
        let hard = |found: TargetBox| TargetBox { probabilities: vec![1.0], weight: 1.0, ..found };
        let mut expected: Vec<Vec<TargetBox>> = seen(&experiment, &batch);
        for boxes in &mut expected {
            let sure = std::mem::take(boxes).into_iter().filter(|found| found.probabilities[0] >= threshold);
            *boxes = sure.map(hard).collect();
        }
        assert_eq!(batch.targets, expected, "{threshold}");
        assert_eq!((batch.labelled, expected[0].is_empty()), (vec![true; 4], threshold == 1.0));
    }
}

#[test]
fn stages_of_a_bundle_are_patiently_matched_by_their_names() {
    if !has_runtime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut experiment = experiment(1);
    let slim = Channels { neck: 64, ..Channels::of(Size::Micro) };
    // Pruning may leave a neck that is wider than some of the stages.
    for channels in [None, Some(slim)] {
        let config = StudentConfig { channels, ..experiment.student_config() };
        experiment.teachers = vec![drawn_teacher(folder.path(), &config, 5)];
        for strategy in ["last", "skip"] {
            let term = format!("[{{kind: patient, strategy: {strategy}}}]");
            experiment.distillation.terms = serde_yaml::from_str(&term).unwrap();
            let (_, tutoring) = Tutors::load(&experiment).unwrap();
            let hints: Vec<(&str, usize)> =
                tutoring.plan.hints().iter().map(|hint| (hint.tensor.as_str(), hint.columns)).collect();
            let expected = [("stage_4", 24), ("stage_8", 12), ("stage_16", 6), ("stage_32", 3)];
            assert_eq!(hints, expected, "{strategy}, {channels:?}");
            assert_eq!(tutoring.channels, config.group_channels().stages, "{strategy}");
        }
    }
}
