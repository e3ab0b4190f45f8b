//! The few things that are read from and written to an ONNX file without ONNX Runtime: its metadata and its size.
//!
//! An ONNX file is one protobuf message, `ModelProto` (onnx.proto3). The fields needed are walked in the wire format; all
//! others are carried over byte by byte.

use std::path::Path;

use super::{
    ModelError,
    wire::{Fields, Value, put_bytes, varint},
};

const MODEL_GRAPH: u64 = 7;
const MODEL_METADATA: u64 = 14;
const ENTRY_KEY: u64 = 1;
const ENTRY_VALUE: u64 = 2;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_DIMS: u64 = 1;
const TENSOR_DATA_TYPE: u64 = 2;
/// `TensorProto.DataType` INT64, STRING, BOOL: shapes, indices and names, not learnt parameters.
const NOT_PARAMETERS: [u64; 3] = [7, 8, 9];

/// What an ONNX file holds, as far as reports need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnnxFacts {
    /// Elements of all initializers but those of 64-bit integers, booleans and strings (shapes and indices).
    pub parameters: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Counts the parameters of an ONNX file; weights in files beside it are counted too, as their shapes stand in it.
///
/// # Errors
/// The file cannot be read, or is not a protobuf message with a graph.
pub fn onnx_facts(path: impl AsRef<Path>) -> Result<OnnxFacts, ModelError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_path_buf(), source })?;
    parameters(&bytes).map(|parameters| OnnxFacts { parameters, bytes: bytes.len() as u64 }).ok_or_else(|| {
        ModelError::Load {
            model: path.display().to_string(),
            reason: "it is not a protobuf message with a graph".into(),
        }
    })
}

/// The number of parameters, or `None` when the bytes are no ONNX model.
pub(super) fn parameters(model: &[u8]) -> Option<u64> {
    let mut total = 0_u64;
    let mut has_graph = false;
    for field in Fields(model) {
        let field = field?;
        if field.number == MODEL_GRAPH {
            has_graph = true;
            for field in Fields(field.payload()?) {
                let field = field?;
                if field.number == GRAPH_INITIALIZER {
                    total = total.saturating_add(tensor_elements(field.payload()?)?);
                }
            }
        }
    }
    has_graph.then_some(total)
}

fn tensor_elements(tensor: &[u8]) -> Option<u64> {
    let mut product = 1_u64;
    for field in Fields(tensor) {
        let field = field?;
        match (field.number, field.value) {
            (TENSOR_DIMS, Value::Number(dim)) => product = product.saturating_mul(dim),
            (TENSOR_DIMS, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    product = product.saturating_mul(varint(&mut packed)?);
                }
            }
            (TENSOR_DATA_TYPE, Value::Number(kind)) if NOT_PARAMETERS.contains(&kind) => return Some(0),
            _ => {}
        }
    }
    Some(product)
}

/// The value under `key` in `metadata_props`: the last one, as protobuf readers have it. `None` in `Some` when there is none.
pub(super) fn metadata(model: &[u8], key: &str) -> Option<Option<String>> {
    let mut found = None;
    for field in Fields(model) {
        let field = field?;
        if field.number == MODEL_METADATA {
            let (entry_key, value) = entry(field.payload()?)?;
            if entry_key == key.as_bytes() {
                found = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    Some(found)
}

/// The model with `value` under `key` in `metadata_props`, in place of what was there; `None` when the bytes are no ONNX model.
pub(super) fn with_metadata(model: &[u8], key: &str, value: &str) -> Option<Vec<u8>> {
    parameters(model)?;
    let mut out = Vec::with_capacity(model.len() + key.len() + value.len() + 24);
    let mut fields = Fields(model);
    loop {
        let rest = fields.0;
        let Some(field) = fields.next() else { break };
        let field = field?;
        let replaced = field.number == MODEL_METADATA && entry(field.payload()?)?.0 == key.as_bytes();
        if !replaced {
            out.extend_from_slice(&rest[..rest.len() - fields.0.len()]);
        }
    }
    let mut entry = Vec::with_capacity(key.len() + value.len() + 16);
    put_bytes(&mut entry, ENTRY_KEY, key.as_bytes());
    put_bytes(&mut entry, ENTRY_VALUE, value.as_bytes());
    put_bytes(&mut out, MODEL_METADATA, &entry);
    Some(out)
}

/// Key and value of a `StringStringEntryProto`.
pub(super) fn entry(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields(message) {
        let field = field?;
        match field.number {
            ENTRY_KEY => key = field.payload()?,
            ENTRY_VALUE => value = field.payload()?,
            _ => {}
        }
    }
    Some((key, value))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::wire::put_varint;

    /// A model of one graph with a 2x3 float initializer and a 4-long int64 one; no network, but well-formed.
    pub(in crate::model) fn tiny_model() -> Vec<u8> {
        let tensor = |dims: &[u8], kind: u8, packed: bool| {
            let mut tensor = Vec::new();
            if packed {
                put_bytes(&mut tensor, TENSOR_DIMS, dims);
            } else {
                dims.iter().for_each(|&dim| tensor.extend([TENSOR_DIMS as u8 * 8, dim]));
            }
            tensor.extend([TENSOR_DATA_TYPE as u8 * 8, kind]);
            tensor
        };
        let mut graph = Vec::new();
        put_bytes(&mut graph, GRAPH_INITIALIZER, &tensor(&[2, 3], 1, false));
        put_bytes(&mut graph, GRAPH_INITIALIZER, &tensor(&[5], 1, true));
        put_bytes(&mut graph, GRAPH_INITIALIZER, &tensor(&[4], 7, false));
        let mut model = vec![8, 9];
        put_bytes(&mut model, MODEL_GRAPH, &graph);
        model
    }

    #[test]
    fn parameters_are_counted_without_shapes() {
        assert_eq!(parameters(&tiny_model()), Some(11));
        assert_eq!(parameters(b"ROSBAG"), None);
        assert_eq!(parameters(&[]), None);
        // Field 7 for readers that keep 32 bits of a tag, a field far away for others: nobody shall read it in two ways.
        let mut two_faced = Vec::new();
        put_varint(&mut two_faced, (1 << 32) | (MODEL_GRAPH << 3) | 2);
        put_varint(&mut two_faced, 0);
        assert_eq!(parameters(&two_faced), None);
    }

    #[test]
    fn metadata_is_added_and_replaced_and_the_rest_stays() {
        let model = tiny_model();
        assert_eq!(metadata(&model, "a"), Some(None));
        let one = with_metadata(&model, "a", "first").unwrap();
        assert!(one.starts_with(&model));
        let two = with_metadata(&one, "b", "other").unwrap();
        let long = "second ".repeat(100);
        let three = with_metadata(&two, "a", &long).unwrap();
        assert_eq!(metadata(&three, "a"), Some(Some(long)));
        assert_eq!(metadata(&three, "b"), Some(Some("other".into())));
        assert!(!three.windows(5).any(|part| part == b"first"));
        assert_eq!(parameters(&three), Some(11));
        assert_eq!(with_metadata(b"no model", "a", "b"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..60) {
            let _ = (parameters(&bytes), metadata(&bytes, "a"), with_metadata(&bytes, "a", "b"));
            let model = with_metadata(&tiny_model(), "a", "b").unwrap();
            let cut = &model[..cut.min(model.len())];
            let _ = (parameters(cut), metadata(cut, "a"), with_metadata(cut, "a", "b"));
        }
    }
}
