//! A recording's sweeps, labelled.

use std::ops::ControlFlow;

use super::{
    LabelFacts, LabelSource, LabelledSweep, LidarData, LidarLabelError, PointClass, SweepLabels, TruthLabels,
    camera::{CameraLabeller, worst},
    facts::SourceFacts,
    measured::{self, MeasuredSweep, Pass},
    merge::Merger,
    teacher::LidarLabeller,
    truth::TruthReader,
};
use crate::distill::{
    bag::{Bag, Loss},
    teacher::{EnsembleOptions, TeacherConfig},
};

/// What an experiment says that its labels depend on.
#[derive(Debug, Clone, Copy)]
pub struct LabelContext<'a> {
    /// The student's classes.
    pub classes: &'a [String],
    /// The camera teachers.
    pub teachers: &'a [TeacherConfig],
    /// Thresholds of their fusion.
    pub fusion: EnsembleOptions,
}

/// A recording with its labels.
#[derive(Debug, Clone)]
pub struct LabelledRecording {
    /// The sweeps that can be read, by stamp.
    pub sweeps: Vec<LabelledSweep>,
    /// What of the recording could not be read or used.
    pub loss: Loss,
    /// What came of it, in numbers.
    pub facts: LabelFacts,
}

/// Reads a recording's sweeps and labels them by all sources of the entry. The recording is read once for the sweeps, their truth and
/// the transforms, and by each camera source for its images, which its teachers look at first. All sweeps stay in memory with their labels, see [`LabelledSweep`].
///
/// `watch` is told how many sweeps are labelled and how many there are, while they are read 0 and how many to expect, and before that the
/// same of images; it may stop the work. Messages that cannot be read, and truth that cannot be used (of another number of points, in a frame that nothing
/// connects with the sensor's), are counted in the recording's loss.
///
/// # Errors
/// The entry makes no sense, the recording cannot be read or lacks a topic, a teacher cannot be run, a truth fits no sweep at all, or
/// `watch` stopped it.
pub fn label_recording(
    data: &LidarData,
    context: &LabelContext<'_>,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<LabelledRecording, LidarLabelError> {
    let classes = context.classes;
    data.check(classes).map_err(|(key, message)| LidarLabelError::Config { path: data.path.clone(), key, message })?;
    let bag = Bag::open(&data.path)?;
    let topic = measured::sweep_topic(&bag, data)?;
    let mut truths = Vec::new();
    let judge = match &data.truth {
        Some(truth) => Some(place_of(&mut truths, &bag, truth, classes)?),
        None => None,
    };
    let mut sources = Vec::with_capacity(data.labels.len());
    for source in &data.labels {
        sources.push(Source::open(source, &mut truths, &bag, context, watch)?);
    }
    let Pass { sweeps, transforms, mut loss } =
        measured::read(&bag, topic, &mut truths, data.carry_over.is_some() || data.follow.is_some(), watch)?;
    let merger = Merger::new(sources.iter().map(|source| source.knows(&truths, classes)).collect());
    let mut facts = LabelFacts {
        classes: classes.to_vec(),
        sweeps: sweeps.len(),
        sources: sources.iter().map(|source| SourceFacts::new(source.name(&truths), classes)).collect(),
        truth: judge.map(|place: usize| SourceFacts::new(truths[place].name(), classes)),
        ..LabelFacts::default()
    };
    let total = sweeps.len();
    let mut labelled = Vec::with_capacity(total);
    for (done, measured) in sweeps.into_iter().enumerate() {
        if watch(done, total).is_break() {
            return Err(LidarLabelError::Stopped);
        }
        let known: Vec<Option<SweepLabels>> =
            truths.iter_mut().map(|truth| truth.label(&measured, &transforms, &mut loss)).collect();
        let mut said = Vec::with_capacity(sources.len());
        for source in &mut sources {
            said.push(source.label(&measured, &known)?);
        }
        let labels = merger.merge(measured.sweep.points.len(), &said, &mut facts.sources);
        let truth = judge.and_then(|place| known.into_iter().nth(place).flatten());
        if let Some(facts) = &mut facts.truth
            && let Some(truth) = &truth
        {
            count(truth, facts);
        }
        facts.without_truth += usize::from(judge.is_some() && truth.is_none());
        let MeasuredSweep { stamp, frame_id, sweep, .. } = measured;
        labelled.push(LabelledSweep { stamp, frame_id, sweep, labels, truth });
    }
    for truth in &truths {
        truth.check_use(&bag)?;
    }
    facts.carried_over =
        data.carry_over.as_ref().map(|carry_over| carry_over.apply(&mut labelled, &transforms, classes));
    facts.followed = data.follow.as_ref().map(|follow| follow.apply(&mut labelled, &transforms, classes));
    for LabelledSweep { sweep, labels, .. } in &labelled {
        let known = labels.points.iter().filter(|point| point.is_known()).count();
        let valid = sweep.valid();
        facts.points += valid as u64;
        facts.ignored += valid.saturating_sub(known) as u64;
        facts.without_labels += usize::from(known == 0);
    }
    for camera in sources.iter().filter_map(Source::camera) {
        loss.merge(camera.loss());
        let unlabelled = camera.unlabelled();
        facts.without_image += unlabelled.without_image;
        facts.without_transform += unlabelled.without_transform;
        if let Some(reason) = &unlabelled.reason {
            let path = bag.path().display();
            tracing::warn!("{path}: {} sweeps have no camera labels: {reason}", unlabelled.without_transform);
        }
    }
    let estimates = sources.iter().filter_map(|source| Some((source.name(&truths), source.camera()?.calibration()?)));
    (facts.calibration_source, facts.calibration) = worst(estimates).unzip();
    if watch(total, total).is_break() {
        return Err(LidarLabelError::Stopped);
    }
    Ok(LabelledRecording { sweeps: labelled, loss, facts })
}

