//! Batches of sweeps and what is to be learnt of their cells.

use std::ops::Range;

use super::{
    augment::SweepAugmenter,
    config::LidarAugmentConfig,
    labels::{LabelledObject, LabelledSweep, PointClass, SweepLabels},
    student::{BOX_CHANNELS, VOTE_CHANNELS},
};
use crate::{
    distill::train::{cut, generator, shard_ranges},
    model::lidar::{LidarSpec, encode_box, encode_vote, fill_input},
    sensing::range_image::{NONE, RangeImage, Sweep},
};

/// A sweep to learn from.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// Its points.
    pub sweep: &'a Sweep,
    /// What is known of them.
    pub labels: &'a SweepLabels,
    /// Its stamp in nanoseconds, for messages.
    pub stamp: i64,
}

impl<'a> Example<'a> {
    /// A sweep with its own labels.
    pub fn of(sweep: &'a LabelledSweep) -> Self {
        Self { sweep: &sweep.sweep, labels: &sweep.labels, stamp: sweep.stamp }
    }

    /// Whether anything is known of any of its points.
    pub fn teaches(&self) -> bool {
        self.labels.is_known()
    }
}

/// What each cell of range images teaches, image after image, each `[channels, rows, columns]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellTargets {
    /// Probability of each class, `[classes, rows, columns]`.
    pub probabilities: Vec<f32>,
    /// How much the cell's class counts, `[1, rows, columns]`; 0 where nothing is known.
    pub class_weights: Vec<f32>,
    /// The way to the object's centre, `[3, rows, columns]`.
    pub votes: Vec<f32>,
    /// How much the vote counts, `[1, rows, columns]`.
    pub vote_weights: Vec<f32>,
    /// The object's box, `[5, rows, columns]`.
    pub boxes: Vec<f32>,
    /// How much its size counts, `[1, rows, columns]`.
    pub size_weights: Vec<f32>,
    /// How much its yaw counts, `[1, rows, columns]`.
    pub yaw_weights: Vec<f32>,
}

/// Objects of so many points count as they are, however far objects are balanced.
const USUAL_POINTS: f32 = 20.0;

impl CellTargets {
    /// The targets of one image: those of the point in each cell, whose object stands in `objects`, which may have been moved
    /// since `labels` were made. A point of an object is of its class with the probability that is the object's score, for a
    /// teacher's doubt is to be learnt as well (Hinton et al. 2015); of no object, with probability 1. The class of a point counts
    /// `(20 / n)^object_balance` times on an object of `n` points; its vote and box do not, or middles and sizes of large objects would
    /// hardly be learnt.
    pub fn new(
        image: &RangeImage,
        labels: &SweepLabels,
        objects: &[LabelledObject],
        classes: usize,
        object_balance: f32,
    ) -> Self {
        let cells = image.grid.cells();
        let mut targets = Self {
            probabilities: vec![0.0; classes * cells],
            class_weights: vec![0.0; cells],
            votes: vec![0.0; VOTE_CHANNELS * cells],
            vote_weights: vec![0.0; cells],
            boxes: vec![0.0; BOX_CHANNELS * cells],
            size_weights: vec![0.0; cells],
            yaw_weights: vec![0.0; cells],
        };
        for (cell, (&place, &point)) in image.point_of_cell.iter().zip(&image.points).enumerate() {
            if place == NONE {
                continue;
            }
            let Some(target) = labels.points.get(place as usize).filter(|target| target.is_known()) else { continue };
            let PointClass::Class(class) = target.class else {
                targets.class_weights[cell] = target.weight;
                continue;
            };
            let object = target.object.and_then(|object| objects.get(object as usize));
            let share = object.map_or(1.0, |object| (USUAL_POINTS / object.points.max(1) as f32).powf(object_balance));
            targets.class_weights[cell] = target.weight * share;
            let score = object.map_or(1.0, |object| object.score.clamp(0.0, 1.0));
            if usize::from(class) < classes {
                targets.probabilities[usize::from(class) * cells + cell] = score;
            }
            let Some(object) = object.filter(|object| object.center.iter().all(|value| value.is_finite())) else {
                continue;
            };
            let weight = target.weight * score;
            targets.vote_weights[cell] = weight;
            put(&mut targets.votes, cell, cells, &encode_vote(point, object.center));
            if let Some(size) = object.size.filter(|size| size.iter().all(|side| side.is_finite() && *side > 0.0)) {
                targets.size_weights[cell] = weight;
                targets.yaw_weights[cell] = if object.yaw.is_some() { weight } else { 0.0 };
                put(&mut targets.boxes, cell, cells, &encode_box(point, size, object.yaw.unwrap_or(0.0)));
            }
        }
        targets
    }

