//! The student's forward pass as an ONNX graph with our names.

use std::collections::HashMap;

use burn::{module::Module, tensor::Tensor};
use burn_onnx::export::OnnxExporter;
use onnx_ir::{Message, ModelProto};

use super::ExportFailed;
use crate::distill::student::{CameraStudent, STRIDES};

/// Name of the graph's input `[1, 3, height, width]`.
const INPUT: &str = "images";

/// The ONNX model (opset 18) of a student for images of `width` x `height`: input `images` `[1, 3, H, W]`, outputs
/// `class_logits_8`, `class_logits_16`, `class_logits_32`, `box_distribution_8`, `box_distribution_16`, `box_distribution_32`.
///
/// The student may be a training one; the graph is that of its [`Module::valid`] snapshot with BatchNorm folded.
///
/// # Errors
/// When burn cannot capture the graph, or it still holds a BatchNorm.
pub fn student_graph(student: &CameraStudent, width: usize, height: usize) -> Result<ModelProto, ExportFailed> {
    let folded = student.valid().fold();
    let device = folded.devices().into_iter().next().unwrap_or_default();
    let images = Tensor::<4>::zeros([1, 3, height, width], &device);
    let captured = OnnxExporter::new().export(&folded, images, |student: &CameraStudent, images: Tensor<4>| {
        let output = student.forward(images);
        [output.class_logits, output.box_distributions].concat()
    })?;
    let mut model =
        ModelProto::parse_from_bytes(captured.as_bytes()).map_err(|error| ExportFailed::Graph(error.to_string()))?;
    let outputs: Vec<String> = ["class_logits", "box_distribution"]
        .iter()
        .flat_map(|name| STRIDES.map(|stride| format!("{name}_{stride}")))
        .collect();
    rename(&mut model, &outputs)?;
    model.producer_name = env!("CARGO_PKG_NAME").into();
    model.producer_version = env!("CARGO_PKG_VERSION").into();
    Ok(model)
}

/// Gives input and outputs the names that the runtime side looks for.
fn rename(model: &mut ModelProto, outputs: &[String]) -> Result<(), ExportFailed> {
    let graph = model.graph.as_mut().ok_or_else(|| ExportFailed::Graph("there is none".into()))?;
    if graph.input.len() != 1 || graph.output.len() != outputs.len() {
        let found = format!("{} inputs and {} outputs", graph.input.len(), graph.output.len());
        return Err(ExportFailed::Graph(format!("{found} where 1 and {} belong", outputs.len())));
    }
    if let Some(node) = graph.node.iter().find(|node| node.op_type == "BatchNormalization") {
        return Err(ExportFailed::Graph(format!("node {} is a BatchNorm that was not folded", node.name)));
    }
    let old = graph.input.iter().chain(&graph.output).map(|value| value.name.clone());
    let names: HashMap<String, String> =
        old.zip(std::iter::once(INPUT.to_owned()).chain(outputs.iter().cloned())).collect();
    let renamed = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            name.clone_from(new);
        }
    };
    graph.name = "camera_student".into();
    graph.input.iter_mut().chain(&mut graph.output).for_each(|value| renamed(&mut value.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(renamed);
    }
    Ok(())
}
