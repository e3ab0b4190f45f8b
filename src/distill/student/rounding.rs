//! Computing as int8 hardware will, within the training ("Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", Jacob et al. 2018): weights and what is stored between layers are rounded where the graph in QDQ
//! form rounds them, by the rules that write that graph ([`crate::distill::compress::quantize`]), and gradients pass straight through.

use burn::{
    nn::conv::Conv2d,
    tensor::{Tensor, TensorData},
};

use super::{
    CameraStudent, StudentOutput,
    arithmetic::{Arithmetic, Floats},
    operator::{convolve_by, round_through},
};
use crate::distill::compress::quantize::{
    Affine, Histogram, Range, RangeMethod, WeightRange, channel_of, quantize_weights, weight_scales,
};

/// How a folded student's numbers are rounded: each tensor that it stores to `uint8` with steps of its own, each output channel of its
/// weights symmetrically about 0. Biases have 32 bits and are left as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounding {
    /// The steps of each stored tensor, in the order in which the student stores them.
    stored: Vec<Affine>,
    /// How far weights reach.
    weights: WeightRange,
    /// So much coarser than with eight bits weights are; 1 but in tests.
    coarseness: f32,
    /// How the ranges of stored tensors were found.
    method: RangeMethod,
}

/// The bits of weights on int8 hardware.
const WEIGHT_BITS: u32 = 8;

impl Rounding {
    /// Finds the ranges of what a folded student stores, on batches of images `[B, 3, H, W]` on its device, which must be one without
    /// gradients. Of [`RangeMethod::ALL`] the one is taken with which the outputs of the rounded student are nearest to its own.
    pub fn calibrate(student: &CameraStudent, frames: &[Tensor<4>], weights: WeightRange) -> Self {
        Self::calibrate_by(student, frames, weights, WEIGHT_BITS, &RangeMethod::ALL)
    }

    /// [`Self::calibrate`] by some methods, with weights of other bits: what fewer of them lose is seen on the smallest student.
    pub(in crate::distill) fn calibrate_by(
        student: &CameraStudent,
        frames: &[Tensor<4>],
        weights: WeightRange,
        bits: u32,
        methods: &[RangeMethod],
    ) -> Self {
        let most = |bits: u32| ((1_u32 << (bits - 1)) - 1) as f32;
        let seen = observe(student, frames);
        let float: Vec<StudentOutput> = frames.iter().map(|images| student.forward(images.clone())).collect();
        let rounding = |method: RangeMethod| Self {
            stored: seen.iter().map(|seen| Affine::of(method.range(seen))).collect(),
            weights,
            coarseness: most(WEIGHT_BITS) / most(bits),
            method,
        };
        let mut best = rounding(RangeMethod::MinMax);
        let mut least = f64::INFINITY;
        for candidate in methods.iter().map(|&method| rounding(method)) {
            let loss = candidate.loss_from(&float, student, frames);
            if loss < least {
                (best, least) = (candidate, loss);
            }
        }
        best
    }

    /// How many tensors are stored.
    #[cfg(test)]
    pub(in crate::distill) fn places(&self) -> usize {
        self.stored.len()
    }

    /// How the ranges of stored tensors were found.
    pub fn method(&self) -> RangeMethod {
        self.method
    }

    /// How far the outputs of a rounded student are from its own on batches of images `[B, 3, H, W]`: squared errors by the squared
    /// distances of its own outputs from their mean, averaged over the output maps. 0 is the float student; 1 no better than always
    /// giving the mean.
    pub fn loss(&self, student: &CameraStudent, frames: &[Tensor<4>]) -> f64 {
        let float: Vec<StudentOutput> = frames.iter().map(|images| student.forward(images.clone())).collect();
        self.loss_from(&float, student, frames)
    }

    /// [`Self::loss`] next to the outputs of another student, or of this one in floats.
    fn loss_from(&self, float: &[StudentOutput], student: &CameraStudent, frames: &[Tensor<4>]) -> f64 {
        let mut deviations: Vec<Deviation> = Vec::new();
        for (images, float) in frames.iter().zip(float) {
            let rounded = student.forward_by(&mut self.arithmetic(), images.clone());
            let pairs = maps(float).zip(maps(&rounded));
            for (place, (float, rounded)) in pairs.enumerate() {
                if place == deviations.len() {
                    deviations.push(Deviation::default());
                }
                deviations[place].add(&numbers(float), &numbers(rounded));
            }
        }
        let count = deviations.len().max(1) as f64;
        deviations.iter().map(Deviation::relative).sum::<f64>() / count
    }

