//! Teachers that look at the training images themselves: for features, and for boxes of images that no recording holds.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use image::RgbImage;

use super::{TrainError, augment::Canvas, gather::pseudo_label, loader::Hint, step::Tutoring};
use crate::{
    distill::{
        config::{Experiment, Relabel},
        loss::{LossConfig, Pair, Strategy, TargetBox, TermConfig, TermKind, TermPlan},
        student::AnchorPoint,
        teacher::{Ensemble, EnsembleOptions, FeatureMap, FeatureTensor, Teacher, TeacherConfig, list_tensors},
    },
    model::HeadFormat,
};

/// The teachers of a training. Each thread that prepares images borrows a set of its own.
#[derive(Debug)]
pub struct Tutors {
    teachers: Vec<TeacherConfig>,
    classes: Vec<String>,
    options: EnsembleOptions,
    /// Names of the tensors that are wanted of each teacher.
    taps: Vec<Vec<String>>,
    /// For each hint its teacher and the tensor's place there.
    places: Vec<(usize, usize)>,
    plan: TermPlan,
    relabel: Relabel,
    losses: LossConfig,
    idle: Mutex<Vec<Ensemble>>,
}

/// What the teachers say of a training image.
#[derive(Debug, Default)]
pub(super) struct Tutored {
    /// Each hint's values, `[teacher's C, rows, columns]`.
    pub hints: Vec<Vec<f32>>,
    /// The fused boxes, in input pixels.
    pub boxes: Vec<TargetBox>,
}

impl Tutors {
    /// The teachers of an experiment and what the steps need to know of them; no teachers when none is needed while training.
    ///
    /// # Errors
    /// A teacher cannot be loaded, or has no tensor of a name.
    pub fn load(experiment: &Experiment) -> Result<(Option<Self>, Tutoring), TrainError> {
        let self_training = experiment.distillation.self_training;
        if !experiment.distillation.needs_teachers() {
            return Ok((None, Tutoring { self_training, ..Tutoring::default() }));
        }
        let student = experiment.student_config();
        let names: Vec<String> = experiment.teachers.iter().map(TeacherConfig::display_name).collect();
        let terms = paired(experiment, &names)?;
        let plan = TermPlan::new(&terms, &names, &student);
        let mut taps = vec![Vec::new(); names.len()];
        let mut places = Vec::with_capacity(plan.hints().len());
        for hint in plan.hints() {
            let taps: &mut Vec<String> = &mut taps[hint.teacher];
            let place = taps.iter().position(|known| *known == hint.tensor).unwrap_or_else(|| {
                taps.push(hint.tensor.clone());
                taps.len() - 1
            });
            places.push((hint.teacher, place));
        }
        let tutors = Self {
            teachers: experiment.teachers.clone(),
            classes: experiment.classes.clone(),
            options: experiment.fusion,
            taps,
            places,
            plan: plan.clone(),
            relabel: experiment.distillation.relabel,
            losses: experiment.losses.clone(),
            idle: Mutex::new(Vec::new()),
        };
        let mut ensemble = tutors.borrow()?;
        let looked = ensemble.features(&RgbImage::new(student.width as u32, student.height as u32))?;
        let channels = tutors.places.iter().map(|&(teacher, place)| looked[teacher][place].channels).collect();
        for term in &terms {
            let place = term.teacher_place(&names);
            let map = |tensor: &str| {
                tutors.taps[place].iter().position(|tap| tap == tensor).map(|index| &looked[place][index])
            };
            check_meaning(term, experiment, &experiment.teachers[place], &ensemble.teachers()[place], &map)?;
        }
        tutors.give_back(ensemble);
        Ok((Some(tutors), Tutoring { plan, channels, self_training }))
    }

