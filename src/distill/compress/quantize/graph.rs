//! A graph's wiring, the layers that compute with weights, and the small changes that make every runtime's int8 kernels take it.

use std::collections::{BTreeMap, HashMap, HashSet};

use onnx_ir::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::tensor::{floats, int64_tensor, shape};
use crate::distill::export::integer;

/// Who makes and who reads each tensor of a graph.
#[derive(Debug)]
pub(super) struct Wiring {
    /// The place of the node that makes a tensor.
    pub producer: HashMap<String, usize>,
    /// The places of the nodes that read it, as often as they do.
    pub readers: HashMap<String, Vec<usize>>,
    /// The graph's outputs.
    pub outputs: HashSet<String>,
}

impl Wiring {
    /// Looks through a graph.
    pub fn of(graph: &GraphProto) -> Self {
        let mut producer = HashMap::new();
        let mut readers: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, node) in graph.node.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                producer.insert(name.clone(), place);
            }
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(name.clone()).or_default().push(place);
            }
        }
        Self { producer, readers, outputs: graph.output.iter().map(|output| output.name.clone()).collect() }
    }

    /// The nodes that read a tensor.
    pub fn readers_of(&self, tensor: &str) -> &[usize] {
        self.readers.get(tensor).map(Vec::as_slice).unwrap_or_default()
    }

    /// The tensor that holds a node's result for those that come after: its output, or that of a ReLU which alone reads it. A
    /// runtime computes the two at once, and a quantiser that rounds in between only loses.
    pub fn stored(&self, graph: &GraphProto, output: &str) -> String {
        if let [only] = self.readers_of(output)
            && !self.outputs.contains(output)
            && graph.node[*only].op_type == "Relu"
            && let Some(after) = graph.node[*only].output.first()
        {
            return after.clone();
        }
        output.to_owned()
    }
}

/// A node with weights: convolution or matrix product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// What people call it: its weights' name without `.weight`, such as `stages.1.reduce.conv`.
    pub name: String,
    /// Its place among the graph's nodes.
    pub node: usize,
    /// The tensor that comes in.
    pub input: String,
    /// The tensor that it makes.
    pub output: String,
    /// Its weights, an initialiser.
    pub weight: String,
    /// Its bias, an initialiser.
    pub bias: Option<String>,
    /// The axis of the weights that counts its output channels.
    pub axis: usize,
    /// Multiplications by one weight are within a group of channels; 1 for all that is not a grouped convolution.
    pub groups: i64,
}

/// The layers of a graph in its order, as far as they can be quantised: with constant weights, and a bias that is constant or none.
pub(super) fn layers(graph: &GraphProto) -> Vec<Layer> {
    let constants = constants(graph);
    let mut found: Vec<Layer> = Vec::new();
    for (place, node) in graph.node.iter().enumerate() {
        let (Some(weight), Some(input), Some(output)) = (node.input.get(1), node.input.first(), node.output.first())
        else {
            continue;
        };
        let Some(dims) = constants.get(weight.as_str()).filter(|tensor| floats(tensor).is_some()).map(|t| shape(t))
        else {
            continue;
        };
        if constants.contains_key(input.as_str()) {
            continue;
        }
        let axis = match node.op_type.as_str() {
            "Conv" => 0,
            "Gemm" if dims.len() == 2 && is_plain_product(node) => usize::from(integer(node, "transB", 0) == 0),
            "MatMul" if dims.len() == 2 => 1,
            _ => continue,
        };
        let bias = node.input.get(2).filter(|name| !name.is_empty()).cloned();
        if let Some(bias) = &bias {
            let values = constants.get(bias.as_str()).and_then(|tensor| floats(tensor));
            if values.is_none_or(|values| Some(&values.len()) != dims.get(axis)) {
                continue;
            }
        }
        let plain = weight.strip_suffix(".weight").unwrap_or(weight).to_owned();
        let name = if found.iter().any(|layer| layer.name == plain) { format!("{plain}#{place}") } else { plain };
        found.push(Layer {
            name,
            node: place,
            input: input.clone(),
            output: output.clone(),
            weight: weight.clone(),
            bias,
            axis,
            groups: if node.op_type == "Conv" { integer(node, "group", 1) } else { 1 },
        });
    }
    found
}

