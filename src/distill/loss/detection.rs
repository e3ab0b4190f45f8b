//! The whole loss of a batch.

use burn::tensor::{
    Int, Tensor, TensorData,
    activation::{sigmoid, softmax},
};

use super::{
    LossConfig, NamedTerm, TargetBox,
    assign::{Assigned, Predictions, assign},
    cells::{Cells, in_one_column},
    terms::{distribution_focal, generalized_iou_loss, quality_focal},
};
use crate::{
    distill::student::{STRIDES, StudentOutput},
    model::head::gfl::expectation,
};

/// The terms `class`, `giou` and `distribution` of a batch whose images have these boxes (in pixels of the student's input). Images may have
/// no boxes.
///
/// At each of [`STRIDES`] `output` has logits of the classes, `[batch, classes, H, W]`, and of the distributions of the distances from a
/// cell's centre to a box's left, top, right and bottom edge in strides, `[batch, 4 * bins, H, W]`. Cells are assigned to boxes by what the
/// student says now ([`assign`]), without a gradient. With `s` the target score of a cell and class (the teacher's probability softened by
/// the temperature T, times the assignment's quality; 0 elsewhere), `b` the best score of an assigned cell and `w` the trust in its box,
///
/// ```text
/// class        = T^2 sum_cells m sum_classes |s - p|^focus BCE(z / T, s) / max(1, sum b),   p = sigmoid(z / T)
/// giou         = sum_assigned b w (1 - GIoU) / max(1, sum b)
/// distribution = sum_assigned b w mean_sides DFL / max(1, sum b)
/// ```
///
/// where `m` is `w` in assigned cells, 0 in regions of no weight, of which nothing is known, and 1 in the background. The terms are those of
/// Generalized Focal Loss (Li et al. 2020) with GIoU (Rezatofighi et al. 2019), normalised as in TOOD (Feng et al. 2021); the temperature is
/// that of Hinton et al. 2015. GIoU compares the expected distances. Each value is `[1]`.
///
/// A target whose probabilities are not as many as the student's classes is passed over (the data pipeline makes them so).
///
/// # Panics
/// When `targets` are not as many as the batch's images; that is a mistake of the caller's code.
pub fn detection_loss(output: &StudentOutput, targets: &[Vec<TargetBox>], config: &LossConfig) -> [NamedTerm; 3] {
    let flat = Flat::new(output);
    assert_eq!(targets.len(), flat.images, "one list of boxes per image of the batch");
    let goals = Goals::new(&flat, targets, config);
    let device = flat.class_logits.device();

    let temperature = config.temperature;
    let score_sum = goals.score_sum;
    let normalizer = score_sum.max(1.0);
    let scores =
        Tensor::<2>::from_data(TensorData::new(goals.scores, [flat.images * flat.cells.len(), flat.classes]), &device);
    let importance =
        Tensor::<2>::from_data(TensorData::new(goals.importance, [flat.images * flat.cells.len(), 1]), &device);
    let class = (quality_focal(flat.class_logits.clone() / temperature, scores, config.focus) * importance).sum()
        * (temperature * temperature / normalizer);

    let rows = goals.rows.len();
    let (giou, distribution) = if rows == 0 {
        (Tensor::zeros([1], &device), Tensor::zeros([1], &device))
    } else {
        let logits = flat.select(&goals.rows);
        let weights = Tensor::<1>::from_data(goals.weights.as_slice(), &device);
        let predicted = expected_distances(logits.clone()).reshape([rows, 4]);
        let truth = Tensor::<2>::from_data(TensorData::new(goals.distances.clone(), [rows, 4]), &device);
        let giou = generalized_iou_loss(edges(predicted), edges(truth));
        let distribution = distribution_focal(logits, &goals.distances).reshape([rows, 4]).mean_dim(1).reshape([rows]);
        ((giou * weights.clone()).sum() / normalizer, (distribution * weights).sum() / normalizer)
    };
    let term = |name: &str, weight, value| NamedTerm { name: name.into(), weight, value, normalizer: score_sum };
    [
        term("class", config.class, class),
        term("giou", config.giou, giou),
        term("distribution", config.distribution, distribution),
    ]
}

