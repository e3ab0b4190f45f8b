//! From a lidar network's raw outputs to labelled points and objects.
//!
//! The outputs are maps over the cells of the range image: `class_logits` `[1, classes, rows, columns]` (a sigmoid
//! each), `votes` `[1, 3, rows, columns]` and `boxes` `[1, 5, rows, columns]`, these as [`super::encode_vote`] and
//! [`super::encode_box`] have them. A point is of its best class when that reaches the class' threshold, and only such
//! points vote. What the network says of cells without a point is not looked at.

use super::LidarSpec;
use super::coding::{decode_vote, doubled_yaw, log_size};
use super::grouping::{Voter, group};
use crate::model::StageTiming;
use crate::model::head::{HeadError, OutputTensor, check_lengths, named, sigmoid, wrong_shape};
use crate::sensing::range_image::{NONE, RangeImage, Sweep};

const FORMAT: &str = "lidar";
/// Name of the output with the class logits, `[1, classes, rows, columns]`.
pub const CLASS_LOGITS: &str = "class_logits";
/// Name of the output with the votes, `[1, 3, rows, columns]`.
pub const VOTES: &str = "votes";
/// Name of the output with the boxes, `[1, 5, rows, columns]`.
pub const BOXES: &str = "boxes";
/// A point behind the one of its cell is taken for a part of the same thing when it is not farther behind than this, in
/// metres.
const HIDDEN_DEPTH: f32 = 0.3;

/// The outputs of a lidar network, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LidarOutput<'a> {
    /// Logits `[classes, rows, columns]`.
    pub class_logits: &'a [f32],
    /// Votes `[3, rows, columns]`: radial, tangential, up, in metres.
    pub votes: &'a [f32],
    /// Boxes `[5, rows, columns]`: logarithms of length, width and height in metres, sine and cosine of the doubled
    /// angle.
    pub boxes: &'a [f32],
}

impl<'a> LidarOutput<'a> {
    /// Finds the outputs by their names.
    ///
    /// # Errors
    /// One is missing or has another shape than the specification needs.
    pub fn find(outputs: &'a [OutputTensor<'_>], spec: &LidarSpec) -> Result<Self, HeadError> {
        check_lengths(outputs)?;
        let (rows, columns) = (spec.grid.rows, spec.grid.columns);
        let classes = spec.classes.len();
        if let [1, got, height, width] = named(FORMAT, outputs, CLASS_LOGITS)?.shape[..]
            && (height, width) == (rows, columns)
            && got != classes
        {
            return Err(HeadError::ClassCount { expected: classes, got });
        }
        let values = |name: &str, channels: usize| -> Result<&'a [f32], HeadError> {
            let output = named(FORMAT, outputs, name)?;
            let expected = [1, channels, rows, columns];
            if output.shape != expected {
                return Err(wrong_shape(FORMAT, output, format!("{expected:?}")));
            }
            Ok(&output.values)
        };
        Ok(Self { class_logits: values(CLASS_LOGITS, classes)?, votes: values(VOTES, 3)?, boxes: values(BOXES, 5)? })
    }
}

/// One object in a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LidarObject {
    /// The class.
    pub class: usize,
    /// How sure it is, 0 to 1: the mean of its three best points' scores. The best alone may be a slip, and a mean over
    /// all would fall with every doubtful point at an edge, of which a near object has many.
    pub score: f32,
    /// The centre in metres, sensor frame.
    pub center: [f32; 3],
    /// Length, width and height in metres.
    pub size: [f32; 3],
    /// The direction of the length about z, in (-pi/2, pi/2].
    pub yaw: f32,
    /// How many points voted for it.
    pub points: usize,
}

/// What one point of a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PointLabel {
    /// Its class; `None` for background and for points that the network does not see.
    pub class: Option<u16>,
    /// The best score that a class has here, also where it does not reach that class' threshold; 0 for points that are
    /// not seen.
    pub score: f32,
    /// The place of its object in [`LidarDetections::objects`].
    pub object: Option<u32>,
}

/// What was found in one sweep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LidarDetections {
    /// The objects, best score first.
    pub objects: Vec<LidarObject>,
    /// What each point of the sweep is.
    pub points: Vec<PointLabel>,
    /// How long it took.
    pub timing: StageTiming,
    /// Points left out because what the network says of them is not finite. A sound network gives 0.
    pub skipped: usize,
}

