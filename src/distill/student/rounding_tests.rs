//! Rounding within a student, on values whose rounding is known.

use std::collections::BTreeSet;

use burn::{module::Module, tensor::Device};

use super::*;
use crate::distill::student::{AnchorPoint, Convolution, Size, StudentConfig};

/// A folded student with initial weights.
fn student(convolution: Convolution) -> CameraStudent {
    let config = StudentConfig { convolution, ..StudentConfig::new(Size::Micro, vec!["a".into()], 96, 64) };
    CameraStudent::new(&config, 5, &Device::flex()).unwrap().valid().fold()
}

fn images() -> Tensor<4> {
    let values: Vec<f32> = (0..2 * 3 * 64 * 96).map(|place| (place % 89) as f32 / 40.0 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, [2, 3, 64, 96]), &Device::flex())
}

fn calibrated(student: &CameraStudent, bits: u32) -> Rounding {
    Rounding::calibrate_by(student, &[images()], WeightRange::Full, bits, &RangeMethod::ALL)
}

#[test]
fn what_is_stored_takes_no_more_values_than_eight_bits_tell_apart() {
    for convolution in [Convolution::Plain, Convolution::Depthwise] {
        let student = student(convolution);
        let rounding = calibrated(&student, 8);
        let anchors: Vec<AnchorPoint> = AnchorPoint::all().collect();
        let count = |map: &Tensor<4>| numbers(map).into_iter().map(f32::to_bits).collect::<BTreeSet<u32>>().len();
        let (_, float) = student.forward_rounded(images(), &anchors, None);
        let (_, rounded) = student.forward_rounded(images(), &anchors, Some(&rounding));
        assert!(count(&float[&AnchorPoint::Stage(4)]) > 300);
        for (anchor, map) in &rounded {
            assert!(count(map) <= 256, "{anchor}: {} values", count(map));
        }
    }
}

#[test]
fn without_rounding_nothing_changes() {
    let student = student(Convolution::Plain);
    let (output, _) = student.forward_rounded(images(), &[], None);
    let plain = student.forward(images());
    for (one, other) in maps(&output).zip(maps(&plain)) {
        assert_eq!(numbers(one), numbers(other));
    }
}

#[test]
fn fewer_bits_lose_more() {
    let student = student(Convolution::Plain);
    let losses: Vec<f64> = [8, 5, 3]
        .iter()
        .map(|&bits| {
            let rounding = calibrated(&student, bits);
            rounding.loss(&student, &[images()])
        })
        .collect();
    assert!(losses[0] > 0.0 && losses[0] < losses[1] && losses[1] < losses[2], "{losses:?}");
    assert!(losses[0] < 0.2 && 2.0 * losses[0] < losses[2], "{losses:?}");
}

#[test]
fn weights_are_rounded_by_channel_and_their_gradient_passes_straight_through() {
    // A step of the first channel is 1, of the second 0.1.
    let values = vec![127.0, 2.4, -3.6, 12.7, 0.26, -0.44];
    let weights = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 1, 1]), &Device::flex().autodiff());
    let weights = weights.require_grad();
    let rounding =
        Rounding { stored: Vec::new(), weights: WeightRange::Full, coarseness: 1.0, method: RangeMethod::MinMax };
    let rounded = rounding.round_weights(weights.clone());
    for (found, expected) in numbers(&rounded).into_iter().zip([127.0, 2.0, -4.0, 12.7, 0.3, -0.4]) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
    // Unsigned weights stand for the same numbers; clear ones leave room in the first channel for the next greatest weight.
    let by = |range| numbers(&Rounding { weights: range, ..rounding.clone() }.round_weights(weights.clone()));
    assert_eq!(by(WeightRange::Unsigned), numbers(&rounded));
    assert_ne!(by(WeightRange::Clear), numbers(&rounded));
    let factors: Vec<f32> = (1..=6).map(|place| place as f32).collect();
    let factor = Tensor::<4>::from_data(TensorData::new(factors.clone(), [2, 3, 1, 1]), &Device::flex().autodiff());
    let gradients = (rounded * factor).sum().backward();
    assert_eq!(numbers(&weights.grad(&gradients).unwrap()), factors);

    // Seven steps on either side are four bits.
    let coarse = Rounding { coarseness: 127.0 / 7.0, ..rounding };
    let found = numbers(&coarse.round_weights(weights.inner()));
    for (found, expected) in found.into_iter().zip([127.0, 0.0, 0.0, 12.7, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
}
