//! What of a recording is needed beside images and sweeps: the camera's calibration and the transforms.

use std::ops::ControlFlow;

use super::{
    super::{
        LidarLabelError,
        transforms::{is_transforms, take_transforms, whole_recording},
    },
    CameraLabels,
};
use crate::{
    distill::bag::{Bag, BagError, Loss, Topic, TopicFilter},
    geometry::CameraModel,
    messages::CameraInfo,
    sensing::transforms::TransformBuffer,
};

/// The calibration and the transforms of a recording.
pub(super) struct Recorded {
    /// The camera.
    pub camera: CameraModel,
    /// The optical frame, as the calibration's header has it; may be empty.
    pub frame_id: String,
    /// Where frames are, for the whole recording.
    pub transforms: TransformBuffer,
    /// What could not be read.
    pub loss: Loss,
}

impl Recorded {
    /// Reads them for the camera of that image topic.
    ///
    /// # Errors
    /// There are no transforms, or no usable calibration.
    pub fn read(bag: &Bag, config: &CameraLabels, image_topic: &str) -> Result<Self, LidarLabelError> {
        let info = info_topic(bag, config, image_topic)?;
        let mut names = vec![info];
        names.extend(bag.topics().iter().filter(|topic| is_transforms(topic)).map(|topic| topic.name.clone()));
        if names.len() == 1 {
            let message = "the recording has no transforms; record /tf and /tf_static too: they tell where camera and \
                           lidar sit";
            return Err(wrong(bag, "camera", message));
        }
        let mut camera: Option<(CameraModel, String)> = None;
        let mut fault = None;
        let mut transforms = whole_recording();
        let mut broken = Loss::default();
        let mut loss = bag.read(&TopicFilter::only(names), |message| {
            let topic = message.topic;
            let taken = if is_transforms(topic) {
                take_transforms(&mut transforms, topic, message.data)
            } else if camera.is_none() {
                take_info(&mut camera, &mut fault, message.data)
            } else {
                Ok(())
            };
            if let Err(reason) = taken {
                broken.add_broken(format!("{}: {reason}", topic.name));
            }
            ControlFlow::Continue(())
        })?;
        loss.merge(&broken);
        let Some((camera, frame_id)) = camera else {
            let reason = fault.unwrap_or_else(|| "the topic has no message that can be read".into());
            return Err(wrong(bag, "camera.info", &reason));
        };
        Ok(Self { camera, frame_id, transforms, loss })
    }
}

/// The complaint about a value of the entry.
pub(super) fn wrong(bag: &Bag, key: &str, message: &str) -> LidarLabelError {
    LidarLabelError::Config { path: bag.path().into(), key: key.into(), message: message.into() }
}

/// Takes the first usable calibration; `fault` keeps why the first one was not.
fn take_info(
    camera: &mut Option<(CameraModel, String)>,
    fault: &mut Option<String>,
    data: &[u8],
) -> Result<(), String> {
    let info = CameraInfo::decode(data).map_err(|error| error.to_string())?;
    match CameraModel::from_info(&info) {
        Ok(model) => *camera = Some((model, info.header.frame_id.to_owned())),
        Err(error) => {
            fault.get_or_insert(error.to_string());
        }
    }
    Ok(())
}

fn is_info(topic: &Topic) -> bool {
    topic.type_name == CameraInfo::TYPE_NAME
}

/// The named CameraInfo topic, or the one beside the images, or the only one.
fn info_topic(bag: &Bag, config: &CameraLabels, image_topic: &str) -> Result<String, LidarLabelError> {
    if let Some(name) = &config.info {
        let topic = bag.topic(name).ok_or_else(|| BagError::UnknownTopic {
            path: bag.path().into(),
            topic: name.clone(),
            candidates: bag.topics().iter().map(|topic| topic.name.clone()).collect(),
        })?;
        if !is_info(topic) {
            return Err(LidarLabelError::Bag(BagError::WrongType {
                path: bag.path().into(),
                topic: name.clone(),
                found: topic.type_name.clone(),
                needed: "sensor_msgs/msg/CameraInfo",
            }));
        }
        return Ok(name.clone());
    }
    // As image_transport has it: /camera/camera_info beside /camera/image_raw and /camera/image_raw/compressed.
    let mut space = image_topic;
    for _ in 0..2 {
        let Some((above, _)) = space.rsplit_once('/') else { break };
        space = above;
        let beside = format!("{space}/camera_info");
        if bag.topic(&beside).is_some_and(is_info) {
            return Ok(beside);
        }
    }
    let found: Vec<&str> =
        bag.topics().iter().filter(|topic| is_info(topic)).map(|topic| topic.name.as_str()).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(wrong(bag, "camera.info", "the recording has no sensor_msgs/msg/CameraInfo; record the camera's")),
        _ => {
            let message = format!("none lies beside {image_topic}; name the camera's as `info`: {}", found.join(", "));
            Err(wrong(bag, "camera.info", &message))
        }
    }
}
