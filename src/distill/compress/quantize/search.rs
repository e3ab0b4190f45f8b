//! From a float bundle to the graph in fewer bits that loses least.

use std::{collections::BTreeMap, path::Path};

use onnx_ir::ModelProto;
use serde::{Deserialize, Serialize};

use super::{
    Attempt, Budget, Judge, LayerLoss, NetworkInput, Precision, QuantizeError, QuantizeReport, Range, RangeMethod,
    WeightRange, Worth,
    bias::{Biases, corrected_biases, with_biases},
    equalize::equalize,
    graph::{layers, resizes_by_axes, spell_out_sizes},
    half::to_half,
    network::{Measured, Reference, race},
    plan::{Plan, named_layers},
    qdq::{parameters, write_qdq},
    report::bytes_of,
};
use crate::distill::export::read_onnx;

/// How a bundle is quantised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantizeOptions {
    /// How ranges are found: the best of these by measured loss.
    pub methods: Vec<RangeMethod>,
    /// How far weights reach, and how they are stored.
    pub weights: WeightRange,
    /// Layers that stay float whatever comes; `first` and `last` are layers, too.
    pub keep_float: Vec<String>,
    /// How many more layers may stay float to meet the budget; half of all by default.
    pub max_float: Option<usize>,
    /// What may be lost.
    pub budget: Budget,
}

impl Default for QuantizeOptions {
    /// All methods, weights that are safe on every CPU, one point of AP50.
    fn default() -> Self {
        Self {
            methods: RangeMethod::ALL.to_vec(),
            weights: WeightRange::default(),
            keep_float: Vec::new(),
            max_float: None,
            budget: Budget::default(),
        }
    }
}

/// A bundle and the frames to quantise it by, inputs of its network.
#[derive(Debug, Clone, Copy)]
pub struct QuantizeJob<'a> {
    /// The float bundle.
    pub path: &'a Path,
    /// Frames of the training block, at least one.
    pub calibration: &'a [NetworkInput],
    /// Frames of the validation block, at least one.
    pub validation: &'a [NetworkInput],
    /// How.
    pub options: &'a QuantizeOptions,
}

/// The result.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The graph, with the float bundle's metadata still; [`QuantizeReport::bundle`] makes a bundle of it.
    pub model: ModelProto,
    /// What was found out.
    pub report: QuantizeReport,
    /// What is lost beyond the budget, in words; `None` where the budget holds.
    pub excess: Option<String>,
}

/// Times that both networks are run to compare their speed.
const LATENCY_ROUNDS: usize = 100;

/// Quantises a bundle to int8 in QDQ form. `tell` hears what is being done.
///
/// Tried are all of [`QuantizeOptions::methods`] on the network as it is and with neighbouring layers equalised, and bias correction on
/// the best of these; what loses least on the validation frames is taken. Where that loses more than the budget, layers go back to
/// float, those first that lose most by themselves, until the budget holds or too many would be float; then the result is the graph
/// without these, and [`Quantized::excess`] says what is wrong with it.
///
/// # Errors
/// The bundle cannot be read or run, or a layer to be kept is not there.
pub fn quantize(
    job: &QuantizeJob<'_>,
    judge: &mut dyn Judge,
    tell: &mut dyn FnMut(&str),
) -> Result<Quantized, QuantizeError> {
    let (model, measured, reference) = prepare(job)?;
    let options = job.options;
    let kept = named_layers(&model.graph, &options.keep_float)
        .map_err(|(wanted, layers)| QuantizeError::UnknownLayer { wanted, layers })?;
    let plan = Plan::new(&model.graph, &kept);
    if plan.layers.is_empty() {
        let reason =
            "no layer is left that could be quantised: convolutions or products with constant weights".to_owned();
        return Err(measured.graph_error(reason));
    }
    let mut equalized = model.clone();
    let pairs = equalize(&mut equalized);
    let mut networks = vec![(model.clone(), false)];
    if pairs > 0 {
        networks.push((equalized, true));
    }
    let mut attempts = Vec::new();
    let mut best: Option<Candidate> = None;
    for (network, equalized) in networks {
        tell(if equalized { "calibrate, neighbouring layers equalised" } else { "calibrate" });
        let seen = measured.observe(&network, &plan.rounded())?;
        for method in &options.methods {
            tell(&format!("measure the ranges of {method}"));
            let ranges = seen.iter().map(|(name, seen)| (name.clone(), method.range(seen))).collect();
            let mut candidate = Candidate {
                network: network.clone(),
                ranges,
                biases: Biases::new(),
                weights: options.weights,
                attempt: Attempt { method: method.to_string(), equalized, bias_corrected: false, loss: 0.0 },
            };
            candidate.measure(measured, &reference, &plan)?;
            attempts.push(candidate.attempt.clone());
            if best.as_ref().is_none_or(|best| candidate.attempt.loss < best.attempt.loss) {
                best = Some(candidate);
            }
        }
    }
    let Some(mut best) = best else { return Err(measured.graph_error("no method of finding ranges is named".into())) };
    tell("correct biases");
    let biases = corrected_biases(measured, &best.network, &plan, &best.ranges, options.weights)?;
    let attempt = Attempt { bias_corrected: true, ..best.attempt.clone() };
    let mut corrected = Candidate { biases, attempt, ..best.clone() };
    corrected.measure(measured, &reference, &plan)?;
    attempts.push(corrected.attempt.clone());
    if corrected.attempt.loss < best.attempt.loss {
        best = corrected;
    }

    let mut table = Vec::with_capacity(plan.layers.len());
    for layer in &plan.layers {
        tell(&format!("measure {} alone", layer.name));
        let others = layers(&model.graph).into_iter().map(|layer| layer.name).filter(|name| *name != layer.name);
        let alone = best.write(&Plan::new(&model.graph, &others.collect()));
        let loss = reference.loss(measured, &alone)?;
        let parameters = parameters(&model.graph, layer);
        table.push(LayerLoss { layer: layer.name.clone(), parameters, loss, is_float: false });
    }
    table.sort_by(|a, b| b.loss.total_cmp(&a.loss));

    let most = options.max_float.unwrap_or(table.len() / 2).min(table.len() - 1);
    let mut result = best.judged(job, &plan, judge)?;
    let mut float = 0;
    // Where nothing judges, no layer in float is any better.
    if options.budget.excess(&result.1).is_some() && !result.1.is_blind() {
        let mut kept = kept.clone();
        for (count, layer) in table.iter().take(most).enumerate() {
            tell(&format!("keep {} in float", layer.layer));
            kept.insert(layer.layer.clone());
            let mixed = best.judged(job, &Plan::new(&model.graph, &kept), judge)?;
            if options.budget.excess(&mixed.1).is_none() {
                (result, float) = (mixed, count + 1);
                break;
            }
        }
    }
    table.iter_mut().take(float).for_each(|layer| layer.is_float = true);
    let (quantized, worth) = result;
    let report = QuantizeReport {
        precision: Precision::Int8,
        trained: false,
        trained_epochs: None,
        weights: options.weights,
        calibration_frames: job.calibration.len(),
        attempts,
        taken: Some(best.attempt.clone()),
        layers: table,
        loss: reference.loss(measured, &quantized)?,
        worth,
        budget: options.budget,
        bytes: sizes(job.path, &quantized)?,
        latency_ms: race(measured, &model, &quantized, LATENCY_ROUNDS)?,
    };
    Ok(Quantized { model: quantized, excess: report.excess(), report })
}

