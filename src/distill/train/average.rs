//! The exponential moving average of the weights, which is validated and exported in place of the weights themselves ("Mean
//! teachers are better role models", Tarvainen and Valpola 2017). BatchNorm's running statistics are averaged with them.

use burn::module::Module;

pub(in crate::distill) use super::values::read;
use super::values::{Values, write};

/// The average so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightAverage {
    decay: f64,
    updates: u64,
    values: Values,
}

impl WeightAverage {
    /// Starts from a snapshot ([`Module::valid`]) of the student.
    pub fn new(snapshot: &impl Module, decay: f64) -> Self {
        Self { decay, updates: 0, values: read(snapshot) }
    }

    /// The average that a checkpoint kept: a student and its number of updates.
    pub fn resume(snapshot: &impl Module, decay: f64, updates: u64) -> Self {
        Self { updates, ..Self::new(snapshot, decay) }
    }

    /// Takes in a snapshot of the student after a step. Early updates weigh more, `(1 + n) / (10 + n)` at most, so that the
    /// random beginning is soon forgotten.
    pub fn update(&mut self, snapshot: &impl Module) {
        let count = self.updates as f64;
        let decay = self.decay.min((1.0 + count) / (10.0 + count));
        let new_share = (1.0 - decay) as f32;
        for (average, new) in self.values.iter_mut().zip(read(snapshot)) {
            for (average, new) in average.iter_mut().zip(new) {
                *average += (new - *average) * new_share;
            }
        }
        self.updates += 1;
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The student with the averaged weights; `snapshot` lends its shape.
    pub fn student<M: Module>(&self, snapshot: M) -> M {
        write(snapshot, &self.values)
    }
}
