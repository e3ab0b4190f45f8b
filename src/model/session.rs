//! One ONNX network in ONNX Runtime: loading with threads and an execution provider, running, reading its outputs.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ort::ep::ExecutionProvider as _;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};
use serde::{Deserialize, Serialize};

use super::head::{OutputShape, OutputTensor};
use super::limits::{ModelFile, ModelLimits};
use super::{ModelError, runtime};

/// What computes the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionProvider {
    /// ONNX Runtime's own CPU kernels.
    #[default]
    Cpu,
    /// XNNPACK (Arm and x86 CPUs).
    Xnnpack,
    /// OpenVINO (Intel CPUs, GPUs, NPUs).
    #[serde(rename = "openvino")]
    OpenVino,
    /// CUDA (NVIDIA GPUs).
    Cuda,
    /// TensorRT (NVIDIA GPUs).
    #[serde(rename = "tensorrt")]
    TensorRt,
}

impl ExecutionProvider {
    /// Every provider that can be asked for.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Xnnpack, Self::OpenVino, Self::Cuda, Self::TensorRt];

    /// The name in parameters and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Xnnpack => "xnnpack",
            Self::OpenVino => "openvino",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl fmt::Display for ExecutionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for ExecutionProvider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|provider| provider.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|provider| provider.name()).collect();
            format!("unknown execution provider {text:?}; known are {}", known.join(", "))
        })
    }
}

/// How a network is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads that work on one inference. 1 gives the same bits every time and leaves the other cores to the robot.
    pub threads: usize,
    /// What computes. One that the library lacks is replaced by the CPU, with a warning.
    pub provider: ExecutionProvider,
    /// ONNX Runtime's library; `None` searches `ORT_DYLIB_PATH`, the system and the cache of scripts/setup.
    pub library: Option<PathBuf>,
    /// Which files may be loaded.
    pub limits: ModelLimits,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 1, provider: ExecutionProvider::Cpu, library: None, limits: ModelLimits::default() }
    }
}

/// Name, shape and element type of an input or output, as the ONNX file declares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the graph.
    pub name: String,
    /// Sizes; `None` where the file leaves one open (a dynamic batch, say).
    pub shape: Vec<Option<usize>>,
    /// True for `float32`.
    pub is_float: bool,
    /// True for integer element types (class labels).
    pub is_integer: bool,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> =
            self.shape.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect();
        write!(f, "{} [{}]", self.name, sizes.join(", "))
    }
}

/// A loaded network with one input of maps: an image, or the range image of a lidar.
pub struct Session {
    inner: ort::session::Session,
    model: String,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    provider: ExecutionProvider,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("model", &self.model).field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Session {
    /// Loads an ONNX file. What it says of files beside it is looked at before ONNX Runtime sees it.
    ///
    /// # Errors
    /// The library is missing, the file cannot be read or is not within [`SessionOptions::limits`], tensors have their data outside
    /// of the file's folder, or it is not a network that ONNX Runtime can load.
    pub fn load(path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let file = ModelFile::read(path, &options.limits)?;
        let name = path.display().to_string();
        if file.has_external_data {
            // ONNX Runtime finds the files beside the model by the model's path.
            return Self::build(name, options, |builder| builder.commit_from_file(&file.path));
        }
        // The bytes that were looked at, and not what may lie there a moment later.
        Self::build(name, options, |builder| builder.commit_from_memory(&file.bytes))
    }

    /// Loads an ONNX file's bytes; `name` stands for the file in messages.
    ///
    /// # Errors
    /// The library is missing, tensors have their data in other files, there are more bytes than [`SessionOptions::limits`] allow,
    /// or they are not a network that ONNX Runtime can load.
    pub fn from_bytes(bytes: &[u8], name: &str, options: &SessionOptions) -> Result<Self, ModelError> {
        options.limits.check_bytes(bytes, name)?;
        Self::build(name.to_owned(), options, |builder| builder.commit_from_memory(bytes))
    }

    fn build(
        model: String,
        options: &SessionOptions,
        commit: impl Fn(&mut SessionBuilder) -> ort::Result<ort::session::Session>,
    ) -> Result<Self, ModelError> {
        let environment = runtime::environment(options.library.as_deref())?;
        let refused = |error: ort::Error| ModelError::Load { model: model.clone(), reason: error.to_string() };
        let mut provider = options.provider;
        let mut inner = None;
        if provider != ExecutionProvider::Cpu {
            // XNNPACK brings threads of its own.
            let threads = if provider == ExecutionProvider::Xnnpack { 1 } else { options.threads };
            let attempt = builder(environment, threads)
                .and_then(|builder| with_provider(builder, options))
                .and_then(|mut builder| commit(&mut builder));
            match attempt {
                Ok(session) => inner = Some(session),
                Err(error) => {
                    tracing::warn!(%model, "execution provider {provider} cannot be used, the CPU computes instead: {error}");
                    provider = ExecutionProvider::Cpu;
                }
            }
        }
        let inner = match inner {
            Some(session) => session,
            None => {
                builder(environment, options.threads).and_then(|mut builder| commit(&mut builder)).map_err(refused)?
            }
        };
        let inputs = inner.inputs().iter().map(tensor_info).collect();
        let outputs = inner.outputs().iter().map(tensor_info).collect();
        Ok(Self { inner, model, inputs, outputs, provider })
    }

    /// The file, or the name given with the bytes.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The network's inputs.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// The network's outputs, in the order of [`Outputs::tensors`].
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// What really computes: the asked provider, or the CPU where that could not be used.
    pub fn provider(&self) -> ExecutionProvider {
        self.provider
    }

    /// The value under `key` in the file's `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.inner.metadata().ok()?.custom(key)
    }

