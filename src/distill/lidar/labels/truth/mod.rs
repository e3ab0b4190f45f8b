//! The recording's own truth: a class for each point, boxes in space, or the middles of objects.

mod boxes;
mod points;
mod poses;

use std::collections::{BTreeMap, HashMap};

use self::{
    boxes::{PlacedBox, TruthBox, boxes_of},
    points::{PointTruth, points_of},
};
use super::{LidarLabelError, Pairing, SweepLabels, TruthLabels, classes::ClassNumbers, measured::MeasuredSweep};
use crate::{
    distill::bag::{Bag, BagError, Loss},
    geometry::RigidTransform,
    messages::{Detection3DArray, LabelInfo, PointCloud2, PoseArray},
    sensing::transforms::{TransformBuffer, TransformError},
};

/// How near points are to a pose's object unless the entry says otherwise, in metres.
const RADIUS: f32 = 0.25;

/// The messages of one topic of truth, to be asked by a sweep's stamp or place.
#[derive(Debug)]
struct Gathered<T> {
    /// In the order of the recording; `None` for those that cannot be read, which still count.
    messages: Vec<Option<T>>,
    by_stamp: HashMap<i64, usize>,
}

impl<T> Gathered<T> {
    fn new() -> Self {
        Self { messages: Vec::new(), by_stamp: HashMap::new() }
    }

    fn push(&mut self, read: Result<(i64, T), String>) -> Result<(), String> {
        match read {
            Ok((stamp, message)) => {
                self.by_stamp.insert(stamp, self.messages.len());
                self.messages.push(Some(message));
                Ok(())
            }
            Err(reason) => {
                self.messages.push(None);
                Err(reason)
            }
        }
    }

    fn of(&self, pairing: Pairing, sweep: &MeasuredSweep) -> Option<&T> {
        let place = match pairing {
            Pairing::Stamp => *self.by_stamp.get(&sweep.stamp)?,
            Pairing::Index => sweep.place,
        };
        self.messages.get(place)?.as_ref()
    }
}

/// The poses of a message in a frame.
#[derive(Debug)]
struct Poses {
    frame_id: String,
    positions: Vec<[f64; 3]>,
}

/// One entry of truth, filled while the recording is read and asked afterwards.
#[derive(Debug)]
pub struct TruthReader {
    config: TruthLabels,
    classes: Vec<String>,
    label_info: Option<String>,
    names: Option<BTreeMap<u16, String>>,
    numbers: ClassNumbers,
    points: Gathered<PointTruth>,
    boxes: Gathered<Vec<TruthBox>>,
    poses: Gathered<Poses>,
    labelled: usize,
    /// Why the last sweep could not be labelled.
    trouble: String,
}

impl TruthReader {
    /// Looks for the entry's topics.
    ///
    /// # Errors
    /// A topic is not there or of another type, or several could name the classes.
    pub fn open(bag: &Bag, config: &TruthLabels, classes: &[String]) -> Result<Self, LidarLabelError> {
        let wanted = [
            (&config.points, PointCloud2::TYPE_NAME),
            (&config.boxes, Detection3DArray::TYPE_NAME),
            (&config.poses, PoseArray::TYPE_NAME),
            (&config.label_info, LabelInfo::TYPE_NAME),
        ];
        for (name, needed) in wanted {
            if let Some(name) = name {
                check_topic(bag, name, needed)?;
            }
        }
        Ok(Self {
            config: config.clone(),
            classes: classes.to_vec(),
            label_info: label_info_topic(bag, config)?,
            names: None,
            numbers: ClassNumbers::new(classes, None),
            points: Gathered::new(),
            boxes: Gathered::new(),
            poses: Gathered::new(),
            labelled: 0,
            trouble: String::new(),
        })
    }

    /// The entry.
    pub fn config(&self) -> &TruthLabels {
        &self.config
    }

    /// What it is called in reports.
    pub fn name(&self) -> String {
        format!("truth {}", self.topic())
    }

