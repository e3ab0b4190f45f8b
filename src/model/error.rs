//! What can go wrong between an ONNX file and its detections.

use std::path::PathBuf;

use super::bundle::BundleError;
use super::head::HeadError;

/// Why a model could not be loaded or run. Each message names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No ONNX Runtime library was found.
    #[error(
        "ONNX Runtime's library ({name}) was not found. Run scripts/setup, which places it in the cache, or set ORT_DYLIB_PATH to the file. \
         Looked in: {looked_in}"
    )]
    RuntimeMissing {
        /// The file name that was looked for.
        name: String,
        /// The folders that were looked into.
        looked_in: String,
    },
    /// A library file is there but cannot be used.
    #[error(
        "ONNX Runtime's library {path} cannot be used: {reason}. Run scripts/setup or set ORT_DYLIB_PATH to another file"
    )]
    RuntimeUnusable {
        /// The library file.
        path: PathBuf,
        /// Why, in the loader's words.
        reason: String,
    },
    /// The file could not be read.
    #[error("cannot read model {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file lies where no model may be loaded from.
    #[error(
        "model {path} (really {resolved}) lies in none of the folders that models may be loaded from: {folders}. Put it into one of \
         them, or start the node with its folder in parameter model_folders"
    )]
    OutsideFolders {
        /// The file as it was named.
        path: PathBuf,
        /// Where it really is, links followed.
        resolved: PathBuf,
        /// The folders.
        folders: String,
    },
    /// The file, or it together with those of its external data, is too large.
    #[error("model {model} has {bytes} bytes, external data included; at most {most} are taken. Export a smaller one")]
    TooLarge {
        /// The file, or the name given for bytes.
        model: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A tensor's data lie where they must not be.
    #[error(
        "model {model}: tensor {tensor} has its data in {location:?}, and {reason}. Keep the data beside the model, or save it as \
         one file: onnx.save_model(model, path, save_as_external_data=False)"
    )]
    ExternalData {
        /// The file, or the name given for bytes.
        model: String,
        /// The tensor's name.
        tensor: String,
        /// The file's name as it stands in the model.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// ONNX Runtime refuses the file.
    #[error(
        "model {model} is not an ONNX file that ONNX Runtime can load (is it corrupt, or not an ONNX file?): {reason}"
    )]
    Load {
        /// The file, or the name given for bytes.
        model: String,
        /// ONNX Runtime's message.
        reason: String,
    },
    /// The network's input is not one tensor of maps.
    #[error("model {model} has the inputs {inputs}; a detector has one float input [batch, {channels}, height, width]")]
    Input {
        /// The file, or the name given for bytes.
        model: String,
        /// The inputs as they are.
        inputs: String,
        /// The channels that the input should have: 3 for an image, a lidar's by its specification.
        channels: usize,
    },
    /// The input buffer has another length than the input's shape.
    #[error("model {model} takes an input of shape {shape:?}, {expected} values; got {got}")]
    InputLength {
        /// The file, or the name given for bytes.
        model: String,
        /// The input's shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The buffer's length.
        got: usize,
    },
    /// The specification's input size differs from the network's.
    #[error(
        "model {model} takes {network_width}x{network_height} pixels but its specification says {spec_width}x{spec_height}; \
         set input.width and input.height to the network's"
    )]
    InputSize {
        /// The file, or the name given for bytes.
        model: String,
        /// The network's width in pixels.
        network_width: usize,
        /// The network's height in pixels.
        network_height: usize,
        /// The specification's width in pixels.
        spec_width: usize,
        /// The specification's height in pixels.
        spec_height: usize,
    },
    /// A range image has another size than the network's input.
    #[error(
        "model {model} takes range images of {network_rows} x {network_columns} cells (rows x columns), not of {rows} x {columns}; \
         project sweeps onto the grid of the bundle's specification, or export the bundle again where that is not the network's"
    )]
    GridSize {
        /// The file, or the name given for bytes.
        model: String,
        /// The network's rows.
        network_rows: usize,
        /// The network's columns.
        network_columns: usize,
        /// The range image's rows.
        rows: usize,
        /// The range image's columns.
        columns: usize,
    },
    /// An output has elements that are neither floats nor integers.
    #[error(
        "output {output} of model {model} has elements of type {element}; float32, float64, int32 and int64 can be read"
    )]
    OutputType {
        /// The file, or the name given for bytes.
        model: String,
        /// The output's name.
        output: String,
        /// Its element type.
        element: String,
    },
    /// The network does not give a tensor that was asked for.
    #[error("model {model} has no output {output}; ask for one of its outputs by its name in the graph")]
    NoOutput {
        /// The file, or the name given for bytes.
        model: String,
        /// The name that was asked for.
        output: String,
    },
    /// A tensor that was asked for as a feature map is none.
    #[error(
        "tensor {tensor} of model {model} has shape {shape:?}; a feature map has floats of shape [1, channels, height, width]"
    )]
    NoMap {
        /// The file, or the name given for bytes.
        model: String,
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// ONNX Runtime failed while running the network.
    #[error("ONNX Runtime failed on model {model}: {reason}")]
    Run {
        /// The file, or the name given for bytes.
        model: String,
        /// ONNX Runtime's message.
        reason: String,
    },
    /// The outputs do not fit the head format.
    #[error("model {model}: {source}")]
    Head {
        /// The file, or the name given for bytes.
        model: String,
        /// What does not fit.
        source: HeadError,
    },
    /// The bundle's metadata cannot be used.
    #[error("model {model}: {source}")]
    Bundle {
        /// The file, or the name given for bytes.
        model: String,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The YAML beside a foreign model cannot be used.
    #[error("model specification {path}: {reason}. config/foreign_model.example.yaml shows every field")]
    Spec {
        /// The YAML file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A foreign model without YAML that does not tell enough about itself.
    #[error("model {model} has no bundle metadata and no specification at {yaml}, and {reason}")]
    SpecNeeded {
        /// The file, or the name given for bytes.
        model: String,
        /// Where the YAML is looked for.
        yaml: String,
        /// What cannot be known, and the field to set.
        reason: String,
    },
}
