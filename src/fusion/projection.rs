//! Lidar objects as a camera would see them.

use super::{CameraBox, CameraBoxes, FusionOptions, solid::Solid};
use crate::{geometry::Box2, tracking::profile_of};

/// More than any allowed pair of a camera box and a lidar object costs: one for the overlap, half for the class, and what the height
/// adds.
pub(super) const HIGHEST_COST: f64 = 2.5;
/// What a box of another class costs.
const OTHER_CLASS_COST: f64 = 0.5;
/// What a height at the limit of the allowed costs.
const HEIGHT_COST: f64 = 0.5;

/// A lidar object in one camera's image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    /// The box around the projection of its edges, inside the image.
    pub hull: Box2,
}

impl View {
    /// `None` when nothing of the object is in the image.
    pub fn of(solid: &Solid, camera: &CameraBoxes<'_>) -> Option<Self> {
        let mut hull: Option<Box2> = None;
        for point in solid.outline() {
            let Some((x, y)) = pixel(point, camera) else { continue };
            hull = Some(hull.map_or(Box2::new(x, y, x, y), |hull| {
                Box2::new(hull.x_min.min(x), hull.y_min.min(y), hull.x_max.max(x), hull.y_max.max(y))
            }));
        }
        let hull = hull?.clip(camera.model.width as f32, camera.model.height as f32);
        hull.is_valid().then_some(Self { hull })
    }

    /// What it costs to take a camera box for this object, in `[0, HIGHEST_COST)`; `None` when it cannot be.
    pub fn cost(
        &self,
        solid: &Solid,
        detection: &CameraBox,
        camera: &CameraBoxes<'_>,
        options: &FusionOptions,
    ) -> Option<f64> {
        let is_same = solid.class() == detection.class;
        let least = if is_same { options.min_iou } else { options.other_class_iou };
        let overlap = self.hull.iou(&detection.bbox);
        if overlap < least {
            return None;
        }
        let height = height_cost(solid, detection, camera, options)?;
        Some(f64::from(1.0 - overlap) + height + if is_same { 0.0 } else { OTHER_CLASS_COST })
    }
}

/// What the camera box's height costs at the object's distance; `None` when something of its class cannot be so high there. A box that
/// the image cuts off may be lower by any amount.
fn height_cost(solid: &Solid, detection: &CameraBox, camera: &CameraBoxes<'_>, options: &FusionOptions) -> Option<f64> {
    let foot = solid.foot();
    let head = [foot[0], foot[1], foot[2] + profile_of(&options.profiles, detection.class).size[2]];
    let (Some((_, lower)), Some((_, upper))) = (pixel(foot, camera), pixel(head, camera)) else {
        // So near that its foot or head is behind the camera.
        return Some(0.0);
    };
    let expected = f64::from(lower - upper);
    if expected < 1.0 {
        return Some(0.0);
    }
    let ratio = f64::from(detection.bbox.height()) / expected;
    let [least, most] = options.height_ratio;
    let is_cut =
        detection.bbox.y_min <= options.border || detection.bbox.y_max >= camera.model.height as f32 - options.border;
    if ratio > most || (ratio < least && !is_cut) {
        return None;
    }
    if is_cut && ratio < 1.0 {
        return Some(0.0);
    }
    let limit = if ratio < 1.0 { least } else { most };
    let share = if limit == 1.0 { 1.0 } else { ratio.ln() / limit.ln() };
    Some(HEIGHT_COST * share.clamp(0.0, 1.0))
}

/// Where a point of the target frame is in the image, in coordinates of [`Box2`].
fn pixel(point: [f64; 3], camera: &CameraBoxes<'_>) -> Option<(f32, f32)> {
    let [u, v] = camera.model.project(camera.optical_in_target.inverse().apply(point))?;
    let (x, y) = ((u + 0.5) as f32, (v + 0.5) as f32);
    (x.is_finite() && y.is_finite()).then_some((x, y))
}
