//! A graph in QDQ form: floats, with pairs of QuantizeLinear and DequantizeLinear that tell a runtime what may be computed in int8.
//!
//! Any runtime computes such a graph right; those that know the form compute convolutions, additions and what lies between in int8.
//! ONNX Runtime's CPU kernels want uint8 activations, int8 weights with a scale for each output channel (or uint8 ones, whose zero point
//! has to be the same in all channels), and int32 biases whose scale is that of the input times that of the weights.
//!
//! A rounded tensor keeps its name: what its node makes is called `name/float`, the eight bits `name/quantized`. So outputs, and the
//! anchor points that further students learn from, are found where they were.

use std::collections::{BTreeMap, HashMap, HashSet};

use onnx_ir::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorProto};

use super::{
    graph::{Layer, constants, drop_unused, set_constant},
    plan::Plan,
    range::Range,
    scale::{Affine, WeightRange, fit_bias, quantize_bias, quantize_weights, unsigned_weights, weight_scales},
    tensor::{float_tensor, floats, int8_tensor, int32_tensor, shape, uint8_tensor},
};

/// Writes a plan into a graph, with the range of each of its roots; a tensor without a range is taken for 0.
pub(super) fn write_qdq(
    model: &ModelProto,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    weights: WeightRange,
) -> ModelProto {
    let mut quantized = model.clone();
    let Some(graph) = quantized.graph.as_mut() else { return quantized };
    let affine = |tensor: &str| {
        let root = plan.tensors.get(tensor).map_or(tensor, String::as_str);
        Affine::of(ranges.get(root).copied().unwrap_or(Range { min: 0.0, max: 0.0 }))
    };
    let mut added: Vec<TensorProto> = Vec::new();
    for root in plan.roots() {
        let Affine { scale, zero_point } = affine(&root);
        added.push(float_tensor(&scale_name(&root), &[], &[scale]));
        added.push(uint8_tensor(&zero_name(&root), &[], &[zero_point]));
    }
    let layers: HashMap<usize, &Layer> = plan.layers.iter().map(|layer| (layer.node, layer)).collect();
    let inputs: HashSet<String> = graph.input.iter().map(|input| input.name.clone()).collect();
    let old = constants(graph);
    let mut nodes = Vec::new();
    // What a graph takes in has no node whose output could be renamed; those that read it read its rounded copy instead.
    for (tensor, root) in plan.tensors.iter().filter(|(tensor, _)| inputs.contains(*tensor)) {
        nodes.extend(rounded(tensor, root, tensor, &format!("{tensor}/dequantized")));
    }
    let mut written: HashSet<String> = HashSet::new();
    for (place, node) in graph.node.iter().enumerate() {
        let mut node = node.clone();
        if let Some(layer) = layers.get(&place) {
            let constants = LayerConstants::of(layer, &old, affine(&layer.input).scale, weights);
            let (weight, bias) = (format!("{}/dequantized", layer.weight), format!("{}/bias", layer.name));
            if let Some(constants) = constants {
                if written.insert(layer.weight.clone()) {
                    let channels = constants.scales.len();
                    let (zeros, bits) = (format!("zero_points/{channels}"), quantized_name(&layer.weight));
                    nodes.push(dequantize(&layer.weight, &[&zeros], &weight, layer.axis));
                    added.push(weight_tensor(&zeros, &[channels], &vec![0; channels], weights));
                    added.push(weight_tensor(&bits, &constants.shape, &constants.weights, weights));
                    added.push(float_tensor(&scale_name(&layer.weight), &[channels], &constants.scales));
                }
                node.input[1] = weight;
                if let Some((values, steps)) = &constants.bias {
                    nodes.push(dequantize(&bias, &[], &bias, 0));
                    added.push(int32_tensor(&quantized_name(&bias), &[values.len()], values));
                    added.push(float_tensor(&scale_name(&bias), &[steps.len()], steps));
                    node.input[2] = bias;
                }
            }
        }
        for name in &mut node.input {
            if inputs.contains(name.as_str()) && plan.tensors.contains_key(name.as_str()) {
                *name = format!("{name}/dequantized");
            }
        }
        let mut after = Vec::new();
        for name in &mut node.output {
            if let Some(root) = plan.tensors.get(name.as_str()) {
                let made = format!("{name}/float");
                after.extend(rounded(name, root, &made, name));
                *name = made;
            }
        }
        nodes.push(node);
        nodes.extend(after);
    }
    graph.node = nodes;
    for tensor in added {
        set_constant(graph, tensor);
    }
    drop_unused(graph);
    quantized
}

