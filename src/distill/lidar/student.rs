//! The lidar student: a small encoder-decoder over range images that says of every cell what its point belongs to.
//!
//! ```text
//! range image [B, channels, R, W] -> stem, residual block                    [B, w/2, R,   W]   --------.
//!                                  -> halve the columns, residual blocks      [B, w,   R/2, W/2] ----.   |
//!                                  -> halve the columns, residual blocks      [B, 2w,  R/4, W/4]     |   |
//!                                  -> pointwise, nearest upsampling, add, convolve   <---------------'   |
//!                                  -> pointwise, nearest upsampling, add, convolve   <-------------------'
//!                                  -> class tower -> class logits [B, classes, R, W]
//!                                  -> box tower   -> votes [B, 3, R, W], boxes [B, 5, R, W]
//! ```
//!
//! Encoder-decoders with skip connections are those of U-Net (Ronneberger et al. 2015), here with sums as in Feature Pyramid
//! Networks (Lin et al. 2017); points that vote for the centre of their object those of DROW (Beyer et al. 2016). Kernels are 1x5
//! where there is one row, which is then never halved, 3x3 otherwise.
//!
//! A full circle has no edge. There the image is continued at both ends by as many columns as the network looks far, and its
//! outputs are cut back: the same as if every convolution had padded circularly, at the cost of those columns alone.

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Device, Tensor},
};

use crate::distill::student::{
    CLASS_PRIOR, ConvUnit, Convolution, Residual, Stage, WeightSeed, operator::convolve, plain_convolution, upsample,
};

/// Columns, and rows where there are several, per cell of the coarsest level.
pub const TOTAL_STRIDE: usize = 4;

/// Channels of `votes`: radial, tangential, up.
pub const VOTE_CHANNELS: usize = 3;

/// Channels of `boxes`: logarithms of length, width and height, then sine and cosine of twice the yaw.
pub const BOX_CHANNELS: usize = 5;

/// A lidar student before it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LidarStudentConfig {
    /// Channels of the range image.
    pub channels: usize,
    /// Classes, not counting the background.
    pub classes: usize,
    /// Rows of the range image: 1, or a multiple of [`TOTAL_STRIDE`].
    pub rows: usize,
    /// Columns of the range image, a multiple of [`TOTAL_STRIDE`].
    pub columns: usize,
    /// Whether the last column borders on the first.
    pub is_full_circle: bool,
    /// Channels at half the columns; half as many at all of them, twice as many at a quarter.
    pub width: usize,
    /// Residual blocks at each of the two coarser levels.
    pub depth: usize,
}

/// A lidar student that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LidarStudentError {
    /// A number of channels that cannot be halved, or that no robot has time for.
    #[error("student.width: {0} must be an even number in 8..256; 32 does for laser scans")]
    Width(usize),
    /// More blocks than can be meant.
    #[error("student.depth: {0} must be in 1..8; 2 does for laser scans")]
    Depth(usize),
    /// Rows or columns that cannot be halved twice.
    #[error("sensor.{side}: {value} is not a positive multiple of 4 (rows may be 1, too); the next that is: {next}")]
    Side {
        /// `rows` or `columns`.
        side: &'static str,
        /// What was asked for.
        value: usize,
        /// What would do.
        next: usize,
    },
    /// Nothing to see, or nothing to tell.
    #[error("a lidar student needs at least one input channel and one class")]
    Empty,
}

impl LidarStudentConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the first key that is wrong and a value that would do.
    pub fn check(&self) -> Result<(), LidarStudentError> {
        if !(8..=256).contains(&self.width) || !self.width.is_multiple_of(2) {
            return Err(LidarStudentError::Width(self.width));
        }
        if !(1..=8).contains(&self.depth) {
            return Err(LidarStudentError::Depth(self.depth));
        }
        for (side, value) in [("rows", self.rows), ("columns", self.columns)] {
            let is_single_row = side == "rows" && value == 1;
            if value == 0 || !(is_single_row || value.is_multiple_of(TOTAL_STRIDE)) {
                let next = value.max(1).next_multiple_of(TOTAL_STRIDE);
                return Err(LidarStudentError::Side { side, value, next });
            }
        }
        if self.channels == 0 || self.classes == 0 {
            return Err(LidarStudentError::Empty);
        }
        Ok(())
    }

    fn kernel(&self) -> [usize; 2] {
        if self.rows == 1 { [1, 5] } else { [3, 3] }
    }

    /// Columns to both sides that an output depends on, rounded up to whole cells of the coarsest level. Each convolution looks
    /// half its kernel far, in cells of its own input.
    fn reach(&self) -> usize {
        let half = self.kernel()[1] / 2;
        // Stem, its block, first halving, last decoder unit and tower at all columns; the rest by its own stride. Nearest
        // upsampling moves a cell by less than one of the coarse level.
        let fine = 5 * half;
        let middle = 2 * half * (self.depth + 2);
        let coarse = TOTAL_STRIDE * half * self.depth;
        (fine + middle + coarse + TOTAL_STRIDE).next_multiple_of(TOTAL_STRIDE)
    }
}

