//! What a student finds in sweeps while it is trained, and how that compares with their labels.

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    batch::input_of,
    labels::{LabelledSweep, PointClass, SweepLabels},
    student::LidarStudent,
};
use crate::{
    distill::train::TrainError,
    metrics::{CenterApAccumulator, CenterTruth, PointIouAccumulator, ScoredCenter},
    model::lidar::{LidarDetections, LidarOutput, LidarSpec, decode, label_hidden_points},
    sensing::range_image::{RangeImage, Sweep},
};

/// Points down to this score count for average precision, whatever the specification's own threshold is.
const LOWEST_SCORE: f32 = 0.1;

/// Labelled objects with a lower score need not be found, and are no mistake when they are.
const SURE_SCORE: f32 = 0.4;

/// How a student agrees with the labels of some sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LidarValidation {
    /// Mean average precision of the centres over classes and distances; none without any object.
    pub ap: Option<f64>,
    /// That at the largest distance alone.
    pub ap_far: Option<f64>,
    /// Mean intersection over union of the points' classes; none without any point that is known.
    pub point_iou: Option<f64>,
}

/// The network's outputs for one sweep.
#[derive(Debug, Clone)]
struct Maps {
    class_logits: Vec<f32>,
    votes: Vec<f32>,
    boxes: Vec<f32>,
}

impl Maps {
    fn output(&self) -> LidarOutput<'_> {
        LidarOutput { class_logits: &self.class_logits, votes: &self.votes, boxes: &self.boxes }
    }
}

/// Runs a student over range images, so many at once. Give it one for inference, on this device.
fn run(
    student: &LidarStudent,
    images: &[RangeImage],
    spec: &LidarSpec,
    batch: usize,
    device: &Device,
) -> Result<Vec<Maps>, TrainError> {
    let mut found = Vec::with_capacity(images.len());
    for images in images.chunks(batch.max(1)) {
        let values: Vec<f32> = images.iter().flat_map(|image| input_of(image, spec)).collect();
        let shape = [images.len(), spec.channels.len(), spec.grid.rows, spec.grid.columns];
        let output = student.forward(Tensor::from_data(TensorData::new(values, shape), device));
        let read = |map: Tensor<4>| -> Result<Vec<Vec<f32>>, TrainError> {
            let values = map.try_into_vec_as::<f32>().map_err(|error| TrainError::Record(error.to_string()))?;
            let length = (values.len() / images.len()).max(1);
            Ok(values.chunks(length).map(<[f32]>::to_vec).collect())
        };
        let (classes, votes, boxes) = (read(output.class_logits)?, read(output.votes)?, read(output.boxes)?);
        let maps = classes.into_iter().zip(votes).zip(boxes);
        found.extend(maps.map(|((class_logits, votes), boxes)| Maps { class_logits, votes, boxes }));
    }
    Ok(found)
}

/// What a student for inference finds in sweeps, points of at least this score counted, as on the robot.
///
/// # Errors
/// When the outputs cannot be read from the device.
pub fn detect(
    student: &LidarStudent,
    sweeps: &[&Sweep],
    spec: &LidarSpec,
    score: f32,
    batch: usize,
    device: &Device,
) -> Result<Vec<LidarDetections>, TrainError> {
    let spec = with_threshold(spec, score);
    let images: Vec<RangeImage> = sweeps.iter().map(|sweep| RangeImage::project(sweep, &spec.grid)).collect();
    let maps = run(student, &images, &spec, batch, device)?;
    let found = maps.iter().zip(&images).zip(sweeps).map(|((maps, image), sweep)| {
        let mut found = decode(&maps.output(), image, &spec);
        label_hidden_points(&mut found.points, image, sweep);
        found
    });
    Ok(found.collect())
}

fn with_threshold(spec: &LidarSpec, score: f32) -> LidarSpec {
    LidarSpec { score_threshold: score, class_thresholds: Default::default(), ..spec.clone() }
}

/// Judges students by some labelled sweeps, which are laid on the grid once.
#[derive(Debug)]
pub struct LidarValidator<'a> {
    sweeps: &'a [&'a LabelledSweep],
    images: Vec<RangeImage>,
    spec: &'a LidarSpec,
    distances: &'a [f32],
    batch: usize,
}

