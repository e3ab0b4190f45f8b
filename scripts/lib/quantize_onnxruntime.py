#!/usr/bin/env python3
"""Quantises a student by ONNX Runtime's own quantiser, in the settings that its documentation names for CPUs."""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

# Activations, weights, whether each channel has its scale, whether weights use seven bits (for x86 without VNNI).
SETTINGS = {
    "u8s8": (QuantType.QUInt8, QuantType.QInt8, True, False),
    "u8s7": (QuantType.QUInt8, QuantType.QInt8, True, True),
    "u8u8": (QuantType.QUInt8, QuantType.QUInt8, False, False),
    "u8u8c": (QuantType.QUInt8, QuantType.QUInt8, True, False),
    "s8s8": (QuantType.QInt8, QuantType.QInt8, True, False),
}
METHODS = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}


class Inputs(CalibrationDataReader):
    """The calibration frames, one after the other."""

    def __init__(self, name, frames):
        self.left = iter([{name: frame} for frame in frames])

    def get_next(self):
        return next(self.left, None)


def spell_out_sizes(model):
    """Says the sizes of all axes where a Resize says those of some: ONNX Runtime does not load int8 graphs of the other kind."""
    inferred = shape_inference.infer_shapes(model).graph
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in [*inferred.value_info, *inferred.output]}
    for node in model.graph.node:
        if node.op_type == "Resize" and any(attribute.name == "axes" for attribute in node.attribute):
            whole = node.output[0] + "/sizes"
            model.graph.initializer.append(numpy_helper.from_array(np.array(shapes[node.output[0]], np.int64), whole))
            node.input[3] = whole
            node.attribute.remove(next(attribute for attribute in node.attribute if attribute.name == "axes"))
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True, help="what `distill quantize --dump-calibration` wrote")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    original = onnx.load(arguments.model)
    # The samples are of the float network; int8 answers them otherwise, and would be refused.
    bundle = [entry for entry in original.metadata_props if not entry.key.endswith("_samples")]
    prepared, name = arguments.to / "prepared.onnx", original.graph.input[0].name
    onnx.save(spell_out_sizes(onnx.load(arguments.model)), prepared)
    frames = np.load(arguments.inputs)
    for setting, (activations, weights, per_channel, reduced) in SETTINGS.items():
        for method, calibrate in METHODS.items():
            target = arguments.to / f"theirs_{setting}_{method}.onnx"
            quantize_static(
                prepared, target, Inputs(name, frames), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                reduce_range=reduced, activation_type=activations, weight_type=weights, calibrate_method=calibrate,
            )
            quantized = onnx.load(target)
            del quantized.metadata_props[:]
            quantized.metadata_props.extend(bundle)
            onnx.save(quantized, target)
            print(f"{target.name}: {target.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
