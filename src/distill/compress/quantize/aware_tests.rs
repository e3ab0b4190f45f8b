//! A student that is trained as int8 hardware computes, next to what ONNX Runtime makes of its graph in QDQ form.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onnx_ir::ModelProto;

use super::{
    Range, RangeMethod, WeightRange,
    graph::tests::noise,
    network::{Measured, Network},
    plan::Plan,
    qdq::write_qdq,
    search::spell_out,
};
use crate::{
    distill::{
        export::student_graph,
        student::{CameraStudent, Convolution, Rounding, Size, StudentConfig, StudentOutput},
    },
    model::has_runtime,
};

fn flat(output: &StudentOutput) -> Vec<f32> {
    let maps = output.class_logits.iter().chain(&output.box_distributions);
    maps.flat_map(|map| map.clone().try_into_vec_as::<f32>().unwrap()).collect()
}

fn distance(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| f64::from(one - other).powi(2)).sum()
}

#[test]
fn training_rounds_where_and_as_the_graph_does() {
    if !has_runtime() {
        return;
    }
    let device = Device::flex();
    let (micro, small) = ((Size::Micro, Convolution::Plain), (Size::Small, Convolution::Depthwise));
    // `WeightRange::Full` is right on some CPUs alone.
    let forms = [(micro, WeightRange::Clear), (small, WeightRange::Clear), (micro, WeightRange::Unsigned)];
    for ((size, convolution), weights) in forms {
        let config = StudentConfig { convolution, ..StudentConfig::new(size, vec!["a".into()], 96, 64) };
        let student = CameraStudent::new(&config, 3, &device).unwrap().valid().fold();
        let frames: Vec<Vec<f32>> = (0..4).map(|seed| noise(3 * 64 * 96, 40 + seed)).collect();
        let images =
            |values: &Vec<f32>| Tensor::<4>::from_data(TensorData::new(values.clone(), [1, 3, 64, 96]), &device);
        let batches: Vec<Tensor<4>> = frames.iter().map(images).collect();
        // Searches might end elsewhere on values that differ in their last bits.
        let methods = [RangeMethod::MinMax];
        let rounding = Rounding::calibrate_by(&student, &batches, weights, 8, &methods);

        let mut model = student_graph(&student, 96, 64).unwrap();
        let measured = Measured { path: Path::new("student.onnx"), calibration: &frames, validation: &frames };
        spell_out(&mut model, measured).unwrap();
        let plan = Plan::new(&model.graph, &BTreeSet::new());
        assert_eq!(rounding.places(), plan.roots().len());
        let seen = measured.observe(&model, &plan.rounded()).unwrap();
        let ranges: BTreeMap<String, Range> =
            seen.iter().map(|(name, seen)| (name.clone(), methods[0].range(seen))).collect();
        let quantized = write_qdq(&model, &plan, &ranges, weights);

        let outputs: Vec<String> = model.graph.output.iter().map(|output| output.name.clone()).collect();
        let run = |model: &ModelProto, frame: &[f32]| {
            let mut values = Vec::new();
            let mut network = Network::load(measured.path, model, &[]).unwrap();
            let take = &mut |_: usize, _: &[usize], given: &[f32]| values.extend_from_slice(given);
            network.run(frame, &outputs, take).unwrap();
            values
        };
        // What is left are values that lie on the border between two steps. One that falls to the other side there, where integers and
        // floats differ in the last bit, shifts all that follow; that befalls some frames and not all.
        let left = frames.iter().zip(&batches).map(|(frame, batch)| {
            let (float, int8) = (run(&model, frame), run(&quantized, frame));
            let (rounded, _) = student.forward_rounded(batch.clone(), &[], Some(&rounding));
            distance(&flat(&rounded), &int8) / distance(&float, &int8)
        });
        let least = left.fold(f64::INFINITY, f64::min);
        assert!(least < 0.1, "{size:?}, {weights}: {least} of what rounding costs");
    }
}
