//! A tensor from inside a teacher, laid over the image that it was made from.

use crate::{
    model::{InputSpec, ModelError, head::OutputTensor},
    sensing::letterbox::Letterbox,
};

/// One named tensor of a teacher for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Number of channels.
    pub channels: usize,
    /// Rows of cells over the teacher's whole input.
    pub height: usize,
    /// Columns of cells over the teacher's whole input.
    pub width: usize,
    /// `[channels, height, width]`, row-major.
    pub values: Vec<f32>,
    /// Where the image lies in the teacher's input.
    letterbox: Letterbox,
    /// Width and height of the teacher's input in pixels.
    input: (usize, usize),
}

impl FeatureMap {
    /// A tensor `[1, channels, height, width]` that the network `model` made of an input like `input`, in which `letterbox` tells
    /// the image's place.
    ///
    /// # Errors
    /// [`ModelError::NoMap`] when the tensor has another shape, or integers.
    pub fn new(
        tensor: OutputTensor<'_>,
        letterbox: Letterbox,
        input: &InputSpec,
        model: &str,
    ) -> Result<Self, ModelError> {
        let refused = || ModelError::NoMap {
            model: model.to_owned(),
            tensor: tensor.name.to_string(),
            shape: tensor.shape.clone(),
        };
        let [1, channels, height, width] = tensor.shape[..] else { return Err(refused()) };
        if tensor.is_integer || tensor.values.is_empty() || tensor.values.len() != channels * height * width {
            return Err(refused());
        }
        let values = tensor.values.into_owned();
        Ok(Self { channels, height, width, values, letterbox, input: (input.width, input.height) })
    }

    /// How many columns and rows of its cells lie over the image.
    pub fn cells_over_image(&self) -> (f64, f64) {
        let (width, height) = self.letterbox.size();
        let across = f64::from(width) / stride(self.input.0, self.width);
        (across, f64::from(height) / stride(self.input.1, self.height))
    }

    /// The values at the cells of a grid laid over the image, `[channels, rows, columns]`: teachers of any input size, fit and
    /// stride become comparable with the student's map of the same image.
    ///
    /// Each is interpolated bilinearly at the middle of its cell; in a map more than twice as fine as the grid, it is the mean of
    /// several places spread evenly over the cell, so that no part of the map is passed over. Beyond the outermost cells of the
    /// map their values go on. Where the image fills the teacher's input and the grid is that of the map, it is the map itself.
    pub fn align(&self, rows: usize, columns: usize) -> Vec<f32> {
        if rows == 0 || columns == 0 {
            return Vec::new();
        }
        let ((left, top), (width, height)) = (self.letterbox.pad(), self.letterbox.size());
        let across = shares(columns, (left, width), stride(self.input.0, self.width), self.width);
        let down = shares(rows, (top, height), stride(self.input.1, self.height), self.height);
        let mut aligned = vec![0.0_f32; self.channels * rows * columns];
        // One channel: rows of the map, columns of the grid.
        let mut narrowed = vec![0.0_f32; self.height * columns];
        let planes = self.values.chunks_exact(self.height * self.width);
        for (plane, result) in planes.zip(aligned.chunks_exact_mut(rows * columns)) {
            for (row, narrow) in plane.chunks_exact(self.width).zip(narrowed.chunks_exact_mut(columns)) {
                for (value, shares) in narrow.iter_mut().zip(&across) {
                    *value = shares.iter().map(|&(cell, share)| row[cell] * share).sum();
                }
            }
            for (row, shares) in result.chunks_exact_mut(columns).zip(&down) {
                for &(cell, share) in shares {
                    let narrow = &narrowed[cell * columns..][..columns];
                    row.iter_mut().zip(narrow).for_each(|(sum, &value)| *sum += value * share);
                }
            }
        }
        aligned
    }
}

/// Pixels of the input per cell of a map with `cells` cells along an axis: their ratio where that is whole, else the power of two
/// whose rounding up gives as many cells, as strided convolutions do, else the ratio all the same.
pub(super) fn stride(input: usize, cells: usize) -> f64 {
    let cells = cells.max(1);
    let ratio = input as f64 / cells as f64;
    if input.is_multiple_of(cells) {
        return ratio;
    }
    let power = (1..16).map(|power| 1_usize << power).find(|&stride| input.div_ceil(stride) == cells);
    power.map_or(ratio, |stride| stride as f64)
}

