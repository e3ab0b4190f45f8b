//! The buffer of transforms: where the robot's frames are in each other, at any time of the last seconds (or of a recording).
//!
//! It answers as ROS 2's tf2 does. Each frame hangs in one parent. A static edge holds at all times; a moving one has samples,
//! between which shifts go along a line and turns at constant speed along the shorter way, and outside of which there is no
//! answer. What two frames are in each other goes over their nearest common ancestor, so that what lies above it does not matter.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | [`TransformBuffer`]: what goes in, and for how long |
//! | `edge` | the samples of one edge |
//! | `lookup` | the ways between frames |
//! | `error` | [`TransformError`]: what is known instead, and what to do |
//!
//! Where tf2 leaves its users alone, this buffer has rules of its own:
//!
//! - *Time that jumps back.* A sample older than its edge's newest by more than the kept time means that a recording started again
//!   or a simulation was reset: all moving edges are forgotten, and it is counted ([`TransformBuffer::jumps`]). tf2 refuses all
//!   samples from then on unless a clock tells it.
//! - *Memory.* There are at most [`MAX_EDGES`] edges, and so many samples as 20,000 a second make in the kept time; past that the
//!   edge with the most samples loses its oldest. tf2 grows with what it is sent.
//! - *Circles* are refused when they are about to be closed, not found when somebody asks.
//!
//! Why this is not the crate `transforms` 2.3: that one interpolates, chains and refuses circles as well as this does (the tests
//! hold both against each other). But it bounds the samples of an edge only by their age and cannot say how many there are, it
//! does not list its frames, parents or times, which the errors here are made of, and it fixes for ever whether an edge is static.
//! A second book of all frames and stamps beside it would be longer than the store itself.

mod edge;
mod error;
mod lookup;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::edge::{Edge, Poses};
pub use self::error::TransformError;
use crate::{excerpt::excerpt, geometry::RigidTransform, messages::TransformStamped};

/// Edges that a buffer has at most: several times what the largest robots have.
pub const MAX_EDGES: usize = 2048;
/// Bytes that a frame's name has at most.
const MAX_NAME: usize = 128;
/// Samples a second of the kept time, of all edges together: a humanoid with 40 joints at 500 Hz.
const SAMPLES_A_SECOND: u64 = 20_000;
/// Samples that a buffer may always have, and those that it never exceeds (some 700 MB), however long it keeps them.
const SAMPLES: std::ops::RangeInclusive<u64> = 20_000..=8_000_000;

/// Where frames are in each other, from the messages of `/tf` and `/tf_static`.
///
/// Frames are named without a leading slash: `/odom` and `odom` are the same. Times are nanoseconds since the epoch of the clock
/// in use.
///
/// ```
/// use std::time::Duration;
/// use distilled_perception::messages::{Header, Time, Transform, TransformStamped, Vector3};
/// use distilled_perception::sensing::transforms::TransformBuffer;
///
/// let mut buffer = TransformBuffer::new(Duration::from_secs(10));
/// for (sec, x) in [(1, 0.0), (2, 4.0)] {
///     let header = Header { stamp: Time { sec, nanosec: 0 }, frame_id: "odom" };
///     let transform = Transform { translation: Vector3 { x, y: 0.0, z: 0.0 }, ..Transform::default() };
///     buffer.insert(&TransformStamped { header, child_frame_id: "base_link", transform }, false)?;
/// }
/// let robot = buffer.lookup("odom", "base_link", 1_250_000_000)?;
/// assert_eq!(robot.translation(), [1.0, 0.0, 0.0]);
/// let error = buffer.lookup("odom", "base_lnik", 1_250_000_000).unwrap_err();
/// assert!(error.to_string().contains("did you mean `base_link`?"));
/// # Ok::<(), distilled_perception::sensing::transforms::TransformError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TransformBuffer {
    keep: Duration,
    /// By child frame.
    edges: BTreeMap<String, Edge>,
    /// Of all edges.
    samples: usize,
    max_samples: usize,
    jumps: u64,
}

impl TransformBuffer {
    /// An empty buffer that keeps of each moving edge the samples that are at most so much older than its newest. tf2 keeps 10 s;
    /// for a whole recording give its length.
    pub fn new(keep: Duration) -> Self {
        let samples = keep.as_secs().saturating_mul(SAMPLES_A_SECOND).clamp(*SAMPLES.start(), *SAMPLES.end());
        let max_samples = usize::try_from(samples).unwrap_or(usize::MAX);
        Self { keep, edges: BTreeMap::new(), samples: 0, max_samples, jumps: 0 }
    }

