//! Comparison of losses with reference values, for the tests of this folder.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

/// Written by scripts/reference/distillation.py.
const REFERENCE: &str = include_str!("../../../tests/fixtures/distillation.json");

/// A loss with what went in and what came out.
#[derive(Deserialize)]
pub(super) struct Case {
    inputs: HashMap<String, Values>,
    settings: HashMap<String, f32>,
    /// Image and edges.
    pub boxes: Vec<(usize, [f32; 4])>,
    pub loss: Vec<f32>,
    gradients: HashMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Case {
    /// A tensor that went in, if it is there.
    pub fn input<const D: usize>(&self, name: &str) -> Option<Tensor<D>> {
        let Values { shape, values } = self.inputs.get(name)?;
        Some(tensor(values, shape.clone().try_into().unwrap()))
    }

    /// A number that went in.
    pub fn setting(&self, name: &str) -> f32 {
        self.settings[name]
    }

    /// The true gradient to an input.
    pub fn gradient(&self, name: &str) -> &[f32] {
        &self.gradients[name]
    }
}

/// The cases of a function.
pub(super) fn cases(function: &str) -> Vec<Case> {
    let mut all: HashMap<String, Vec<Case>> = serde_json::from_str(REFERENCE).unwrap();
    all.remove(function).unwrap()
}

/// Where the tests compute.
pub(in crate::distill) fn device() -> Device {
    Device::flex().autodiff()
}

pub(in crate::distill) fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

/// Values that differ from each other, between -2 and 2.
pub(in crate::distill) fn waves<const D: usize>(shape: [usize; D], phase: f32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|index| 2.0 * (phase + 1.7 * index as f32).sin()).collect();
    tensor(&values, shape)
}

pub(in crate::distill) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// Equal within 1e-5, relative where the values are above 1.
pub(in crate::distill) fn assert_close<const D: usize>(name: &str, found: Tensor<D>, expected: &[f32]) {
    let found = values(found);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let limit = 1e-5 * expected.abs().max(1.0);
        assert!((found - expected).abs() <= limit, "{name} {index}: {found} is not {expected}");
    }
}

/// Losses and the gradient of their sum agree with the reference.
pub(in crate::distill) fn check<const I: usize, const D: usize>(
    name: &str,
    input: &Tensor<I>,
    loss: Tensor<D>,
    expected: &[f32],
    gradient: &[f32],
) {
    let gradients = loss.clone().sum().backward();
    assert_close(&format!("{name}: loss"), loss, expected);
    assert_close(&format!("{name}: gradient"), input.grad(&gradients).unwrap(), gradient);
}

/// A loss of student and teacher agrees with the reference in all cases of a function.
pub(super) fn check_cases<const D: usize>(function: &str, loss: impl Fn(&Case, Tensor<D>, Tensor<D>) -> Tensor<1>) {
    for (index, case) in cases(function).iter().enumerate() {
        let student = case.input::<D>("student").unwrap().require_grad();
        let value = loss(case, student.clone(), case.input("teacher").unwrap());
        check(&format!("{function} {index}"), &student, value, &case.loss, case.gradient("student"));
    }
}

/// Losses and the gradient of their sum are finite numbers.
pub(in crate::distill) fn assert_finite<const I: usize, const D: usize>(
    name: &str,
    input: &Tensor<I>,
    loss: Tensor<D>,
) {
    let gradients = loss.clone().sum().backward();
    for (what, values) in [("loss", values(loss)), ("gradient", values(input.grad(&gradients).unwrap()))] {
        assert!(values.iter().all(|value| value.is_finite()), "{name}: {what}: {values:?}");
    }
}

/// What holds for every loss of student and teacher: equal ones cost nothing, different ones something, the teacher learns
/// nothing, and zeros on either side or both give finite losses and gradients.
pub(super) fn check_properties<const D: usize>(
    name: &str,
    shape: [usize; D],
    loss: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<1>,
) {
    let student = waves(shape, 0.0).require_grad();
    let equal = loss(student.clone(), waves(shape, 0.0));
    assert_eq!(equal.dims(), [1], "{name}");
    let gradients = equal.backward();
    for value in [values(equal), values(student.grad(&gradients).unwrap())].concat() {
        assert!(value.abs() < 1e-5, "{name}: equal ones give {value}");
    }

    let teacher = waves(shape, 1.0).require_grad();
    let different = loss(student.clone(), teacher.clone());
    let gradients = different.backward();
    assert!(values(different)[0] > 1e-7, "{name}: different ones cost nothing");
    assert!(values(student.grad(&gradients).unwrap()).iter().any(|value| value.abs() > 1e-6), "{name}: no gradient");
    assert!(teacher.grad(&gradients).is_none(), "{name}: the teacher learns");

    let zeros = || Tensor::<D>::zeros(shape, &device());
    let student = zeros().require_grad();
    assert_finite(&format!("{name} of zeros"), &student, loss(student.clone(), zeros()));
    assert_finite(&format!("{name} of a zero student"), &student, loss(student.clone(), waves(shape, 0.0)));
    let student = waves(shape, 0.0).require_grad();
    assert_finite(&format!("{name} of a zero teacher"), &student, loss(student.clone(), zeros()));
}
