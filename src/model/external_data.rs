//! Tensors of an ONNX file whose data lie in other files, found without ONNX Runtime.
//!
//! A `TensorProto` (onnx.proto3) may name a file instead of holding its numbers. A bundle from somebody else could so have any file
//! of the robot read into a network. ONNX Runtime refuses some such names; which ones depends on its version. So they are looked
//! at here, wherever a tensor can stand: in initializers, sparse ones too, in attributes of nodes, in graphs within these, in functions
//! and in what is said of training.

use std::path::{Component, Path, PathBuf};

use super::ModelError;
use super::onnx_file::entry;
use super::wire::{Fields, Value};

const TENSOR_NAME: u64 = 8;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;
/// `TensorProto.DataLocation` EXTERNAL.
const EXTERNAL: u64 = 1;
/// The key of an external file's name.
const LOCATION: &[u8] = b"location";
/// ONNX Runtime's own mark for data that lie at an address of the process's memory; no file has it.
const MEMORY: &str = "_ORT_MEM_ADDR_";
/// Messages in messages at most. Protobuf's own readers allow as many.
const DEEPEST: usize = 100;

/// A tensor whose data lie in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalTensor {
    /// The tensor's name.
    pub tensor: String,
    /// The file's name as it stands in the model; empty where the model says that there is a file and not which.
    pub location: String,
}

/// The tensors of an ONNX file's bytes that have their data, or parts of what is said of them, in other files; `None` when the bytes
/// are no ONNX model, or one that is nested deeper than any reader goes.
///
/// A name counts also where the tensor does not say that it is used: which reader looks at it is not ours to guess.
pub fn external_tensors(model: &[u8]) -> Option<Vec<ExternalTensor>> {
    let mut found = Vec::new();
    let mut has_graph = false;
    let mut open = vec![(Message::Model, Fields(model))];
    while let Some((message, fields)) = open.last_mut() {
        let message = *message;
        let Some(field) = fields.next() else {
            open.pop();
            continue;
        };
        let field = field?;
        let Some(inner) = message.inner(field.number) else { continue };
        has_graph |= message == Message::Model && inner == Message::Graph;
        let bytes = field.payload()?;
        if inner == Message::Tensor {
            add_locations(bytes, &mut found)?;
        } else if open.len() < DEEPEST {
            open.push((inner, Fields(bytes)));
        } else {
            return None;
        }
    }
    has_graph.then_some(found)
}

