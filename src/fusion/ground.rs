//! Where on the floor a camera box stands.

use nalgebra::{Matrix2, Vector2};

use super::{CameraBoxes, FusionOptions};
use crate::{geometry::Box2, tracking::profile_of};

/// A camera lower than this sees no floor that a range could be taken from, in metres.
const LEAST_CAMERA_HEIGHT: f64 = 0.05;
/// Rays that fall less steeply than this are parallel to the floor for us; also the least height of a box as a tangent.
const LEAST_SLOPE: f64 = 1e-3;
/// Nothing is placed nearer to the camera than this, in metres.
const LEAST_RANGE: f64 = 0.1;
/// No place is surer than this, in metres.
const LEAST_DEVIATION: f64 = 0.02;

/// A place on the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Located {
    /// x and y in metres.
    pub position: Vector2<f64>,
    /// Their covariance.
    pub covariance: Matrix2<f64>,
}

impl Located {
    /// A place; `None` where a number of it is none.
    pub fn finite(position: Vector2<f64>, covariance: Matrix2<f64>) -> Option<Self> {
        let is_finite = position.iter().chain(covariance.iter()).all(|value| value.is_finite());
        is_finite.then_some(Self { position, covariance })
    }
}

/// A range along the floor from below the camera to the near side of an object.
struct Range {
    metres: f64,
    variance: f64,
}

/// A viewing ray.
#[derive(Clone, Copy)]
struct Ray {
    /// Unit direction in the target frame.
    direction: [f64; 3],
}

impl Ray {
    /// The ray through a point of the image in coordinates of [`Box2`].
    fn through(x: f64, y: f64, camera: &CameraBoxes<'_>) -> Self {
        Self { direction: camera.optical_in_target.rotate(camera.model.unproject([x - 0.5, y - 0.5])) }
    }

    /// Length of its part along the floor.
    fn level(&self) -> f64 {
        self.direction[0].hypot(self.direction[1])
    }

    /// Rise by metre along the floor: the tangent of its elevation.
    fn slope(&self) -> f64 {
        self.direction[2] / self.level()
    }

    /// The angle between two rays in radians.
    fn angle(&self, other: &Self) -> f64 {
        let (a, b) = (self.direction, other.direction);
        let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        cross.iter().map(|value| value * value).sum::<f64>().sqrt().atan2(dot)
    }
}