    /// Height and width of the image input `[batch, 3, height, width]`; `None` for sizes that the file leaves open.
    ///
    /// # Errors
    /// [`ModelError::Input`] when the network does not have exactly one float input of four dimensions with three channels.
    pub fn image_size(&self) -> Result<(Option<usize>, Option<usize>), ModelError> {
        self.map_size(3)
    }

    /// Height and width of the input `[batch, channels, height, width]`; `None` for sizes that the file leaves open.
    ///
    /// # Errors
    /// [`ModelError::Input`] when the network does not have exactly one float input of four dimensions with these channels.
    pub fn map_size(&self, channels: usize) -> Result<(Option<usize>, Option<usize>), ModelError> {
        if let [input] = self.inputs.as_slice()
            && input.is_float
            && let [None | Some(1..), depth, height, width] = input.shape.as_slice()
            && depth.is_none_or(|depth| depth == channels)
        {
            return Ok((*height, *width));
        }
        Err(self.input_error(channels))
    }

    fn input_error(&self, channels: usize) -> ModelError {
        let inputs: Vec<_> = self.inputs.iter().map(ToString::to_string).collect();
        ModelError::Input { model: self.model.clone(), inputs: inputs.join("; "), channels }
    }

    /// Runs the network on one tensor of the given shape (`[batch, 3, height, width]` for images, `[batch, channels, rows,
    /// columns]` for range images), row-major. The input is not copied.
    ///
    /// # Errors
    /// The length is not the shape's, the network has several inputs, or ONNX Runtime fails.
    pub fn run(&mut self, shape: &[usize], input: &[f32]) -> Result<Outputs<'_>, ModelError> {
        let expected = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if expected != Some(input.len()) {
            return Err(ModelError::InputLength {
                model: self.model.clone(),
                shape: shape.to_vec(),
                expected: expected.unwrap_or(usize::MAX),
                got: input.len(),
            });
        }
        if self.inputs.len() != 1 {
            return Err(self.input_error(shape.get(1).copied().unwrap_or_default()));
        }
        let model = &self.model;
        let failed = |error: ort::Error| ModelError::Run { model: model.clone(), reason: error.to_string() };
        let tensor = TensorRef::from_array_view((shape.to_vec(), input)).map_err(failed)?;
        let values = self.inner.run(ort::inputs![tensor]).map_err(failed)?;
        Ok(Outputs { values, model: &self.model })
    }

    /// The outputs' shapes for an image of this size, by one run on an empty input where the file leaves more open than the batch.
    ///
    /// # Errors
    /// ONNX Runtime fails, or an output has elements that cannot be read.
    pub fn output_shapes(&mut self, width: usize, height: usize) -> Result<Vec<OutputShape>, ModelError> {
        let known = |output: &TensorInfo| !output.shape.is_empty() && output.shape.iter().skip(1).all(Option::is_some);
        if self.outputs.iter().all(known) {
            let shapes = self.outputs.iter().map(|output| OutputShape {
                name: output.name.clone(),
                shape: output.shape.iter().map(|size| size.unwrap_or(1)).collect(),
                is_integer: output.is_integer,
            });
            return Ok(shapes.collect());
        }
        let outputs = self.run_on_empty(width, height)?;
        let shapes = outputs.tensors()?.iter().map(OutputShape::of).collect();
        Ok(shapes)
    }

    /// Runs the network on an image of nothing but zeros.
    ///
    /// # Errors
    /// The network has several inputs, or ONNX Runtime fails.
    pub fn run_on_empty(&mut self, width: usize, height: usize) -> Result<Outputs<'_>, ModelError> {
        self.run(&[1, 3, height, width], &vec![0.0; 3 * width * height])
    }
}

/// The outputs of one run; they borrow ONNX Runtime's memory.
pub struct Outputs<'s> {
    values: ort::session::SessionOutputs<'s>,
    model: &'s str,
}

