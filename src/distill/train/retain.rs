//! Learning without forgetting (Li and Hoiem 2016): a student that is taught something new is kept near what an earlier student, from
//! whose weights it starts, says of the same images. Schmidhuber ("Neural sequence chunkers", report FKI-148-91, 1991) lets his automatizer
//! rehearse what it did before in the same way, whenever the chunker's knowledge is collapsed into it.

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor, activation::sigmoid},
};

use super::{TrainError, earlier::EarlierRun};
use crate::distill::{
    config::{Experiment, RetainConfig},
    digest::file_sha256,
    loss::{NamedTerm, WeightSchedule, binary_divergence, in_one_column, localization_divergence},
    student::{CameraStudent, StudentConfig, StudentOutput, class_places},
};

/// The earlier run that an experiment retains, when there is one; its student and classes are known to fit.
///
/// # Errors
/// When the run cannot be read, its student is of another kind, or a class of it is missing in the experiment.
pub fn retained_run(experiment: &Experiment) -> Result<Option<EarlierRun>, TrainError> {
    let Some(RetainConfig { run, .. }) = &experiment.distillation.retain else { return Ok(None) };
    let run = EarlierRun::read("distillation.retain.run", run)?;
    if experiment.student.inherit.is_none() {
        run.check_unfolded()?;
    }
    let (earlier, own) = (run.experiment.student_config(), experiment.student_config());
    let mut expected = StudentConfig { classes: own.classes.clone(), ..earlier.clone() };
    if experiment.student.inherit.is_some() {
        // It starts from elsewhere: what is compared are the outputs, whose form hangs on neither size nor width.
        let StudentConfig { size, convolution, channels, .. } = own;
        expected = StudentConfig { size, convolution, channels, ..expected };
    }
    if expected != own {
        return Err(run.wrong(format!(
            "its student is {}, this experiment's {}; what is retained keeps its form: set the section `student` as it was",
            form(&earlier),
            form(&own)
        )));
    }
    let missing: Vec<&str> =
        earlier.classes.iter().filter(|class| !own.classes.contains(class)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(run.wrong(format!(
            "its student knows the classes {}, this experiment's are {}; name {} in `classes` as well",
            earlier.classes.join(", "),
            own.classes.join(", "),
            missing.join(", ")
        )));
    }
    Ok(Some(run))
}

/// What a student is, in words.
fn form(StudentConfig { size, convolution, width, height, channels, .. }: &StudentConfig) -> String {
    let channels = channels.map(|channels| format!(" of {channels} channels")).unwrap_or_default();
    format!("{size:?}{channels}, {convolution:?}, {width}x{height}").to_lowercase()
}

/// The student of an earlier run whose behaviour is to stay.
#[derive(Debug)]
pub struct Retained {
    /// As it was trained, for inference.
    student: CameraStudent,
    /// SHA-256 of its weights' file.
    sha256: String,
    /// For each of its classes the place among the new student's.
    places: Vec<usize>,
    /// For each of the new student's classes the place among its own.
    rows: Vec<Option<usize>>,
    weight: f32,
    temperature: f32,
    schedule: WeightSchedule,
}

impl Retained {
    /// The earlier student that an experiment retains, on a device without gradients; none when it retains nothing.
    ///
    /// # Errors
    /// What [`retained_run`] says, or that the weights cannot be read.
    pub fn load(experiment: &Experiment, device: &Device) -> Result<Option<Self>, TrainError> {
        let (Some(run), Some(config)) = (retained_run(experiment)?, &experiment.distillation.retain) else {
            return Ok(None);
        };
        let path = run.weights();
        let classes = (&run.experiment.classes, &experiment.classes);
        Ok(Some(Self {
            student: run.student(device)?.valid(),
            sha256: file_sha256(&path).map_err(|source| TrainError::File { path, source })?,
            places: class_places(classes.0, classes.1).into_iter().flatten().collect(),
            rows: class_places(classes.1, classes.0),
            weight: config.weight,
            temperature: config.temperature,
            schedule: config.schedule,
        }))
    }