/// What the student says of a batch of range images, per cell.
#[derive(Debug, Clone)]
pub struct LidarStudentOutput {
    /// `[B, classes, R, W]`; the probability is their sigmoid.
    pub class_logits: Tensor<4>,
    /// `[B, 3, R, W]`: the way to the object's centre in metres, see [`crate::model::lidar::encode_vote`].
    pub votes: Tensor<4>,
    /// `[B, 5, R, W]`: the object's box, see [`crate::model::lidar::encode_box`].
    pub boxes: Tensor<4>,
}

/// The lidar student. Build it with [`LidarStudent::new`] on `device.autodiff()` for training; [`Module::valid`] gives the snapshot
/// for validation and export.
#[derive(Module, Debug)]
pub struct LidarStudent {
    stem: ConvUnit,
    fine: Residual,
    stages: Vec<Stage>,
    laterals: Vec<ConvUnit>,
    smooth: Vec<ConvUnit>,
    class_tower: ConvUnit,
    class_prediction: Conv2d,
    box_tower: ConvUnit,
    vote_prediction: Conv2d,
    box_prediction: Conv2d,
    /// Columns that the image is continued by at both ends.
    margin: usize,
}

impl LidarStudent {
    /// A student with initial weights that depend on the configuration and the seed alone.
    ///
    /// # Errors
    /// What [`LidarStudentConfig::check`] says.
    pub fn new(config: &LidarStudentConfig, seed: u64, device: &Device) -> Result<Self, LidarStudentError> {
        config.check()?;
        let seed = &mut WeightSeed::new(seed);
        let (width, kernel, plain) = (config.width, config.kernel(), Convolution::Plain);
        let widths = [width / 2, width, 2 * width];
        let stem = ConvUnit::new([config.channels, widths[0]], kernel, 1, seed, device);
        let fine = Residual::new(plain, widths[0], kernel, seed, device);
        let (mut stages, mut laterals, mut smooth) = (Vec::new(), Vec::new(), Vec::new());
        for pair in widths.windows(2) {
            stages.push(Stage::new(plain, [pair[0], pair[1]], kernel, config.depth, seed, device));
            laterals.push(ConvUnit::new([pair[1], pair[0]], [1, 1], 1, seed, device));
            smooth.push(ConvUnit::new([pair[0], pair[0]], kernel, 1, seed, device));
        }
        let prior_logit = (CLASS_PRIOR / (1.0 - CLASS_PRIOR)).ln();
        let class_tower = ConvUnit::new([widths[0], width], kernel, 1, seed, device);
        let class_prediction =
            plain_convolution([width, config.classes], [1, 1], 1, 0.1, Some(prior_logit), seed, device);
        let box_tower = ConvUnit::new([widths[0], width], kernel, 1, seed, device);
        let vote_prediction = plain_convolution([width, VOTE_CHANNELS], [1, 1], 1, 0.1, Some(0.0), seed, device);
        let box_prediction = plain_convolution([width, BOX_CHANNELS], [1, 1], 1, 0.1, Some(0.0), seed, device);
        let margin = if config.is_full_circle { config.reach().min(config.columns) } else { 0 };
        Ok(Self {
            stem,
            fine,
            stages,
            laterals,
            smooth,
            class_tower,
            class_prediction,
            box_tower,
            vote_prediction,
            box_prediction,
            margin,
        })
    }

    /// Looks at a batch of range images `[B, channels, R, W]`, filled by [`crate::model::lidar::fill_input`].
    pub fn forward(&self, images: Tensor<4>) -> LidarStudentOutput {
        let [_, _, _, columns] = images.dims();
        let mut features = self.fine.forward(self.stem.forward(continued(images, self.margin)));
        let mut skipped = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            skipped.push(features.clone());
            features = stage.forward(features);
        }
        for ((skip, lateral), smooth) in skipped.into_iter().zip(&self.laterals).zip(&self.smooth).rev() {
            let [_, _, rows, columns] = skip.dims();
            features = smooth.forward(skip + upsample(lateral.forward(features), [rows, columns]));
        }
        let of_boxes = self.box_tower.forward(features.clone());
        let of_classes = self.class_tower.forward(features);
        let cut = |map: Tensor<4>| if self.margin == 0 { map } else { map.narrow(3, self.margin, columns) };
        LidarStudentOutput {
            class_logits: cut(convolve(&self.class_prediction, of_classes)),
            votes: cut(convolve(&self.vote_prediction, of_boxes.clone())),
            boxes: cut(convolve(&self.box_prediction, of_boxes)),
        }
    }

    /// The same student for inference with every BatchNorm folded into its convolution. Give it a [`Module::valid`] student.
    #[must_use]
    pub fn fold(self) -> Self {
        let all = |units: Vec<ConvUnit>| -> Vec<ConvUnit> { units.into_iter().map(ConvUnit::fold).collect() };
        Self {
            stem: self.stem.fold(),
            fine: self.fine.fold(),
            stages: self.stages.into_iter().map(Stage::fold).collect(),
            laterals: all(self.laterals),
            smooth: all(self.smooth),
            class_tower: self.class_tower.fold(),
            box_tower: self.box_tower.fold(),
            ..self
        }
    }
}

