//! The ways between frames: up from both to their nearest common ancestor.

use std::collections::BTreeSet;

use super::{
    MAX_NAME, TransformBuffer, TransformError,
    edge::{Edge, Outside},
    frame_name,
};
use crate::{geometry::RigidTransform, spelling};

/// Similar names that an error tells.
const SIMILAR: usize = 3;

/// Of more frames than this none is looked for that may have been meant: to compare long names takes its time, and somebody makes
/// frames up.
const MOST_COMPARED: usize = 256;

/// A frame with the edge to its parent.
type Step<'a> = (&'a str, &'a Edge);

/// The edges from two frames up to their nearest common ancestor.
struct Chain<'a> {
    target: Vec<Step<'a>>,
    source: Vec<Step<'a>>,
}

impl<'a> Chain<'a> {
    fn steps(&self) -> impl Iterator<Item = &Step<'a>> {
        self.target.iter().chain(&self.source)
    }
}

impl TransformBuffer {
    /// The transform from the frame `source` into the frame `target` at a time in nanoseconds: `p_target` is
    /// `transform.apply(p_source)`. A frame in itself is always known.
    ///
    /// # Errors
    /// When a frame is not known, nothing connects the two, or an edge between them is not known at that time.
    pub fn lookup(&self, target: &str, source: &str, time: i64) -> Result<RigidTransform, TransformError> {
        let (target, source) = (frame_name(target), frame_name(source));
        if target == source {
            return Ok(RigidTransform::identity());
        }
        let chain = self.chain(target, source)?;
        match (climb(&chain.target, time), climb(&chain.source, time)) {
            (Some(up_from_target), Some(up_from_source)) => Ok(up_from_target.inverse().compose(&up_from_source)),
            _ => Err(self.outside(&chain, target, source, time)),
        }
    }

    /// Whether [`Self::lookup`] has an answer. It costs less than its error, which says what is known instead.
    pub fn is_known(&self, target: &str, source: &str, time: i64) -> bool {
        let (target, source) = (frame_name(target), frame_name(source));
        if target == source {
            return true;
        }
        let knows = |steps: &[Step<'_>]| steps.iter().all(|(_, edge)| edge.at(time).is_ok());
        self.connect(target, source).is_some_and(|chain| knows(&chain.target) && knows(&chain.source))
    }

    /// The transform from the frame `source` into the frame `target` at the newest time that all edges between them know, and that
    /// time in nanoseconds; 0 where all of them are static.
    ///
    /// # Errors
    /// When a frame is not known, nothing connects the two, or no time is common to all edges between them.
    pub fn lookup_latest(&self, target: &str, source: &str) -> Result<(RigidTransform, i64), TransformError> {
        let (target, source) = (frame_name(target), frame_name(source));
        if target == source {
            return Ok((RigidTransform::identity(), 0));
        }
        let chain = self.chain(target, source)?;
        let time = chain.steps().filter_map(|(_, edge)| edge.newest()).min().unwrap_or(0);
        Ok((self.lookup(target, source, time)?, time))
    }

    /// The transform from the frame `source` at one time into the frame `target` at another, by way of the frame `fixed` that does
    /// not move in between (mostly `odom` or `map`): where a point that was seen at `source_time` is for who stands in `target`
    /// at `target_time`. Times are nanoseconds.
    ///
    /// # Errors
    /// When one of the two look-ups fails, from `source` into `fixed` or from `target` into `fixed`.
    pub fn lookup_through(
        &self,
        target: &str,
        target_time: i64,
        source: &str,
        source_time: i64,
        fixed: &str,
    ) -> Result<RigidTransform, TransformError> {
        let source_in_fixed = self.lookup(fixed, source, source_time)?;
        let target_in_fixed = self.lookup(fixed, target, target_time)?;
        Ok(target_in_fixed.inverse().compose(&source_in_fixed))
    }

    /// A frame, its parent, and so on: all of these that hang in something.
    pub(super) fn ancestry<'a>(&'a self, frame: &'a str) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut frame = frame;
        // Circles are refused when they are about to be closed, so this ends.
        while let Some(edge) = self.edges.get(frame) {
            steps.push((frame, edge));
            frame = edge.parent.as_str();
        }
        steps
    }

