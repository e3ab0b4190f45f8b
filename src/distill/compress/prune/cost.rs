//! What each layer costs by the number of its channels.

use serde::{Deserialize, Serialize};

use super::layers::{End, Layer, layers};
use crate::distill::student::{Channels, StudentConfig};

/// Channels are cut out in whole steps of this many: processors compute as many at a time, or twice or four times as many, and which of
/// these is worth something the measured times tell.
pub const STEP: usize = 4;

/// What is counted as cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Milliseconds in ONNX Runtime on one thread of this machine.
    #[default]
    Time,
    /// Multiply-accumulates, which tell nothing of any machine.
    Macs,
}

impl Measure {
    /// Its name for `--measure`, in files, and in the names of a ladder's rungs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Macs => "macs",
        }
    }

    /// What it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Macs => "multiply-accumulates",
        }
    }
}

/// What one layer costs: milliseconds, or multiply-accumulates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCost {
    /// The layer's name in the network.
    pub layer: String,
    /// With all of its channels.
    pub full: f64,
    /// With all of its outputs, by number of inputs, fewest first; empty where they cannot be cut.
    pub by_ins: Vec<(usize, f64)>,
    /// With all of its inputs, by number of outputs, fewest first; empty where they cannot be cut.
    pub by_outs: Vec<(usize, f64)>,
}

impl LayerCost {
    /// With so many inputs and outputs: what is left by the one times what is left by the other.
    pub fn at(&self, ins: usize, outs: usize) -> f64 {
        self.full * share(&self.by_ins, ins) * share(&self.by_outs, outs)
    }
}

/// Part of the whole that so many channels cost, linear between those that were measured.
fn share(curve: &[(usize, f64)], channels: usize) -> f64 {
    let Some(&(_, whole)) = curve.last() else { return 1.0 };
    let above = curve.iter().position(|&(count, _)| count >= channels).unwrap_or(curve.len() - 1);
    let (count, cost) = curve[above];
    let cost = match above.checked_sub(1).map(|below| curve[below]) {
        Some((fewer, less)) if count > channels => {
            less + (cost - less) * (channels - fewer) as f64 / (count - fewer) as f64
        }
        _ => cost,
    };
    if whole > 0.0 { cost / whole } else { 1.0 }
}

/// The numbers of channels that a group of so many may be left with, and all of them at the end.
pub fn counts(full: usize) -> Vec<usize> {
    (STEP..full).step_by(STEP).chain([full]).collect()
}

/// What a student costs by the channels of its groups.
#[derive(Debug, Clone, PartialEq)]
pub struct CostTable {
    layers: Vec<(Layer, LayerCost)>,
}

impl CostTable {
    /// A table of costs that `cost` tells for a layer with so many inputs and outputs.
    ///
    /// # Errors
    /// Those of `cost`.
    pub fn new<E>(
        config: &StudentConfig,
        mut cost: impl FnMut(&Layer, &[[usize; 2]]) -> Result<Vec<f64>, E>,
    ) -> Result<Self, E> {
        let channels = config.group_channels();
        let mut table = Vec::new();
        for layer in layers(config) {
            let (ins, outs) = (layer.ins.channels(&channels), layer.outs.channels(&channels));
            let fewer = |end: End, full: usize| match end {
                End::Fixed(_) => Vec::new(),
                End::Of(_) => counts(full),
            };
            let (of_ins, of_outs) = (fewer(layer.ins, ins), fewer(layer.outs, outs));
            let mut points = vec![[ins, outs]];
            points.extend(of_ins.iter().map(|&count| [count, outs]));
            points.extend(of_outs.iter().map(|&count| [ins, count]));
            let costs = cost(&layer, &points)?;
            let full = costs.first().copied().unwrap_or_default();
            let (by_ins, by_outs) =
                costs.get(1..).unwrap_or_default().split_at(of_ins.len().min(costs.len().saturating_sub(1)));
            // The whole is one point of both curves, and what was found for it is the same.
            let curve = |counts: &[usize], costs: &[f64]| -> Vec<(usize, f64)> {
                let whole = counts.last().copied();
                let point = |(&count, &cost): (&usize, &f64)| (count, if Some(count) == whole { full } else { cost });
                counts.iter().zip(costs).map(point).collect()
            };
            let cost = LayerCost {
                layer: layer.name.clone(),
                full,
                by_ins: curve(&of_ins, by_ins),
                by_outs: curve(&of_outs, by_outs),
            };
            table.push((layer, cost));
        }
        Ok(Self { layers: table })
    }

    /// The multiply-accumulates.
    pub fn macs(config: &StudentConfig) -> Self {
        let count = |layer: &Layer, points: &[[usize; 2]]| {
            Ok::<_, std::convert::Infallible>(
                points.iter().map(|&[ins, outs]| layer.macs(ins, outs) as f64).collect::<Vec<f64>>(),
            )
        };
        let Ok(table) = Self::new(config, count);
        table
    }

    /// The sum over all layers with these channels.
    pub fn cost(&self, channels: &Channels) -> f64 {
        let of =
            |(layer, cost): &(Layer, LayerCost)| cost.at(layer.ins.channels(channels), layer.outs.channels(channels));
        self.layers.iter().map(of).sum()
    }

    /// Each layer's costs.
    pub fn layers(&self) -> impl Iterator<Item = &LayerCost> {
        self.layers.iter().map(|(_, cost)| cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::student::{Convolution, Size};

    #[test]
    fn a_measure_is_named_as_in_files() {
        for measure in [Measure::Time, Measure::Macs] {
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
        }
    }

    #[test]
    fn shares_are_linear_between_what_was_measured() {
        let curve = [(4, 1.0), (8, 2.0), (16, 8.0)];
        let shares = [1, 4, 6, 8, 12, 16].map(|channels| share(&curve, channels));
        assert_eq!(shares, [0.125, 0.125, 0.1875, 0.25, 0.625, 1.0]);
        assert_eq!((share(&[], 3), share(&[(4, 0.0)], 4)), (1.0, 1.0));
        let layer = LayerCost { layer: "x".into(), full: 8.0, by_ins: curve.to_vec(), by_outs: Vec::new() };
        assert_eq!(layer.at(8, 99), 2.0);
    }

    #[test]
    fn counts_are_steps_and_the_whole() {
        assert_eq!(counts(16), [4, 8, 12, 16]);
        assert_eq!(counts(18), [4, 8, 12, 16, 18]);
        assert_eq!(counts(3), [3]);
    }

    #[test]
    fn multiply_accumulates_of_any_channels_are_exact() {
        for convolution in [Convolution::Plain, Convolution::Depthwise] {
            let config = StudentConfig { convolution, ..StudentConfig::new(Size::Base, vec!["a".into()], 320, 192) };
            let table = CostTable::macs(&config);
            for channels in [
                config.group_channels(),
                Channels { neck: 21, stem: 9, class_towers: [4, 30, 64], ..config.group_channels() },
                Channels { stages: [24, 40, 70, 44], box_towers: [8, 9, 10], ..config.group_channels() },
            ] {
                let of = |layer: &Layer| layer.macs(layer.ins.channels(&channels), layer.outs.channels(&channels));
                let exact = layers(&config).iter().map(of).sum::<u64>() as f64;
                assert!((table.cost(&channels) / exact - 1.0).abs() < 1e-9, "{channels}");
            }
        }
    }
}
