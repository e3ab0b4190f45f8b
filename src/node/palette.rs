//! Colours of the classes, the same in images and in RViz.

/// Again from the first after the last.
const COLORS: [[u8; 3]; 6] =
    [[255, 64, 64], [64, 200, 255], [255, 200, 0], [80, 255, 80], [255, 96, 255], [255, 255, 255]];

/// Red, green and blue of a class.
pub(super) fn class_color(class: usize) -> [u8; 3] {
    COLORS[class % COLORS.len()]
}
