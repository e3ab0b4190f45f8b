//! What a recording holds, gathered in one pass over it.

use std::{collections::BTreeMap, io::Cursor, path::Path};

use serde::Serialize;

use super::{Bag, BagError, ImageFolder, Loss, Topic, TopicFilter, TruthBox, coco::Coco};
use crate::{
    messages::{CameraInfo, CompressedImage, DecodeError, Detection2DArray, Header, Image, LaserScan, PointCloud2},
    sensing::image::ImageError,
};

/// What a bag holds.
#[derive(Debug, Clone, Serialize)]
pub struct BagSurvey {
    /// First message's time, nanoseconds since the epoch; `None` when no message could be read.
    pub start_nanoseconds: Option<i64>,
    /// From the first to the last message in seconds.
    pub duration_seconds: f64,
    /// Messages that were read.
    pub messages: u64,
    /// Each topic, by name.
    pub topics: Vec<TopicSurvey>,
    /// What could not be read.
    #[serde(skip)]
    pub loss: Loss,
}

/// What a topic holds.
#[derive(Debug, Clone, Serialize)]
pub struct TopicSurvey {
    /// Its name.
    pub name: String,
    /// Its message type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Messages that were read.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
    /// Messages a second by their log times, from two messages on.
    pub rate_hertz: Option<f64>,
    /// Standard deviation of the time between messages, from three messages on.
    pub jitter_milliseconds: Option<f64>,
    /// The longest time between two messages.
    pub longest_gap_milliseconds: Option<f64>,
    /// `frame_id` of the first message, for types that are known here.
    pub frame_id: Option<String>,
    /// What the images look like, by the first message.
    pub image: Option<ImageSurvey>,
    /// Why the first message could not be decoded, or which format that is not supported its image has.
    pub problem: Option<String>,
}

/// What images look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSurvey {
    /// `encoding` of an `Image`, `format` of a `CompressedImage`.
    pub encoding: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Gathers a topic's times; mean and variance after Welford 1962, so that no list of times is kept.
#[derive(Debug, Default)]
struct Times {
    count: u64,
    bytes: u64,
    first: i64,
    last: i64,
    mean: f64,
    squares: f64,
    longest: f64,
}

impl Times {
    fn add(&mut self, time: i64, bytes: usize) {
        if self.count > 0 {
            let gap = time.saturating_sub(self.last) as f64;
            let before = gap - self.mean;
            self.mean += before / self.count as f64;
            self.squares += before * (gap - self.mean);
            self.longest = self.longest.max(gap);
        } else {
            self.first = time;
        }
        self.last = time;
        self.count += 1;
        self.bytes += bytes as u64;
    }

    fn rate(&self) -> Option<f64> {
        let span = self.last.saturating_sub(self.first);
        (self.count > 1 && span > 0).then(|| (self.count - 1) as f64 / (span as f64 * 1e-9))
    }

    fn jitter(&self) -> Option<f64> {
        (self.count > 2).then(|| (self.squares / (self.count - 1) as f64).max(0.0).sqrt() * 1e-6)
    }
}