/// Whether a Gemm is a matrix product and nothing more.
fn is_plain_product(node: &NodeProto) -> bool {
    let factor =
        |name: &str| node.attribute.iter().find(|attribute| attribute.name == name).map_or(1.0, |found| found.f);
    integer(node, "transA", 0) == 0 && factor("alpha") == 1.0 && factor("beta") == 1.0
}

/// The initialisers by name.
pub(super) fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
}

/// Puts a tensor in the place of the initialiser of its name, or adds it.
pub(super) fn set_constant(graph: &mut GraphProto, tensor: TensorProto) {
    match graph.initializer.iter_mut().find(|known| known.name == tensor.name) {
        Some(known) => *known = tensor,
        None => graph.initializer.push(tensor),
    }
}

/// Drops initialisers that nobody reads, and what was said of the shapes of tensors that are not there any more.
pub(super) fn drop_unused(graph: &mut GraphProto) {
    let read: HashSet<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    graph.initializer.retain(|tensor| read.contains(&tensor.name) || outputs.contains(&tensor.name));
    graph.value_info.clear();
}

/// Whether a node resizes on some axes only, which ONNX Runtime mistakes once its int8 convolutions want the channels last: it puts
/// the sizes of two axes in the order of four, and then refuses the network.
pub(super) fn resizes_by_axes(node: &NodeProto) -> bool {
    node.op_type == "Resize" && node.attribute.iter().any(|attribute| attribute.name == "axes")
}

/// Says the sizes of all axes where a Resize says those of some, out of the `shapes` that tensors have when the network runs. What
/// it computes stays the same.
pub(super) fn spell_out_sizes(model: &mut ModelProto, shapes: &BTreeMap<String, Vec<usize>>) {
    let Some(graph) = model.graph.as_mut() else { return };
    let mut sizes = Vec::new();
    for node in graph.node.iter_mut().filter(|node| resizes_by_axes(node)) {
        let by_sizes = node.input.get(3).is_some_and(|name| !name.is_empty());
        let Some(whole) = node.output.first().and_then(|name| shapes.get(name)).filter(|_| by_sizes) else { continue };
        let name = format!("{}/sizes", node.output[0]);
        let whole: Vec<i64> = whole.iter().map(|&size| size as i64).collect();
        sizes.push(int64_tensor(&name, &[whole.len()], &whole));
        node.input[3] = name;
        node.attribute.retain(|attribute| attribute.name != "axes");
    }
    for tensor in sizes {
        set_constant(graph, tensor);
    }
    drop_unused(graph);
}

#[cfg(test)]
pub(super) mod tests {
    use onnx_ir::{AttributeProto, AttributeType, TensorShapeProto, TypeProto, ValueInfoProto};

    use super::*;
    use crate::distill::compress::quantize::tensor::{FLOAT, float_tensor};

    /// A node with integer settings.
    pub fn node(op: &str, inputs: &[&str], output: &str, settings: &[(&str, &[i64])]) -> NodeProto {
        let attribute = |&(name, values): &(&str, &[i64])| AttributeProto {
            name: name.to_owned(),
            type_: AttributeType::INTS.into(),
            ints: values.to_vec(),
            ..AttributeProto::default()
        };
        NodeProto {
            name: format!("make_{output}"),
            op_type: op.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: settings.iter().map(attribute).collect(),
            ..NodeProto::default()
        }
    }

