//! What came of a quantisation, for people and for the bundle.

use std::{fmt, path::Path};

use onnx_ir::{Message, ModelProto};
use serde::{Deserialize, Serialize};

use super::{Budget, QuantizeError, WeightRange, Worth};
use crate::{
    distill::figure_table::FigureTable,
    metrics::ScoreProfile,
    model::{
        bundle::{BundleError, BundleSpec, metadata_of, write_metadata},
        samples::{Sampled, Samples, make_samples, write_samples},
    },
};

/// The numbers that a network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Eight bits, in QDQ form.
    Int8,
    /// Half of a float.
    Float16,
}

impl Precision {
    /// Its name in a bundle's provenance.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Float16 => "float16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One way of quantising the whole network that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// How the ranges were found.
    pub method: String,
    /// Whether neighbouring layers were equalised before.
    pub equalized: bool,
    /// Whether biases were corrected after.
    pub bias_corrected: bool,
    /// What it lost.
    pub loss: f64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.method)?;
        if self.equalized {
            f.write_str(", layers equalised")?;
        }
        if self.bias_corrected {
            f.write_str(", biases corrected")?;
        }
        Ok(())
    }
}

/// What one layer loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerLoss {
    /// The layer, by its weights' name.
    pub layer: String,
    /// Its weights and biases.
    pub parameters: usize,
    /// The loss with this layer alone in int8.
    pub loss: f64,
    /// Whether it stays float in the result.
    pub is_float: bool,
}

/// Everything that was found out. Losses are relative squared errors of the network's outputs on the validation frames: 0 is the float
/// network, 1 no better than always giving the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantizeReport {
    /// What the result computes in.
    pub precision: Precision,
    /// Whether the float bundle was trained as int8 hardware computes (`train.quantize_aware`).
    #[serde(default)]
    pub trained: bool,
    /// For how many epochs it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_epochs: Option<usize>,
    /// How far weights reach, and how they are stored.
    pub weights: WeightRange,
    /// Frames that ranges were found on.
    pub calibration_frames: usize,
    /// The ways that were tried, in their order; none for float16.
    pub attempts: Vec<Attempt>,
    /// The one that was taken; `None` for float16.
    pub taken: Option<Attempt>,
    /// Each layer by itself, those that hurt most first; none for float16.
    pub layers: Vec<LayerLoss>,
    /// The result's loss.
    pub loss: f64,
    /// What the result is worth.
    pub worth: Worth,
    /// What it might lose.
    pub budget: Budget,
    /// Size of the float file and of the result's graph, in bytes.
    pub bytes: [u64; 2],
    /// Median time of the float network and of the result on one thread, in turn on the same frames, in milliseconds.
    pub latency_ms: [f64; 2],
}

impl QuantizeReport {
    /// This report, of a float bundle that was trained for so many epochs as int8 hardware computes, or was not.
    #[must_use]
    pub fn after_training(self, epochs: Option<usize>) -> Self {
        Self { trained: epochs.is_some(), trained_epochs: epochs, ..self }
    }

    /// What is lost beyond the budget, in words; `None` where the budget holds. Outputs that overflow are beyond any.
    pub fn excess(&self) -> Option<String> {
        if !self.loss.is_finite() {
            return Some(format!("the {} network's outputs overflow on validation frames", self.precision));
        }
        self.budget.excess(&self.worth)
    }

    /// The layers by what they lose, those that hurt most first.
    pub fn layer_table(&self) -> FigureTable {
        let mut table = FigureTable::new(2, &["layer", "in", "parameters", "loss alone"]);
        for layer in &self.layers {
            let precision = if layer.is_float { "float32" } else { "int8" };
            let figures = [layer.parameters.to_string(), format!("{:.2e}", layer.loss)];
            table.add(&[&layer.layer, precision], &figures);
        }
        table
    }

    /// The ways that were tried.
    pub fn attempt_table(&self) -> FigureTable {
        let mut table = FigureTable::new(2, &["ranges", "", "loss"]);
        for attempt in &self.attempts {
            let mark = if self.taken.as_ref() == Some(attempt) { "taken" } else { "" };
            table.add(&[&attempt.to_string(), mark], &[format!("{:.2e}", attempt.loss)]);
        }
        table
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if !self.attempts.is_empty() {
            text += &format!("{}\n{}\n", self.attempt_table(), self.layer_table());
        }
        if let Some(epochs) = self.trained_epochs {
            text += &format!("trained for {epochs} epochs as int8 hardware computes\n");
        }
        let ([before, after], [slow, fast]) = (self.bytes, self.latency_ms);
        let precision = match self.precision {
            Precision::Int8 => format!("int8, {} weights", self.weights),
            Precision::Float16 => self.precision.to_string(),
        };
        text += &format!(
            "{precision}: loss {:.2e}, {}\n{:.1} kB -> {:.1} kB; {slow:.2} ms -> {fast:.2} ms on one thread of this machine (medians, in turn)\n",
            self.loss,
            self.worth.words(),
            before as f64 / 1e3,
            after as f64 / 1e3
        );
        if self.precision == Precision::Int8 && fast >= slow {
            text += "int8 is no faster here: CPUs without VNNI or dot products gain little from it. Other boards may, `distill \
                     evaluate` measures it there\n";
            if self.weights == WeightRange::Unsigned {
                text += "unsigned weights are slower on x86 than those of `--weights clear`\n";
            }
        }
        text
    }

