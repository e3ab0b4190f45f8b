//! Frames of a camera topic, matched with the truth of another topic by their stamps.

use std::collections::{HashMap, VecDeque};

use super::{Bag, BagError, EncodedFrame, Loss, Messages, Topic, TopicFilter, TruthBox, frames::Payload};
use crate::{
    geometry::Box2,
    messages::{CompressedImage, DecodeError, Detection2DArray, Image},
};

/// So many frames wait for their truth at most.
const WAITING_FRAMES: usize = 64;
/// So many bytes of frames wait for their truth at most.
const WAITING_BYTES: usize = 64 << 20;
/// So many truth messages wait for their frame at most.
const WAITING_TRUTH: usize = 1024;

/// The frames of one camera topic.
#[derive(Debug)]
pub(super) struct TopicFrames {
    messages: Messages,
    camera: Topic,
    truth: Option<String>,
    waiting: VecDeque<EncodedFrame>,
    waiting_bytes: usize,
    /// Truth whose frame has not come, by stamp, and the order in which it came.
    early_truth: HashMap<i64, Vec<TruthBox>>,
    early_order: VecDeque<i64>,
    ended: bool,
    /// The stream's loss and what of its messages was broken.
    loss: Loss,
    broken: Loss,
}

/// True for the two message types of camera frames.
pub(super) fn is_camera(type_name: &str) -> bool {
    type_name == Image::TYPE_NAME || type_name == CompressedImage::TYPE_NAME
}

impl TopicFrames {
    pub(super) fn open(bag: &Bag, topic: Option<&str>, truth: Option<&str>) -> Result<Self, BagError> {
        let camera = camera_topic(bag, topic)?.clone();
        let mut wanted = vec![camera.name.clone()];
        if let Some(name) = truth {
            let topic = known_topic(bag, name)?;
            if topic.type_name != Detection2DArray::TYPE_NAME {
                return Err(BagError::WrongType {
                    path: bag.path().into(),
                    topic: name.into(),
                    found: topic.type_name.clone(),
                    needed: "vision_msgs/msg/Detection2DArray for truth",
                });
            }
            wanted.push(name.into());
        }
        let messages = bag.messages(&TopicFilter::Only(wanted))?;
        let loss = messages.loss().clone();
        Ok(Self {
            messages,
            camera,
            truth: truth.map(Into::into),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            early_truth: HashMap::new(),
            early_order: VecDeque::new(),
            ended: false,
            loss,
            broken: Loss::default(),
        })
    }

    pub(super) fn topic(&self) -> &str {
        &self.camera.name
    }

    pub(super) fn len_hint(&self) -> Option<u64> {
        self.camera.message_count
    }

    pub(super) fn loss(&self) -> &Loss {
        &self.loss
    }

    pub(super) fn has_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// The next frame in order; it has waited for its truth where truth is wanted.
    pub(super) fn next_frame(&mut self) -> Result<Option<EncodedFrame>, BagError> {
        loop {
            if self.front_is_due() {
                let frame = self.waiting.pop_front();
                self.waiting_bytes -= frame.as_ref().map_or(0, EncodedFrame::size);
                return Ok(frame);
            }
            if self.ended {
                return Ok(None);
            }
            self.take_message()?;
        }
    }

    fn front_is_due(&self) -> bool {
        self.waiting.front().is_some_and(|front| {
            self.truth.is_none()
                || front.truth.is_some()
                || self.ended
                || self.waiting.len() > WAITING_FRAMES
                || self.waiting_bytes > WAITING_BYTES
        })
    }

    /// Reads one message of either topic.
    fn take_message(&mut self) -> Result<(), BagError> {
        let Some(message) = self.messages.next().transpose()? else {
            self.ended = true;
            self.loss = self.messages.loss().clone();
            self.loss.merge(&self.broken);
            return Ok(());
        };
        let taken = if self.messages.topic(message.topic).is_some_and(|topic| topic.name == self.camera.name) {
            self.take_frame(message.data)
        } else {
            self.take_truth(&message.data)
        };
        if let Err(error) = taken {
            let topic = self.messages.topic(message.topic).map_or("", |topic| topic.name.as_str());
            self.broken.add_broken(format!("{topic}: message {}: {error}", self.messages.delivered()));
            self.loss = self.messages.loss().clone();
            self.loss.merge(&self.broken);
        }
        Ok(())
    }