/// A bundle in float16, judged as [`quantize`] does; of its options only the budget counts.
///
/// # Errors
/// The bundle cannot be read or run, or holds a number that is too great.
pub fn halve(job: &QuantizeJob<'_>, judge: &mut dyn Judge) -> Result<Quantized, QuantizeError> {
    let (model, measured, reference) = prepare(job)?;
    let half = to_half(&model)?;
    let worth = judge.judge(&bytes_of(job.path, &half)?)?;
    let budget = job.options.budget;
    let report = QuantizeReport {
        precision: Precision::Float16,
        trained: false,
        trained_epochs: None,
        weights: job.options.weights,
        calibration_frames: 0,
        attempts: Vec::new(),
        taken: None,
        layers: Vec::new(),
        loss: reference.loss(measured, &half)?,
        worth,
        budget,
        bytes: sizes(job.path, &half)?,
        latency_ms: race(measured, &model, &half, LATENCY_ROUNDS)?,
    };
    Ok(Quantized { model: half, excess: report.excess(), report })
}

/// Reads the bundle's graph, spells its sizes out and runs it on the validation frames.
fn prepare<'a>(job: &QuantizeJob<'a>) -> Result<(ModelProto, Measured<'a>, Reference), QuantizeError> {
    let mut model = read_onnx(job.path)?;
    let measured = Measured { path: job.path, calibration: job.calibration, validation: job.validation };
    spell_out(&mut model, measured)?;
    let reference = Reference::new(measured, &model)?;
    Ok((model, measured, reference))
}

/// Says the sizes of all axes of a graph where it resizes by those of some; see [`spell_out_sizes`].
///
/// # Errors
/// The graph cannot be run.
pub(super) fn spell_out(model: &mut ModelProto, measured: Measured<'_>) -> Result<(), QuantizeError> {
    let resized: Vec<String> = model
        .graph
        .iter()
        .flat_map(|graph| &graph.node)
        .filter(|node| resizes_by_axes(node))
        .flat_map(|node| node.output.iter().cloned())
        .collect();
    let shapes = measured.shapes(model, &resized)?;
    spell_out_sizes(model, &shapes);
    Ok(())
}

/// The size of the float file and of a graph.
fn sizes(path: &Path, model: &ModelProto) -> Result<[u64; 2], QuantizeError> {
    let graph_error = |reason: String| QuantizeError::Graph { path: path.into(), reason };
    let before = std::fs::metadata(path).map_err(|error| graph_error(error.to_string()))?.len();
    Ok([before, bytes_of(path, model)?.len() as u64])
}

/// A way of quantising the network, complete.
#[derive(Debug, Clone)]
struct Candidate {
    /// The float network, equalised or not.
    network: ModelProto,
    ranges: BTreeMap<String, Range>,
    biases: Biases,
    weights: WeightRange,
    attempt: Attempt,
}

impl Candidate {
    /// The graph with the layers of a plan in int8.
    fn write(&self, plan: &Plan) -> ModelProto {
        write_qdq(&with_biases(&self.network, plan, &self.biases), plan, &self.ranges, self.weights)
    }

    /// Measures the loss.
    fn measure(&mut self, measured: Measured<'_>, reference: &Reference, plan: &Plan) -> Result<(), QuantizeError> {
        self.attempt.loss = reference.loss(measured, &self.write(plan))?;
        Ok(())
    }

    /// The graph with the layers of a plan in int8, and what it is worth.
    fn judged(
        &self,
        job: &QuantizeJob<'_>,
        plan: &Plan,
        judge: &mut dyn Judge,
    ) -> Result<(ModelProto, Worth), QuantizeError> {
        let model = self.write(plan);
        let worth = judge.judge(&bytes_of(job.path, &model)?)?;
        Ok((model, worth))
    }
}