    /// What tells its weights from others.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// A fresh student for inference, on the same device, with its weights; rows of new classes stay as they are.
    ///
    /// # Errors
    /// When the fresh one is of another kind.
    pub(super) fn heir(&self, fresh: CameraStudent) -> Result<CameraStudent, TrainError> {
        Ok(fresh.inherit_classes(&self.student, &self.rows)?)
    }

    /// What the steps need to rehearse; nothing when that has no weight.
    pub(super) fn rehearsal(&self) -> Option<Rehearsal> {
        (self.weight > 0.0).then(|| Rehearsal {
            student: self.student.clone().fold(),
            places: self.places.iter().map(|&place| place as i64).collect(),
            weight: self.weight,
            temperature: self.temperature,
            schedule: self.schedule,
        })
    }
}

/// Shows training images to the earlier student and compares.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// The earlier student, BatchNorm folded, on a device without gradients.
    student: CameraStudent,
    /// For each of its classes the place among the new student's.
    places: Vec<i64>,
    weight: f32,
    temperature: f32,
    schedule: WeightSchedule,
}

impl Rehearsal {
    /// What both terms are multiplied by in the sum after this share of the training's steps; 0 where they do not count.
    pub fn weight(&self, progress: f64) -> f32 {
        self.weight * self.schedule.factor(progress)
    }