    fn take_frame(&mut self, data: Vec<u8>) -> Result<(), String> {
        let words = |error: DecodeError| error.to_string();
        let (stamp, frame_id, payload) = if self.camera.type_name == Image::TYPE_NAME {
            let header = Image::decode(&data).map_err(words)?.header;
            (header.stamp, header.frame_id.to_owned(), Payload::Raw(data))
        } else {
            let header = CompressedImage::decode(&data).map_err(words)?.header;
            (header.stamp, header.frame_id.to_owned(), Payload::Compressed(data))
        };
        let stamp = stamp.to_nanoseconds();
        let truth = self.early_truth.remove(&stamp);
        let frame = EncodedFrame { index: 0, name: stamp.to_string(), stamp, frame_id, truth, payload };
        self.waiting_bytes += frame.size();
        self.waiting.push_back(frame);
        Ok(())
    }

    fn take_truth(&mut self, data: &[u8]) -> Result<(), String> {
        let array = Detection2DArray::decode(data).map_err(|error| error.to_string())?;
        let stamp = array.header.stamp.to_nanoseconds();
        let boxes = truth_boxes(&array)?;
        if let Some(frame) = self.waiting.iter_mut().find(|frame| frame.stamp == stamp && frame.truth.is_none()) {
            frame.truth = Some(boxes);
            return Ok(());
        }
        if self.early_truth.insert(stamp, boxes).is_none() {
            self.early_order.push_back(stamp);
        }
        while self.early_order.len() > WAITING_TRUTH {
            if let Some(oldest) = self.early_order.pop_front() {
                self.early_truth.remove(&oldest);
            }
        }
        Ok(())
    }
}

/// The boxes of a truth message: the best hypothesis names the class; a turned box is taken for the upright one around it.
fn truth_boxes(array: &Detection2DArray<'_>) -> Result<Vec<TruthBox>, String> {
    let one = |(index, detection): (usize, &crate::messages::Detection2D<'_>)| {
        let best = detection.results.iter().max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
        let class = best.ok_or_else(|| format!("field `detections[{index}].results` is empty: no class"))?;
        let bbox = &detection.bbox;
        let (sin, cos) = (bbox.center.theta.sin().abs(), bbox.center.theta.cos().abs());
        let (width, height) = (bbox.size_x * cos + bbox.size_y * sin, bbox.size_x * sin + bbox.size_y * cos);
        let bbox = Box2::from_center(
            bbox.center.position.x as f32,
            bbox.center.position.y as f32,
            width as f32,
            height as f32,
        );
        if !bbox.is_valid() {
            return Err(format!("field `detections[{index}].bbox` is no box"));
        }
        Ok(TruthBox { bbox, class: class.hypothesis.class_id.to_owned(), crowd: false })
    };
    array.detections.iter().enumerate().map(one).collect()
}

fn known_topic<'a>(bag: &'a Bag, name: &str) -> Result<&'a Topic, BagError> {
    bag.topic(name).ok_or_else(|| BagError::UnknownTopic {
        path: bag.path().into(),
        topic: name.into(),
        candidates: bag.topics().iter().map(|topic| topic.name.clone()).collect(),
    })
}

/// The named camera topic, or the only one that has messages.
fn camera_topic<'a>(bag: &'a Bag, name: Option<&str>) -> Result<&'a Topic, BagError> {
    if let Some(name) = name {
        let topic = known_topic(bag, name)?;
        if !is_camera(&topic.type_name) {
            return Err(BagError::WrongType {
                path: bag.path().into(),
                topic: name.into(),
                found: topic.type_name.clone(),
                needed: "sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage",
            });
        }
        return Ok(topic);
    }
    let cameras: Vec<&Topic> =
        bag.topics().iter().filter(|topic| is_camera(&topic.type_name) && topic.message_count != Some(0)).collect();
    match cameras.as_slice() {
        [one] => Ok(one),
        [] => Err(BagError::NoCamera {
            path: bag.path().into(),
            candidates: bag.topics().iter().map(|topic| format!("{} ({})", topic.name, topic.type_name)).collect(),
        }),
        _ => Err(BagError::SeveralCameras {
            path: bag.path().into(),
            candidates: cameras.iter().map(|topic| topic.name.clone()).collect(),
        }),
    }
}