    /// The topics that it wants to be given.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.config.topics().chain(self.label_info.as_deref())
    }

    /// Whether what it is given lies in frames of its own.
    pub fn needs_transforms(&self) -> bool {
        self.config.boxes.is_some() || self.config.poses.is_some()
    }

    /// Takes a message of one of its topics; one of another topic is passed over.
    ///
    /// # Errors
    /// What is wrong with the message, which then counts as one that is not known.
    pub fn take(&mut self, topic: &str, data: &[u8]) -> Result<(), String> {
        let is = |wanted: &Option<String>| wanted.as_deref() == Some(topic);
        if is(&self.label_info) {
            let info = LabelInfo::decode(data).map_err(|error| error.to_string())?;
            let named = info.class_map.iter().map(|class| (class.class_id, class.class_name.to_owned()));
            self.names = Some(named.collect());
        } else if is(&self.config.points) {
            self.points.push(read_points(data))?;
        } else if is(&self.config.boxes) {
            self.boxes.push(read_boxes(data))?;
        } else if is(&self.config.poses) {
            self.poses.push(read_poses(data))?;
        }
        Ok(())
    }

    /// Checks, once all is read, what was given against the number of sweeps.
    ///
    /// # Errors
    /// [`LidarLabelError::Counts`] when messages are paired by count and the counts differ, and [`LidarLabelError::Truth`] when
    /// LabelInfo cannot be read or names none of the experiment's classes.
    pub fn finish(&mut self, bag: &Bag, sweeps: usize) -> Result<(), LidarLabelError> {
        let counts = [
            (&self.config.points, self.points.messages.len()),
            (&self.config.boxes, self.boxes.messages.len()),
            (&self.config.poses, self.poses.messages.len()),
        ];
        for (topic, messages) in counts {
            let Some(topic) = topic else { continue };
            if self.config.pairing == Pairing::Index && messages != sweeps {
                return Err(LidarLabelError::Counts {
                    path: bag.path().into(),
                    topic: topic.clone(),
                    messages,
                    sweeps,
                });
            }
        }
        if let Some(topic) = self.label_info.as_ref().filter(|_| self.names.is_none() && self.config.poses.is_none()) {
            let reason = format!("the class numbers cannot be told: `{topic}` has no LabelInfo that can be read");
            return Err(self.useless(bag, reason));
        }
        self.numbers = ClassNumbers::new(&self.classes, self.names.take());
        if self.config.poses.is_none() && !self.numbers.knows().contains(&true) {
            let reason = format!(
                "LabelInfo names {}, none of the experiment's classes ({}); write `classes` as it does",
                self.numbers.names().join(", "),
                self.classes.join(", ")
            );
            return Err(self.useless(bag, reason));
        }
        Ok(())
    }

    /// Per class of the experiment, whether this truth tells it apart.
    pub fn knows(&self) -> Vec<bool> {
        match self.pose_class() {
            Some(known) => (0..self.classes.len()).map(|class| class == usize::from(known)).collect(),
            None => self.numbers.knows(),
        }
    }

    /// What is true of a sweep; `None` where nothing is known. What could not be used is counted in `loss`.
    pub fn label(
        &mut self,
        sweep: &MeasuredSweep,
        transforms: &TransformBuffer,
        loss: &mut Loss,
    ) -> Option<SweepLabels> {
        let found = self.find(sweep, transforms, loss);
        match found {
            Ok(labels) => {
                self.labelled += usize::from(labels.is_some());
                labels
            }
            Err(reason) => {
                let reason = format!("{} for the sweep at {} ns: {reason}", self.topic(), sweep.stamp);
                self.trouble.clone_from(&reason);
                loss.add(0, 1, reason);
                None
            }
        }
    }

    /// Refuses a truth that had nothing to say of any sweep.
    ///
    /// # Errors
    /// [`LidarLabelError::Truth`] with the reason and the mend.
    pub fn check_use(&self, bag: &Bag) -> Result<(), LidarLabelError> {
        if self.labelled > 0 {
            return Ok(());
        }
        let reason = if self.trouble.is_empty() {
            "no message has the stamp of a sweep; where message k belongs to sweep k, say `pairing: index`".to_owned()
        } else {
            format!("no sweep can be labelled; the last one: {}", self.trouble)
        };
        Err(self.useless(bag, reason))
    }

    fn find(
        &self,
        sweep: &MeasuredSweep,
        transforms: &TransformBuffer,
        loss: &mut Loss,
    ) -> Result<Option<SweepLabels>, String> {
        let pairing = self.config.pairing;
        if self.config.points.is_some() {
            let Some(truth) = self.points.of(pairing, sweep) else { return Ok(None) };
            let boxes = self.boxes.of(pairing, sweep).map(Vec::as_slice).unwrap_or_default();
            // Without them the points still tell classes, and where objects are about.
            let boxes = self.placed(boxes, sweep, transforms).unwrap_or_else(|reason| {
                loss.add(0, 1, format!("{}: {reason}", self.config.boxes.as_deref().unwrap_or_default()));
                Vec::new()
            });
            return points::label(&sweep.sweep, truth, &boxes, &self.numbers).map(Some);
        }
        if let Some(class) = self.pose_class() {
            let Some(poses) = self.poses.of(pairing, sweep) else { return Ok(None) };
            let to_sweep = transform_to(sweep, &poses.frame_id, transforms).map_err(|error| error.to_string())?;
            let middles: Vec<[f32; 3]> =
                poses.positions.iter().map(|position| to_sweep.apply(*position).map(|value| value as f32)).collect();
            let radius = self.config.radius.unwrap_or(RADIUS);
            return Ok(Some(poses::label(&sweep.sweep, &middles, class, radius)));
        }
        let Some(boxes) = self.boxes.of(pairing, sweep) else { return Ok(None) };
        Ok(Some(boxes::label(&sweep.sweep, &self.placed(boxes, sweep, transforms)?)))
    }

    fn placed(
        &self,
        boxes: &[TruthBox],
        sweep: &MeasuredSweep,
        transforms: &TransformBuffer,
    ) -> Result<Vec<PlacedBox>, String> {
        let place = |truth: &TruthBox| {
            let to_sweep = transform_to(sweep, &truth.frame_id, transforms).map_err(|error| error.to_string())?;
            Ok(PlacedBox::new(truth, &to_sweep, &self.numbers))
        };
        boxes.iter().map(place).collect()
    }

    /// The class of the poses, where they are the truth.
    fn pose_class(&self) -> Option<u16> {
        self.config.poses.as_ref()?;
        let place = match &self.config.class {
            Some(name) => self.classes.iter().position(|class| class == name)?,
            None => 0,
        };
        u16::try_from(place).ok()
    }

    /// The topic that stands for the entry in messages.
    fn topic(&self) -> &str {
        self.config.topics().next().unwrap_or_default()
    }

    fn useless(&self, bag: &Bag, reason: String) -> LidarLabelError {
        LidarLabelError::Truth { path: bag.path().into(), topic: self.topic().to_owned(), reason }
    }
}

