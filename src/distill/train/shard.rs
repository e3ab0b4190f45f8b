//! A batch in shards that are worked on at the same time: forward pass, losses and backward pass of each are one piece of work, of which
//! a thread has enough, where the many small sections of single operators leave threads waiting for each other.
//!
//! The shards' losses are divided by what the whole batch's would be ([`NamedTerm::share`]), and their gradients are added in the order
//! of the images. What differs from the batch in one piece is BatchNorm: it has the statistics of each shard alone, which is known to
//! generalise no worse ("Train longer, generalize better", Hoffer et al. 2017, ghost batch normalisation), and its running statistics
//! become the mean of what the shards would have made of them. All of this depends on how the batch is cut and not on the threads.

use std::ops::Range;

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::Device,
};
use rayon::prelude::*;

use super::values::{Values, read_unfitted, write_unfitted};
use crate::distill::{
    loss::{LossValues, NamedTerm},
    student::operator::one_of,
};

/// Images of a shard at least: BatchNorm has nothing to compare a single one with.
const FEWEST: usize = 2;

/// Into how many shards batches on a device are cut at most. Only on the CPU does one work have threads to spare.
pub(in crate::distill) fn shards_on(device: &Device, wanted: usize) -> usize {
    if *device == Device::flex() { wanted } else { 1 }
}

/// The images of each shard of a batch that is cut into so many at most, as evenly as can be.
pub(in crate::distill) fn shard_ranges(images: usize, shards: usize) -> Vec<Range<usize>> {
    let count = shards.min(images / FEWEST).max(1);
    (0..count).map(|shard| shard * images / count..(shard + 1) * images / count).collect()
}

/// Cuts what belongs to so many images, one after the other, into what belongs to each range of them; the ranges follow each other and
/// are all of the images.
pub(in crate::distill) fn cut<T>(mut values: Vec<T>, images: usize, ranges: &[Range<usize>]) -> Vec<Vec<T>> {
    let each = values.len() / images.max(1);
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges.iter().skip(1).rev() {
        parts.push(values.split_off(range.start * each));
    }
    parts.push(values);
    parts.reverse();
    parts
}

/// The shards of a batch, which a learner was shown.
pub(super) struct Shards<M> {
    /// The learner as each of them saw it.
    replicas: Vec<M>,
    /// What is to be minimised, each shard's part of it.
    terms: Vec<Vec<NamedTerm>>,
    /// Each replica's running statistics after that; none of a batch in one piece, whose are the learner's own.
    statistics: Vec<Values>,
}

impl<M: Module> Shards<M> {
    /// Shows a learner the parts of a batch, all at the same time; `terms` says what is to be minimised on a part.
    ///
    /// Each of several parts has a replica of the learner: a backward pass holds the lock of the graph that it goes through, and works
    /// that use the same parameters are in one graph (burn-autodiff, `GraphMutexClient`).
    pub(super) fn show<P: Send>(learner: &M, parts: Vec<P>, terms: impl Fn(&M, P) -> Vec<NamedTerm> + Sync) -> Self {
        let count = parts.len();
        let is_whole = count == 1;
        let replica = || if is_whole { learner.clone() } else { learner.valid().train() };
        let works: Vec<(M, P)> = parts.into_iter().map(|part| (replica(), part)).collect();
        let shown: Vec<(M, Vec<NamedTerm>, Values)> = works
            .into_par_iter()
            .with_max_len(1)
            .map(|(replica, part)| {
                let terms = one_of(count, || terms(&replica, part));
                let statistics = if is_whole { Vec::new() } else { statistics(&replica) };
                (replica, terms, statistics)
            })
            .collect();
        let mut shards = Self { replicas: Vec::new(), terms: Vec::new(), statistics: Vec::new() };
        for (replica, terms, statistics) in shown {
            shards.replicas.push(replica);
            shards.terms.push(terms);
            shards.statistics.push(statistics);
        }
        NamedTerm::share(&mut shards.terms);
        shards
    }

    /// The losses of the whole batch.
    pub(super) fn losses(&self) -> LossValues {
        LossValues::of_shards(&self.terms)
    }

    /// The learner with the running statistics that the shards leave behind.
    pub(super) fn keep_statistics(&self, learner: M) -> M {
        if self.replicas.len() < 2 {
            return learner;
        }
        write_unfitted(learner, &mean(&self.statistics))
    }

    /// The gradients of the whole batch's loss; none without terms.
    pub(super) fn gradients(self, learner: &M) -> Option<GradientsParams> {
        let count = self.replicas.len();
        let works: Vec<(M, Vec<NamedTerm>)> = self.replicas.into_iter().zip(self.terms).collect();
        let found: Option<Vec<GradientsParams>> = works
            .into_par_iter()
            .with_max_len(1)
            .map(|(replica, terms)| {
                let loss = NamedTerm::sum(&terms)?;
                drop(terms);
                Some(one_of(count, || GradientsParams::from_grads(loss.backward(), &replica)))
            })
            .collect();
        let mut sum = GradientsAccumulator::new();
        for gradients in found? {
            sum.accumulate(learner, gradients);
        }
        Some(sum.grads())
    }
}

/// The mean of several modules' values.
fn mean(all: &[Values]) -> Values {
    let Some((first, others)) = all.split_first() else { return Vec::new() };
    let mut mean = first.clone();
    for other in others {
        for (sums, values) in mean.iter_mut().zip(other) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
    mean.iter_mut().flatten().for_each(|sum| *sum /= all.len() as f32);
    mean
}

/// The running statistics of a module that was trained on: its numbers that are not fitted.
fn statistics(module: &impl Module) -> Values {
    // What the forward pass noted counts from when a snapshot is made.
    drop(module.valid());
    read_unfitted(module)
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
