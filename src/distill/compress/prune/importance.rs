//! How much each channel matters.

use burn::{optim::GradientsParams, tensor::Tensor};
use serde::{Deserialize, Serialize};

use super::PruneError;
use crate::distill::student::{ByGroup, CameraStudent, Group};

/// What tells how much a channel matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// How much the loss on frames would change without it, to the first order: "Importance estimation for neural network pruning"
    /// (Molchanov et al. 2019).
    #[default]
    Taylor,
    /// The size of BatchNorm's scale: "Network slimming" (Liu et al. 2017).
    BatchNorm,
    /// The sum of the absolute weights that make it: "Pruning filters for efficient convnets" (Li et al. 2017).
    L1,
}

impl Criterion {
    /// Its name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::BatchNorm => "batch_norm",
            Self::L1 => "l1",
        }
    }
}

/// How much each channel of each group matters; of coupled channels what makes them is taken together.
pub type Importance = ByGroup<Vec<f64>>;

/// Importance by BatchNorm's scale. Scales of one group are compared with those of others after each group is divided by its norm, as
/// Molchanov et al. (2017) do.
///
/// # Errors
/// When the student is folded, or all scales of a group are 0.
pub fn by_scale(student: &CameraStudent) -> Result<Importance, PruneError> {
    let mut found = empty();
    let mut folded = None;
    student.each_unit(&mut |group, unit| match unit.scale() {
        Some(scale) => add(found.get_mut(group), values(scale.val()).into_iter().map(|scale| f64::from(scale.abs()))),
        None => folded = folded.or(Some(group)),
    });
    match folded {
        Some(group) => Err(PruneError::Folded { group }),
        None => normalized(found),
    }
}

/// Importance by the absolute weights, divided by each group's norm as in [`by_scale`].
///
/// # Errors
/// When all weights of a group are 0.
pub fn by_weights(student: &CameraStudent) -> Result<Importance, PruneError> {
    let mut found = empty();
    student.each_unit(&mut |group, unit| {
        let filters = unit.filters().val();
        let channels = filters.dims()[0].max(1);
        let weights = values(filters);
        let sums = weights
            .chunks(weights.len() / channels)
            .map(|filter| filter.iter().map(|w| f64::from(w.abs())).sum::<f64>());
        add(found.get_mut(group), sums);
    });
    normalized(found)
}

/// Importance by what the loss says, batch for batch.
///
/// A channel could be switched off by a gate of 1 that what makes it is multiplied by. The loss changes by its derivative to that gate,
/// `sum of w * dL/dw` over the weights and the bias that make the channel, here of all convolutions whose sum it is; the importance is the
/// mean of its square over the batches (Molchanov et al. 2019, first order, with gates).
#[derive(Debug, Clone)]
pub struct Sensitivity {
    squares: Importance,
    batches: usize,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { squares: empty(), batches: 0 }
    }
}

impl Sensitivity {
    /// Takes in the gradients of a batch's loss, those of a student whose BatchNorm is folded.
    pub fn add(&mut self, student: &CameraStudent, gradients: &GradientsParams) {
        let mut gates: ByGroup<Vec<f64>> = empty();
        student.each_unit(&mut |group, unit| {
            let filters = unit.filters();
            let channels = filters.dims()[0];
            let gates = gates.get_mut(group);
            // The box tower of a stride at which no cell learns a box has no gradient: its gates change nothing.
            add(gates, std::iter::repeat_n(0.0, channels));
            if let Some(gradient) = gradients.get::<4>(filters.id) {
                add(gates, products(channels, &values(filters.val()), &values(gradient)));
            }
            if let Some(bias) = unit.bias()
                && let Some(gradient) = gradients.get::<1>(bias.id)
            {
                add(gates, products(channels, &values(bias.val()), &values(gradient)));
            }
        });
        for group in Group::ALL {
            add(self.squares.get_mut(group), gates.get(group).iter().map(|gate| gate * gate));
        }
        self.batches += 1;
    }

