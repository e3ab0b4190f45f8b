//! Which cells of a map belong to a box.

use crate::geometry::Box2;

/// The cells, row by row, whose centres are inside a box; the nearest to its centre when there are none.
pub(super) fn cells_inside(bbox: &Box2, stride: f32, height: usize, width: usize) -> Vec<usize> {
    let between = |low: f32, high: f32, count: usize| -> Vec<usize> {
        (0..count).filter(|&cell| (low..high).contains(&((cell as f32 + 0.5) * stride))).collect()
    };
    let columns = between(bbox.x_min, bbox.x_max, width);
    let mut inside = Vec::new();
    for row in between(bbox.y_min, bbox.y_max, height) {
        inside.extend(columns.iter().map(|column| row * width + column));
    }
    if !inside.is_empty() {
        return inside;
    }
    // A conversion from a float keeps to what the integer can hold: what is left of the map gets its first column.
    let nearest = |center: f32, count: usize| ((center / stride) as usize).min(count.saturating_sub(1));
    let (x, y) = bbox.center();
    vec![nearest(y, height) * width + nearest(x, width)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_has_a_cell() {
        assert_eq!(cells_inside(&Box2::new(0.0, 0.0, 17.0, 9.0), 8.0, 3, 4), [0, 1]);
        assert_eq!(cells_inside(&Box2::new(9.0, 9.0, 11.0, 11.0), 8.0, 3, 4), [5]);
        assert_eq!(cells_inside(&Box2::new(-40.0, 90.0, -30.0, 99.0), 8.0, 3, 4), [8]);
    }
}
