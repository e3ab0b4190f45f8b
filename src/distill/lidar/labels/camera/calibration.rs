//! Whether camera and lidar fit together: a wrong rotation between them is noticed by how well boxes fit the groups of points.
//!
//! Every group of points that stands apart from what is around it has edges, where depth jumps; and where it is an object of a
//! box, its edges are the box's. A turn of the camera moves all groups across the image alike, however far they are. So the turn by
//! which most boxes find a group that fits them on all sides is the error of the calibration. A box's agreement with a group is the
//! geometric mean over its edges of `max(0, 1 - (d / D)^2)`, `d` being the angle between the edges and `D` the reach: what does not
//! fit at all counts no more than what fits badly, so false boxes and merged groups do little harm.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{projection::View, seen_box::ClassedBox};
use crate::geometry::CameraModel;

/// So many images are kept at most; when there are more, every second one goes.
const MOST_IMAGES: usize = 240;
/// Groups of fewer points have no edges.
const LEAST_POINTS: usize = 3;
/// Edges across and down that are farther apart than this do not agree, in degrees.
const REACH: [f64; 2] = [1.6, 2.2];
/// What an edge counts for that cannot be compared: the image ends there, or what the lidar sees.
const CUT_EDGE: f64 = 0.7;
/// Edges so near to the image's are where the image ends, in pixels.
const CUT: f32 = 2.0;
/// Turns are looked for up to so many tenths of a degree, first in steps of so many, then in finer ones.
const FARTHEST: i32 = 60;
const COARSE: usize = 10;
const FINER: [i32; 3] = [5, 2, 1];
/// A turn of more degrees is an error.
const WRONG: f64 = 1.0;
/// With fewer boxes nothing is said.
pub(super) const LEAST_SAMPLES: usize = 25;
/// The turned camera must agree at least so well, and better than the present one by a factor and a bit.
pub(super) const LEAST_AGREEMENT: f64 = 0.1;
const CLEAR_FACTOR: f64 = 1.3;
const CLEAR_GAIN: f64 = 0.03;

/// How well the camera's boxes and the lidar's points fit together, and how they would fit best.
///
/// Angles are those by which the camera really looks otherwise than the transforms say, to a tenth of a degree and within 6 degrees:
/// add them to the camera's mount. Turns about the optical axis, shifts and delays are not looked for; a turn that compensates them
/// is found instead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationEstimate {
    /// To the left (anticlockwise seen from above), in degrees.
    pub yaw_degrees: f64,
    /// Down, in degrees. A planar scan does not tell it: 0.
    pub pitch_degrees: f64,
    /// Boxes that were looked at.
    pub samples: usize,
    /// How well boxes fit with the calibration as it is, in `[0, 1]`. Far from 1 even when all is well: points are sparse, and groups
    /// of points often hold more than one object.
    pub agreement_now: f64,
    /// How well they would fit with the turned camera.
    pub agreement_best: f64,
    /// True when the calibration is off by more than a degree: many boxes fit clearly better with the turned camera.
    pub is_suspect: bool,
}

impl fmt::Display for CalibrationEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { yaw_degrees: yaw, pitch_degrees: pitch, samples, agreement_now, agreement_best, .. } = self;
        let (side, vertical) = (if *yaw < 0.0 { "right" } else { "left" }, if *pitch < 0.0 { "up" } else { "down" });
        let (yaw, pitch) = (yaw.abs(), pitch.abs());
        if self.is_suspect {
            write!(
                f,
                "the camera seems to look {yaw:.1} degrees farther to the {side} and {pitch:.1} {vertical} than the transforms say: \
                 over {samples} boxes, points agree by {agreement_best:.2} then and by {agreement_now:.2} now; calibrate camera and \
                 lidar again before anything is learnt from these labels"
            )
        } else {
            write!(
                f,
                "camera and lidar fit together by {agreement_now:.2} over {samples} boxes, and best by {agreement_best:.2} with the \
                 camera {yaw:.1} degrees to the {side} and {pitch:.1} {vertical}"
            )
        }
    }
}

/// What is kept of images and sweeps to judge the calibration by.
#[derive(Debug, Default)]
pub(super) struct CalibrationSamples {
    images: Vec<Sample>,
    /// Every so many images are kept.
    stride: usize,
    offered: usize,
}

