//! What a network costs: parameters and multiply-accumulates, read from its ONNX graph.
//!
//! Shapes are propagated node by node through the operators that convolutional detectors are made of. Small integer tensors
//! (sizes, indices, slices) are computed along, because graphs out of PyTorch compute their reshapes. Where an operator is
//! not known, its outputs have no shape; only if a convolution or matrix product then lacks one, the count is not known.

use std::collections::HashMap;

use onnx_ir::{ModelProto, NodeProto, TensorProto};

/// Size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Values of all floating-point initializers and constants.
    pub parameters: u64,
    /// Multiply-accumulates of all convolutions and matrix products for one run with the graph's own input size; open sizes
    /// (a dynamic batch) count as 1. `None` where a shape could not be found out.
    pub macs: Option<u64>,
}

/// ONNX `TensorProto.DataType`.
const FLOAT: i32 = 1;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
/// Longest integer tensor that is computed along.
const MAX_VALUES: usize = 64;

/// Counts a network's parameters and multiply-accumulates.
pub fn count_macs(model: &ModelProto) -> Cost {
    let Some(graph) = model.graph.as_ref() else { return Cost { parameters: 0, macs: None } };
    let mut facts = Facts::default();
    let mut parameters = 0;
    for tensor in &graph.initializer {
        parameters += float_elements(tensor);
        facts.add_constant(&tensor.name, tensor);
    }
    for input in &graph.input {
        if facts.shapes.contains_key(&input.name) {
            continue;
        }
        let shape = input.type_.as_ref().filter(|kind| kind.has_tensor_type()).map(|kind| {
            let dims = kind.tensor_type().shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
            dims.iter().map(|dim| if dim.has_dim_value() { dim.dim_value().max(1) } else { 1 }).collect()
        });
        if let Some(shape) = shape {
            facts.shapes.insert(input.name.clone(), shape);
        }
    }
    let mut macs = Some(0_u64);
    for node in &graph.node {
        if node.op_type == "Constant" {
            if let Some(tensor) = node.attribute.iter().find(|a| a.name == "value").and_then(|a| a.t.as_ref()) {
                parameters += float_elements(tensor);
                facts.add_constant(&node.output[0], tensor);
            }
            continue;
        }
        facts.visit(node);
        let cost = facts.macs(node);
        macs = macs.zip(cost).and_then(|(sum, cost)| sum.checked_add(cost));
    }
    Cost { parameters, macs }
}

fn float_elements(tensor: &TensorProto) -> u64 {
    let is_float = [FLOAT, FLOAT16, DOUBLE].contains(&tensor.data_type);
    // A lone number is an operator's setting, not something learnt.
    let elements = tensor.dims.iter().map(|&dim| dim.max(0) as u64).product::<u64>();
    if is_float && !tensor.dims.is_empty() { elements } else { 0 }
}

/// What is known of the graph's tensors so far.
#[derive(Default)]
struct Facts {
    shapes: HashMap<String, Vec<i64>>,
    integers: HashMap<String, Vec<i64>>,
    floats: HashMap<String, Vec<f32>>,
}

impl Facts {
    fn add_constant(&mut self, name: &str, tensor: &TensorProto) {
        self.shapes.insert(name.to_owned(), tensor.dims.clone());
        if tensor.dims.iter().product::<i64>() > MAX_VALUES as i64 {
            return;
        }
        let raw = &tensor.raw_data;
        match tensor.data_type {
            INT64 if raw.is_empty() => drop(self.integers.insert(name.to_owned(), tensor.int64_data.clone())),
            INT64 => drop(self.integers.insert(name.to_owned(), numbers(raw, i64::from_le_bytes).collect())),
            INT32 if !raw.is_empty() => {
                let values = numbers(raw, i32::from_le_bytes).map(i64::from).collect();
                self.integers.insert(name.to_owned(), values);
            }
            FLOAT if raw.is_empty() => drop(self.floats.insert(name.to_owned(), tensor.float_data.clone())),
            FLOAT => drop(self.floats.insert(name.to_owned(), numbers(raw, f32::from_le_bytes).collect())),
            _ => {}
        }
    }

    fn shape(&self, node: &NodeProto, input: usize) -> Option<&Vec<i64>> {
        self.shapes.get(node.input.get(input)?)
    }

