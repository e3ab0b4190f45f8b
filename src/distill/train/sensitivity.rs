//! What the loss of an experiment says of a student's weights on training frames, without a step.

use burn::{module::Module, optim::GradientsParams, tensor::Device};

use super::{
    TrainError,
    dataset::FrameSet,
    loader::Loader,
    objective::{Objective, Part},
    step::Learner,
};
use crate::distill::{
    config::Experiment,
    loss::{LossConfig, NamedTerm, TermPlan, WeightSchedule},
    student::{Adapters, CameraStudent},
};

/// Shows a student up to `most` training frames, letterboxed as on the robot, in batches as large as the experiment's; hands the
/// student with gradients and those of each batch's loss on boxes to `see`. Says how many frames there were. Terms that look into
/// teachers are left out.
///
/// A folded student ([`CameraStudent::fold`]) computes with its running statistics as on the robot; with BatchNorm it would have those of
/// the batch.
///
/// # Errors
/// When a frame cannot be read back from the cache, or there is no loss to differentiate.
pub(in crate::distill) fn gradients_on_frames(
    experiment: &Experiment,
    frames: &FrameSet,
    most: usize,
    student: &CameraStudent,
    mut see: impl FnMut(&CameraStudent, &GradientsParams),
) -> Result<usize, TrainError> {
    let config = &experiment.train;
    let spec = experiment.student_config().input_spec();
    let loader = Loader::still(frames, &spec, experiment.seed, config.batch.min(most.max(1)), config.workers);
    let device = Device::flex().autodiff();
    let learner = Learner { student: student.clone().train(), adapters: Adapters::new(&[], experiment.seed, &device) };
    // A schedule is one of a training; here nothing is trained.
    let losses = LossConfig { schedule: WeightSchedule::default(), ..experiment.losses.clone() };
    let objective = Objective { losses, plan: TermPlan::default(), rehearsal: None, rounding: None, device };
    let seen = loader.for_images(most, |mut batch| {
        batch.forget_unlabelled(experiment.classes.len());
        for part in Part::of(&mut batch, 1) {
            let terms = objective.terms(&learner, part, &batch, 0.0);
            if let Some(loss) = NamedTerm::sum(&terms) {
                see(&learner.student, &GradientsParams::from_grads(loss.backward(), &learner));
            }
        }
    })?;
    if seen == 0 {
        return Err(TrainError::NothingToLearn(
            "the training block has no frames to measure gradients on; look at split and at the targets".into(),
        ));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::train::dataset::tests::painted_frames;

    #[test]
    fn gradients_are_those_of_the_loss_and_frames_are_counted() {
        let text = "{name: tiny, output: out, targets: truth, classes: [a], data: [{path: x, truth: {topic: /t}}], \
                    student: {width: 96, height: 64}, train: {batch: 4, workers: 1}}";
        let experiment: Experiment = serde_yaml::from_str(text).unwrap();
        let student = CameraStudent::new(&experiment.student_config(), 3, &Device::flex()).unwrap().valid().fold();
        let frames = painted_frames(13);
        let gradients = |most| {
            let mut norms: Vec<f32> = Vec::new();
            let seen = gradients_on_frames(&experiment, &frames, most, &student, |student, gradients| {
                student.each_unit(&mut |_, unit| {
                    // The box tower of a stride at which no cell learns a box has none.
                    let gradient = gradients.get::<4>(unit.filters().id);
                    norms.push(gradient.map_or(0.0, |gradient| gradient.abs().sum().into_scalar::<f32>()));
                });
            });
            (seen.unwrap(), norms)
        };
        let (seen, norms) = gradients(8);
        assert_eq!((seen, norms.len() % 2), (8, 0));
        assert!(norms.iter().all(|norm| norm.is_finite()) && norms[0] > 0.0, "{norms:?}");
        assert_eq!(gradients(100).0, 12, "whole batches alone");
        assert_eq!(gradients(8).1, norms);
    }
}