    /// Takes in one transform, of `/tf_static` or `/tf`. Samples may come out of order; one with a known stamp takes the place of
    /// the other. A frame that is told to be in another parent, or to be static where it moved, is so from then on, and what was
    /// known of it is forgotten.
    ///
    /// # Errors
    /// When the transform cannot be used; the buffer is as before, unless time jumped back (see [`Self::jumps`]).
    pub fn insert(&mut self, transform: &TransformStamped<'_>, is_static: bool) -> Result<(), TransformError> {
        let (parent, child) = (frame_name(transform.header.frame_id), frame_name(transform.child_frame_id));
        check_names(parent, child)?;
        let pose = RigidTransform::from_message(&transform.transform)
            .ok_or_else(|| TransformError::NotFinite { parent: parent.to_owned(), child: child.to_owned() })?;
        let stamp = transform.header.stamp.to_nanoseconds();
        if !is_static && self.is_jump(child, stamp) {
            self.jumps = self.jumps.saturating_add(1);
            self.clear();
        }
        let is_known = self.edges.get(child).is_some_and(|edge| edge.parent == parent && edge.is_static() == is_static);
        if !is_known {
            self.check_new(parent, child, stamp, is_static)?;
            let poses = if is_static { Poses::Static(pose) } else { Poses::Moving(BTreeMap::new()) };
            let edge = Edge { parent: parent.to_owned(), poses };
            if let Some(old) = self.edges.insert(child.to_owned(), edge) {
                self.samples -= old.samples();
            }
        }
        let keep = self.keep_nanoseconds();
        if let Some(edge) = self.edges.get_mut(child) {
            self.samples -= edge.samples();
            edge.put(stamp, pose, keep);
            self.samples += edge.samples();
        }
        self.shrink();
        Ok(())
    }

    /// Forgets all moving edges. Static ones stay, as in tf2: nobody publishes those again.
    pub fn clear(&mut self) {
        self.edges.retain(|_, edge| edge.is_static());
        self.samples = 0;
    }

    /// The names of all known frames, sorted.
    pub fn frames(&self) -> Vec<String> {
        self.names().into_iter().map(str::to_owned).collect()
    }

    /// How often time jumped back by more than the kept time, and the moving edges were forgotten.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The names of all known frames.
    fn names(&self) -> BTreeSet<&str> {
        self.edges.iter().flat_map(|(child, edge)| [child.as_str(), edge.parent.as_str()]).collect()
    }

    fn keep_nanoseconds(&self) -> i64 {
        i64::try_from(self.keep.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whether a stamp is so much older than what is known of a moving frame that its time started again.
    fn is_jump(&self, child: &str, stamp: i64) -> bool {
        let newest = self.edges.get(child).and_then(Edge::newest);
        newest.is_some_and(|newest| newest.saturating_sub(stamp) > self.keep_nanoseconds())
    }

    /// Whether the child may hang in the parent from now on.
    fn check_new(&self, parent: &str, child: &str, stamp: i64, is_static: bool) -> Result<(), TransformError> {
        match self.edges.get(child) {
            None if self.edges.len() >= MAX_EDGES => {
                return Err(TransformError::TooManyFrames { child: child.to_owned(), most: MAX_EDGES });
            }
            Some(edge)
                if !is_static && edge.parent != parent && edge.newest().is_some_and(|newest| stamp <= newest) =>
            {
                return Err(TransformError::OldParent {
                    child: child.to_owned(),
                    known: edge.parent.clone(),
                    told: parent.to_owned(),
                });
            }
            _ => {}
        }
        let above = self.ancestry(parent);
        if let Some(place) = above.iter().position(|(_, edge)| edge.parent == child) {
            // From the parent up to the child, and back down over the new edge.
            let mut circle: Vec<&str> = above[..=place].iter().map(|(frame, _)| *frame).collect();
            circle.extend([child, parent]);
            return Err(TransformError::Circle {
                parent: parent.to_owned(),
                child: child.to_owned(),
                circle: circle.join("` in `"),
            });
        }
        Ok(())
    }

    /// While there are too many samples, takes the oldest from the edge with the most: whoever floods the buffer loses his own.
    fn shrink(&mut self) {
        while self.samples > self.max_samples {
            let Some(fullest) = self.edges.values_mut().max_by_key(|edge| edge.samples()) else { return };
            self.samples -= fullest.samples();
            fullest.drop_oldest();
            self.samples += fullest.samples();
        }
    }
}

/// A frame's name without the leading slash that ROS 1 allowed.
fn frame_name(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

fn check_names(parent: &str, child: &str) -> Result<(), TransformError> {
    if parent.is_empty() || child.is_empty() {
        return Err(TransformError::NoName { parent: excerpt(parent), child: excerpt(child) });
    }
    if let Some(name) = [parent, child].into_iter().find(|name| name.len() > MAX_NAME) {
        let start = name.chars().take(32).collect();
        return Err(TransformError::LongName { start, bytes: name.len(), most: MAX_NAME });
    }
    if parent == child {
        return Err(TransformError::OfItself { frame: child.to_owned() });
    }
    Ok(())
}