    fn chain<'a>(&'a self, target: &'a str, source: &'a str) -> Result<Chain<'a>, TransformError> {
        self.connect(target, source).ok_or_else(|| self.not_connected(target, source))
    }

    /// The edges between two frames; nothing where they are in two trees, or one of them is not known.
    fn connect<'a>(&'a self, target: &'a str, source: &'a str) -> Option<Chain<'a>> {
        let mut chain = Chain { target: self.ancestry(target), source: self.ancestry(source) };
        if root(target, &chain.target) != root(source, &chain.source) {
            return None;
        }
        let pairs = chain.target.iter().rev().zip(chain.source.iter().rev());
        let shared = pairs.take_while(|(first, second)| first.0 == second.0).count();
        chain.target.truncate(chain.target.len() - shared);
        chain.source.truncate(chain.source.len() - shared);
        Some(chain)
    }

    /// Why nothing connects two frames: one of them is not known, or they are in two trees.
    fn not_connected(&self, target: &str, source: &str) -> TransformError {
        let known = self.names();
        let (target_frame, source_frame) = (target.to_owned(), source.to_owned());
        let unknown = [source, target].into_iter().find(|frame| !known.contains(frame));
        if let Some(frame) = unknown {
            let similar = similar(frame, &known);
            let known = known.into_iter().map(str::to_owned).collect();
            let frame = frame.to_owned();
            return TransformError::UnknownFrame { target_frame, source_frame, frame, similar, known };
        }
        let tree = |member: &str| -> Vec<String> {
            let top = root(member, &self.ancestry(member)).to_owned();
            let is_in = |frame: &&str| root(frame, &self.ancestry(frame)) == top;
            known.iter().copied().filter(is_in).map(str::to_owned).collect()
        };
        let (target_tree, source_tree) = (tree(target), tree(source));
        TransformError::NotConnected { target_frame, source_frame, target_tree, source_tree }
    }

    /// Which edge of a chain does not know a time; of several the one that misses it by most.
    fn outside(&self, chain: &Chain<'_>, target: &str, source: &str, time: i64) -> TransformError {
        let gaps = chain.steps().filter_map(|(child, edge)| {
            let outside = edge.at(time).err()?;
            let bound = match outside {
                Outside::After { newest } => newest,
                Outside::Before { oldest } => oldest,
            };
            Some((time.abs_diff(bound), *child, edge.parent.as_str(), outside))
        });
        // There is one, or nobody would ask.
        let worst = gaps.max_by_key(|(gap, ..)| *gap).unwrap_or((0, source, target, Outside::After { newest: time }));
        let (_, child, parent, outside) = worst;
        let (target_frame, source_frame) = (target.to_owned(), source.to_owned());
        let (child, parent) = (child.to_owned(), parent.to_owned());
        match outside {
            Outside::After { newest } => {
                TransformError::TooNew { target_frame, source_frame, child, parent, time, newest }
            }
            Outside::Before { oldest } => {
                TransformError::TooOld { target_frame, source_frame, child, parent, time, oldest, keep: self.keep }
            }
        }
    }
}

/// From the first frame of a chain to the parent of the last, if all edges know the time.
fn climb(steps: &[Step<'_>], time: i64) -> Option<RigidTransform> {
    let mut climbed = RigidTransform::identity();
    for (_, edge) in steps {
        climbed = edge.at(time).ok()?.compose(&climbed);
    }
    Some(climbed)
}

/// The frame at the top of a frame's ancestry.
fn root<'a>(frame: &'a str, ancestry: &[Step<'a>]) -> &'a str {
    ancestry.last().map_or(frame, |(_, edge)| edge.parent.as_str())
}

/// Names that may have been meant: the same but for what stands before the last slash, else the one written most alike.
fn similar(frame: &str, known: &BTreeSet<&str>) -> Vec<String> {
    let wanted = last_part(frame);
    let same = known.iter().copied().filter(|name| last_part(name) == wanted);
    let same: Vec<String> = same.take(SIMILAR).map(str::to_owned).collect();
    if !same.is_empty() {
        return same;
    }
    if frame.len() > MAX_NAME || known.len() > MOST_COMPARED {
        // No frame has so long a name, and to compare a message's megabytes with all names takes minutes.
        return Vec::new();
    }
    spelling::nearest(frame, known.iter().copied()).map(str::to_owned).into_iter().collect()
}

/// What stands behind the last slash: the frame's name without the robot's.
fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