impl BagSurvey {
    /// Reads the whole bag once; `progress` is told how many messages were read.
    ///
    /// # Errors
    /// Those of reading, see [`Bag::read`].
    pub fn of(bag: &Bag, mut progress: impl FnMut(u64)) -> Result<Self, BagError> {
        let mut times: Vec<Times> = bag.topics().iter().map(|_| Times::default()).collect();
        let places: BTreeMap<&str, usize> =
            bag.topics().iter().enumerate().map(|(place, topic)| (topic.name.as_str(), place)).collect();
        let mut firsts: Vec<FirstMessage> = bag.topics().iter().map(|_| FirstMessage::default()).collect();
        let mut broken = Loss::default();
        let mut messages = bag.messages(&TopicFilter::All)?;
        while let Some(message) = messages.read_next()? {
            let Some(&place) = places.get(message.topic.name.as_str()) else { continue };
            if times[place].count == 0 {
                firsts[place] = FirstMessage::look(message.topic, message.data).unwrap_or_else(|error| {
                    broken.add_broken(format!("{}: first message: {error}", message.topic.name));
                    FirstMessage { problem: Some(error), ..Default::default() }
                });
            }
            times[place].add(message.log_time, message.data.len());
            progress(messages.delivered());
        }
        let mut loss = messages.loss().clone();
        loss.merge(&broken);
        let read = || times.iter().filter(|times| times.count > 0);
        let start = read().map(|times| times.first).min();
        let end = read().map(|times| times.last).max();
        let mut topics: Vec<TopicSurvey> = bag
            .topics()
            .iter()
            .zip(&times)
            .zip(firsts)
            .map(|((topic, times), first)| TopicSurvey {
                name: topic.name.clone(),
                type_name: topic.type_name.clone(),
                messages: times.count,
                bytes: times.bytes,
                rate_hertz: times.rate(),
                jitter_milliseconds: times.jitter(),
                longest_gap_milliseconds: (times.count > 1).then_some(times.longest * 1e-6),
                frame_id: first.frame_id,
                image: first.image,
                problem: first.problem,
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            start_nanoseconds: start,
            duration_seconds: start.zip(end).map_or(0.0, |(start, end)| end.saturating_sub(start) as f64 * 1e-9),
            messages: messages.delivered(),
            topics,
            loss,
        })
    }
}

/// What a topic's first message tells.
#[derive(Debug, Default)]
struct FirstMessage {
    frame_id: Option<String>,
    image: Option<ImageSurvey>,
    problem: Option<String>,
}

impl FirstMessage {
    fn look(topic: &Topic, data: &[u8]) -> Result<Self, String> {
        let words = |error: DecodeError| error.to_string();
        let framed = |header: Header<'_>| Some(header.frame_id.to_owned());
        let mut first = Self::default();
        match topic.type_name.as_str() {
            Image::TYPE_NAME => {
                let message = Image::decode(data).map_err(words)?;
                first.frame_id = framed(message.header);
                let encoding = message.encoding.to_owned();
                first.image = Some(ImageSurvey { encoding, width: message.width, height: message.height });
            }
            CompressedImage::TYPE_NAME => {
                let message = CompressedImage::decode(data).map_err(words)?;
                first.frame_id = framed(message.header);
                if let Some(unsupported) = unsupported_format(&message) {
                    first.problem = Some(unsupported.to_string());
                    return Ok(first);
                }
                let (width, height) = image::ImageReader::new(Cursor::new(message.data))
                    .with_guessed_format()
                    .map_err(|error| error.to_string())?
                    .into_dimensions()
                    .map_err(|error| format!("format `{}`: {error}", message.format))?;
                first.image = Some(ImageSurvey { encoding: message.format.to_owned(), width, height });
            }
            CameraInfo::TYPE_NAME => first.frame_id = framed(CameraInfo::decode(data).map_err(words)?.header),
            LaserScan::TYPE_NAME => first.frame_id = framed(LaserScan::decode(data).map_err(words)?.header),
            PointCloud2::TYPE_NAME => first.frame_id = framed(PointCloud2::decode(data).map_err(words)?.header),
            Detection2DArray::TYPE_NAME => {
                first.frame_id = framed(Detection2DArray::decode(data).map_err(words)?.header);
            }
            _ => {}
        }
        Ok(first)
    }
}

/// What is said of a compressed image of a sound format that is not supported here; `None` for JPEG and PNG, and for what says
/// that it is one and is not, which is broken.
fn unsupported_format(message: &CompressedImage<'_>) -> Option<ImageError> {
    let format = message.format.to_owned();
    if format.contains("compressedDepth") {
        return Some(ImageError::CompressedDepth { format });
    }
    let claimed = format.to_ascii_lowercase();
    match image::guess_format(message.data) {
        Ok(image::ImageFormat::Jpeg | image::ImageFormat::Png) => None,
        _ if ["jpeg", "jpg", "png"].iter().any(|name| claimed.contains(name)) => None,
        _ => Some(ImageError::UnsupportedCompression { format }),
    }
}