fn read_points(data: &[u8]) -> Result<(i64, PointTruth), String> {
    let cloud = PointCloud2::decode(data).map_err(|error| error.to_string())?;
    Ok((cloud.header.stamp.to_nanoseconds(), points_of(&cloud)?))
}

fn read_boxes(data: &[u8]) -> Result<(i64, Vec<TruthBox>), String> {
    let array = Detection3DArray::decode(data).map_err(|error| error.to_string())?;
    Ok((array.header.stamp.to_nanoseconds(), boxes_of(&array)?))
}

fn read_poses(data: &[u8]) -> Result<(i64, Poses), String> {
    let array = PoseArray::decode(data).map_err(|error| error.to_string())?;
    let positions: Vec<[f64; 3]> =
        array.poses.iter().map(|pose| [pose.position.x, pose.position.y, pose.position.z]).collect();
    if let Some(index) = positions.iter().position(|position| !position.iter().all(|value| value.is_finite())) {
        return Err(format!("field `poses[{index}].position` is no place"));
    }
    Ok((array.header.stamp.to_nanoseconds(), Poses { frame_id: array.header.frame_id.to_owned(), positions }))
}

/// From coordinates of a frame to those of the sweep, at the sweep's time. A message without a frame means the sweep's.
fn transform_to(
    sweep: &MeasuredSweep,
    frame_id: &str,
    transforms: &TransformBuffer,
) -> Result<RigidTransform, TransformError> {
    let bare = |name: &str| name.trim_start_matches('/').to_owned();
    if frame_id.is_empty() || bare(frame_id) == bare(&sweep.frame_id) {
        return Ok(RigidTransform::identity());
    }
    transforms.lookup(&sweep.frame_id, frame_id, sweep.stamp)
}

fn check_topic(bag: &Bag, name: &str, needed: &'static str) -> Result<(), BagError> {
    let topic = bag.topic(name).ok_or_else(|| BagError::UnknownTopic {
        path: bag.path().into(),
        topic: name.into(),
        candidates: bag.topics().iter().map(|topic| topic.name.clone()).collect(),
    })?;
    if topic.type_name == needed {
        return Ok(());
    }
    Err(BagError::WrongType { path: bag.path().into(), topic: name.into(), found: topic.type_name.clone(), needed })
}

/// The topic that names class numbers: the named one, or the only one that has messages.
fn label_info_topic(bag: &Bag, config: &TruthLabels) -> Result<Option<String>, LidarLabelError> {
    if config.label_info.is_some() || config.poses.is_some() {
        return Ok(config.label_info.clone());
    }
    let found: Vec<String> = bag
        .topics()
        .iter()
        .filter(|topic| topic.type_name == LabelInfo::TYPE_NAME && topic.message_count != Some(0))
        .map(|topic| topic.name.clone())
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => Err(LidarLabelError::SeveralLabelInfos { path: bag.path().into(), candidates: found }),
    }
}
