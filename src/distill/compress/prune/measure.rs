//! Times in ONNX Runtime on one thread: of each layer by itself with several numbers of channels, and of whole networks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use burn::tensor::{Device, Tensor};
use onnx_ir::{Message, ModelProto};

use super::{
    PruneError,
    cost::CostTable,
    layers::{End, Layer},
};
use crate::{
    bench::{Lap, Laps, Plan, Until, clock, take_turns},
    distill::{
        export::{ExportFailed, named_graph},
        student::{ConvUnit, Convolution, StudentConfig, WeightSeed},
    },
    model::{ModelError, Session, SessionOptions, StageTiming},
};

/// How the layers take turns.
const LAYER_TURNS: Plan = Plan { warm_up: Duration::from_millis(10), settling: 2, counted: 5, until: Until::Rounds(8) };
/// How whole networks take turns.
const NETWORK_TURNS: Plan =
    Plan { warm_up: Duration::from_millis(100), settling: 2, counted: 10, until: Until::Rounds(12) };
/// What the inputs are full of.
const GRAY: f32 = 0.5;

/// Measures every layer of a student; `tell` is told which.
///
/// What the call of a network takes that does nothing is taken off. A layer by itself still pays for the change of layout of its input
/// and output, which layers within a network do not. That makes the sum over the layers more than the network takes, but it is the
/// shares that count, and [`race`] has the last word.
///
/// # Errors
/// A layer cannot be run in ONNX Runtime.
pub fn layer_times(config: &StudentConfig, tell: &mut dyn FnMut(&str)) -> Result<CostTable, PruneError> {
    // Layers of one shape, as the two towers of a stride are, take the same time.
    let mut known: HashMap<Vec<usize>, Vec<f64>> = HashMap::new();
    let call = call_time()?;
    CostTable::new(config, |layer, points| {
        let is_depthwise = usize::from(layer.convolution == Convolution::Depthwise);
        let shape = [layer.kernel, layer.stride, layer.grid[0], layer.grid[1], is_depthwise];
        let key: Vec<usize> = shape.into_iter().chain(points.iter().flatten().copied()).collect();
        if let Some(times) = known.get(&key) {
            return Ok(times.clone());
        }
        tell(&layer.name);
        // However quick a layer is, it takes some time.
        let times: Vec<f64> = times_of(layer, points)?.into_iter().map(|time| (time - call).max(0.1 * time)).collect();
        known.insert(key, times.clone());
        Ok(times)
    })
}

/// Median milliseconds of a network that does next to nothing.
fn call_time() -> Result<f64, PruneError> {
    let (ins, outs) = (End::Fixed(1), End::Fixed(1));
    let name = "a call".to_owned();
    let empty = Layer { name, ins, outs, kernel: 1, stride: 1, convolution: Convolution::Plain, grid: [1, 1] };
    Ok(times_of(&empty, &[[1, 1]])?.first().copied().unwrap_or_default())
}

/// Median milliseconds of a layer with so many inputs and outputs each, in turn.
fn times_of(layer: &Layer, points: &[[usize; 2]]) -> Result<Vec<f64>, PruneError> {
    let [rows, columns] = layer.grid;
    let mut runners = Vec::with_capacity(points.len());
    for &[ins, outs] in points {
        runners.push(Runner::new(&layer_graph(layer, ins, outs)?, &layer.name, [ins, rows, columns])?);
    }
    let laps = in_turn(&mut runners, &LAYER_TURNS)?;
    Ok(laps.iter().map(|laps| laps.infer.summary().map_or(0.0, |summary| summary.p50)).collect())
}

/// A layer by itself, with ReLU.
fn layer_graph(layer: &Layer, ins: usize, outs: usize) -> Result<ModelProto, ExportFailed> {
    let (device, mut seed) = (Device::flex(), WeightSeed::new(1));
    let kernel = [layer.kernel; 2];
    let unit = ConvUnit::of(layer.convolution, [ins, outs], kernel, layer.stride, &mut seed, &device).fold();
    let [rows, columns] = layer.grid;
    let input = Tensor::<4>::zeros([1, ins, rows, columns], &device);
    named_graph(&unit, input, "layer", "images", &["features".to_owned()], |unit, input| vec![unit.forward(input)])
}

