#!/usr/bin/env python3
"""Parameters and multiply-accumulates of ONNX files, by onnx's own shape inference: the reference for `count_macs`.

    python3 scripts/reference/macs.py a.onnx b.onnx
"""

import sys
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference


def cost(path):
    model = onnx.load(path)
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        shapes.setdefault(value.name, [dim.dim_value for dim in value.type.tensor_type.shape.dim])
    arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    macs = 0
    for node in graph.node:
        if node.op_type == "Constant":
            arrays += [numpy_helper.to_array(a.t) for a in node.attribute if a.name == "value"]
        if node.op_type == "Conv":
            macs += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type == "MatMul":
            macs += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            macs += prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]
    parameters = sum(array.size for array in arrays if array.ndim and np.issubdtype(array.dtype, np.floating))
    return parameters, macs


for path in sys.argv[1:]:
    print(path, *cost(path))
