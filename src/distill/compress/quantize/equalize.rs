//! Cross-layer equalisation: channels of neighbouring layers brought to like ranges, without a change to what the network computes.

use onnx_ir::{GraphProto, ModelProto};

use super::{
    graph::{Layer, Wiring, constants, layers, set_constant},
    scale::channel_of,
    tensor::{float_tensor, floats, shape},
};

/// Rounds over all pairs; ranges hang on each other along chains of layers.
const ROUNDS: usize = 20;
/// A factor so near to 1 changes nothing worth a further round.
const SETTLED: f32 = 1e-3;
/// Factors beyond this and its inverse are held back: a channel that is nearly dead must not blow its neighbour up.
const MOST_FACTOR: f32 = 64.0;

/// Equalises all pairs of layers of which the second alone reads what the first makes, with nothing between them but a ReLU (Nagel et
/// al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1): with `r1` and `r2` the
/// ranges of channel `i` in the weights of both, the first's are divided by `s = sqrt(r1 / r2)`, with its bias, and the second's
/// multiplied. ReLU lets positive factors through, so the network's outputs stay what they were.
///
/// Returns how many pairs there are; without any the model is as before.
pub(super) fn equalize(model: &mut ModelProto) -> usize {
    let Some(graph) = model.graph.as_mut() else { return 0 };
    let pairs = pairs(graph);
    for _ in 0..ROUNDS {
        let mut most: f32 = 0.0;
        for (first, second) in &pairs {
            most = most.max(balance(graph, first, second).unwrap_or(0.0));
        }
        if most < SETTLED {
            break;
        }
    }
    pairs.len()
}

/// Pairs of convolutions that can be balanced.
fn pairs(graph: &GraphProto) -> Vec<(Layer, Layer)> {
    let wiring = Wiring::of(graph);
    let layers = layers(graph);
    let owns = |layer: &Layer| {
        let is_own = |name: &String| wiring.readers_of(name).len() == 1;
        layer.groups == 1 && is_own(&layer.weight) && layer.bias.as_ref().is_none_or(is_own)
    };
    let mut found = Vec::new();
    for first in layers.iter().filter(|layer| owns(layer)) {
        let stored = wiring.stored(graph, &first.output);
        let [reader] = wiring.readers_of(&stored) else { continue };
        let second = layers.iter().find(|layer| layer.node == *reader && layer.input == stored);
        if let Some(second) = second.filter(|second| owns(second) && !wiring.outputs.contains(&stored)) {
            let is_convolution = |layer: &Layer| graph.node[layer.node].op_type == "Conv";
            if is_convolution(first) && is_convolution(second) {
                found.push((first.clone(), second.clone()));
            }
        }
    }
    found
}