    /// What stands in the bundle, short.
    fn figures(&self) -> serde_json::Value {
        let layers: serde_json::Map<String, serde_json::Value> =
            self.layers.iter().map(|layer| (layer.layer.clone(), rounded(layer.loss).into())).collect();
        let float_layers: Vec<&str> =
            self.layers.iter().filter(|layer| layer.is_float).map(|layer| layer.layer.as_str()).collect();
        serde_json::json!({
            "precision": self.precision.name(),
            "trained": self.trained,
            "weights": self.weights,
            "taken": self.taken.as_ref().map(Attempt::to_string),
            "calibration_frames": self.calibration_frames,
            "loss": rounded(self.loss),
            "validation": self.worth,
            "float_layers": float_layers,
            "layer_loss": layers,
        })
    }

    /// A quantised graph as a bundle's bytes: its precision in the provenance, this report in the figures. Figures that the float bundle
    /// had are kept under `float`, for they are not this one's.
    ///
    /// # Errors
    /// The metadata cannot be read or written.
    pub fn bundle<S: BundleSpec>(&self, path: &Path, model: &ModelProto) -> Result<Vec<u8>, QuantizeError> {
        let failed = |source: BundleError| QuantizeError::Bundle { path: path.into(), source };
        let bytes = bytes_of(path, model)?;
        let mut metadata = metadata_of::<S>(&bytes).map_err(failed)?.ok_or(BundleError::Missing).map_err(failed)?;
        let mut float = metadata.figures.clone();
        float.remove(ScoreProfile::KEY);
        metadata.provenance.precision = self.precision.name().to_owned();
        metadata.set_figures(serde_json::json!({ "quantization": self.figures(), "float": float }));
        write_metadata(&bytes, &metadata).map_err(failed)
    }
}

/// Two figures are enough for a bundle.
fn rounded(loss: f64) -> f64 {
    format!("{loss:.1e}").parse().unwrap_or(loss)
}

/// A graph's bytes; `path` is its file, for messages.
pub(super) fn bytes_of(path: &Path, model: &ModelProto) -> Result<Vec<u8>, QuantizeError> {
    let failed = |reason: String| QuantizeError::Graph { path: path.into(), reason };
    model.write_to_bytes().map_err(|error| failed(format!("it cannot be written: {error}")))
}

/// A bundle's bytes with its recorded samples answered anew by `detector`, which has loaded these bytes: on the robot it is held against
/// what it answered itself, not against the float bundle.
///
/// # Errors
/// The samples cannot be read or run.
pub fn renew_samples<D: Sampled>(path: &Path, bundle: Vec<u8>, detector: &mut D) -> Result<Vec<u8>, QuantizeError> {
    let Some(json) = detector.samples() else { return Ok(bundle) };
    let failed = |source| QuantizeError::Samples { path: path.into(), source };
    let old = Samples::from_json(&json).map_err(failed)?;
    let count = old.samples.len();
    let inputs = old.samples.into_iter().map(|sample| sample.input).collect();
    let new = make_samples(detector, inputs, count).map_err(failed)?;
    write_samples(&bundle, &new).map_err(|source| QuantizeError::Bundle { path: path.into(), source })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of float16 within its budget.
    pub(in crate::distill) fn example_report() -> QuantizeReport {
        let worth = Worth { frames: 9, float_found: 40, agreement: 1.0, ap50: None, float_ap50: None };
        QuantizeReport {
            precision: Precision::Float16,
            trained: false,
            trained_epochs: None,
            weights: WeightRange::default(),
            calibration_frames: 0,
            attempts: Vec::new(),
            taken: None,
            layers: Vec::new(),
            loss: 0.001,
            worth,
            budget: Budget::default(),
            bytes: [1000, 500],
            latency_ms: [1.0, 1.0],
        }
    }

    #[test]
    fn outputs_that_overflow_are_beyond_any_budget() {
        let mut report = example_report();
        assert_eq!(report.excess(), None);
        for loss in [f64::NAN, f64::INFINITY] {
            report.loss = loss;
            assert!(report.excess().is_some_and(|excess| excess.contains("float16 network's outputs overflow")));
        }
        report.loss = 0.001;
        let trained = report.clone().after_training(Some(7));
        assert!(trained.trained && trained.to_text().contains("trained for 7 epochs"), "{}", trained.to_text());
        assert!(!report.to_text().contains("trained"));
        assert!(!report.to_text().contains("weights"), "float16 has none of eight bits");
        let int8 = QuantizeReport { precision: Precision::Int8, weights: WeightRange::Unsigned, ..report.clone() };
        let told = int8.to_text();
        assert!(told.contains("int8, unsigned weights: loss") && told.contains("--weights clear"), "{told}");
        report.worth.agreement = 0.5;
        assert!(report.excess().is_some_and(|excess| excess.contains("0.500, below 0.970")));
    }
}