    /// The targets of each range of images, of which there are so many in all.
    fn cut(self, images: usize, ranges: &[Range<usize>]) -> Vec<Self> {
        let mut parts = vec![Self::default(); ranges.len()];
        let mut give = |values: Vec<f32>, place: fn(&mut Self) -> &mut Vec<f32>| {
            for (part, values) in parts.iter_mut().zip(cut(values, images, ranges)) {
                *place(part) = values;
            }
        };
        give(self.probabilities, |targets| &mut targets.probabilities);
        give(self.class_weights, |targets| &mut targets.class_weights);
        give(self.votes, |targets| &mut targets.votes);
        give(self.vote_weights, |targets| &mut targets.vote_weights);
        give(self.boxes, |targets| &mut targets.boxes);
        give(self.size_weights, |targets| &mut targets.size_weights);
        give(self.yaw_weights, |targets| &mut targets.yaw_weights);
        parts
    }

    /// Takes in the targets of the next image.
    fn append(&mut self, mut next: Self) {
        self.probabilities.append(&mut next.probabilities);
        self.class_weights.append(&mut next.class_weights);
        self.votes.append(&mut next.votes);
        self.vote_weights.append(&mut next.vote_weights);
        self.boxes.append(&mut next.boxes);
        self.size_weights.append(&mut next.size_weights);
        self.yaw_weights.append(&mut next.yaw_weights);
    }
}

/// Writes a cell's values into a map `[channels, cells]`.
fn put(map: &mut [f32], cell: usize, cells: usize, values: &[f32]) {
    for (channel, value) in values.iter().enumerate() {
        map[channel * cells + cell] = *value;
    }
}

/// Range images and their targets, ready for the student.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LidarBatch {
    /// `[B, channels, rows, columns]`.
    pub images: Vec<f32>,
    /// Their shape.
    pub shape: [usize; 4],
    /// What their cells teach.
    pub targets: CellTargets,
    /// Stamp of each sweep in nanoseconds.
    pub stamps: Vec<i64>,
}

impl LidarBatch {
    /// Cuts it, whose images and targets are used up, into so many parts at most.
    pub(super) fn cut(&mut self, parts: usize) -> Vec<Self> {
        let [count, channels, rows, columns] = self.shape;
        let ranges = shard_ranges(count, parts);
        let images = cut(std::mem::take(&mut self.images), count, &ranges);
        let targets = std::mem::take(&mut self.targets).cut(count, &ranges);
        let parts = ranges.into_iter().zip(images).zip(targets);
        let shape = |count: usize| [count, channels, rows, columns];
        parts
            .map(|((range, images), targets)| Self {
                images,
                shape: shape(range.len()),
                targets,
                stamps: self.stamps[range].to_vec(),
            })
            .collect()
    }
}

/// Makes batches out of examples, on the thread that asks for them. What is in a batch depends on the seed, the epoch and the examples
/// alone.
#[derive(Debug, Clone)]
pub struct BatchMaker<'a> {
    examples: &'a [Example<'a>],
    spec: &'a LidarSpec,
    augmenter: SweepAugmenter,
    seed: u64,
    batch: usize,
    object_balance: f32,
}

