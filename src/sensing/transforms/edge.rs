//! The samples of one edge of the tree of frames.

use std::collections::BTreeMap;

use crate::geometry::RigidTransform;

/// Where a frame is in its parent.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) parent: String,
    pub(super) poses: Poses,
}

#[derive(Debug, Clone)]
pub(super) enum Poses {
    /// At all times the same.
    Static(RigidTransform),
    /// By stamp in nanoseconds.
    Moving(BTreeMap<i64, RigidTransform>),
}

/// Why an edge has no pose at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// The time is after the newest sample.
    After { newest: i64 },
    /// The time is before the oldest sample.
    Before { oldest: i64 },
}

impl Edge {
    pub(super) fn is_static(&self) -> bool {
        matches!(self.poses, Poses::Static(_))
    }

    /// How many samples there are, 0 for a static edge.
    pub(super) fn samples(&self) -> usize {
        match &self.poses {
            Poses::Static(_) => 0,
            Poses::Moving(samples) => samples.len(),
        }
    }

    /// The newest stamp of a moving edge.
    pub(super) fn newest(&self) -> Option<i64> {
        match &self.poses {
            Poses::Static(_) => None,
            Poses::Moving(samples) => samples.last_key_value().map(|(&stamp, _)| stamp),
        }
    }

    /// Takes in a pose, and lets go of samples that are older than the newest by more than `keep` nanoseconds.
    pub(super) fn put(&mut self, stamp: i64, pose: RigidTransform, keep: i64) {
        match &mut self.poses {
            Poses::Static(known) => *known = pose,
            Poses::Moving(samples) => {
                samples.insert(stamp, pose);
                let newest = samples.last_key_value().map_or(stamp, |(&newest, _)| newest);
                let oldest = newest.saturating_sub(keep);
                while samples.first_key_value().is_some_and(|(&stamp, _)| stamp < oldest) {
                    samples.pop_first();
                }
            }
        }
    }

    /// Lets go of the oldest sample.
    pub(super) fn drop_oldest(&mut self) {
        if let Poses::Moving(samples) = &mut self.poses {
            samples.pop_first();
        }
    }

    /// The pose at a time, between the samples around it.
    pub(super) fn at(&self, time: i64) -> Result<RigidTransform, Outside> {
        let samples = match &self.poses {
            Poses::Static(pose) => return Ok(*pose),
            Poses::Moving(samples) => samples,
        };
        match (samples.range(..=time).next_back(), samples.range(time..).next()) {
            (Some((&start, first)), Some((&end, second))) if start < end => {
                // Stamps have 32-bit seconds, so that their differences fit.
                let share = (time - start) as f64 / (end - start) as f64;
                Ok(first.interpolate(second, share))
            }
            (Some((_, pose)), Some(_)) => Ok(*pose),
            (Some((&newest, _)), None) => Err(Outside::After { newest }),
            (None, Some((&oldest, _))) => Err(Outside::Before { oldest }),
            // A moving edge has a sample from its start, so this does not come about; no time is after nothing.
            (None, None) => Err(Outside::After { newest: i64::MIN }),
        }
    }
}
