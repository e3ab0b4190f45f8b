//! The sweeps of a recording, and what is read beside them in one pass.

use std::{ops::ControlFlow, path::Path};

use super::{
    LidarData, LidarLabelError,
    config::LabelSource,
    transforms::{is_transforms, take_transforms, whole_recording},
    truth::TruthReader,
};
use crate::{
    distill::bag::{Bag, BagError, Loss, Topic, TopicFilter},
    messages::{LaserScan, PointCloud2},
    sensing::{range_image::Sweep, transforms::TransformBuffer},
};

/// A sweep as it was measured.
#[derive(Debug)]
pub struct MeasuredSweep {
    /// Its place among the messages of its topic, those that cannot be read counted.
    pub place: usize,
    /// The header's stamp, in nanoseconds.
    pub stamp: i64,
    /// The sensor's frame.
    pub frame_id: String,
    /// The points.
    pub sweep: Sweep,
}

/// What one pass over a recording gives.
pub struct Pass {
    /// The sweeps that can be read, by stamp.
    pub sweeps: Vec<MeasuredSweep>,
    /// Where frames are; empty where nobody asks for that.
    pub transforms: TransformBuffer,
    /// What could not be read.
    pub loss: Loss,
}

fn is_lidar(type_name: &str) -> bool {
    type_name == LaserScan::TYPE_NAME || type_name == PointCloud2::TYPE_NAME
}

/// The topic of the sweeps: the named one, or the only one that has messages and is no truth.
///
/// # Errors
/// It is not there or of another type, or there are none or several.
pub fn sweep_topic<'b>(bag: &'b Bag, data: &LidarData) -> Result<&'b Topic, LidarLabelError> {
    let names = || bag.topics().iter().map(|topic| topic.name.clone());
    if let Some(name) = &data.topic {
        let topic = bag.topic(name).ok_or_else(|| BagError::UnknownTopic {
            path: bag.path().into(),
            topic: name.clone(),
            candidates: names().collect(),
        })?;
        if !is_lidar(&topic.type_name) {
            return Err(LidarLabelError::Bag(BagError::WrongType {
                path: bag.path().into(),
                topic: name.clone(),
                found: topic.type_name.clone(),
                needed: "sensor_msgs/msg/LaserScan or sensor_msgs/msg/PointCloud2",
            }));
        }
        return Ok(topic);
    }
    let of_labels = data.labels.iter().filter_map(|source| match source {
        LabelSource::Truth(truth) => truth.points.as_deref(),
        LabelSource::Camera(_) | LabelSource::Teacher(_) => None,
    });
    let truths: Vec<&str> = data.truth.iter().filter_map(|truth| truth.points.as_deref()).chain(of_labels).collect();
    let is_truth = |name: &str| name.starts_with("/truth/") || truths.contains(&name);
    let found: Vec<&Topic> = bag
        .topics()
        .iter()
        .filter(|topic| is_lidar(&topic.type_name) && topic.message_count != Some(0) && !is_truth(&topic.name))
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(LidarLabelError::NoLidar {
            path: bag.path().into(),
            candidates: bag.topics().iter().map(|topic| format!("{} ({})", topic.name, topic.type_name)).collect(),
        }),
        _ => Err(LidarLabelError::SeveralLidars {
            path: bag.path().into(),
            candidates: found.iter().map(|topic| topic.name.clone()).collect(),
        }),
    }
}

/// Reads sweeps, truth and, where truth or `needs_transforms` asks for them, transforms. `watch` is called for every sweep with 0 and the number of sweeps
/// to come, and may stop.
///
/// # Errors
/// When the recording cannot be read on, has no sweep that can be read, or was stopped.
pub fn read(
    bag: &Bag,
    topic: &Topic,
    truths: &mut [TruthReader],
    needs_transforms: bool,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Pass, LidarLabelError> {
    let mut wanted = vec![topic.name.clone()];
    wanted.extend(truths.iter().flat_map(TruthReader::topics).map(str::to_owned));
    if needs_transforms || truths.iter().any(TruthReader::needs_transforms) {
        let transforms = bag.topics().iter().filter(|topic| is_transforms(topic));
        wanted.extend(transforms.map(|topic| topic.name.clone()));
    }
    let mut messages = bag.messages(&TopicFilter::Only(wanted))?;
    let expected = topic.message_count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let (mut place, mut sweeps, mut broken) = (0, Vec::new(), Loss::default());
    let mut transforms = whole_recording();
    while let Some(message) = messages.read_next()? {
        let name = message.topic.name.as_str();
        let mut taken = if name == topic.name {
            if watch(0, expected.max(place)).is_break() {
                return Err(LidarLabelError::Stopped);
            }
            place += 1;
            read_sweep(message.data, &topic.type_name, place - 1).map(|sweep| sweeps.push(sweep))
        } else if is_transforms(message.topic) {
            take_transforms(&mut transforms, message.topic, message.data)
        } else {
            Ok(())
        };
        // Several entries may want the same topic, and a labelled cloud may be the sweep itself.
        for truth in truths.iter_mut() {
            taken = taken.and(truth.take(name, message.data));
        }
        if let Err(reason) = taken {
            broken.add_broken(format!("{name}: {reason}"));
        }
    }
    let mut loss = messages.loss().clone();
    loss.merge(&broken);
    for truth in truths {
        truth.finish(bag, place)?;
    }
    if sweeps.is_empty() {
        return Err(LidarLabelError::NoSweeps {
            path: bag.path().into(),
            topic: topic.name.clone(),
            detail: loss.to_string(),
        });
    }
    sweeps.sort_by_key(|sweep: &MeasuredSweep| sweep.stamp);
    Ok(Pass { sweeps, transforms, loss })
}

/// The sweeps of a recording by stamp and what of it could not be read, without any labels: of the named topic, or of the only one that
/// has sweeps and is no truth.
///
/// # Errors
/// The recording cannot be read, or the topic is not there, is no lidar's, or one of several.
pub fn read_sweeps(path: &Path, topic: Option<&str>) -> Result<(Vec<Sweep>, Loss), LidarLabelError> {
    let data = LidarData {
        path: path.to_path_buf(),
        topic: topic.map(str::to_owned),
        labels: Vec::new(),
        carry_over: None,
        follow: None,
        truth: None,
        block: None,
    };
    let bag = Bag::open(path)?;
    let topic = sweep_topic(&bag, &data)?;
    let Pass { sweeps, loss, .. } = read(&bag, topic, &mut [], false, &mut |_, _| ControlFlow::Continue(()))?;
    Ok((sweeps.into_iter().map(|measured| measured.sweep).collect(), loss))
}

fn read_sweep(data: &[u8], type_name: &str, place: usize) -> Result<MeasuredSweep, String> {
    let (header, sweep) = if type_name == LaserScan::TYPE_NAME {
        let scan = LaserScan::decode(data).map_err(|error| error.to_string())?;
        (scan.header, Sweep::from_scan(&scan).map_err(|error| error.to_string())?)
    } else {
        let cloud = PointCloud2::decode(data).map_err(|error| error.to_string())?;
        (cloud.header, Sweep::from_cloud(&cloud).map_err(|error| error.to_string())?)
    };
    Ok(MeasuredSweep { place, stamp: header.stamp.to_nanoseconds(), frame_id: header.frame_id.to_owned(), sweep })
}
