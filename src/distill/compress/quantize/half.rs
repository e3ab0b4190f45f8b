//! A graph in float16, for GPUs and other processors that compute in it.

use std::collections::{HashMap, HashSet};

use burn::tensor::f16;
use onnx_ir::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorProto};

use super::{
    QuantizeError,
    graph::drop_unused,
    tensor::{FLOAT, FLOAT16, floats, raw, shape},
};

/// The network with all constants in float16 and computing in it. What goes in and what comes out stays float32, by a Cast at each
/// input and output, so that it is run as the float32 network is. Half the size; a CPU computes it no faster.
///
/// # Errors
/// A constant is too great for float16.
pub(super) fn to_half(model: &ModelProto) -> Result<ModelProto, QuantizeError> {
    let mut half = model.clone();
    let Some(graph) = half.graph.as_mut() else { return Ok(half) };
    let kept = kept_as_float(graph);
    for tensor in &mut graph.initializer {
        if !kept.contains(&tensor.name) {
            halve(tensor)?;
        }
    }
    let inputs: Vec<String> = graph.input.iter().map(|input| input.name.clone()).collect();
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let inside = |name: &String| format!("{name}/half");
    let renamed: HashMap<&String, String> = inputs.iter().chain(&outputs).map(|name| (name, inside(name))).collect();
    for node in &mut graph.node {
        if node.op_type == "Cast" {
            for target in node.attribute.iter_mut().filter(|target| target.name == "to" && target.i == i64::from(FLOAT))
            {
                target.i = i64::from(FLOAT16);
            }
        }
        for constant in node.attribute.iter_mut().filter_map(|attribute| attribute.t.as_mut()) {
            halve(constant)?;
        }
        for name in node.input.iter_mut().chain(&mut node.output) {
            if let Some(new) = renamed.get(&*name) {
                name.clone_from(new);
            }
        }
    }
    let mut nodes: Vec<NodeProto> = inputs.iter().map(|name| cast(name, &inside(name), FLOAT16)).collect();
    nodes.append(&mut graph.node);
    nodes.extend(outputs.iter().map(|name| cast(&inside(name), name, FLOAT)));
    graph.node = nodes;
    drop_unused(graph);
    Ok(half)
}

/// Constants that have to stay float32: the region and the scales of a Resize.
fn kept_as_float(graph: &GraphProto) -> HashSet<String> {
    let resizes = graph.node.iter().filter(|node| node.op_type == "Resize");
    resizes.flat_map(|node| node.input.iter().skip(1).take(2).cloned()).filter(|name| !name.is_empty()).collect()
}

/// Makes a float32 tensor one of float16; others stay.
fn halve(tensor: &mut TensorProto) -> Result<(), QuantizeError> {
    let Some(values) = floats(tensor) else { return Ok(()) };
    let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if most > f16::MAX.to_f32() {
        return Err(QuantizeError::HalfRange { tensor: tensor.name.clone(), value: most });
    }
    let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
    *tensor = raw(&tensor.name, &shape(tensor), FLOAT16, bytes);
    Ok(())
}

fn cast(from: &str, to: &str, data_type: i32) -> NodeProto {
    let target = AttributeProto {
        name: "to".to_owned(),
        type_: AttributeType::INT.into(),
        i: i64::from(data_type),
        ..AttributeProto::default()
    };
    NodeProto {
        name: format!("{to}/Cast"),
        op_type: "Cast".to_owned(),
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        attribute: vec![target],
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::{
        distill::compress::quantize::{
            graph::{
                constants, set_constant, spell_out_sizes,
                tests::{model_of, noise, small_graph},
            },
            network::{Measured, Reference},
            tensor::float_tensor,
        },
        model::has_runtime,
    };

    #[test]
    fn constants_are_halved_and_what_goes_in_and_out_is_not() {
        let model = model_of(small_graph());
        let half = to_half(&model).unwrap();
        let (before, after) = (constants(&model.graph), constants(&half.graph));
        assert_eq!((after["a.weight"].data_type, after["a.weight"].raw_data.len()), (FLOAT16, 2 * 72));
        assert_eq!(after["two_sizes"], before["two_sizes"]);
        assert_eq!((half.graph.input[0].name.as_str(), half.graph.output[0].name.as_str()), ("image", "out"));
        let (first, last) = (&half.graph.node[0], half.graph.node.last().unwrap());
        assert_eq!((first.input[0].as_str(), first.output[0].as_str()), ("image", "image/half"));
        assert_eq!((last.input[0].as_str(), last.output[0].as_str()), ("out/half", "out"));
    }

    #[test]
    fn what_float16_cannot_hold_is_told_by_name() {
        let mut graph = small_graph();
        set_constant(&mut graph, float_tensor("a.bias", &[4], &[0.0, -70_000.0, 1.0, 2.0]));
        let error = to_half(&model_of(graph)).unwrap_err().to_string();
        assert!(error.contains("a.bias") && error.contains("70000"), "{error}");
    }

    #[test]
    fn onnx_runtime_computes_nearly_what_the_floats_give() {
        if !has_runtime() {
            return;
        }
        let mut model = model_of(small_graph());
        spell_out_sizes(&mut model, &BTreeMap::from([("large".to_owned(), vec![1, 4, 16, 16])]));
        let frames = [noise(2 * 8 * 8, 5), noise(2 * 8 * 8, 6)];
        let measured = Measured { path: Path::new("small.onnx"), calibration: &frames, validation: &frames };
        let reference = Reference::new(measured, &model).unwrap();
        let loss = reference.loss(measured, &to_half(&model).unwrap()).unwrap();
        assert!(loss > 0.0 && loss < 1e-4, "{loss}");
    }
}
