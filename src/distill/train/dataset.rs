//! The frames that are trained on and validated on, decoded once.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::RgbImage;

use super::{
    TrainError,
    augment::{Frame, Picture},
    cache::{BlockId, PixelCache},
};
use crate::{
    distill::loss::TargetBox,
    model::InputSpec,
    sensing::letterbox::{Letterbox, fill_input},
};

/// Frames are kept this much larger than the network's input, so that enlarging them still shows detail.
const RESERVE: f32 = 1.25;

/// Frames to train on, kept as RGB at about the training resolution.
#[derive(Debug)]
pub struct FrameSet {
    frames: Vec<StoredFrame>,
    cache: PixelCache,
}

#[derive(Debug)]
struct StoredFrame {
    name: String,
    original: (f32, f32),
    kept: (usize, usize),
    block: BlockId,
    boxes: FrameBoxes,
}

/// What is known of a training frame, in pixels of the recording's image.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameBoxes {
    /// The boxes to learn.
    pub boxes: Vec<TargetBox>,
    /// The true boxes, where the student learns from them as well.
    pub truth: Vec<TargetBox>,
    /// False where nobody labelled the frame, so that the student's own average does.
    pub labelled: bool,
}

impl From<Vec<TargetBox>> for FrameBoxes {
    fn from(boxes: Vec<TargetBox>) -> Self {
        Self { boxes, truth: Vec::new(), labelled: true }
    }
}

impl FrameSet {
    /// An empty set that keeps up to `limit` bytes in memory.
    pub fn new(limit: usize) -> Self {
        Self { frames: Vec::new(), cache: PixelCache::new(limit) }
    }

    /// Adds a frame that [`shrink`] has made small.
    ///
    /// # Errors
    /// When the cache's temporary file cannot be written.
    pub fn push(&mut self, name: String, picture: Shrunk, boxes: FrameBoxes) -> Result<(), TrainError> {
        let Shrunk { pixels, kept, original } = picture;
        let block = self.cache.push(pixels).map_err(TrainError::Cache)?;
        self.frames.push(StoredFrame { name, original, kept, block, boxes });
        Ok(())
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True without any frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many boxes there are on all frames.
    pub fn boxes(&self) -> usize {
        self.frames.iter().map(|frame| frame.boxes.boxes.len()).sum()
    }

    /// The frame's name in its recording.
    pub fn name(&self, index: usize) -> &str {
        &self.frames[index].name
    }

    /// Bytes in memory and bytes in the cache's temporary file.
    pub fn size(&self) -> (usize, usize) {
        self.cache.size()
    }

    pub(super) fn pixels(&self, index: usize) -> Result<&[u8], TrainError> {
        self.cache.get(self.frames[index].block).map_err(TrainError::Cache)
    }

    pub(super) fn frame<'a>(&'a self, index: usize, pixels: &'a [u8]) -> Frame<'a> {
        let frame = &self.frames[index];
        let (width, height) = frame.kept;
        Frame { picture: Picture { pixels, width, height, original: frame.original }, boxes: &frame.boxes }
    }
}

/// A picture at about the training resolution.
#[derive(Debug, Clone)]
pub struct Shrunk {
    pixels: Vec<u8>,
    kept: (usize, usize),
    original: (f32, f32),
}

impl Shrunk {
    /// To paint from.
    pub fn picture(&self) -> Picture<'_> {
        Picture { pixels: &self.pixels, width: self.kept.0, height: self.kept.1, original: self.original }
    }
}

/// Shrinks an image, its aspect ratio kept, to somewhat more than what the network's input will show of it. Images that are
/// smaller than that stay as they are.
///
/// # Errors
/// When the image has no pixels.
pub fn shrink(image: RgbImage, spec: &InputSpec) -> Result<Shrunk, TrainError> {
    let (width, height) = image.dimensions();
    let original = (width as f32, height as f32);
    if width == 0 || height == 0 {
        return Err(TrainError::EmptyImage);
    }
    let (scale_x, scale_y) = Letterbox::new(width, height, spec).scale();
    let scale = scale_x.max(scale_y) * RESERVE;
    if scale >= 1.0 {
        return Ok(Shrunk { kept: (width as usize, height as usize), pixels: image.into_raw(), original });
    }
    let kept = ((original.0 * scale).round().max(1.0), (original.1 * scale).round().max(1.0));
    let mut target = Image::new(kept.0 as u32, kept.1 as u32, PixelType::U8x3);
    let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3)
        .map_err(|error| TrainError::Resize(error.to_string()))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new()
        .resize(&source, &mut target, Some(&options))
        .map_err(|error| TrainError::Resize(error.to_string()))?;
    Ok(Shrunk { pixels: target.into_vec(), kept: (kept.0 as usize, kept.1 as usize), original })
}

/// Frames to validate on, kept as the input tensor that the robot would make of them.
#[derive(Debug)]
pub struct ValidationSet {
    frames: Vec<ValidationFrame>,
    cache: PixelCache,
}

#[derive(Debug)]
struct ValidationFrame {
    block: BlockId,
    letterbox: Letterbox,
    boxes: Vec<TargetBox>,
}

impl ValidationSet {
    /// An empty set that keeps up to `limit` bytes in memory.
    pub fn new(limit: usize) -> Self {
        Self { frames: Vec::new(), cache: PixelCache::new(limit) }
    }