/// The image with its last columns once more before the first, and its first after the last.
fn continued(images: Tensor<4>, margin: usize) -> Tensor<4> {
    if margin == 0 {
        return images;
    }
    let [_, _, _, columns] = images.dims();
    let last = images.clone().narrow(3, columns - margin, margin);
    let first = images.clone().narrow(3, 0, margin);
    Tensor::cat(vec![last, images, first], 3)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    fn config(rows: usize, columns: usize, is_full_circle: bool) -> LidarStudentConfig {
        LidarStudentConfig { channels: 4, classes: 2, rows, columns, is_full_circle, width: 32, depth: 2 }
    }

    fn random(shape: [usize; 4]) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    }

    fn floats(tensor: Tensor<4>) -> Vec<f32> {
        tensor.try_into_vec_as::<f32>().unwrap()
    }

    #[test]
    fn outputs_have_the_cells_of_the_image() {
        for (rows, columns, circle) in [(1, 64, false), (1, 128, true), (8, 32, false), (4, 64, true)] {
            let student = LidarStudent::new(&config(rows, columns, circle), 1, &Device::flex()).unwrap();
            let output = student.forward(random([2, 4, rows, columns]));
            assert_eq!(output.class_logits.dims(), [2, 2, rows, columns]);
            assert_eq!(output.votes.dims(), [2, 3, rows, columns]);
            assert_eq!(output.boxes.dims(), [2, 5, rows, columns]);
        }
    }

    #[test]
    fn a_scan_student_is_small() {
        let student = LidarStudent::new(&config(1, 768, false), 1, &Device::flex()).unwrap();
        let parameters = student.num_params();
        assert!((50_000..=150_000).contains(&parameters), "{parameters}");
    }

    /// A full circle that is turned gives outputs that are turned: no column is an edge.
    #[test]
    fn a_full_circle_has_no_edge() {
        for (rows, columns) in [(1, 128), (4, 96)] {
            let turned_by = 20;
            let student = LidarStudent::new(&config(rows, columns, true), 1, &Device::flex()).unwrap().fold();
            let image = random([1, 4, rows, columns]);
            let turn = |map: Tensor<4>| {
                let first = map.clone().narrow(3, 0, turned_by);
                Tensor::cat(vec![map.narrow(3, turned_by, columns - turned_by), first], 3)
            };
            let turned_before = floats(student.forward(turn(image.clone())).class_logits);
            let turned_after = floats(turn(student.forward(image).class_logits));
            for (before, after) in turned_before.iter().zip(&turned_after) {
                assert!((before - after).abs() < 1e-4, "{rows} rows: {before} is not {after}");
            }
        }
    }

    #[test]
    fn folding_changes_nothing() {
        let device = Device::flex().autodiff();
        let student = LidarStudent::new(&config(1, 64, false), 3, &device).unwrap();
        // Running statistics move away from their beginning.
        for _ in 0..3 {
            let image = Tensor::<4>::random([2, 4, 1, 64], Distribution::Normal(0.5, 2.0), &device);
            let _ = student.forward(image);
        }
        let image = random([1, 4, 1, 64]);
        let snapshot = student.valid();
        let (plain, folded) = (snapshot.forward(image.clone()), snapshot.clone().fold().forward(image));
        let pairs =
            [(plain.class_logits, folded.class_logits), (plain.votes, folded.votes), (plain.boxes, folded.boxes)];
        for (plain, folded) in pairs {
            for (plain, folded) in floats(plain).iter().zip(floats(folded)) {
                assert!((plain - folded).abs() < 1e-4, "{plain} became {folded}");
            }
        }
    }

    #[test]
    fn what_cannot_be_built_is_told_with_the_mend() {
        let error = LidarStudentConfig { columns: 541, ..config(1, 64, false) }.check().unwrap_err().to_string();
        assert!(error.contains("sensor.columns") && error.contains("544"), "{error}");
        let error = LidarStudentConfig { rows: 6, ..config(1, 64, false) }.check().unwrap_err().to_string();
        assert!(error.contains("sensor.rows") && error.contains('8') && error.contains("may be 1"), "{error}");
        let error = LidarStudentConfig { width: 9, ..config(1, 64, false) }.check().unwrap_err().to_string();
        assert!(error.contains("student.width"), "{error}");
    }
}
