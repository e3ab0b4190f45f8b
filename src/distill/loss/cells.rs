//! The cells of output maps, and which of them belong to a box.

use burn::tensor::Tensor;

use crate::{
    distill::student::{STRIDES, StudentConfig},
    geometry::Box2,
    model::head::gfl::around,
};

/// Where the student's cells are: all strides' maps row by row, finest stride first.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Centre `(x, y)` in input pixels.
    pub centers: Vec<(f32, f32)>,
    /// Stride in pixels.
    pub strides: Vec<f32>,
}

impl Cells {
    /// The cells of output maps with these strides, rows and columns.
    pub fn new(maps: impl IntoIterator<Item = (usize, usize, usize)>) -> Self {
        let mut cells = Self { centers: Vec::new(), strides: Vec::new() };
        for (stride, rows, columns) in maps {
            let stride = stride as f32;
            for row in 0..rows {
                for column in 0..columns {
                    cells.centers.push(((column as f32 + 0.5) * stride, (row as f32 + 0.5) * stride));
                    cells.strides.push(stride);
                }
            }
        }
        cells
    }

    /// The cells of a student's outputs.
    pub fn of(config: &StudentConfig) -> Self {
        let maps = STRIDES.iter().zip(config.grids());
        Self::new(maps.map(|(&stride, (rows, columns))| (stride, rows, columns)))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.centers.len()
    }

    /// True without any cell.
    pub fn is_empty(&self) -> bool {
        self.centers.is_empty()
    }

    /// The box that distances (left, top, right, bottom, in strides) make around a cell's centre.
    pub fn decode(&self, cell: usize, distances: &[f32; 4]) -> Box2 {
        let ((x, y), stride) = (self.centers[cell], self.strides[cell]);
        around(x, y, *distances, stride)
    }

    /// The cells whose centres lie inside a box, not on its edge.
    pub fn inside(&self, bbox: &Box2) -> Vec<usize> {
        let Box2 { x_min, y_min, x_max, y_max } = *bbox;
        let is_inside = |&(x, y): &(f32, f32)| x > x_min && x < x_max && y > y_min && y < y_max;
        let centers = self.centers.iter().enumerate();
        centers.filter(|(_, center)| is_inside(center)).map(|(cell, _)| cell).collect()
    }

    /// The cells that belong to a box: those inside, or the one nearest to its centre when there is none.
    pub fn of_box(&self, bbox: &Box2) -> Vec<usize> {
        let inside = self.inside(bbox);
        if !inside.is_empty() {
            return inside;
        }
        let center = bbox.center();
        let nearest = (0..self.len())
            .min_by(|&a, &b| distance(self.centers[a], center).total_cmp(&distance(self.centers[b], center)));
        nearest.into_iter().collect()
    }
}

/// Maps `[B, C, H, W]` of several strides as one: `[B, C, sum of H * W, 1]`, its cells in the order of [`Cells`].
pub(in crate::distill) fn in_one_column(maps: &[Tensor<4>]) -> Tensor<4> {
    let columns = maps.iter().map(|map| {
        let [images, channels, height, width] = map.dims();
        map.clone().reshape([images, channels, height * width, 1])
    });
    Tensor::cat(columns.collect(), 2)
}

/// Between two points.
pub(super) fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those of a student of 96 x 64.
    pub fn cells() -> Cells {
        Cells::of(&StudentConfig::new(Default::default(), vec!["a".into()], 96, 64))
    }

    #[test]
    fn cells_are_laid_out_like_the_maps() {
        let cells = cells();
        assert_eq!(cells.len(), 12 * 8 + 6 * 4 + 3 * 2);
        assert_eq!(cells.centers[13], (12.0, 12.0));
        assert_eq!((cells.centers[96], cells.strides[96]), ((8.0, 8.0), 16.0));
        assert_eq!(cells.decode(96, &[0.5, 0.25, 1.0, 2.0]), Box2::new(0.0, 4.0, 24.0, 40.0));
    }

    #[test]
    fn cells_belong_to_a_box_by_their_centers() {
        let cells = Cells::new([(8, 3, 4)]);
        let of = |[x_min, y_min, x_max, y_max]: [f32; 4]| cells.of_box(&Box2::new(x_min, y_min, x_max, y_max));
        assert_eq!(of([3.0, 11.0, 21.0, 24.0]), [4, 5, 6, 8, 9, 10]);
        assert_eq!(of([0.0, 0.0, 17.0, 9.0]), [0, 1]);
        // Centres on an edge are outside.
        assert_eq!(of([4.0, 11.0, 20.0, 20.0]), [5]);
        assert!(cells.inside(&Box2::new(9.0, 9.0, 10.0, 10.0)).is_empty());
    }

    #[test]
    fn every_box_has_a_cell() {
        let cells = Cells::new([(8, 3, 4)]);
        let of = |[x_min, y_min, x_max, y_max]: [f32; 4]| cells.of_box(&Box2::new(x_min, y_min, x_max, y_max));
        assert_eq!(of([9.0, 9.0, 11.0, 11.0]), [5]);
        assert_eq!(of([-40.0, 90.0, -30.0, 99.0]), [8]);
        assert_eq!(of([90.0, -90.0, 99.0, -80.0]), [3]);
    }
}
