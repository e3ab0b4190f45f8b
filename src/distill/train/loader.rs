//! Batches made by worker threads. What is in a batch depends on the seed, the epoch and the frames alone, never on the number
//! of workers or on which of them was first.

use std::{ops::ControlFlow, time::Duration};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use super::{
    TrainError,
    ahead::Workers,
    augment::{Augmenter, Sample},
    dataset::FrameSet,
    tutor::Tutors,
};
use crate::{
    distill::{config::AugmentConfig, loss::TargetBox, teacher::Ensemble},
    model::InputSpec,
};

/// Training images and their boxes, ready for the student.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Place in the epoch, from 0.
    pub index: usize,
    /// Normalised images `[B, 3, H, W]`.
    pub images: Vec<f32>,
    /// Their shape.
    pub shape: [usize; 4],
    /// Boxes of each image in input pixels.
    pub targets: Vec<Vec<TargetBox>>,
    /// True boxes of each image in input pixels, where the student learns from them as well.
    pub truth: Vec<Vec<TargetBox>>,
    /// Whether each image was labelled; the others get their boxes from the student's own average.
    pub labelled: Vec<bool>,
    /// What the teachers' insides say of the images.
    pub hints: Vec<Hint>,
    /// Name of each image's (first) frame.
    pub names: Vec<String>,
}

impl Batch {
    /// Has the images that nobody labelled teach none of so many classes, not even background.
    pub(super) fn forget_unlabelled(&mut self, classes: usize) {
        let [_, _, height, width] = self.shape;
        let unknown = TargetBox::unknown((width as f32, height as f32), classes);
        for (targets, _) in self.targets.iter_mut().zip(&self.labelled).filter(|(_, labelled)| !**labelled) {
            *targets = vec![unknown.clone()];
        }
    }
}

/// A teacher's tensor for the images of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Its values.
    pub values: Vec<f32>,
    /// `[B, teacher's C, rows, columns]`, where rows and columns are those of the student's map.
    pub shape: [usize; 4],
}

/// Makes batches out of a set of frames.
#[derive(Debug, Clone)]
pub struct Loader<'a> {
    frames: &'a FrameSet,
    tutors: Option<&'a Tutors>,
    augmenter: Augmenter,
    spec: InputSpec,
    seed: u64,
    batch: usize,
    workers: Workers,
}

/// One pass over the frames.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// Which, from 0.
    pub number: usize,
    /// Whether mosaics are made.
    pub mosaic: bool,
    /// The first batch to make; those before were trained on by an earlier run.
    pub first_batch: usize,
}

impl<'a> Loader<'a> {
    /// A loader, with teachers that look at each image where they are given; `workers` of 0 takes half of the cores.
    pub fn new(
        frames: &'a FrameSet,
        tutors: Option<&'a Tutors>,
        config: &AugmentConfig,
        spec: &InputSpec,
        seed: u64,
        batch: usize,
        workers: usize,
    ) -> Self {
        let batch = batch.min(frames.len()).max(1);
        Self {
            frames,
            tutors,
            augmenter: Augmenter::new(config.clone(), spec.clone()),
            spec: spec.clone(),
            seed,
            batch,
            workers: Workers::new(workers),
        }
    }

    /// A loader of frames as the robot would show them, without augmentation and teachers.
    pub(super) fn still(frames: &'a FrameSet, spec: &InputSpec, seed: u64, batch: usize, workers: usize) -> Self {
        Self::new(frames, None, &AugmentConfig::none(), spec, seed, batch, workers)
    }

    /// Batches of an epoch. All are of the same size; the frames left over are left out, other ones in each epoch.
    pub fn batches(&self) -> usize {
        self.frames.len() / self.batch
    }

