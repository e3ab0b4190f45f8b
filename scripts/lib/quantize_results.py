#!/usr/bin/env python3
"""Writes what scripts/results/quantize_against_onnxruntime keeps: our int8 student beside those of ONNX Runtime's quantiser."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/ros"))

from origin import commit, machine  # noqa: E402
from track_judge import table  # noqa: E402


def instructions():
    """Which of the instructions that int8 gains by the CPU has."""
    flags = {word for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    known = ["avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"]
    return [name for name in known if name in flags]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    evaluation = json.loads((arguments.run / "evaluation.json").read_text())
    ours = json.loads((arguments.run / "ours.json").read_text())
    models = {
        Path(model["path"]).stem: {
            "ap50": model["ap50"], "ap": model["ap"], "bytes": model["bytes"], "ms_p50": model["latency_ms"]["p50"], "ms_p90": model["latency_ms"]["p90"],
        }
        for model in evaluation["models"]
    }
    theirs = {name: model for name, model in models.items() if name.startswith("theirs_")}
    best, fastest = max(theirs, key=lambda name: theirs[name]["ap"]), min(theirs, key=lambda name: theirs[name]["ms_p50"])
    result = {
        "command": arguments.command, "commit": commit(), "seed": 1, "machine": machine(), "instructions": instructions(),
        "frames": evaluation["frames"], "objects": evaluation["truths"], "truth": evaluation["truth"], "rounds": evaluation["latency_rounds"],
        "calibration_frames": ours["calibration_frames"], "taken": ours["taken"], "models": models, "their_best": best, "their_fastest": fastest,
    }
    rows = [
        [name, f"{model['ap50']:.4f}", f"{model['ap']:.4f}", f"{model['bytes'] / 1e3:.1f}", f"{model['ms_p50']:.3f}", f"{model['ms_p90']:.3f}"]
        for name, model in models.items()
    ]
    text = "\n".join([
        "Students in int8 after training: ours beside those of ONNX Runtime's quantiser (onnxruntime.quantization.quantize_static) on the same",
        f"{ours['calibration_frames']} calibration frames, judged on the test block that none of them has seen. In their names: activations and weights",
        "(s7: seven bits), then how ranges are found. Sizes of Resize were spelled out for theirs, which ONNX Runtime else does not load.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; seed 1)",
        f"data     indoor_person, {result['frames']} test frames, {result['objects']} persons; truth: {result['truth']}",
        f"machine  {result['machine']}, one thread, {result['rounds']} rounds in turn; of int8's instructions it has: {', '.join(result['instructions']) or 'none'}",
        f"ours     {ours['taken']['method']}{', layers equalised' if ours['taken']['equalized'] else ''}{', biases corrected' if ours['taken']['bias_corrected'] else ''}",
        "",
        table(["student", "AP50", "AP", "kB", "ms (median)", "ms (p90)"], rows),
        "",
        f"ours against the best of theirs by AP ({best}): AP {models['ours']['ap']:.4f} and {theirs[best]['ap']:.4f}, AP50 {models['ours']['ap50']:.4f} and {theirs[best]['ap50']:.4f};",
        f"against the fastest of theirs ({fastest}): {models['ours']['ms_p50']:.3f} ms and {theirs[fastest]['ms_p50']:.3f} ms",
    ])
    target = Path("docs/results/quantize_against_onnxruntime")
    Path(f"{target}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{target}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