/// A source that is ready to be asked.
enum Source {
    /// The truth reader at this place.
    Truth(usize),
    Camera(Box<CameraLabeller>, String),
    Teacher(Box<LidarLabeller>),
}

impl Source {
    fn open(
        source: &LabelSource,
        truths: &mut Vec<TruthReader>,
        bag: &Bag,
        context: &LabelContext<'_>,
        watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LidarLabelError> {
        Ok(match source {
            LabelSource::Truth(truth) => Self::Truth(place_of(truths, bag, truth, context.classes)?),
            LabelSource::Camera(camera) => {
                let name = camera.topic.as_ref().map_or_else(|| "camera".to_owned(), |topic| format!("camera {topic}"));
                Self::Camera(Box::new(CameraLabeller::open_watched(bag.path(), camera, context, watch)?), name)
            }
            LabelSource::Teacher(teacher) => Self::Teacher(Box::new(LidarLabeller::load(teacher, context.classes)?)),
        })
    }

    fn name(&self, truths: &[TruthReader]) -> String {
        match self {
            Self::Truth(place) => truths[*place].name(),
            Self::Camera(_, name) => name.clone(),
            Self::Teacher(teacher) => teacher.name(),
        }
    }

    /// Per class of the experiment, whether it tells the class apart. Of camera teachers there is one for every class.
    fn knows(&self, truths: &[TruthReader], classes: &[String]) -> Vec<bool> {
        match self {
            Self::Truth(place) => truths[*place].knows(),
            Self::Camera(..) => vec![true; classes.len()],
            Self::Teacher(teacher) => teacher.knows().to_vec(),
        }
    }

    /// What it says of a sweep; `known` has what each truth says of it.
    fn label(
        &mut self,
        measured: &MeasuredSweep,
        known: &[Option<SweepLabels>],
    ) -> Result<SweepLabels, LidarLabelError> {
        match self {
            Self::Truth(place) => {
                let nothing = || SweepLabels::ignored(measured.sweep.points.len());
                Ok(known[*place].clone().unwrap_or_else(nothing))
            }
            Self::Camera(camera, _) => Ok(camera.label(measured.stamp, &measured.frame_id, &measured.sweep)),
            Self::Teacher(teacher) => teacher.label(&measured.sweep),
        }
    }

    fn camera(&self) -> Option<&CameraLabeller> {
        match self {
            Self::Camera(camera, _) => Some(camera),
            Self::Truth(_) | Self::Teacher(_) => None,
        }
    }
}

/// The place of the entry's reader, made where there is none yet: labels and truth to judge by are often the same.
fn place_of(
    truths: &mut Vec<TruthReader>,
    bag: &Bag,
    config: &TruthLabels,
    classes: &[String],
) -> Result<usize, LidarLabelError> {
    if let Some(place) = truths.iter().position(|reader| reader.config() == config) {
        return Ok(place);
    }
    truths.push(TruthReader::open(bag, config, classes)?);
    Ok(truths.len() - 1)
}

fn count(labels: &SweepLabels, facts: &mut SourceFacts) {
    for point in labels.points.iter().filter(|point| point.is_known()) {
        match point.class {
            PointClass::Background => facts.background += 1,
            PointClass::Class(class) => facts.count_point(class),
        }
    }
    for object in &labels.objects {
        facts.count_object(object.class);
    }
}
