//! Layer inheritance: a student that starts from every n-th layer and channel of a larger one of the same kind (DistilBERT, Sanh et
//! al. 2019, section 3, took every other layer of BERT), from chosen channels of it (pruning), or from one of the same size that knows
//! fewer classes.

use burn::{
    module::{Param, RunningState},
    nn::{BatchNorm, conv::Conv2d},
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

/// Which channels of a layer are taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Taken<'a> {
    /// As many as there is room for, evenly spread.
    EveryNth,
    /// These.
    These(&'a [usize]),
}

impl Taken<'_> {
    /// The channels, where there is room for `wanted` of `given` ones.
    ///
    /// # Errors
    /// When more are wanted than given, or the chosen ones are not as many, or not among those given.
    pub fn of(self, layer: &str, wanted: usize, given: usize) -> Result<Vec<usize>, InheritError> {
        match self {
            Self::EveryNth => every_nth(layer, wanted, given),
            Self::These(channels) if channels.len() == wanted && channels.iter().all(|&channel| channel < given) => {
                Ok(channels.to_vec())
            }
            Self::These(_) => Err(InheritError::new(layer, wanted, given)),
        }
    }
}

/// For each of some classes its place among others, by name.
pub fn class_places(classes: &[String], among: &[String]) -> Vec<Option<usize>> {
    classes.iter().map(|class| among.iter().position(|other| other == class)).collect()
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

/// A prediction whose outputs are, by `places`, those of another one, whose inputs are the channels `ins`; an output without a place
/// stays as it is in `own`.
///
/// # Errors
/// When there are not as many places as outputs, or the other one lacks a place.
pub(super) fn take_prediction(
    own: Conv2d,
    from: &Conv2d,
    places: &[Option<usize>],
    ins: &[usize],
    layer: &str,
) -> Result<Conv2d, InheritError> {
    let (wanted, given) = (own.weight.dims()[0], from.weight.dims()[0]);
    if places.len() != wanted || places.iter().flatten().any(|&place| place >= given) {
        return Err(InheritError::new(layer, wanted, given));
    }
    // The rows of both below each other, own ones first.
    let rows = |(row, place): (usize, &Option<usize>)| place.map_or(row, |place| wanted + place);
    let rows: Vec<usize> = places.iter().enumerate().map(rows).collect();
    let weights = Tensor::cat(vec![own.weight.val(), take(from.weight.val(), 1, ins)], 0);
    let bias = match (&own.bias, &from.bias) {
        (Some(own), Some(from)) => {
            let values = Tensor::cat(vec![own.val(), from.val()], 0);
            Some(Param::from_tensor(take(values, 0, &rows)))
        }
        _ => None,
    };
    Ok(Conv2d { weight: Param::from_tensor(take(weights, 0, &rows)), bias, ..own })
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
    use burn::{
        module::Module,
        tensor::{Device, TensorData},
    };

    use super::*;
    use crate::distill::student::{ByGroup, CameraStudent, Convolution, Size, StudentConfig};

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
    fn rows_of_classes_are_found_by_name() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
        assert_eq!(class_places(&names(&["c", "b", "a"]), &names(&["a", "b"])), [None, Some(1), Some(0)]);
        assert_eq!(class_places(&names(&["a"]), &[]), [None]);
    }

    #[test]
    fn classes_keep_their_rows_in_any_order_and_new_ones_get_initial_rows() {
        let device = Device::flex();
        let student = |classes: &[&str], seed| {
            let classes = classes.iter().map(ToString::to_string).collect();
            CameraStudent::new(&StudentConfig::new(Size::Micro, classes, 96, 64), seed, &device).unwrap()
        };
        let values: Vec<f32> = (0..3 * 64 * 96).map(|index| (index % 17) as f32 / 8.0 - 1.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 64, 96]), &device);
        let logits = |student: &CameraStudent, class: usize| -> Vec<f32> {
            let maps = student.forward(images.clone()).class_logits;
            maps[0].clone().narrow(1, class, 1).try_into_vec_as().unwrap()
        };
        let earlier = student(&["a", "b"], 1);
        let places = [None, Some(1), Some(0)];
        let heir = |seed| student(&["c", "b", "a"], seed).inherit_classes(&earlier, &places).unwrap();
        let (heir, other) = (heir(2), heir(3));
        // Sums over other numbers of outputs may be rounded otherwise.
        let near = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4);
        for student in [&heir, &other] {
            assert!(near(logits(student, 1), logits(&earlier, 1)) && near(logits(student, 2), logits(&earlier, 0)));
        }
        // What is new is drawn by the seed.
        assert!(!near(logits(&other, 0), logits(&heir, 0)));
        assert!(!near(logits(&earlier, 0), logits(&earlier, 1)));
        let boxes = |student: &CameraStudent| -> Vec<f32> {
            student.forward(images.clone()).box_distributions[2].clone().try_into_vec_as().unwrap()
        };
        assert_eq!(boxes(&heir), boxes(&earlier));

        // Too few, and one that the earlier student does not have.
        for places in [&[None, Some(1)][..], &[Some(0), Some(1), Some(2)][..]] {
            let error = student(&["c", "b", "a"], 2).inherit_classes(&earlier, places).unwrap_err();
            assert!(error.to_string().contains("class prediction"), "{error}");
        }
    }

    #[test]
    fn chosen_channels_are_taken_and_others_refused() {
        assert_eq!(Taken::These(&[3, 0]).of("x", 2, 4).unwrap(), [3, 0]);
        assert!(Taken::These(&[3, 0]).of("x", 3, 4).is_err() && Taken::These(&[4]).of("x", 1, 4).is_err());

        // Channels that are in another order everywhere compute the same.
        let device = Device::flex();
        for (size, convolution) in [(Size::Base, Convolution::Plain), (Size::Micro, Convolution::Depthwise)] {
            let config =
                StudentConfig { convolution, ..StudentConfig::new(size, vec!["a".into(), "b".into()], 96, 64) };
            let teacher = CameraStudent::new(&config, 1, &device).unwrap();
            let fresh = || CameraStudent::new(&config, 2, &device).unwrap();
            let channels = config.group_channels();
            let mut kept = ByGroup::from_fn(|group| (0..*channels.get(group)).rev().collect::<Vec<_>>());
            let turned = fresh().inherit_channels(&teacher, &kept).unwrap();
            let values: Vec<f32> = (0..3 * 64 * 96).map(|index| (index % 17) as f32 / 8.0 - 1.0).collect();
            let images = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 64, 96]), &device);
            let outputs = |student: &CameraStudent| -> Vec<f32> {
                let output = student.forward(images.clone());
                let maps = output.class_logits.into_iter().chain(output.box_distributions);
                maps.flat_map(|map| map.try_into_vec_as::<f32>().unwrap()).collect()
            };
            let far = outputs(&turned).iter().zip(outputs(&teacher)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-3, "{far}");
            // Half of the class tower at stride 16 alone: the boxes stay, and the classes of other strides.
            kept.class_towers[1].truncate(channels.class_towers[1] / 2);
            let counts = ByGroup::from_fn(|group| kept.get(group).len());
            let config = StudentConfig { channels: Some(counts), ..config.clone() };
            let cut = CameraStudent::new(&config, 3, &device).unwrap().inherit_channels(&teacher, &kept).unwrap();
            assert!(cut.num_params() < teacher.num_params());
            let of = |student: &CameraStudent| student.forward(images.clone());
            let near = |a: Tensor<4>, b: Tensor<4>| (a - b).abs().max().into_scalar::<f32>() < 1e-3;
            let (cut, whole) = (of(&cut), of(&teacher));
            assert!(near(cut.box_distributions[1].clone(), whole.box_distributions[1].clone()));
            assert!(near(cut.class_logits[0].clone(), whole.class_logits[0].clone()));
            assert!(!near(cut.class_logits[1].clone(), whole.class_logits[1].clone()));
            assert!(fresh().inherit_channels(&teacher, &kept).is_err(), "there is room for more");
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
