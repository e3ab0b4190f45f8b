//! Constants of a graph: values out of ONNX tensors, and into them.

use onnx_ir::TensorProto;

/// ONNX `TensorProto.DataType`.
pub(super) const FLOAT: i32 = 1;
/// ONNX `TensorProto.DataType`.
pub(super) const FLOAT16: i32 = 10;
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;
const INT64: i32 = 7;

/// The values of a `float32` tensor; `None` for other types, and where there are not as many as its shape says.
pub(super) fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != FLOAT {
        return None;
    }
    let values: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let numbers = tensor.raw_data.chunks_exact(4);
        numbers.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
    };
    (values.len() as i64 == tensor.dims.iter().product::<i64>()).then_some(values)
}

/// The shape of a tensor.
pub(super) fn shape(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect()
}

/// A tensor of any element type out of its bytes.
pub(super) fn raw(name: &str, shape: &[usize], data_type: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&size| size as i64).collect(),
        data_type,
        raw_data: bytes.into(),
        ..TensorProto::default()
    }
}

/// A `float32` tensor.
pub(super) fn float_tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    raw(name, shape, FLOAT, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// A `uint8` tensor.
pub(super) fn uint8_tensor(name: &str, shape: &[usize], values: &[u8]) -> TensorProto {
    raw(name, shape, UINT8, values.to_vec())
}

/// An `int8` tensor.
pub(super) fn int8_tensor(name: &str, shape: &[usize], values: &[i8]) -> TensorProto {
    raw(name, shape, INT8, values.iter().map(|&value| value.to_le_bytes()[0]).collect())
}

/// An `int32` tensor.
pub(super) fn int32_tensor(name: &str, shape: &[usize], values: &[i32]) -> TensorProto {
    raw(name, shape, INT32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// An `int64` tensor.
pub(super) fn int64_tensor(name: &str, shape: &[usize], values: &[i64]) -> TensorProto {
    raw(name, shape, INT64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_either_form() {
        let values = [1.5, -2.0, 0.25, 7.0, -0.5, 3.0];
        let tensor = float_tensor("w", &[2, 3], &values);
        assert_eq!((floats(&tensor), shape(&tensor)), (Some(values.to_vec()), vec![2, 3]));
        let listed = TensorProto { raw_data: Vec::new().into(), float_data: values.to_vec(), ..tensor.clone() };
        assert_eq!(floats(&listed), Some(values.to_vec()));
        assert_eq!(floats(&TensorProto { dims: vec![7], ..tensor }), None);
        assert_eq!(floats(&int8_tensor("q", &[2], &[-1, 2])), None);
    }

    #[test]
    fn integers_are_packed_least_byte_first() {
        assert_eq!(int8_tensor("q", &[3], &[-1, 2, -128]).raw_data.to_vec(), [0xff, 2, 0x80]);
        assert_eq!(int32_tensor("b", &[1], &[-2]).raw_data.to_vec(), [0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(int64_tensor("s", &[1], &[258]).raw_data.to_vec(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(uint8_tensor("z", &[], &[200]).raw_data.to_vec(), [200]);
    }
}
