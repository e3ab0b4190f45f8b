//! A graph that is run on calibration frames, with tensors out of its middle as further outputs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use onnx_ir::ModelProto;

use super::{QuantizeError, histogram::Histogram, range::Range};
use crate::{
    distill::teacher::with_outputs,
    metrics::LatencyRecorder,
    model::{Session, SessionOptions},
};

/// The network's one input for one frame, `[1, channels, height, width]`, row-major.
pub type NetworkInput = Vec<f32>;

/// A graph in ONNX Runtime, on one thread of the CPU.
#[derive(Debug)]
pub(super) struct Network {
    session: Session,
    shape: Vec<usize>,
    input: String,
}

impl Network {
    /// Loads a graph that gives these tensors beside its outputs; `path` is its file, for messages.
    ///
    /// # Errors
    /// ONNX Runtime refuses the graph, or it has not one input of floats.
    pub fn load(path: &Path, model: &ModelProto, tensors: &[String]) -> Result<Self, QuantizeError> {
        // What goes in is known; as an output of the graph it would be of no node.
        let inputs: Vec<&String> = model.graph.iter().flat_map(|graph| &graph.input).map(|input| &input.name).collect();
        let made: Vec<String> = tensors.iter().filter(|tensor| !inputs.contains(tensor)).cloned().collect();
        let bytes = with_outputs(path, model.clone(), &made)?;
        let session = Session::from_bytes(&bytes, &path.display().to_string(), &SessionOptions::default())?;
        let [input] = session.inputs() else {
            let reason = format!("it has {} inputs, where a bundle has one", session.inputs().len());
            return Err(QuantizeError::Graph { path: path.into(), reason });
        };
        let shape = input.shape.iter().map(|size| size.unwrap_or(1)).collect();
        let input = input.name.clone();
        Ok(Self { session, shape, input })
    }

    /// Runs it on a frame and hands out the tensors of these names, the input's among them, with their shapes.
    ///
    /// # Errors
    /// ONNX Runtime fails, or there is no tensor of a name.
    pub fn run(&mut self, frame: &[f32], names: &[String], take: Take<'_>) -> Result<(), QuantizeError> {
        let outputs = self.session.run(&self.shape, frame)?;
        for (place, name) in names.iter().enumerate() {
            if *name == self.input {
                take(place, &self.shape, frame);
            } else {
                let tensor = outputs.tensor(name)?;
                take(place, &tensor.shape, &tensor.values);
            }
        }
        Ok(())
    }
}

/// Whoever gets a tensor: its place among the names, its shape and its values.
pub(super) type Take<'t> = &'t mut dyn FnMut(usize, &[usize], &[f32]);

/// A file with its graph, and the frames that it is run on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'a> {
    /// The file, for messages.
    pub path: &'a Path,
    /// What ranges and biases are found on.
    pub calibration: &'a [NetworkInput],
    /// What the loss is measured on.
    pub validation: &'a [NetworkInput],
}

impl Measured<'_> {
    /// A complaint about the graph.
    pub fn graph_error(&self, reason: String) -> QuantizeError {
        QuantizeError::Graph { path: PathBuf::from(self.path), reason }
    }

    /// The shape of each of these tensors.
    ///
    /// # Errors
    /// The graph cannot be run.
    pub fn shapes(
        &self,
        model: &ModelProto,
        tensors: &[String],
    ) -> Result<BTreeMap<String, Vec<usize>>, QuantizeError> {
        let mut shapes = BTreeMap::new();
        if let Some(frame) = self.calibration.first().filter(|_| !tensors.is_empty()) {
            Network::load(self.path, model, tensors)?.run(frame, tensors, &mut |place, shape, _| {
                shapes.insert(tensors[place].clone(), shape.to_vec());
            })?;
        }
        Ok(shapes)
    }

    /// How often each of these tensors takes which values over the calibration frames, which are gone through twice: for the ends, then
    /// for what lies between.
    ///
    /// # Errors
    /// The graph cannot be run.
    pub fn observe(
        &self,
        model: &ModelProto,
        tensors: &[String],
    ) -> Result<BTreeMap<String, Histogram>, QuantizeError> {
        let mut network = Network::load(self.path, model, tensors)?;
        let mut ranges = vec![Range::NONE; tensors.len()];
        for frame in self.calibration {
            network.run(frame, tensors, &mut |place, _, values| ranges[place].widen(values))?;
        }
        let mut histograms: Vec<Histogram> = ranges.into_iter().map(|range| Histogram::new(range.known())).collect();
        for frame in self.calibration {
            network.run(frame, tensors, &mut |place, _, values| histograms[place].add(values))?;
        }
        Ok(tensors.iter().cloned().zip(histograms).collect())
    }

    /// The mean of each channel (the second axis) of each of these tensors over the calibration frames.
    ///
    /// # Errors
    /// The graph cannot be run.
    pub fn channel_means(&self, model: &ModelProto, tensors: &[String]) -> Result<Vec<Vec<f64>>, QuantizeError> {
        let mut network = Network::load(self.path, model, tensors)?;
        let mut sums: Vec<Vec<f64>> = vec![Vec::new(); tensors.len()];
        let mut counted = vec![0_usize; tensors.len()];
        for frame in self.calibration {
            network.run(frame, tensors, &mut |place, shape, values| {
                let batch = shape.first().copied().unwrap_or(1).max(1);
                let channels = shape.get(1).copied().unwrap_or(1).max(1);
                let each = (values.len() / channels / batch).max(1);
                let sums = &mut sums[place];
                sums.resize(channels, 0.0);
                for (row, values) in values.chunks(each).enumerate() {
                    sums[row % channels] += values.iter().map(|&value| f64::from(value)).sum::<f64>();
                }
                counted[place] += values.len() / channels;
            })?;
        }
        for (sums, counted) in sums.iter_mut().zip(&counted) {
            for sum in sums.iter_mut() {
                *sum /= (*counted).max(1) as f64;
            }
        }
        Ok(sums)
    }
}