/// What a folder of images holds.
#[derive(Debug, Clone, Serialize)]
pub struct FolderSurvey {
    /// Images in it.
    pub images: u64,
    /// How many images there are of each size.
    pub sizes: Vec<SizeCount>,
    /// The COCO file.
    pub labels: Option<String>,
    /// Images that the COCO file knows.
    pub labelled_images: u64,
    /// Boxes of each class.
    pub classes: BTreeMap<String, u64>,
    /// Images of the COCO file that are not in the folder.
    pub missing_images: Vec<String>,
    /// Images that could not be read.
    #[serde(skip)]
    pub loss: Loss,
}

/// How many images there are of a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Images.
    pub images: u64,
}

impl FolderSurvey {
    /// Looks at every image's header and at the COCO file.
    ///
    /// # Errors
    /// When the COCO file is unusable.
    pub fn of(folder: &ImageFolder) -> Result<Self, BagError> {
        let mut loss = Loss::default();
        let mut sizes: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let mut coco = folder.labels().map(Coco::read).transpose()?;
        let mut classes: BTreeMap<String, u64> =
            coco.iter().flat_map(|coco| &coco.classes).map(|class| (class.clone(), 0)).collect();
        let mut labelled = 0;
        for name in folder.names() {
            match image_size(&folder.path().join(name)) {
                Ok(size) => *sizes.entry(size).or_default() += 1,
                Err(error) => loss.add_broken(format!("{name}: {error}")),
            }
            if let Some(boxes) = coco.as_mut().and_then(|coco| coco.truth(name)) {
                labelled += 1;
                for TruthBox { class, .. } in boxes {
                    *classes.entry(class).or_default() += 1;
                }
            }
        }
        let sizes = sizes.into_iter().map(|((width, height), images)| SizeCount { width, height, images });
        Ok(Self {
            images: folder.names().len() as u64,
            sizes: sizes.collect(),
            labels: folder.labels().map(|path| path.display().to_string()),
            labelled_images: labelled,
            classes,
            missing_images: coco.map(|coco| coco.unasked()).unwrap_or_default(),
            loss,
        })
    }
}

/// An image file's size by its header.
fn image_size(path: &Path) -> Result<(u32, u32), String> {
    image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|error| error.to_string())?
        .into_dimensions()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_jitter_of_known_times() {
        let mut times = Times::default();
        for time in [0, 100_000_000, 220_000_000, 300_000_000] {
            times.add(time, 10);
        }
        assert!((times.rate().unwrap() - 10.0).abs() < 1e-9);
        // Gaps 100, 120, 80 ms: variance (0 + 400 + 400) / 3.
        assert!((times.jitter().unwrap() - (800.0_f64 / 3.0).sqrt()).abs() < 1e-9);
        assert_eq!((times.longest * 1e-6, times.bytes), (120.0, 40));
    }

    #[test]
    fn formats_that_are_not_supported_are_told_from_broken_images() {
        let png = b"\x89PNG\r\n\x1a\n".as_slice();
        let unsupported = |format: &str, data: &[u8]| {
            unsupported_format(&CompressedImage { header: Header::default(), format, data })
                .map(|error| error.to_string())
        };
        assert_eq!(unsupported("png", png), None);
        assert_eq!(unsupported("strange", png), None);
        assert_eq!(unsupported("bgr8; jpeg compressed bgr8", b"cut off"), None);
        assert!(unsupported("h264", b"\0\0\0\x01").unwrap().contains("`h264`"));
        assert!(unsupported("32FC1; compressedDepth png", png).unwrap().contains("compressed depth"));
    }
}