/// The place of the middle of the object in a camera box; `None` when the range is not known or beyond `max_range`.
///
/// With the camera `h` above the floor and an elevation `e` of the ray through the foot, the range is `r = h / tan(-e)` and
/// `dr/de = (r² + h²) / h`, so an angle's standard deviation `s` gives `s (r² + h²) / h` along the ray, and `s` times the distance
/// across. `s` is that of the box's edge (pixels times the angle between two pixels) and of the camera's mounting together.
pub(super) fn locate(bbox: &Box2, class: usize, camera: &CameraBoxes<'_>, options: &FusionOptions) -> Option<Located> {
    if !bbox.is_valid() {
        return None;
    }
    let profile = profile_of(&options.profiles, class);
    let [left, top, right, bottom] = [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max].map(f64::from);
    let (width, height) = (f64::from(camera.model.width), f64::from(camera.model.height));
    let border = f64::from(options.border);
    let middle = (left + right) / 2.0;
    let foot = Ray::through(middle, bottom, camera);
    let head = Ray::through(middle, top, camera);
    if !(foot.level() > 1e-6 && head.level() > 1e-6) {
        return None;
    }

    let edge = |side: f64| options.pixel_deviation.hypot(options.box_deviation * side);
    let step_down = foot.angle(&Ray::through(middle, bottom - 1.0, camera));
    let step_aside = foot.angle(&Ray::through(middle + 1.0, bottom, camera));
    let vertical = edge(bottom - top) * step_down;
    // The middle is the mean of two edges.
    let horizontal = edge(right - left) * step_aside / std::f64::consts::SQRT_2;

    let camera_height = camera.optical_in_target.translation()[2];
    let sides = Sides { foot, head, camera_height, vertical };
    let is_foot_visible = bottom < height - border;
    let range = if is_foot_visible {
        let by_height = || if top > border { sides.by_height(profile.size[2], profile.height_deviation) } else { None };
        sides.on_floor(options.pitch_deviation).or_else(by_height)
    } else {
        sides.nearer_than(profile.size[2] * (1.0 + profile.height_deviation))
    }?;

    // The lower edge of a box is that of the near side; the middle lies half the object behind it, whichever way it is turned.
    let depth = (profile.size[0] + profile.size[1]) / 4.0;
    let depth_deviation = ((profile.size[0] - profile.size[1]) / 4.0).abs().max(0.1 * depth);
    let reach = range.metres + depth;
    if !(LEAST_RANGE..=options.max_range).contains(&reach) {
        return None;
    }
    let along = range.variance + depth_deviation * depth_deviation + LEAST_DEVIATION * LEAST_DEVIATION;
    let aside = (reach.hypot(camera_height) * horizontal).hypot(reach * options.yaw_deviation);
    let mut across = aside * aside + LEAST_DEVIATION * LEAST_DEVIATION;
    if left <= border || right >= width - border {
        // Its middle may be outside the image.
        across += (profile.size[0].max(profile.size[1]) / 2.0).powi(2);
    }
    let origin = camera.optical_in_target.translation();
    let ahead = Vector2::new(foot.direction[0], foot.direction[1]) / foot.level();
    let outer = ahead * ahead.transpose();
    let covariance = outer * along + (Matrix2::<f64>::identity() - outer) * across;
    Located::finite(Vector2::new(origin[0], origin[1]) + ahead * reach, covariance)
}

/// The rays through the lower and the upper edge of a box.
struct Sides {
    foot: Ray,
    head: Ray,
    /// Above the floor, in metres.
    camera_height: f64,
    /// Standard deviation of an edge in radians.
    vertical: f64,
}

impl Sides {
    /// The range at which the lower ray meets the floor.
    fn on_floor(&self, pitch_deviation: f64) -> Option<Range> {
        let (height, fall) = (self.camera_height, -self.foot.slope());
        if height < LEAST_CAMERA_HEIGHT || fall < LEAST_SLOPE {
            return None;
        }
        let metres = height / fall;
        let deviation = (metres * metres + height * height) / height * self.vertical.hypot(pitch_deviation);
        Some(Range { metres, variance: deviation * deviation })
    }

    /// The range at which something of this height (metres, with a deviation as a share of it) fills the box: `r = H / (tan of the upper
    /// edge's elevation - tan of the lower edge's)`. The camera's pitch moves both edges and has no part in it.
    fn by_height(&self, tall: f64, height_deviation: f64) -> Option<Range> {
        let (upper, lower) = (self.head.slope(), self.foot.slope());
        let span = upper - lower;
        if span < LEAST_SLOPE {
            return None;
        }
        let metres = tall / span;
        // d tan(e) / de = 1 + tan²(e)
        let edges = self.vertical * (1.0 + upper * upper).hypot(1.0 + lower * lower) / span;
        Some(Range { metres, variance: metres * metres * (height_deviation * height_deviation + edges * edges) })
    }

    /// The range of something whose foot is below the image: nearer than where the floor comes into view, and nearer than where this
    /// height would be as high as the part that is seen. All that is left is as likely: mean `r / 2`, variance `r² / 12`.
    fn nearer_than(&self, tall: f64) -> Option<Range> {
        let by_floor = self.on_floor(0.0).map(|range| range.metres);
        let by_height = self.by_height(tall, 0.0).map(|range| range.metres);
        let farthest = match (by_floor, by_height) {
            (Some(floor), Some(height)) => floor.min(height),
            (floor, height) => floor.or(height)?,
        };
        Some(Range { metres: farthest / 2.0, variance: farthest * farthest / 12.0 })
    }
}
