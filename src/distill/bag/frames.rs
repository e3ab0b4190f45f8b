//! The camera frames of a recording, with truth boxes where there are some.

use std::path::{Path, PathBuf};

use image::RgbImage;

use super::{BagError, ImageFolder, Loss, Recording, coco::Coco, topic_frames::TopicFrames};
use crate::{
    geometry::Box2,
    messages::{CompressedImage, DecodeError, Image},
    sensing::image::{ImageError, decode_compressed, decode_compressed_bytes, decode_image},
};

/// Where truth boxes come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TruthSource {
    /// Nowhere. A folder of images still uses the one COCO file that lies in it.
    #[default]
    None,
    /// A topic of `vision_msgs/msg/Detection2DArray` in the same bag, whose headers carry the images' stamps.
    Topic(String),
    /// A COCO `instances` file. Its `file_name` is matched to an image's path in the folder or its name alone; frames of a bag
    /// go by their stamp in nanoseconds (`1700000000200000000.jpg`).
    Coco(PathBuf),
}

/// A box that is known to be right.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthBox {
    /// Where, in pixels of the original image.
    pub bbox: Box2,
    /// What: the class's name (or number, where the recording has no names).
    pub class: String,
    /// A crowd in the sense of COCO: many objects in one box, which count neither for nor against a detector.
    pub crowd: bool,
}

/// A frame that is not decoded yet. It owns its bytes, so that other threads can do that.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// Its place among the recording's frames that could be read, from 0.
    pub index: u64,
    /// Its path in the folder; in a bag its stamp in nanoseconds.
    pub name: String,
    /// The header's stamp in nanoseconds.
    pub stamp: i64,
    /// The camera's frame, empty in a folder.
    pub frame_id: String,
    /// The truth boxes; `None` when nothing is known of this frame (which is not the same as "no objects").
    pub truth: Option<Vec<TruthBox>>,
    pub(super) payload: Payload,
}

/// A frame's bytes.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// CDR of a `sensor_msgs/msg/Image`.
    Raw(Vec<u8>),
    /// CDR of a `sensor_msgs/msg/CompressedImage`.
    Compressed(Vec<u8>),
    /// A JPEG or PNG file.
    File(Vec<u8>),
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Raw(bytes) | Self::Compressed(bytes) | Self::File(bytes) => bytes.len(),
        }
    }
}

impl EncodedFrame {
    /// The image in RGB.
    ///
    /// # Errors
    /// When the encoding is not supported or the bytes are corrupt.
    pub fn decode(&self) -> Result<RgbImage, ImageError> {
        match &self.payload {
            Payload::Raw(bytes) => decode_image(&Image::decode(bytes).map_err(undecodable)?),
            Payload::Compressed(bytes) => decode_compressed(&CompressedImage::decode(bytes).map_err(undecodable)?),
            Payload::File(bytes) => decode_compressed_bytes(bytes),
        }
    }

    /// The bytes that it takes in memory.
    pub fn size(&self) -> usize {
        self.payload.len()
    }
}

/// The messages of frames were decoded once before, so this is for completeness.
fn undecodable(error: DecodeError) -> ImageError {
    use image::error::{DecodingError, ImageFormatHint};
    ImageError::Corrupt(image::ImageError::Decoding(DecodingError::new(ImageFormatHint::Unknown, error)))
}

/// The frames of a camera topic or a folder of images, in order, as an iterator. What cannot be read is counted in
/// [`Frames::loss`] and passed over; an `Err` ends the stream.
///
/// ```no_run
/// use distilled_perception::distill::bag::{Frames, TruthSource};
///
/// let mut frames = Frames::open("my_bag", Some("/camera/image_raw"), TruthSource::None)?;
/// for frame in &mut frames {
///     let frame = frame?;
///     println!("{} {:?}", frame.stamp, frame.decode()?.dimensions());
/// }
/// eprintln!("{}", frames.loss());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Frames {
    source: Source,
    coco: Option<Coco>,
    next_index: u64,
    without_truth: u64,
}

#[derive(Debug)]
enum Source {
    Topic(Box<TopicFrames>),
    Folder { folder: ImageFolder, name: String, next: usize, loss: Loss },
}

impl Frames {
    /// Opens a recording (see [`Recording::open`]) for its frames. `topic` names the camera topic; without it there must be just
    /// one. A folder of images has no topics.
    ///
    /// # Errors
    /// When the recording cannot be opened, no or several camera topics are there, the named one is missing or of another type,
    /// or the truth is unusable; the message names the candidates.
    pub fn open(path: impl AsRef<Path>, topic: Option<&str>, truth: TruthSource) -> Result<Self, BagError> {
        Self::of(Recording::open(path)?, topic, truth)
    }

