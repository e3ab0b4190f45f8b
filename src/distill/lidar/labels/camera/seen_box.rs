//! A box in the image, and what it says about where its object is.

use super::projection::{SeenPoint, View, Viewpoint};
use crate::geometry::Box2;

/// An edge nearer than this to the image's, in pixels, is where the image ends and not the object.
const CUT: f32 = 2.0;
/// Share of a box that is cut from the left and right, and from above and below, for its core.
const CORE: [f32; 2] = [0.25, 0.15];
/// Boxes narrower than a few borders keep the rest: a border is at most this share of the box.
const BORDER_SHARE: f32 = 0.15;
/// How far the lower edge may lie too low, in radians, when it tells where the object stands.
const SLACK: f64 = 0.012;
/// An object's foot that is seen may be nearer than its other points by so many metres.
const FOOT: f64 = 0.3;

/// A box of the teachers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ClassedBox {
    /// Where, in pixels.
    pub bbox: Box2,
    /// What, an index into the experiment's classes.
    pub class: usize,
    /// How sure, in `[0, 1]`.
    pub score: f32,
    /// False when the teachers are not sure enough to teach.
    pub is_sure: bool,
}

/// What a box says.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenBox {
    /// The box.
    pub given: ClassedBox,
    /// Whether the image ends at the left, the right, the upper and the lower edge.
    pub is_cut: [bool; 4],
    /// Width and height in radians.
    pub extent: [f64; 2],
    /// How far along the floor its object stands, if it stands on the floor and its foot is seen, in metres.
    pub foot: f64,
    /// Its object cannot stand farther away than this, along the floor, in metres.
    pub farthest: f64,
    /// Points nearer than this to an edge are not sure, in pixels.
    border: f32,
    is_planar: bool,
}

impl SeenBox {
    pub fn new(given: ClassedBox, view: &View, from: &Viewpoint<'_>, border_degrees: f64) -> Self {
        let bbox = given.bbox;
        let [width, height] = view.size;
        let is_cut = [bbox.x_min < CUT, bbox.x_max > width - CUT, bbox.y_min < CUT, bbox.y_max > height - CUT];
        let (x, y) = bbox.center();
        let (x, y) = (f64::from(x), f64::from(y));
        let across = from.angle([bbox.x_min.into(), y], [bbox.x_max.into(), y]);
        let down = from.angle([x, bbox.y_min.into()], [x, bbox.y_max.into()]);
        let lower = f64::from(bbox.y_max.min(height));
        Self {
            given,
            is_cut,
            extent: [across, down],
            foot: from.floor_distance(x, lower),
            farthest: from.floor_distance(x, lower - SLACK * view.pixels_per_radian) + FOOT,
            border: (border_degrees.to_radians() * view.pixels_per_radian) as f32,
            is_planar: view.spacing.up.is_none(),
        }
    }

    /// Whether the image shows the point in the box, or so little outside that it may belong to it.
    pub fn touches(&self, point: &SeenPoint) -> bool {
        self.is_in(point, [-self.border; 4])
    }

    /// Whether the image shows the point in the box.
    pub fn holds(&self, point: &SeenPoint) -> bool {
        self.is_in(point, [0.0; 4])
    }

    /// Whether the image shows the point in the box, and not near an edge.
    pub fn surely_holds(&self, point: &SeenPoint) -> bool {
        let bbox = &self.given.bbox;
        let across = self.border.min(BORDER_SHARE * bbox.width());
        let down = self.border.min(BORDER_SHARE * bbox.height());
        let [left, right, upper, lower] = self.is_cut.map(|is_cut| if is_cut { 0.0 } else { 1.0 });
        self.is_in(point, [across * left, across * right, down * upper, down * lower])
    }

    /// Whether the image shows the point in the box's core, where its object is most likely. A planar scan cuts the box anywhere.
    pub fn has_in_core(&self, point: &SeenPoint) -> bool {
        let bbox = &self.given.bbox;
        let across = CORE[0] * bbox.width();
        let down = if self.is_planar { 0.0 } else { CORE[1] * bbox.height() };
        self.is_in(point, [across, across, down, down])
    }

    fn is_in(&self, point: &SeenPoint, [left, right, upper, lower]: [f32; 4]) -> bool {
        let (bbox, [x, y]) = (&self.given.bbox, point.pixel);
        x > bbox.x_min + left && x < bbox.x_max - right && y > bbox.y_min + upper && y < bbox.y_max - lower
    }

    /// How well the box fits an object of this size at this distance, in `[0, 1]`; `floor_distance` is that of its near side.
    pub fn fit(&self, size: Option<[f32; 3]>, distance: f64, floor_distance: f64) -> f64 {
        /// Larger than the class by more than this factor is too large.
        const LARGE: f64 = 1.25;
        /// Spread of the logarithm of what is smaller: objects are often half hidden.
        const SPREAD: f64 = 0.7;
        let falling = |share: f64, least: f64| (-0.5 * (share.ln() / SPREAD).powi(2)).exp().max(least);
        let mut fit = 1.0;
        if let Some(size) = size {
            let [length, width, height] = size.map(f64::from);
            let [across, up] = self.extent.map(|angle| angle * distance);
            let excess = (up / (LARGE * height)).max(across / (LARGE * length.hypot(width)));
            if excess > 1.0 {
                fit *= excess.powi(-4);
            }
            let share = (up / height).max(across / length.min(width));
            if share < 1.0 && self.is_cut == [false; 4] {
                fit *= falling(share, 0.3);
            }
        }
        if floor_distance > self.farthest {
            fit *= 0.05;
        }
        let share = floor_distance / self.foot;
        // What hangs in the air seems to stand farther away, so nearer is only a little less likely.
        if self.foot.is_finite() && share < 1.0 && !self.is_cut[3] {
            fit *= falling(share, 0.5);
        }
        fit
    }
}

#[cfg(test)]
mod tests {
    use super::super::staged::{PERSON, Stage};
    use super::*;

    #[test]
    fn a_box_fits_where_its_object_stands_and_not_at_the_wall_behind() {
        let mut stage = Stage::cloud();
        stage.person(4.0, 0.0);
        stage.wall(7.0);
        let (sweep, _) = stage.sweep(0.0);
        let viewpoint = stage.viewpoint();
        let view = View::new(&sweep, &viewpoint, 0.1);
        let seen = SeenBox::new(stage.boxes()[0], &view, &viewpoint, 0.5);
        assert_eq!(seen.is_cut, [false; 4]);
        // Its near side is 3.5 m before the camera.
        assert!((seen.foot - 3.5).abs() < 0.3 && seen.farthest < 5.0, "{seen:?}");
        let size = Some(PERSON);
        let at = |distance: f64| seen.fit(size, distance, distance);
        assert!(at(3.5) > 0.9 && at(6.75) < 0.1 && at(1.0) < 0.5, "{} {} {}", at(3.5), at(6.75), at(1.0));
        assert!(seen.fit(None, 6.75, 3.0) > 0.5, "without a size only the floor tells");
    }
}
