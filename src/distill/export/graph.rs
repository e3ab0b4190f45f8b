//! The student's forward pass as an ONNX graph with our names.

use std::collections::HashMap;

use burn::{module::Module, tensor::Tensor};
use burn_onnx::export::OnnxExporter;
use onnx_ir::{Message, ModelProto};

use super::ExportFailed;
use crate::distill::student::{AnchorPoint, CameraStudent};

/// Name of the graph's input `[1, 3, height, width]`.
const INPUT: &str = "images";

/// The ONNX model (opset 18) of a student for images of `width` x `height`: input `images` `[1, 3, H, W]`, outputs
/// `class_logits_8`, `class_logits_16`, `class_logits_32`, `box_distribution_8`, `box_distribution_16`, `box_distribution_32`.
/// Inside, the tensor at each [`AnchorPoint`] has its name (`stage_4` to `stage_32`, `neck_8` to `neck_32`), so that further
/// students can learn from this one's features.
///
/// The student may be a training one; the graph is that of its [`Module::valid`] snapshot with BatchNorm folded.
///
/// # Errors
/// When burn cannot capture the graph, or it still holds a BatchNorm.
pub fn student_graph(student: &CameraStudent, width: usize, height: usize) -> Result<ModelProto, ExportFailed> {
    let folded = student.valid().fold();
    let device = folded.devices().into_iter().next().unwrap_or_default();
    let images = Tensor::<4>::zeros([1, 3, height, width], &device);
    // The features inside are captured as further outputs, because only so it is known which tensors of the graph they are.
    let (outputs, inside): (Vec<AnchorPoint>, Vec<AnchorPoint>) =
        AnchorPoint::all().partition(|point| point.is_output());
    let anchors = [outputs.as_slice(), inside.as_slice()].concat();
    let names: Vec<String> = anchors.iter().map(ToString::to_string).collect();
    let forward = |student: &CameraStudent, images: Tensor<4>| {
        let (_, mut features) = student.forward_with_features(images, &anchors);
        anchors.iter().filter_map(|anchor| features.remove(anchor)).collect::<Vec<_>>()
    };
    let mut model = named_graph(&folded, images, "camera_student", INPUT, &names, forward)?;
    if let Some(graph) = model.graph.as_mut() {
        // They stay in the graph with their names. As outputs they would keep a runtime from joining the nodes around them.
        graph.output.truncate(outputs.len());
    }
    Ok(model)
}

/// The ONNX model (opset 18) of what `forward` computes with a folded network, where the graph, its input and its outputs, in the order
/// of `forward`, have these names.
///
/// # Errors
/// When burn cannot capture the graph, or it still holds a BatchNorm.
pub(in crate::distill) fn named_graph<M: Module>(
    folded: &M,
    images: Tensor<4>,
    name: &str,
    input: &str,
    outputs: &[String],
    forward: impl Fn(&M, Tensor<4>) -> Vec<Tensor<4>>,
) -> Result<ModelProto, ExportFailed> {
    let captured = OnnxExporter::new().export(folded, images, forward)?;
    let mut model =
        ModelProto::parse_from_bytes(captured.as_bytes()).map_err(|error| ExportFailed::Graph(error.to_string()))?;
    rename(&mut model, name, input, outputs)?;
    model.producer_name = env!("CARGO_PKG_NAME").into();
    model.producer_version = env!("CARGO_PKG_VERSION").into();
    Ok(model)
}

/// Gives the graph, its input and its outputs the names that the runtime side looks for.
fn rename(model: &mut ModelProto, name: &str, input: &str, outputs: &[String]) -> Result<(), ExportFailed> {
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
        old.zip(std::iter::once(input.to_owned()).chain(outputs.iter().cloned())).collect();
    let renamed = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            name.clone_from(new);
        }
    };
    graph.name = name.into();
    graph.input.iter_mut().chain(&mut graph.output).for_each(|value| renamed(&mut value.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(renamed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use onnx_ir::NodeProto;

    use super::*;
    use crate::distill::student::{Convolution, Size, StudentConfig};

    /// Students whose necks are wired in both ways, of plain and of depthwise convolutions.
    fn students() -> Vec<CameraStudent> {
        [(Size::Micro, Convolution::Plain), (Size::Base, Convolution::Plain), (Size::Small, Convolution::Depthwise)]
            .into_iter()
            .map(|(size, convolution)| {
                let config = StudentConfig { convolution, ..StudentConfig::new(size, vec!["person".into()], 64, 32) };
                CameraStudent::new(&config, 3, &Device::flex()).unwrap()
            })
            .collect()
    }

    /// The nodes, with the order of first mention in place of the tensors' names.
    fn unnamed_nodes(model: &ModelProto) -> Vec<NodeProto> {
        let mut known: Vec<String> = Vec::new();
        let mut nodes = model.graph.node.clone();
        for node in &mut nodes {
            for name in node.input.iter_mut().chain(&mut node.output) {
                if !known.contains(name) {
                    known.push(name.clone());
                }
                let place = known.iter().position(|seen| *seen == *name).unwrap();
                *name = place.to_string();
            }
        }
        nodes
    }

    #[test]
    fn each_anchor_point_is_one_tensor_and_only_outputs_are_given_out() {
        for student in students() {
            let model = student_graph(&student, 64, 32).unwrap();
            let made: Vec<&String> = model.graph.node.iter().flat_map(|node| &node.output).collect();
            for anchor in AnchorPoint::all() {
                let name = anchor.to_string();
                assert_eq!(made.iter().filter(|made| ***made == name).count(), 1, "{name} in {made:?}");
            }
            let outputs: Vec<&str> = model.graph.output.iter().map(|output| output.name.as_str()).collect();
            let expected = [
                "class_logits_8",
                "class_logits_16",
                "class_logits_32",
                "box_distribution_8",
                "box_distribution_16",
                "box_distribution_32",
            ];
            assert_eq!(outputs, expected);
        }
    }

    #[test]
    fn names_are_all_that_the_anchor_points_add() {
        for student in students() {
            let named = student_graph(&student, 64, 32).unwrap();
            let folded = student.valid().fold();
            let images = Tensor::<4>::zeros([1, 3, 32, 64], &Device::flex());
            let forward = |student: &CameraStudent, images: Tensor<4>| student.forward(images).class_logits;
            let plain = OnnxExporter::new().export(&folded, images, forward).unwrap();
            let plain = ModelProto::parse_from_bytes(plain.as_bytes()).unwrap();
            assert_eq!(unnamed_nodes(&named), unnamed_nodes(&plain));
            assert_eq!(named.graph.initializer, plain.graph.initializer);
        }
    }
}
