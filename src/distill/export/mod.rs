//! From a trained student to an ONNX bundle.
