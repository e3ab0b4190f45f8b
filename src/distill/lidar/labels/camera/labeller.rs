//! Labels sweeps by a camera's boxes.

use std::{ops::ControlFlow, path::Path};

use super::{
    super::{LabelContext, LabelledObject, LidarLabelError, PointClass, PointTarget, SweepLabels},
    CalibrationEstimate, CameraImage, CameraLabels,
    calibration::CalibrationSamples,
    config::{BASE_FRAMES, FIXED_FRAME},
    images,
    membership::{Verdict, decide},
    object::estimate,
    projection::{View, Viewpoint},
    recorded::{Recorded, wrong},
    seen_box::ClassedBox,
};
use crate::{
    distill::bag::{Bag, Frames, Loss, TruthSource},
    geometry::{CameraModel, RigidTransform},
    sensing::{
        range_image::Sweep,
        transforms::{TransformBuffer, TransformError},
    },
};

/// Sweeps that a camera could not label at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unlabelled {
    /// Sweeps that were asked about.
    pub sweeps: usize,
    /// Those without an image near enough in time.
    pub without_image: usize,
    /// Those whose place relative to the camera the transforms do not tell.
    pub without_transform: usize,
    /// Why not, of the first of these.
    pub reason: Option<String>,
}

/// Labels a recording's sweeps by what an ensemble of camera teachers sees in its images.
#[derive(Debug)]
pub struct CameraLabeller {
    camera: CameraModel,
    optical_frame: String,
    /// By stamp.
    images: Vec<CameraImage>,
    transforms: TransformBuffer,
    config: CameraLabels,
    /// Per class, length, width and height that its objects mostly have.
    sizes: Vec<Option<[f32; 3]>>,
    /// The frame that stands still, and the robot's on the floor, where the transforms know them.
    fixed_frame: Option<String>,
    base_frame: Option<String>,
    calibration: CalibrationSamples,
    unlabelled: Unlabelled,
    loss: Loss,
}

impl CameraLabeller {
    /// Runs the ensemble over the recording's images, on as many threads as compute, and reads calibration and transforms.
    ///
    /// # Errors
    /// The entry makes no sense for this recording, the recording cannot be read, or a teacher cannot be loaded or run.
    pub fn open(path: &Path, config: &CameraLabels, context: &LabelContext<'_>) -> Result<Self, LidarLabelError> {
        Self::open_watched(path, config, context, &mut |_, _| ControlFlow::Continue(()))
    }

