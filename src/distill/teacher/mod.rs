//! Teachers: ONNX detectors, alone or as an ensemble.