    /// The frames of a recording that is open already; see [`Frames::open`].
    ///
    /// # Errors
    /// Those of [`Frames::open`].
    pub fn of(recording: Recording, topic: Option<&str>, truth: TruthSource) -> Result<Self, BagError> {
        let mut coco = match &truth {
            TruthSource::Coco(path) => Some(Coco::read(path)?),
            _ => None,
        };
        let source = match recording {
            Recording::Bag(bag) => {
                let truth_topic = match &truth {
                    TruthSource::Topic(name) => Some(name.as_str()),
                    _ => None,
                };
                Source::Topic(Box::new(TopicFrames::open(&bag, topic, truth_topic)?))
            }
            Recording::Folder(folder) => {
                if let Some(topic) = topic {
                    return Err(BagError::UnknownTopic {
                        path: folder.path().into(),
                        topic: topic.into(),
                        candidates: vec!["no topics: it is a folder of images".into()],
                    });
                }
                if let TruthSource::Topic(name) = &truth {
                    return Err(BagError::Truth {
                        path: folder.path().into(),
                        reason: format!("truth topic `{name}`: a folder of images has no topics; name a COCO file"),
                    });
                }
                if truth == TruthSource::None
                    && let Some(labels) = folder.labels()
                {
                    coco = Some(Coco::read(labels)?);
                }
                let name = folder.path().display().to_string();
                Source::Folder { folder, name, next: 0, loss: Loss::default() }
            }
        };
        Ok(Self { source, coco, next_index: 0, without_truth: 0 })
    }

    /// Reads the recording through for its earliest and latest header stamp (nanoseconds); `None` when it holds no frames.
    ///
    /// # Errors
    /// When the recording cannot be read on.
    pub fn stamp_range(self) -> Result<Option<(i64, i64)>, BagError> {
        let mut stamps: Option<(i64, i64)> = None;
        for frame in self {
            let stamp = frame?.stamp;
            stamps = Some(stamps.map_or((stamp, stamp), |(first, last)| (first.min(stamp), last.max(stamp))));
        }
        Ok(stamps)
    }

    /// The camera topic; the folder's path for a folder.
    pub fn topic(&self) -> &str {
        match &self.source {
            Source::Topic(frames) => frames.topic(),
            Source::Folder { name, .. } => name,
        }
    }

    /// How many frames there should be, where the recording says.
    pub fn len_hint(&self) -> Option<u64> {
        match &self.source {
            Source::Topic(frames) => frames.len_hint(),
            Source::Folder { folder, .. } => Some(folder.names().len() as u64),
        }
    }

    /// What could not be read so far; all of it once the iterator has ended.
    pub fn loss(&self) -> &Loss {
        match &self.source {
            Source::Topic(frames) => frames.loss(),
            Source::Folder { loss, .. } => loss,
        }
    }

    /// The classes of the COCO file in the order of their ids; empty without one.
    pub fn truth_classes(&self) -> &[String] {
        self.coco.as_ref().map_or(&[], |coco| &coco.classes)
    }

    /// How many frames were given without truth although truth was asked for.
    pub fn without_truth(&self) -> u64 {
        self.without_truth
    }

    /// The images that the COCO file knows and that have not come yet: at the end, those that the recording does not have.
    pub fn unknown_images(&self) -> Vec<String> {
        self.coco.as_ref().map(Coco::unasked).unwrap_or_default()
    }
}

impl Iterator for Frames {
    type Item = Result<EncodedFrame, BagError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (frame, truth_asked) = match &mut self.source {
            Source::Topic(frames) => (frames.next_frame(), frames.has_truth()),
            Source::Folder { folder, next, loss, .. } => (Ok(read_image(folder, next, loss)), false),
        };
        let mut frame = match frame {
            Ok(frame) => frame?,
            Err(error) => return Some(Err(error)),
        };
        frame.index = self.next_index;
        self.next_index += 1;
        if let Some(coco) = &mut self.coco {
            frame.truth = coco.truth(&frame.name);
        }
        if (truth_asked || self.coco.is_some()) && frame.truth.is_none() {
            self.without_truth += 1;
        }
        Some(Ok(frame))
    }
}

/// The folder's next image that can be read.
fn read_image(folder: &ImageFolder, next: &mut usize, loss: &mut Loss) -> Option<EncodedFrame> {
    loop {
        let index = *next;
        let name = folder.names().get(index)?.clone();
        *next += 1;
        let path = folder.path().join(&name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                return Some(EncodedFrame {
                    index: 0,
                    name,
                    stamp: folder.stamp(index),
                    frame_id: String::new(),
                    truth: None,
                    payload: Payload::File(bytes),
                });
            }
            Err(error) => loss.add(0, 1, format!("{}: {error}", path.display())),
        }
    }
}
