//! A sweep as the camera sees it.

use super::{neighbours::Neighbours, spacing::Spacing};
use crate::{
    geometry::{CameraModel, RigidTransform},
    sensing::range_image::Sweep,
};

/// Points are looked at up to so far outside of the image, in radians: a turned camera would see them.
const MARGIN: f64 = 0.14;
/// A point is hidden by one that is nearer to the camera by at least so many metres, and by this share of its own distance.
const HIDDEN_DEPTH: f64 = 0.3;
const HIDDEN_SHARE: f64 = 0.03;
/// A point hides what is behind it within this share of the way to its neighbours.
const HIDDEN_REACH: f64 = 0.6;
/// How far up and down a point of a planar scan hides what is behind it, in radians.
const HIDDEN_REACH_OF_SCAN: f64 = 0.012;
/// Neighbours across and up belong together when they are at most so many steps apart: one may be missing across, none up.
const LINK_REACH: [f64; 2] = [1.7, 1.6];
/// And when their distances differ by less than this, in metres (jump distance).
const LINK_DEPTH: f64 = 0.35;
/// The share of a cloud's points that may lie below the floor, by reflections.
const BELOW_FLOOR: f64 = 0.02;
/// A cloud that reaches no higher than this, in metres, shows no floor.
const LEAST_HEIGHT: f64 = 0.5;

/// How a camera stands to a sweep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Viewpoint<'a> {
    /// The camera.
    pub camera: &'a CameraModel,
    /// From the lidar's frame at the sweep's stamp into the optical frame at the image's.
    pub optical_from_sensor: RigidTransform,
    /// From the optical frame into the robot's frame on the floor, where that is known.
    pub base_from_optical: Option<RigidTransform>,
}

impl Viewpoint<'_> {
    /// Along the floor from below the camera to where it sees the floor at a place of the image (in the coordinates of
    /// [`Box2`](crate::geometry::Box2)), in metres; infinite where that is above the horizon or where the floor is not known.
    pub fn floor_distance(&self, x: f64, y: f64) -> f64 {
        let Some(base_from_optical) = &self.base_from_optical else { return f64::INFINITY };
        let ray = base_from_optical.rotate(self.camera.unproject([x - 0.5, y - 0.5]));
        let height = base_from_optical.translation()[2];
        let falls = ray[2] < -1e-3 && height > 0.0;
        if falls { height / -ray[2] * ray[0].hypot(ray[1]) } else { f64::INFINITY }
    }

    /// The angle in radians between two places of the image.
    pub fn angle(&self, from: [f64; 2], to: [f64; 2]) -> f64 {
        let [a, b] = [from, to].map(|place| self.camera.unproject([place[0] - 0.5, place[1] - 0.5]));
        let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        let sine = cross.iter().map(|part| part * part).sum::<f64>().sqrt();
        sine.atan2(a.iter().zip(b).map(|(a, b)| a * b).sum())
    }

    /// Pixels that one radian takes in the middle of the image.
    pub fn pixels_per_radian(&self) -> f64 {
        let middle = [f64::from(self.camera.width) / 2.0, f64::from(self.camera.height) / 2.0];
        let angle = self.angle(middle, [middle[0] + 1.0, middle[1]]);
        if angle > 0.0 { 1.0 / angle } else { f64::from(self.camera.width) }
    }
}

/// A point of the sweep before the camera.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenPoint {
    /// Its place in the sweep.
    pub index: usize,
    /// Where it is in the optical frame, in metres.
    pub optical: [f64; 3],
    /// Where the image shows it, in the coordinates of [`Box2`](crate::geometry::Box2).
    pub pixel: [f32; 2],
    /// How high above the lidar's own plane the lidar sees it, in radians.
    pub elevation: f64,
    /// How far it is from the camera, in metres.
    pub distance: f64,
    /// How far it is from the camera along the floor, in metres; where the floor is not known, just how far.
    pub floor_distance: f64,
    /// True when it lies on the floor.
    pub is_floor: bool,
    /// True when the image shows it.
    pub is_inside: bool,
    /// True when another point lies before it, so that the camera sees that.
    pub is_hidden: bool,
}

