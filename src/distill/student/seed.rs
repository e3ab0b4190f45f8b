//! Initial weights that depend on the seed alone, not on the device or on other threads.

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Draws initial weights in the order in which the network is built.
pub(in crate::distill) struct WeightSeed(Pcg64Mcg);

impl WeightSeed {
    pub(in crate::distill) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A convolution's weights `[out, in, kernel, kernel]`, normally distributed with the deviation `gain / sqrt(fan_in)`
    /// (with gain sqrt(2): He et al. 2015).
    pub(in crate::distill) fn convolution(
        &mut self,
        shape: [usize; 4],
        gain: f64,
        device: &Device,
    ) -> Param<Tensor<4>> {
        let fan_in = (shape[1] * shape[2] * shape[3]) as f64;
        let deviation = gain / fan_in.sqrt();
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| (self.normal() * deviation) as f32).collect();
        Param::from_data(TensorData::new(values, shape), device)
    }

    /// A standard normal value by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos()
    }
}