/// The float tensor that a layer makes in a graph in QDQ form, whose name before was `tensor`.
pub(super) fn made_name(plan: &Plan, tensor: &str) -> String {
    if plan.tensors.contains_key(tensor) { format!("{tensor}/float") } else { tensor.to_owned() }
}

/// A layer's constants in integers.
struct LayerConstants {
    shape: Vec<usize>,
    weights: Vec<i8>,
    scales: Vec<f32>,
    /// With the step of each channel.
    bias: Option<(Vec<i32>, Vec<f32>)>,
}

impl LayerConstants {
    /// `None` where the constants are not there; a plan has no such layer.
    fn of(
        layer: &Layer,
        constants: &HashMap<&str, &TensorProto>,
        input_scale: f32,
        range: WeightRange,
    ) -> Option<Self> {
        let weight = constants.get(layer.weight.as_str())?;
        let (values, shape) = (floats(weight)?, shape(weight));
        let mut scales = weight_scales(&values, &shape, layer.axis, range);
        let bias = layer.bias.as_ref().and_then(|name| floats(constants.get(name.as_str())?));
        if let Some(bias) = &bias {
            fit_bias(&mut scales, bias, input_scale);
        }
        let weights = quantize_weights(&values, &shape, layer.axis, &scales);
        let bias = bias.map(|bias| quantize_bias(&bias, &scales, input_scale));
        Some(Self { shape, weights, scales, bias })
    }
}

/// int8 weights, or their zero points, in the form that they are stored in.
fn weight_tensor(name: &str, shape: &[usize], values: &[i8], range: WeightRange) -> TensorProto {
    match range {
        WeightRange::Clear | WeightRange::Full => int8_tensor(name, shape, values),
        WeightRange::Unsigned => uint8_tensor(name, shape, &unsigned_weights(values)),
    }
}

fn scale_name(tensor: &str) -> String {
    format!("{tensor}/scale")
}

fn zero_name(tensor: &str) -> String {
    format!("{tensor}/zero_point")
}

fn quantized_name(tensor: &str) -> String {
    format!("{tensor}/quantized")
}

/// The pair of nodes that rounds `from` to eight bits and gives the floats that are left as `to`.
fn rounded(tensor: &str, root: &str, from: &str, to: &str) -> [NodeProto; 2] {
    let (scale, zero, bits) = (scale_name(root), zero_name(root), quantized_name(tensor));
    [
        node("QuantizeLinear", &[from, &scale, &zero], &bits, None),
        node("DequantizeLinear", &[&bits, &scale, &zero], to, None),
    ]
}

/// The node that makes floats of an integer constant with a scale for each channel.
fn dequantize(constant: &str, zeros: &[&str], to: &str, axis: usize) -> NodeProto {
    let (bits, scale) = (quantized_name(constant), scale_name(constant));
    let inputs = [&[bits.as_str(), scale.as_str()][..], zeros].concat();
    node("DequantizeLinear", &inputs, to, Some(axis))
}

