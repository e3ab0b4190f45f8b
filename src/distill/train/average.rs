//! The exponential moving average of the weights, which is validated and exported in place of the weights themselves ("Mean
//! teachers are better role models", Tarvainen and Valpola 2017). BatchNorm's running statistics are averaged with them.

use burn::module::Module;

pub(in crate::distill) use super::values::read;
use super::values::{Values, write};

/// Largest magnitude of a sound student's numbers. Weights are some units at most, running variances the squares of some tens.
const LARGEST: f32 = 1e8;

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
    ///
    /// # Errors
    /// Gives a number of the snapshot that no sound student has, with which it would compute what is infinite or no number: one that is
    /// that itself, or of more than 1e8. The average then stays as it was.
    pub fn update(&mut self, snapshot: &impl Module) -> Result<(), f32> {
        let values = read(snapshot);
        if let Some(&unsound) = values.iter().flatten().find(|value| !(0.0..=LARGEST).contains(&value.abs())) {
            return Err(unsound);
        }
        let count = self.updates as f64;
        let decay = self.decay.min((1.0 + count) / (10.0 + count));
        let new_share = (1.0 - decay) as f32;
        for (average, new) in self.values.iter_mut().zip(values) {
            for (average, new) in average.iter_mut().zip(new) {
                *average += (new - *average) * new_share;
            }
        }
        self.updates += 1;
        Ok(())
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

#[cfg(test)]
mod tests {
    use burn::{nn::BatchNormConfig, tensor::Device};

    use super::*;

    #[test]
    fn unsound_numbers_are_told_and_not_taken_in() {
        // Scale, shift, and the running mean and variance.
        let norm = || BatchNormConfig::new(1).init(&Device::flex());
        let holding = |shift: f32| write(norm(), &[vec![1.0], vec![shift], vec![0.0], vec![1.0]]);
        let mut average = WeightAverage::new(&norm(), 0.5);
        assert_eq!(average.update(&holding(10.0)), Ok(()));
        let before = average.clone();
        assert_eq!((before.updates(), read(&before.student(norm()))[1][0]), (1, 9.0));
        for unsound in [5e29, -1e9, f32::INFINITY] {
            assert_eq!(average.update(&holding(unsound)), Err(unsound));
        }
        assert!(average.update(&holding(f32::NAN)).is_err_and(f32::is_nan));
        assert_eq!(average, before);
    }
}