impl<'a> LidarValidator<'a> {
    /// A validator that looks at so many sweeps at once, and calls a centre found within each of these distances (metres).
    pub fn new(sweeps: &'a [&'a LabelledSweep], spec: &'a LidarSpec, distances: &'a [f32], batch: usize) -> Self {
        let images = sweeps.iter().map(|sweep| RangeImage::project(&sweep.sweep, &spec.grid)).collect();
        Self { sweeps, images, spec, distances, batch }
    }

    /// Whether there is anything to judge by.
    pub fn is_empty(&self) -> bool {
        self.sweeps.is_empty()
    }

    /// How a student for inference, on this device, agrees with the labels.
    ///
    /// # Errors
    /// When the outputs cannot be read from the device.
    pub fn judge(&self, student: &LidarStudent, device: &Device) -> Result<LidarValidation, TrainError> {
        let classes = &self.spec.classes;
        let lowest = with_threshold(self.spec, LOWEST_SCORE);
        let mut points = PointIouAccumulator::new(classes);
        let mut centers: Vec<CenterApAccumulator> =
            self.distances.iter().map(|&distance| CenterApAccumulator::new(classes, distance)).collect();
        let maps = run(student, &self.images, self.spec, self.batch, device)?;
        for ((maps, image), sweep) in maps.iter().zip(&self.images).zip(self.sweeps) {
            let labels = &sweep.labels;
            let known = |point: usize| labels.points.get(point).is_some_and(|target| target.is_known());
            let found = decode(&maps.output(), image, self.spec);
            let truth: Vec<Option<u16>> = labels.points.iter().map(|target| class_of(target.class)).collect();
            let said: Vec<Option<u16>> = found.points.iter().map(|point| point.class).collect();
            // A point that another one hides in its cell is not the network's to label.
            points.add(&truth, &said, |point| known(point) && is_seen(image, point));
            let truths = center_truths(labels);
            let found = scored_centers(&decode(&maps.output(), image, &lowest), &known);
            for accumulator in &mut centers {
                accumulator.add_sweep(&truths, &found);
            }
        }
        let aps: Vec<Option<f64>> = centers.iter().map(|accumulator| accumulator.finish().ap).collect();
        let largest = (0..aps.len()).max_by(|&a, &b| self.distances[a].total_cmp(&self.distances[b]));
        Ok(LidarValidation {
            ap: mean(&aps),
            ap_far: largest.and_then(|place| aps[place]),
            point_iou: points.finish().mean,
        })
    }
}

fn class_of(class: PointClass) -> Option<u16> {
    match class {
        PointClass::Background => None,
        PointClass::Class(class) => Some(class),
    }
}

/// Whether the point stands in its cell.
fn is_seen(image: &RangeImage, point: usize) -> bool {
    let cell = image.cell_of_point.get(point).and_then(|&cell| image.point_of_cell.get(cell as usize));
    cell.is_some_and(|&seen| seen as usize == point)
}

/// The labelled objects, those that are not sure or whose points nobody saw neither demanded nor forbidden.
fn center_truths(labels: &SweepLabels) -> Vec<CenterTruth> {
    let truth = |object: &super::labels::LabelledObject| CenterTruth {
        class: object.class,
        center: object.center,
        ignored: object.score < SURE_SCORE || object.points == 0,
    };
    labels.objects.iter().map(truth).collect()
}

/// The objects that were found, but for those that lie mostly on points of which nothing is known: whether they are right nobody can
/// say.
fn scored_centers(found: &LidarDetections, known: &dyn Fn(usize) -> bool) -> Vec<ScoredCenter> {
    let mut counts = vec![(0usize, 0usize); found.objects.len()];
    for (place, point) in found.points.iter().enumerate() {
        if let Some(count) = point.object.and_then(|object| counts.get_mut(object as usize)) {
            count.0 += usize::from(known(place));
            count.1 += 1;
        }
    }
    let judged = found.objects.iter().zip(counts).filter(|(_, (known, all))| 2 * known >= *all);
    judged.map(|(object, _)| ScoredCenter { class: object.class, score: object.score, center: object.center }).collect()
}

fn mean(figures: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = figures.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distill::lidar::batch::tests::{painted_sweep, spec},
        model::lidar::{LidarObject, PointLabel},
    };

    #[test]
    fn finds_on_unknown_points_are_not_judged() {
        let object = |center| LidarObject { class: 0, score: 0.9, center, size: [1.0; 3], yaw: 0.0, points: 2 };
        let label = |object| PointLabel { class: Some(0), score: 0.9, object };
        let found = LidarDetections {
            objects: vec![object([1.0, 0.0, 0.0]), object([5.0, 0.0, 0.0])],
            points: vec![label(Some(0)), label(Some(0)), label(Some(1)), label(Some(1)), label(None)],
            ..LidarDetections::default()
        };
        let judged = scored_centers(&found, &|point| point < 2);
        assert_eq!(judged.len(), 1);
        assert_eq!(judged[0].center, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn doubtful_objects_are_neither_demanded_nor_forbidden() {
        let mut sweep = painted_sweep(0);
        sweep.labels.objects[0].score = 0.2;
        assert!(center_truths(&sweep.labels)[0].ignored);
        assert!(!center_truths(&painted_sweep(0).labels)[0].ignored);
    }

    #[test]
    fn a_point_behind_another_in_its_cell_is_not_seen() {
        let mut sweep = painted_sweep(0).sweep;
        let near = sweep.points[9].map(|value| 0.5 * value);
        sweep.points.push(near);
        let image = RangeImage::project(&sweep, &spec().grid);
        assert!(!is_seen(&image, 9) && is_seen(&image, 64) && is_seen(&image, 8));
    }

    #[test]
    fn means_leave_out_what_is_not_known() {
        assert_eq!(mean(&[Some(0.5), None, Some(0.25)]), Some(0.375));
        assert_eq!(mean(&[None]), None);
    }
}