    /// Teachers of one's own.
    ///
    /// # Errors
    /// When they cannot be loaded any more.
    pub(super) fn borrow(&self) -> Result<Ensemble, TrainError> {
        // A thread that died while it held the lock left the list whole: only whole teachers are pushed and popped.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(ensemble) => Ok(ensemble),
            None => Ok(Ensemble::load_tapped(&self.teachers, &self.classes, self.options, &self.taps)?),
        }
    }

    /// Ends what [`Self::borrow`] began.
    pub(super) fn give_back(&self, ensemble: Ensemble) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(ensemble);
    }

    /// Whether the boxes of such an image come from the teachers.
    pub(super) fn relabels(&self, synthetic: bool) -> bool {
        match self.relabel {
            Relabel::Never => false,
            Relabel::Synthetic => synthetic,
            Relabel::Always => true,
        }
    }

    /// Shows a training image to the teachers.
    ///
    /// # Errors
    /// A teacher fails in ONNX Runtime.
    pub(super) fn look(
        &self,
        ensemble: &mut Ensemble,
        canvas: &Canvas,
        synthetic: bool,
    ) -> Result<Tutored, TrainError> {
        let Some(image) = RgbImage::from_raw(canvas.width as u32, canvas.height as u32, canvas.pixels.clone()) else {
            return Err(TrainError::EmptyImage);
        };
        let (features, boxes) = if self.relabels(synthetic) {
            let said = ensemble.label(&image)?;
            (
                said.features,
                said.fused.into_iter().filter_map(|fused| pseudo_label(fused.into(), &self.losses)).collect(),
            )
        } else {
            (ensemble.features(&image)?, Vec::new())
        };
        let hints = self
            .places
            .iter()
            .zip(self.plan.hints())
            .map(|(&(teacher, place), hint)| features[teacher][place].align(hint.rows, hint.columns));
        Ok(Tutored { hints: hints.collect(), boxes })
    }

    /// Room for the hints of a batch.
    pub(super) fn empty_hints(&self, batch: usize) -> Vec<Hint> {
        let hint = |hint: &crate::distill::loss::HintRequest| Hint {
            values: Vec::new(),
            shape: [batch, 0, hint.rows, hint.columns],
        };
        self.plan.hints().iter().map(hint).collect()
    }
}

/// The ends of the stages of a teacher's backbone, finest first: at each stride the last of the widest maps before anything is
/// enlarged for the neck. What only puts maps together is passed over.
fn backbone(tensors: &[FeatureTensor]) -> Vec<String> {
    let enlarges = |tensor: &&FeatureTensor| !matches!(tensor.op.as_str(), "Resize" | "Upsample" | "ConvTranspose");
    let mut ends: BTreeMap<usize, &FeatureTensor> = BTreeMap::new();
    for tensor in tensors.iter().take_while(enlarges).filter(|tensor| tensor.op != "Concat") {
        let end = ends.entry(tensor.stride).or_insert(tensor);
        if tensor.channels >= end.channels {
            *end = tensor;
        }
    }
    ends.into_values().map(|tensor| tensor.name.clone()).collect()
}

/// The layers of `layers` that `count` layers of a student are paired with (Sun et al. 2019, section 3.2): the last ones, or every
/// n-th. Fewer when the teacher has fewer.
fn patient_layers(layers: usize, count: usize, strategy: Strategy) -> Vec<usize> {
    let count = count.min(layers);
    match strategy {
        Strategy::Last => (layers - count..layers).collect(),
        Strategy::Skip => (1..=count).map(|place| place * layers / count - 1).collect(),
    }
}

/// What is wrong with a teacher's head for a term: what is imitated number by number must come out of a head of the student's kind. Another
/// one may have as many channels, but a score is not a logit, nor a corner a distance.
fn head_complaint(kind: TermKind, teacher: &HeadFormat, student: &HeadFormat) -> Option<String> {
    let must_be_equal = matches!(kind, TermKind::Logits | TermKind::Localization);
    (must_be_equal && teacher.name() != student.name()).then(|| {
        format!(
            "the teacher's head is `{}`, the student's `{}`, and `{}` needs the student's; use `hint` or `channel_wise` for others",
            teacher.name(),
            student.name(),
            kind.name()
        )
    })
}

/// Checks that what is imitated number by number means the same on both sides: heads of one kind, classes in one order, distances in one
/// unit.
fn check_meaning<'a>(
    term: &TermConfig,
    experiment: &Experiment,
    config: &TeacherConfig,
    teacher: &Teacher,
    map: &dyn Fn(&str) -> Option<&'a FeatureMap>,
) -> Result<(), TrainError> {
    let wrong = |message: String| Err(TrainError::Incomparable { term: term.display_name(), message });
    let head = &teacher.detector().spec().head;
    if let Some(complaint) = head_complaint(term.kind, head, &experiment.student_config().head_format()) {
        return wrong(complaint);
    }
    if term.kind == TermKind::Logits {
        let translated = |class: &String| config.class_map.get(class).unwrap_or(class).clone();
        let meant: Vec<String> = teacher.detector().spec().classes.iter().map(translated).collect();
        if meant != experiment.classes {
            return wrong(format!(
                "the teacher's classes are {meant:?}, the experiment's {:?}: `logits` needs the same ones in one order; use `hint` or \
                 `channel_wise` for others",
                experiment.classes
            ));
        }
    }
    if term.kind == TermKind::Localization {
        let student = experiment.student_config();
        for pair in &term.pairs {
            let (rows, columns) = pair.student.grid(&student);
            let Some((wide, high)) = map(&pair.tensor).map(FeatureMap::cells_over_image) else { continue };
            if (wide - columns as f64).abs() > 0.01 || (high - rows as f64).abs() > 0.01 {
                return wrong(format!(
                    "{wide} x {high} cells of `{}` lie over the image, and {columns} x {rows} of {}: their distances are in other units; \
                     `localization` needs a teacher of the student's input size and stride",
                    pair.tensor, pair.student
                ));
            }
        }
    }
    Ok(())
}

