//! Which tensors of a graph are rounded to eight bits.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use onnx_ir::{GraphProto, NodeProto};

use super::graph::{Layer, Wiring, constants, layers, resizes_by_axes};
use crate::distill::export::text;

/// Which layers compute in int8, and which tensors therefore pass through a QuantizeLinear and a DequantizeLinear.
///
/// These are what goes into such layers and what comes out of them, behind the ReLU where there is one. Between int8 layers,
/// additions, concatenations and what only moves values about (resizing to the nearest, pooling of maxima, cuts) stay in int8 too,
/// so that a runtime need not go back to floats on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The int8 layers, in the order of the graph.
    pub layers: Vec<Layer>,
    /// Each rounded tensor, with the one whose range it shares: itself, or where its values come from unchanged.
    pub tensors: BTreeMap<String, String>,
}

impl Plan {
    /// The plan with all layers in int8 but those named in `float`.
    pub fn new(graph: &GraphProto, float: &BTreeSet<String>) -> Self {
        let wiring = Wiring::of(graph);
        let constants: HashSet<&str> = constants(graph).into_keys().collect();
        let layers: Vec<Layer> = layers(graph).into_iter().filter(|layer| !float.contains(&layer.name)).collect();
        let mut tensors = BTreeMap::new();
        for layer in &layers {
            let stored = wiring.stored(graph, &layer.output);
            tensors.insert(stored.clone(), stored);
            tensors.insert(layer.input.clone(), layer.input.clone());
        }
        for node in &graph.node {
            let Some(output) = node.output.first().filter(|_| carries(node)) else { continue };
            let moves_only = node.op_type != "Add" && node.op_type != "Concat";
            // Behind the first input of what only moves values come sizes and places.
            let count = if moves_only { 1 } else { node.input.len() };
            let inputs = &node.input[..count.min(node.input.len())];
            let is_int8 = |name: &String| {
                tensors.contains_key(name) && wiring.producer.contains_key(name) && !constants.contains(name.as_str())
            };
            if inputs.is_empty() || !inputs.iter().all(is_int8) {
                continue;
            }
            let stored = wiring.stored(graph, output);
            // The range is shared only where the values are the same ones; behind a ReLU they are not.
            let root = match inputs.first().and_then(|input| tensors.get(input)) {
                Some(root) if moves_only && stored == *output => root.clone(),
                _ => stored.clone(),
            };
            tensors.insert(stored, root);
        }
        Self { layers, tensors }
    }

    /// All rounded tensors: those whose ranges must be known for this plan and for any with fewer int8 layers.
    pub fn rounded(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// The tensors whose ranges must be known for this plan.
    pub fn roots(&self) -> Vec<String> {
        let roots: BTreeSet<&String> = self.tensors.values().collect();
        roots.into_iter().cloned().collect()
    }
}

/// Whether a node computes on int8 as it does on floats, or only moves values.
fn carries(node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Add" | "Concat" | "MaxPool" | "Slice" | "Reshape" | "Flatten" | "Transpose" => true,
        "Resize" => {
            let mode = text(node, "mode");
            (mode.is_empty() || mode == "nearest") && !resizes_by_axes(node)
        }
        _ => false,
    }
}

/// The names of layers that `wanted` stand for: `first` is the first layer, `last` are those whose results are the network's, and all
/// others are names of layers.
///
/// # Errors
/// The first name that no layer has, with those that there are.
pub(super) fn named_layers(graph: &GraphProto, wanted: &[String]) -> Result<BTreeSet<String>, (String, Vec<String>)> {
    let all = layers(graph);
    let wiring = Wiring::of(graph);
    let mut found = BTreeSet::new();
    for name in wanted {
        match name.as_str() {
            "first" => found.extend(all.first().map(|layer| layer.name.clone())),
            "last" => {
                let is_last = |layer: &&Layer| gives_out(graph, &wiring, &layer.output);
                found.extend(all.iter().filter(is_last).map(|layer| layer.name.clone()));
            }
            name if all.iter().any(|layer| layer.name == name) => {
                found.insert(name.to_owned());
            }
            _ => return Err((name.clone(), all.into_iter().map(|layer| layer.name).collect())),
        }
    }
    Ok(found)
}

/// Whether a tensor becomes an output of the graph without another layer.
fn gives_out(graph: &GraphProto, wiring: &Wiring, tensor: &str) -> bool {
    let mut open = vec![tensor.to_owned()];
    while let Some(tensor) = open.pop() {
        if wiring.outputs.contains(&tensor) {
            return true;
        }
        for &reader in wiring.readers_of(&tensor) {
            let node = &graph.node[reader];
            if node.op_type == "Relu" || (carries(node) && node.op_type != "Add") {
                open.extend(node.output.iter().cloned());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::compress::quantize::graph::{
        spell_out_sizes,
        tests::{model_of, small_graph},
    };

    /// The small graph as it is quantised: with the sizes of all axes.
    fn graph() -> GraphProto {
        let mut model = model_of(small_graph());
        spell_out_sizes(&mut model, &BTreeMap::from([("large".to_owned(), vec![1, 4, 16, 16])]));
        model.graph.unwrap()
    }

    fn plan(float: &[&str]) -> Plan {
        Plan::new(&graph(), &float.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn int8_flows_from_end_to_end() {
        let plan = plan(&[]);
        let tensors: Vec<(&str, &str)> =
            plan.tensors.iter().map(|(name, root)| (name.as_str(), root.as_str())).collect();
        let own = ["a_out", "b_raw", "image"].map(|name| (name, name));
        let expected = [&own[..], &[("large", "sum_out"), ("out", "out"), ("sum_out", "sum_out")]].concat();
        assert_eq!(tensors, expected);
        assert_eq!(plan.roots(), ["a_out", "b_raw", "image", "out", "sum_out"]);
    }

    #[test]
    fn float_layers_leave_their_own_tensors_alone() {
        let plan = plan(&["b"]);
        assert_eq!(plan.layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        // b reads what a stores, but what it makes and what is computed of that stays float until c wants it.
        assert_eq!(plan.tensors.keys().collect::<Vec<_>>(), ["a_out", "image", "large", "out"]);
        assert_eq!(plan.tensors["large"], "large");
        assert!(Plan::new(&graph(), &["a", "b", "c"].map(str::to_owned).into()).tensors.is_empty());
    }

    #[test]
    fn first_and_last_are_layers_too() {
        let named =
            |names: &[&str]| named_layers(&graph(), &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&["first", "last"]).unwrap(), ["a", "c"].map(str::to_owned).into());
        let (wrong, known) = named(&["b", "d"]).unwrap_err();
        assert_eq!((wrong.as_str(), known.len()), ("d", 3));
    }
}