    /// The terms `retain_class` and `retain_box` of a batch `[B, 3, H, W]` and what the new student said of it, both on a device
    /// with gradients. A cell counts as much as the earlier student's best probability there; means are over the cells of all strides, so
    /// that one in which there is nothing counts nothing.
    pub fn terms(&self, images: Tensor<4>, output: &StudentOutput, weight: f32) -> [NamedTerm; 2] {
        let said = self.student.forward(images.inner());
        let (classes, boxes) = (in_one_column(&said.class_logits), in_one_column(&said.box_distributions));
        let weights = sigmoid(classes.clone()).max_dim(1);
        let normalizer: f32 = weights.clone().sum().into_scalar();
        let weights = Tensor::from_inner(weights);
        let (classes, boxes) = (Tensor::from_inner(classes), Tensor::from_inner(boxes));

        let logits = in_one_column(&output.class_logits);
        let places = Tensor::<1, Int>::from_data(self.places.as_slice(), &logits.device());
        let class = binary_divergence(logits.select(1, places), classes, Some(weights.clone()), self.temperature);
        let distributions = in_one_column(&output.box_distributions);
        let bins = distributions.dims()[1] / 4;
        let of_boxes = localization_divergence(distributions, boxes, weights, bins, self.temperature);
        let term = |name: &str, value| NamedTerm { name: name.into(), weight, value, normalizer };
        [term("retain_class", class), term("retain_box", of_boxes)]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::distill::student::Size;

    fn student(classes: &[&str], seed: u64) -> CameraStudent {
        let classes = classes.iter().map(ToString::to_string).collect();
        let config = StudentConfig::new(Size::Micro, classes, 96, 64);
        CameraStudent::new(&config, seed, &Device::flex()).unwrap().valid()
    }

    /// The earlier student knows `a` and `b`; the new one `b`, `c` and `a`.
    fn retained() -> Retained {
        Retained {
            student: student(&["a", "b"], 1),
            sha256: String::new(),
            places: vec![2, 0],
            rows: vec![Some(1), None, Some(0)],
            weight: 3.0,
            temperature: 2.0,
            schedule: WeightSchedule { start: 0.25, end: 1.0, ramp: 0.5 },
        }
    }

    fn images() -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 3 * 64 * 96).map(|index| (index % 23) as f32 / 11.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, [2, 3, 64, 96]), &Device::flex().autodiff())
    }

    /// What a student says, its class logits raised by so much, as tensors with gradients.
    fn said(student: &CameraStudent, raised: [f32; 3]) -> StudentOutput {
        let output = student.forward(images().inner());
        let raised = |map: Tensor<4>| {
            let map = Tensor::from_inner(map);
            let raised = Tensor::<4>::from_data(TensorData::new(raised.to_vec(), [1, 3, 1, 1]), &map.device());
            map + raised
        };
        StudentOutput {
            class_logits: output.class_logits.into_iter().map(raised).collect(),
            box_distributions: output.box_distributions.into_iter().map(Tensor::from_inner).collect(),
        }
    }

    fn values(rehearsal: &Rehearsal, output: &StudentOutput) -> [f32; 2] {
        rehearsal.terms(images(), output, rehearsal.weight(0.75)).map(|term| {
            assert!(term.name.starts_with("retain_") && term.weight == 3.0);
            term.value.into_scalar::<f32>()
        })
    }

    #[test]
    fn only_what_the_earlier_student_knew_is_held_and_by_name() {
        let retained = retained();
        let rehearsal = retained.rehearsal().unwrap();
        let heir = retained.heir(student(&["b", "c", "a"], 2)).unwrap();
        let same = values(&rehearsal, &said(&heir, [0.0; 3]));
        assert!(same.iter().all(|value| value.abs() < 1e-4), "{same:?}");
        // A new class may become anything.
        let new = values(&rehearsal, &said(&heir, [0.0, 7.0, 0.0]));
        assert!(new.iter().all(|value| value.abs() < 1e-4), "{new:?}");
        for raised in [[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]] {
            let [class, boxes] = values(&rehearsal, &said(&heir, raised));
            assert!(class > 1e-3 && boxes < 1e-4, "{raised:?}: {class}, {boxes}");
        }
        let [_, boxes] = values(&rehearsal, &said(&student(&["b", "c", "a"], 9), [0.0; 3]));
        assert!(boxes > 10.0 * same[1].abs(), "{boxes} of another student");
    }

    #[test]
    fn without_weight_nothing_is_rehearsed() {
        assert!(Retained { weight: 0.0, ..retained() }.rehearsal().is_none());
        let rehearsal = retained().rehearsal().unwrap();
        assert_eq!([0.0, 0.5, 0.75, 1.0].map(|progress| rehearsal.weight(progress)), [0.0, 1.5, 3.0, 3.0]);
    }

    fn experiment(changes: &str) -> Experiment {
        let text = format!(
            "{{name: tiny, output: out, targets: truth, data: [{{path: x, truth: {{topic: /t}}}}], seed: 4, {changes}}}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let retaining = |changes: &str| {
            let mut experiment = experiment(changes);
            let run = folder.path().to_owned();
            experiment.distillation.retain = Some(RetainConfig::new(run));
            experiment
        };
        let told = |changes: &str| Retained::load(&retaining(changes), &Device::flex()).unwrap_err().to_string();
        let fits = "classes: [b, c, a], student: {width: 96, height: 64}";
        let error = told(fits);
        assert!(error.contains("distillation.retain.run") && error.contains("config.yaml"), "{error}");

        let earlier = experiment("classes: [a, b], student: {width: 96, height: 64}");
        std::fs::write(folder.path().join("config.yaml"), earlier.to_yaml().unwrap()).unwrap();
        let error = told("classes: [a, b], student: {size: small, width: 96, height: 64}");
        assert!(error.contains("micro, plain, 96x64") && error.contains("small, plain, 96x64"), "{error}");
        let error = told("classes: [b, c], student: {width: 96, height: 64}");
        assert!(error.contains("classes a, b") && error.contains("name a in `classes`"), "{error}");
        let error = told(fits);
        assert!(error.contains("best.bpk") && error.contains("trained to its end"), "{error}");

        let mut elsewhere = retaining("classes: [a, b], student: {size: small, width: 96, height: 64}");
        elsewhere.student.inherit = Some("elsewhere".into());
        assert!(retained_run(&elsewhere).unwrap().is_some(), "it may have another size");
        elsewhere.student.width = 128;
        assert!(retained_run(&elsewhere).unwrap_err().to_string().contains("128x64"));

        student(&["a", "b"], 1).save(&folder.path().join("train/best.bpk")).unwrap();
        let retained = Retained::load(&retaining(fits), &Device::flex()).unwrap().unwrap();
        assert_eq!((retained.places, retained.rows), (vec![2, 0], vec![Some(1), None, Some(0)]));
        assert_eq!(retained.sha256.len(), 64);
        assert_eq!(retained_run(&retaining(fits)).unwrap().unwrap().experiment.output, folder.path());
    }
}