impl<'a> BatchMaker<'a> {
    /// A maker of batches of so many examples, or of all where there are fewer. Each point counts alike.
    pub fn new(
        examples: &'a [Example<'a>],
        spec: &'a LidarSpec,
        config: LidarAugmentConfig,
        seed: u64,
        batch: usize,
    ) -> Self {
        let augmenter = SweepAugmenter::new(config, &spec.grid);
        let batch = batch.min(examples.len()).max(1);
        Self { examples, spec, augmenter, seed, batch, object_balance: 0.0 }
    }

    /// This maker, of batches in which objects of few points count more, see [`CellTargets::new`].
    #[must_use]
    pub fn balancing_objects(self, object_balance: f32) -> Self {
        Self { object_balance, ..self }
    }

    /// Batches of an epoch. All are of the same size; the examples left over are left out, other ones in each epoch.
    pub fn batches(&self) -> usize {
        self.examples.len() / self.batch
    }

    /// The batch with this place in an epoch whose examples come in this order.
    ///
    /// # Panics
    /// When there are not as many batches; that is a mistake of the caller's code.
    pub fn make(&self, index: usize, epoch: usize, order: &[usize]) -> LidarBatch {
        let members = &order[index * self.batch..(index + 1) * self.batch];
        let grid = &self.spec.grid;
        let mut batch = LidarBatch {
            shape: [members.len(), self.spec.channels.len(), grid.rows, grid.columns],
            stamps: members.iter().map(|&member| self.examples[member].stamp).collect(),
            ..LidarBatch::default()
        };
        for &member in members {
            let (image, targets) = self.draw(member, epoch);
            batch.images.extend(image);
            batch.targets.append(targets);
        }
        batch
    }

    fn draw(&self, member: usize, epoch: usize) -> (Vec<f32>, CellTargets) {
        let Example { sweep, labels, .. } = self.examples[member];
        let mut rng = generator(&[self.seed, epoch as u64, member as u64]);
        let (sweep, objects) = self.augmenter.draw(sweep, &labels.objects, &mut rng);
        let image = RangeImage::project(&sweep, &self.spec.grid);
        let classes = self.spec.classes.len();
        let targets = CellTargets::new(&image, labels, &objects, classes, self.object_balance);
        (input_of(&image, self.spec), targets)
    }
}

