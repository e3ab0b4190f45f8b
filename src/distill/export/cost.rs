//! What a network costs: parameters and multiply-accumulates, read from its ONNX graph.