/// For each of `parts` equal parts of the image along an axis, the cells of the map that it is made of and their shares, which
/// sum to 1. The image begins `start` pixels into the input and is `length` pixels long.
fn shares(parts: usize, (start, length): (u32, u32), stride: f64, cells: usize) -> Vec<Vec<(usize, f32)>> {
    let (start, step) = (f64::from(start) / stride, f64::from(length) / stride / parts as f64);
    // One place sees the two cells around it.
    let samples = ((step / 2.0).ceil() as usize).max(1);
    let last = cells.saturating_sub(1) as f64;
    let part = |part: usize| {
        let mut shares = Vec::with_capacity(2 * samples);
        for sample in 0..samples {
            let middle = part as f64 + (sample as f64 + 0.5) / samples as f64;
            let place = (start + middle * step - 0.5).clamp(0.0, last);
            let (cell, beyond) = (place.floor(), place.fract());
            shares.push((cell as usize, ((1.0 - beyond) / samples as f64) as f32));
            if beyond > 0.0 {
                shares.push((cell as usize + 1, (beyond / samples as f64) as f32));
            }
        }
        shares
    };
    (0..parts).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensing::Fit;

    fn input(width: usize, height: usize, fit: Fit) -> InputSpec {
        InputSpec { width, height, fit, ..InputSpec::default() }
    }

    /// A map whose values are `value` of channel, row and column, for an image of this size.
    fn map(
        shape: [usize; 3],
        input: &InputSpec,
        image: (u32, u32),
        value: impl Fn(usize, usize, usize) -> f32,
    ) -> FeatureMap {
        let [channels, height, width] = shape;
        let cells = |index: usize| value(index / (height * width), index / width % height, index % width);
        let values: Vec<f32> = (0..channels * height * width).map(cells).collect();
        let tensor = OutputTensor::new("map", &[1, channels, height, width], &values);
        FeatureMap::new(tensor, Letterbox::new(image.0, image.1, input), input, "model").unwrap()
    }

    fn odd(channel: usize, row: usize, column: usize) -> f32 {
        ((channel * 31 + row * 17 + column * 7) % 23) as f32 - 11.0
    }

    #[test]
    fn a_grid_like_the_map_gives_the_map() {
        for (width, height) in [(64, 32), (416, 416), (352, 200)] {
            let input = input(width, height, Fit::LetterboxCenter(114));
            let map = map([3, height / 8, width / 8], &input, (width as u32, height as u32), odd);
            assert_eq!(map.align(height / 8, width / 8), map.values, "{width}x{height}");
        }
    }

    #[test]
    fn an_image_of_another_size_that_fills_the_input_gives_the_map_too() {
        let input = input(64, 64, Fit::LetterboxCenter(114));
        let map = map([2, 8, 8], &input, (32, 32), odd);
        assert_eq!(map.align(8, 8), map.values);
    }

    #[test]
    fn the_padding_is_left_out() {
        // 32 x 16 pixels in 32 x 32: 8 rows above and below, which are 2 cells of stride 4.
        for (fit, first) in [(Fit::LetterboxCenter(114), 2), (Fit::LetterboxTopLeft(114), 0)] {
            let map = map([1, 8, 8], &input(32, 32, fit), (32, 16), odd);
            assert_eq!(map.align(4, 8), map.values[first * 8..(first + 4) * 8]);
        }
    }

    #[test]
    fn a_ramp_over_the_image_stays_the_same_ramp() {
        // The value is the place in the input along x, in pixels; the image is twice as large.
        let wide = input(64, 64, Fit::LetterboxCenter(114));
        let map = map([1, 16, 16], &wide, (128, 64), |_, _, column| (column as f32 + 0.5) * 4.0);
        for columns in [3, 5, 16] {
            let aligned = map.align(2, columns);
            for (index, value) in aligned.iter().enumerate() {
                let column = index % columns;
                let expected = (column as f32 + 0.5) * 64.0 / columns as f32;
                assert!((value - expected).abs() < 1e-3, "{columns} columns, at {column}: {value} for {expected}");
            }
        }
    }

    #[test]
    fn a_coarser_grid_takes_means() {
        // Stripes of one cell: without the mean over the whole cell it would be black or white.
        let input = input(64, 64, Fit::Stretch);
        for (cells, grid) in [(16, 8), (16, 4), (32, 4)] {
            let map = map([1, cells, cells], &input, (64, 64), |_, _, column| (column % 2) as f32);
            let aligned = map.align(grid, grid);
            assert_eq!(aligned.len(), grid * grid);
            assert!(aligned.iter().all(|value| (value - 0.5).abs() < 1e-6), "{cells} to {grid}: {aligned:?}");
        }
        let map = map([1, 8, 8], &input, (64, 64), odd);
        let block: f32 = (0..4).flat_map(|row| (0..4).map(move |column| odd(0, row, column))).sum();
        assert!((map.align(2, 2)[0] - block / 16.0).abs() < 1e-5);
    }

    #[test]
    fn strides_are_those_of_the_convolutions() {
        assert_eq!(stride(416, 52), 8.0);
        // 200 pixels at stride 32 are 6.25 cells: 7.
        assert_eq!(stride(200, 7), 32.0);
        assert_eq!(stride(100, 30), 100.0 / 30.0);
    }

    #[test]
    fn what_is_no_map_is_named() {
        let input = input(32, 32, Fit::Stretch);
        let letterbox = Letterbox::new(32, 32, &input);
        let values = [0.0; 12];
        let rows = OutputTensor::new("rows", &[1, 4, 3], &values);
        let labels = OutputTensor { is_integer: true, ..OutputTensor::new("labels", &[1, 3, 2, 2], &values) };
        for (name, tensor) in [("rows", rows), ("labels", labels)] {
            let error = FeatureMap::new(tensor, letterbox, &input, "detector.onnx").unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("detector.onnx"), "{error}");
        }
    }
}
