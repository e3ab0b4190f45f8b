//! Bias correction: what rounding shifts on the average is taken back.

use std::collections::BTreeMap;

use onnx_ir::ModelProto;

use super::{
    QuantizeError,
    graph::{constants, set_constant},
    network::Measured,
    plan::Plan,
    qdq::{made_name, write_qdq},
    range::Range,
    scale::WeightRange,
    tensor::{float_tensor, floats},
};
use crate::distill::worst::spread;

/// Calibration frames that means are taken over: they are gone through once for each layer, and means are soon steady.
const MOST_FRAMES: usize = 32;

/// New biases of layers, by the layers' names.
pub(super) type Biases = BTreeMap<String, Vec<f32>>;

/// Finds biases that make up for what rounding the weights and the inputs shifts each output channel on the average (Nagel et al.,
/// "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, by the empirical way of their
/// appendix D): layer after layer, those before it corrected already, the mean over the calibration frames of what the float layer makes
/// less that of what the rounded one makes is added to its bias.
///
/// # Errors
/// A graph cannot be run.
pub(super) fn corrected_biases(
    measured: Measured<'_>,
    model: &ModelProto,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    weights: WeightRange,
) -> Result<Biases, QuantizeError> {
    let frames = spread(measured.calibration, MOST_FRAMES);
    let measured = Measured { calibration: &frames, ..measured };
    let made: Vec<String> = plan.layers.iter().map(|layer| layer.output.clone()).collect();
    let wanted = measured.channel_means(model, &made)?;
    let mut biases = Biases::new();
    for (layer, wanted) in plan.layers.iter().zip(&wanted) {
        let Some(bias) = &layer.bias else { continue };
        let Some(mut values) = constants(&model.graph).get(bias.as_str()).and_then(|tensor| floats(tensor)) else {
            continue;
        };
        let quantized = write_qdq(&with_biases(model, plan, &biases), plan, ranges, weights);
        let found = measured.channel_means(&quantized, &[made_name(plan, &layer.output)])?;
        for ((value, wanted), found) in values.iter_mut().zip(wanted).zip(found.iter().flatten()) {
            *value += (wanted - found) as f32;
        }
        biases.insert(layer.name.clone(), values);
    }
    Ok(biases)
}

/// The float graph with these biases in the layers that a plan quantises. Layers that stay float keep their own, which are right.
/// Biases that several layers share are left alone.
pub(super) fn with_biases(model: &ModelProto, plan: &Plan, biases: &Biases) -> ModelProto {
    let mut corrected = model.clone();
    let Some(graph) = corrected.graph.as_mut() else { return corrected };
    for layer in &plan.layers {
        if let (Some(bias), Some(values)) = (&layer.bias, biases.get(&layer.name)) {
            let readers = graph.node.iter().filter(|node| node.input.contains(bias)).count();
            if readers == 1 {
                set_constant(graph, float_tensor(bias, &[values.len()], values));
            }
        }
    }
    corrected
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
            range::RangeMethod,
        },
        model::has_runtime,
    };

    #[test]
    fn the_means_of_all_channels_come_back() {
        if !has_runtime() {
            return;
        }
        let mut model = model_of(small_graph());
        spell_out_sizes(&mut model, &BTreeMap::from([("large".to_owned(), vec![1, 4, 16, 16])]));
        let frames: Vec<Vec<f32>> = (0..6).map(|seed| noise(2 * 8 * 8, 300 + seed)).collect();
        let measured = Measured { path: Path::new("small.onnx"), calibration: &frames, validation: &frames };
        let plan = Plan::new(&model.graph, &Default::default());
        let seen = measured.observe(&model, &plan.roots()).unwrap();
        // Ranges that cut much off shift the means.
        let range = |seen| RangeMethod::Percentile(90.0).range(seen);
        let ranges: BTreeMap<String, Range> = seen.iter().map(|(name, seen)| (name.clone(), range(seen))).collect();
        let weights = WeightRange::default();
        let biases = corrected_biases(measured, &model, &plan, &ranges, weights).unwrap();
        assert_eq!(biases.len(), 3);
        let wanted = measured.channel_means(&model, &["out".to_owned()]).unwrap().remove(0);
        let gap = |biases: &Biases| {
            let quantized = write_qdq(&with_biases(&model, &plan, biases), &plan, &ranges, weights);
            let found = measured.channel_means(&quantized, &["out/float".to_owned()]).unwrap().remove(0);
            wanted.iter().zip(found).map(|(wanted, found)| (wanted - found).abs()).fold(0.0, f64::max)
        };
        let (before, after) = (gap(&Biases::new()), gap(&biases));
        assert!(before > 0.01 && after < 0.3 * before, "{before} {after}");
        // A layer that stays float keeps its own bias.
        let plan = Plan::new(&model.graph, &["c".to_owned()].into());
        let kept = with_biases(&model, &plan, &biases);
        assert_eq!(constants(&kept.graph)["c.bias"], constants(&model.graph)["c.bias"]);
        assert_ne!(constants(&kept.graph)["a.bias"], constants(&model.graph)["a.bias"]);
    }
}