/// A sweep as the camera sees it.
#[derive(Debug)]
pub(super) struct View {
    /// The points before the camera, those a little outside of the image among them.
    pub points: Vec<SeenPoint>,
    /// For each, the points beside it on what seems to be the same surface.
    links: Vec<Vec<usize>>,
    /// How far apart points are.
    pub spacing: Spacing,
    /// Pixels that one radian takes in the middle of the image.
    pub pixels_per_radian: f64,
    /// Columns and rows of the image.
    pub size: [f32; 2],
}

impl View {
    /// Looks at a sweep. Points of a cloud lower than `floor_height` above the floor, in metres, are the floor.
    pub fn new(sweep: &Sweep, from: &Viewpoint<'_>, floor_height: f64) -> Self {
        let spacing = Spacing::of(sweep);
        let pixels_per_radian = from.pixels_per_radian();
        let size = [from.camera.width as f32, from.camera.height as f32];
        let margin = (MARGIN * pixels_per_radian) as f32;
        let floor = match (spacing.up, &from.base_from_optical) {
            (None, _) => Floor::None,
            (Some(_), Some(base_from_optical)) => Floor::Known { base_from_optical, height: floor_height },
            (Some(_), None) => Floor::lowest(sweep, floor_height),
        };
        let mut points = Vec::new();
        let mut directions = Vec::new();
        let mut stretches = Vec::new();
        for (index, point) in sweep.points.iter().enumerate() {
            let point = point.map(f64::from);
            let optical = from.optical_from_sensor.apply(point);
            // A void point is not finite, and projects to nothing.
            let Some(pixel) = from.camera.project(optical) else { continue };
            let pixel = pixel.map(|coordinate| (coordinate + 0.5) as f32);
            let is_within = |margin: f32| (0..2).all(|i| pixel[i] >= -margin && pixel[i] < size[i] + margin);
            if !is_within(margin) {
                continue;
            }
            let [x, y, z] = optical;
            let distance = length(optical);
            let floor_distance = from.base_from_optical.map_or(distance, |base_from_optical| {
                let [x, y, _] = base_from_optical.rotate(optical);
                x.hypot(y)
            });
            points.push(SeenPoint {
                index,
                optical,
                pixel,
                elevation: point[2].atan2(point[0].hypot(point[1])),
                distance,
                floor_distance,
                is_floor: floor.has(point, optical),
                is_inside: is_within(0.0),
                is_hidden: false,
            });
            directions.push([x.atan2(z), y.atan2(x.hypot(z))]);
            // Near points are farther apart for the camera when it is nearer to them than the lidar is.
            stretches.push((length(point) / distance).clamp(1.0, 3.0));
        }
        let links = look_around(&mut points, &directions, &stretches, spacing);
        Self { points, links, spacing, pixels_per_radian, size }
    }

    /// Groups of points that hang together, among those with these places in [`View::points`].
    pub fn groups(&self, wanted: &[usize]) -> Vec<Vec<usize>> {
        let mut is_free = vec![false; self.points.len()];
        for &place in wanted {
            is_free[place] = true;
        }
        let mut groups = Vec::new();
        for &start in wanted {
            if !is_free[start] {
                continue;
            }
            is_free[start] = false;
            let mut group = vec![start];
            let mut next = 0;
            while let Some(&place) = group.get(next) {
                next += 1;
                for &other in &self.links[place] {
                    if is_free[other] {
                        is_free[other] = false;
                        group.push(other);
                    }
                }
            }
            groups.push(group);
        }
        groups
    }
}

/// Marks the hidden points, and gives for each point the linked ones.
fn look_around(
    points: &mut [SeenPoint],
    directions: &[[f64; 2]],
    stretches: &[f64],
    spacing: Spacing,
) -> Vec<Vec<usize>> {
    // Planar scans: everything of one azimuth, however high the camera sees it, is side by side.
    let up = spacing.up.map_or(std::f64::consts::PI, |up| LINK_REACH[1] * up);
    let across = LINK_REACH[0] * spacing.across;
    let neighbours = Neighbours::new(directions, [across, up]);
    let hidden_up = spacing.up.map_or(HIDDEN_REACH_OF_SCAN, |up| HIDDEN_REACH * up);
    let mut links = vec![Vec::new(); points.len()];
    for (place, &stretch) in stretches.iter().enumerate() {
        let distance = points[place].distance;
        let before = distance - HIDDEN_DEPTH.max(HIDDEN_SHARE * distance);
        let mut is_hidden = false;
        neighbours.visit(place, [HIDDEN_REACH * spacing.across * stretch, hidden_up * stretch], |other| {
            is_hidden |= points[other].distance < before;
        });
        points[place].is_hidden = is_hidden;
        neighbours.visit(place, [across * stretch, up * stretch], |other| {
            if other != place && (points[other].distance - distance).abs() < LINK_DEPTH {
                links[place].push(other);
                links[other].push(place);
            }
        });
    }
    for linked in &mut links {
        linked.sort_unstable();
        linked.dedup();
    }
    links
}

