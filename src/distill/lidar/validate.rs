//! What a student finds in sweeps while it is trained, and how that compares with their labels.

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    batch::input_of,
    config::LidarEvaluateConfig,
    evaluate::{JudgeBy, JudgeOptions, center_truths, scored_centers},
    labels::{LabelledSweep, PointTarget},
    student::LidarStudent,
    thresholds::{ChosenThreshold, LEAST, ThresholdSweep},
};
use crate::{
    distill::train::TrainError,
    metrics::{CenterApAccumulator, mean},
    model::lidar::{LidarDetections, LidarOutput, LidarSpec, decode, label_hidden_points},
    sensing::range_image::{RangeImage, Sweep},
};

/// How a student agrees with the labels of some sweeps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LidarValidation {
    /// Mean average precision of the centres over classes and distances; none without any object.
    pub ap: Option<f64>,
    /// That at the largest distance alone.
    pub ap_far: Option<f64>,
    /// Mean intersection over union of the points' classes, each at its best threshold; none without any point of a class.
    pub point_iou: Option<f64>,
    /// The best thresholds of the classes that have points.
    pub thresholds: Vec<ChosenThreshold>,
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

/// Runs a student over some range images at once. Give it one for inference, on this device.
fn run(
    student: &LidarStudent,
    images: &[RangeImage],
    spec: &LidarSpec,
    device: &Device,
) -> Result<Vec<Maps>, TrainError> {
    let values: Vec<f32> = images.iter().flat_map(|image| input_of(image, spec)).collect();
    let shape = [images.len(), spec.channels.len(), spec.grid.rows, spec.grid.columns];
    let output = student.forward(Tensor::from_data(TensorData::new(values, shape), device));
    let read = |map: Tensor<4>| -> Result<Vec<Vec<f32>>, TrainError> {
        let values = map.try_into_vec_as::<f32>().map_err(|error| TrainError::Record(error.to_string()))?;
        let length = (values.len() / images.len().max(1)).max(1);
        Ok(values.chunks(length).map(<[f32]>::to_vec).collect())
    };
    let (classes, votes, boxes) = (read(output.class_logits)?, read(output.votes)?, read(output.boxes)?);
    let maps = classes.into_iter().zip(votes).zip(boxes);
    Ok(maps.map(|((class_logits, votes), boxes)| Maps { class_logits, votes, boxes }).collect())
}

/// What a student for inference finds in sweeps, points of at least this score counted, as on the robot. So many sweeps are looked at
/// at once; images and maps of more are never kept.
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
    let mut all = Vec::with_capacity(sweeps.len());
    for sweeps in sweeps.chunks(batch.max(1)) {
        let images: Vec<RangeImage> = sweeps.iter().map(|sweep| RangeImage::project(sweep, &spec.grid)).collect();
        let maps = run(student, &images, &spec, device)?;
        for ((maps, image), sweep) in maps.iter().zip(&images).zip(sweeps) {
            let mut found = decode(&maps.output(), image, &spec);
            label_hidden_points(&mut found.points, image, sweep);
            all.push(found);
        }
    }
    Ok(all)
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
    options: JudgeOptions,
    batch: usize,
}

impl<'a> LidarValidator<'a> {
    /// A validator that looks at so many sweeps at once.
    pub fn new(
        sweeps: &'a [&'a LabelledSweep],
        spec: &'a LidarSpec,
        config: &LidarEvaluateConfig,
        batch: usize,
    ) -> Self {
        let images = sweeps.iter().map(|sweep| RangeImage::project(&sweep.sweep, &spec.grid)).collect();
        Self { sweeps, images, spec, options: config.options(JudgeBy::Labels), batch: batch.max(1) }
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
        let options = &self.options;
        let mut points = ThresholdSweep::new(&self.spec.classes);
        let lowest = with_threshold(self.spec, LEAST);
        let mut centers: Vec<CenterApAccumulator> =
            options.distances.iter().map(|&distance| CenterApAccumulator::new(&self.spec.classes, distance)).collect();
        for (images, sweeps) in self.images.chunks(self.batch).zip(self.sweeps.chunks(self.batch)) {
            let maps = run(student, images, self.spec, device)?;
            for ((maps, image), sweep) in maps.iter().zip(images).zip(sweeps) {
                let labels = &sweep.labels;
                let found = decode(&maps.output(), image, &lowest);
                let truth: Vec<Option<u16>> = labels.points.iter().map(|target| target.class.class()).collect();
                // A point that another one hides in its cell is not the network's to label.
                points.add(&truth, &found.points, &|point| {
                    labels.points.get(point).is_some_and(PointTarget::is_known)
                        && is_seen(image, point)
                        && sweep.sweep.points.get(point).is_some_and(|place| !options.is_far(*place))
                });
                let truths = center_truths(labels, options);
                let found = scored_centers(&found, labels, options);
                for accumulator in &mut centers {
                    accumulator.add_sweep(&truths, &found);
                }
            }
        }
        let aps: Vec<Option<f64>> = centers.iter().map(|accumulator| accumulator.finish().ap).collect();
        let largest = (0..aps.len()).max_by(|&a, &b| options.distances[a].total_cmp(&options.distances[b]));
        let thresholds = points.finish();
        Ok(LidarValidation {
            ap: mean(aps.iter().copied().flatten()),
            ap_far: largest.and_then(|place| aps[place]),
            point_iou: mean(thresholds.iter().map(|chosen| chosen.iou)),
            thresholds,
        })
    }
}

/// Whether the point stands in its cell.
fn is_seen(image: &RangeImage, point: usize) -> bool {
    let cell = image.cell_of_point.get(point).and_then(|&cell| image.point_of_cell.get(cell as usize));
    cell.is_some_and(|&seen| seen as usize == point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::lidar::batch::tests::{painted_sweep, spec};

    #[test]
    fn a_point_behind_another_in_its_cell_is_not_seen() {
        let mut sweep = painted_sweep(0).sweep;
        let near = sweep.points[9].map(|value| 0.5 * value);
        sweep.points.push(near);
        let image = RangeImage::project(&sweep, &spec().grid);
        assert!(!is_seen(&image, 9) && is_seen(&image, 64) && is_seen(&image, 8));
    }
}