    /// [`Self::open`], where `watch` is told how many images were looked at and how many to expect (0 where that is not known), and may
    /// stop the work.
    ///
    /// # Errors
    /// As [`Self::open`], and [`LidarLabelError::Stopped`].
    pub fn open_watched(
        path: &Path,
        config: &CameraLabels,
        context: &LabelContext<'_>,
        watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LidarLabelError> {
        let bag = Bag::open(path)?;
        config.check(context.classes).map_err(|(key, message)| wrong(&bag, &format!("camera.{key}"), &message))?;
        let topic = config.topic.as_deref();
        let image_topic = Frames::open(path, topic, TruthSource::None)?.topic().to_owned();
        let recorded = Recorded::read(&bag, config, &image_topic)?;
        check_frames(&bag, config, &recorded.transforms)?;
        let seen = images::detect(path, topic, context, config.uncertain_score, watch)?;
        if let Some((width, height)) = seen.size
            && (width, height) != (recorded.camera.width, recorded.camera.height)
        {
            let message = format!(
                "it is for images of {} x {} pixels, but those of {image_topic} are {width} x {height}; name the right one as `info`",
                recorded.camera.width, recorded.camera.height
            );
            return Err(wrong(&bag, "camera.info", &message));
        }
        let frame_id = if seen.frame_id.is_empty() { &recorded.frame_id } else { &seen.frame_id };
        let mut labeller =
            Self::from_boxes(recorded.camera, frame_id, seen.images, recorded.transforms, context.classes, config);
        labeller.loss = recorded.loss;
        labeller.loss.merge(&seen.loss);
        Ok(labeller)
    }

    /// A labeller for images whose boxes are known already. `optical_frame` is the camera's frame; probabilities of the boxes are
    /// those of `classes`.
    pub fn from_boxes(
        camera: CameraModel,
        optical_frame: &str,
        mut images: Vec<CameraImage>,
        transforms: TransformBuffer,
        classes: &[String],
        config: &CameraLabels,
    ) -> Self {
        images.sort_by_key(|image| image.stamp);
        let frames = transforms.frames();
        let known = |name: &&str| frames.iter().any(|frame| bare(frame) == bare(name));
        let fixed_frame = config.fixed_frame.as_deref().or(Some(FIXED_FRAME)).filter(known).map(str::to_owned);
        let base_frame = match config.base_frame.as_deref() {
            Some(name) => Some(name).filter(known),
            None => BASE_FRAMES.into_iter().find(known),
        };
        Self {
            camera,
            optical_frame: optical_frame.to_owned(),
            images,
            base_frame: base_frame.map(str::to_owned),
            fixed_frame,
            transforms,
            config: config.clone(),
            sizes: classes.iter().map(|class| config.size_prior(class)).collect(),
            calibration: CalibrationSamples::default(),
            unlabelled: Unlabelled::default(),
            loss: Loss::default(),
        }
    }

    /// Labels a sweep that was measured at `stamp` (nanoseconds) in the frame `frame_id`, by the image nearest in time. Points of which
    /// the camera does not tell what they lie on are ignored, all of them where there is no image in time or no transform.
    ///
    /// A point on an object counts as much as its box is sure (the box's score), background counts in full. Objects have the box's
    /// score; their middle is estimated from their points and the size that their class mostly has, their own size only where
    /// objects of the class are alike from all sides, such as people, and their yaw never.
    pub fn label(&mut self, stamp: i64, frame_id: &str, sweep: &Sweep) -> SweepLabels {
        self.unlabelled.sweeps += 1;
        let Some(image) = self.nearest(stamp) else {
            self.unlabelled.without_image += 1;
            return SweepLabels::ignored(sweep.points.len());
        };
        let placed = self.place(image.stamp, stamp, frame_id);
        let boxes = self.boxes(image);
        let (optical_from_sensor, base_from_optical) = match placed {
            Ok(placed) => placed,
            Err(error) => {
                if self.unlabelled.reason.is_none() {
                    tracing::warn!("a sweep at {stamp} cannot be labelled by the camera: {error}");
                    self.unlabelled.reason = Some(error.to_string());
                }
                self.unlabelled.without_transform += 1;
                return SweepLabels::ignored(sweep.points.len());
            }
        };
        let viewpoint = Viewpoint { camera: &self.camera, optical_from_sensor, base_from_optical };
        let view = View::new(sweep, &viewpoint, self.config.floor_height);
        self.calibration.offer(&view, &boxes);
        let config = &self.config;
        let verdicts = decide(&view, &viewpoint, &boxes, &self.sizes, config.clear_depth, config.border_degrees);
        self.labels(sweep, &view, &viewpoint, &boxes, &verdicts)
    }

    /// How well camera and lidar fit together, by the sweeps that were labelled so far; nothing when no box was seen.
    pub fn calibration(&self) -> Option<CalibrationEstimate> {
        self.calibration.estimate(&self.camera)
    }

    /// The sweeps that could not be labelled so far.
    pub fn unlabelled(&self) -> &Unlabelled {
        &self.unlabelled
    }

    /// What of the recording could not be read.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// The image nearest in time, if it is near enough.
    fn nearest(&self, stamp: i64) -> Option<&CameraImage> {
        let next = self.images.partition_point(|image| image.stamp < stamp);
        let around = self.images[next.saturating_sub(1)..].iter().take(2);
        let nearest = around.min_by_key(|image| image.stamp.abs_diff(stamp))?;
        (nearest.stamp.abs_diff(stamp) as f64 <= self.config.max_time_offset * 1e9).then_some(nearest)
    }

    /// From the lidar into the optical frame, and from there into the robot's on the floor, where that is known.
    fn place(
        &self,
        image_stamp: i64,
        stamp: i64,
        frame_id: &str,
    ) -> Result<(RigidTransform, Option<RigidTransform>), TransformError> {
        let optical = self.optical_frame.as_str();
        let optical_from_sensor = match &self.fixed_frame {
            Some(fixed) => self.transforms.lookup_through(optical, image_stamp, frame_id, stamp, fixed)?,
            None => self.transforms.lookup(optical, frame_id, stamp)?,
        };
        let base = self.base_frame.as_deref();
        // Where the robot's frame does not hang together with the camera, labelling goes on without the floor.
        let base_from_optical = base.and_then(|base| self.transforms.lookup(base, optical, image_stamp).ok());
        Ok((optical_from_sensor, base_from_optical))
    }

    /// The boxes that say anything.
    fn boxes(&self, image: &CameraImage) -> Vec<ClassedBox> {
        let classed = image.boxes.iter().map(|fused| {
            let (class, score) = fused.best();
            ClassedBox { bbox: fused.bbox, class, score, is_sure: score >= self.config.min_score }
        });
        let says_something = |given: &ClassedBox| {
            given.score >= self.config.uncertain_score && given.class < self.sizes.len() && given.bbox.is_valid()
        };
        classed.filter(says_something).collect()
    }

    fn labels(
        &self,
        sweep: &Sweep,
        view: &View,
        viewpoint: &Viewpoint<'_>,
        boxes: &[ClassedBox],
        verdicts: &[Verdict],
    ) -> SweepLabels {
        let mut labels = SweepLabels::ignored(sweep.points.len());
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); boxes.len()];
        for (point, verdict) in view.points.iter().zip(verdicts) {
            match *verdict {
                Verdict::Ignored => {}
                Verdict::Background => labels.points[point.index] = PointTarget::BACKGROUND,
                Verdict::Object { owner, alone } => {
                    let ClassedBox { class, score, .. } = boxes[owner];
                    let class = PointClass::Class(u16::try_from(class).unwrap_or(u16::MAX));
                    labels.points[point.index] = PointTarget { class, weight: score, object: None };
                    if alone {
                        members[owner].push(point.index);
                    }
                }
            }
        }
        let base_from_sensor = viewpoint.base_from_optical.map(|base| base.compose(&viewpoint.optical_from_sensor));
        for (given, members) in boxes.iter().zip(members) {
            if members.len() < self.config.min_points.max(1) {
                continue;
            }
            let points: Vec<[f64; 3]> = members.iter().map(|&index| sweep.points[index].map(f64::from)).collect();
            let size = self.sizes[given.class];
            let is_planar = view.spacing.up.is_none();
            let Some(found) = estimate(&points, size, base_from_sensor.as_ref(), is_planar) else { continue };
            let object = u32::try_from(labels.objects.len()).ok();
            for &index in &members {
                labels.points[index].object = object;
            }
            labels.objects.push(LabelledObject {
                class: given.class,
                center: found.center,
                size: found.size,
                yaw: None,
                score: given.score,
                points: members.len(),
            });
        }
        labels
    }
}

/// A frame's name as TF 2 has it.
fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// Refuses frames that the entry names and the transforms do not know.
fn check_frames(bag: &Bag, config: &CameraLabels, transforms: &TransformBuffer) -> Result<(), LidarLabelError> {
    let frames = transforms.frames();
    for (key, name) in [("fixed_frame", &config.fixed_frame), ("base_frame", &config.base_frame)] {
        if let Some(name) = name
            && !frames.iter().any(|frame| bare(frame) == bare(name))
        {
            let message = format!("the recording has no frame `{name}`; its frames are {}", frames.join(", "));
            return Err(wrong(bag, &format!("camera.{key}"), &message));
        }
    }
    if config.fixed_frame.is_none() && !frames.iter().any(|frame| bare(frame) == FIXED_FRAME) {
        tracing::warn!(
            "{}: no frame `{FIXED_FRAME}`: the robot's motion between images and sweeps is not taken out; name the frame that stands \
             still as `fixed_frame`",
            bag.path().display()
        );
    }
    Ok(())
}
