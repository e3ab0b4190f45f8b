//! Where camera and lidar do not say the same: one of the two students is wrong there, and its frame is worth learning from.

use std::{collections::BTreeSet, f64::consts::TAU};

use super::view::View;
use crate::{
    fusion::CameraBox,
    model::lidar::LidarObject,
    tracking::{Measurement, Source},
};

/// From this score on somebody is sure enough to be contradicted.
const SURE: f32 = 0.5;
/// The place of what one sensor saw must be known to within so many metres, before the other one is asked for it.
const PLACED: f64 = 1.0;
/// Frames that wait to be asked for at most.
const MOST_SOUGHT: usize = 32;

/// A sensor's frame that somebody should record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    /// When it was measured, in nanoseconds.
    pub(super) stamp: i64,
    /// The sensor's frame.
    pub(super) frame_id: String,
}

/// What one kind of sensor was looking at.
pub(super) struct Looked<'a> {
    /// When, in nanoseconds.
    pub(super) stamp: i64,
    /// The sensor's frame.
    pub(super) frame_id: &'a str,
    /// What it could see.
    pub(super) view: &'a View,
}

/// Compares cameras and lidar.
#[derive(Debug, Default)]
pub(super) struct Disagreements {
    /// How often they did not say the same.
    pub(super) found: u64,
    by_cameras: BTreeSet<usize>,
    by_lidar: BTreeSet<usize>,
    sought: Vec<Sought>,
}

impl Disagreements {
    /// Learns what classes cameras report.
    pub(super) fn hear_camera(&mut self, boxes: &[CameraBox]) {
        self.by_cameras.extend(boxes.iter().map(|detection| detection.class));
    }

    /// Learns what classes the lidar reports.
    pub(super) fn hear_lidar(&mut self, objects: &[LidarObject]) {
        self.by_lidar.extend(objects.iter().map(|object| object.class));
    }

    /// Compares what a camera and the lidar saw at nearly the same time. Only classes that both kinds of sensors have reported before
    /// count, and only what the other could see: not what stands behind something else.
    pub(super) fn compare(&mut self, measurements: &[Measurement], camera: &Looked<'_>, lidar: &Looked<'_>) {
        let contradicts = |measurement: &Measurement| {
            let is_known = self.by_cameras.contains(&measurement.class) && self.by_lidar.contains(&measurement.class);
            let other = match measurement.source {
                Source::Camera => lidar.view,
                Source::Lidar => camera.view,
                Source::Both => return false,
            };
            let [[x, _], [_, y]] = measurement.covariance;
            is_known
                && measurement.score >= SURE
                && (x + y).sqrt() <= PLACED
                && other.contains(measurement.position)
                && !measurements.iter().any(|nearer| hides(nearer, measurement, other))
        };
        if !measurements.iter().any(contradicts) {
            return;
        }
        self.found += 1;
        for Looked { stamp, frame_id, .. } in [camera, lidar] {
            let sought = Sought { stamp: *stamp, frame_id: (*frame_id).to_owned() };
            if self.sought.len() < MOST_SOUGHT && !self.sought.contains(&sought) {
                self.sought.push(sought);
            }
        }
    }

    /// The frames to be asked for since this was called last.
    pub(super) fn take(&mut self) -> Vec<Sought> {
        std::mem::take(&mut self.sought)
    }
}

/// Whether something nearer stands before an object, as one sensor sees it.
fn hides(nearer: &Measurement, object: &Measurement, view: &View) -> bool {
    let half_width = |of: &Measurement, distance: f64| (of.size[0].max(of.size[1]) / 2.0).atan2(distance);
    let ((direction, distance), (of_object, behind)) =
        (view.direction(nearer.position), view.direction(object.position));
    let apart = (direction - of_object).abs();
    let apart = apart.min(TAU - apart);
    distance < behind && apart < half_width(nearer, distance) + half_width(object, behind)
}