/// A network with its input.
struct Runner {
    session: Session,
    shape: [usize; 4],
    input: Vec<f32>,
}

impl Runner {
    fn new(model: &ModelProto, name: &str, [channels, rows, columns]: [usize; 3]) -> Result<Self, PruneError> {
        let bytes = model.write_to_bytes().map_err(|error| ExportFailed::Graph(error.to_string()))?;
        let session = Session::from_bytes(&bytes, name, &SessionOptions::default())?;
        Ok(Self { session, shape: [1, channels, rows, columns], input: vec![GRAY; channels * rows * columns] })
    }

    fn run(&mut self) -> Result<Lap, ModelError> {
        let start = Instant::now();
        self.session.run(&self.shape, &self.input)?;
        let infer = start.elapsed();
        Ok(Lap { stages: StageTiming { infer, ..StageTiming::default() }, whole: infer })
    }
}

fn in_turn(runners: &mut [Runner], plan: &Plan) -> Result<Vec<Laps>, ModelError> {
    take_turns(runners.len(), plan, &mut clock(), &mut |who, _| runners[who].run())
}

/// Times of two networks in turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Race {
    /// Median milliseconds of each.
    pub milliseconds: [f64; 2],
    /// The median over the rounds of the second one's time by the first one's.
    pub share: f64,
}

/// Times two networks for an input of `[channels, rows, columns]`.
///
/// # Errors
/// One cannot be run in ONNX Runtime.
pub fn race(models: [&ModelProto; 2], input: [usize; 3]) -> Result<Race, PruneError> {
    let [one, other] = models;
    let mut runners = [Runner::new(one, "the student", input)?, Runner::new(other, "the cut student", input)?];
    let laps = in_turn(&mut runners, &NETWORK_TURNS)?;
    let median = |laps: &Laps| laps.infer.summary().map_or(0.0, |summary| summary.p50);
    let milliseconds = [median(&laps[0]), median(&laps[1])];
    // Without a ratio the clock is too coarse for one.
    let share = laps[1].ratios_to(&laps[0]).map_or(1.0, |ratios| ratios.infer.median);
    Ok(Race { milliseconds, share })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distill::{
            compress::prune::layers::layers,
            export::{count_macs, student_graph},
            student::{CameraStudent, Size},
        },
        model::has_runtime,
    };

    #[test]
    fn a_layer_by_itself_has_its_multiply_accumulates() {
        let config = StudentConfig::new(Size::Micro, vec!["a".into()], 96, 64);
        for convolution in [Convolution::Plain, Convolution::Depthwise] {
            let layers = layers(&StudentConfig { convolution, ..config.clone() });
            for layer in layers.iter().filter(|layer| layer.kernel == 3) {
                let graph = layer_graph(layer, 5, 7).unwrap();
                assert_eq!(count_macs(&graph).macs, Some(layer.macs(5, 7)), "{}", layer.name);
            }
        }
    }

    #[test]
    fn a_network_races_with_itself_and_with_a_smaller_one() {
        if !has_runtime() {
            return;
        }
        let graph = |size| {
            let config = StudentConfig::new(size, vec!["a".into()], 192, 128);
            student_graph(&CameraStudent::new(&config, 1, &Device::flex()).unwrap(), 192, 128).unwrap()
        };
        let (large, small) = (graph(Size::Base), graph(Size::Micro));
        let race_of = |other: &ModelProto| race([&large, other], [3, 128, 192]).unwrap();
        assert!(race_of(&small).share < 0.7, "a third of the work");
        assert!((0.5..2.0).contains(&race_of(&large).share));
    }
}