/// The messages in which tensors can stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message in a field, where tensors can stand in it.
    fn inner(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// Adds what a tensor says of other files; `None` when the bytes are none.
fn add_locations(tensor: &[u8], found: &mut Vec<ExternalTensor>) -> Option<()> {
    let (mut name, mut is_external) = (String::new(), false);
    let mut locations = Vec::new();
    for field in Fields(tensor) {
        let field = field?;
        match (field.number, field.value) {
            (TENSOR_NAME, Value::Bytes(bytes)) => name = String::from_utf8_lossy(bytes).into_owned(),
            (TENSOR_DATA_LOCATION, Value::Number(place)) => is_external |= place == EXTERNAL,
            (TENSOR_EXTERNAL_DATA, _) => {
                let (key, value) = entry(field.payload()?)?;
                if key == LOCATION {
                    // Names in other codes than UTF-8 would be other files for ONNX Runtime.
                    locations.push(std::str::from_utf8(value).ok()?.to_owned());
                }
            }
            _ => {}
        }
    }
    if is_external && locations.is_empty() {
        locations.push(String::new());
    }
    found.extend(locations.into_iter().map(|location| ExternalTensor { tensor: name.clone(), location }));
    Some(())
}

/// The files that tensors of a model have their data in, each once, links followed.
///
/// # Errors
/// [`ModelError::ExternalData`] names the first tensor whose file does not lie in the model's `folder` or below.
pub(super) fn files(model: &str, folder: &Path, tensors: &[ExternalTensor]) -> Result<Vec<PathBuf>, ModelError> {
    let mut files = Vec::new();
    for tensor in tensors {
        let file = resolve(folder, &tensor.location).map_err(|reason| refused(model, tensor, reason))?;
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

/// The refusal of a tensor's file.
pub(super) fn refused(model: &str, tensor: &ExternalTensor, reason: String) -> ModelError {
    let ExternalTensor { tensor, location } = tensor.clone();
    ModelError::ExternalData { model: model.to_owned(), tensor, location, reason }
}

/// The file of a location, or what is wrong with it.
fn resolve(folder: &Path, location: &str) -> Result<PathBuf, String> {
    if location.is_empty() {
        return Err("no file is named".into());
    }
    if location.contains(MEMORY) {
        return Err("that stands for an address in memory".into());
    }
    let relative = Path::new(location);
    if relative.is_absolute() {
        return Err("that is an absolute path".into());
    }
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err("that leads out of the model's folder".into());
    }
    let folder = folder.canonicalize().map_err(|error| format!("the model's folder cannot be read: {error}"))?;
    let file = folder.join(relative).canonicalize().map_err(|error| format!("it cannot be read: {error}"))?;
    if !file.starts_with(&folder) {
        return Err(format!("that is a link to {}, out of the model's folder", file.display()));
    }
    if !file.is_file() {
        return Err("that is no file".into());
    }
    Ok(file)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::onnx_file::tests::tiny_model;
    use crate::model::wire::{put_bytes, put_varint};

    /// A tensor that has its data in a file.
    fn external_tensor(name: &str, location: &str) -> Vec<u8> {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, b"location");
        put_bytes(&mut entry, 2, location.as_bytes());
        let mut tensor = Vec::new();
        put_bytes(&mut tensor, TENSOR_NAME, name.as_bytes());
        put_bytes(&mut tensor, TENSOR_EXTERNAL_DATA, &entry);
        put_varint(&mut tensor, TENSOR_DATA_LOCATION << 3);
        put_varint(&mut tensor, EXTERNAL);
        tensor
    }

    /// Wraps bytes into messages, from the innermost field number outwards.
    fn wrapped(innermost: &[u8], fields: &[u64]) -> Vec<u8> {
        fields.iter().fold(innermost.to_vec(), |inner, &field| {
            let mut outer = Vec::new();
            put_bytes(&mut outer, field, &inner);
            outer
        })
    }

    /// A model with one tensor more, an initializer that has its data in a file.
    pub(in crate::model) fn external_model(location: &str) -> Vec<u8> {
        [tiny_model(), wrapped(&external_tensor("weights", location), &[5, 7])].concat()
    }

    #[test]
    fn a_tensor_is_found_wherever_it_stands() {
        let tensor = external_tensor("weights", "data.bin");
        let expected = vec![ExternalTensor { tensor: "weights".into(), location: "data.bin".into() }];
        for fields in [
            &[5, 7][..],             // initializer
            &[1, 15, 7],             // values of a sparse initializer
            &[2, 15, 7],             // its indices
            &[5, 5, 1, 7],           // attribute t of a node
            &[10, 5, 1, 7],          // attribute tensors
            &[1, 22, 5, 1, 7],       // attribute sparse_tensor
            &[5, 6, 5, 1, 7],        // initializer of a branch
            &[5, 5, 1, 11, 5, 1, 7], // constant in a graph of attribute graphs
            &[5, 5, 7, 25],          // node of a function
            &[5, 11, 25],            // a function's default attribute
            &[5, 1, 20],             // a training's first graph
        ] {
            let model = [tiny_model(), wrapped(&tensor, fields)].concat();
            assert_eq!(external_tensors(&model).as_ref(), Some(&expected), "{fields:?}");
        }
        assert_eq!(external_tensors(&tiny_model()), Some(Vec::new()));
    }

    #[test]
    fn what_cannot_be_walked_is_no_model() {
        assert_eq!(external_tensors(b"ROSBAG"), None);
        assert_eq!(external_tensors(&[]), None);
        let whole = external_model("data.bin");
        assert_eq!(external_tensors(&whole[..whole.len() - 3]), None);
        // Graphs in attributes of nodes of graphs, without an end.
        let nested: Vec<u64> = [5, 1, 6].iter().copied().cycle().take(300).chain([5, 1, 7]).collect();
        assert_eq!(external_tensors(&[tiny_model(), wrapped(b"", &nested)].concat()), None);
    }

    #[test]
    fn a_file_that_is_said_to_be_and_not_named_is_told_as_well() {
        let mut tensor = Vec::new();
        put_varint(&mut tensor, TENSOR_DATA_LOCATION << 3);
        put_varint(&mut tensor, EXTERNAL);
        let model = [tiny_model(), wrapped(&tensor, &[5, 7])].concat();
        let found = external_tensors(&model).unwrap();
        assert_eq!(found, [ExternalTensor { tensor: String::new(), location: String::new() }]);
        assert!(resolve(Path::new("/"), "").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn files_outside_of_the_folder_are_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("bundle");
        std::fs::create_dir_all(folder.join("parts")).unwrap();
        for file in ["secret", "bundle/data.bin", "bundle/parts/data.bin"] {
            std::fs::write(outer.path().join(file), b"0123").unwrap();
        }
        std::os::unix::fs::symlink("../secret", folder.join("link.bin")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        std::os::unix::fs::symlink("parts/data.bin", folder.join("inside.bin")).unwrap();
        for good in ["data.bin", "./data.bin", "parts/data.bin", "inside.bin"] {
            assert!(resolve(&folder, good).is_ok(), "{good}");
        }
        let absolute = folder.join("data.bin").display().to_string();
        for (bad, word) in [
            ("../secret", "leads out"),
            ("parts/../../secret", "leads out"),
            ("parts/../data.bin", "leads out"),
            (absolute.as_str(), "absolute"),
            ("link.bin", "is a link to"),
            ("up/secret", "is a link to"),
            ("nowhere.bin", "cannot be read"),
            ("parts", "no file"),
            ("da\0ta.bin", "cannot be read"),
            ("*/_ORT_MEM_ADDR_/*", "memory"),
        ] {
            let reason = resolve(&folder, bad).unwrap_err();
            assert!(reason.contains(word), "{bad:?}: {reason}");
        }
        let tensors = external_tensors(&external_model("link.bin")).unwrap();
        let error = files("m.onnx", &folder, &tensors).unwrap_err().to_string();
        assert!(["m.onnx", "weights", "link.bin", "secret"].iter().all(|word| error.contains(word)), "{error}");
    }
}