/// Labels and objects out of a network's outputs for a range image.
///
/// Labelled are the points that are the nearest of their cells: only they were seen. [`label_hidden_points`] adds those
/// behind them. Outputs that do not have the lengths of the image's cells say nothing, and all cells count as skipped.
pub fn decode(output: &LidarOutput<'_>, image: &RangeImage, spec: &LidarSpec) -> LidarDetections {
    let mut found = LidarDetections {
        points: vec![PointLabel::default(); image.cell_of_point.len()],
        ..LidarDetections::default()
    };
    let cells = image.points.len();
    let lengths = [output.class_logits.len(), output.votes.len(), output.boxes.len()];
    if spec.classes.is_empty() || lengths != [spec.classes.len() * cells, 3 * cells, 5 * cells] {
        found.skipped = cells;
        return found;
    }
    let thresholds: Vec<f32> = (0..spec.classes.len()).map(|class| spec.threshold(class)).collect();
    let mut labels = vec![PointLabel::default(); cells];
    let mut voters = Vec::new();
    for (cell, (class, logit)) in best_classes(output.class_logits, cells).into_iter().enumerate() {
        let point = image.points[cell];
        if !are_finite(&point) {
            continue;
        }
        if logit.is_nan() {
            found.skipped += 1;
            continue;
        }
        let score = sigmoid(logit);
        let is_found = thresholds.get(usize::from(class)).is_some_and(|&threshold| score >= threshold);
        if !is_found {
            labels[cell].score = score;
            continue;
        }
        let (vote, encoded) = (at::<3>(output.votes, cells, cell), at::<5>(output.boxes, cells, cell));
        let center = decode_vote(point, vote);
        if !are_finite(&vote) || !are_finite(&encoded) || !are_finite(&center) {
            found.skipped += 1;
            continue;
        }
        labels[cell] = PointLabel { class: Some(class), score, object: None };
        let (log_size, doubled_yaw) = (log_size(encoded), doubled_yaw(point, encoded));
        voters.push(Voter { cell, class, score, center, log_size, doubled_yaw });
    }
    let groups = group(&voters, spec);
    for (index, group) in groups.into_iter().enumerate() {
        for member in group.members {
            labels[voters[member].cell].object = Some(index as u32);
        }
        found.objects.push(group.object);
    }
    for (label, &point) in labels.iter().zip(&image.point_of_cell) {
        if point != NONE
            && let Some(place) = found.points.get_mut(point as usize)
        {
            *place = *label;
        }
    }
    found
}

/// Gives points that are hidden in their cells by a nearer one its label, where they are not farther behind than 0.3 m:
/// two points on one leg, not a person and the wall behind. `points` are those of [`decode`], `image` the projection of
/// `sweep`.
pub fn label_hidden_points(points: &mut [PointLabel], image: &RangeImage, sweep: &Sweep) {
    for (index, (&cell, point)) in image.cell_of_point.iter().zip(&sweep.points).enumerate() {
        let cell = cell as usize;
        let (Some(&nearest), Some(&range)) = (image.point_of_cell.get(cell), image.ranges.get(cell)) else { continue };
        let nearest = nearest as usize;
        if nearest == index || (range_of(point, image.grid.rows) - range).abs() > HIDDEN_DEPTH {
            continue;
        }
        if let Some(&label) = points.get(nearest)
            && let Some(place) = points.get_mut(index)
        {
            *place = label;
        }
    }
}

/// The range of a point as range images have it: in the x-y plane where there is one row.
fn range_of(point: &[f32; 3], rows: usize) -> f32 {
    let planar = point[0].hypot(point[1]);
    if rows == 1 { planar } else { planar.hypot(point[2]) }
}

/// Each cell's best class and its logit; NaN where a logit is not finite.
fn best_classes(logits: &[f32], cells: usize) -> Vec<(u16, f32)> {
    let mut best = vec![(0, f32::MIN); cells];
    for (class, plane) in logits.chunks_exact(cells.max(1)).enumerate() {
        for (best, &logit) in best.iter_mut().zip(plane) {
            if !logit.is_finite() {
                best.1 = f32::NAN;
            } else if logit > best.1 {
                *best = (class as u16, logit);
            }
        }
    }
    best
}

/// The values of a cell in maps that lie one after another.
fn at<const N: usize>(maps: &[f32], cells: usize, cell: usize) -> [f32; N] {
    std::array::from_fn(|channel| maps[channel * cells + cell])
}

fn are_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
