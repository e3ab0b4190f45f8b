//! From a trained lidar student to one ONNX file: BatchNorm folded, static batch of 1, named input and outputs, metadata inside.

use std::path::Path;

use burn::{module::Module, tensor::Tensor};
use onnx_ir::ModelProto;

use super::student::{LidarStudent, LidarStudentOutput};
use crate::{
    distill::export::{ExportFailed, named_graph, write_bundle},
    model::{
        bundle::BundleMetadata,
        lidar::{BOXES, CLASS_LOGITS, LidarSpec, VOTES},
    },
};

/// Name of the graph's input `[1, channels, rows, columns]`.
const INPUT: &str = "range_image";

/// The ONNX model (opset 18) of a student for range images as the specification has them: outputs `class_logits`
/// `[1, classes, rows, columns]`, `votes` `[1, 3, rows, columns]` and `boxes` `[1, 5, rows, columns]`.
///
/// The graph holds convolutions, ReLU, additions and nearest-neighbour resizing; on a full circle also the slices and the concatenation
/// that continue the image at both ends. The student may be a training one; the graph is that of its [`Module::valid`] snapshot with
/// BatchNorm folded.
///
/// # Errors
/// When burn cannot capture the graph, or it still holds a BatchNorm.
pub fn lidar_graph(student: &LidarStudent, spec: &LidarSpec) -> Result<ModelProto, ExportFailed> {
    let folded = student.valid().fold();
    let device = folded.devices().into_iter().next().unwrap_or_default();
    let images = Tensor::<4>::zeros([1, spec.channels.len(), spec.grid.rows, spec.grid.columns], &device);
    let names = [CLASS_LOGITS, VOTES, BOXES].map(String::from);
    named_graph(&folded, images, "lidar_student", INPUT, &names, |student: &LidarStudent, images: Tensor<4>| {
        let LidarStudentOutput { class_logits, votes, boxes } = student.forward(images);
        vec![class_logits, votes, boxes]
    })
}

/// Writes a student as a bundle that the lidar node runs: [`lidar_graph`] with the metadata inside, its parameters and
/// multiply-accumulates counted from the graph. The file is whole or not there. Returns the metadata as written.
///
/// # Errors
/// When the graph cannot be made or the file not be written.
pub fn export_lidar(
    student: &LidarStudent,
    metadata: &BundleMetadata<LidarSpec>,
    path: &Path,
) -> Result<BundleMetadata<LidarSpec>, ExportFailed> {
    write_bundle(&lidar_graph(student, &metadata.spec)?, metadata, path)
}