    /// Hands the batches of an epoch to `use_batch`, in order, with the time that it had to be waited for. Stops early when
    /// `use_batch` breaks or fails.
    ///
    /// # Errors
    /// When a frame cannot be read back from the cache, a teacher fails, or what `use_batch` returns.
    pub fn for_each(
        &self,
        epoch: Epoch,
        use_batch: impl FnMut(Batch, Duration) -> Result<ControlFlow<()>, TrainError>,
    ) -> Result<(), TrainError> {
        let order = self.order(epoch.number);
        let begin = || self.tutors.map(Tutors::borrow).transpose();
        let make = |teachers: &mut Option<Ensemble>, index: usize| self.make(index, epoch, &order, teachers.as_mut());
        let end = |teachers: Option<Ensemble>| {
            if let (Some(tutors), Some(teachers)) = (self.tutors, teachers) {
                tutors.give_back(teachers);
            }
        };
        self.workers.prepare(epoch.first_batch..self.batches(), begin, make, end, use_batch)
    }

    /// Hands whole batches of the first epoch, without mosaics, to `use_batch` until they hold `images` images or there are no more.
    /// Gives how many images there were.
    ///
    /// # Errors
    /// When a frame cannot be read back from the cache.
    pub(super) fn for_images(&self, images: usize, mut use_batch: impl FnMut(Batch)) -> Result<usize, TrainError> {
        let mut seen = 0;
        self.for_each(Epoch { number: 0, mosaic: false, first_batch: 0 }, |batch, _| {
            seen += batch.targets.len();
            use_batch(batch);
            Ok(if seen < images { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(seen)
    }

    /// The frames in the order of an epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        shuffled(self.frames.len(), self.seed, epoch)
    }

    fn make(
        &self,
        index: usize,
        epoch: Epoch,
        order: &[usize],
        mut teachers: Option<&mut Ensemble>,
    ) -> Result<Batch, TrainError> {
        let (width, height) = (self.spec.width, self.spec.height);
        let area = 3 * width * height;
        let mut batch = Batch {
            index,
            images: vec![0.0; area * self.batch],
            shape: [self.batch, 3, height, width],
            hints: self.tutors.map(|tutors| tutors.empty_hints(self.batch)).unwrap_or_default(),
            ..Batch::default()
        };
        let members = &order[index * self.batch..(index + 1) * self.batch];
        for (&first, image) in members.iter().zip(batch.images.chunks_exact_mut(area)) {
            let mut rng = generator(&[self.seed, epoch.number as u64, first as u64]);
            let mosaic = self.augmenter.wants_mosaic(epoch.mosaic, &mut rng);
            let mixup = self.augmenter.wants_mixup(epoch.mosaic, &mut rng);
            let mut sample = self.draw(first, mosaic, &mut rng)?;
            if mixup {
                let over = self.draw(rng.random_range(0..self.frames.len()), false, &mut rng)?;
                sample = self.augmenter.mix(sample, over, &mut rng);
            }
            sample.canvas.normalize(&self.spec, image);
            if let (Some(tutors), Some(teachers)) = (self.tutors, teachers.as_deref_mut()) {
                let synthetic = mosaic || mixup;
                let tutored = tutors.look(teachers, &sample.canvas, synthetic)?;
                for (hint, values) in batch.hints.iter_mut().zip(tutored.hints) {
                    hint.shape[1] = values.len() / (hint.shape[2] * hint.shape[3]);
                    hint.values.extend(values);
                }
                if tutors.relabels(synthetic) {
                    sample.boxes = tutored.boxes;
                    sample.labelled = true;
                }
            }
            batch.targets.push(sample.boxes);
            batch.truth.push(sample.truth);
            batch.labelled.push(sample.labelled);
            batch.names.push(self.frames.name(first).to_owned());
        }
        Ok(batch)
    }

    /// Draws a frame, or a mosaic of it and three others.
    fn draw(&self, first: usize, mosaic: bool, rng: &mut Pcg64Mcg) -> Result<Sample, TrainError> {
        let mut members = vec![first];
        if mosaic {
            members.extend((0..3).map(|_| rng.random_range(0..self.frames.len())));
        }
        let pixels = members.iter().map(|&member| self.frames.pixels(member)).collect::<Result<Vec<_>, _>>()?;
        let frames: Vec<_> =
            members.iter().zip(&pixels).map(|(&member, pixels)| self.frames.frame(member, pixels)).collect();
        Ok(self.augmenter.draw(&frames, rng))
    }
}

/// So many examples in the order of an epoch.
pub(in crate::distill) fn shuffled(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut generator(&[seed, epoch as u64]));
    order
}

/// A random generator of its own for each list of numbers.
pub(in crate::distill) fn generator(numbers: &[u64]) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(mixed(numbers))
}

/// A number of its own for each list of numbers (mixed by SplitMix64, Steele et al. 2014).
pub(in crate::distill) fn mixed(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0u64, |state, number| {
        let mut z = state.wrapping_add(*number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        distill::{student::StudentConfig, train::dataset::tests::painted_frames},
        geometry::Box2,
        model::ModelSpec,
    };

    /// The batches of an epoch.
    pub fn batches_of(loader: &Loader<'_>, epoch: Epoch) -> Vec<Batch> {
        let mut batches = Vec::new();
        loader
            .for_each(epoch, |batch, _| {
                batches.push(batch);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        batches
    }

    fn all_batches(workers: usize, epoch: usize, first_batch: usize) -> Vec<Batch> {
        let frames = painted_frames(13);
        let ModelSpec { input, .. } = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).model_spec();
        let loader = Loader::new(&frames, None, &AugmentConfig::default(), &input, 7, 4, workers);
        batches_of(&loader, Epoch { number: epoch, mosaic: true, first_batch })
    }

    #[test]
    fn batches_do_not_depend_on_the_workers() {
        let one = all_batches(1, 0, 0);
        assert_eq!(one.len(), 3);
        assert!(one.iter().enumerate().all(|(index, batch)| batch.index == index && batch.targets.len() == 4));
        assert!(one == all_batches(4, 0, 0));
        assert!(one[2..] == all_batches(2, 0, 2)[..]);
    }

    #[test]
    fn epochs_differ() {
        assert!(all_batches(1, 0, 0)[0] != all_batches(1, 1, 0)[0]);
    }

    #[test]
    fn so_many_still_images_are_whole_batches_and_the_same_each_time() {
        let frames = painted_frames(13);
        let ModelSpec { input, .. } = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).model_spec();
        let shown = |images| {
            let mut names = Vec::new();
            let loader = Loader::still(&frames, &input, 7, 4, 2);
            let seen = loader.for_images(images, |batch| names.extend(batch.names)).unwrap();
            assert_eq!(seen, names.len());
            names
        };
        assert_eq!([1, 4, 5, 100].map(|images| shown(images).len()), [4, 4, 8, 12]);
        assert_eq!(shown(5), shown(5));
    }

    #[test]
    fn what_nobody_labelled_is_forgotten() {
        let own = TargetBox { bbox: Box2::new(8.0, 8.0, 40.0, 40.0), probabilities: vec![0.9, 0.1], weight: 1.0 };
        let mut batch = Batch {
            shape: [2, 3, 64, 96],
            targets: vec![vec![own.clone()], vec![own.clone(), own.clone()]],
            labelled: vec![true, false],
            ..Batch::default()
        };
        batch.forget_unlabelled(2);
        assert_eq!(batch.targets, [vec![own], vec![TargetBox::unknown((96.0, 64.0), 2)]]);
    }

    #[test]
    fn breaking_and_failing_end_it() {
        let frames = painted_frames(13);
        let ModelSpec { input, .. } = StudentConfig::new(Default::default(), vec!["a".into()], 96, 64).model_spec();
        let loader = Loader::new(&frames, None, &AugmentConfig::default(), &input, 7, 1, 3);
        let epoch = Epoch { number: 0, mosaic: true, first_batch: 0 };
        let mut count = 0;
        let counted = loader.for_each(epoch, |_, _| {
            count += 1;
            Ok(if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert!(counted.is_ok() && count == 2);
        assert!(matches!(loader.for_each(epoch, |_, _| Err(TrainError::Worker)), Err(TrainError::Worker)));
    }
}
