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


# Ours, and how the weights are stored in them.
OURS = {"ours_clear": "int8", "ours_unsigned": "uint8"}


def stored(name):
    """How a student's weights are stored: theirs are named after the types of activations and weights, `theirs_u8s8_minmax`."""
    if name.startswith("theirs_"):
        return "uint8" if name.split("_")[1][2] == "u" else "int8"
    return OURS.get(name, "float32")


def found(report):
    """How the ranges of one of ours were found."""
    taken = report["taken"]
    changes = [word for key, word in [("equalized", "layers equalised"), ("bias_corrected", "biases corrected")] if taken[key]]
    return ", ".join([taken["method"], *changes])


def compared(name, models):
    """One of ours against those of theirs whose weights are stored alike: the one that the validation block chooses, and the fastest; and that in words."""
    ours, alike = models[name], {key: model for key, model in models.items() if key.startswith("theirs_") and stored(key) == stored(name)}
    chosen, fastest = max(alike, key=lambda key: alike[key]["validation_ap"]), min(alike, key=lambda key: alike[key]["ms_p50"])
    theirs = alike[chosen]
    text = [
        f"{name} against that of theirs with {stored(name)} weights whose AP is best on the validation block ({chosen}): AP {ours['ap']:.4f} and",
        f"{theirs['ap']:.4f}, AP50 {ours['ap50']:.4f} and {theirs['ap50']:.4f}, {ours['ms_p50']:.3f} ms and {theirs['ms_p50']:.3f} ms; the fastest of these ({fastest}):",
        f"{alike[fastest]['ms_p50']:.3f} ms",
    ]
    return {"weights": stored(name), "their_chosen": chosen, "their_fastest": fastest}, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--name", required=True, help="the experiment's")
    parser.add_argument("--to", required=True, help="what is written, without .json and .txt")
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    evaluation = json.loads((arguments.run / "evaluation.json").read_text())
    validation = json.loads((arguments.run / "validation.json").read_text())
    validated = {Path(model["path"]).stem: model["ap"] for model in validation["models"]}
    ours = {name: json.loads((arguments.run / f"{name}.json").read_text()) for name in OURS}
    frames = ours["ours_clear"]["calibration_frames"]
    models = {
        Path(model["path"]).stem: {
            "ap50": model["ap50"], "ap": model["ap"], "validation_ap": validated[Path(model["path"]).stem], "bytes": model["bytes"], "ms_p50": model["latency_ms"]["p50"], "ms_p90": model["latency_ms"]["p90"],
        }
        for model in evaluation["models"]
    }
    comparisons = {name: compared(name, models) for name in OURS}
    result = {
        "data": arguments.name, "command": arguments.command, "commit": commit(), "seed": 1, "machine": machine(), "instructions": instructions(),
        "validation_frames": validation["frames"], "frames": evaluation["frames"], "objects": evaluation["truths"], "truth": evaluation["truth"], "rounds": evaluation["latency_rounds"],
        "calibration_frames": frames, "models": models,
        "ours": {name: {"form": report["weights"], "taken": report["taken"], **comparisons[name][0]} for name, report in ours.items()},
    }
    rows = [
        [name, stored(name), f"{model['ap50']:.4f}", f"{model['ap']:.4f}", f"{model['validation_ap']:.4f}", f"{model['bytes'] / 1e3:.1f}", f"{model['ms_p50']:.3f}", f"{model['ms_p90']:.3f}"]
        for name, model in models.items()
    ]
    text = "\n".join([
        "Students in int8 after training: ours beside those of ONNX Runtime's quantiser (onnxruntime.quantization.quantize_static) on the same",
        f"{frames} calibration frames, judged on the test block that none of them has seen. In their names: activations and weights (s7: seven",
        "bits; u8c: unsigned with a scale for each channel, as signed ones have anyway), then how ranges are found. Those whose weights are",
        "stored alike are of the same form. Of ours and of theirs the validation block chooses; the test block has chosen nothing. Sizes of",
        "Resize were spelled out for theirs, which ONNX Runtime else does not load.",
        "",
        f"command  {result['command']}   (commit {result['commit']}; seed 1)",
        f"data     {arguments.name}, {result['frames']} test frames, {result['objects']} objects; truth: {result['truth']}",
        f"machine  {result['machine']}, one thread, {result['rounds']} rounds in turn; of int8's instructions it has: {', '.join(result['instructions']) or 'none'}",
        f"ours     {'; '.join(f'{name}: {found(report)}' for name, report in ours.items())}",
        "",
        table(["student", "weights", "AP50", "AP", "AP (validation)", "kB", "ms (median)", "ms (p90)"], rows),
        "",
        *(line for _, lines in comparisons.values() for line in lines),
    ])
    Path(f"{arguments.to}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{arguments.to}.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