/// The student's output with all strides' cells in one row of cells.
struct Flat {
    cells: Cells,
    images: usize,
    classes: usize,
    bins: usize,
    /// `[images * cells, classes]`.
    class_logits: Tensor<2>,
    /// The maps, `[images, 4 * bins, rows, columns]`, of which few cells are needed.
    distributions: Vec<Tensor<4>>,
}

impl Flat {
    fn new(output: &StudentOutput) -> Self {
        let [images, classes, ..] = output.class_logits[0].dims();
        let bins = output.box_distributions[0].dims()[1] / 4;
        let maps = output.class_logits.iter().zip(STRIDES).map(|(map, stride)| {
            let [_, _, rows, columns] = map.dims();
            (stride, rows, columns)
        });
        let cells = Cells::new(maps);
        let class_logits = in_one_column(&output.class_logits).reshape([images, classes, cells.len()]);
        let class_logits = class_logits.swap_dims(1, 2).reshape([images * cells.len(), classes]);
        Self { cells, images, classes, bins, class_logits, distributions: output.box_distributions.clone() }
    }

    /// For each map its first cell and how many it has.
    fn levels(&self) -> impl Iterator<Item = (usize, usize)> {
        self.distributions.iter().scan(0, |first, map| {
            let [_, _, rows, columns] = map.dims();
            *first += rows * columns;
            Some((*first - rows * columns, rows * columns))
        })
    }

    /// Logits of some rows' distances, `[rows * 4, bins]`.
    fn select(&self, rows: &[Row]) -> Tensor<2> {
        let channels = 4 * self.bins;
        // Level by level, and then back into the order that was asked for.
        let mut found = Vec::new();
        let mut places = vec![0; rows.len()];
        let mut count = 0;
        for ((first, size), map) in self.levels().zip(&self.distributions) {
            let mut indices: Vec<i64> = Vec::new();
            for (place, row) in rows.iter().enumerate().filter(|(_, row)| (first..first + size).contains(&row.cell)) {
                places[place] = count;
                count += 1;
                let start = row.image * channels * size + row.cell - first;
                indices.extend((0..channels).map(|channel| (start + channel * size) as i64));
            }
            if !indices.is_empty() {
                let [_, _, height, width] = map.dims();
                let values = map.clone().reshape([self.images * channels * height * width]);
                let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &map.device());
                found.push(values.select(0, indices).reshape([-1, channels as i32]));
            }
        }
        let found: Tensor<2> = Tensor::cat(found, 0);
        let places: Vec<i64> = places.into_iter().map(|place| place as i64).collect();
        let places = Tensor::<1, Int>::from_data(places.as_slice(), &found.device());
        found.select(0, places).reshape([rows.len() * 4, self.bins])
    }
}

/// One cell of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    image: usize,
    cell: usize,
}

/// The maps' distances as plain numbers.
struct Distances {
    bins: usize,
    /// First cell, number of cells and logits `[images, 4 * bins, cells]` of each map.
    levels: Vec<(usize, usize, Vec<f32>)>,
}

impl Distances {
    fn new(flat: &Flat) -> Self {
        let maps = flat.levels().zip(&flat.distributions);
        let levels = maps.map(|((first, size), map)| (first, size, read(map.clone().detach())));
        Self { bins: flat.bins, levels: levels.collect() }
    }

    /// Expected distances of a cell, in strides.
    fn of(&self, Row { image, cell }: Row) -> [f32; 4] {
        let Some((first, size, logits)) = self.levels.iter().rfind(|(first, ..)| *first <= cell) else {
            return [0.0; 4];
        };
        std::array::from_fn(|side| {
            let start = (image * 4 + side) * self.bins * size + cell - first;
            let logits = logits[start..].iter().step_by(*size).take(self.bins);
            expectation(logits.copied())
        })
    }
}

/// Logits `[M, bins]` -> expected distances `[M, 1]` in strides.
fn expected_distances(logits: Tensor<2>) -> Tensor<2> {
    let bins = logits.dims()[1];
    let positions = Tensor::<1, Int>::arange(0..bins as i64, &logits.device()).float().reshape([1, bins]);
    (softmax(logits, 1) * positions).sum_dim(1)
}