/// The experiment's terms with strategies made into pairs.
fn paired(experiment: &Experiment, names: &[String]) -> Result<Vec<TermConfig>, TrainError> {
    let mut terms = experiment.distillation.terms.clone();
    for term in &mut terms {
        let Some(strategy) = term.strategy.take() else { continue };
        let teacher = term.teacher_place(names);
        let tensors = list_tensors(&experiment.teachers[teacher])?;
        let anchors: Vec<AnchorPoint> = AnchorPoint::stages().collect();
        let has = |anchor: &AnchorPoint| tensors.iter().any(|tensor| tensor.name == anchor.to_string());
        term.pairs = if anchors.iter().all(has) {
            anchors.into_iter().map(|student| Pair { tensor: student.to_string(), student }).collect()
        } else {
            let tensors = backbone(&tensors);
            let layers = patient_layers(tensors.len(), anchors.len(), strategy);
            // The last layers of a teacher of few belong to the last stages.
            let first = if strategy == Strategy::Last { anchors.len() - layers.len() } else { 0 };
            let pair = |(layer, &student): (usize, &AnchorPoint)| Pair { tensor: tensors[layer].clone(), student };
            layers.into_iter().zip(&anchors[first..]).map(pair).collect()
        };
        if term.pairs.is_empty() {
            let message = "its teacher has no feature maps to choose from; name `pairs`, or leave the term out".into();
            return Err(TrainError::Incomparable { term: term.display_name(), message });
        }
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backbone_ends_where_maps_are_enlarged() {
        let tensor = |name: &str, op: &str, channels, stride| FeatureTensor {
            name: name.into(),
            op: op.into(),
            channels,
            height: 64 / stride,
            width: 96 / stride,
            stride,
            suggested: false,
        };
        let tensors = [
            tensor("stem", "Relu", 16, 2),
            tensor("block", "Conv", 24, 4),
            tensor("activated", "Relu", 24, 4),
            tensor("branch", "Relu", 32, 8),
            tensor("late branch", "Relu", 20, 4),
            tensor("joined", "Concat", 64, 8),
            tensor("end", "Relu", 32, 8),
            tensor("lateral", "Conv", 8, 4),
            tensor("enlarged", "Resize", 99, 4),
            tensor("head", "Conv", 99, 8),
        ];
        assert_eq!(backbone(&tensors), ["stem", "activated", "end"]);
        assert_eq!(backbone(&[]), [""; 0]);
    }

    #[test]
    fn responses_of_another_head_are_refused_and_features_are_not() {
        let own = HeadFormat::Student { strides: vec![8, 16, 32], bins: 8 };
        for kind in [TermKind::Logits, TermKind::Localization] {
            let complaint = head_complaint(kind, &HeadFormat::Nanodet, &own).unwrap();
            assert!(complaint.contains("`nanodet`") && complaint.contains(kind.name()), "{complaint}");
            // How many bins there are is seen by the channels.
            let finer = HeadFormat::Student { strides: vec![8, 16, 32], bins: 16 };
            assert_eq!(head_complaint(kind, &finer, &own), None);
        }
        assert_eq!(head_complaint(TermKind::Hint, &HeadFormat::Yolox, &own), None);
    }

    #[test]
    fn patient_layers_are_the_last_or_every_nth() {
        assert_eq!(patient_layers(12, 4, Strategy::Last), [8, 9, 10, 11]);
        assert_eq!(patient_layers(12, 4, Strategy::Skip), [2, 5, 8, 11]);
        assert_eq!(patient_layers(5, 4, Strategy::Skip), [0, 1, 2, 4]);
        assert_eq!(patient_layers(2, 4, Strategy::Skip), [0, 1]);
    }
}