    /// A graph's input or output of floats.
    pub fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
        let mut shape = TensorShapeProto::default();
        for &size in sizes {
            shape.dim.push(Default::default());
            shape.dim.last_mut().unwrap().set_dim_value(size);
        }
        let mut kind = TypeProto::default();
        let tensor = kind.mut_tensor_type();
        tensor.elem_type = FLOAT;
        tensor.shape = Some(shape).into();
        ValueInfoProto { name: name.to_owned(), type_: Some(kind).into(), ..ValueInfoProto::default() }
    }

    /// A model of a graph that ONNX Runtime takes.
    pub fn model_of(graph: GraphProto) -> ModelProto {
        let mut model = ModelProto { ir_version: 8, graph: Some(graph).into(), ..ModelProto::default() };
        model.opset_import.push(Default::default());
        model.opset_import[0].version = 18;
        model
    }

    /// Numbers that look random, in -1..1.
    pub fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// `image` [1, 2, 8, 8] -> a: 4 channels, ReLU -> b: 4 channels, added to a, ReLU -> made twice as large -> c: 3 channels, `out`
    /// [1, 3, 16, 16].
    pub fn small_graph() -> GraphProto {
        let three = [("pads", &[1_i64, 1, 1, 1][..])];
        let mut resize = node("Resize", &[], "", &[("axes", &[2, 3])]).attribute;
        for (name, word) in
            [("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")]
        {
            let (name, s) = (name.to_owned(), word.as_bytes().to_vec().into());
            resize.push(AttributeProto { name, s, type_: AttributeType::STRING.into(), ..AttributeProto::default() });
        }
        let weights =
            |name: &str, shape: &[usize], seed| float_tensor(name, shape, &noise(shape.iter().product(), seed));
        GraphProto {
            name: "small".to_owned(),
            node: vec![
                node("Conv", &["image", "a.weight", "a.bias"], "a_raw", &three),
                node("Relu", &["a_raw"], "a_out", &[]),
                node("Conv", &["a_out", "b.weight", "b.bias"], "b_raw", &three),
                node("Add", &["b_raw", "a_out"], "sum", &[]),
                node("Relu", &["sum"], "sum_out", &[]),
                NodeProto { attribute: resize, ..node("Resize", &["sum_out", "", "", "two_sizes"], "large", &[]) },
                node("Conv", &["large", "c.weight", "c.bias"], "out", &[]),
            ],
            initializer: vec![
                weights("a.weight", &[4, 2, 3, 3], 1),
                weights("a.bias", &[4], 2),
                weights("b.weight", &[4, 4, 3, 3], 3),
                weights("b.bias", &[4], 4),
                weights("c.weight", &[3, 4, 1, 1], 5),
                weights("c.bias", &[3], 6),
                int64_tensor("two_sizes", &[2], &[16, 16]),
            ],
            input: vec![value("image", &[1, 2, 8, 8])],
            output: vec![value("out", &[1, 3, 16, 16])],
            ..GraphProto::default()
        }
    }

    #[test]
    fn layers_are_named_by_their_weights() {
        let graph = small_graph();
        let found = layers(&graph);
        assert_eq!(found.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((found[2].node, found[2].input.as_str(), found[2].bias.as_deref()), (6, "large", Some("c.bias")));
        let mut wrong = graph.clone();
        set_constant(&mut wrong, float_tensor("b.bias", &[3], &[0.0; 3]));
        assert_eq!(layers(&wrong).len(), 2, "a bias of another length is none that can be quantised");
    }

    #[test]
    fn a_relu_that_alone_reads_a_tensor_holds_it() {
        let graph = small_graph();
        let wiring = Wiring::of(&graph);
        assert_eq!(wiring.stored(&graph, "a_raw"), "a_out");
        assert_eq!(wiring.stored(&graph, "b_raw"), "b_raw");
        assert_eq!(wiring.stored(&graph, "sum"), "sum_out");
        assert_eq!(wiring.stored(&graph, "out"), "out");
        assert_eq!(wiring.readers_of("a_out"), [2, 3]);
    }

    #[test]
    fn sizes_of_some_axes_become_those_of_all() {
        let mut model = model_of(small_graph());
        let shapes = BTreeMap::from([("large".to_owned(), vec![1, 4, 16, 16])]);
        spell_out_sizes(&mut model, &shapes);
        let resize = &model.graph.node[5];
        assert!(!resizes_by_axes(resize));
        let sizes = constants(&model.graph)[resize.input[3].as_str()].clone();
        assert_eq!(sizes, int64_tensor("large/sizes", &[4], &[1, 4, 16, 16]));
        assert!(!constants(&model.graph).contains_key("two_sizes"), "nobody reads it any more");
    }
}