/// What the network sees of a range image, `[channels, rows, columns]`.
pub fn input_of(image: &RangeImage, spec: &LidarSpec) -> Vec<f32> {
    let mut input = vec![0.0; spec.channels.len() * spec.grid.cells()];
    fill_input(image, spec, &mut input);
    input
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        distill::lidar::labels::PointTarget,
        model::lidar::{RangeChannel, decode_vote},
        sensing::range_image::RangeGrid,
    };

    /// A half circle of 64 beams and one class.
    pub fn spec() -> LidarSpec {
        let half = std::f32::consts::FRAC_PI_2;
        let grid = RangeGrid { rows: 1, columns: 64, azimuth: [-half, half], elevation: [0.0, 0.0] };
        LidarSpec::new(grid, RangeChannel::scan(), 10.0, vec!["post".into()])
    }

    /// A wall 4 m away, and before it a round post of five beams, whose centre lies 0.1 m behind its nearest point.
    pub fn painted_sweep(index: usize) -> LabelledSweep {
        let spec = spec();
        let first = 5 + (index * 11) % 50;
        let point = |column: usize, range: f32| {
            let azimuth = spec.grid.azimuth_of(column);
            [range * azimuth.cos(), range * azimuth.sin(), 0.0]
        };
        let distance = 1.0 + 0.1 * (index % 10) as f32;
        let is_post = |column: usize| (first..first + 5).contains(&column);
        let points: Vec<[f32; 3]> =
            (0..64).map(|column| point(column, if is_post(column) { distance } else { 4.0 })).collect();
        let target = |column: usize| {
            if is_post(column) {
                PointTarget { class: PointClass::Class(0), weight: 1.0, object: Some(0) }
            } else {
                PointTarget { class: PointClass::Background, weight: 1.0, object: None }
            }
        };
        let object = LabelledObject {
            class: 0,
            center: point(first + 2, distance + 0.1),
            size: Some([0.2, 0.2, 1.0]),
            yaw: None,
            score: 1.0,
            points: 5,
        };
        let labels = SweepLabels { points: (0..64).map(target).collect(), objects: vec![object] };
        LabelledSweep {
            stamp: index as i64 * 100_000_000,
            frame_id: "laser".into(),
            sweep: Sweep { points, intensities: Vec::new(), rings: Vec::new(), rows: 1 },
            labels,
            truth: None,
        }
    }

    pub fn examples(sweeps: &[LabelledSweep]) -> Vec<Example<'_>> {
        sweeps.iter().map(Example::of).collect()
    }

    #[test]
    fn cells_take_the_targets_of_their_points() {
        let (spec, sweep) = (spec(), painted_sweep(3));
        let image = RangeImage::project(&sweep.sweep, &spec.grid);
        let targets = CellTargets::new(&image, &sweep.labels, &sweep.labels.objects, 1, 0.0);
        assert_eq!(targets.probabilities.iter().sum::<f32>(), 5.0);
        assert_eq!(targets.class_weights.iter().sum::<f32>(), 64.0);
        assert_eq!((targets.size_weights.iter().sum::<f32>(), targets.yaw_weights.iter().sum::<f32>()), (5.0, 0.0));
        for cell in (0..64).filter(|&cell| targets.vote_weights[cell] > 0.0) {
            let vote = [targets.votes[cell], targets.votes[64 + cell], targets.votes[128 + cell]];
            let center = decode_vote(image.points[cell], vote);
            let expected = sweep.labels.objects[0].center;
            assert!(center.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4), "{center:?}");
        }
    }

    #[test]
    fn doubt_is_learnt_and_what_is_not_known_is_not() {
        let (spec, mut sweep) = (spec(), painted_sweep(0));
        sweep.labels.objects[0].score = 0.4;
        sweep.labels.points[0].weight = 0.0;
        let image = RangeImage::project(&sweep.sweep, &spec.grid);
        let targets = CellTargets::new(&image, &sweep.labels, &sweep.labels.objects, 1, 0.0);
        let most = targets.probabilities.iter().copied().fold(0.0, f32::max);
        assert_eq!((most, targets.class_weights.iter().sum::<f32>()), (0.4, 63.0));
        assert!((targets.vote_weights.iter().sum::<f32>() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn objects_of_few_points_count_more_where_they_are_balanced() {
        let (spec, sweep) = (spec(), painted_sweep(0));
        let image = RangeImage::project(&sweep.sweep, &spec.grid);
        let targets = |balance| CellTargets::new(&image, &sweep.labels, &sweep.labels.objects, 1, balance);
        // Of the post's five points each counts as four, or as two; the wall's 59 as they did.
        for (balance, sum) in [(0.0, 5.0), (0.5, 10.0), (1.0, 20.0)] {
            let targets = targets(balance);
            assert!((targets.class_weights.iter().sum::<f32>() - sum - 59.0).abs() < 1e-4, "{balance}");
            let [votes, sizes] =
                [&targets.vote_weights, &targets.size_weights].map(|weights| weights.iter().sum::<f32>());
            assert_eq!((votes, sizes), (5.0, 5.0));
        }
    }

    #[test]
    fn batches_depend_on_seed_epoch_and_place() {
        let (spec, sweeps) = (spec(), (0..7).map(painted_sweep).collect::<Vec<_>>());
        let examples = examples(&sweeps);
        let maker = BatchMaker::new(&examples, &spec, LidarAugmentConfig::default(), 3, 3);
        assert_eq!(maker.batches(), 2);
        let order: Vec<usize> = (0..7).collect();
        let first = maker.make(1, 0, &order);
        assert_eq!(first.shape, [3, spec.channels.len(), 1, 64]);
        assert!(first == maker.clone().make(1, 0, &order));
        assert!(first != maker.make(1, 1, &order) && first != maker.make(0, 0, &order));
        let other_seed = BatchMaker::new(&examples, &spec, LidarAugmentConfig::default(), 4, 3);
        assert!(first != other_seed.make(1, 0, &order));
    }

    #[test]
    fn parts_of_a_batch_hold_all_of_it_in_order() {
        let (spec, sweeps) = (spec(), (0..5).map(painted_sweep).collect::<Vec<_>>());
        let examples = examples(&sweeps);
        let maker = BatchMaker::new(&examples, &spec, LidarAugmentConfig::default(), 3, 5);
        let whole = maker.make(0, 0, &[3, 1, 4, 0, 2]);
        let parts = whole.clone().cut(2);
        assert_eq!(parts.iter().map(|part| part.shape[0]).collect::<Vec<_>>(), [2, 3]);
        let mut together = LidarBatch { shape: whole.shape, ..LidarBatch::default() };
        for part in parts {
            together.images.extend(part.images);
            together.targets.append(part.targets);
            together.stamps.extend(part.stamps);
        }
        assert!(together == whole);
    }
}