    /// The importance over all batches; 0 for the channels of a group on which no batch's loss depended.
    ///
    /// # Errors
    /// When it is no number, or nothing was lost at all.
    pub fn finish(self) -> Result<Importance, PruneError> {
        let batches = self.batches.max(1) as f64;
        let mean = |group: Group| self.squares.get(group).iter().map(|sum| sum / batches).collect();
        // Whatever is lost, is lost by way of the stem.
        checked(ByGroup::from_fn(mean), |group, sum| sum > 0.0 || group != Group::Stem)
    }
}

fn empty() -> ByGroup<Vec<f64>> {
    ByGroup::from_fn(|_| Vec::new())
}

/// For each channel the sum of weights times gradients.
fn products(channels: usize, weights: &[f32], gradients: &[f32]) -> Vec<f64> {
    let each = (weights.len() / channels.max(1)).max(1);
    let sum = |(weights, gradients): (&[f32], &[f32])| -> f64 {
        weights.iter().zip(gradients).map(|(weight, gradient)| f64::from(*weight) * f64::from(*gradient)).sum()
    };
    weights.chunks(each).zip(gradients.chunks(each)).map(sum).collect()
}

/// Adds to each channel's sum.
fn add(sums: &mut Vec<f64>, more: impl IntoIterator<Item = f64>) {
    for (channel, more) in more.into_iter().enumerate() {
        match sums.get_mut(channel) {
            Some(sum) => *sum += more,
            None => sums.push(more),
        }
    }
}

/// Each group divided by its norm.
fn normalized(importance: Importance) -> Result<Importance, PruneError> {
    let importance = checked(importance, |_, sum| sum > 0.0)?;
    let divided = |group: Group| {
        let found = importance.get(group);
        let norm = found.iter().map(|value| value * value).sum::<f64>().sqrt();
        found.iter().map(|value| value / norm).collect()
    };
    Ok(ByGroup::from_fn(divided))
}

/// Importance whose sum is a number in every group, and one that will do.
fn checked(importance: Importance, will_do: impl Fn(Group, f64) -> bool) -> Result<Importance, PruneError> {
    for group in Group::ALL {
        let sum: f64 = importance.get(group).iter().sum();
        if !(sum.is_finite() && will_do(group, sum)) {
            return Err(PruneError::Importance { group });
        }
    }
    Ok(importance)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("the data was just converted to f32")
}

#[cfg(test)]
mod tests {
    use burn::{
        module::{Module, ModuleMapper, Param},
        tensor::{Device, TensorData},
    };

    use super::*;
    use crate::distill::student::{Channels, Convolution, Size, StudentConfig};

    fn student(convolution: Convolution) -> CameraStudent {
        let config = StudentConfig { convolution, ..StudentConfig::new(Size::Base, vec!["a".into()], 64, 64) };
        CameraStudent::new(&config, 7, &Device::flex()).unwrap().valid()
    }

    /// Sets one channel of the parameters of so many dimensions and channels to 0.
    struct Silence {
        dimensions: usize,
        channels: usize,
        channel: usize,
    }