fn node(op: &str, inputs: &[&str], output: &str, axis: Option<usize>) -> NodeProto {
    let attribute = axis.map(|axis| AttributeProto {
        name: "axis".to_owned(),
        type_: AttributeType::INT.into(),
        i: axis as i64,
        ..AttributeProto::default()
    });
    NodeProto {
        name: format!("{output}/{op}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attribute.into_iter().collect(),
        ..NodeProto::default()
    }
}

/// The float parameters of a layer, for tables.
pub(super) fn parameters(graph: &GraphProto, layer: &Layer) -> usize {
    let constants = constants(graph);
    let count =
        |name: &String| constants.get(name.as_str()).map_or(0, |tensor| shape(tensor).iter().product::<usize>());
    count(&layer.weight) + layer.bias.as_ref().map_or(0, count)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        distill::compress::quantize::{
            graph::{
                spell_out_sizes,
                tests::{model_of, noise, small_graph},
            },
            network::{Measured, Reference},
            range::RangeMethod,
        },
        model::has_runtime,
    };

    fn small_model() -> ModelProto {
        let mut model = model_of(small_graph());
        spell_out_sizes(&mut model, &BTreeMap::from([("large".to_owned(), vec![1, 4, 16, 16])]));
        model
    }

    #[test]
    fn every_pair_stands_where_the_plan_wants_it_and_no_floats_are_left() {
        let model = small_model();
        let plan = Plan::new(&model.graph, &Default::default());
        let ranges = plan.roots().into_iter().map(|root| (root, Range { min: -1.0, max: 3.0 })).collect();
        let quantized = write_qdq(&model, &plan, &ranges, WeightRange::default());
        let count = |op: &str| quantized.graph.node.iter().filter(|node| node.op_type == op).count();
        // Six tensors, three weights, three biases.
        assert_eq!((count("QuantizeLinear"), count("DequantizeLinear")), (6, 12));
        let constants = constants(&quantized.graph);
        assert!(!constants.contains_key("a.weight") && !constants.contains_key("a.bias"));
        assert!(constants.contains_key("zero_points/4") && constants.contains_key("zero_points/3"));
        let resize = quantized.graph.node.iter().find(|node| node.op_type == "Resize").unwrap();
        assert_eq!((resize.input[0].as_str(), resize.output[0].as_str()), ("sum_out", "large/float"));
        // What is only moved about keeps its scale, so that eight bits are moved.
        let rounds = quantized.graph.node.iter().find(|node| node.output[0] == "large/quantized").unwrap();
        assert_eq!(rounds.input[1], "sum_out/scale");
        let (made, given) = (&quantized.graph.node.last().unwrap().output[0], &quantized.graph.output[0].name);
        assert_eq!(made, given);
    }

    #[test]
    fn unsigned_weights_are_full_ones_128_steps_up_in_the_same_graph() {
        let model = small_model();
        let plan = Plan::new(&model.graph, &Default::default());
        let ranges = plan.roots().into_iter().map(|root| (root, Range { min: -1.0, max: 3.0 })).collect();
        let [full, unsigned] =
            [WeightRange::Full, WeightRange::Unsigned].map(|weights| write_qdq(&model, &plan, &ranges, weights));
        assert_eq!(unsigned.graph.node, full.graph.node);
        let (full, unsigned) = (constants(&full.graph), constants(&unsigned.graph));
        assert_eq!(full.len(), unsigned.len());
        let is_weight = |name: &str| name.ends_with(".weight/quantized") || name.starts_with("zero_points/");
        for (&name, &tensor) in &full {
            let other = unsigned[name];
            if !is_weight(name) {
                assert_eq!(other, tensor, "{name}");
                continue;
            }
            assert_eq!(other, &uint8_tensor(name, &shape(tensor), &other.raw_data), "{name}");
            for (signed, unsigned) in tensor.raw_data.iter().zip(other.raw_data.iter()) {
                assert_eq!(i32::from(i8::from_le_bytes([*signed])) + 128, i32::from(*unsigned), "{name}");
            }
        }
        assert_eq!(unsigned["zero_points/4"].raw_data.to_vec(), [128; 4]);
        let weights = unsigned["a.weight/quantized"].raw_data.to_vec();
        assert!(weights.contains(&1) || weights.contains(&255), "all eight bits are used: {weights:?}");
    }

    #[test]
    fn onnx_runtime_computes_nearly_what_the_floats_give() {
        if !has_runtime() {
            return;
        }
        let model = small_model();
        let frames: Vec<Vec<f32>> = (0..8).map(|seed| noise(2 * 8 * 8, 100 + seed)).collect();
        let measured = Measured { path: Path::new("small.onnx"), calibration: &frames, validation: &frames };
        let reference = Reference::new(measured, &model).unwrap();
        assert_eq!(reference.loss(measured, &model).unwrap(), 0.0);
        let plan = Plan::new(&model.graph, &Default::default());
        let seen = measured.observe(&model, &plan.roots()).unwrap();
        for method in RangeMethod::ALL {
            let ranges = seen.iter().map(|(name, seen)| (name.clone(), method.range(seen))).collect();
            // Both forms that no CPU spoils.
            for weights in [WeightRange::Clear, WeightRange::Unsigned] {
                let quantized = write_qdq(&model, &plan, &ranges, weights);
                let loss = reference.loss(measured, &quantized).unwrap();
                assert!(loss > 0.0 && loss < 0.01, "{method}, {weights}: {loss}");
            }
        }
        // Ranges that are far too narrow show.
        let narrow = plan.roots().into_iter().map(|root| (root, Range { min: -0.01, max: 0.01 })).collect();
        let loss = reference.loss(measured, &write_qdq(&model, &plan, &narrow, WeightRange::default())).unwrap();
        assert!(loss > 0.1, "{loss}");
    }
}