/// Where the floor is.
enum Floor<'a> {
    /// It is not seen.
    None,
    /// Under the robot.
    Known { base_from_optical: &'a RigidTransform, height: f64 },
    /// In the lowest band of the cloud, below this height in the lidar's frame.
    Below(f64),
}

impl Floor<'_> {
    fn lowest(sweep: &Sweep, height: f64) -> Self {
        let is_valid = |point: &&[f32; 3]| point.iter().all(|coordinate| coordinate.is_finite());
        let mut heights: Vec<f64> = sweep.points.iter().filter(is_valid).map(|point| f64::from(point[2])).collect();
        heights.sort_unstable_by(f64::total_cmp);
        let low = quantile(&heights, BELOW_FLOOR);
        let high = heights.last().copied().unwrap_or(low);
        if high - low > LEAST_HEIGHT { Self::Below(low + 2.0 * height) } else { Self::None }
    }

    fn has(&self, point: [f64; 3], optical: [f64; 3]) -> bool {
        match self {
            Self::None => false,
            Self::Known { base_from_optical, height } => base_from_optical.apply(optical)[2] < *height,
            Self::Below(height) => point[2] < *height,
        }
    }
}

fn length([x, y, z]: [f64; 3]) -> f64 {
    x.hypot(y).hypot(z)
}

/// The value that this share of the sorted values does not reach; NaN when there are none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::super::staged::Stage;
    use super::*;

    #[test]
    fn what_stands_behind_something_is_hidden_from_the_camera() {
        // The lidar is 0.4 m above the camera and sees more of the wall over a person's head than the camera does.
        let mut stage = Stage::cloud();
        stage.person(4.0, 0.0);
        stage.wall(7.0);
        let (sweep, truth) = stage.sweep(0.0);
        let view = View::new(&sweep, &stage.viewpoint(), 0.1);
        let hidden: Vec<&SeenPoint> = view.points.iter().filter(|point| point.is_hidden).collect();
        assert!(!hidden.is_empty());
        assert!(hidden.iter().all(|point| truth[point.index] != Some(0)), "no point of the person is hidden");
        let floor = view.points.iter().filter(|point| point.is_floor);
        assert!(floor.clone().count() > 20 && floor.clone().all(|point| truth[point.index].is_none()));
    }

    #[test]
    fn groups_end_where_depth_jumps() {
        let mut stage = Stage::cloud();
        stage.person(4.0, 0.5);
        stage.wall(7.0);
        let (sweep, truth) = stage.sweep(0.0);
        let view = View::new(&sweep, &stage.viewpoint(), 0.1);
        let standing: Vec<usize> = (0..view.points.len()).filter(|&place| !view.points[place].is_floor).collect();
        let groups = view.groups(&standing);
        let person: Vec<_> = groups
            .iter()
            .filter(|group| group.iter().any(|&place| truth[view.points[place].index] == Some(0)))
            .collect();
        assert_eq!(person.len(), 1);
        assert!(person[0].iter().all(|&place| truth[view.points[place].index] == Some(0)));
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), standing.len());
    }

    #[test]
    fn the_floor_is_found_without_the_robots_frame_too() {
        let mut stage = Stage::cloud();
        stage.wall(7.0);
        let (sweep, _) = stage.sweep(0.0);
        let viewpoint = Viewpoint { base_from_optical: None, ..stage.viewpoint() };
        let view = View::new(&sweep, &viewpoint, 0.1);
        let known = View::new(&sweep, &stage.viewpoint(), 0.1);
        let count = |view: &View| view.points.iter().filter(|point| point.is_floor).count();
        assert!(count(&view) > 0 && count(&view) >= count(&known), "{} of {}", count(&view), count(&known));
        assert_eq!(viewpoint.floor_distance(160.0, 180.0), f64::INFINITY);
        let near = stage.viewpoint().floor_distance(160.0, 191.0);
        assert!((1.5..4.0).contains(&near), "{near}");
    }
}