    impl ModuleMapper for Silence {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.dims();
            if D != self.dimensions || shape[0] != self.channels {
                return param;
            }
            let each = shape.iter().skip(1).product::<usize>();
            param.map(|tensor| {
                let device = tensor.device();
                let mut numbers = values(tensor);
                numbers[self.channel * each..(self.channel + 1) * each].fill(0.0);
                Tensor::from_data(TensorData::new(numbers, shape), &device)
            })
        }
    }

    #[test]
    fn every_channel_has_an_importance_and_groups_are_of_one_norm() {
        for convolution in [Convolution::Plain, Convolution::Depthwise] {
            let student = student(convolution);
            for importance in [by_scale(&student).unwrap(), by_weights(&student).unwrap()] {
                for group in Group::ALL {
                    let found = importance.get(group);
                    assert_eq!(found.len(), *Channels::of(Size::Base).get(group), "{group}");
                    let norm: f64 = found.iter().map(|value| value * value).sum();
                    assert!((norm - 1.0).abs() < 1e-6 && found.iter().all(|value| *value > 0.0), "{group}: {norm}");
                }
            }
        }
    }

    #[test]
    fn what_makes_nothing_matters_nothing() {
        // Only the last stage of this size has 144 channels, made by its strided convolution and a residual unit.
        let last = Group::Stage(3);
        let least = |importance: &Importance| {
            let found = importance.get(last);
            found.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(channel, value)| (channel, *value))
        };
        let silent =
            |dimensions| student(Convolution::Plain).map(&mut Silence { dimensions, channels: 144, channel: 5 });
        assert_eq!(least(&by_weights(&silent(4)).unwrap()), Some((5, 0.0)));
        assert_eq!(least(&by_scale(&silent(1)).unwrap()), Some((5, 0.0)));
    }

    #[test]
    fn a_folded_student_has_no_scales() {
        let error = by_scale(&student(Convolution::Plain).fold()).unwrap_err().to_string();
        assert!(error.contains("stem") && error.contains("--by taylor"), "{error}");
    }

    #[test]
    fn sensitivity_is_the_square_of_the_derivative_to_a_gate() {
        // The loss is the sum of the class logits at stride 8. A gate on a channel of the class tower scales its bias and weights.
        let folded = student(Convolution::Plain).fold();
        let device = Device::flex().autodiff();
        let images = |device: &Device| Tensor::<4>::ones([1, 3, 64, 64], device) * 0.5;
        let learner = folded.clone().train();
        let loss = learner.forward(images(&device)).class_logits[0].clone().sum();
        let mut found = Sensitivity::default();
        found.add(&learner, &GradientsParams::from_grads(loss.backward(), &learner));
        let gates = found.squares.class_towers[0].clone();

        let loss_of = |student: &CameraStudent| -> f64 {
            f64::from(student.forward(images(&Device::flex())).class_logits[0].clone().sum().into_scalar::<f32>())
        };
        let (before, mut checked) = (loss_of(&folded), 0);
        for (channel, gate) in gates.iter().enumerate().take(8) {
            // Behind ReLU the loss is linear in the gate, so that the whole step is its derivative.
            let cut = folded.clone().map(&mut SilenceTower { seen: 0, channel });
            let step = before - loss_of(&cut);
            assert!((step * step - gate).abs() <= 1e-2 * gate.max(1e-2), "{channel}: {step} and {gate}");
            checked += usize::from(step.abs() > 1e-4);
        }
        assert!(checked > 0);

        // No box is in that loss, and class logits of one stride alone.
        let importance = found.finish().unwrap();
        assert_eq!((&importance.box_towers[0], &importance.class_towers[2]), (&vec![0.0; 64], &vec![0.0; 64]));
        let error = Sensitivity::default().finish().unwrap_err().to_string();
        assert!(error.contains("stem") && error.contains("--by"), "{error}");
    }

    /// Sets a channel of the class tower at stride 8 to 0: the first convolution from the neck to as many channels, 64, with a kernel
    /// of 3x3 behind the two that smooth it.
    struct SilenceTower {
        seen: usize,
        channel: usize,
    }

    impl ModuleMapper for SilenceTower {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.dims();
            let is_tower = D == 4 && shape.iter().copied().eq([64, 64, 3, 3]);
            self.seen += usize::from(is_tower);
            // Two smoothing convolutions come before; the bias follows its weights.
            let is_bias = D == 1 && self.seen == 3 && shape[0] == 64;
            if !((is_tower && self.seen == 3) || is_bias) {
                return param;
            }
            let silence = &mut Silence { dimensions: D, channels: 64, channel: self.channel };
            silence.map_float(param)
        }
    }
}
