//! Layer inheritance: a student that starts from every n-th layer and channel of a larger one of the same kind (DistilBERT, Sanh et
//! al. 2019, section 3, took every other layer of BERT).

use burn::{
    module::{Param, RunningState},
    nn::BatchNorm,
    tensor::{Int, Tensor},
};

/// A student that is larger than the one that is to lend its weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {layer} of the student has {wanted}, that of the teacher it inherits from {given}: a student can inherit from one that is at least as large, of the same convolution, classes and bins"
)]
pub struct InheritError {
    layer: String,
    wanted: usize,
    given: usize,
}

impl InheritError {
    pub(super) fn new(layer: &str, wanted: usize, given: usize) -> Self {
        Self { layer: layer.to_owned(), wanted, given }
    }
}

/// Which of `given` channels or layers `wanted` ones are taken from: every n-th, evenly spread.
///
/// # Errors
/// When more are wanted than given.
pub(super) fn every_nth(layer: &str, wanted: usize, given: usize) -> Result<Vec<usize>, InheritError> {
    if wanted > given {
        return Err(InheritError::new(layer, wanted, given));
    }
    Ok((0..wanted).map(|place| place * given / wanted).collect())
}

/// Some rows (along a dimension) of a tensor.
fn take<const D: usize>(tensor: Tensor<D>, dimension: usize, indices: &[usize]) -> Tensor<D> {
    let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &tensor.device());
    tensor.select(dimension, indices)
}

/// A convolution's weights `[out, in, rows, columns]` for some outputs and inputs.
pub(super) fn take_weights(weight: &Param<Tensor<4>>, outs: &[usize], ins: &[usize]) -> Param<Tensor<4>> {
    Param::from_tensor(take(take(weight.val(), 0, outs), 1, ins))
}

/// Values per channel, for some channels.
pub(super) fn take_channels(values: &Param<Tensor<1>>, channels: &[usize]) -> Param<Tensor<1>> {
    Param::from_tensor(take(values.val(), 0, channels))
}

/// A BatchNorm for some channels, running statistics included.
pub(super) fn take_norm(norm: &BatchNorm, channels: &[usize]) -> BatchNorm {
    let running = |state: &RunningState<Tensor<1>>| RunningState::new(take(state.value_sync(), 0, channels));
    BatchNorm {
        gamma: take_channels(&norm.gamma, channels),
        beta: take_channels(&norm.beta, channels),
        running_mean: running(&norm.running_mean),
        running_var: running(&norm.running_var),
        ..norm.clone()
    }
}

#[cfg(test)]
mod tests {
    use burn::{module::Module, tensor::Device};

    use super::*;
    use crate::distill::student::{CameraStudent, Convolution, Size, StudentConfig};

    #[test]
    fn channels_are_spread_evenly() {
        assert_eq!(every_nth("x", 3, 6).unwrap(), [0, 2, 4]);
        assert_eq!(every_nth("x", 2, 5).unwrap(), [0, 2]);
        assert_eq!(every_nth("x", 4, 4).unwrap(), [0, 1, 2, 3]);
        assert!(every_nth("x", 5, 4).is_err());
    }

    #[test]
    fn a_student_of_the_same_size_inherits_everything() {
        let device = Device::flex();
        for convolution in [Convolution::Plain, Convolution::Depthwise] {
            let config =
                StudentConfig { convolution, ..StudentConfig::new(Size::Micro, vec!["a".into(), "b".into()], 96, 64) };
            let teacher = CameraStudent::new(&config, 1, &device).unwrap();
            let heir = CameraStudent::new(&config, 2, &device).unwrap().inherit(&teacher).unwrap();
            let images = Tensor::<4>::ones([1, 3, 64, 96], &device);
            let output = |student: &CameraStudent| -> Vec<f32> {
                student.forward(images.clone()).class_logits[0].clone().try_into_vec_as().unwrap()
            };
            assert_eq!(output(&heir), output(&teacher));
        }
    }

    #[test]
    fn a_smaller_student_inherits_and_a_larger_one_is_refused() {
        let device = Device::flex();
        let config = |size| StudentConfig::new(size, vec!["a".into()], 96, 64);
        let student = |size, seed| CameraStudent::new(&config(size), seed, &device).unwrap();
        let fresh = student(Size::Micro, 2);
        let heir = fresh.clone().inherit(&student(Size::Base, 1)).unwrap();
        assert_eq!(heir.num_params(), fresh.num_params());
        assert_eq!(heir.forward(Tensor::ones([1, 3, 64, 96], &device)).class_logits[2].dims(), [1, 1, 2, 3]);
        let error = student(Size::Base, 2).inherit(&student(Size::Micro, 1)).unwrap_err();
        assert!(error.to_string().contains("at least as large"), "{error}");
    }
}