#[derive(Debug)]
struct Sample {
    boxes: Vec<ClassedBox>,
    groups: Vec<Group>,
    /// Half of what lies between points across and, but for planar scans, up; in pixels. Edges lie somewhere between points.
    slack: [f64; 2],
    is_planar: bool,
    pixels_per_degree: f64,
}

/// A group of points.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// In the optical frame, in metres: the leftmost, the rightmost, the highest and the lowest.
    ends: [[f64; 3]; 4],
    /// Whether it goes on above and below, where the lidar sees no more.
    is_open: [bool; 2],
}

/// Where the edges of a group are in the image, in pixels: left, right, upper, lower.
struct Edges {
    at: [f64; 4],
    is_open: [bool; 2],
}

impl CalibrationSamples {
    /// Offers an image and the sweep that it was used for.
    pub fn offer(&mut self, view: &View, boxes: &[ClassedBox]) {
        let boxes: Vec<ClassedBox> =
            boxes.iter().filter(|given| given.is_sure && !is_cut(given, view)).copied().collect();
        if boxes.is_empty() {
            return;
        }
        self.stride = self.stride.max(1);
        self.offered += 1;
        if !(self.offered - 1).is_multiple_of(self.stride) {
            return;
        }
        let standing: Vec<usize> = (0..view.points.len()).filter(|&place| !view.points[place].is_floor).collect();
        let groups = view.groups(&standing);
        let groups = groups.iter().filter(|group| group.len() >= LEAST_POINTS).map(|group| Group::of(view, group));
        let half = |angle: f64| angle / 2.0 * view.pixels_per_radian;
        self.images.push(Sample {
            boxes,
            groups: groups.collect(),
            slack: [half(view.spacing.across), view.spacing.up.map_or(0.0, half)],
            is_planar: view.spacing.up.is_none(),
            pixels_per_degree: view.pixels_per_radian.to_radians(),
        });
        if self.images.len() > MOST_IMAGES {
            let mut number = 0;
            self.images.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// Looks for the turn with which boxes and points agree best; nothing when there are no boxes.
    pub fn estimate(&self, camera: &CameraModel) -> Option<CalibrationEstimate> {
        let samples = self.images.iter().map(|sample| sample.boxes.len()).sum::<usize>();
        if samples == 0 {
            return None;
        }
        let agreement = |turn: [i32; 2]| {
            let turn = Turn::new(turn);
            self.images.iter().map(|sample| sample.agreement(camera, &turn)).sum::<f64>() / samples as f64
        };
        let now = agreement([0, 0]);
        let is_planar = self.images.iter().all(|sample| sample.is_planar);
        let (mut best, mut turn) = (now, [0, 0]);
        let highest = if is_planar { 0 } else { FARTHEST };
        for yaw in (-FARTHEST..=FARTHEST).step_by(COARSE) {
            for pitch in (-highest..=highest).step_by(COARSE) {
                let found = agreement([yaw, pitch]);
                if found > best {
                    (best, turn) = (found, [yaw, pitch]);
                }
            }
        }
        for step in FINER {
            let mut has_moved = true;
            while has_moved {
                has_moved = false;
                for [across, down] in [[step, 0], [-step, 0], [0, step], [0, -step]] {
                    let next = [turn[0] + across, turn[1] + down];
                    if next[0].abs() > FARTHEST || next[1].abs() > highest {
                        continue;
                    }
                    let found = agreement(next);
                    if found > best {
                        (best, turn) = (found, next);
                        has_moved = true;
                    }
                }
            }
        }
        let [yaw_degrees, pitch_degrees] = turn.map(|tenths| f64::from(tenths) / 10.0);
        let is_clear = best >= LEAST_AGREEMENT && best >= CLEAR_FACTOR * now + CLEAR_GAIN;
        let is_suspect = samples >= LEAST_SAMPLES && yaw_degrees.hypot(pitch_degrees) > WRONG && is_clear;
        Some(CalibrationEstimate {
            yaw_degrees,
            pitch_degrees,
            samples,
            agreement_now: now,
            agreement_best: best,
            is_suspect,
        })
    }
}

/// Whether the image ends at the left or the right edge: such a box tells nothing about a turn.
fn is_cut(given: &ClassedBox, view: &View) -> bool {
    given.bbox.x_min < CUT || given.bbox.x_max > view.size[0] - CUT
}

impl Group {
    fn of(view: &View, group: &[usize]) -> Self {
        let optical = |place: usize| view.points[place].optical;
        let mut ends = [optical(group[0]); 4];
        let mut is_open = [false; 2];
        let step = view.spacing.up.unwrap_or(0.0) / 2.0;
        let [bottom, top] = view.spacing.elevations;
        let across = |point: &[f64; 3]| point[0] / point[2];
        let down = |point: &[f64; 3]| point[1] / point[2];
        for &place in group {
            let point = optical(place);
            let elevation = view.points[place].elevation;
            is_open[0] |= elevation > top - step;
            is_open[1] |= elevation < bottom + step;
            if across(&point) < across(&ends[0]) {
                ends[0] = point;
            }
            if across(&point) > across(&ends[1]) {
                ends[1] = point;
            }
            if down(&point) < down(&ends[2]) {
                ends[2] = point;
            }
            if down(&point) > down(&ends[3]) {
                ends[3] = point;
            }
        }
        Self { ends, is_open }
    }
}

/// A turn of the camera to the left and down, as it moves points of its frame.
struct Turn {
    yaw: (f64, f64),
    pitch: (f64, f64),
}

impl Turn {
    fn new(tenths: [i32; 2]) -> Self {
        let [yaw, pitch] = tenths.map(|tenths| (f64::from(tenths) / 10.0).to_radians().sin_cos());
        Self { yaw, pitch }
    }

    /// A camera that looks more to the left sees everything more to the right, and one that looks down sees it higher.
    fn apply(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let ((sin, cos), (sin_pitch, cos_pitch)) = (self.yaw, self.pitch);
        let (x, z) = (x * cos + z * sin, z * cos - x * sin);
        [x, y * cos_pitch - z * sin_pitch, z * cos_pitch + y * sin_pitch]
    }
}

impl Sample {
    /// The sum of how well each box agrees with the group that it agrees best with.
    fn agreement(&self, camera: &CameraModel, turn: &Turn) -> f64 {
        let edges: Vec<Edges> = self.groups.iter().filter_map(|group| self.edges(group, camera, turn)).collect();
        let best = |given: &ClassedBox| edges.iter().map(|edges| self.fit(given, edges, camera)).fold(0.0, f64::max);
        self.boxes.iter().map(best).sum()
    }

    /// The group's edges in the image of the turned camera.
    fn edges(&self, group: &Group, camera: &CameraModel, turn: &Turn) -> Option<Edges> {
        let pixel = |place: usize| camera.project(turn.apply(group.ends[place]));
        let (left, right, upper, lower) = (pixel(0)?, pixel(1)?, pixel(2)?, pixel(3)?);
        let [across, up] = self.slack;
        // Half a pixel from the centres of CameraInfo's pixels to the corners of Box2's.
        let at = [left[0] + 0.5 - across, right[0] + 0.5 + across, upper[1] + 0.5 - up, lower[1] + 0.5 + up];
        Some(Edges { at, is_open: group.is_open })
    }

    fn fit(&self, given: &ClassedBox, edges: &Edges, camera: &CameraModel) -> f64 {
        let bbox = [given.bbox.x_min, given.bbox.x_max, given.bbox.y_min, given.bbox.y_max].map(f64::from);
        let near = |edge: usize| {
            let reach = REACH[edge / 2] * self.pixels_per_degree;
            (1.0 - ((edges.at[edge] - bbox[edge]) / reach).powi(2)).max(0.0)
        };
        let sides = near(0) * near(1);
        if sides <= 0.0 {
            return 0.0;
        }
        if self.is_planar {
            // A scan passes through the box somewhere.
            let is_through = edges.at[3] > bbox[2] && edges.at[2] < bbox[3];
            return if is_through { sides.sqrt() } else { 0.0 };
        }
        let cut = f64::from(CUT);
        // An open group may go on as far as the box does.
        let is_upper_open = bbox[2] < cut || (edges.is_open[0] && edges.at[2] > bbox[2]);
        let is_lower_open = bbox[3] > f64::from(camera.height) - cut || (edges.is_open[1] && edges.at[3] < bbox[3]);
        let upper = if is_upper_open { CUT_EDGE } else { near(2) };
        let lower = if is_lower_open { CUT_EDGE } else { near(3) };
        // Were both open, anything as wide would do.
        if is_upper_open && is_lower_open {
            return 0.0;
        }
        (sides * upper * lower).sqrt().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        projection::Viewpoint,
        staged::{Stage, camera_mount},
    };
    use super::*;

    /// People here and there before a wall; the boxes are right, and the transforms turn the camera by so much too far.
    fn estimate(stage: fn() -> Stage, yaw: f64, pitch: f64) -> CalibrationEstimate {
        let mut samples = CalibrationSamples::default();
        let mut camera = None;
        for scene in 0..30 {
            let mut stage = stage();
            stage.wall(10.0);
            for person in 0..3 {
                let seed = f64::from(scene * 3 + person);
                let (share, side) = ((seed * 0.618).fract(), (seed * 0.755).fract());
                stage.person(2.5 + 5.0 * share, 4.0 * (side - 0.5));
            }
            let base_from_optical = camera_mount(yaw, 5.0 + pitch);
            let viewpoint = Viewpoint {
                optical_from_sensor: base_from_optical.inverse().compose(&stage.base_from_sensor),
                base_from_optical: Some(base_from_optical),
                ..stage.viewpoint()
            };
            let view = View::new(&stage.sweep(0.0).0, &viewpoint, 0.1);
            samples.offer(&view, &stage.boxes());
            camera = Some(stage.camera);
        }
        samples.estimate(&camera.unwrap()).unwrap()
    }

    #[test]
    fn a_right_calibration_is_not_suspect() {
        for stage in [Stage::cloud, Stage::scan] {
            let found = estimate(stage, 0.0, 0.0);
            assert!(!found.is_suspect, "{found:?}");
            assert!(found.yaw_degrees.abs() <= 0.5 && found.pitch_degrees.abs() <= 0.7, "{found:?}");
            assert!(found.agreement_now > 0.3 && found.samples >= LEAST_SAMPLES, "{found:?}");
        }
    }

    #[test]
    fn a_wrong_turn_is_found() {
        for (yaw, pitch) in [(3.0, 0.0), (-2.0, 1.5), (0.0, -3.0)] {
            let found = estimate(Stage::cloud, yaw, pitch);
            assert!(found.is_suspect, "{found:?}");
            // What is found takes the error back.
            assert!((found.yaw_degrees + yaw).abs() <= 0.7 && (found.pitch_degrees + pitch).abs() <= 0.7, "{found:?}");
            assert!(found.agreement_best > 2.0 * found.agreement_now, "{found:?}");
            assert!(found.to_string().contains("calibrate"), "{found}");
        }
        let found = estimate(Stage::scan, 3.0, 0.0);
        assert!(found.is_suspect && (found.yaw_degrees + 3.0).abs() <= 0.7 && found.pitch_degrees == 0.0, "{found:?}");
    }

    #[test]
    fn a_few_boxes_prove_nothing() {
        let mut samples = CalibrationSamples::default();
        let mut stage = Stage::cloud();
        assert_eq!(samples.estimate(&stage.camera), None);
        stage.person(4.0, 0.0);
        let base_from_optical = camera_mount(3.0, 5.0);
        let viewpoint = Viewpoint {
            optical_from_sensor: base_from_optical.inverse().compose(&stage.base_from_sensor),
            ..stage.viewpoint()
        };
        let view = View::new(&stage.sweep(0.0).0, &viewpoint, 0.1);
        for _ in 0..3 {
            samples.offer(&view, &stage.boxes());
        }
        let found = samples.estimate(&stage.camera).unwrap();
        assert!(found.samples == 3 && !found.is_suspect, "{found:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let mut stage = Stage::scan();
        stage.person(4.0, 0.0);
        let view = View::new(&stage.sweep(0.0).0, &stage.viewpoint(), 0.1);
        let mut samples = CalibrationSamples::default();
        for _ in 0..5 * MOST_IMAGES {
            samples.offer(&view, &stage.boxes());
        }
        assert!(samples.images.len() <= MOST_IMAGES && samples.images.len() >= MOST_IMAGES / 2);
    }
}