/// Distances `[M, 4]` from a centre -> box edges relative to that centre.
fn edges(distances: Tensor<2>) -> Tensor<2> {
    let min = distances.clone().narrow(1, 0, 2).neg();
    Tensor::cat(vec![min, distances.narrow(1, 2, 2)], 1)
}

/// What the batch should have said.
struct Goals {
    /// Target score of each cell and class, `[images * cells, classes]`.
    scores: Vec<f32>,
    /// Weight of each cell's class term, `[images * cells]`: the trust in its box, 1 for the background.
    importance: Vec<f32>,
    /// Assigned cells.
    rows: Vec<Row>,
    /// Their true distances in strides, `[rows, 4]`.
    distances: Vec<f32>,
    /// Weight of their box terms: best target score x trust.
    weights: Vec<f32>,
    /// Sum of the best target scores.
    score_sum: f32,
}

impl Goals {
    fn new(flat: &Flat, targets: &[Vec<TargetBox>], config: &LossConfig) -> Self {
        let (cells, classes) = (&flat.cells, flat.classes);
        let probabilities = read(sigmoid(flat.class_logits.clone().detach()));
        let distances = Distances::new(flat);
        let mut goals = Self {
            scores: vec![0.0; probabilities.len()],
            importance: vec![1.0; flat.images * cells.len()],
            rows: Vec::new(),
            distances: Vec::new(),
            weights: Vec::new(),
            score_sum: 0.0,
        };
        for (image, boxes) in targets.iter().enumerate() {
            let boxes: Vec<TargetBox> =
                boxes.iter().filter(|object| object.probabilities.len() == classes).cloned().collect();
            let first = image * cells.len();
            // A region without weight neither teaches nor is background: nobody knows what is there.
            for region in
                boxes.iter().filter(|object| (object.weight.is_nan() || object.weight <= 0.0) && object.bbox.is_valid())
            {
                cells.inside(&region.bbox).into_iter().for_each(|cell| goals.importance[first + cell] = 0.0);
            }
            let predictions = Predictions {
                probabilities: &probabilities[first * classes..(first + cells.len()) * classes],
                distances: &|cell| distances.of(Row { image, cell }),
            };
            for assigned in assign(cells, predictions, &boxes, config) {
                goals.push(
                    Row { image, cell: assigned.cell },
                    cells,
                    assigned,
                    &boxes[assigned.target],
                    (flat.bins - 1) as f32,
                    config.temperature,
                );
            }
        }
        goals
    }

    fn push(
        &mut self,
        row: Row,
        cells: &Cells,
        assigned: Assigned,
        object: &TargetBox,
        longest: f32,
        temperature: f32,
    ) {
        let classes = object.probabilities.len();
        let place = row.image * cells.len() + row.cell;
        let mut best = 0.0_f32;
        for (class, &probability) in object.probabilities.iter().enumerate() {
            let score = soften(probability, temperature) * assigned.quality;
            self.scores[place * classes + class] = score;
            best = best.max(score);
        }
        let ((x, y), stride) = (cells.centers[assigned.cell], cells.strides[assigned.cell]);
        let bbox = object.bbox;
        let distances = [x - bbox.x_min, y - bbox.y_min, bbox.x_max - x, bbox.y_max - y];
        self.distances.extend(distances.map(|distance| (distance / stride).clamp(0.0, longest)));
        self.rows.push(row);
        self.importance[place] = object.weight.min(1.0);
        self.weights.push(best * object.weight.min(1.0));
        self.score_sum += best;
    }
}

/// `sigmoid(logit(p) / T)`; nothing stays nothing.
fn soften(probability: f32, temperature: f32) -> f32 {
    if probability.is_nan() || probability <= 0.0 {
        return 0.0;
    }
    if temperature == 1.0 {
        return probability.min(1.0);
    }
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    let logit = (probability / (1.0 - probability)).ln();
    1.0 / (1.0 + (-logit / temperature).exp())
}

/// The values of a float tensor.
fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a computed float tensor can be read as f32")
}

#[cfg(test)]
#[path = "detection_tests.rs"]
mod tests;