impl Outputs<'_> {
    /// The outputs in the network's order. `float32` is borrowed, `float64` and integers (labels) are converted.
    ///
    /// # Errors
    /// [`ModelError::OutputType`] for other element types.
    pub fn tensors(&self) -> Result<Vec<OutputTensor<'_>>, ModelError> {
        // By name, so that the tensors borrow from the outputs and not from a passing view.
        self.values.keys().map(|name| self.tensor(name)).collect()
    }

    /// The output of this name, as [`Self::tensors`] has it.
    ///
    /// # Errors
    /// [`ModelError::NoOutput`] for an unknown name, [`ModelError::OutputType`] for an element type that cannot be read.
    pub fn tensor<'a>(&'a self, name: &'a str) -> Result<OutputTensor<'a>, ModelError> {
        // ONNX Runtime's crate does not take the question for an empty name.
        let value = if name.is_empty() { None } else { self.values.get(name) };
        let missing = || ModelError::NoOutput { model: self.model.to_owned(), output: name.to_owned() };
        let value = value.ok_or_else(missing)?;
        let wrong_type =
            |element: String| ModelError::OutputType { model: self.model.to_owned(), output: name.to_owned(), element };
        let failed = |error: ort::Error| ModelError::Run { model: self.model.to_owned(), reason: error.to_string() };
        let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
            return Err(wrong_type("a sequence or map".to_owned()));
        };
        let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        let is_integer = is_integer(*ty);
        // An empty tensor has no memory to borrow. Its element type still tells labels from scores.
        if shape.contains(&0) {
            return Ok(OutputTensor { name: name.into(), shape, values: Cow::Borrowed(&[]), is_integer });
        }
        let values = match ty {
            TensorElementType::Float32 => Cow::Borrowed(value.try_extract_tensor::<f32>().map_err(failed)?.1),
            TensorElementType::Float64 => {
                value.try_extract_tensor::<f64>().map_err(failed)?.1.iter().map(|&v| v as f32).collect()
            }
            TensorElementType::Int64 => {
                value.try_extract_tensor::<i64>().map_err(failed)?.1.iter().map(|&v| v as f32).collect()
            }
            TensorElementType::Int32 => {
                value.try_extract_tensor::<i32>().map_err(failed)?.1.iter().map(|&v| v as f32).collect()
            }
            other => return Err(wrong_type(format!("{other:?}").to_lowercase())),
        };
        Ok(OutputTensor { name: name.into(), shape, values, is_integer })
    }
}

fn builder(environment: &ort::environment::Environment, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = ort::session::Session::builder(environment)?
        .with_intra_threads(threads.max(1))
        .and_then(|builder| builder.with_inter_threads(1))
        .and_then(|builder| builder.with_intra_op_spinning(false))
        .and_then(|builder| builder.with_inter_op_spinning(false))
        .and_then(|builder| builder.with_optimization_level(GraphOptimizationLevel::All));
    builder.map_err(without_recovery)
}

fn without_recovery(error: ort::Error<SessionBuilder>) -> ort::Error {
    ort::Error::new_with_code(error.code(), error.message())
}

/// Registers the asked provider, or says why that cannot be.
fn with_provider(builder: SessionBuilder, options: &SessionOptions) -> ort::Result<SessionBuilder> {
    let threads = NonZeroUsize::new(options.threads).unwrap_or(NonZeroUsize::MIN);
    let (available, provider) = match options.provider {
        ExecutionProvider::Cpu => return Ok(builder),
        ExecutionProvider::Xnnpack => {
            (ort::ep::XNNPACK::is_available()?, ort::ep::XNNPACK::default().with_intra_op_num_threads(threads).build())
        }
        ExecutionProvider::OpenVino => {
            (ort::ep::OpenVINO::is_available()?, ort::ep::OpenVINO::default().with_num_threads(threads.get()).build())
        }
        ExecutionProvider::Cuda => (ort::ep::CUDA::is_available()?, ort::ep::CUDA::default().build()),
        ExecutionProvider::TensorRt => (ort::ep::TensorRT::is_available()?, ort::ep::TensorRT::default().build()),
    };
    if !available {
        return Err(ort::Error::new("this build of ONNX Runtime does not contain it"));
    }
    builder.with_execution_providers([provider.error_on_failure()]).map_err(without_recovery)
}

fn is_integer(ty: TensorElementType) -> bool {
    matches!(ty, TensorElementType::Int32 | TensorElementType::Int64)
}

fn tensor_info(outlet: &ort::value::Outlet) -> TensorInfo {
    let (ty, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            (Some(*ty), shape.iter().map(|&size| usize::try_from(size).ok()).collect())
        }
        _ => (None, Vec::new()),
    };
    TensorInfo {
        name: outlet.name().to_owned(),
        shape,
        is_float: ty == Some(TensorElementType::Float32),
        is_integer: ty.is_some_and(is_integer),
    }
}