    fn values(&self, node: &NodeProto, input: usize) -> Option<&Vec<i64>> {
        self.integers.get(node.input.get(input)?)
    }

    /// Multiply-accumulates of one node whose output shape has been found out.
    fn macs(&self, node: &NodeProto) -> Option<u64> {
        let product = |values: &[i64]| values.iter().map(|&value| value.max(0) as u64).product::<u64>();
        let output = || node.output.first().and_then(|name| self.shapes.get(name));
        match node.op_type.as_str() {
            "Conv" => Some(product(output()?) * product(&self.shape(node, 1)?[1..])),
            "ConvTranspose" => Some(product(self.shape(node, 0)?) * product(&self.shape(node, 1)?[1..])),
            "MatMul" => Some(product(output()?) * *self.shape(node, 0)?.last()? as u64),
            "Gemm" => {
                let inner = self.shape(node, 0)?.get(usize::from(integer(node, "transA", 0) == 0))?;
                Some(product(output()?) * *inner as u64)
            }
            "LSTM" | "GRU" | "RNN" | "Einsum" | "If" | "Loop" => None,
            _ => Some(0),
        }
    }

    /// Finds out what the node's outputs look like.
    fn visit(&mut self, node: &NodeProto) {
        if let (Some(name), Some(values)) = (node.output.first(), self.integer_result(node))
            && values.len() <= MAX_VALUES
        {
            self.integers.insert(name.clone(), values);
        }
        if node.op_type == "Split" {
            for (name, shape) in node.output.iter().zip(self.split(node).unwrap_or_default()) {
                self.shapes.insert(name.clone(), shape);
            }
        } else if let (Some(name), Some(shape)) = (node.output.first(), self.result_shape(node)) {
            self.shapes.insert(name.clone(), shape);
        }
    }

    /// The values of a small integer result.
    fn integer_result(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let first = || self.values(node, 0);
        match node.op_type.as_str() {
            "Shape" => self.shape(node, 0).cloned(),
            "Gather" => {
                let values = first()?;
                let pick = |&index: &i64| values.get(wrap(index, values.len())?).copied();
                self.values(node, 1)?.iter().map(pick).collect()
            }
            "Concat" => {
                let parts = (0..node.input.len()).map(|input| self.values(node, input).cloned());
                Some(parts.collect::<Option<Vec<_>>>()?.concat())
            }
            "Unsqueeze" | "Squeeze" | "Cast" | "Identity" | "Reshape" | "Floor" => first().cloned(),
            "Slice" => {
                let values = first()?;
                let (start, end) = (*self.values(node, 1)?.first()?, *self.values(node, 2)?.first()?);
                let step = self.values(node, 4).and_then(|step| step.first().copied()).unwrap_or(1);
                let length = values.len() as i64;
                let clamp = |edge: i64| (if edge < 0 { edge + length } else { edge }).clamp(0, length) as usize;
                let step = usize::try_from(step).ok().filter(|&step| step > 0)?;
                Some(values.get(clamp(start)..clamp(end))?.iter().step_by(step).copied().collect())
            }
            "Add" | "Sub" | "Mul" | "Div" => {
                let (a, b) = (first()?, self.values(node, 1)?);
                let compute = |a: i64, b: i64| match node.op_type.as_str() {
                    "Add" => a.checked_add(b),
                    "Sub" => a.checked_sub(b),
                    "Mul" => a.checked_mul(b),
                    _ => a.checked_div(b),
                };
                let length = a.len().max(b.len());
                if a.is_empty() || b.is_empty() {
                    return None;
                }
                (0..length).map(|index| compute(a[index.min(a.len() - 1)], b[index.min(b.len() - 1)])).collect()
            }
            _ => None,
        }
    }

