//! Charts of rows over one axis at the bottom. Each row has its name above what it shows, not beside it: on a phone there is no room
//! beside, and names have any length.

use super::{Area, Axis, BOTTOM, WIDTH, bottom_axis};
use crate::distill::report::markup::{Markup, pixels};

/// Where names and the axis begin.
const LEFT: f64 = 16.0;
/// Least room beside the axis' end, for half of its last number.
const RIGHT: f64 = 16.0;
const TOP: f64 = 2.0;
/// Height of a name's line.
const NAME: f64 = 19.0;
/// Between the last row and the axis.
const GAP: f64 = 5.0;

/// The frame of such a chart.
pub(super) struct Rows<'a> {
    /// The axis of all rows.
    pub x: &'a Axis,
    /// How many rows.
    pub count: usize,
    /// Height of what a row shows, in pixels.
    pub height: f64,
    /// Room for texts to the right of the axis' end, in pixels.
    pub room: f64,
}

impl Rows<'_> {
    /// Where a value stands, in pixels of the chart.
    pub fn x(&self, value: f64) -> f64 {
        let Area { left, right, .. } = self.area();
        left + self.x.position(value) * (right - left)
    }

    /// Upper edge of what a row shows, below its name.
    pub fn top(&self, row: usize) -> f64 {
        TOP + row as f64 * (NAME + self.height) + NAME
    }

    /// Height of the whole chart; its width is [`WIDTH`].
    pub fn whole_height(&self) -> f64 {
        self.area().bottom + BOTTOM
    }

    /// The axis with its lines, and the names over them; those with `true` are bold.
    pub fn draw<'n>(&self, svg: &mut Markup, names: impl Iterator<Item = (&'n str, bool)>) {
        bottom_axis(svg, self.x, self.area());
        for (row, (name, strong)) in names.enumerate() {
            let class = if strong { "name strong" } else { "name" };
            svg.leaf("text", &[("class", class), ("x", &pixels(LEFT)), ("y", &pixels(self.top(row) - 5.0))], name);
        }
    }

    /// The upright line that everything is compared with.
    pub fn mark(&self, svg: &mut Markup, value: f64) {
        let x = pixels(self.x(value));
        let Area { top, bottom, .. } = self.area();
        svg.void("line", &[("class", "mark"), ("x1", &x), ("x2", &x), ("y1", &pixels(top)), ("y2", &pixels(bottom))]);
    }

    fn area(&self) -> Area {
        let bottom = TOP + self.count as f64 * (NAME + self.height) + GAP;
        Area { left: LEFT, top: TOP, right: WIDTH - RIGHT.max(self.room), bottom }
    }
}