/// Balances one pair; says how far the factors are from 1 at most, on a logarithmic scale. `None` where the layers do not fit together.
fn balance(graph: &mut GraphProto, first: &Layer, second: &Layer) -> Option<f32> {
    let known = constants(graph);
    let read = |name: &str| {
        let tensor = known.get(name)?;
        Some((floats(tensor)?, shape(tensor)))
    };
    let (mut before, before_shape) = read(&first.weight)?;
    let (mut after, after_shape) = read(&second.weight)?;
    let mut bias = match &first.bias {
        Some(name) => Some((name.clone(), read(name)?.0)),
        None => None,
    };
    let channels = *before_shape.first()?;
    if after_shape.get(1) != Some(&channels) {
        return None;
    }
    let (out, into) = (channel_of(&before_shape, 0), channel_of(&after_shape, 1));
    let ranges = |values: &[f32], channel: &dyn Fn(usize) -> usize| {
        let mut ranges = vec![0.0_f32; channels];
        for (element, value) in values.iter().enumerate() {
            let range = &mut ranges[channel(element)];
            *range = range.max(value.abs());
        }
        ranges
    };
    let factor = |(made, read): (&f32, &f32)| {
        // A channel that nobody makes or nobody reads is left alone.
        if *made > 0.0 && *read > 0.0 { (made / read).sqrt().clamp(1.0 / MOST_FACTOR, MOST_FACTOR) } else { 1.0 }
    };
    let factors: Vec<f32> = ranges(&before, &out).iter().zip(&ranges(&after, &into)).map(factor).collect();
    for (element, value) in before.iter_mut().enumerate() {
        *value /= factors[out(element)];
    }
    for (element, value) in after.iter_mut().enumerate() {
        *value *= factors[into(element)];
    }
    if let Some((_, values)) = &mut bias {
        for (value, factor) in values.iter_mut().zip(&factors) {
            *value /= factor;
        }
    }
    set_constant(graph, float_tensor(&first.weight, &before_shape, &before));
    set_constant(graph, float_tensor(&second.weight, &after_shape, &after));
    if let Some((name, values)) = bias {
        set_constant(graph, float_tensor(&name, &[values.len()], &values));
    }
    Some(factors.iter().map(|factor| factor.ln().abs()).fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        distill::compress::quantize::{
            graph::tests::{model_of, node, noise, small_graph, value},
            network::{Measured, Network},
        },
        model::has_runtime,
    };

    /// `image` -> a, ReLU -> d, with two channels of a that are a hundred times as large as the others.
    fn chain() -> ModelProto {
        let mut graph = small_graph();
        graph.node.truncate(2);
        graph.node.push(node("Conv", &["a_out", "d.weight", "d.bias"], "out", &[]));
        graph.output = vec![value("out", &[1, 3, 8, 8])];
        let mut weights = noise(4 * 2 * 9, 1);
        weights[..36].iter_mut().for_each(|weight| *weight *= 100.0);
        set_constant(&mut graph, float_tensor("a.weight", &[4, 2, 3, 3], &weights));
        set_constant(&mut graph, float_tensor("d.weight", &[3, 4, 1, 1], &noise(12, 8)));
        set_constant(&mut graph, float_tensor("d.bias", &[3], &noise(3, 9)));
        model_of(graph)
    }

    fn range_of(model: &ModelProto, name: &str, axis: usize) -> Vec<f32> {
        let tensor = constants(&model.graph)[name].clone();
        let shape = shape(&tensor);
        let channel = channel_of(&shape, axis);
        let mut ranges = vec![0.0_f32; shape[axis]];
        for (element, value) in floats(&tensor).unwrap().iter().enumerate() {
            ranges[channel(element)] = ranges[channel(element)].max(value.abs());
        }
        ranges
    }

    #[test]
    fn both_layers_have_like_ranges_afterwards() {
        let mut model = chain();
        assert_eq!(equalize(&mut model), 1);
        for (made, read) in range_of(&model, "a.weight", 0).iter().zip(range_of(&model, "d.weight", 1)) {
            assert!((made / read - 1.0).abs() < 0.01, "{made} {read}");
        }
    }

    #[test]
    fn what_more_than_one_layer_reads_is_left_alone() {
        let mut model = model_of(small_graph());
        let before = model.clone();
        assert_eq!(equalize(&mut model), 0);
        assert_eq!(model, before);
    }

    #[test]
    fn the_outputs_stay_what_they_were() {
        if !has_runtime() {
            return;
        }
        let before = chain();
        let mut after = before.clone();
        equalize(&mut after);
        assert_ne!(before, after);
        let frames = [noise(2 * 8 * 8, 20)];
        let measured = Measured { path: Path::new("chain.onnx"), calibration: &frames, validation: &frames };
        let run = |model: &ModelProto| {
            let mut values = Vec::new();
            let take = &mut |_: usize, _: &[usize], given: &[f32]| values.extend_from_slice(given);
            Network::load(measured.path, model, &[]).unwrap().run(&frames[0], &["out".to_owned()], take).unwrap();
            values
        };
        let (before, after) = (run(&before), run(&after));
        let largest = before.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(largest > 1.0);
        for (one, other) in before.iter().zip(&after) {
            assert!((one - other).abs() <= 1e-4 * largest.max(1.0), "{one} {other}");
        }
    }
}