    /// To compute with.
    pub(super) fn arithmetic(&self) -> Rounded<'_> {
        Rounded { rounding: self, place: 0 }
    }

    /// What is left of weights `[out, in, rows, columns]`, with a gradient that passes straight through.
    fn round_weights(&self, weights: Tensor<4>) -> Tensor<4> {
        let shape = weights.dims();
        let values = numbers(&weights);
        let mut scales = weight_scales(&values, &shape, 0, self.weights);
        scales.iter_mut().for_each(|scale| *scale *= self.coarseness);
        let channel = channel_of(&shape, 0);
        let integers = quantize_weights(&values, &shape, 0, &scales);
        let rounded = integers.iter().enumerate().map(|(place, &integer)| f32::from(integer) * scales[channel(place)]);
        let rounded = TensorData::new(rounded.collect::<Vec<f32>>(), shape);
        let rounded = Tensor::<4>::from_data(rounded, &weights.device());
        // The difference is 0 and has the gradient of the weights.
        weights.clone() - weights.detach() + rounded
    }
}

/// Computes with rounded numbers.
#[derive(Debug)]
pub(super) struct Rounded<'a> {
    rounding: &'a Rounding,
    /// Tensors that were stored so far.
    place: usize,
}

impl Arithmetic for Rounded<'_> {
    fn convolve(&mut self, layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        convolve_by(layer, self.rounding.round_weights(layer.weight.val()), input)
    }

    fn store(&mut self, tensor: Tensor<4>) -> Tensor<4> {
        let steps = self.rounding.stored.get(self.place).copied();
        self.place += 1;
        match steps {
            Some(steps) => round_through(tensor, steps),
            None => tensor,
        }
    }
}

/// How often a student's stored tensors take which values on some batches, which are gone through twice: for the ends, then for what lies
/// between.
fn observe(student: &CameraStudent, frames: &[Tensor<4>]) -> Vec<Histogram> {
    let mut ranges: Vec<Range> = Vec::new();
    for images in frames {
        watch(student, images, &mut |place, values| {
            if place == ranges.len() {
                ranges.push(Range::NONE);
            }
            ranges[place].widen(values);
        });
    }
    let mut histograms: Vec<Histogram> = ranges.into_iter().map(|range| Histogram::new(range.known())).collect();
    for images in frames {
        watch(student, images, &mut |place, values| histograms[place].add(values));
    }
    histograms
}

/// Shows the values of each tensor that a student stores for a batch, with its place among them.
fn watch(student: &CameraStudent, images: &Tensor<4>, seen: &mut dyn FnMut(usize, &[f32])) {
    student.forward_by(&mut Watched { seen, place: 0 }, images.clone());
}

/// Computes in floats and shows what is stored.
struct Watched<'a> {
    seen: &'a mut dyn FnMut(usize, &[f32]),
    place: usize,
}

impl Arithmetic for Watched<'_> {
    fn convolve(&mut self, layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
        Floats.convolve(layer, input)
    }

    fn store(&mut self, tensor: Tensor<4>) -> Tensor<4> {
        (self.seen)(self.place, &numbers(&tensor));
        self.place += 1;
        tensor
    }
}

/// How far an output map is from another.
#[derive(Debug, Default)]
struct Deviation {
    count: f64,
    sum: f64,
    squares: f64,
    errors: f64,
}

impl Deviation {
    fn add(&mut self, wanted: &[f32], found: &[f32]) {
        for (&wanted, &found) in wanted.iter().zip(found) {
            let (wanted, found) = (f64::from(wanted), f64::from(found));
            self.count += 1.0;
            self.sum += wanted;
            self.squares += wanted * wanted;
            self.errors += (wanted - found).powi(2);
        }
    }

    fn relative(&self) -> f64 {
        let spread = self.squares - self.sum * self.sum / self.count.max(1.0);
        // A map that hardly varies differs by rounding alone; its floor keeps the figure a finite number.
        self.errors / spread.max(1e-12 * self.squares).max(f64::MIN_POSITIVE)
    }
}

/// All output maps.
fn maps(output: &StudentOutput) -> impl Iterator<Item = &Tensor<4>> {
    output.class_logits.iter().chain(&output.box_distributions)
}

/// A tensor's values on this side of the device.
fn numbers(tensor: &Tensor<4>) -> Vec<f32> {
    tensor.clone().into_data().convert::<f32>().try_into_vec().expect("the data was just converted to f32")
}

#[cfg(test)]
#[path = "rounding_tests.rs"]
mod tests;