    fn result_shape(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let first = || self.shape(node, 0);
        match node.op_type.as_str() {
            "Conv" | "MaxPool" | "AveragePool" => self.windowed(node),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let shape = first()?;
                Some(shape[..2.min(shape.len())].iter().copied().chain(shape.iter().skip(2).map(|_| 1)).collect())
            }
            "Concat" => {
                let mut shape = first()?.clone();
                let axis = wrap(integer(node, "axis", 0), shape.len())?;
                shape[axis] =
                    (0..node.input.len()).map(|i| self.shape(node, i)?.get(axis).copied()).sum::<Option<_>>()?;
                Some(shape)
            }
            "Resize" | "Upsample" => self.resized(node),
            "Reshape" => {
                let (shape, wanted) = (first()?, self.values(node, 1)?);
                let copied =
                    wanted.iter().enumerate().map(|(i, &w)| if w == 0 { *shape.get(i).unwrap_or(&1) } else { w });
                let mut result: Vec<i64> = copied.collect();
                let known: i64 = result.iter().filter(|&&size| size > 0).product();
                let total: i64 = shape.iter().product();
                result.iter_mut().filter(|size| **size < 0).for_each(|size| *size = total / known.max(1));
                Some(result)
            }
            "Flatten" => {
                let shape = first()?;
                let axis = wrap(integer(node, "axis", 1), shape.len() + 1)?;
                Some(vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
            }
            "Transpose" => {
                let shape = first()?;
                let order = integers(node, "perm").unwrap_or_else(|| (0..shape.len() as i64).rev().collect());
                order.iter().map(|&axis| shape.get(usize::try_from(axis).ok()?).copied()).collect()
            }
            "Slice" => self.sliced(node),
            "Gather" => {
                let (data, picks) = (first()?, self.shape(node, 1)?);
                let axis = wrap(integer(node, "axis", 0), data.len())?;
                Some([&data[..axis], picks.as_slice(), &data[axis + 1..]].concat())
            }
            "Pad" => {
                let mut shape = first()?.clone();
                let pads = integers(node, "pads").or_else(|| self.values(node, 1).cloned())?;
                let axes = self.values(node, 3).cloned().unwrap_or_else(|| (0..shape.len() as i64).collect());
                if pads.len() != 2 * axes.len() {
                    return None;
                }
                for (index, &axis) in axes.iter().enumerate() {
                    let axis = wrap(axis, shape.len())?;
                    shape[axis] += pads[index] + pads[index + axes.len()];
                }
                Some(shape)
            }
            "Shape" => Some(vec![first()?.len() as i64]),
            "MatMul" => {
                let (a, b) = (first()?, self.shape(node, 1)?);
                let (&rows, &columns) = (a.get(a.len().checked_sub(2)?)?, b.last()?);
                let mut shape = broadcast(&a[..a.len() - 2], &b[..b.len().saturating_sub(2)])?;
                shape.extend([rows, columns]);
                Some(shape)
            }
            "Gemm" => {
                let rows = first()?.get(usize::from(integer(node, "transA", 0) != 0))?;
                let columns = self.shape(node, 1)?.get(usize::from(integer(node, "transB", 0) == 0))?;
                Some(vec![*rows, *columns])
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "PRelu" | "Where" => {
                let shapes = (0..node.input.len()).map(|input| self.shape(node, input));
                shapes.collect::<Option<Vec<_>>>()?.into_iter().try_fold(Vec::new(), |a, b| broadcast(&a, b))
            }
            "ReduceMean" | "ReduceSum" | "ReduceMax" => {
                let mut shape = first()?.clone();
                let axes = integers(node, "axes").or_else(|| self.values(node, 1).cloned())?;
                for axis in axes {
                    let axis = wrap(axis, shape.len())?;
                    shape[axis] = 1;
                }
                (integer(node, "keepdims", 1) == 1).then_some(shape)
            }
            "Relu"
            | "LeakyRelu"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "Clip"
            | "Tanh"
            | "Exp"
            | "Sqrt"
            | "Erf"
            | "Softmax"
            | "LogSoftmax"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "LayerNormalization"
            | "Cast"
            | "QuantizeLinear"
            | "DequantizeLinear"
            | "Identity"
            | "Dropout"
            | "Elu"
            | "Softplus"
            | "Mish"
            | "Gelu"
            | "Neg"
            | "Abs"
            | "Floor"
            | "Ceil" => first().cloned(),
            _ => None,
        }
    }

    /// Convolution and pooling.
    fn windowed(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let input = self.shape(node, 0)?;
        let weights = (node.op_type == "Conv").then(|| self.shape(node, 1));
        let kernel = match weights {
            Some(weights) => weights?.get(2..)?.to_vec(),
            None => integers(node, "kernel_shape")?,
        };
        let sides = kernel.len();
        let setting = |name, default| integers(node, name).filter(|v| v.len() == sides).unwrap_or(vec![default; sides]);
        let (strides, dilations) = (setting("strides", 1), setting("dilations", 1));
        let pads = integers(node, "pads").filter(|pads| pads.len() == 2 * sides).unwrap_or(vec![0; 2 * sides]);
        let auto = text(node, "auto_pad");
        let channels = weights.map_or_else(|| input.get(1).copied(), |weights| weights?.first().copied())?;
        let mut shape = vec![*input.first()?, channels];
        for side in 0..sides {
            let (size, stride) = (*input.get(2 + side)?, strides[side].max(1));
            if auto.starts_with("SAME") {
                shape.push((size + stride - 1) / stride);
                continue;
            }
            let span = size + pads[side] + pads[side + sides] - dilations[side] * (kernel[side] - 1) - 1;
            let rounding = if integer(node, "ceil_mode", 0) == 1 { stride - 1 } else { 0 };
            shape.push((span + rounding) / stride + 1);
        }
        Some(shape)
    }

    fn resized(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let input = self.shape(node, 0)?;
        let scales = |index: usize| self.floats.get(node.input.get(index)?);
        if let Some(sizes) = self.values(node, 3) {
            let axes = integers(node, "axes").unwrap_or_else(|| (0..input.len() as i64).collect());
            let mut shape = input.clone();
            for (&axis, &size) in axes.iter().zip(sizes) {
                let axis = wrap(axis, shape.len())?;
                shape[axis] = size;
            }
            return Some(shape);
        }
        let scales = scales(2).or_else(|| scales(1)).filter(|scales| scales.len() == input.len())?;
        Some(input.iter().zip(scales).map(|(&size, &scale)| (size as f32 * scale).floor() as i64).collect())
    }

    fn sliced(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let mut shape = self.shape(node, 0)?.clone();
        // Before opset 10 the settings are attributes.
        let setting = |name, input| integers(node, name).or_else(|| self.values(node, input).cloned());
        let (starts, ends) = (setting("starts", 1)?, setting("ends", 2)?);
        let axes = setting("axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = setting("steps", 4).unwrap_or_else(|| vec![1; starts.len()]);
        for (((&axis, &step), &start), &end) in axes.iter().zip(&steps).zip(&starts).zip(&ends) {
            let axis = wrap(axis, shape.len())?;
            let size = shape[axis];
            let clamp = |edge: i64| (if edge < 0 { edge + size } else { edge }).clamp(0, size);
            if step < 1 {
                return None;
            }
            shape[axis] = ((clamp(end) - clamp(start)).max(0) + step - 1) / step;
        }
        Some(shape)
    }

    fn split(&self, node: &NodeProto) -> Option<Vec<Vec<i64>>> {
        let shape = self.shape(node, 0)?;
        let axis = wrap(integer(node, "axis", 0), shape.len())?;
        let parts = node.output.len().max(1) as i64;
        let sizes = integers(node, "split").or_else(|| self.values(node, 1).cloned());
        let sizes = sizes.unwrap_or_else(|| {
            let whole = (shape[axis] + parts - 1) / parts;
            (0..parts).map(|part| whole.min(shape[axis] - part * whole)).collect()
        });
        let part = |size: &i64| {
            let mut shape = shape.clone();
            shape[axis] = *size;
            shape
        };
        Some(sizes.iter().map(part).collect())
    }
}

/// Shapes of an elementwise operation's result.
fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let length = a.len().max(b.len());
    let at = |shape: &[i64], index: usize| (index + shape.len()).checked_sub(length).map_or(1, |index| shape[index]);
    (0..length)
        .map(|index| match (at(a, index), at(b, index)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect()
}

/// An axis or index counted from the end where it is negative.
fn wrap(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index + length as i64 } else { index };
    usize::try_from(index).ok().filter(|&index| index < length)
}

fn numbers<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    raw.chunks_exact(N).filter_map(|bytes| bytes.try_into().ok()).map(read)
}

/// An integer setting of a node, or what holds without it.
pub(in crate::distill) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i)
}

fn integers(node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.ints.clone())
}

/// A setting in words; empty without it.
pub(in crate::distill) fn text(node: &NodeProto, name: &str) -> String {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned()).unwrap_or_default()
}
