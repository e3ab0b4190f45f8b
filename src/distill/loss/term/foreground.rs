//! Which cells of a map belong to objects.

use burn::tensor::{Device, Tensor, TensorData};

use crate::distill::loss::{Cells, TargetBox};

/// Weights of the cells of a batch's maps.
pub(super) struct Foreground {
    images: usize,
    rows: usize,
    columns: usize,
    /// For each cell the trust in the best box that it lies in; 0 for the background.
    trust: Vec<f32>,
    /// For each cell the most that a box it lies in weighs there: trust over area in cells; 0 for the background.
    share: Vec<f32>,
}

impl Foreground {
    /// The cells of `[images, rows, columns]` with this stride that belong to boxes ([`Cells::of_box`]); each has one at least.
    pub fn new(targets: &[Vec<TargetBox>], rows: usize, columns: usize, stride: usize) -> Self {
        let cells = rows * columns;
        let mut foreground = Self {
            images: targets.len(),
            rows,
            columns,
            trust: vec![0.0; targets.len() * cells],
            share: vec![0.0; targets.len() * cells],
        };
        let map = Cells::new([(stride, rows, columns)]);
        let stride = stride as f32;
        for (image, boxes) in targets.iter().enumerate() {
            for object in boxes.iter().filter(|object| object.bbox.is_valid()) {
                let trust = object.credit();
                let area = (object.bbox.width() * object.bbox.height() / (stride * stride)).max(1.0);
                for cell in map.of_box(&object.bbox) {
                    let cell = image * cells + cell;
                    foreground.trust[cell] = foreground.trust[cell].max(trust);
                    foreground.share[cell] = foreground.share[cell].max(trust / area);
                }
            }
        }
        foreground
    }

    fn tensor(&self, values: Vec<f32>, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, [self.images, 1, self.rows, self.columns]), device)
    }

    /// The trust in the objects, `[images, 1, rows, columns]`.
    pub fn trust(&self, device: &Device) -> Tensor<4> {
        self.tensor(self.trust.clone(), device)
    }

    /// The sum of [`Self::trust`].
    pub fn trust_sum(&self) -> f32 {
        self.trust.iter().sum()
    }

    /// Objects count alike whatever their size, but by the trust in them, `[images, 1, rows, columns]` (FGD, equation 3).
    pub fn shares(&self, device: &Device) -> Tensor<4> {
        self.tensor(self.share.clone(), device)
    }

    /// The background's cells, whose sum is 1 an image, `[images, 1, rows, columns]`.
    pub fn background(&self, device: &Device) -> Tensor<4> {
        let mut values = Vec::with_capacity(self.share.len());
        for image in self.share.chunks(self.rows * self.columns) {
            let count = image.iter().filter(|&&share| share == 0.0).count().max(1);
            values.extend(image.iter().map(|&share| if share == 0.0 { 1.0 / count as f32 } else { 0.0 }));
        }
        self.tensor(values, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Box2;

    #[test]
    fn the_box_that_weighs_most_counts() {
        let target = |x_min, y_min, x_max, y_max, weight| TargetBox {
            bbox: Box2::new(x_min, y_min, x_max, y_max),
            probabilities: vec![0.2, 0.8],
            weight,
        };
        // A sure box, a doubtful one in its corner, and one of no weight.
        let sure = target(0.0, 0.0, 32.0, 16.0, 1.0);
        let boxes = vec![sure, target(-5.0, 0.0, 8.0, 8.0, 0.05), target(0.0, 17.0, 9.0, 99.0, 0.0)];
        let foreground = Foreground::new(&[boxes], 3, 4, 8);
        assert_eq!(foreground.trust, [0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.0, 0.0, 0.0, 0.0]);
        assert!(foreground.share.iter().take(8).all(|share| (share - 0.1).abs() < 1e-6), "{:?}", foreground.share);
        let device = Device::flex();
        let background: Vec<f32> = foreground.background(&device).try_into_vec_as().unwrap();
        assert_eq!(background[8..], [0.25; 4]);
        assert_eq!(background[..8], [0.0; 8]);
        assert!((foreground.trust_sum() - 6.4).abs() < 1e-5);
        // Between the centres of cells it has the nearest one.
        let small = Foreground::new(&[vec![target(9.0, 9.0, 11.0, 11.0, 1.0)]], 3, 4, 8);
        assert_eq!(small.trust.iter().position(|&trust| trust > 0.0), Some(5));
    }
}