    /// Adds a frame; its boxes are in pixels of the recording's image.
    ///
    /// # Errors
    /// When the cache's temporary file cannot be written.
    pub fn push(&mut self, input: NetworkInput, boxes: Vec<TargetBox>) -> Result<(), TrainError> {
        let bytes = input.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let block = self.cache.push(bytes).map_err(TrainError::Cache)?;
        self.frames.push(ValidationFrame { block, letterbox: input.letterbox, boxes });
        Ok(())
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True without any frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many boxes there are on all frames.
    pub fn boxes(&self) -> usize {
        self.frames.iter().map(|frame| frame.boxes.len()).sum()
    }

    /// Appends a frame's input `[3, H, W]`.
    pub(super) fn read_input(&self, index: usize, values: &mut Vec<f32>) -> Result<(), TrainError> {
        let bytes = self.cache.get(self.frames[index].block).map_err(TrainError::Cache)?;
        values.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)));
        Ok(())
    }

    pub(super) fn letterbox(&self, index: usize) -> &Letterbox {
        &self.frames[index].letterbox
    }

    pub(super) fn truth(&self, index: usize) -> &[TargetBox] {
        &self.frames[index].boxes
    }
}

/// What the robot would give the network for an image.
#[derive(Debug, Clone)]
pub struct NetworkInput {
    values: Vec<f32>,
    letterbox: Letterbox,
}

impl NetworkInput {
    /// Letterboxes and normalises an image exactly as the robot does.
    pub fn new(image: &RgbImage, spec: &InputSpec) -> Self {
        let mut values = vec![0.0; 3 * spec.width * spec.height];
        let letterbox = fill_input(image, spec, &mut values);
        Self { values, letterbox }
    }

    /// The input tensor `[3, H, W]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{distill::student::StudentConfig, geometry::Box2};

    /// An image of 120 x 90 with one bright rectangle, and that rectangle.
    pub fn painted_image(index: usize) -> (RgbImage, Box2) {
        let (x, y) = (10 + 5 * index as u32 % 60, 8 + 3 * index as u32 % 40);
        let image = RgbImage::from_fn(120, 90, |px, py| {
            let inside = (x..x + 30).contains(&px) && (y..y + 40).contains(&py);
            image::Rgb(if inside { [240, 60, 30] } else { [40, (px * 2) as u8, (py * 2) as u8] })
        });
        (image, Box2::new(x as f32, y as f32, (x + 30) as f32, (y + 40) as f32))
    }

    /// A set of [`painted_image`]s for an input of 96 x 64.
    pub fn painted_frames(count: usize) -> FrameSet {
        painted_frames_of(count, &[0.9])
    }

    /// [`painted_frames`] whose rectangles have these probabilities.
    pub fn painted_frames_of(count: usize, probabilities: &[f32]) -> FrameSet {
        let spec = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).input_spec();
        let mut set = FrameSet::new(1 << 20);
        for index in 0..count {
            let (image, bbox) = painted_image(index);
            let target = TargetBox { bbox, probabilities: probabilities.to_vec(), weight: 1.0 };
            set.push(format!("frame {index}"), shrink(image, &spec).unwrap(), vec![target].into()).unwrap();
        }
        set
    }

    /// So many [`painted_frames`], and as many that nobody labelled.
    pub fn half_labelled_frames(count: usize) -> FrameSet {
        let spec = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).input_spec();
        let mut set = painted_frames(count);
        for index in 0..count {
            let boxes = FrameBoxes { labelled: false, ..Vec::new().into() };
            set.push(format!("unlabelled {index}"), shrink(painted_image(index).0, &spec).unwrap(), boxes).unwrap();
        }
        set
    }

    /// [`painted_frames`] whose rectangles are the truth, while the boxes to learn lie twelve pixels beside them.
    pub fn frames_beside_truth(count: usize) -> FrameSet {
        let spec = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).input_spec();
        let mut set = FrameSet::new(1 << 20);
        for index in 0..count {
            let (image, bbox) = painted_image(index);
            let target = |bbox: Box2, score: f32| TargetBox { bbox, probabilities: vec![score], weight: 1.0 };
            let aside = Box2::new(bbox.x_min + 12.0, bbox.y_min, bbox.x_max + 12.0, bbox.y_max);
            let boxes = FrameBoxes { boxes: vec![target(aside, 0.5)], truth: vec![target(bbox, 1.0)], labelled: true };
            set.push(format!("frame {index}"), shrink(image, &spec).unwrap(), boxes).unwrap();
        }
        set
    }

    #[test]
    fn large_images_are_kept_small_and_small_ones_whole() {
        let spec = StudentConfig::new(Default::default(), vec!["a".into()], 320, 192).input_spec();
        let shrunk = shrink(RgbImage::new(1280, 720), &spec).unwrap();
        assert_eq!((shrunk.kept, shrunk.original), ((400, 225), (1280.0, 720.0)));
        assert_eq!(shrunk.pixels.len(), 400 * 225 * 3);
        assert_eq!(shrink(RgbImage::new(320, 192), &spec).unwrap().kept, (320, 192));
        assert!(matches!(shrink(RgbImage::new(0, 5), &spec), Err(TrainError::EmptyImage)));
    }
}