/// What the float network gives for the validation frames, and how far others are from it.
#[derive(Debug)]
pub(super) struct Reference {
    outputs: Vec<String>,
    /// For each frame its outputs, one behind the other.
    values: Vec<Vec<f32>>,
    /// For each output the sum of squared distances from its mean over all frames.
    spreads: Vec<f64>,
}

impl Reference {
    /// Runs the float network.
    ///
    /// # Errors
    /// It cannot be run, or has no outputs.
    pub fn new(measured: Measured<'_>, model: &ModelProto) -> Result<Self, QuantizeError> {
        let outputs: Vec<String> =
            model.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone()).collect();
        if outputs.is_empty() {
            return Err(measured.graph_error("it has no outputs".into()));
        }
        let mut network = Network::load(measured.path, model, &[])?;
        // Count, sum and sum of squares of each output.
        let mut moments = vec![[0.0_f64; 3]; outputs.len()];
        let mut values = Vec::with_capacity(measured.validation.len());
        for frame in measured.validation {
            let mut all = Vec::new();
            network.run(frame, &outputs, &mut |place, _, given| {
                all.extend_from_slice(given);
                for &value in given {
                    let value = f64::from(value);
                    let [count, sum, squares] = &mut moments[place];
                    *count += 1.0;
                    *sum += value;
                    *squares += value * value;
                }
            })?;
            values.push(all);
        }
        // The difference of an output that hardly varies is rounding alone; its floor keeps the loss a finite number.
        let spread = |[count, sum, squares]: [f64; 3]| {
            (squares - sum * sum / count.max(1.0)).max(1e-12 * squares).max(f64::MIN_POSITIVE)
        };
        Ok(Self { outputs, values, spreads: moments.into_iter().map(spread).collect() })
    }

    /// How far a network's outputs are from the float one's on the validation frames: squared errors by the squared distances of the
    /// float outputs from their mean, averaged over the outputs. 0 is the same; 1 is no better than always giving the mean.
    ///
    /// # Errors
    /// The network cannot be run.
    pub fn loss(&self, measured: Measured<'_>, model: &ModelProto) -> Result<f64, QuantizeError> {
        let mut network = Network::load(measured.path, model, &[])?;
        let mut errors = vec![0.0_f64; self.outputs.len()];
        for (frame, expected) in measured.validation.iter().zip(&self.values) {
            let mut done = 0;
            network.run(frame, &self.outputs, &mut |place, _, given| {
                for (value, wanted) in given.iter().zip(&expected[done.min(expected.len())..]) {
                    let gap = f64::from(value - wanted);
                    errors[place] += gap * gap;
                }
                done += given.len();
            })?;
        }
        let relative = errors.iter().zip(&self.spreads).map(|(error, spread)| error / spread);
        Ok(relative.sum::<f64>() / self.outputs.len() as f64)
    }
}

/// Median time of two networks for a frame on one thread, in milliseconds, run in turn on the same frames, so that whatever else the
/// machine does meets both alike.
///
/// # Errors
/// A network cannot be run.
pub(super) fn race(
    measured: Measured<'_>,
    one: &ModelProto,
    other: &ModelProto,
    rounds: usize,
) -> Result<[f64; 2], QuantizeError> {
    let mut networks = [Network::load(measured.path, one, &[])?, Network::load(measured.path, other, &[])?];
    let mut recorders = [LatencyRecorder::new(rounds), LatencyRecorder::new(rounds)];
    for frame in measured.validation.iter().cycle().take(if measured.validation.is_empty() { 0 } else { rounds }) {
        for (network, recorder) in networks.iter_mut().zip(&mut recorders) {
            let start = Instant::now();
            network.run(frame, &[], &mut |_, _, _| {})?;
            recorder.record(start.elapsed());
        }
    }
    Ok(recorders.map(|recorder| recorder.summary().map_or(0.0, |summary| summary.p50)))
}
